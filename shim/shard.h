/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shard.h - what all threads of a process share, but each mostly uses by itself, lies in so many parts, and each thread begins
 * with one: so that lists and counters do not go to and fro between cores with each socket that is opened or closed.  A thread
 * that has no more in its own part takes from the others'.
 */
#ifndef SHIM_SHARD_H
#define SHIM_SHARD_H

#include <stdint.h>

#define SHARDS 16u

extern __thread uint8_t shard_known __attribute__((visibility("hidden"), tls_model("initial-exec")));
unsigned shard_choose(void) __attribute__((cold, visibility("hidden")));

/* The calling thread's, below SHARDS: the first thread that asks has 0, the next one 1.  May be called in a signal handler. */
static inline unsigned shard_mine(void)
{
	unsigned known = shard_known;

	return __builtin_expect(known != 0, 1) ? known - 1 : shard_choose();
}

/* The i-th in the order in which this thread looks through them. */
static inline unsigned shard_at(unsigned i)
{
	return (shard_mine() + i) % SHARDS;
}

#endif
