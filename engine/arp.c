/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arp.c - neighbours: address resolution (RFC 826) with the states of neighbour unreachability detection (RFC 4861 section 7.3,
 * whose reasoning RFC 1122 2.3.2.1 shares) and Linux's times.  A neighbour is trusted for 30 s after it was heard from, used
 * unasked for 5 s more, then asked by unicast; TCP's progress counts as hearing from it.  A reply is believed only about a
 * neighbour we know of, a request only if it is to us (as Linux; RFC 826 would learn from every packet).
 *
 * The table is a set-associative cache: an address may lie in WAYS slots from the one it hashes to.  Finding costs a bounded
 * scan (nothing at all with a caller's hint), and making room is a matter of these slots alone.
 */
#include <errno.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#include "engine/stack.h"

#define PROTO_TCP 6
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define WAYS 16
/* Linux's neigh/default: base_reachable_time, delay_first_probe_time, retrans_time, {mcast,ucast}_solicit. */
#define REACHABLE_US 30000000u
#define DELAY_US 5000000u
#define RETRANS_US 1000000u
#define PROBES_MAX 3
/* A slot used within so long is not given up for a host that merely asked us something. */
#define BUSY_US 1000000u

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* ---- frames ---------------------------------------------------------------------------------------------------------------- */

static void push_frame(struct engine *e, struct rte_mbuf *m, const uint8_t dst[6], uint16_t type)
{
	uint8_t *p = (uint8_t *)rte_pktmbuf_prepend(m, ETH_HDR);

	if (p)
		wire_write_eth(p, dst, e->cfg.mac, type);
	/* A full ring loses the frame, as a full device queue would. */
	if (!p || !ring_push(&e->tx, m))
		rte_pktmbuf_free(m);
}

static void send_arp(struct engine *e, const uint8_t dst[6], const struct arp_fields *f)
{
	struct rte_mbuf *m = engine_mbuf(e);

	if (!m)
		return;
	wire_write_arp((uint8_t *)rte_pktmbuf_append(m, ARP_LEN), f);
	e->stats.arp_out++;
	push_frame(e, m, dst, ETHERTYPE_ARP);
}

static void send_request(struct engine *e, const struct ip_addr *spa, const struct ip_addr *tpa, const uint8_t dst[6])
{
	struct arp_fields f = {.op = ARP_REQUEST, .spa = *spa, .tpa = *tpa};

	memcpy(f.sha, e->cfg.mac, 6);
	send_arp(e, dst, &f);
}

static void send_reply(struct engine *e, const struct arp_fields *to)
{
	struct arp_fields f = {.op = ARP_REPLY, .spa = to->tpa, .tpa = to->spa};

	memcpy(f.sha, e->cfg.mac, 6);
	memcpy(f.tha, to->sha, 6);
	send_arp(e, to->sha, &f);
}

void arp_announce(struct engine *e)
{
	for (unsigned i = 0; i < e->cfg.naddrs; i++) {
		const struct ip_addr *a = &e->cfg.addrs[i].addr;

		if (ip_is_v4(a))
			send_request(e, a, a, broadcast); /* RFC 5227 section 3 */
	}
}

/* ---- the table ------------------------------------------------------------------------------------------------------------- */

static struct neigh *slot(struct engine *e, const struct ip_addr *a, unsigned way)
{
	/* Fibonacci hashing spreads the consecutive addresses of a subnet. */
	uint32_t h = (a->w[0] ^ a->w[1] ^ a->w[2] ^ rte_be_to_cpu_32(a->w[3])) * 2654435769u;

	return &e->neighs[(((uint64_t)h * NEIGH_MAX >> 32) + way) % NEIGH_MAX];
}

static struct neigh *find(struct engine *e, const struct ip_addr *a)
{
	for (unsigned way = 0; way < WAYS; way++) {
		struct neigh *n = slot(e, a, way);

		if (n->state != NEIGH_FREE && ip_equal(&n->addr, a))
			return n;
	}
	return NULL;
}

static uint16_t index_of(const struct engine *e, const struct neigh *n)
{
	return n - e->neighs;
}

static void drop_queue(struct engine *e, struct neigh *n, uint64_t *counter)
{
	struct rte_mbuf *m;

	*counter += n->nqueue;
	while ((m = neigh_queue_pop(e, n)))
		rte_pktmbuf_free(m);
}

static void release(struct engine *e, struct neigh *n)
{
	wheel_disarm(&e->wheel, &n->timer);
	drop_queue(e, n, &e->stats.arp_failed);
	n->state = NEIGH_FREE;
	e->nneighs--;
}

/* How gladly a slot is given up: first the higher rank, then the longer unused. */
static unsigned give_up_rank(const struct neigh *n)
{
	switch ((enum neigh_state)n->state) {
	case NEIGH_FREE:
		return 3;
	case NEIGH_FAILED:
		return 2;
	case NEIGH_INCOMPLETE:
		return 0; /* packets wait there */
	default:
		return 1;
	}
}

static bool rather(const struct neigh *a, const struct neigh *b)
{
	unsigned ra = give_up_rank(a), rb = give_up_rank(b);

	return ra != rb ? ra > rb : a->used_at < b->used_at;
}

/* A fresh entry, in the slot that is missed least.  busy_too: even if that one is in use; else NULL. */
static struct neigh *create(struct engine *e, const struct ip_addr *a, bool busy_too)
{
	struct neigh *n = slot(e, a, 0);

	for (unsigned way = 1; way < WAYS; way++) {
		if (rather(slot(e, a, way), n))
			n = slot(e, a, way);
	}
	if (!busy_too && give_up_rank(n) < 2 && e->now - n->used_at < BUSY_US)
		return NULL;
	if (n->state != NEIGH_FREE)
		release(e, n);
	e->nneighs++;
	*n = (struct neigh){.addr = *a, .used_at = e->now, .timer.kind = TK_NEIGH};
	return n;
}

/* ---- the states ------------------------------------------------------------------------------------------------------------ */

/* Ask by broadcast while the MAC address is not known, else the neighbour itself. */
static void probe(struct engine *e, struct neigh *n)
{
	n->probes++;
	wheel_arm(&e->wheel, &n->timer, e->now + RETRANS_US);
	send_request(e, ip_source_for(e, &n->addr), &n->addr, n->state == NEIGH_PROBE ? n->mac : broadcast);
}

static void resolve(struct engine *e, struct neigh *n)
{
	n->state = NEIGH_INCOMPLETE;
	n->probes = 0;
	probe(e, n);
}

static void flush_queue(struct engine *e, struct neigh *n)
{
	struct rte_mbuf *m;

	while ((m = neigh_queue_pop(e, n)))
		push_frame(e, m, n->mac, ETHERTYPE_IPV4);
}

/*
 * The neighbour has this MAC address; the latest word counts, as in RFC 826.  Confirmed: it answered us; else we merely heard so,
 * and ask when it is used.
 */
static void learn(struct engine *e, struct neigh *n, const uint8_t mac[6], bool confirmed)
{
	bool known = n->state != NEIGH_INCOMPLETE && n->state != NEIGH_FAILED;

	if (known && !confirmed && !memcmp(n->mac, mac, 6))
		return;
	memcpy(n->mac, mac, 6);
	n->state = confirmed ? NEIGH_REACHABLE : NEIGH_STALE;
	n->confirmed_at = e->now;
	wheel_disarm(&e->wheel, &n->timer);
	flush_queue(e, n);
}

/* A packet of ours that goes nowhere: as if a router had answered "host unreachable", which is what Linux does (RFC 1122 2.4). */
static void report_unreachable(struct engine *e, const struct rte_mbuf *m)
{
	struct icmp_report r = {
	    .kind = ICMP_KIND_UNREACH_SOFT, .err = EHOSTUNREACH, .type = ICMP_DEST_UNREACH, .code = ICMP_HOST_UNREACH};
	const uint8_t *ip = rte_pktmbuf_mtod(m, const uint8_t *);

	if (wire_parse_quote(ip, m->data_len, &r.q) != WIRE_OK)
		return;
	r.offender = &r.q.t.laddr;
	r.tcp = ip + r.q.hdr_len;
	r.tcp_len = m->data_len - r.q.hdr_len;
	tcp_icmp(e, &r);
}

static void fail(struct engine *e, struct neigh *n)
{
	unsigned count = n->nqueue;

	n->state = NEIGH_FAILED;
	e->stats.arp_failed += count;
	while (count--) {
		struct rte_mbuf *m = neigh_queue_pop(e, n);

		report_unreachable(e, m);
		rte_pktmbuf_free(m);
	}
}

void neigh_timer(struct engine *e, struct neigh *n)
{
	/* STALE with a timer is Linux's DELAY: it was used, and nobody has confirmed it since. */
	if (n->state == NEIGH_STALE) {
		n->state = NEIGH_PROBE;
		n->probes = 0;
	}
	if (n->probes < PROBES_MAX)
		probe(e, n);
	else
		fail(e, n);
}

/* ---- output ---------------------------------------------------------------------------------------------------------------- */

/* NULL: none. */
static struct neigh *hinted(struct engine *e, uint16_t hint)
{
	return (hint & NEIGH_INDEX) < NEIGH_MAX ? &e->neighs[hint & NEIGH_INDEX] : NULL;
}

static struct neigh *look_up(struct engine *e, const struct ip_addr *a, const uint16_t *hint)
{
	struct neigh *n = hint ? hinted(e, *hint) : NULL;

	return n && n->state != NEIGH_FREE && ip_equal(&n->addr, a) ? n : find(e, a);
}

static bool silent_for_long(const struct engine *e, const struct neigh *n)
{
	return e->now - n->confirmed_at > REACHABLE_US;
}

struct neigh *neigh_ready(struct engine *e, uint16_t hint, const struct ip_addr *dst)
{
	struct neigh *n = hinted(e, hint);

	/* Its slot may have become another's. */
	if (!n || n->state != NEIGH_REACHABLE || silent_for_long(e, n) ||
	    !ip_equal(&n->addr, hint & NEIGH_BY_GATEWAY ? &e->cfg.gateway : dst))
		return NULL;
	return n;
}

/* Use of a known neighbour: has it been silent for too long? */
static void age(struct engine *e, struct neigh *n)
{
	if (n->state == NEIGH_REACHABLE && silent_for_long(e, n))
		n->state = NEIGH_STALE;
	if (n->state == NEIGH_STALE && !wheel_armed(&n->timer))
		wheel_arm(&e->wheel, &n->timer, e->now + DELAY_US);
}

void neigh_output(struct engine *e, struct rte_mbuf *m, const struct ip_addr *next_hop, uint16_t *hint)
{
	struct neigh *n = look_up(e, next_hop, hint);

	if (!n)
		n = create(e, next_hop, true);
	if (hint)
		*hint = index_of(e, n) | (next_hop == &e->cfg.gateway ? NEIGH_BY_GATEWAY : 0);
	n->used_at = e->now;
	if (n->state == NEIGH_FREE || n->state == NEIGH_FAILED)
		resolve(e, n);
	if (n->state == NEIGH_INCOMPLETE) {
		neigh_queue_push(e, n, m);
		return;
	}
	age(e, n);
	push_frame(e, m, n->mac, ETHERTYPE_IPV4);
}

void neigh_confirm(struct engine *e, uint16_t hint)
{
	struct neigh *n = hinted(e, hint);

	if (!n || n->state < NEIGH_REACHABLE || n->state > NEIGH_PROBE)
		return;
	n->confirmed_at = e->now;
	if (n->state == NEIGH_REACHABLE)
		return;
	n->state = NEIGH_REACHABLE;
	wheel_disarm(&e->wheel, &n->timer);
}

void neigh_doubt(struct engine *e, uint16_t hint)
{
	struct neigh *n = hinted(e, hint);

	if (!n || (n->state != NEIGH_REACHABLE && n->state != NEIGH_STALE))
		return;
	n->state = NEIGH_STALE;
	wheel_arm(&e->wheel, &n->timer, e->now);
}

void neigh_recall(struct engine *e, const struct ip_addr *a, const uint8_t mac[6])
{
	struct neigh *n = create(e, a, true);

	memcpy(n->mac, mac, 6);
	n->state = NEIGH_STALE;
	n->confirmed_at = e->now;
}

void neigh_flush(struct engine *e)
{
	for (unsigned i = 0; i < NEIGH_MAX; i++) {
		if (e->neighs[i].state != NEIGH_FREE)
			release(e, &e->neighs[i]);
	}
}

/* ---- input: RFC 826, "Packet Reception" ------------------------------------------------------------------------------------ */

/* relayed: a sibling stack received it, and answers. */
static void receive(struct engine *e, const struct arp_fields *f, bool relayed)
{
	bool to_us = engine_is_local(e, &f->tpa);
	bool asks_us = f->op == ARP_REQUEST && to_us;
	struct neigh *n;

	/* Our own announcements come back over some bridges; anybody else with our address is a conflict (RFC 5227 2.4). */
	if (!memcmp(f->sha, e->cfg.mac, 6))
		return;
	if (engine_is_local(e, &f->spa)) {
		e->stats.arp_conflict++;
		return;
	}
	/* RFC 5227 1.1: a probe comes from 0.0.0.0 and has nothing to teach. */
	if (!ip_is_any(&f->spa)) {
		n = find(e, &f->spa);
		if (!n && asks_us) {
			n = create(e, &f->spa, false);
			if (n)
				n->state = NEIGH_FAILED; /* nothing known: what follows is learnt */
		}
		if (n)
			learn(e, n, f->sha, f->op == ARP_REPLY && to_us);
	}
	if (asks_us && !relayed)
		send_reply(e, f);
}

void arp_input(struct engine *e, struct rte_mbuf *m)
{
	struct arp_fields f;

	e->stats.arp_in++;
	if (wire_parse_arp(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &f) == WIRE_OK)
		receive(e, &f, m->port == PORT_RELAYED);
	else
		e->stats.arp_in_errors++;
	rte_pktmbuf_free(m);
}
