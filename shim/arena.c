/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arena.c - slabs in one shared mapping.  Each slab has its own stretch of addresses, from which it takes objects one by one as
 * long as no freed one is at hand; the kernel gives memory to the pages that were touched and no others.
 */
#include "shim/arena.h"
#include "io/io.h"
#include "shim/epoll.h"
#include "shim/lock.h"
#include "shim/sock.h"
#include "shim/wait.h"

#include <errno.h>
#include <sys/mman.h>

#define SLAB_ALIGN 64u
#define MADE_AT_ONCE 16u
#define ALIGNED(size) (((size) + SLAB_ALIGN - 1) & ~(size_t)(SLAB_ALIGN - 1))

static const struct {
	size_t size;
	uint32_t most;
	size_t stays; /* offset of a word that is not zeroed; 0: none */
} kinds[SLABS] = {
    [SLAB_SOCK] = {ALIGNED(sizeof(struct sock)), 1u << 18},
    [SLAB_SPREAD] = {ALIGNED(sizeof(struct spread)), 1u << 18},
    [SLAB_EPSET] = {ALIGNED(sizeof(struct epset)), 1u << 16, offsetof(struct epset, ready_lock)},
    [SLAB_MEMBER] = {ALIGNED(sizeof(struct member)), 1u << 19},
    [SLAB_WATCH] = {ALIGNED(sizeof(struct watch)), 1u << 18},
    [SLAB_THREAD] = {ALIGNED(sizeof(struct thread)), THREADS_MAX},
};

_Static_assert(SLABS <= 1 << 4 && IO_QUEUES_MAX <= 1 << 4, "slab and home fit into an object's header");

/* At the start of the region, shared like the objects themselves.  Order: the lock of the new ones, then that of a list. */
struct slab_head {
	struct lock lock; /* of `made` */
	_Atomic uint32_t made;
	struct free_list {
		struct lock lock;
		struct object *first;
	} __attribute__((aligned(SLAB_ALIGN))) free[IO_QUEUES_MAX]; /* by the objects' home */
} __attribute__((aligned(SLAB_ALIGN)));

static struct slab_head *heads;
static char *bases[SLABS];
static struct sock_rare *rares; /* by index of the socket */

/*
 * Who holds an owned object, beyond the first 64 processes: behind the slabs, so that it takes memory only in a family that is so
 * large.
 */
#define WORD_PROCS 64
#define FAR_WORDS (PROCS_MAX / WORD_PROCS - 1)
static struct far_holders {
	_Atomic uint32_t procs; /* arena_procs() */
	_Atomic uint64_t words[][FAR_WORDS];
} * far_holders;

static bool is_owned(enum slab slab)
{
	return slab == SLAB_SOCK || slab == SLAB_EPSET;
}

int arena_init(void)
{
	size_t size = SLABS * sizeof(struct slab_head), at = size;
	char *region;

	for (unsigned i = 0; i < SLABS; i++)
		size += kinds[i].size * kinds[i].most + (is_owned(i) ? kinds[i].most * sizeof(far_holders->words[0]) : 0);
	size += ALIGNED(kinds[SLAB_SOCK].most * sizeof(*rares)) + sizeof(*far_holders);
	region = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (region == MAP_FAILED)
		return -ENOMEM;
	heads = (struct slab_head *)region;
	for (unsigned i = 0; i < SLABS; i++) {
		bases[i] = region + at;
		at += kinds[i].size * kinds[i].most;
	}
	rares = (struct sock_rare *)(region + at);
	at += ALIGNED(kinds[SLAB_SOCK].most * sizeof(*rares));
	far_holders = (struct far_holders *)(region + at);
	atomic_store_explicit(&far_holders->procs, WORD_PROCS, memory_order_relaxed);
	return 0;
}

/* The object at a place, which is its index + 1; NULL for 0. */
static struct object *object_at(enum slab slab, uint32_t place)
{
	return place ? (struct object *)(bases[slab] + (size_t)(place - 1) * kinds[slab].size) : NULL;
}

unsigned arena_procs(void)
{
	return atomic_load_explicit(&far_holders->procs, memory_order_acquire);
}

_Atomic uint64_t *arena_holders(void *obj, unsigned proc)
{
	struct owned *o = obj;
	uint32_t at = o->obj.index + (o->obj.slab == SLAB_EPSET ? kinds[SLAB_SOCK].most : 0), seen = arena_procs();

	if (proc < WORD_PROCS)
		return &o->holders;
	while (seen <= proc && !atomic_compare_exchange_weak(&far_holders->procs, &seen, (proc / WORD_PROCS + 1) * WORD_PROCS))
		;
	return &far_holders->words[at][proc / WORD_PROCS - 1];
}

void *arena_beside(const void *obj)
{
	const struct object *o = obj;

	return &rares[o->index];
}

