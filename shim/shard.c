/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shard.c - which shard is whose: in turn.
 */
#include "shard.h"

__thread uint8_t shard_known; /* + 1; 0: none yet */

unsigned shard_choose(void)
{
	static unsigned next;

	/* A handler that comes in between chooses too: this choice is the one that stays. */
	shard_known = (uint8_t)(__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % SHARDS + 1);
	return shard_known - 1u;
}
