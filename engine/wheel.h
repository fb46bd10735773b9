/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wheel.h - timers: a hierarchical wheel of 256-slot levels, exact to the microsecond.  Arm, disarm and "what is next" cost O(1)
 * whatever the number of timers: a bitmap per level says which slots are in use, and a timer sits at the level of the highest
 * digit in which its time differs from the wheel's.  Not thread-safe; owned by one engine.
 */
#ifndef ENGINE_WHEEL_H
#define ENGINE_WHEEL_H

#include "engine/engine.h"
#include "engine/list.h"

#define WHEEL_BITS 8 /* few levels: each time that a timer moves down is a miss among many connections */
#define WHEEL_SLOTS (1u << WHEEL_BITS)
#define WHEEL_LEVELS 7			  /* 56 bits: more than a timer has */
#define WHEEL_TIME_MAX ((1ull << 51) - 1) /* 71 years */

struct wheel_timer {
	struct list link;	    /* in a slot; unlinked: not armed */
	usec_t at : 51;		    /* deadline, absolute */
	usec_t kind : 2;	    /* the owner's: says what the timer is embedded in */
	usec_t level : 3, slot : 8; /* where it is */
};

struct wheel {
	usec_t now;  /* as of the last that was due: everything before this has been handed out */
	usec_t next; /* no timer is due before this */
	unsigned armed;
	unsigned levels;			       /* a bit for each level in use */
	uint64_t used[WHEEL_LEVELS][WHEEL_SLOTS / 64]; /* a bit for each slot in use */
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, usec_t now);
/* Arm, or move, a timer to fire at `at`; a time in the past fires at the next wheel_pop(). */
void wheel_arm(struct wheel *w, struct wheel_timer *t, usec_t at);
void wheel_disarm(struct wheel *w, struct wheel_timer *t);
static inline bool wheel_armed(const struct wheel_timer *t)
{
	return list_linked(&t->link);
}
/*
 * When wheel_pop() should be called next: never later than the earliest deadline, and exact unless more than a handful of timers
 * share its slot; USEC_NEVER when none is armed.  Kept rather than looked for: it is asked at every turn.  Disarming the earliest
 * timer leaves it early, for one turn in vain.
 */
static inline usec_t wheel_next(const struct wheel *w)
{
	return w->next;
}
struct wheel_timer *wheel_pop_due(struct wheel *w, usec_t now); /* for wheel_pop() */
/* The next timer with at <= now, disarmed, earliest slot first; NULL when no more are due. */
static inline struct wheel_timer *wheel_pop(struct wheel *w, usec_t now)
{
	return now < w->next ? NULL : wheel_pop_due(w, now);
}
/* A guess at whom wheel_pop() hands out next, if one is due within 256 us; NULL: none is. */
const struct wheel_timer *wheel_peek(const struct wheel *w);

#endif
