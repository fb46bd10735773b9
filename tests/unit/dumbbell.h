/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dumbbell.h - a sender's engine and a receiver's, joined by one bottleneck in virtual time: a rate, a drop-tail queue that marks
 * what it can (RFC 3168) above a threshold, a delay, and random loss.  Flows each with a congestion control of their own share
 * it.
 */
#ifndef DUMBBELL_H
#define DUMBBELL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <rte_mbuf.h>

#include "engine/conn.h"
#include "tests/common/testpool.h"

#define FLOWS_MAX 4
#define FIRST_PORT 5000
#define BEGIN_US 1000000
#define WIRE_RING (1u << 16)
#define BUFFER_BYTES 67108864
#define ECN_CE 3

struct bottleneck {
	uint64_t rate_bps;
	usec_t rtt_us;
	uint64_t queue_bytes, mark_bytes; /* most that waits; above this it is marked, 0: never */
	usec_t mark_pause_us;		  /* time between marks: an AQM's interval; 0: each packet beyond the threshold */
	unsigned loss_ppm;
};

/* What is under way in one direction, in order. */
struct wire {
	uint32_t head, tail;
	usec_t at[WIRE_RING];
	struct rte_mbuf *m[WIRE_RING];
};

struct flow_stat {
	struct conn *out, *listener, *in;
	uint64_t received;
};

struct dumbbell {
	struct bottleneck link;
	struct engine *e[2]; /* sender, receiver */
	void *region[2];
	size_t size[2];
	struct wire wire[2];
	uint64_t busy_ns, rng;
	uint64_t sent, dropped, marked, delay_ns; /* of the bottleneck; delay: the sum of what waited */
	usec_t now, marked_at;
	struct flow_stat flow[FLOWS_MAX];
	unsigned nflows;
	uint64_t quota; /* bytes that each flow may send; UINT64_MAX: no end */
};

static struct dumbbell net;
static struct rte_mempool *pool;

static struct engine *net_engine(unsigned i, const char *ecn)
{
	struct engine_config c = {.pool = pool,
				  .secret = {i + 1, 7},
				  .mac = {2, 0, 0, 0, 0, i + 1},
				  .mtu = 1500,
				  .caps = ENGINE_RX_CSUM | ENGINE_TX_IP_CSUM | ENGINE_TX_TCP_CSUM,
				  .naddrs = 1,
				  .max_conns = 16,
				  .max_timewait = 16};

	tcp_settings_init(&c.tcp);
	assert_int_equal(tcp_settings_set(&c.tcp, "net.ipv4.tcp_rmem", "4096 33554432 67108864"), 0);
	assert_int_equal(tcp_settings_set(&c.tcp, "net.ipv4.tcp_wmem", "4096 33554432 67108864"), 0);
	assert_int_equal(tcp_settings_set(&c.tcp, "net.ipv4.tcp_ecn", ecn), 0);
	c.addrs[0] = (struct ip_prefix){ip_from_v4(rte_cpu_to_be_32(0x0a000001 + i)), 120};
	net.size[i] = engine_size(&c);
	net.region[i] = mmap(NULL, net.size[i], PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(net.region[i], MAP_FAILED);
	return engine_create(net.region[i], net.size[i], &c, net.now);
}

static void net_init(const struct bottleneck *link, const char *ecn)
{
	memset(&net, 0, sizeof(net));
	net.link = *link;
	net.now = BEGIN_US;
	net.rng = 88172645463325252ull;
	net.quota = UINT64_MAX;
	for (unsigned i = 0; i < 2; i++)
		net.e[i] = net_engine(i, ecn);
}

/* A connection with this congestion control; it sends as soon as it can. */
static struct conn *net_flow(const char *cc)
{
	struct flow_stat *f = &net.flow[net.nflows];
	struct endpoint at = {.port = FIRST_PORT + net.nflows++}, to = {ip_from_v4(rte_cpu_to_be_32(0x0a000002)), at.port};

