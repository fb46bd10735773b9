/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_fatpipe.c - engine/autotune.c and all that a single connection needs to fill a long fat pipe: two engines, 10 Gbit/s,
 * 100 ms, in virtual time.  The bandwidth-delay product is 125 MB, so that both buffers must grow a thousandfold by themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "engine/stack.h"
#include "engine/tcp_info.h"
#include "tests/common/testpool.h"

#define RATE_BPS 10000000000ull
#define ONE_WAY_US 50000
/* A router with a bandwidth-delay product of buffer. */
#define QUEUE_BYTES 125000000
#define STEP_US 20
#define SECOND_US 1000000ull
#define FLIGHT_MAX (1u << 18) /* frames under way in one direction */
#define BURST 64
#define CHUNK 1000000
#define EAL_MB 1600

/* One direction: frames that left, with their time of arrival. */
struct wire {
	struct rte_mbuf *frame[FLIGHT_MAX];
	uint64_t arrival_ns[FLIGHT_MAX];
	uint32_t head, tail;
	uint64_t busy_ns; /* the link sends until then */
	uint64_t rate_bps, queue_bytes;
	uint64_t overflowed;
};

struct end {
	struct engine *e;
	struct rte_mempool *pool;
	void *region;
	struct wire out;
};

static struct end sender, receiver;
static usec_t now;
static char chunk[CHUNK];

static void open_end(struct end *x, const char *ip, const char *setup[][2], unsigned mtu, struct rte_mempool *pool)
{
	struct engine_config cfg = {.pool = pool, .secret = {3, 4}, .mtu = mtu, .naddrs = 1, .max_conns = 4, .max_timewait = 4};
	size_t size;

	memset(x, 0, sizeof(*x));
	cfg.mac[0] = 2;
	cfg.mac[5] = ip[strlen(ip) - 1];
	cfg.addrs[0] = (struct ip_prefix){ip_from_v4(inet_addr(ip)), 120};
	cfg.caps = ENGINE_RX_CSUM | ENGINE_TX_IP_CSUM | ENGINE_TX_TCP_CSUM;
	tcp_settings_init(&cfg.tcp);
	for (; (*setup)[0]; setup++)
		assert_int_equal(tcp_settings_set(&cfg.tcp, (*setup)[0], (*setup)[1]), 0);
	size = engine_size(&cfg);
	x->pool = pool;
	x->region = aligned_alloc(64, size);
	assert_non_null(x->region);
	memset(x->region, 0, size);
	x->e = engine_create(x->region, size, &cfg, now);
	assert_non_null(x->e);
	x->out.rate_bps = RATE_BPS;
	x->out.queue_bytes = QUEUE_BYTES;
}

static void close_end(struct end *x)
{
	while (x->out.head != x->out.tail)
		rte_pktmbuf_free(x->out.frame[x->out.head++ % FLIGHT_MAX]);
	engine_destroy(x->e);
	assert_int_equal(rte_mempool_avail_count(x->pool), x->pool->size);
	free(x->region);
}

/* The frame stays the sender's own mbuf until it arrives: a flight of 125 MB needs no second copy. */
static void wire_take(struct wire *w, struct rte_mbuf *m)
{
	uint64_t now_ns = now * 1000, start = w->busy_ns > now_ns ? w->busy_ns : now_ns;

	if ((start - now_ns) * w->rate_bps / 8 / 1000000000 > w->queue_bytes || w->tail - w->head == FLIGHT_MAX) {
		w->overflowed++;
		rte_pktmbuf_free(m);
		return;
	}
	w->busy_ns = start + (uint64_t)m->pkt_len * 8 * 1000000000 / w->rate_bps;
	w->arrival_ns[w->tail % FLIGHT_MAX] = w->busy_ns + ONE_WAY_US * 1000;
	w->frame[w->tail++ % FLIGHT_MAX] = m;
}

static struct rte_mbuf *landed(struct end *to, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_alloc(to->pool);

	assert_non_null(copy);
	memcpy(rte_pktmbuf_append(copy, m->pkt_len), rte_pktmbuf_mtod(m, void *), m->pkt_len);
	copy->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	rte_pktmbuf_free(m);
	return copy;
}

static void deliver(struct end *from, struct end *to)
{
	struct wire *w = &from->out;
	struct rte_mbuf *burst[BURST];
	unsigned n = 0;

	while (w->head != w->tail && w->arrival_ns[w->head % FLIGHT_MAX] <= now * 1000) {
		burst[n++] = landed(to, w->frame[w->head++ % FLIGHT_MAX]);
		if (n == BURST) {
			engine_input(to->e, burst, n, now);
			n = 0;
		}
	}
	engine_input(to->e, burst, n, now);
}

static void drain(struct end *x)
{
	struct rte_mbuf *burst[BURST];
	unsigned n;

	do {
		n = engine_output(x->e, burst, BURST, now);
		for (unsigned i = 0; i < n; i++)
			wire_take(&x->out, burst[i]);
	} while (n == BURST);
}

