/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fresh.c - records of undecided sockets, in one mapping of address space, with lock-free lists of the free ones.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "fresh.h"

#include "fdtab.h"
#include "placeholder.h"
#include "real.h"
#include "shard.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#define RECORDS 65536
#define SPINS 100

static struct fresh *records;
/* Free ones, by shard. */
static struct free_list {
	uint64_t head; /* tag << 32 | index + 1; the tag makes a reused head differ */
} __attribute__((aligned(64))) lists[SHARDS];
static uint32_t untouched; /* records at and above were never handed out */

static struct fresh *map_records(void)
{
	struct fresh *seen = __atomic_load_n(&records, __ATOMIC_ACQUIRE);
	struct fresh *map;

	if (seen)
		return seen;
	map = mmap(NULL, RECORDS * sizeof(*map), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	if (__atomic_compare_exchange_n(&records, &seen, map, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return map;
	munmap(map, RECORDS * sizeof(*map));
	return seen;
}

static struct fresh *pop_free(struct free_list *l, struct fresh *map)
{
	uint64_t head = __atomic_load_n(&l->head, __ATOMIC_ACQUIRE);

	while ((uint32_t)head) {
		struct fresh *f = &map[(uint32_t)head - 1];
		uint64_t next = ((head >> 32) + 1) << 32 | __atomic_load_n(&f->next, __ATOMIC_RELAXED);

		if (__atomic_compare_exchange_n(&l->head, &head, next, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return f;
	}
	return NULL;
}

static void push_free(struct fresh *f)
{
	struct free_list *l = &lists[shard_mine()];
	uint64_t head = __atomic_load_n(&l->head, __ATOMIC_RELAXED);
	uint64_t now;

	do {
		__atomic_store_n(&f->next, (uint32_t)head, __ATOMIC_RELAXED);
		now = ((head >> 32) + 1) << 32 | (uint32_t)(f - records + 1);
	} while (!__atomic_compare_exchange_n(&l->head, &head, now, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
}

/* One that was never handed out; NULL: no more. */
static struct fresh *next_untouched(struct fresh *map)
{
	uint32_t i = __atomic_load_n(&untouched, __ATOMIC_RELAXED);

	do {
		if (i == RECORDS)
			return NULL;
	} while (!__atomic_compare_exchange_n(&untouched, &i, i + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return &map[i];
}

/* This thread's, or a new one; another thread's when there are no new ones. */
static struct fresh *take_record(void)
{
	struct fresh *map = map_records();
	struct fresh *f = map ? pop_free(&lists[shard_mine()], map) : NULL;

	if (f || !map)
		return f;
	f = next_untouched(map);
	for (unsigned i = 1; i < SHARDS && !f; i++)
		f = pop_free(&lists[shard_at(i)], map);
	return f;
}

struct fresh *fresh_new(int family, bool nonblock)
{
	struct fresh *f = take_record();

	if (!f)
		return NULL;
	f->family = family;
	f->nonblock = nonblock;
	f->v6only = f->bound = f->owned = false;
	f->nopts = f->applied = 0;
	__atomic_store_n(&f->refs, 1, __ATOMIC_RELEASE);
	return f;
}

/* A reference, unless the record is free. */
static bool hold(struct fresh *f)
{
	uint32_t refs = __atomic_load_n(&f->refs, __ATOMIC_ACQUIRE);

	do {
		if (!refs)
			return false;
	} while (!__atomic_compare_exchange_n(&f->refs, &refs, refs + 1, true, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	return true;
}

bool fresh_drop(struct fresh *f)
{
	if (__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL))
		return false;
	__atomic_add_fetch(&f->gen, 1, __ATOMIC_RELEASE);
	push_free(f);
	return true;
}

static bool still_is(const struct fdref *r)
{
	struct fdref now = fdtab_get(r->fd);

	return now.kind == FD_FRESH && now.obj == r->obj && now.gen == r->gen;
}

struct fresh *fresh_lock(const struct fdref *r)
{
	struct fresh *f = r->obj;

	if (!hold(f))
		return NULL;
	for (unsigned spins = 0; __atomic_test_and_set(&f->locked, __ATOMIC_ACQUIRE); spins++)
		if (spins > SPINS)
			sched_yield();
	/* Checked with the lock held: whoever had it before may have decided. */
	if (still_is(r))
		return f;
	fresh_unlock(f);
	return NULL;
}

void fresh_unlock(struct fresh *f)
{
	__atomic_clear(&f->locked, __ATOMIC_RELEASE);
	fresh_drop(f);
}

void fresh_share(struct fresh *f)
{
	__atomic_add_fetch(&f->refs, 1, __ATOMIC_ACQ_REL);
}

bool fresh_option(struct fresh *f, const struct early_opt *o, bool applied)
{
	unsigned i = 0;

	while (i < f->nopts && (f->opts[i].level != o->level || f->opts[i].name != o->name))
		i++;
	if (i == FRESH_OPTS_MAX)
		return false;
	f->opts[i] = *o;
	f->nopts += i == f->nopts;
	f->applied = applied ? f->applied | 1u << i : f->applied & ~(1u << i);
	return true;
}

int fresh_flush(struct fresh *f, int fd)
{
	int saved = errno;
	int rc = placeholder_own(fd);

	if (rc)
		return rc;
	for (unsigned i = 0; i < f->nopts; i++) {
		const struct early_opt *o = &f->opts[i];

		/* Only options that cannot fail are put off (own.c), so there is no error to tell anybody. */
		if (!(f->applied & 1u << i))
			REAL(setsockopt)(fd, o->level, o->name, o->val, o->len);
		f->applied |= 1u << i;
	}
	errno = saved;
	return 0;
}

/* Turn one descriptor over; more: another one has the object's first reference. */
static bool turn(struct fresh *f, const struct fdref *was, const struct fdref *to, const struct core_ops *more)
{
	bool pristine;

	if (more && !still_is(was))
		return false;
	/* Before the descriptor shows the object: a close() in another thread may release it at once. */
	if (more)
		more->retain(to);
	if (fdtab_swap(was, to->kind, to->obj, to->gen)) {
		fresh_drop(f);
		return true;
	}
	if (more)
		more->release(to, &pristine);
	return false;
}

unsigned fresh_decide(struct fresh *f, const struct fdref *to, const struct core_ops *ops)
{
	struct fdref was = {.fd = to->fd, .kind = FD_FRESH, .gen = f->gen, .obj = f};
	unsigned done = 0;

	/* The lock's holder has one reference; with one more there is only the caller's descriptor, and no need to search. */
	if (__atomic_load_n(&f->refs, __ATOMIC_ACQUIRE) == 2)
		return turn(f, &was, to, NULL);
	for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1)) {
		was.fd = fd;
		done += turn(f, &was, to, done ? ops : NULL);
	}
	return done;
}
