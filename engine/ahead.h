/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ahead.h - fetching what will be needed next while something else is worked on: what the packets of a burst will touch, a few
 * packets ahead (ahead.c), the control block whose timer or whose turn to send comes next.
 */
#ifndef ENGINE_AHEAD_H
#define ENGINE_AHEAD_H

#include "engine/stack.h"

#define AHEAD_KEPT 8 /* more than lie between a bucket's turn and that of what its connection has sent */

/* The buckets of the packets to come, by index. */
struct ahead {
	struct flow **bucket[AHEAD_KEPT];
};

/* From so many connections on, those in TIME-WAIT included, buckets and control blocks are no longer in the cache. */
#define AHEAD_MANY 1024
static inline bool ahead_many(const struct engine *e)
{
	return e->conns.used + e->timewaits.used > AHEAD_MANY;
}

/* What segments in and out touch of a connection that has a turn soon. */
static inline void ahead_conn(const struct conn *c)
{
	for (unsigned i = 0; i < CONN_HOT_LINES; i++)
		rte_prefetch0((const char *)c + (size_t)i * RTE_CACHE_LINE_SIZE);
}

/* The connection that has the next turn to send, if there are many. */
static inline void ahead_output(const struct engine *e)
{
	if (!list_empty(&e->out) && ahead_many(e))
		ahead_conn(container_of(e->out.next, struct conn, out_link));
}

/*
 * The connection whose timer comes after so many others, likewise.  What is not a connection's is fetched for nothing: to ask
 * what it is would mean to wait for it.
 */
#define AHEAD_TIMERS 3u
static inline void ahead_timer(const struct engine *e, unsigned others)
{
	const struct wheel_timer *t = ahead_many(e) ? wheel_peek(&e->wheel, others) : NULL;

	if (t)
		ahead_conn(container_of(t, struct conn, wheel));
}

/* Before the burst's first packet, and before each one: at is its index. */
void ahead_begin(struct engine *e, struct ahead *a, struct rte_mbuf **pkts, int n);
void ahead_step(struct engine *e, struct ahead *a, struct rte_mbuf **pkts, int n, int at);

#endif
