/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chance.h - worlds made from a seed.
 */
#ifndef CHANCE_H
#define CHANCE_H

#include "tests/sim/world.h"

/* Packet memory for the stacks of all hosts: for MTUs up to 1500, of 9000, and one that many connections together use up. */
struct chance_pools {
	struct rte_mempool *usual[HOSTS_MAX][STACKS_MAX], *tiny[HOSTS_MAX][STACKS_MAX];
	struct rte_mempool *jumbo[2][STACKS_MAX]; /* for the hosts of TOPOLOGY_DIRECT */
};

/* Fill w, whose rng is seeded, with hosts, links, sessions and faults, and let it begin. */
void chance_make(struct world *w, const struct chance_pools *pools);

/* chance_tcp.c: settings of one engine; hasty: some that make connections give up early may be among them. */
void chance_settings(struct rng *r, struct tcp_settings *t, bool hasty);

#endif
