/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chance.c - a whole world from a seed: the hosts and their settings, the network, the connections, and what goes wrong when.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/chance.h"

/* Virtual time in which everything must be over: slow readers, time-outs in a row, and then some. */
#define END_US 9000000000
#define LOOK_STEPS 32
#define PAUSES_US 600000000
#define SMALL_STREAM 20000
/* A quarter of an hour would outlast the patience of nearly everything; most trouble is shorter. */
#define LONG_US 900000000
#define SHORT_US 12000000

static bool one_in(struct rng *r, unsigned n)
{
	return rng_below(r, n) == 0;
}

/* ---- hosts ---- */

static void host_by_chance(struct world *w, struct host_config *h)
{
	static const uint16_t mtus[] = {1500, 1500, 1500, 576, 1280, 9000};
	static const unsigned parts[] = {0, 1, 2, 7, 40};
	static const int backlogs[] = {SESSIONS_MAX, SESSIONS_MAX, 0, 1, 3, -1};
	struct rng *r = &w->rng;

	memset(h, 0, sizeof(*h));
	h->mtu = mtus[rng_below(r, w->nhosts == 2 ? 6 : 5)];
	h->caps =
	    rng_next(r) & 1 ? ENGINE_RX_CSUM | ENGINE_TX_IP_CSUM | ENGINE_TX_TCP_CSUM | ENGINE_TX_TSO | ENGINE_TX_MULTI_SEG : 0;
	h->tso_parts =
	    parts[w->seed % (sizeof(parts) / sizeof(parts[0]))]; /* no draw: what follows is as it was before there was this */
	h->nstacks = one_in(r, 4) ? 2 : 1;
	h->spread = rng_below(r, 2);
	h->max_conns = one_in(r, 6) ? 2 + (unsigned)rng_below(r, 6) : 64;
	/* What repairs connections is used up in many worlds. */
	h->max_repairs = h->max_conns < 64 || h->spread ? 1 : 0;
	h->backlog = backlogs[rng_below(r, 6)];
	h->lazy_us = one_in(r, 4) ? rng_magnitude(r, 1, 3000000) : 0;
	h->clock = rng_magnitude(r, 0, 1ull << 45);
	chance_settings(r, &h->tcp, w->history.hasty);
}

static void hosts_by_chance(struct world *w, const struct chance_pools *pools)
{
	bool jumbo = false;

	for (unsigned i = 0; i < w->nhosts; i++) {
		host_by_chance(w, &w->host[i].cfg);
		jumbo |= w->host[i].cfg.mtu == 9000;
	}
	for (unsigned i = 0; i < w->nhosts; i++) {
		struct host_config *h = &w->host[i].cfg;
		/* Several stacks hold each other's mbufs, so that small pools would starve them in ways that no port has. */
		bool tiny = !jumbo && h->nstacks == 1 && one_in(&w->rng, 8);

		/* One cable has one MTU. */
		h->mtu = jumbo ? 9000 : h->mtu;
		w->history.tiny |= tiny;
		for (unsigned k = 0; k < STACKS_MAX; k++)
			h->pool[k] = jumbo ? pools->jumbo[i][k] : tiny ? pools->tiny[i][k] : pools->usual[i][k];
	}
}

/* ---- the network ---- */

static void delays_by_chance(struct rng *r, struct link_config *l)
{
	memset(l, 0, sizeof(*l));
	l->delay_us = rng_magnitude(r, 1, 200000);
	if (rng_below(r, 2))
		l->rate_bps = rng_magnitude(r, 200000, 1000000000);
	l->queue_bytes = (unsigned)rng_magnitude(r, 20000, 1000000);
	l->codel = one_in(r, 4);
	l->ecn = rng_below(r, 2);
	if (one_in(r, 8))
		l->mark_bytes = (unsigned)rng_magnitude(r, 1000, 30000);
}

