/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * renew.c - an engine whose user was killed at work in it starts anew in its own memory.  Lists, tables and queues may be half
 * changed, so none is followed; but a connection's addresses and sequence numbers are words of their own, good enough to tell its
 * peer that it is gone, and a neighbour's MAC address hardly ever changes.
 */
#include <string.h>

#include "engine/conn.h"
#include "engine/stack.h"

/*
 * A reset is taken at its word only where the peer expects its sequence number; where the last segments never left, the peer asks
 * back by an ACK, and the answer to that is exact (RFC 5961 3.2).  Either may be lost, if not by the network then with the next
 * process that is killed, and a peer that only waits for data would wait for ever.  So it is told again; Linux asks back twice a
 * second at most.
 */
#define TOLD_AGAIN 3
#define TOLD_AGAIN_US 1000000
/* Resets in a row, and the pause until the next. */
#define TOLD_AT_ONCE 64
#define TOLD_PAUSE_US 1000

struct known_neigh {
	struct ip_addr addr;
	uint8_t mac[6];
};

/* The list may be cut short anywhere: an entry counts when it is whole, and is gone when another has its place. */
static void lost_add(struct engine_lost_list *l, const struct conn *c, usec_t now)
{
	l->at[l->n] = (struct engine_lost){.local = {.addr = c->f.t.laddr, .port = c->f.t.lport},
					   .remote = {.addr = c->f.t.raddr, .port = c->f.t.rport},
					   .seq = c->snd_nxt,
					   .ack = c->rcv_nxt,
					   .due = now,
					   .left = TOLD_AGAIN};
	__atomic_store_n(&l->n, l->n + 1, __ATOMIC_RELEASE);
}

static void lost_remove(struct engine_lost_list *l, unsigned i)
{
	l->at[i] = l->at[l->n - 1];
	__atomic_store_n(&l->n, l->n - 1, __ATOMIC_RELEASE);
}

/* All that have a peer, wherever they lie in the array of connections. */
static void collect_lost(const struct engine *e, struct engine_lost_list *l, usec_t now)
{
	for (uint32_t i = 0; i < e->conns.virgin && l->n < l->max; i++) {
		const struct conn *c = (const struct conn *)(e->conns.base + (size_t)i * e->conns.size);

		if (c->in_use && STATE_BIT(c->state) & SYNCHRONIZED && c->f.t.lport && engine_is_local(e, &c->f.t.laddr))
			lost_add(l, c, now);
	}
}

/* Not if a new connection has taken its place meanwhile. */
static void tell(struct engine *e, struct engine_lost *x)
{
	const struct tuple t = {.laddr = x->local.addr, .lport = x->local.port, .raddr = x->remote.addr, .rport = x->remote.port};

	if (!flow_find(e, &t, flow_hash(e, &t)))
		tcp_send_rst_to(e, &t, x->seq, x->ack);
}

void lost_timer(struct engine *e)
{
	struct engine_lost_list *l = e->cfg.lost;
	usec_t next = USEC_NEVER;
	unsigned told = 0;

	for (unsigned i = 0; l && i < l->n;) {
		struct engine_lost *x = &l->at[i];

		if (x->due <= e->now && told < TOLD_AT_ONCE) {
			told++;
			tell(e, x);
			if (!x->left) {
				lost_remove(l, i);
				continue;
			}
			x->left--;
			x->due = e->now + TOLD_AGAIN_US;
		}
		next = RTE_MIN(next, x->due);
		i++;
	}
	if (next != USEC_NEVER)
		wheel_arm(&e->wheel, &e->lost_timer, RTE_MAX(next, e->now + TOLD_PAUSE_US));
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

	if (cfg->lost)
		collect_lost(e, cfg->lost, now);
	/* Up to the connections, which are cleared when they are handed out. */
	memset(e, 0, engine_head_size(cfg));
	engine_create(e, engine_size(cfg), cfg, now);
	e->stats = stats;
	e->stats.curr_estab = 0;
	for (unsigned i = 0; i < nknown; i++)
		neigh_recall(e, &known[i].addr, known[i].mac);
	lost_timer(e);
}
