/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ofoq.c - the ordered queue with express lanes of ofoq.h: a skip list of three levels.
 */
#include "engine/ofoq.h"

/* Where the packet behind prev is noted, on the list or on a lane. */
static struct rte_mbuf **next_slot(struct ofoq *q, struct rte_mbuf *prev)
{
	return prev ? &pkt(prev)->next : &q->head;
}

static struct rte_mbuf **lane_slot(struct ofoq *q, struct rte_mbuf *prev, unsigned lane)
{
	return prev ? &pkt(prev)->lane[lane] : &q->lane[lane];
}

void ofoq_find(const struct ofoq *cq, seq_t seq, struct ofoq_place *at)
{
	struct ofoq *q = (struct ofoq *)cq;
	struct rte_mbuf *prev = NULL, *m;

	for (unsigned l = OFOQ_LANES; l-- > 0; at->lane[l] = prev)
		while ((m = *lane_slot(q, prev, l)) && seq_leq(pkt(m)->seq, seq))
			prev = m;
	while ((m = *next_slot(q, prev)) && seq_leq(pkt(m)->seq, seq))
		prev = m;
	at->prev = prev;
}

void ofoq_insert(struct ofoq *q, struct ofoq_place *at, struct rte_mbuf *m, uint32_t random)
{
	struct rte_mbuf **slot = next_slot(q, at->prev);

	pkt(m)->next = *slot;
	*slot = at->prev = m;
	if (!pkt(m)->next)
		q->tail = m;
	for (unsigned l = 0; l < OFOQ_LANES; l++) {
		pkt(m)->lane[l] = NULL;
		if (random << (32 - OFOQ_LANE_BITS * (l + 1)))
			continue;
		slot = lane_slot(q, at->lane[l], l);
		pkt(m)->lane[l] = *slot;
		*slot = at->lane[l] = m;
	}
}

struct rte_mbuf *ofoq_remove(struct ofoq *q, struct ofoq_place *at)
{
	struct rte_mbuf *m = *next_slot(q, at->prev);

	if (!m)
		return NULL;
	*next_slot(q, at->prev) = pkt(m)->next;
	if (q->tail == m)
		q->tail = at->prev;
	for (unsigned l = 0; l < OFOQ_LANES; l++)
		if (*lane_slot(q, at->lane[l], l) == m)
			*lane_slot(q, at->lane[l], l) = pkt(m)->lane[l];
	return m;
}

struct rte_mbuf *ofoq_pop(struct ofoq *q)
{
	struct ofoq_place front = {0};

	return ofoq_remove(q, &front);
}