/* A third of the links is good; the others have one fault or all. */
static void faults_of_link(struct world *w, struct link_config *l)
{
	struct rng *r = &w->rng;
	unsigned fault = (unsigned)rng_below(r, 10);

	if (fault == 3 || fault == 8)
		l->loss_ppm = (unsigned)rng_magnitude(r, 100, 80000);
	if (fault == 4 || fault == 8)
		l->dup_ppm = (unsigned)rng_magnitude(r, 100, 100000);
	if (fault == 5 || fault == 8)
		l->corrupt_ppm = (unsigned)rng_magnitude(r, 100, 30000);
	if (fault >= 6 && fault < 9)
		l->reorder_ppm = (unsigned)rng_magnitude(r, 100, 300000);
	if (fault == 9) {
		l->spell_ppm = (unsigned)rng_magnitude(r, 100, 20000);
		l->spell_end_ppm = 200000 + (unsigned)rng_below(r, 500000);
		l->spell_loss_ppm = 100000 + (unsigned)rng_below(r, 500000);
	}
	l->reorder_us = rng_magnitude(r, 10, 50000);
	w->history.spells |= l->spell_ppm != 0;
	w->history.loss |= l->loss_ppm || l->corrupt_ppm || l->spell_ppm || l->rate_bps;
}

static void network_by_chance(struct world *w)
{
	struct link_config cfg;

	for (unsigned i = 0; i < w->nwires; i++) {
		delays_by_chance(&w->rng, &cfg);
		/* Of several links on the way few are bad, or each way would be. */
		if (w->nhosts == 2 || one_in(&w->rng, 4))
			faults_of_link(w, &cfg);
		w->history.loss |= cfg.rate_bps != 0;
		link_init(&w->wire[i].link, &cfg, rng_next(&w->rng));
	}
}

/* ---- connections ---- */