	f->listener = engine_socket(net.e[1]);
	assert_int_equal(engine_bind(net.e[1], f->listener, &at), 0);
	assert_int_equal(engine_setsockopt(net.e[1], f->listener, IPPROTO_TCP, TCP_CONGESTION, cc, strlen(cc), net.now), 0);
	assert_int_equal(engine_listen(net.e[1], f->listener, 1, net.now), 0);
	f->out = engine_socket(net.e[0]);
	assert_int_equal(engine_setsockopt(net.e[0], f->out, IPPROTO_TCP, TCP_CONGESTION, cc, strlen(cc), net.now), 0);
	assert_int_equal(engine_connect(net.e[0], f->out, &to, net.now), -EINPROGRESS);
	return f->out;
}

static uint32_t net_draw(uint32_t n)
{
	net.rng ^= net.rng << 13;
	net.rng ^= net.rng >> 7;
	net.rng ^= net.rng << 17;
	return (uint32_t)(net.rng >> 16) % n;
}

static void wire_put(struct wire *w, struct rte_mbuf *m, usec_t at)
{
	assert_true(w->tail - w->head < WIRE_RING);
	w->at[w->tail % WIRE_RING] = at;
	w->m[w->tail++ % WIRE_RING] = m;
}

/* Mark an ECN-capable packet; false: it is not, or it is too early for the next mark. */
static bool net_mark(struct rte_mbuf *m)
{
	uint8_t *tos = rte_pktmbuf_mtod(m, uint8_t *) + 15;

	if (!(*tos & ECN_CE) || net.now - net.marked_at < net.link.mark_pause_us)
		return false;
	net.marked_at = net.now;
	*tos |= ECN_CE;
	return true;
}

/* When a frame leaves the queue, 0 if it is lost. */
static usec_t net_queue(struct rte_mbuf *m)
{
	uint64_t now_ns = net.now * 1000, start = net.busy_ns > now_ns ? net.busy_ns : now_ns;
	uint64_t waiting = (start - now_ns) * net.link.rate_bps / 8 / 1000000000;

	net.sent++;
	if (waiting > net.link.queue_bytes || (net.link.loss_ppm && net_draw(1000000) < net.link.loss_ppm)) {
		net.dropped++;
		return 0;
	}
	if (net.link.mark_bytes && waiting > net.link.mark_bytes)
		net.marked += net_mark(m);
	net.delay_ns += start - now_ns;
	net.busy_ns = start + (uint64_t)m->pkt_len * 8 * 1000000000 / net.link.rate_bps;
	return (net.busy_ns + 999) / 1000;
}

static void net_carry(unsigned from)
{
	struct rte_mbuf *out[32];
	unsigned n;

	while ((n = engine_output(net.e[from], out, 32, net.now))) {
		for (unsigned i = 0; i < n; i++) {
			struct rte_mbuf *m = rte_pktmbuf_copy(out[i], pool, 0, UINT32_MAX);
			usec_t at = from ? net.now : net_queue(m);

			rte_pktmbuf_free(out[i]);
			m->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
			if (at)
				wire_put(&net.wire[from], m, at + net.link.rtt_us / 2);
			else
				rte_pktmbuf_free(m);
		}
	}
}

static void net_deliver(unsigned from)
{
	struct wire *w = &net.wire[from];

	for (; w->head != w->tail && w->at[w->head % WIRE_RING] <= net.now; w->head++)
		engine_input(net.e[!from], &w->m[w->head % WIRE_RING], 1, net.now);
}

static void net_apps(void)
{
	static char bytes[65536];
	struct iovec iov = {bytes, sizeof(bytes)}, drain = {bytes, 1 << 30};
	int err;

	for (unsigned i = 0; i < net.nflows; i++) {
		struct flow_stat *f = &net.flow[i];
		ssize_t n;

		if (!f->in)
			f->in = engine_accept(net.e[1], f->listener, &err);
		while (f->in && (n = engine_recv(net.e[1], f->in, &drain, 1, MSG_TRUNC, net.now)) > 0)
			f->received += n;
		while (net.quota && engine_state(f->out) == ESTABLISHED) {
			iov.iov_len = net.quota < sizeof(bytes) ? net.quota : sizeof(bytes);
			n = engine_send(net.e[0], f->out, &iov, 1, 0, net.now);
			if (n <= 0)
				break;
			net.quota -= net.quota == UINT64_MAX ? 0 : n;
		}
	}
}

static usec_t net_next(usec_t end)
{
	for (unsigned i = 0; i < 2; i++) {
		struct wire *w = &net.wire[i];
		usec_t at = engine_next_deadline(net.e[i]);

		if (at < end)
			end = at;
		if (w->head != w->tail && w->at[w->head % WIRE_RING] < end)
			end = w->at[w->head % WIRE_RING];
	}
	return end > net.now ? end : net.now + 1;
}

static void net_run(usec_t us)
{
	usec_t end = net.now + us;
	uint32_t edges;

	while (net.now < end) {
		for (unsigned i = 0; i < 2; i++) {
			net_deliver(i);
			engine_run(net.e[i], net.now);
			while (engine_next_event(net.e[i], &edges))
				;
		}
		net_apps();
		for (unsigned i = 0; i < 2; i++)
			net_carry(i);
		net.now = net_next(end);
	}
}

/* Forget what was counted so far. */
static void net_measure(void)
{
	net.sent = net.dropped = net.marked = net.delay_ns = 0;
	for (unsigned i = 0; i < net.nflows; i++)
		net.flow[i].received = 0;
}

static unsigned net_mean_delay_us(void)
{
	return net.sent > net.dropped ? net.delay_ns / (net.sent - net.dropped) / 1000 : 0;
}

/* Share of the link's payload rate that a flow had in so many us, per mille. */
static unsigned net_share(unsigned flow, usec_t us)
{
	return net.flow[flow].received * 8 * 1000000 / (net.link.rate_bps / 1000) * 1514 / 1448 / us;
}

static void net_end(void)
{
	for (unsigned i = 0; i < 2; i++) {
		struct wire *w = &net.wire[i];

		engine_destroy(net.e[i]);
		munmap(net.region[i], net.size[i]);
		for (; w->head != w->tail; w->head++)
			rte_pktmbuf_free(w->m[w->head % WIRE_RING]);
	}
}

#endif
