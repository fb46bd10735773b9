/* SPDX-License-Identifier: BSD-3-Clause */
/* pipe.c - two engines and a link; see pipe.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "tests/common/pipe.h"

#define BURST 64
#define CHUNK 1000000
#define PORT 80

static char chunk[CHUNK];

static void open_end(struct pipe *p, unsigned i)
{
	struct engine_config cfg = {.pool = p->cfg.pool[i],
				    .secret = {3, 4 + p->births++},
				    .mtu = p->cfg.mtu,
				    .naddrs = 1,
				    .max_conns = p->cfg.conns ? p->cfg.conns : 4,
				    .max_timewait = 4};
	struct pipe_end *x = &p->end[i];
	size_t size;

	cfg.mac[0] = 2;
	cfg.mac[5] = i + 1;
	cfg.addrs[0] = (struct ip_prefix){ip_from_v4(htonl(0x0a000001 + i)), 120};
	cfg.caps = ENGINE_RX_CSUM | ENGINE_TX_IP_CSUM | ENGINE_TX_TCP_CSUM;
	tcp_settings_init(&cfg.tcp);
	for (const char *(*s)[2] = p->cfg.settings; (*s)[0]; s++)
		assert_int_equal(tcp_settings_set(&cfg.tcp, (*s)[0], (*s)[1]), 0);
	size = engine_size(&cfg);
	x->region = aligned_alloc(64, size);
	assert_non_null(x->region);
	memset(x->region, 0, size);
	x->e = engine_create(x->region, size, &cfg, p->now);
	assert_non_null(x->e);
}

void pipe_open(struct pipe *p, const struct pipe_config *cfg)
{
	memset(p, 0, sizeof(*p));
	p->cfg = *cfg;
	p->now = PIPE_SECOND;
	open_end(p, 0);
	open_end(p, 1);
}

void pipe_successor(struct pipe *p, unsigned end)
{
	engine_destroy(p->end[end].e);
	free(p->end[end].region);
	open_end(p, end);
}

void pipe_close(struct pipe *p)
{
	for (unsigned i = 0; i < 2; i++) {
		struct pipe_wire *w = &p->end[i].out;

		while (w->head != w->tail)
			rte_pktmbuf_free(w->frame[w->head++ % PIPE_FLIGHT_MAX]);
		engine_destroy(p->end[i].e);
		free(p->end[i].region);
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(rte_mempool_avail_count(p->cfg.pool[i]), p->cfg.pool[i]->size);
}

/* ---- the link ---- */

static void take(struct pipe *p, struct pipe_wire *w, struct rte_mbuf *m)
{
	uint64_t now_ns = p->now * 1000, start = w->busy_ns > now_ns ? w->busy_ns : now_ns, *lost = NULL;

	if (w->largest && m->pkt_len > w->largest + ETH_HDR)
		lost = &w->vanished;
	else if ((start - now_ns) * p->cfg.rate_bps / 8 / 1000000000 > p->cfg.queue_bytes || w->tail - w->head == PIPE_FLIGHT_MAX)
		lost = &w->overflowed;
	if (lost) {
		++*lost;
		rte_pktmbuf_free(m);
		return;
	}
	w->busy_ns = start + (uint64_t)m->pkt_len * 8 * 1000000000 / p->cfg.rate_bps;
	w->arrival_ns[w->tail % PIPE_FLIGHT_MAX] = w->busy_ns + p->cfg.one_way_us * 1000;
	w->frame[w->tail++ % PIPE_FLIGHT_MAX] = m;
}

static struct rte_mbuf *landed(struct rte_mempool *pool, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_alloc(pool);

	assert_non_null(copy);
	memcpy(rte_pktmbuf_append(copy, m->pkt_len), rte_pktmbuf_mtod(m, void *), m->pkt_len);
	copy->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	rte_pktmbuf_free(m);
	return copy;
}

static void deliver(struct pipe *p, unsigned from)
{
	struct pipe_wire *w = &p->end[from].out;
	struct rte_mbuf *burst[BURST];
	unsigned n = 0;

	while (w->head != w->tail && w->arrival_ns[w->head % PIPE_FLIGHT_MAX] <= p->now * 1000) {
		burst[n++] = landed(p->cfg.pool[!from], w->frame[w->head++ % PIPE_FLIGHT_MAX]);
		if (n == BURST) {
			engine_input(p->end[!from].e, burst, n, p->now);
			n = 0;
		}
	}
	engine_input(p->end[!from].e, burst, n, p->now);
}

static void drain(struct pipe *p, struct pipe_end *x)
{
	struct rte_mbuf *burst[BURST];
	unsigned n;

	do {
		n = engine_output(x->e, burst, BURST, p->now);
		for (unsigned i = 0; i < n; i++)
			take(p, &x->out, burst[i]);
	} while (n == BURST);
}

void pipe_step(struct pipe *p)
{
	p->now += p->cfg.step_us;
	deliver(p, 0);
	deliver(p, 1);
	for (unsigned i = 0; i < 2; i++) {
		engine_run(p->end[i].e, p->now);
		drain(p, &p->end[i]);
	}
}

/* ---- a connection ---- */

void pipe_connect(struct pipe *p, struct conn *c[2])
{
	struct endpoint at = {ip_from_v4(inet_addr("10.0.0.2")), PORT}, from = {.port = p->client_port};
	struct engine *a = p->end[0].e, *b = p->end[1].e;
	struct conn *listener = engine_socket(b);
	usec_t limit = p->now + 10 * PIPE_SECOND;
	int err, on = 1;

	assert_int_equal(engine_setsockopt(b, listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on), p->now), 0);
	assert_int_equal(engine_bind(b, listener, &at), 0);
	assert_int_equal(engine_listen(b, listener, 1, p->now), 0);
	c[0] = engine_socket(a);
	assert_int_equal(from.port ? engine_bind(a, c[0], &from) : 0, 0);
	assert_int_equal(engine_connect(a, c[0], &at, p->now), -EINPROGRESS);
	while (!(c[1] = engine_accept(b, listener, &err))) {
		assert_true(p->now < limit);
		pipe_step(p);
	}
	engine_close(b, listener, p->now);
}

static void fill(struct pipe *p, struct conn *c)
{
	struct iovec iov = {chunk, sizeof(chunk)};

	while (engine_ready(c) & EPOLLOUT && engine_send(p->end[0].e, c, &iov, 1, 0, p->now) > 0)
		;
}

static uint64_t empty(struct pipe *p, struct conn *c)
{
	struct iovec iov = {chunk, sizeof(chunk)};
	uint64_t total = 0;
	ssize_t n;

	while ((n = engine_recv(p->end[1].e, c, &iov, 1, MSG_TRUNC, p->now)) > 0)
		total += (uint64_t)n;
	return total;
}

uint64_t pipe_transfer(struct pipe *p, struct conn *c[2], usec_t us)
{
	uint64_t total = 0;

	for (usec_t end = p->now + us; p->now < end;) {
		fill(p, c[0]);
		pipe_step(p);
		total += empty(p, c[1]);
	}
	return total;
}

struct engine_info pipe_info(struct pipe *p, struct conn *c[2], unsigned end)
{
	struct engine_info i;
	socklen_t len = sizeof(i);

	assert_int_equal(engine_getsockopt(p->end[end].e, c[end], IPPROTO_TCP, TCP_INFO, &i, &len, p->now), 0);
	return i;
}
