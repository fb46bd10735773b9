/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stack.c - an engine's life and its four verbs: input a burst, run to a time, say the next deadline, take what is to be sent.
 */
#include <limits.h>
#include <string.h>

#include "engine/ahead.h"
#include "engine/stack.h"

#define ALIGN_UP(n, a) (((n) + (a)-1) / (a) * (a))
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806

/* ---- memory ---- */

static uint32_t bucket_count(const struct engine_config *cfg)
{
	uint32_t n = 64;

	while (n < cfg->max_conns + cfg->max_timewait)
		n *= 2;
	return n;
}

/* One for each connection and neighbour, one for all that is in TIME-WAIT, one for all that a renewal lost. */
static uint32_t timer_count(const struct engine_config *cfg)
{
	return cfg->max_conns + NEIGH_MAX + 2;
}

/* As repair.c explains. */
static uint32_t repair_count(const struct engine_config *cfg)
{
	uint64_t packets = (uint64_t)cfg->pool->size * RTE_MAX(cfg->nstacks, 1u);
	uint32_t most = RTE_MIN((cfg->max_conns + 3) / 4, packets);

	return cfg->max_repairs && cfg->max_repairs < most ? cfg->max_repairs : most;
}

/* Where each table lies in the region; the last offset is the size. */
struct layout {
	size_t buckets, conns, timers, extras, repairs, models, timewaits, end;
};

static struct layout layout_of(const struct engine_config *cfg)
{
	struct layout l;

	l.buckets = ALIGN_UP(sizeof(struct engine), 64);
	l.conns = ALIGN_UP(l.buckets + bucket_count(cfg) * sizeof(struct flow *), 64);
	l.timers = ALIGN_UP(l.conns + cfg->max_conns * ALIGN_UP(sizeof(struct conn), 64), 64);
	l.extras = ALIGN_UP(l.timers + timer_count(cfg) * sizeof(struct wheel_entry), 64);
	l.repairs = ALIGN_UP(l.extras + cfg->max_conns * sizeof(struct extra), 64);
	l.models = ALIGN_UP(l.repairs + repair_count(cfg) * sizeof(struct repair), 64);
	l.timewaits = ALIGN_UP(l.models + (size_t)cfg->max_conns * ALIGN_UP(sizeof(struct bbr), 64), 64);
	l.end = ALIGN_UP(l.timewaits + cfg->max_timewait * ALIGN_UP(sizeof(struct timewait), 8), 64);
	return l;
}

static bool config_valid(const struct engine_config *cfg)
{
	return cfg->pool && cfg->mtu >= 576 && cfg->naddrs >= 1 && cfg->naddrs <= ENGINE_ADDRS_MAX && cfg->max_conns >= 1 &&
	       cfg->max_conns <= (1u << 27) && cfg->max_timewait <= (1u << 27) &&
	       (cfg->nstacks == 0 || cfg->stack < cfg->nstacks);
}

size_t engine_size(const struct engine_config *cfg)
{
	return config_valid(cfg) ? layout_of(cfg).end : 0;
}

size_t engine_head_size(const struct engine_config *cfg)
{
	return layout_of(cfg).conns;
}

static void init_lists(struct engine *e)
{
	for (unsigned i = 0; i < PORT_CHAINS; i++)
		list_init(&e->ports[i]);
	list_init(&e->out);
	list_init(&e->acks);
	list_init(&e->events);
	list_init(&e->starved);
	list_init(&e->tw_fifo);
}

struct engine *engine_create(void *region, size_t size, const struct engine_config *cfg, usec_t now)
{
	struct engine *e = region;
	struct layout l;

