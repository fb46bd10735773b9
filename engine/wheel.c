/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wheel.c - the hierarchical timer wheel (Varghese and Lauck's scheme 6).  A time is a number of base-256 digits.  A timer sits
 * at the level of the highest digit in which its time differs from the wheel's, in the slot of its own digit there.  So a level
 * in use holds nothing but slots ahead of the wheel's digit, everything on it comes before anything on the level above, and the
 * earliest timers are in the first used slot of the lowest level in use.  When time reaches a slot above level 0, its timers
 * move down.
 */
#include <string.h>

#include "engine/wheel.h"

/* look_for_next() looks at so many timers for the exact deadline, and takes the start of their slot if there are more. */
#define NEXT_SCAN 8

static unsigned digit(usec_t t, unsigned level)
{
	return (t >> (level * WHEEL_BITS)) & (WHEEL_SLOTS - 1);
}

/* When the slot begins: the wheel's digits above it, its own, zeros below. */
static usec_t slot_start(const struct wheel *w, unsigned level, unsigned slot)
{
	unsigned shift = level * WHEEL_BITS;
	usec_t below = ((usec_t)WHEEL_SLOTS << shift) - 1; /* wraps to all ones at the top level */

	return (w->now & ~below) | ((usec_t)slot << shift);
}

static void slot_filled(struct wheel *w, unsigned level, unsigned slot)
{
	w->used[level][slot / 64] |= 1ull << (slot % 64);
	w->levels |= 1u << level;
}

static bool level_is_empty(const struct wheel *w, unsigned level)
{
	uint64_t any = 0;

	for (unsigned i = 0; i < WHEEL_SLOTS / 64; i++)
		any |= w->used[level][i];
	return !any;
}

static void slot_emptied(struct wheel *w, unsigned level, unsigned slot)
{
	w->used[level][slot / 64] &= ~(1ull << (slot % 64));
	if (!w->used[level][slot / 64] && level_is_empty(w, level))
		w->levels &= ~(1u << level);
}

static void place(struct wheel *w, struct wheel_entry *t)
{
	usec_t at = t->at > w->now ? t->at : w->now;
	usec_t differs = at ^ w->now;

	t->level = differs ? (63 - __builtin_clzll(differs)) / WHEEL_BITS : 0;
	t->slot = digit(at, t->level);
	list_add_tail(&w->slots[t->level][t->slot], &t->link);
	slot_filled(w, t->level, t->slot);
}

static void unplace(struct wheel *w, struct wheel_entry *t)
{
	list_del(&t->link);
	if (list_empty(&w->slots[t->level][t->slot]))
		slot_emptied(w, t->level, t->slot);
}

/* The lowest level in use, and its first slot; there must be one. */
static unsigned first_level(const struct wheel *w)
{
	return (unsigned)__builtin_ctz(w->levels);
}

static unsigned first_slot(const struct wheel *w, unsigned level)
{
	unsigned i = 0;

	while (!w->used[level][i])
		i++;
	return i * 64 + (unsigned)__builtin_ctzll(w->used[level][i]);
}

void wheel_init(struct wheel *w, struct wheel_entry *entries, uint32_t n, usec_t now)
{
	slab_init(&w->entries, entries, sizeof(*entries), n);
	w->now = now;
	w->next = USEC_NEVER;
	w->levels = 0;
	memset(w->used, 0, sizeof(w->used));
	for (unsigned level = 0; level < WHEEL_LEVELS; level++)
		for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
			list_init(&w->slots[level][slot]);
}

static struct wheel_entry *entry_taken(struct wheel *w, struct wheel_timer *t)
{
	struct wheel_entry *entry = slab_get(&w->entries);

	entry->timer = t;
	t->place = (uint32_t)(entry - (struct wheel_entry *)w->entries.base) + 1;
	return entry;
}

static void entry_given_back(struct wheel *w, struct wheel_entry *entry)
{
	entry->timer->place = 0;
	slab_put(&w->entries, entry);
	if (!w->entries.used)
		w->next = USEC_NEVER;
}

void wheel_arm(struct wheel *w, struct wheel_timer *t, usec_t at)
{
	struct wheel_entry *entry;

	if (wheel_armed(t)) {
		entry = wheel_entry_of(w, t);
		unplace(w, entry);
	} else {
		entry = entry_taken(w, t);
	}
	entry->at = at < WHEEL_TIME_MAX ? at : WHEEL_TIME_MAX;
	place(w, entry);
	if (at < w->next || w->entries.used == 1)
		w->next = at > w->now ? at : w->now;
}

void wheel_disarm(struct wheel *w, struct wheel_timer *t)
{
	if (!wheel_armed(t))
		return;
	unplace(w, wheel_entry_of(w, t));
	entry_given_back(w, wheel_entry_of(w, t));
}

/* Time reaches a slot: its timers go to lower levels. */
static void cascade(struct wheel *w, unsigned level, unsigned slot)
{
	struct list *head = &w->slots[level][slot];

	slot_emptied(w, level, slot);
	while (!list_empty(head))
		place(w, container_of(list_pop(head), struct wheel_entry, link));
}

/* The earliest deadline, or where its slot begins. */
static usec_t look_for_next(const struct wheel *w)
{
	usec_t earliest = USEC_NEVER;
	unsigned level, slot, seen = 0;

	if (!w->entries.used)
		return USEC_NEVER;
	level = first_level(w);
	slot = first_slot(w, level);
	if (!level)
		return slot_start(w, 0, slot);
	list_each (pos, &w->slots[level][slot]) {
		const struct wheel_entry *t = container_of(pos, struct wheel_entry, link);

		if (++seen > NEXT_SCAN)
			return slot_start(w, level, slot);
		if (t->at < earliest)
			earliest = t->at;
	}
	return earliest;
}

/* On level 0. */
static struct wheel_entry *first_of(const struct wheel *w, unsigned slot)
{
	return container_of(w->slots[0][slot].next, struct wheel_entry, link);
}

struct wheel_timer *wheel_pop_due(struct wheel *w, usec_t now)
{
	while (w->entries.used) {
		unsigned level = first_level(w);
		unsigned slot = first_slot(w, level);
		usec_t start = slot_start(w, level, slot);
		struct wheel_timer *t;

		if (start > now)
			break;
		w->now = start;
		if (level) {
			cascade(w, level, slot);
			continue;
		}
		t = first_of(w, slot)->timer;
		wheel_disarm(w, t);
		return t;
	}
	if (now > w->now)
		w->now = now;
	w->next = look_for_next(w);
	return NULL;
}

const struct wheel_timer *wheel_peek(const struct wheel *w, unsigned others)
{
	for (unsigned word = 0; word < WHEEL_SLOTS / 64; word++)
		for (uint64_t used = w->used[0][word]; used; used &= used - 1)
			list_each (pos, &w->slots[0][word * 64 + (unsigned)__builtin_ctzll(used)])
				if (!others--)
					return container_of(pos, struct wheel_entry, link)->timer;
	return NULL;
}
