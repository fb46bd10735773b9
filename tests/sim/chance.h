/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chance.h - worlds made from a seed.
 */
#ifndef CHANCE_H
#define CHANCE_H

#include "tests/sim/world.h"

/* Packet memory for the stacks of two nodes: for MTUs up to 1500, of 9000, and one that many connections together use up. */
struct chance_pools {
	struct rte_mempool *usual[2][STACKS_MAX], *jumbo[2][STACKS_MAX], *tiny[2][STACKS_MAX];
};

/* Fill w, whose rng is seeded, with engines, links and sessions. */
void chance_make(struct world *w, const struct chance_pools *pools);

#endif