	if (!config_valid(cfg) || size < engine_size(cfg))
		return NULL;
	l = layout_of(cfg);
	e->cfg = *cfg;
	if (!e->cfg.nstacks)
		e->cfg.nstacks = 1;
	if (!e->cfg.tso_max)
		e->cfg.tso_max = 65535;
	if (!e->cfg.tso_parts)
		e->cfg.tso_parts = UINT_MAX;
	e->now = now;
	e->rng = cfg->secret[0] ^ cfg->secret[1] ^ now;
	wheel_init(&e->wheel, (struct wheel_entry *)((char *)region + l.timers), timer_count(cfg), now);
	init_lists(e);
	e->tw_timer.kind = TK_TIMEWAIT;
	e->lost_timer.kind = TK_LOST;
	e->buckets = (struct flow **)((char *)region + l.buckets);
	e->bucket_mask = bucket_count(cfg) - 1;
	e->flow_key[0] = engine_hash(e, "remote", 6);
	e->flow_key[1] = engine_hash(e, "local", 5);
	slab_init(&e->conns, (char *)region + l.conns, ALIGN_UP(sizeof(struct conn), 64), cfg->max_conns);
	slab_init(&e->extras, (char *)region + l.extras, sizeof(struct extra), cfg->max_conns);
	slab_init(&e->repairs, (char *)region + l.repairs, sizeof(struct repair), repair_count(cfg));
	slab_init(&e->models, (char *)region + l.models, ALIGN_UP(sizeof(struct bbr), 64), cfg->max_conns);
	slab_init(&e->timewaits, (char *)region + l.timewaits, ALIGN_UP(sizeof(struct timewait), 8), cfg->max_timewait);
	e->mbuf_truesize = rte_pktmbuf_data_room_size(cfg->pool) + sizeof(struct rte_mbuf) + ENGINE_MBUF_PRIV;
	e->payload_room = rte_pktmbuf_data_room_size(cfg->pool) - RTE_PKTMBUF_HEADROOM;
	e->default_cc = (unsigned)RTE_MAX(cc_find(cfg->tcp.congestion_control), 0);
	tune_engine_init(e);
	return e;
}

static void free_ring(struct frame_ring *r)
{
	struct rte_mbuf *m;

	while ((m = ring_pop(r)))
		rte_pktmbuf_free(m);
}

static void purge_conn(struct conn *c, void *engine)
{
	conn_purge_queues(engine, c);
}

void engine_destroy(struct engine *e)
{
	free_ring(&e->tx);
	free_ring(&e->loop);
	free_ring(&e->foreign);
	neigh_flush(e);
	engine_each(e, purge_conn, e);
}

/* ---- randomness and hashing ---- */

