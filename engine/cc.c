/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc.c - the table of congestion control algorithms, and what they have in common: slow start.
 */
#include "engine/cc.h"

#include <errno.h>
#include <string.h>

static const struct cc_ops *const table[] = {&cc_cubic, &cc_newreno};

#define ALGORITHMS (sizeof(table) / sizeof(table[0]))

const struct cc_ops *cc_ops(unsigned i)
{
	return i < ALGORITHMS ? table[i] : NULL;
}

int cc_find(const char *name)
{
	for (unsigned i = 0; i < ALGORITHMS; i++) {
		if (!strcmp(table[i]->name, name))
			return (int)i;
	}
	return -ENOENT;
}

void cc_set(struct cc *cc, unsigned algo)
{
	cc->algo = algo;
	cc->acked = 0;
	table[algo]->init(cc);
}

/*
 * RFC 3465 limits the growth per ACK to 2 SMSS, for receivers that acknowledge every second segment.  Receivers that take in
 * bursts (segmentation offload, ours) acknowledge tens of segments at once, and would be held to a fraction of the doubling
 * per round trip that RFC 5681 allows; so, like Linux, we count every byte.
 */
uint32_t cc_slow_start(struct cc *cc, uint32_t acked)
{
	uint32_t room = cc->ssthresh - cc->cwnd;
	uint32_t used = acked < room ? acked : room;

	cc_grow(cc, used);
	return acked - used;
}
