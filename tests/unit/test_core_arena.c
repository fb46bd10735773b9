/* SPDX-License-Identifier: BSD-3-Clause */
/* test_core_arena.c - shim/arena.c and shim/lock.c: generations make stale references harmless, also among threads. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/arena.h"
#include "shim/epoll.h"
#include "shim/hold.h"
#include "shim/runtime.h"
#include "shim/sock.h"

#define THREADS 4
#define ROUNDS 20000

static long syscall6(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static int setup(void **state)
{
	static const struct real_calls real = {.syscall = syscall6};

	rt.real = &real;
	return arena_init() || family_init();
}

static void freed_object_is_stale(void **state)
{
	struct sock *s = arena_get(SLAB_SOCK), *again;
	uint32_t gen = object_gen(s);

	assert_true(object_is(s, gen));
	assert_true(object_hold(s, gen));
	assert_false(object_release(s));
	assert_true(object_release(s));
	/* Stale for everybody between the last release and its next life. */
	assert_false(object_is(s, gen));
	assert_false(object_hold(s, gen));
	arena_put(s);
	again = arena_get(SLAB_SOCK);
	assert_ptr_equal(again, s);
	assert_false(object_is(again, gen));
	assert_false(object_hold(again, gen));
	assert_int_not_equal(object_gen(again), gen);
	arena_put(again);
}

static unsigned buried;

static void count_buried(void *obj)
{
	buried++;
	arena_put(obj);
}

static void process_holds_once_however_often(void **state)
{
	struct sock *s = arena_get(SLAB_SOCK);
	uint32_t gen = object_gen(s);

	hold_first(s);
	assert_true(hold_more(s, gen));
	assert_false(hold_more(s, gen + 1));
	assert_int_equal(hold_less(s, gen), HOLD_MINE);
	assert_int_equal(hold_less(s, gen), HOLD_NOBODY);
	assert_int_equal(hold_less(s, gen), HOLD_STALE);
	assert_false(hold_more(s, gen));
	assert_false(object_is(s, gen));
	arena_put(s);
}

/* What a child was given lives on without the parent, and ends with the child, of which nothing else is left. */
static void killed_process_lets_go(void **state)
{
	struct sock *s = arena_get(SLAB_SOCK);
	uint32_t gen = object_gen(s);

	buried = 0;
	hold_first(s);
	hold_share(SLAB_SOCK, 5);
	hold_share(SLAB_SOCK, 69);
	assert_int_equal(hold_processes(s), 3);
	assert_int_equal(hold_none(s), HOLD_OTHERS);
	assert_int_equal(hold_none(s), HOLD_STALE);
	hold_bury(SLAB_SOCK, 5, count_buried);
	assert_true(object_is(s, gen));
	hold_bury(SLAB_SOCK, 5, count_buried);
	assert_int_equal(buried, 0);
	hold_bury(SLAB_SOCK, 69, count_buried);
	assert_int_equal(buried, 1);
	assert_false(object_is(s, gen));
	/* Nothing of that is left to the next one in the same place. */
	assert_ptr_equal(arena_get(SLAB_SOCK), s);
	hold_first(s);
	assert_int_equal(hold_processes(s), 1);
	assert_int_equal(hold_none(s), HOLD_NOBODY);
	arena_put(s);
}

/* The child counts its descriptors, whatever the parent's calls held besides, and lets go of what it has none for. */
static void child_holds_what_its_descriptors_say(void **state)
{
	struct sock *two = arena_get(SLAB_SOCK), *none = arena_get(SLAB_SOCK);
	uint32_t gen = object_gen(two);

	buried = 0;
	hold_first(two);
	hold_first(none);
	hold_more(none, object_gen(none));
	hold_forget();
	hold_found(two, gen);
	hold_found(two, gen);
	hold_settle(SLAB_SOCK, count_buried);
	assert_int_equal(buried, 1);
	assert_int_equal(hold_less(two, gen), HOLD_MINE);
	assert_int_equal(hold_less(two, gen), HOLD_NOBODY);
	arena_put(two);
}

static void objects_are_zeroed_and_distinct(void **state)
{
	struct watch *w[100];

	for (int i = 0; i < 100; i++) {
		w[i] = arena_get(SLAB_WATCH);
		assert_non_null(w[i]);
		assert_null(w[i]->on);
		assert_int_equal(w[i]->mask, 0);
		w[i]->mask = ~0u;
		assert_ptr_equal(arena_at(SLAB_WATCH, w[i]->obj.index), w[i]);
		for (int j = 0; j < i; j++)
			assert_ptr_not_equal(w[i], w[j]);
	}
	for (int i = 0; i < 100; i++)
		arena_put(w[i]);
	assert_null(arena_at(SLAB_WATCH, arena_count(SLAB_WATCH)));
}

