/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lock.h - the one lock of the core: four bytes that work in memory shared between processes.  Compare-and-swap when it is free,
 * a short spin, then a futex (not private, futex(2), so that processes of a fork family can share it).
 *
 * The word holds the owner's thread id: a signal handler that interrupts the owner can tell that it would wait for itself
 * (lock_mine()). Order, outermost first: stacks by their numbers -> pollable -> an epoll set's ready list; an epoll set's mtx ->
 * pollable; arena slabs are innermost.
 */
#ifndef SHIM_LOCK_H
#define SHIM_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lock {
	_Atomic uint32_t word; /* 0: free; else the owner's thread id, with LOCK_WAITERS if somebody sleeps */
};

#define LOCK_WAITERS 0x80000000u

/* This thread's id; 0 as long as the core does not know the thread. */
extern __thread uint32_t lock_known_tid __attribute__((tls_model("initial-exec")));
uint32_t lock_ask_tid(void) __attribute__((cold));
static inline uint32_t lock_tid(void)
{
	uint32_t tid = lock_known_tid;

	return __builtin_expect(tid != 0, 1) ? tid : lock_ask_tid();
}

bool lock_slow(struct lock *l, uint32_t tid);
void lock_wake(struct lock *l);

static inline bool lock_try(struct lock *l)
{
	uint32_t nobody = 0;

	return atomic_compare_exchange_strong_explicit(&l->word, &nobody, lock_tid(), memory_order_acquire, memory_order_relaxed);
}

/* True if it was taken from an owner that was killed: what it protects may be half changed (mend.c). */
static inline bool lock_take(struct lock *l)
{
	return !lock_try(l) && lock_slow(l, lock_tid());
}

static inline void lock_drop(struct lock *l)
{
	if (atomic_exchange_explicit(&l->word, 0, memory_order_release) & LOCK_WAITERS)
		lock_wake(l);
}

/* The thread that has it; 0: none. */
static inline uint32_t lock_owner(struct lock *l)
{
	return atomic_load_explicit(&l->word, memory_order_relaxed) & ~LOCK_WAITERS;
}

/* Does this thread hold it (seen from a signal handler: was it interrupted while it did)? */
static inline bool lock_mine(struct lock *l)
{
	return lock_owner(l) == lock_tid();
}

#endif
