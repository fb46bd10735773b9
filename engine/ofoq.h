/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ofoq.h - received packets in sequence order, found by number without walking past all of them: a list with two express lanes
 * that skip over 16 and over 256 packets on average.  Which packet lies on a lane is drawn at random, so that no peer can choose
 * an order of arrival that makes the search long.  Overlaps, charges and reports are reasm.c's business.
 */
#ifndef ENGINE_OFOQ_H
#define ENGINE_OFOQ_H

#include "engine/pkt.h"

#define OFOQ_LANE_BITS 4 /* a lane holds one packet in 16 of the lane below */

struct ofoq {
	struct rte_mbuf *head, *tail;
	struct rte_mbuf *lane[OFOQ_LANES]; /* first packet of each lane; the last lane is the sparsest */
};

/* A place between packets: the one before it in the list and on each lane, NULL where it is the first. */
struct ofoq_place {
	struct rte_mbuf *prev;
	struct rte_mbuf *lane[OFOQ_LANES];
};

/* Behind the last packet that begins at or before seq. */
void ofoq_find(const struct ofoq *q, seq_t seq, struct ofoq_place *at);
/* Put m there and move the place behind it; random: any number that the peer cannot know. */
void ofoq_insert(struct ofoq *q, struct ofoq_place *at, struct rte_mbuf *m, uint32_t random);
/* Take out the packet behind the place; NULL: there is none. */
struct rte_mbuf *ofoq_remove(struct ofoq *q, struct ofoq_place *at);
/* Take out the first; NULL: empty. */
struct rte_mbuf *ofoq_pop(struct ofoq *q);

#endif
