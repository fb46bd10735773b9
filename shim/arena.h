/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arena.h - the core's objects: one region of shared memory, made when the core is loaded and never unmapped, cut into slabs of
 * one type each.
 *
 * An object's memory is of its type for ever, and its generation changes when it is freed: a stale pointer is harmless, and the
 * generation kept beside it tells that it is stale.  Objects are zeroed but for their header when they are handed out; so is not
 * an epoll set's lock of its ready list, so that who comes with a stale pointer may take it, and find out under it.
 * Any thread, and later any process of the fork family, may use it: nothing in an object leads to private memory.
 */
#ifndef SHIM_ARENA_H
#define SHIM_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* First member of every object. */
struct object {
	_Atomic uint64_t ref; /* generation in the upper half, number of references in the lower */
	uint32_t next_free;   /* while free: the index of the next one + 1; 0: none */
	uint32_t index : 24;  /* its place in its slab, for ever */
	uint32_t slab : 4;    /* enum slab */
	uint32_t home : 4;    /* the stack whose threads it is handed out to first, for ever */
};

/* Processes that may share the engine: a fork family. */
#define PROCS_MAX 256

/* An object that processes hold, by bits of their numbers; each counts as one reference (hold.h). */
struct owned {
	struct object obj;
	_Atomic uint64_t holders; /* the first 64; few families have more (arena_holders()) */
};

enum slab { SLAB_SOCK, SLAB_SPREAD, SLAB_EPSET, SLAB_MEMBER, SLAB_WATCH, SLAB_THREAD, SLABS };

/* Map the region.  0 or -ENOMEM.  Once. */
int arena_init(void);
/*
 * A new object with one reference, zeroed; NULL when the slab is used up.  Threads of different stacks are handed different
 * objects as long as there are new ones: neither the objects nor the lists of the free ones go to and fro between their cores.
 */
void *arena_get(enum slab slab);
/* Give back an object whose last reference is gone (or that has only the one of arena_get()): its generation moves on. */
void arena_put(void *obj);
/* The object at an index; NULL if there never was one. */
void *arena_at(enum slab slab, uint32_t index);
/* Memory that belongs to the object and lies apart, so that it takes none before it is touched: zero in an object's first life,
 * and as it was left in the next.  Of SLAB_SOCK, sizeof(struct sock_rare). */
void *arena_beside(const void *obj);
/* How many objects of the slab were ever made: indices below it are valid for arena_at(). */
uint32_t arena_count(enum slab slab);
/* How many there can be. */
uint32_t arena_room(enum slab slab);

/* The word with the bit of this process of those that hold an owned object, which is of SLAB_SOCK or SLAB_EPSET. */
_Atomic uint64_t *arena_holders(void *obj, unsigned proc);
/* No process with this number or a higher one ever held anything: their words need not be looked at. */
unsigned arena_procs(void);

/* The generation to keep beside a pointer. */
static inline uint32_t object_gen(const void *obj)
{
	return atomic_load_explicit(&((struct object *)obj)->ref, memory_order_acquire) >> 32;
}
/* Is it still the object of this generation, with a reference left? */
static inline bool object_is(const void *obj, uint32_t gen)
{
	uint64_t ref = atomic_load_explicit(&((struct object *)obj)->ref, memory_order_acquire);

	return ref >> 32 == gen && (uint32_t)ref != 0;
}
/* One more reference: false if the object is no longer the one of this generation. */
bool object_hold(void *obj, uint32_t gen);
/* One less; true if it was the last: the caller must then dismantle the object and arena_put() it. Others see it as stale from
 * here on. */
bool object_release(void *obj);

#endif
