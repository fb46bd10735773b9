/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flow.c - who a segment is for and which port is free: the flow table (by tuple), the port table (by local port), listeners,
 * ephemeral ports (RFC 6056 algorithm 3), and which of several stacks a tuple belongs to.
 */
#include <errno.h>
#include <string.h>
#include <rte_thash.h>

#include "engine/stack.h"

#define RETA_MASK 127 /* the redirection table of a NIC repeats its queues at least over 128 entries */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9fb21c651e98df25;
	return h ^ (h >> 32);
}

/* The hash that the NIC computes: Toeplitz over the tuple as the packet has it (source is the remote end). */
uint32_t flow_rss_hash(const struct engine *e, const struct tuple *t)
{
	uint32_t words[3] = {rte_be_to_cpu_32(ip_to_v4(&t->raddr)), rte_be_to_cpu_32(ip_to_v4(&t->laddr)),
			     (uint32_t)t->rport << 16 | t->lport};

	return rte_softrss(words, 3, e->cfg.rss_key);
}

/*
 * Without a hash by the port both ends must come to the same answer, so that stack i talks to stack i across a link that keeps
 * queues apart (memif): symmetric, and without a secret.
 */
unsigned flow_owner_of_many(const struct engine *e, const struct tuple *t, uint32_t hash)
{
	uint64_t h;

	if (e->cfg.caps & ENGINE_RX_RSS)
		return (hash & RETA_MASK) % e->cfg.nstacks;
	h = mix(0, t->laddr.d[1] ^ t->raddr.d[1]);
	h = mix(h, t->laddr.d[0] ^ t->raddr.d[0]);
	return (uint32_t)mix(h, t->lport ^ t->rport) % e->cfg.nstacks;
}

unsigned engine_owner(const struct engine *e, const struct endpoint *local, const struct endpoint *remote)
{
	struct tuple t = {.laddr = local->addr, .raddr = remote->addr, .lport = local->port, .rport = remote->port};

	return flow_owner(e, &t, flow_hash(e, &t));
}

void flow_prefetch(struct engine *e, const struct tuple *t)
{
	/* The hash of a network card takes longer to compute than a miss does. */
	if (!(e->cfg.caps & ENGINE_RX_RSS))
		rte_prefetch0(flow_bucket(e, flow_hash(e, t)));
}

void flow_insert(struct engine *e, struct flow *f)
{
	struct flow **bucket;

	f->hash = flow_hash(e, &f->t);
	bucket = flow_bucket(e, f->hash);
	f->hash_next = *bucket;
	*bucket = f;
	f->hashed = true;
	port_remove(f);
	port_add(e, f);
}

void flow_remove(struct engine *e, struct flow *f)
{
	struct flow **p = flow_bucket(e, f->hash);

	if (!f->hashed)
		return;
	while (*p != f)
		p = &(*p)->hash_next;
	*p = f->hash_next;
	f->hashed = false;
}

/* ---- ports ---- */

struct list *port_chain(struct engine *e, uint16_t port)
{
	return &e->ports[port & (PORT_CHAINS - 1)];
}

/* Bound and listening sockets come first on a chain, connected ones behind them: a search for a listener ends there. */
void port_add(struct engine *e, struct flow *f)
{
	if (f->hashed)
		list_add_tail(port_chain(e, f->t.lport), &f->port_link);
	else
		list_add_head(port_chain(e, f->t.lport), &f->port_link);
}

void port_remove(struct flow *f)
{
	list_del(&f->port_link);
}

static bool listens_for(const struct flow *f, const struct tuple *t)
{
	const struct conn *c = container_of(f, const struct conn, f);

	return f->t.lport == t->lport && c->state == LISTEN && (ip_is_any(&f->t.laddr) || ip_equal(&f->t.laddr, &t->laddr));
}

/*
 * The most specific listener; among several of the same address (SO_REUSEPORT) the hash chooses, so that a flow's SYNs always
 * reach the same one.
 */
struct conn *listener_find(struct engine *e, const struct tuple *t, uint32_t hash)
{
	struct list *chain = port_chain(e, t->lport);
	unsigned count[2] = {0, 0}, want, specific;

	for (struct list *l = chain->next; l != chain; l = l->next) {
		struct flow *f = container_of(l, struct flow, port_link);

		if (f->hashed)
			break;
		if (listens_for(f, t))
			count[!ip_is_any(&f->t.laddr)]++;
	}
	specific = count[1] > 0;
	if (!count[specific])
		return NULL;
	want = hash % count[specific];
	for (struct list *l = chain->next; l != chain; l = l->next) {
		struct flow *f = container_of(l, struct flow, port_link);

		if (listens_for(f, t) && !ip_is_any(&f->t.laddr) == specific && !want--)
			return container_of(f, struct conn, f);
	}
	return NULL;
}

