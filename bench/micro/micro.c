/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * micro.c - what one step of the engine costs, in process and alone: micro [PATH...] prints "path,operations,ns for one".
 * bench/micro/run runs it, once for the time and once for the instructions.
 */
#include <netinet/in.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <string.h>

#include <rte_mbuf.h>

#include "bench/micro/pair.h"
#include "bench/micro/path.h"

#define CONNS 512 /* fewer than the engine calls many (engine/ahead.h) */
#define MSS 1448

static struct pair p;
static struct conn *client[CONNS], *server[CONNS];
static char buf[PAIR_BURST * MSS];

/* Each send() a segment of its own if it may leave, and buffers for a burst of them. */
static void options(struct conn *c, unsigned end)
{
	int one = 1, size = 1 << 20;

	engine_setsockopt(p.end[end], c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one), p.now);
	engine_setsockopt(p.end[end], c, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size), p.now);
	engine_setsockopt(p.end[end], c, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size), p.now);
}

/* ---- segments: a burst of one connection, as the device hands it over ------------------------------------------------------ */

static void drain(unsigned end, struct conn *c)
{
	unsigned n = engine_inq(c);

	if (n)
		pair_recv(&p, end, c, buf, n);
}

static void segments_in(unsigned size)
{
	struct rte_mbuf *frames[PAIR_BURST];
	unsigned n;

	for (n = 0; n < PAIR_BURST; n++) {
		pair_send(&p, 0, client[0], buf, size);
		if (pair_take(&p, 0, frames + n) != 1)
			break;
	}
	path_begin();
	engine_input(p.end[1], frames, n, p.now);
	path_end(n);
	pair_exchange(&p);
	drain(1, server[0]);
	pair_exchange(&p);
	pair_drop_events(&p, 1);
}

static void segment_in_1448(void)
{
	segments_in(MSS);
}

static void segment_in_64(void)
{
	segments_in(64);
}

static void segment_out_1448(void)
{
	struct rte_mbuf *frames[PAIR_BURST];
	unsigned n;

	pair_send(&p, 0, client[0], buf, sizeof(buf));
	path_begin();
	n = engine_output(p.end[0], frames, PAIR_BURST, p.now);
	path_end(n);
	rte_pktmbuf_free_bulk(frames, n);
	/* They were lost, as far as TCP knows: a new connection for the next burst. */
	engine_abort(p.end[0], client[0], p.now);
	pair_exchange(&p);
	pair_drop_events(&p, 1);
	engine_close(p.end[1], server[0], p.now);
	pair_connect(&p, client, server, 1);
	options(client[0], 0);
	options(server[0], 1);
}

static void ack_in(void)
{
	struct rte_mbuf *frames[PAIR_BURST], *acks[PAIR_BURST];
	unsigned n = 0;

	for (unsigned i = 0; i < PAIR_BURST; i++) {
		pair_send(&p, 0, client[i], buf, 64);
		if (pair_take(&p, 0, frames) != 1)
			continue;
		engine_input(p.end[1], frames, 1, p.now);
		drain(1, server[i]);
	}
	/* Its delayed acknowledgments. */
	p.now += DELACK_US;
	engine_run(p.end[1], p.now);
	n = pair_take(&p, 1, acks);
	path_begin();
	engine_input(p.end[0], acks, n, p.now);
	path_end(n);
	pair_exchange(&p);
	pair_drop_events(&p, 0);
	pair_drop_events(&p, 1);
}

/* ---- calls ------------------------------------------------------------------------------------------------------------------
 */

static void sends(size_t size)
{
	const unsigned n = PAIR_BURST;

	path_begin();
	for (unsigned i = 0; i < n; i++)
		pair_send(&p, 0, client[0], buf, size);
	path_end(n);
	pair_exchange(&p);
	drain(1, server[0]);
	pair_exchange(&p);
	pair_drop_events(&p, 1);
}

static void send_64(void)
{
	sends(64);
}

static void send_1448(void)
{
	sends(MSS);
}