uint64_t engine_random(struct engine *e)
{
	uint64_t z = (e->rng += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = ROTL(v[1], 13) ^ v[0];
	v[0] = ROTL(v[0], 32);
	v[2] += v[3];
	v[3] = ROTL(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = ROTL(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTL(v[1], 17) ^ v[2];
	v[2] = ROTL(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

uint64_t siphash(const uint64_t key[2], const void *data, size_t len)
{
	uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
			 key[1] ^ 0x7465646279746573};
	const char *p = data;
	uint64_t word;
	size_t left = len;

	for (; left >= 8; left -= 8, p += 8) {
		memcpy(&word, p, 8);
		sip_word(v, word);
	}
	word = 0;
	memcpy(&word, p, left);
	sip_word(v, word | (uint64_t)len << 56);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void engine_host_key(uint64_t key[2], const void *id, size_t len)
{
	const uint64_t first[2] = {0, 0}, second[2] = {0, 1};

	key[0] = siphash(first, id, len);
	key[1] = siphash(second, id, len);
}

uint64_t engine_hash(const struct engine *e, const void *data, size_t len)
{
	return siphash(e->cfg.secret, data, len);
}

bool engine_is_local(const struct engine *e, const struct ip_addr *a)
{
	for (unsigned i = 0; i < e->cfg.naddrs; i++)
		if (ip_equal(&e->cfg.addrs[i].addr, a))
			return true;
	return e->cfg.loopback && ip_is_loopback(a);
}

struct rte_mbuf *engine_mbuf(struct engine *e)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(e->cfg.pool);

	if (m)
		m->port = PORT_OWN;
	else
		e->stats.no_mbuf++;
	return m;
}

/* ---- input ---- */

static const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* With several stacks an ARP packet may reach any of them, and each keeps its own neighbours: pass copies round. */
static void relay_arp(struct engine *e, struct rte_mbuf *m)
{
	if (e->cfg.nstacks == 1 || m->port == PORT_RELAYED)
		return;
	for (unsigned i = 0; i < e->cfg.nstacks; i++) {
		struct rte_mbuf *copy = i == e->cfg.stack ? NULL : rte_pktmbuf_copy(m, e->cfg.pool, 0, UINT32_MAX);

		if (!copy)
			continue;
		copy->port = PORT_RELAYED;
		e->foreign_stack[e->foreign.tail & (FRAME_RING - 1)] = i;
		if (!ring_push(&e->foreign, copy))
			rte_pktmbuf_free(copy);
	}
}

static void drop(struct rte_mbuf *m, uint64_t *counter)
{
	(*counter)++;
	rte_pktmbuf_free(m);
}

static void input_frame(struct engine *e, struct rte_mbuf *m)
{
	struct eth_fields eth;

	e->stats.in_frames++;
	if (wire_parse_eth(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, &eth) != WIRE_OK)
		return drop(m, &e->stats.in_runts);
	if (memcmp(eth.dst, e->cfg.mac, 6) && memcmp(eth.dst, broadcast_mac, 6))
		return drop(m, &e->stats.in_not_for_us);
	if (eth.type != ETHERTYPE_IPV4 && eth.type != ETHERTYPE_ARP)
		return drop(m, &e->stats.in_unknown_ethertype);
	if (eth.type == ETHERTYPE_ARP)
		relay_arp(e, m);
	rte_pktmbuf_adj(m, ETH_HDR);
	if (eth.type == ETHERTYPE_IPV4)
		ip_input(e, m);
	else
		arp_input(e, m);
}

static void free_spent(struct engine *e)
{
	unsigned n = SPENT_MAX - e->spent_room;

	if (n)
		rte_mempool_put_bulk(e->cfg.pool, (void **)&e->spent[e->spent_room], n);
	e->spent_room = 0;
}

void engine_input(struct engine *e, struct rte_mbuf **pkts, unsigned n, usec_t now)
{
	struct ahead ahead;
	bool pays = n > 1 && ahead_many(e);

	set_now(e, now);
	e->spent_room = SPENT_MAX;
	if (pays)
		ahead_begin(e, &ahead, pkts, (int)n);
	for (unsigned i = 0; i < n; i++) {
		if (pays)
			ahead_step(e, &ahead, pkts, (int)n, (int)i);
		else if (i + 1 < n)
			rte_prefetch0(rte_pktmbuf_mtod(pkts[i + 1], void *));
		input_frame(e, pkts[i]);
	}
	free_spent(e);
}

unsigned engine_foreign(struct engine *e, struct rte_mbuf **out, uint8_t *stack, unsigned max)
{
	unsigned n = 0;

	while (n < max && ring_count(&e->foreign)) {
		stack[n] = e->foreign_stack[e->foreign.head & (FRAME_RING - 1)];
		out[n++] = ring_pop(&e->foreign);
	}
	return n;
}

/* ---- time ---- */

/* What we sent to our own addresses comes back in, as from a wire without length. */
static void run_loop(struct engine *e)
{
	for (uint32_t n = ring_count(&e->loop); n; n--)
		input_frame(e, ring_pop(&e->loop));
}

/* Packets were freed: let those send who found no memory. */
static void run_starved(struct engine *e)
{
	struct list *l;

	while (e->held < e->held_max / 8 * 7 && (l = list_pop(&e->starved))) {
		struct conn *c = container_of(l, struct extra, starved_link)->conn;

		c->starved = false;
		tcp_want_output(e, c);
		ready_update(e, c, 0);
	}
}

static void run_timer(struct engine *e, struct wheel_timer *t)
{
	switch ((enum timer_kind)t->kind) {
	case TK_CONN:
		timer_expired(e, container_of(t, struct conn, wheel));
		break;
	case TK_NEIGH:
		neigh_timer(e, container_of(t, struct neigh, timer));
		break;
	case TK_TIMEWAIT:
		timewait_expire(e);
		break;
	case TK_LOST:
		lost_timer(e);
		break;
	}
}

void engine_run(struct engine *e, usec_t now)
{
	struct wheel_timer *t;

	set_now(e, now);
	t = wheel_pop(&e->wheel, e->now);
	for (unsigned i = 0; t && i < AHEAD_TIMERS; i++)
		ahead_timer(e, i);
	for (; t; t = wheel_pop(&e->wheel, e->now)) {
		ahead_timer(e, AHEAD_TIMERS);
		run_timer(e, t);
	}
	run_loop(e);
	run_starved(e);
}

usec_t engine_next_deadline(const struct engine *e)
{
	if (ring_count(&e->loop) || (!list_empty(&e->starved) && e->held < e->held_max / 8 * 7))
		return e->now;
	return wheel_next(&e->wheel);
}

/* ---- output ---- */

bool engine_has_output(const struct engine *e)
{
	return engine_output_presses(e) || !list_empty(&e->acks);
}

bool engine_output_presses(const struct engine *e)
{
	return ring_count(&e->tx) || !list_empty(&e->out) || e->announce;
}

struct engine_spoken engine_spoken(const struct engine *e)
{
	return e->spoken;
}

bool engine_has_own_peers(const struct engine *e)
{
	return e->nto_self;
}

bool engine_is_quiet(const struct engine *e)
{
	return !engine_has_output(e) && list_empty(&e->events);
}

void engine_announce(struct engine *e, usec_t now)
{
	set_now(e, now);
	e->announce = true;
}

unsigned engine_output(struct engine *e, struct rte_mbuf **out, unsigned max, usec_t now)
{
	list_append(&e->out, &e->acks);
	return engine_output_pressing(e, out, max, now);
}

unsigned engine_output_pressing(struct engine *e, struct rte_mbuf **out, unsigned max, usec_t now)
{
	unsigned n = 0;
	struct list *l;

	set_now(e, now);
	if (e->announce) {
		e->announce = false;
		arp_announce(e);
	}
	while (ring_count(&e->tx) < max && (l = list_pop(&e->out))) {
		ahead_output(e);
		tcp_output(e, container_of(l, struct conn, out_link), OUTPUT_TURN);
	}
	while (n < max && ring_count(&e->tx))
		out[n++] = ring_pop(&e->tx);
	e->stats.out_frames += n;
	return n;
}

/* ---- to look at ---- */

const struct engine_stats *engine_stats(const struct engine *e)
{
	return &e->stats;
}

void engine_usage(const struct engine *e, struct engine_usage *u)
{
	*u = (struct engine_usage){.conns = e->conns.used,
				   .repairs = e->repairs.used,
				   .timewaits = e->timewaits.used,
				   .half_open = e->nhalf_open,
				   .neighbours = e->nneighs,
				   .mbufs = e->held + e->neigh_waiting + ring_count(&e->tx) + ring_count(&e->loop) +
					    ring_count(&e->foreign),
				   .timers = e->wheel.entries.used};
}

void engine_each(struct engine *e, void (*visit)(struct conn *c, void *arg), void *arg)
{
	for (uint32_t i = 0; i < e->conns.virgin; i++) {
		struct conn *c = (struct conn *)(e->conns.base + (size_t)i * e->conns.size);

		if (c->in_use)
			visit(c, arg);
	}
}
