/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ahead.h - fetching what the packets of a burst will need, a few packets ahead (ahead.c).
 */
#ifndef ENGINE_AHEAD_H
#define ENGINE_AHEAD_H

#include "engine/stack.h"

#define AHEAD_KEPT 8 /* more than lie between a bucket's turn and its control block's */

/* The buckets of the packets to come, by index. */
struct ahead {
	struct flow **bucket[AHEAD_KEPT];
};

/* Is it worth while for a burst of n?  With few connections all is in the cache. */
bool ahead_pays(const struct engine *e, unsigned n);
/* Before the burst's first packet, and before each one: at is its index. */
void ahead_begin(struct engine *e, struct ahead *a, struct rte_mbuf **pkts, int n);
void ahead_step(struct engine *e, struct ahead *a, struct rte_mbuf **pkts, int n, int at);

#endif
