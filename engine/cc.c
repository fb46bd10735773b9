/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc.c - the table of congestion control algorithms, and what they have in common: slow start.
 */
#include "engine/cc.h"

#include <errno.h>
#include <string.h>

static const struct cc_ops *const table[] = {&cc_cubic, &cc_newreno, &cc_bbr, &cc_dctcp, &cc_dctcp_reno};

#define ALGORITHMS (sizeof(table) / sizeof(table[0]))
#define FOR_USERS (ALGORITHMS - 1)

const struct cc_ops *cc_ops(unsigned i)
{
	return i < ALGORITHMS ? table[i] : NULL;
}

int cc_find(const char *name)
{
	for (unsigned i = 0; i < FOR_USERS; i++) {
		if (!strcmp(table[i]->name, name))
			return (int)i;
	}
	return -ENOENT;
}

void cc_set(struct cc *cc, unsigned algo, const struct cc_view *v)
{
	/* RFC 8257 3.5: without ECN there is nothing to go by. */
	if (table[algo] == &cc_dctcp && !v->ecn_ok)
		algo = FOR_USERS;
	cc->algo = algo;
	cc->acked = 0;
	cc->pacing_rate = 0;
	cc->slow_on_purpose = false;
	cc->sees_every_ack = table[algo]->control != NULL;
	table[algo]->init(cc, v);
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