static void recvs(size_t size)
{
	const unsigned n = PAIR_BURST;

	pair_send(&p, 0, client[0], buf, n * size);
	pair_exchange(&p);
	path_begin();
	for (unsigned i = 0; i < n; i++)
		pair_recv(&p, 1, server[0], buf, size);
	path_end(n);
	pair_exchange(&p);
	pair_drop_events(&p, 1);
}

static void recv_64(void)
{
	recvs(64);
}

static void recv_1448(void)
{
	recvs(MSS);
}

static void event(void)
{
	uint32_t edges;
	unsigned n = 0;

	for (unsigned i = 0; i < PAIR_BURST; i++)
		pair_send(&p, 0, client[i], buf, 64);
	pair_exchange(&p);
	path_begin();
	while (engine_next_event(p.end[1], &edges))
		n++;
	path_end(n);
	for (unsigned i = 0; i < PAIR_BURST; i++)
		drain(1, server[i]);
	pair_exchange(&p);
}

/* ---- connections ------------------------------------------------------------------------------------------------------------
 */

static void close_both(struct conn **a, struct conn **b, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		engine_abort(p.end[0], a[i], p.now);
	pair_exchange(&p);
	for (unsigned i = 0; i < n; i++)
		engine_close(p.end[1], b[i], p.now);
	pair_drop_events(&p, 1);
}

/* Both ends of the handshake, from socket() to the accept queue and out of it. */
static void connection(void)
{
	struct conn *a[PAIR_BURST], *b[PAIR_BURST];

	path_begin();
	pair_connect(&p, a, b, PAIR_BURST);
	path_end(PAIR_BURST);
	close_both(a, b, PAIR_BURST);
}

/* The whole of a short connection at both ends: 64 bytes there and back, and closed by the server first. */
static void transaction(void)
{
	struct conn *a[PAIR_BURST], *b[PAIR_BURST];

	path_begin();
	pair_connect(&p, a, b, PAIR_BURST);
	for (unsigned i = 0; i < PAIR_BURST; i++)
		pair_send(&p, 0, a[i], buf, 64);
	pair_exchange(&p);
	for (unsigned i = 0; i < PAIR_BURST; i++) {
		pair_recv(&p, 1, b[i], buf, 64);
		pair_send(&p, 1, b[i], buf, 64);
		engine_close(p.end[1], b[i], p.now);
	}
	pair_exchange(&p);
	for (unsigned i = 0; i < PAIR_BURST; i++) {
		pair_recv(&p, 0, a[i], buf, 64);
		engine_close(p.end[0], a[i], p.now);
	}
	pair_exchange(&p);
	path_end(PAIR_BURST);
	pair_drop_events(&p, 0);
	pair_drop_events(&p, 1);
	/* The end of TIME-WAIT. */
	p.now += 61000000;
	engine_run(p.end[1], p.now);
}

static void accept_one(void)
{
	struct endpoint remote = {.addr = ip_from_v4(0x0200000au), .port = PAIR_PORT};
	struct conn *a[PAIR_BURST], *b[PAIR_BURST];
	int err;

	for (unsigned i = 0; i < PAIR_BURST; i++) {
		a[i] = engine_socket(p.end[0]);
		engine_connect(p.end[0], a[i], &remote, p.now);
	}
	pair_exchange(&p);
	path_begin();
	for (unsigned i = 0; i < PAIR_BURST; i++)
		b[i] = engine_accept(p.end[1], p.listeners[0], &err);
	path_end(PAIR_BURST);
	pair_drop_events(&p, 0);
	close_both(a, b, PAIR_BURST);
}

/* 64 bytes there and back, both ends and the copies between them. */
static void request(void)
{
	char answer[64];

	path_begin();
	for (unsigned i = 0; i < PAIR_BURST; i++) {
		pair_send(&p, 0, client[i], buf, 64);
		pair_exchange(&p);
		pair_recv(&p, 1, server[i], answer, 64);
		pair_send(&p, 1, server[i], answer, 64);
		pair_exchange(&p);
		pair_recv(&p, 0, client[i], answer, 64);
	}
	path_end(PAIR_BURST);
	pair_drop_events(&p, 0);
	pair_drop_events(&p, 1);
}

