/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hold.c - the two levels of counting of hold.h.  A process's word for an object is its generation and a count; the shared side
 * is a bit in the object and one of its references.
 */
#include "shim/hold.h"
#include "shim/birth.h"
#include "shim/runtime.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* Private to the process, by slab and index: generation << 32 | count. */
static _Atomic uint64_t *counts[SLABS];

int hold_init(void)
{
	static const enum slab owned[] = {SLAB_SOCK, SLAB_EPSET};

	for (unsigned i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
		size_t size = arena_room(owned[i]) * sizeof(*counts[0]);
		void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (map == MAP_FAILED)
			return -ENOMEM;
		counts[owned[i]] = map;
	}
	return 0;
}

static _Atomic uint64_t *count_of(const void *obj)
{
	const struct object *o = obj;

	return &counts[o->slab][o->index];
}

static _Atomic uint64_t *holders_of(void *obj, unsigned proc)
{
	return arena_holders(obj, proc);
}

/* False if it was set. */
static bool mark(void *obj, unsigned proc)
{
	uint64_t bit = 1ull << (proc % 64);

	return !(atomic_fetch_or_explicit(holders_of(obj, proc), bit, memory_order_relaxed) & bit);
}

static bool marked(void *obj, unsigned proc)
{
	return atomic_load_explicit(holders_of(obj, proc), memory_order_relaxed) & 1ull << (proc % 64);
}

/* False if it was not set. */
static bool clear(void *obj, unsigned proc)
{
	uint64_t bit = 1ull << (proc % 64);

	return atomic_fetch_and_explicit(holders_of(obj, proc), ~bit, memory_order_relaxed) & bit;
}

/*
 * A process's reference ends, if it has one: true if it was the last of all.  Then the bit stays until the object is given back:
 * should the process be killed while it takes it apart, who buries it goes on with that.
 */
static bool unmark(void *obj, unsigned proc)
{
	if ((uint32_t)atomic_load(&((struct object *)obj)->ref) != 1) {
		if (!clear(obj, proc) || !object_release(obj))
			return false;
		mark(obj, proc);
		return true;
	}
	if (!marked(obj, proc))
		return false;
	if (object_release(obj))
		return true;
	clear(obj, proc);
	return false;
}

void hold_first(void *obj)
{
	/* Nobody else knows of it: no read-modify-write is needed. */
	atomic_store_explicit(holders_of(obj, rt.proc), 1ull << (rt.proc % 64), memory_order_relaxed);
	atomic_store_explicit(count_of(obj), (uint64_t)object_gen(obj) << 32 | 1, memory_order_release);
}

bool hold_more(void *obj, uint32_t gen)
{
	_Atomic uint64_t *word = count_of(obj);
	uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);

	do {
		if (seen >> 32 != gen || !(uint32_t)seen)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(word, &seen, seen + 1, memory_order_acquire, memory_order_relaxed));
	return true;
}

enum hold_left hold_less(void *obj, uint32_t gen)
{
	_Atomic uint64_t *word = count_of(obj);
	uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);

	do {
		if (seen >> 32 != gen || !(uint32_t)seen)
			return HOLD_STALE;
	} while (!atomic_compare_exchange_weak_explicit(word, &seen, seen - 1, memory_order_acq_rel, memory_order_relaxed));
	if ((uint32_t)seen > 1)
		return HOLD_MINE;
	return unmark(obj, rt.proc) ? HOLD_NOBODY : HOLD_OTHERS;
}

enum hold_left hold_none(void *obj)
{
	if (!(uint32_t)atomic_exchange(count_of(obj), 0))
		return HOLD_STALE;
	return unmark(obj, rt.proc) ? HOLD_NOBODY : HOLD_OTHERS;
}

unsigned hold_count(const void *obj)
{
	return (uint32_t)atomic_load_explicit(count_of(obj), memory_order_relaxed);
}

unsigned hold_processes(const void *obj)
{
	unsigned n = 0;

	for (unsigned proc = 0; proc < arena_procs(); proc += 64)
		n += (unsigned)__builtin_popcountll(atomic_load_explicit(arena_holders((void *)obj, proc), memory_order_relaxed));
	return n;
}

void hold_share(enum slab slab, unsigned child)
{
	uint32_t n = arena_count(slab);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t seen = atomic_load_explicit(&counts[slab][i], memory_order_relaxed);
		void *obj = arena_at(slab, i);

		if (slab == SLAB_SOCK && !birth_shares(obj))
			continue;
		/* Another thread may close it at this moment. */
		if ((uint32_t)seen && object_hold(obj, (uint32_t)(seen >> 32)) && !mark(obj, child))
			object_release(obj);
	}
}

void hold_forget(void)
{
	for (unsigned slab = 0; slab < SLABS; slab++)
		if (counts[slab])
			memset(counts[slab], 0, arena_count(slab) * sizeof(*counts[0]));
}

void hold_found(void *obj, uint32_t gen)
{
	_Atomic uint64_t *word = count_of(obj);
	uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);

	/* A descriptor that appeared while the parent forked is not marked yet. */
	if (!(uint32_t)seen && !marked(obj, rt.proc)) {
		if (!object_hold(obj, gen))
			return;
		mark(obj, rt.proc);
	}
	atomic_store_explicit(word, (uint64_t)gen << 32 | ((uint32_t)seen + 1), memory_order_relaxed);
}

void hold_settle(enum slab slab, void (*nobody)(void *obj))
{
	uint32_t n = arena_count(slab);

	for (uint32_t i = 0; i < n; i++) {
		void *obj = arena_at(slab, i);

		if (!(uint32_t)atomic_load_explicit(&counts[slab][i], memory_order_relaxed) && unmark(obj, rt.proc))
			nobody(obj);
	}
}

void hold_bury(enum slab slab, unsigned proc, void (*nobody)(void *obj))
{
	uint32_t n = arena_count(slab);

	for (uint32_t i = 0; i < n; i++) {
		void *obj = arena_at(slab, i);

		if (!marked(obj, proc))
			continue;
		/* Live: one holder less.  Not live: it was being taken apart. */
		if (!object_is(obj, object_gen(obj)) || unmark(obj, proc))
			nobody(obj);
	}
}