static struct object *take_free(enum slab slab, unsigned home)
{
	struct free_list *l = &heads[slab].free[home];
	struct object *o;

	lock_take(&l->lock);
	o = l->first;
	if (o)
		l->first = object_at(slab, o->next_free);
	lock_drop(&l->lock);
	return o;
}

static void put_free(struct object *o)
{
	struct free_list *l = &heads[o->slab].free[o->home];

	lock_take(&l->lock);
	o->next_free = l->first ? l->first->index + 1u : 0;
	l->first = o;
	lock_drop(&l->lock);
}

/* The next object never used before.  Caller holds the slab's lock. */
static struct object *make_one(enum slab slab, unsigned home)
{
	uint32_t index = atomic_load_explicit(&heads[slab].made, memory_order_relaxed);
	struct object *o;

	if (index == kinds[slab].most)
		return NULL;
	o = object_at(slab, index + 1);
	o->index = index;
	o->slab = slab;
	o->home = home;
	atomic_store_explicit(&o->ref, 1ull << 32, memory_order_relaxed);
	atomic_store_explicit(&heads[slab].made, index + 1, memory_order_release);
	return o;
}

/* A new object for the caller, and some for later: neighbours in memory are of one home. */
static struct object *make(enum slab slab, unsigned home)
{
	struct slab_head *h = &heads[slab];
	struct object *o, *more;

	lock_take(&h->lock);
	o = make_one(slab, home);
	for (unsigned i = 1; i < MADE_AT_ONCE && (more = make_one(slab, home)); i++)
		put_free(more);
	lock_drop(&h->lock);
	return o;
}

static struct object *take(enum slab slab)
{
	/* A thread's own record is taken before there is one. */
	unsigned home = thread_known ? thread_known->home : 0;
	struct object *o = take_free(slab, home);

	o = o ? o : make(slab, home);
	for (home = 0; !o && home < IO_QUEUES_MAX; home++)
		o = take_free(slab, home);
	return o;
}

/* All but the header and what is to stay.  Who holds a stale reference may be reading it, atomically, before it finds that out.
 */
static void wipe(struct object *o, enum slab slab)
{
	_Atomic uint64_t *words = (_Atomic uint64_t *)o;
	const size_t word = sizeof(*words);

	_Static_assert(sizeof(*o) % sizeof(*words) == 0, "whole words");
	for (size_t at = sizeof(*o); at < kinds[slab].size; at += word)
		if (at != kinds[slab].stays)
			atomic_store_explicit(&words[at / word], 0, memory_order_relaxed);
}

void *arena_get(enum slab slab)
{
	struct object *o = take(slab);

	if (!o)
		return NULL;
	wipe(o, slab);
	o->next_free = 0;
	atomic_fetch_add_explicit(&o->ref, 1, memory_order_release);
	return o;
}

void arena_put(void *obj)
{
	struct object *o = obj;
	uint64_t ref = atomic_load_explicit(&o->ref, memory_order_relaxed);

	/* object_release() moved the generation on already; an object with its one reference left has that still to come. */
	if ((uint32_t)ref)
		atomic_store_explicit(&o->ref, ((ref >> 32) + 1) << 32, memory_order_release);
	for (unsigned proc = 0; is_owned(o->slab) && proc < arena_procs(); proc += WORD_PROCS)
		atomic_store_explicit(arena_holders(o, proc), 0, memory_order_relaxed);
	put_free(o);
}

void *arena_at(enum slab slab, uint32_t index)
{
	return index < arena_count(slab) ? bases[slab] + (size_t)index * kinds[slab].size : NULL;
}

uint32_t arena_count(enum slab slab)
{
	return heads ? atomic_load_explicit(&heads[slab].made, memory_order_acquire) : 0;
}

uint32_t arena_room(enum slab slab)
{
	return kinds[slab].most;
}

bool object_hold(void *obj, uint32_t gen)
{
	struct object *o = obj;
	uint64_t ref = atomic_load_explicit(&o->ref, memory_order_relaxed);

	do {
		if (ref >> 32 != gen || (uint32_t)ref == 0)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&o->ref, &ref, ref + 1, memory_order_acquire, memory_order_relaxed));
	return true;
}

bool object_release(void *obj)
{
	struct object *o = obj;
	uint64_t ref = atomic_load_explicit(&o->ref, memory_order_relaxed), next;

	do {
		if ((uint32_t)ref == 0)
			return false; /* killed */
		next = (uint32_t)ref == 1 ? ((ref >> 32) + 1) << 32 : ref - 1;
	} while (!atomic_compare_exchange_weak_explicit(&o->ref, &ref, next, memory_order_acq_rel, memory_order_relaxed));
	return (uint32_t)ref == 1;
}
