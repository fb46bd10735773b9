/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pmtu.c - path MTU discovery by ICMP (RFC 1191) as RFC 5927 section 7.2 hardens it, and what is known of each path.  A claim
 * about a packet that is smaller than what is known to get through is kept until the packet that it quotes has timed out, and
 * forgotten when that is acknowledged: who can't stop our packets can't shrink them.  What is believed holds for the destination,
 * for all connections, and ages after ten minutes, as in Linux's route cache.
 */
#include <errno.h>
#include <netinet/in.h>

#include "engine/stack.h"

#define SETS (PMTU_ENTRIES / PMTU_WAYS)

/* ---- what is known of paths ---- */

static struct pmtu_entry *set_of(const struct engine *e, const struct ip_addr *dst)
{
	return (struct pmtu_entry *)&e->pmtus[engine_hash(e, dst, sizeof(*dst)) % SETS * PMTU_WAYS];
}

static struct pmtu_entry *find(const struct engine *e, const struct ip_addr *dst)
{
	struct pmtu_entry *p = set_of(e, dst);

	for (unsigned i = 0; i < PMTU_WAYS; i++)
		if (p[i].expires > e->now && ip_equal(&p[i].dst, dst))
			return &p[i];
	return NULL;
}

/* Its entry, or the place of the one that expires first. */
static struct pmtu_entry *place_for(const struct engine *e, const struct ip_addr *dst)
{
	struct pmtu_entry *p = set_of(e, dst), *oldest = p;

	for (unsigned i = 0; i < PMTU_WAYS; i++) {
		if (ip_equal(&p[i].dst, dst))
			return &p[i];
		if (p[i].expires < oldest->expires)
			oldest = &p[i];
	}
	return oldest;
}

static void learn(struct engine *e, const struct ip_addr *dst, unsigned mtu)
{
	struct pmtu_entry *p = place_for(e, dst);
	unsigned least = e->cfg.tcp.route_min_pmtu;

	*p = (struct pmtu_entry){
	    .dst = *dst, .expires = e->now + (usec_t)e->cfg.tcp.route_mtu_expires * 1000000, .mtu = mtu, .locked = mtu < least};
	if (p->locked)
		p->mtu = least;
	if (p->expires < e->pmtu_expires)
		e->pmtu_expires = p->expires;
	e->pmtu_changes++;
}

/* The first of the entries has come of age: all connections are to look again. */
static void age(struct engine *e)
{
	e->pmtu_changes++;
	e->pmtu_expires = USEC_NEVER;
	for (unsigned i = 0; i < PMTU_ENTRIES; i++)
		if (e->pmtus[i].expires > e->now && e->pmtus[i].expires < e->pmtu_expires)
			e->pmtu_expires = e->pmtus[i].expires;
}

/* ---- connections ---- */

/* IP_PMTUDISC_INTERFACE and _OMIT: the interface's MTU, whatever a router says (ip(7)); IP_PMTUDISC_DONT leaves it to routers. */
static bool follows_path(const struct conn *c)
{
	return c->pmtudisc != IP_PMTUDISC_DONT && c->pmtudisc < IP_PMTUDISC_INTERFACE;
}

bool pmtu_may_fragment(const struct conn *c)
{
	return c->pmtudisc != IP_PMTUDISC_DO && (c->pmtudisc != IP_PMTUDISC_WANT || c->pmtu_locked);
}

static void set_pmtu(struct engine *e, struct conn *c, unsigned mtu, bool locked)
{
	bool lower = mtu < c->pmtu;

	c->pmtu_locked = locked;
	if (mtu == c->pmtu)
		return;
	c->pmtu = mtu;
	tcp_sync_mss(e, c);
	if (lower && STATE_BIT(c->state) & SYNCHRONIZED)
		recovery_mtu_lowered(e, c);
}

void pmtu_sync(struct engine *e, struct conn *c)
{
	const struct pmtu_entry *p;

	if (e->now >= e->pmtu_expires)
		age(e);
	if (c->pmtu_changes == e->pmtu_changes)
		return;
	c->pmtu_changes = e->pmtu_changes;
	p = e->pmtu_expires != USEC_NEVER && follows_path(c) ? find(e, &c->f.t.raddr) : NULL;
	set_pmtu(e, c, p && p->mtu < e->cfg.mtu ? p->mtu : e->cfg.mtu, p && p->locked);
}

void pmtu_init(struct engine *e, struct conn *c)
{
	c->pmtu = e->cfg.mtu;
	c->pmtu_locked = c->probing = false;
	c->max_acked = c->pmtu_claim = c->probe_size = 0;
	pmtu_look_again(e, c);
}

void pmtu_look_again(struct engine *e, struct conn *c)
{
	c->pmtu_changes = e->pmtu_changes - 1;
	pmtu_sync(e, c);
}

static void believe(struct engine *e, struct conn *c, unsigned mtu)
{
	c->pmtu_claim = 0;
	if (mtu >= c->pmtu)
		return;
	e->stats.mtu_reduced++;
	learn(e, &c->f.t.raddr, mtu);
	pmtu_sync(e, c);
}

void pmtu_claimed(struct engine *e, struct conn *c, seq_t seq, unsigned mtu)
{
	bool got_through = mtu < tcp_mss_to_mtu(c, c->max_acked);

	/* ip-sysctl: every mode but 0 and 3 takes no router's word. */
	if (e->cfg.tcp.ip_no_pmtu_disc == 1 || e->cfg.tcp.ip_no_pmtu_disc == 2 || !follows_path(c))
		return;
	if (!got_through || c->retransmits) {
		believe(e, c, mtu);
		return;
	}
	e->stats.mtu_unproven++;
	c->pmtu_claim = mtu;
	extra_of(e, c)->pmtu_claim_seq = seq;
}

void pmtu_timed_out(struct engine *e, struct conn *c)
{
	if (c->pmtu_claim)
		believe(e, c, c->pmtu_claim);
}