bool engine_listens(struct engine *e, const struct endpoint *local)
{
	const struct tuple t = {.laddr = local->addr, .lport = local->port};

	return listener_find(e, &t, 0);
}

bool engine_port_used(struct engine *e, const struct endpoint *local)
{
	list_each (l, port_chain(e, local->port)) {
		const struct flow *f = container_of(l, struct flow, port_link);

		if (f->t.lport != local->port)
			continue;
		if (ip_is_any(&local->addr) || ip_is_any(&f->t.laddr) || ip_equal(&local->addr, &f->t.laddr))
			return true;
	}
	return false;
}

/* Linux's inet_bind_conflict: two sockets may share a port if their addresses differ, or both allow it in the same way. */
static bool conflicts(const struct conn *c, const struct flow *other, const struct ip_addr *addr)
{
	bool listening = other->kind == FLOW_CONN && container_of(other, const struct conn, f)->state == LISTEN;

	if (!ip_is_any(addr) && !ip_is_any(&other->t.laddr) && !ip_equal(addr, &other->t.laddr))
		return false;
	if (c->f.reuse_addr && other->reuse_addr && !listening)
		return false;
	return !(c->f.reuse_port && other->reuse_port);
}

bool port_bindable(struct engine *e, const struct conn *c, const struct ip_addr *addr, uint16_t port)
{
	list_each (l, port_chain(e, port)) {
		const struct flow *f = container_of(l, struct flow, port_link);

		if (f != &c->f && f->t.lport == port && conflicts(c, f, addr))
			return false;
	}
	return true;
}

static void port_range(const struct engine *e, uint32_t *first, uint32_t *count)
{
	const int64_t *r = e->cfg.tcp.ip_local_port_range;

	*first = r[0];
	*count = r[1] - r[0] + 1;
}

uint16_t port_pick_bind(struct engine *e, const struct conn *c, const struct ip_addr *addr)
{
	uint32_t first, count, offset;

	port_range(e, &first, &count);
	offset = engine_random(e) % count;
	for (uint32_t i = 0; i < count; i++) {
		uint16_t port = first + (offset + i) % count;

		if (port_bindable(e, c, addr, port))
			return port;
	}
	return 0;
}

/* Is a port held by a socket that is bound or listens there? Connected sockets only need another tuple. */
static bool port_reserved(struct engine *e, uint16_t port)
{
	struct list *chain = port_chain(e, port);

	for (struct list *l = chain->next; l != chain; l = l->next) {
		const struct flow *f = container_of(l, struct flow, port_link);

		if (f->hashed)
			return false;
		if (f->t.lport == port)
			return true;
	}
	return false;
}

bool timewait_reusable(const struct engine *e, const struct timewait *tw)
{
	int64_t mode = e->cfg.tcp.tw_reuse;

	if (mode == 2)
		mode = ip_is_loopback(&tw->f.t.raddr) || engine_is_local(e, &tw->f.t.raddr);
	return mode && tw->ts_ok && e->now - tw->ts_recent_at > 1000000;
}

static bool tuple_free(struct engine *e, const struct tuple *t, struct timewait **tw)
{
	uint32_t hash = flow_hash(e, t);
	struct flow *f;

	*tw = NULL;
	if (flow_owner(e, t, hash) != e->cfg.stack)
		return false;
	f = flow_find(e, t, hash);
	if (!f)
		return true;
	if (f->kind != FLOW_TIMEWAIT || !timewait_reusable(e, container_of(f, struct timewait, f)))
		return false;
	*tw = container_of(f, struct timewait, f);
	return true;
}

static uint32_t port_offset(struct engine *e, const struct tuple *t)
{
	struct {
		struct ip_addr laddr, raddr;
		uint64_t rport;
	} key = {t->laddr, t->raddr, t->rport};
	struct tuple of = {.laddr = t->laddr, .raddr = t->raddr, .rport = t->rport};

	if (!tuple_equal(&e->ports_of, &of)) {
		e->ports_offset = (uint32_t)engine_hash(e, &key, sizeof(key));
		e->ports_of = of;
	}
	return e->ports_offset;
}

/* RFC 6056 3.3.3, Simple Hash-Based Port Selection: each destination walks the range from its own secret offset. */
int port_pick_connect(struct engine *e, struct tuple *t, struct timewait **tw)
{
	uint32_t first, count, offset = port_offset(e, t);

	port_range(e, &first, &count);
	for (uint32_t i = 0; i < count; i++) {
		t->lport = first + (offset + e->port_counter++) % count;
		if (!port_reserved(e, t->lport) && tuple_free(e, t, tw)) {
			struct tuple next = *t;

			/* The next connection there, as a rule: its bucket has left the cache by then. */
			next.lport = first + (offset + e->port_counter) % count;
			flow_prefetch(e, &next);
			return 0;
		}
	}
	t->lport = 0;
	return -EADDRNOTAVAIL;
}
