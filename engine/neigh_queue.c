/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * neigh_queue.c - what waits for a neighbour's address: as many bytes for each as net.ipv4.neigh.default.unres_qlen_bytes says
 * (packets count as what they occupy, and one may always wait), and a bounded number for all neighbours together, so that
 * addresses that never answer can't take the packets that the answer of another needs.
 *
 * A packet that waits may be in a send queue too, whose links are in the packet: those here are in a table of their own.
 */
#include "engine/stack.h"

#define POOL_SHARE 8

static uint32_t most_waiting(const struct engine *e)
{
	uint32_t share = e->cfg.pool->size / POOL_SHARE;

	return share < NEIGH_WAITING ? share : NEIGH_WAITING;
}

/* Places are numbered from one: none is 0. */
static struct neigh_place *place(struct engine *e, uint16_t i)
{
	return &e->neigh_places[i - 1];
}

static uint16_t take_place(struct engine *e)
{
	uint16_t i = e->neigh_place_free;

	if (!i)
		return ++e->neigh_places_virgin;
	e->neigh_place_free = place(e, i)->next;
	return i;
}

static uint32_t truesize(const struct engine *e, const struct rte_mbuf *m)
{
	return e->mbuf_truesize * m->nb_segs;
}

struct rte_mbuf *neigh_queue_pop(struct engine *e, struct neigh *n)
{
	uint16_t i = n->queue_first;
	struct rte_mbuf *m;

	if (!i)
		return NULL;
	m = place(e, i)->m;
	n->queue_first = place(e, i)->next;
	place(e, i)->next = e->neigh_place_free;
	e->neigh_place_free = i;
	n->nqueue--;
	n->queue_bytes -= truesize(e, m);
	e->neigh_waiting--;
	return m;
}

static void drop(struct engine *e, struct rte_mbuf *m)
{
	rte_pktmbuf_free(m);
	e->stats.arp_queue_full++;
}

void neigh_queue_push(struct engine *e, struct neigh *n, struct rte_mbuf *m)
{
	uint32_t size = truesize(e, m);
	uint16_t i;

	while (n->nqueue && (n->queue_bytes + size > e->cfg.tcp.unres_qlen_bytes || e->neigh_waiting >= most_waiting(e)))
		drop(e, neigh_queue_pop(e, n));
	if (e->neigh_waiting >= most_waiting(e)) {
		drop(e, m);
		return;
	}
	i = take_place(e);
	*place(e, i) = (struct neigh_place){.m = m};
	if (n->queue_first)
		place(e, n->queue_last)->next = i;
	else
		n->queue_first = i;
	n->queue_last = i;
	n->nqueue++;
	n->queue_bytes += size;
	e->neigh_waiting++;
}
