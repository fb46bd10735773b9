/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lock.c - the slow side of lock.h: what happens when the lock is taken.
 */
#include "shim/lock.h"
#include "shim/runtime.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>

/* Whoever waits longer looks whether the owner is still there. */
#define LOCK_LOOK_NS 20000000
/* Long enough to outlast a burst on another core, short enough not to matter when the owner was preempted. */
#define LOCK_SPINS 200

bool lock_slow(struct lock *l, uint32_t tid)
{
	const struct timespec look = {.tv_nsec = LOCK_LOOK_NS};
	uint32_t seen;

	for (int i = 0; i < LOCK_SPINS; i++) {
		seen = 0;
		if (atomic_compare_exchange_weak_explicit(&l->word, &seen, tid, memory_order_acquire, memory_order_relaxed))
			return false;
		__builtin_ia32_pause();
	}
	for (;;) {
		seen = 0;
		/* Others may sleep beside us: whoever has slept takes the lock with the mark on, and wakes once for nothing at
		 * worst. */
		if (atomic_compare_exchange_strong_explicit(&l->word, &seen, tid | LOCK_WAITERS, memory_order_acquire,
							    memory_order_relaxed))
			return false;
		if (!(seen & LOCK_WAITERS) &&
		    !atomic_compare_exchange_strong_explicit(&l->word, &seen, seen | LOCK_WAITERS, memory_order_relaxed,
							     memory_order_relaxed))
			continue;
		seen |= LOCK_WAITERS;
		if (!rt.real->syscall(SYS_futex, &l->word, FUTEX_WAIT, seen, &look, NULL, 0) || errno != ETIMEDOUT)
			continue;
		/* Somebody whose process was killed gives nothing back; he may have been the last one beside us. */
		if (family_is_gone(seen & ~LOCK_WAITERS) &&
		    atomic_compare_exchange_strong_explicit(&l->word, &seen, tid | LOCK_WAITERS, memory_order_acquire,
							    memory_order_relaxed))
			return true;
	}
}

void lock_wake(struct lock *l)
{
	rt.real->syscall(SYS_futex, &l->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}
