/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * world.c - two engines, two links, one clock; see world.h.  The loop moves to the next thing that is to happen anywhere, and
 * bounds how much may happen without time passing: a livelock is a failure like any other.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include "tests/sim/world.h"

/* Rounds of the loop that one instant and one virtual second may take. */
#define INSTANT_MAX 10000
#define SECOND_MAX 1000000
/* Orphans under loss, TIME-WAIT and neighbours are gone after this, virtual microseconds. */
#define CLEANUP_US 3000000000

void world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->reason, sizeof(w->reason), fmt, ap);
	va_end(ap);
	longjmp(w->failed, 1);
}

struct ip_addr node_addr(unsigned node)
{
	return ip_from_v4(htonl(0x0a000001 + node));
}

void world_init(struct world *w, const struct node_config nodes[2], const struct link_config links[2],
		struct rte_mempool *const pools[2][STACKS_MAX])
{
	w->now = CLOCK_START;
	for (unsigned i = 0; i < 2; i++)
		link_init(&w->link[i], &links[i], &w->rng);
	for (unsigned i = 0; i < 2; i++)
		node_init(w, i, &nodes[i], pools[i]);
}

/* Let everybody act at the present instant until nobody has anything to do. */
static void settle(struct world *w)
{
	bool busy = true;

	for (unsigned rounds = 0; busy; rounds++) {
		if (rounds == INSTANT_MAX)
			world_fail(w, "no end of work at one instant");
		busy = sessions_begin(w) || sessions_run(w);
		for (unsigned i = 0; i < 2; i++)
			busy |= node_work(w, i);
	}
}

static usec_t earliest(usec_t a, usec_t b)
{
	return a < b ? a : b;
}

/* When something happens next, anywhere. */
static usec_t next_time(const struct world *w)
{
	usec_t next = sessions_next(w);

	for (unsigned i = 0; i < 2; i++) {
		next = earliest(next, node_deadline(w, i));
		next = earliest(next, link_next(&w->link[i]));
	}
	return next;
}

static void count_step(struct world *w)
{
	w->steps++;
	if (w->now - w->second >= 1000000) {
		w->second = w->now;
		w->steps_second = 0;
	}
	if (++w->steps_second > SECOND_MAX)
		world_fail(w, "more than %d steps in a second of virtual time", SECOND_MAX);
}

static void step(struct world *w, usec_t limit)
{
	usec_t next = next_time(w);

	if (next == USEC_NEVER)
		world_fail(w, "standstill: nothing is left to happen");
	if (next > limit)
		world_fail(w, "not over after %.1f seconds of virtual time", (double)(limit - CLOCK_START) / 1e6);
	if (next > w->now)
		w->now = next;
	node_receive(w, 0);
	node_receive(w, 1);
	settle(w);
	count_step(w);
}

static bool holds_nothing(const struct world *w, unsigned i)
{
	struct engine_usage u;

	node_usage(w, i, &u);
	return !u.conns && !u.timewaits && !u.half_open && !u.mbufs;
}

/* Close what is left of a node. */
static void close_all(struct world *w, unsigned i)
{
	for (unsigned s = 0; s < w->nsessions; s++) {
		struct side *me = &w->session[s].side[i];

		if (me->c)
			engine_abort(w->node[i].stack[me->stack].e, me->c, w->now);
		me->c = NULL;
	}
	for (unsigned k = 0; k < w->node[i].cfg.nstacks; k++) {
		struct stack *st = &w->node[i].stack[k];

		engine_close(st->e, st->listener, w->now);
		st->listener = NULL;
	}
}

/* Close everything and wait until all engines hold nothing. */
static void clean_up(struct world *w)
{
	usec_t limit = w->now + CLEANUP_US;
	struct engine_usage u;

	close_all(w, 0);
	close_all(w, 1);
	settle(w);
	while (!holds_nothing(w, 0) || !holds_nothing(w, 1)) {
		if (next_time(w) <= limit) {
			step(w, limit);
			continue;
		}
		node_usage(w, holds_nothing(w, 0), &u);
		world_fail(w, "left after everything was closed: %u connections, %u TIME-WAIT, %u half open, %u mbufs", u.conns,
			   u.timewaits, u.half_open, u.mbufs);
	}
}

void world_transfer(struct world *w)
{
	settle(w);
	while (!sessions_done(w))
		step(w, w->end);
	sessions_check(w);
}

void world_run(struct world *w)
{
	world_transfer(w);
	clean_up(w);
	for (unsigned i = 0; i < 2; i++) {
		int lost = node_end(w, i);

		if (lost)
			world_fail(w, "node %u: %d mbufs did not come back", i, lost);
	}
}

void world_drop(struct world *w)
{
	for (unsigned i = 0; i < 2; i++) {
		node_end(w, i);
		link_clear(&w->link[i]);
	}
}
