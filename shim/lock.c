/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lock.c - the slow side of lock.h: what happens when the lock is taken.
 */
#include "shim/lock.h"
#include "shim/runtime.h"

#include <linux/futex.h>
#include <sys/syscall.h>

/* Long enough to outlast a burst on another core, short enough not to matter when the owner was preempted. */
#define LOCK_SPINS 200

void lock_slow(struct lock *l, uint32_t tid)
{
	uint32_t seen;

	for (int i = 0; i < LOCK_SPINS; i++) {
		seen = 0;
		if (atomic_compare_exchange_weak_explicit(&l->word, &seen, tid, memory_order_acquire, memory_order_relaxed))
			return;
		__builtin_ia32_pause();
	}
	for (;;) {
		seen = 0;
		/* Others may sleep beside us: whoever has slept takes the lock with the mark on, and wakes once for nothing at
		 * worst. */
		if (atomic_compare_exchange_strong_explicit(&l->word, &seen, tid | LOCK_WAITERS, memory_order_acquire,
							    memory_order_relaxed))
			return;
		if (!(seen & LOCK_WAITERS) &&
		    !atomic_compare_exchange_strong_explicit(&l->word, &seen, seen | LOCK_WAITERS, memory_order_relaxed,
							     memory_order_relaxed))
			continue;
		rt.real->syscall(SYS_futex, &l->word, FUTEX_WAIT, seen | LOCK_WAITERS, NULL, NULL, 0);
	}
}

void lock_wake(struct lock *l)
{
	rt.real->syscall(SYS_futex, &l->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}
