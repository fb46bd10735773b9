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
#include "engine/slab.h"

#define WHEEL_BITS 8 /* few levels: each time that a timer moves down is a miss among many connections */
#define WHEEL_SLOTS (1u << WHEEL_BITS)
#define WHEEL_LEVELS 7			  /* 56 bits: more than a timer has */
#define WHEEL_TIME_MAX ((1ull << 51) - 1) /* 71 years */

/* What an owner has of its timer; all zeros: not armed. */
struct wheel_timer {
	uint32_t place : 30; /* of its entry, counted from 1; 0: not armed */
	uint32_t kind : 2;   /* the owner's: says what the timer is embedded in */
};

/*
 * One that is armed.  Entries are the wheel's own and lie close together, those taken last first: what is done to a timer's
 * neighbours, and moving it down, does not touch owners that have long left the cache.
 */
struct wheel_entry {
	struct list link; /* in a slot */
	struct wheel_timer *timer;
	usec_t at : 51;		    /* deadline, absolute */
	usec_t level : 3, slot : 8; /* where it is */
};

struct wheel {
	usec_t now;	     /* as of the last that was due: everything before this has been handed out */
	usec_t next;	     /* no timer is due before this */
	struct slab entries; /* as many are in use as timers are armed */
	unsigned levels;     /* a bit for each level in use */
	uint64_t used[WHEEL_LEVELS][WHEEL_SLOTS / 64]; /* a bit for each slot in use */
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

/* Room for n timers at `entries`, which must outlive the wheel. */
void wheel_init(struct wheel *w, struct wheel_entry *entries, uint32_t n, usec_t now);
/* Arm, or move, a timer to fire at `at`; a time in the past fires at the next wheel_pop(). */
void wheel_arm(struct wheel *w, struct wheel_timer *t, usec_t at);
void wheel_disarm(struct wheel *w, struct wheel_timer *t);
static inline bool wheel_armed(const struct wheel_timer *t)
{
	return t->place;
}
static inline struct wheel_entry *wheel_entry_of(const struct wheel *w, const struct wheel_timer *t)
{
	return (struct wheel_entry *)w->entries.base + t->place - 1;
}
/* When it fires; it must be armed. */
static inline usec_t wheel_at(const struct wheel *w, const struct wheel_timer *t)
{
	return wheel_entry_of(w, t)->at;
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
/* A guess at what wheel_pop() hands out after so many others, if it is due within 256 us; NULL: nothing is. */
const struct wheel_timer *wheel_peek(const struct wheel *w, unsigned others);

#endif