/* ---- parts ------------------------------------------------------------------------------------------------------------------
 */

static void lookup(void)
{
	unsigned found = 0;

	path_begin();
	for (unsigned i = 0; i < CONNS; i++) {
		const struct tuple *t = &server[i]->f.t;

		found += flow_find(p.end[1], t, flow_hash(p.end[1], t)) == &server[i]->f;
	}
	path_end(found);
}

static void timer_arm(void)
{
	static struct wheel wheel;
	static struct wheel_entry entries[CONNS];
	static struct wheel_timer timers[CONNS];

	if (!wheel.now)
		wheel_init(&wheel, entries, CONNS, p.now);
	path_begin();
	for (unsigned i = 0; i < CONNS; i++)
		wheel_arm(&wheel, &timers[i], wheel.now + 200000 + i * 37 % 5000);
	path_end(CONNS);
	for (unsigned i = 0; i < CONNS; i++)
		wheel_disarm(&wheel, &timers[i]);
}

static void timer_fire(void)
{
	static struct wheel wheel;
	static struct wheel_entry entries[CONNS];
	static struct wheel_timer timers[CONNS];
	unsigned n = 0;

	if (!wheel.now)
		wheel_init(&wheel, entries, CONNS, p.now);
	for (unsigned i = 0; i < CONNS; i++)
		wheel_arm(&wheel, &timers[i], wheel.now + 200000 + i * 37 % 5000);
	path_begin();
	while (wheel_pop(&wheel, wheel.now + 206000))
		n++;
	path_end(n);
}

/* The floor: a packet buffer taken, filled with a segment and given back, as a memory port does. */
static void packet_copy(void)
{
	path_begin();
	for (unsigned i = 0; i < PAIR_BURST; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(p.pool);

		memcpy(rte_pktmbuf_append(m, MSS), buf, MSS);
		rte_pktmbuf_free(m);
	}
	path_end(PAIR_BURST);
}

/* ---- all of them ------------------------------------------------------------------------------------------------------------
 */

#define BOTH_CSUM (ENGINE_RX_CSUM | ENGINE_TX_IP_CSUM | ENGINE_TX_TCP_CSUM)

static const struct path paths[] = {
    {"segment_in_1448", segment_in_1448, 0},
    {"segment_in_1448_vouched", segment_in_1448, BOTH_CSUM},
    {"segment_in_64", segment_in_64, 0},
    {"segment_out_1448", segment_out_1448, 0},
    {"segment_out_1448_vouched", segment_out_1448, BOTH_CSUM},
    {"ack_in", ack_in, 0},
    {"send_64", send_64, 0},
    {"send_1448", send_1448, 0},
    {"recv_64", recv_64, 0},
    {"recv_1448", recv_1448, 0},
    {"next_event", event, 0},
    {"accept", accept_one, 0},
    {"connection_both_ends", connection, 0},
    {"transaction_both_ends", transaction, 0},
    {"request_both_ends", request, 0},
    {"flow_lookup", lookup, 0},
    {"timer_arm", timer_arm, 0},
    {"timer_fire", timer_fire, 0},
    {"packet_copy_1448", packet_copy, 0},
};

static void measure(const struct path *path)
{
	pair_open(&p, 4 * CONNS, path->caps);
	for (unsigned i = 0; i < CONNS; i += PAIR_BURST)
		pair_connect(&p, client + i, server + i, PAIR_BURST);
	for (unsigned i = 0; i < CONNS; i++) {
		options(client[i], 0);
		options(server[i], 1);
	}
	path_measure(path);
	pair_close(&p);
}

int main(int argc, char **argv)
{
	for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (path_wanted(&paths[i], argc, argv))
			measure(&paths[i]);
	}
	return 0;
}