static void side_by_chance(struct rng *r, struct side *s)
{
	s->to_send = one_in(r, 8) ? 0 : rng_magnitude(r, 0, one_in(r, 8) ? 1000000 : 100000);
	s->offset = (uint32_t)rng_next(r);
	s->write_max = (unsigned)rng_magnitude(r, 1, 65000);
	s->read_max = (unsigned)rng_magnitude(r, 1, 65000);
	if (rng_below(r, 2)) {
		s->pause_ppm = (unsigned)rng_magnitude(r, 100, 200000);
		s->pause_us = rng_magnitude(r, 10, one_in(r, 8) ? 300000000 : 3000000);
	}
	if (one_in(r, 3))
		s->option_ppm = (unsigned)rng_magnitude(r, 1000, 200000);
	if (one_in(r, 8))
		s->urgent_ppm = (unsigned)rng_magnitude(r, 1000, 200000);
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

static void ends_by_chance(struct world *w, struct session *s)
{
	unsigned a = (unsigned)rng_below(&w->rng, w->nhosts), b = (unsigned)rng_below(&w->rng, w->nhosts - 1);

	s->side[0].host = a;
	s->side[1].host = b + (b >= a);
	s->side[0].stack = (unsigned)rng_below(&w->rng, w->host[a].cfg.nstacks);
}

/* A chosen port belongs to one stack, which the others would have to be asked about. */
static void port_by_chance(struct world *w, struct session *s, unsigned index)
{
	bool single = w->host[s->side[0].host].cfg.nstacks == 1 && w->host[s->side[1].host].cfg.nstacks == 1;
	struct session *before = s - 1;

	if (!single)
		return;
	if (one_in(&w->rng, 10)) {
		s->simultaneous = true;
		s->port = (uint16_t)(OPEN_PORT + index);
	} else if (index && one_in(&w->rng, 3) && !before->simultaneous) {
		s->after = before;
		s->side[0].host = before->side[0].host;
		s->side[1].host = before->side[1].host;
		s->side[0].stack = before->side[0].stack;
		s->begin = rng_magnitude(&w->rng, 0, 100000000);
	}
}

static void session_by_chance(struct world *w, struct session *s, unsigned index)
{
	static const enum session_mode modes[] = {SESSION_CLEAN, SESSION_CLEAN,	 SESSION_CLEAN,	 SESSION_CLEAN, SESSION_CLOSE,
						  SESSION_ABORT, SESSION_UNREAD, SESSION_LINGER, SESSION_SHUT};
	struct rng *r = &w->rng;
	unsigned quitter = (unsigned)rng_below(r, 2);

	s->mode = modes[rng_below(r, sizeof(modes) / sizeof(modes[0]))];
	s->begin = w->now + rng_magnitude(r, 0, 3000000);
	ends_by_chance(w, s);
	side_by_chance(r, &s->side[0]);
	side_by_chance(r, &s->side[1]);
	bound_side(&s->side[0], &s->side[1]);
	bound_side(&s->side[1], &s->side[0]);
	port_by_chance(w, s, index);
	if (s->mode == SESSION_CLOSE)
		s->side[quitter].to_send = 0;
	if (s->mode >= SESSION_ABORT)
		s->side[quitter].quit_at = rng_below(r, s->side[0].to_send + s->side[1].to_send + 1);
}

/* ---- what goes wrong ---- */

static void plan(struct world *w, usec_t at, enum fault_kind kind, unsigned a, unsigned b)
{
	unsigned i = w->nfaults++;

	for (; i && w->fault[i - 1].at > at; i--)
		w->fault[i] = w->fault[i - 1];
	w->fault[i] = (struct fault){at, kind, a, b};
}

/* Trouble with a link: it is down, or its MTU is small, for a while. */
static usec_t link_trouble(struct world *w, usec_t from, usec_t to)
{
	unsigned i = (unsigned)rng_below(&w->rng, w->nwires);
	unsigned mtu = 576 + (unsigned)rng_below(&w->rng, 900);
	enum fault_kind kind = (enum fault_kind[]){FAULT_DOWN, FAULT_MTU, FAULT_HOLE}[rng_below(&w->rng, 3)];

	plan(w, from, kind, i, mtu);
	plan(w, to, kind == FAULT_DOWN ? FAULT_UP : FAULT_MTU, i, kind == FAULT_DOWN ? 0 : 65535);
	return kind == FAULT_MTU ? 0 : to - from;
}

static void trouble(struct world *w, bool longer)
{
	usec_t from = w->now + rng_magnitude(&w->rng, 1000, 20000000);
	usec_t to = from + rng_magnitude(&w->rng, 1000, longer ? LONG_US : SHORT_US), dark;
	unsigned host = (unsigned)rng_below(&w->rng, w->nhosts);

	switch (rng_below(&w->rng, 5)) {
	case 0:
		plan(w, from, FAULT_VANISH, host, 0);
		plan(w, to, FAULT_RETURN, host, 0);
		break;
	case 1:
		plan(w, from, FAULT_DEAF, host, 0);
		plan(w, to, FAULT_LISTEN, host, 0);
		break;
	default:
		dark = link_trouble(w, from, to);
		/* Spells of trouble may join. */
		w->history.dark_us += dark;
	}
}

static void troubles_by_chance(struct world *w)
{
	unsigned n = one_in(&w->rng, 3) ? 1 + (unsigned)rng_below(&w->rng, 3) : 0;
	bool longer = one_in(&w->rng, 4);
	usec_t last = w->now;

	while (n--)
		trouble(w, longer);
	if (w->nfaults)
		last = w->fault[w->nfaults - 1].at;
	plan(w, last + rng_magnitude(&w->rng, 1, 200000000), FAULT_HEAL, 0, 0);
}

void chance_make(struct world *w, const struct chance_pools *pools)
{
	enum topology topology = one_in(&w->rng, 3) ? (enum topology)(1 + rng_below(&w->rng, 2)) : TOPOLOGY_DIRECT;

	w->now = CLOCK_START;
	w->healed = USEC_NEVER;
	w->look_steps = LOOK_STEPS;
	w->history.hasty = one_in(&w->rng, 8);
	net_build(w, topology, topology == TOPOLOGY_DIRECT ? 2 : 2 + (unsigned)rng_below(&w->rng, HOSTS_MAX - 1));
	hosts_by_chance(w, pools);
	network_by_chance(w);
	troubles_by_chance(w);
	w->end = w->now + END_US;
	w->nsessions = (unsigned)rng_magnitude(&w->rng, 1, SESSIONS_MAX);
	for (unsigned i = 0; i < w->nsessions; i++)
		session_by_chance(w, &w->session[i], i);
	world_begin(w);
}
