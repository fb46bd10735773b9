/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * renew.c - an engine whose user was killed at work in it starts anew in its own memory.  Lists, tables and queues may be half
 * changed, so none is followed; but a connection's addresses and sequence numbers are words of their own, good enough to tell its
 * peer that it is gone, and a neighbour's MAC address hardly ever changes.
 */
#include <string.h>

#include "engine/conn.h"
#include "engine/stack.h"

struct known_neigh {
	struct ip_addr addr;
	uint8_t mac[6];
};

/* Wherever they lie in the array of all. */
unsigned engine_collect_lost(const struct engine *e, struct engine_lost *lost, unsigned n)
{
	unsigned got = 0;

	for (uint32_t i = 0; i < e->conns.virgin && got < n; i++) {
		const struct conn *c = (const struct conn *)(e->conns.base + (size_t)i * e->conns.size);

		if (!c->in_use || !(STATE_BIT(c->state) & SYNCHRONIZED) || !c->f.t.lport || !engine_is_local(e, &c->f.t.laddr))
			continue;
		lost[got].local = (struct endpoint){.addr = c->f.t.laddr, .port = c->f.t.lport};
		lost[got].remote = (struct endpoint){.addr = c->f.t.raddr, .port = c->f.t.rport};
		lost[got].seq = c->snd_nxt;
		lost[got++].ack = c->rcv_nxt;
	}
	return got;
}

static unsigned remember(const struct engine *e, struct known_neigh *known)
{
	unsigned n = 0;

	for (unsigned i = 0; i < NEIGH_MAX; i++) {
		uint8_t state = e->neighs[i].state;

		if (state != NEIGH_REACHABLE && state != NEIGH_STALE && state != NEIGH_PROBE)
			continue;
		known[n].addr = e->neighs[i].addr;
		memcpy(known[n++].mac, e->neighs[i].mac, 6);
	}
	return n;
}

void engine_renew(struct engine *e, const struct engine_config *cfg, usec_t now)
{
	struct engine_stats stats = e->stats;
	struct known_neigh known[NEIGH_MAX];
	unsigned nknown = remember(e, known);

	/* Up to the connections, which are cleared when they are handed out. */
	memset(e, 0, engine_head_size(cfg));
	engine_create(e, engine_size(cfg), cfg, now);
	e->stats = stats;
	e->stats.curr_estab = 0;
	for (unsigned i = 0; i < nknown; i++)
		neigh_recall(e, &known[i].addr, known[i].mac);
}

void engine_reset_lost(struct engine *e, const struct engine_lost *lost, usec_t now)
{
	const struct tuple t = {
	    .laddr = lost->local.addr, .lport = lost->local.port, .raddr = lost->remote.addr, .rport = lost->remote.port};

	e->now = now;
	tcp_send_rst_to(e, &t, lost->seq, lost->ack);
}
