/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chance.c - a whole configuration from a seed: settings of both engines, both links, and the connections.
 */
#include <string.h>

#include "tests/sim/chance.h"

/* Virtual time in which everything must be over: slow readers, time-outs in a row, and then some. */
#define END_US 7200000000
#define PAUSES_US 600000000
#define SMALL_STREAM 20000

static void set(struct tcp_settings *t, const char *name, const char *value)
{
	(void)!tcp_settings_set(t, name, value);
}

static void node_by_chance(struct rng *r, struct node_config *n)
{
	static const uint16_t mtus[] = {1500, 1500, 1500, 576, 1280, 9000};
	static const char *const rmem[] = {"4096 131072 6291456", "4096 131072 6291456", "4096 8192 16384", "2304 4096 65536"};
	static const char *const wmem[] = {"4096 16384 4194304", "4096 16384 4194304", "4608 8192 16384", "4608 65536 262144"};

	memset(n, 0, sizeof(*n));
	tcp_settings_init(&n->tcp);
	n->mtu = mtus[rng_below(r, 6)];
	n->caps =
	    rng_next(r) & 1 ? ENGINE_RX_CSUM | ENGINE_TX_IP_CSUM | ENGINE_TX_TCP_CSUM | ENGINE_TX_TSO | ENGINE_TX_MULTI_SEG : 0;
	n->nstacks = rng_below(r, 4) ? 1 : 2;
	n->spread = rng_below(r, 2);
	set(&n->tcp, "net.ipv4.tcp_rmem", rmem[rng_below(r, 4)]);
	set(&n->tcp, "net.ipv4.tcp_wmem", wmem[rng_below(r, 4)]);
	set(&n->tcp, "net.ipv4.tcp_sack", rng_below(r, 4) ? "1" : "0");
	set(&n->tcp, "net.ipv4.tcp_timestamps", rng_below(r, 4) ? "1" : "0");
	set(&n->tcp, "net.ipv4.tcp_window_scaling", rng_below(r, 4) ? "1" : "0");
	set(&n->tcp, "net.ipv4.tcp_congestion_control", rng_below(r, 2) ? "cubic" : "reno");
}

/* A third of the links is good; the others have one fault or all. */
static void link_by_chance(struct rng *r, struct link_config *l)
{
	unsigned fault = (unsigned)rng_below(r, 9);

	memset(l, 0, sizeof(*l));
	l->delay_us = rng_magnitude(r, 1, 200000);
	if (rng_below(r, 2))
		l->rate_bps = rng_magnitude(r, 200000, 1000000000);
	l->queue_bytes = (unsigned)rng_magnitude(r, 20000, 1000000);
	if (fault == 3 || fault == 8)
		l->loss_ppm = (unsigned)rng_magnitude(r, 100, 80000);
	if (fault == 4 || fault == 8)
		l->dup_ppm = (unsigned)rng_magnitude(r, 100, 100000);
	if (fault == 5 || fault == 8)
		l->corrupt_ppm = (unsigned)rng_magnitude(r, 100, 30000);
	if (fault >= 6)
		l->reorder_ppm = (unsigned)rng_magnitude(r, 100, 300000);
	l->reorder_us = rng_magnitude(r, 10, 50000);
}

static void side_by_chance(struct rng *r, struct side *s)
{
	s->to_send = rng_below(r, 8) ? rng_magnitude(r, 0, 400000) : 0;
	s->write_max = (unsigned)rng_magnitude(r, 1, 65536);
	s->read_max = (unsigned)rng_magnitude(r, 1, 65536);
	if (rng_below(r, 2)) {
		s->pause_ppm = (unsigned)rng_magnitude(r, 100, 200000);
		s->pause_us = rng_magnitude(r, 10, 3000000);
	}
	s->quit_at = UINT64_MAX;
}

/*
 * Tiny calls over a large stream, with pauses between them, would outlast any patience: bound how many calls a side makes, and
 * how long it pauses in all.
 */
static void bound_side(struct side *s, struct side *peer)
{
	unsigned smaller = s->write_max < s->read_max ? s->write_max : s->read_max;
	uint64_t calls;

	if (s->write_max < 64 && s->to_send > SMALL_STREAM)
		s->to_send = SMALL_STREAM;
	if (s->read_max < 64 && peer->to_send > SMALL_STREAM)
		peer->to_send = SMALL_STREAM;
	calls = (s->to_send + peer->to_send) * 2 / smaller + 1;
	if (calls * s->pause_ppm / 1000000 * s->pause_us > PAUSES_US)
		s->pause_us = PAUSES_US * (usec_t)1000000 / s->pause_ppm / calls + 1;
}

static void session_by_chance(struct rng *r, struct session *s, usec_t now)
{
	static const enum session_mode modes[] = {SESSION_CLEAN, SESSION_CLEAN, SESSION_CLEAN,
						  SESSION_CLOSE, SESSION_ABORT, SESSION_UNREAD};
	unsigned quitter = (unsigned)rng_below(r, 2);

	s->mode = modes[rng_below(r, 6)];
	s->initiator = (unsigned)rng_below(r, 2);
	s->begin = now + rng_magnitude(r, 0, 3000000);
	s->salt = (uint8_t)rng_next(r);
	side_by_chance(r, &s->side[0]);
	side_by_chance(r, &s->side[1]);
	bound_side(&s->side[0], &s->side[1]);
	bound_side(&s->side[1], &s->side[0]);
	if (s->mode == SESSION_CLOSE)
		s->side[quitter].to_send = 0;
	if (s->mode == SESSION_ABORT || s->mode == SESSION_UNREAD)
		s->side[quitter].quit_at = rng_below(r, s->side[0].to_send + s->side[1].to_send + 1);
}

void chance_make(struct world *w, const struct chance_pools *pools)
{
	struct node_config nodes[2];
	struct link_config links[2];
	struct rte_mempool *use[2][STACKS_MAX];

	for (unsigned i = 0; i < 2; i++) {
		node_by_chance(&w->rng, &nodes[i]);
		link_by_chance(&w->rng, &links[i]);
	}
	/* One link has one MTU. */
	if (nodes[0].mtu == 9000 || nodes[1].mtu == 9000)
		nodes[0].mtu = nodes[1].mtu = 9000;
	for (unsigned i = 0; i < 2; i++) {
		/* Several stacks hold each other's mbufs, so that small pools would starve them in ways that no port has. */
		bool tiny = nodes[i].nstacks == 1 && !rng_below(&w->rng, 6);

		for (unsigned k = 0; k < STACKS_MAX; k++)
			use[i][k] = nodes[i].mtu == 9000 ? pools->jumbo[i][k] : tiny ? pools->tiny[i][k] : pools->usual[i][k];
	}
	world_init(w, nodes, links, use);
	w->end = w->now + END_US;
	w->nsessions = (unsigned)rng_magnitude(&w->rng, 1, SESSIONS_MAX);
	for (unsigned i = 0; i < w->nsessions; i++) {
		struct session *s = &w->session[i];

		session_by_chance(&w->rng, s, w->now);
		s->side[s->initiator].stack = (unsigned)rng_below(&w->rng, nodes[s->initiator].nstacks);
	}
}