/* Threads of two stacks do not hand each other their objects, whoever frees them, until there are no others. */
static void objects_go_home(void **state)
{
	struct thread *self = thread_self();
	uint32_t room = arena_room(SLAB_EPSET), nfirst, nlast = 0, i;
	static void *first[1 << 16];
	void *second;

	assert_true(room <= sizeof(first) / sizeof(first[0]));
	self->home = 1;
	second = arena_get(SLAB_EPSET);
	self->home = 0;
	arena_put(second);
	for (nfirst = 0; (first[nfirst] = arena_get(SLAB_EPSET)) != second; nfirst++)
		assert_non_null(first[nfirst]);
	/* New ones are made by the handful. */
	assert_in_range(nfirst, room / 2, room - 1);
	while (arena_get(SLAB_EPSET))
		nlast++;
	assert_int_equal(nfirst + 1 + nlast, room);
	arena_put(second);
	self->home = 1;
	for (i = 0; i < nfirst; i++)
		arena_put(first[i]);
	assert_ptr_equal(arena_get(SLAB_EPSET), second);
	first[0] = arena_get(SLAB_EPSET);
	assert_non_null(first[0]);
	arena_put(first[0]);
	arena_put(second);
	self->home = 0;
}

/* One object whose owner frees and remakes it, and threads that hold it when they can: never two lives at once. */
static struct sock *shared;
static _Atomic uint32_t shared_gen;
static _Atomic bool stop;
static _Atomic int ended;

/* Who came with a stale reference to a set and has its lock keeps it, though the set begins another life meanwhile. */
static void lock_of_a_set_outlives_it(void **state)
{
	struct epset *set = arena_get(SLAB_EPSET), *again;

	lock_take(&set->ready_lock);
	set->nready = 3;
	arena_put(set);
	again = arena_get(SLAB_EPSET);
	assert_ptr_equal(again, set);
	assert_true(lock_mine(&again->ready_lock));
	assert_int_equal(again->nready, 0);
	lock_drop(&again->ready_lock);
	arena_put(again);
}

static void *holder(void *arg)
{
	while (!atomic_load(&stop)) {
		struct sock *s = shared;
		uint32_t gen = atomic_load(&shared_gen);

		if (!object_hold(s, gen))
			continue;
		assert_true(object_is(s, gen));
		if (object_release(s)) {
			arena_put(s);
			atomic_fetch_add(&ended, 1);
		}
	}
	return NULL;
}

static void hold_and_release_race(void **state)
{
	pthread_t t[THREADS];
	int mine = 0;

	shared = arena_get(SLAB_SOCK);
	atomic_store(&shared_gen, object_gen(shared));
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, holder, NULL);
	for (int i = 0; i < ROUNDS; i++) {
		/* Whoever was last gives it back, and as the latest to be freed it is the first to be handed out. */
		if (object_release(shared)) {
			mine++;
			arena_put(shared);
		} else {
			while (mine + atomic_load(&ended) != i + 1)
				sched_yield();
		}
		assert_ptr_equal(arena_get(SLAB_SOCK), shared);
		atomic_store(&shared_gen, object_gen(shared));
	}
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(mine + ended, ROUNDS);
}

static struct lock lock;
static int counter;

static void *count_up(void *arg)
{
	for (int i = 0; i < ROUNDS; i++) {
		lock_take(&lock);
		counter++;
		lock_drop(&lock);
	}
	return NULL;
}

static void lock_excludes(void **state)
{
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, count_up, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(counter, THREADS * ROUNDS);
	assert_true(lock_try(&lock));
	assert_true(lock_mine(&lock));
	assert_false(lock_try(&lock));
	lock_drop(&lock);
	assert_false(lock_mine(&lock));
}

/* The region is shared: a lock that a child process holds keeps the parent out, and its release lets it in. */
static void lock_works_across_fork(void **state)
{
	struct sock *s = arena_get(SLAB_SOCK);
	struct lock *l = &s->poll.lock;
	int ready[2], status;
	pid_t child;
	char c;

	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (!child) {
		lock_take(l);
		s->family = 77;
		(void)!write(ready[1], "x", 1);
		/* Until the parent sleeps on it. */
		while (!(atomic_load(&l->word) & LOCK_WAITERS))
			;
		s->family = 78;
		lock_drop(l);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(s->family, 77);
	lock_take(l);
	assert_int_equal(s->family, 78);
	lock_drop(l);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	arena_put(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(freed_object_is_stale),
	    cmocka_unit_test(process_holds_once_however_often),
	    cmocka_unit_test(killed_process_lets_go),
	    cmocka_unit_test(child_holds_what_its_descriptors_say),
	    cmocka_unit_test(objects_are_zeroed_and_distinct),
	    cmocka_unit_test(lock_of_a_set_outlives_it),
	    cmocka_unit_test(objects_go_home),
	    cmocka_unit_test(hold_and_release_race),
	    cmocka_unit_test(lock_excludes),
	    cmocka_unit_test(lock_works_across_fork),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
