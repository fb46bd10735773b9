/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * world.c - one clock for all hosts and links; see world.h.  The loop moves to the next thing that is to happen anywhere, and
 * bounds how much may happen without time passing: a livelock is a failure like any other.
 */
#include <stdarg.h>
#include <string.h>

#include "tests/sim/world.h"

/* Rounds of the loop that one instant and one virtual second may take. */
#define INSTANT_MAX 10000
#define SECOND_MAX 1000000
/* Orphans under loss, TIME-WAIT and neighbours are gone after this, virtual microseconds. */
#define CLEANUP_US 3000000000
/* Virtual time between two looks at the sessions. */
#define PROGRESS_US 5000000

void world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->reason, sizeof(w->reason), fmt, ap);
	va_end(ap);
	longjmp(w->failed, 1);
}

/* Let everybody act at the present instant until nobody has anything to do. */
static void settle(struct world *w)
{
	bool busy = true;

	for (unsigned rounds = 0; busy; rounds++) {
		if (rounds == INSTANT_MAX)
			world_fail(w, "no end of work at one instant");
		busy = sessions_begin(w);
		busy |= sessions_accept(w);
		busy |= sessions_run(w);
		for (unsigned i = 0; i < w->nhosts; i++)
			busy |= host_work(w, i);
	}
}

static usec_t earliest(usec_t a, usec_t b)
{
	return a < b ? a : b;
}

/* When something happens next, anywhere. */
static usec_t next_time(const struct world *w)
{
	usec_t next = earliest(sessions_next(w), faults_next(w));

	for (unsigned i = 0; i < w->nhosts; i++)
		next = earliest(next, host_next(w, i));
	return earliest(next, net_next(w));
}

static void count_step(struct world *w)
{
	w->steps++;
	if (w->steps % w->look_steps == 0)
		invariants_check(w);
	if (w->now - w->second >= PROGRESS_US) {
		w->second = w->now;
		w->steps_second = 0;
		invariants_progress(w);
	}
	if (++w->steps_second > SECOND_MAX * (PROGRESS_US / 1000000))
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
	faults_run(w);
	net_run(w);
	settle(w);
	count_step(w);
}

void world_begin(struct world *w)
{
	w->now = w->second = CLOCK_START;
	for (unsigned i = 0; i < w->nhosts; i++)
		host_boot(w, i);
}

static void usage(const struct world *w, unsigned i, struct engine_usage *u)
{
	struct engine_usage one;

	memset(u, 0, sizeof(*u));
	for (unsigned k = 0; k < STACKS_MAX; k++) {
		if (!w->host[i].stack[k].e)
			continue;
		engine_usage(w->host[i].stack[k].e, &one);
		u->conns += one.conns;
		u->timewaits += one.timewaits;
		u->half_open += one.half_open;
		u->mbufs += one.mbufs;
	}
}

/* A host that holds something, or nhosts. */
static unsigned holder(const struct world *w)
{
	struct engine_usage u;
	unsigned i;

	for (i = 0; i < w->nhosts; i++) {
		usage(w, i, &u);
		if (u.conns || u.timewaits || u.half_open || u.mbufs)
			break;
	}
	return i;
}

/* Close everything and wait until all engines hold nothing. */
static void clean_up(struct world *w)
{
	usec_t limit;
	struct engine_usage u;

	/* Hosts that are away come back. */
	while (w->next_fault < w->nfaults)
		step(w, w->end);
	limit = w->now + CLEANUP_US;
	for (unsigned i = 0; i < w->nhosts; i++) {
		sessions_close(w, i);
		host_deafen(w, i);
	}
	settle(w);
	while (holder(w) < w->nhosts) {
		if (next_time(w) <= limit) {
			step(w, limit);
			continue;
		}
		usage(w, holder(w), &u);
		world_fail(w, "host %u, left after everything was closed: %u connections, %u TIME-WAIT, %u half open, %u mbufs",
			   holder(w), u.conns, u.timewaits, u.half_open, u.mbufs);
	}
}

void world_transfer(struct world *w)
{
	settle(w);
	while (!sessions_done(w))
		step(w, w->end);
	sessions_check(w);
}

void world_run_until(struct world *w, usec_t at)
{
	settle(w);
	while (next_time(w) <= at)
		step(w, at);
	w->now = at;
}

void world_run(struct world *w)
{
	world_transfer(w);
	clean_up(w);
	for (unsigned i = 0; i < w->nhosts; i++) {
		int lost;

		invariants_empty(w, i);
		lost = host_end(w, i);
		if (lost)
			world_fail(w, "host %u: %d mbufs did not come back", i, lost);
	}
}

void world_drop(struct world *w)
{
	for (unsigned i = 0; i < w->nhosts; i++)
		if (w->host[i].boots && !w->host[i].gone)
			host_end(w, i);
	net_clear(w);
}