static void step(void)
{
	now += STEP_US;
	deliver(&sender, &receiver);
	deliver(&receiver, &sender);
	engine_run(sender.e, now);
	engine_run(receiver.e, now);
	drain(&sender);
	drain(&receiver);
}

static void connect_ends(struct conn **to, struct conn **from)
{
	struct endpoint at = {ip_from_v4(inet_addr("10.0.0.2")), 80};
	struct conn *listener = engine_socket(receiver.e);
	int err;

	assert_int_equal(engine_bind(receiver.e, listener, &at), 0);
	assert_int_equal(engine_listen(receiver.e, listener, 1, now), 0);
	*to = engine_socket(sender.e);
	assert_int_equal(engine_connect(sender.e, *to, &at, now), -115);
	for (unsigned i = 0; !(*from = engine_accept(receiver.e, listener, &err)); i++) {
		assert_true(i < SECOND_US / STEP_US);
		step();
	}
	engine_close(receiver.e, listener, now);
}

static void fill(struct conn *c)
{
	struct iovec iov = {chunk, sizeof(chunk)};

	while (engine_ready(c) & EPOLLOUT && engine_send(sender.e, c, &iov, 1, 0, now) > 0)
		;
}

static uint64_t empty(struct conn *c)
{
	struct iovec iov = {chunk, sizeof(chunk)};
	uint64_t total = 0;
	ssize_t n;

	while ((n = engine_recv(receiver.e, c, &iov, 1, MSG_TRUNC, now)) > 0)
		total += (uint64_t)n;
	return total;
}

/* Bytes that arrive within so long. */
static uint64_t transfer(struct conn *to, struct conn *from, usec_t us)
{
	uint64_t total = 0;

	for (usec_t end = now + us; now < end;) {
		fill(to);
		step();
		total += empty(from);
	}
	return total;
}

static struct engine_info info(struct engine *e, struct conn *c)
{
	struct engine_info i;
	socklen_t len = sizeof(i);

	assert_int_equal(engine_getsockopt(e, c, IPPROTO_TCP, TCP_INFO, &i, &len, now), 0);
	return i;
}

/*
 * The link is full in the second that begins after warm_up.  The most that an administrator who knows the product would allow: a
 * window of 1.3 times of it, so that slow start ends by the window and not by loss.
 */
static void fat_pipe(unsigned mtu, unsigned mbufs, usec_t warm_up)
{
	static const char *big[][2] = {{"net.ipv4.tcp_rmem", "4096 131072 330000000"},
				       {"net.ipv4.tcp_wmem", "4096 16384 1073741824"},
				       {"net.core.rmem_max", "1073741824"},
				       {NULL, NULL}};
	static struct rte_mempool *pools[2];
	struct conn *to, *from;
	uint64_t got, could = RATE_BPS / 8 * (mtu - 52) / (mtu + 14);
	char name[2][16];

	for (unsigned i = 0; i < 2; i++) {
		snprintf(name[i], sizeof(name[i]), "pipe%u_%u", i, mtu);
		pools[i] = testpool_create(name[i], i ? mbufs / 4 : mbufs, mtu);
		assert_non_null(pools[i]);
	}
	now = SECOND_US;
	open_end(&sender, "10.0.0.1", big, mtu, pools[0]);
	open_end(&receiver, "10.0.0.2", big, mtu, pools[1]);
	connect_ends(&to, &from);
	transfer(to, from, warm_up);
	got = transfer(to, from, SECOND_US);
	print_message("MTU %u: %.3f Gbit/s of %.3f\n", mtu, (double)got * 8 / 1e9, (double)could * 8 / 1e9);
	assert_true(got >= could / 100 * 98);
	assert_int_equal(sender.out.overflowed, 0);
	/* What TCP_INFO says of it: the window is the limit, of the link's own product and more. */
	assert_int_equal(info(sender.e, to).tcpi_snd_wscale, 14);
	assert_true(info(sender.e, to).tcpi_snd_wnd > RATE_BPS / 8 / 10);
	assert_true(info(sender.e, to).tcpi_rwnd_limited > SECOND_US / 2);
	assert_in_range(info(receiver.e, from).tcpi_rcv_rtt, 2 * ONE_WAY_US, 4 * ONE_WAY_US);
	assert_true(info(receiver.e, from).tcpi_rcv_space > RATE_BPS / 8 / 10);
	engine_abort(sender.e, to, now);
	engine_abort(receiver.e, from, now);
	close_end(&sender);
	close_end(&receiver);
	rte_mempool_free(pools[0]);
	rte_mempool_free(pools[1]);
}

static void fills_with_jumbo_frames(void **state)
{
	fat_pipe(9000, 65535, 1600000);
}

static void fills_with_usual_frames(void **state)
{
	fat_pipe(1500, 262143, 1600000);
}

static int start(void **state)
{
	return testpool_start(EAL_MB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(fills_with_jumbo_frames), cmocka_unit_test(fills_with_usual_frames)};

	return cmocka_run_group_tests(tests, start, NULL);
}
