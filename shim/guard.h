/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guard.h - signals and calls: what a thread's handlers may meet.
 *
 * To a program, a system call is one step: a handler runs before it, after it, or instead of its wait, and may do what it likes,
 * siglongjmp() included.  Our calls take locks and references, so a handler that would run in the middle of one is put off to its
 * end: the signal is queued again for the same thread with all signals blocked, and the end of the call restores the mask.  A
 * wait is left for it, all the way out: then the call ends with EINTR or, if every handler had SA_RESTART and the call is of that
 * kind, begins anew (signal(7)).  Signals that a fault of the program's raises are never put off.
 */
#ifndef SHIM_GUARD_H
#define SHIM_GUARD_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

/* Inside the library: the wait was left for a handler, begin anew if SA_RESTART says so. */
#define GUARD_RESTART (-ERESTART)

/* The size of the kernel's sigset_t: 64 signals.  Libc's has room for 1024. */
#define KERNEL_SIGSET 8L

/* A thread's own. */
struct guard {
	unsigned inside; /* calls under way: no handler runs */
	bool put_off;	 /* signals wait for the end of the call */
	bool masked;	 /* all signals are blocked, and `before` is to come back */
	bool has_mask;	 /* a wait had a mask of its own, in which the handlers are to run: `mask` */
	bool show;	 /* ... while their context is to say `before` */
	bool cancel_off; /* no cancellation either, until `cancel_state` comes back */
	int cancel_state;
	unsigned hard;		/* handlers without SA_RESTART that have run */
	const sigset_t *asleep; /* in a kernel wait, which replaces the mask by this one */
	sigset_t before, mask;
	void **trap; /* user.c touches the application's memory: where a fault goes on */
};

/* All signals but those that a fault raises: blocked, they would end the process. */
static inline void guard_fill(sigset_t *set)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};

	sigfillset(set);
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		sigdelset(set, faults[i]);
}

/* The preloaded library's part, for its wrappers. */
extern __thread struct guard guard __attribute__((visibility("hidden"), tls_model("initial-exec")));
struct guard *guard_self(void);
/* Has this process ever cancelled a thread? */
extern bool guard_cancels __attribute__((visibility("hidden")));
/* What the program installed.  Entries stay when it goes back to SIG_DFL: a vfork() child does that in its parent's memory. */
struct guard_action {
	void (*handler)(int, siginfo_t *, void *);
	int flags;
};
extern struct guard_action guard_actions[NSIG] __attribute__((visibility("hidden")));
/* The handlers that the kernel knows; the second for SIGSEGV and SIGBUS. */
void guard_on_signal(int sig, siginfo_t *info, void *context);
void guard_on_fault(int sig, siginfo_t *info, void *context);

/* install.c: is this signal's handler to be one of ours? sigaction() then: 0, -errno. */
bool guard_disguises(int sig);
int guard_install(int sig, const struct sigaction *act, struct sigaction *old);
/* Faults of copies are to reach guard_on_fault() from now on. */
extern bool guard_catches __attribute__((visibility("hidden")));
void guard_start_catching(void);
static inline void guard_catch_faults(void)
{
	if (!__builtin_expect(guard_catches, 1))
		guard_start_catching();
}

/* The end of the outermost call: let the handlers run; true if the call, which returned *rc, is to be made again. */
bool guard_settle(long *rc);

/*
 * The doorbell of a port and the like are libc calls that a cancelled thread would end in, in the midst of everything.  True if
 * this switched it off.
 */
static inline bool guard_cancel_off(struct guard *g)
{
	if (g->cancel_off)
		return false;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &g->cancel_state);
	g->cancel_off = true;
	return true;
}

static inline void guard_cancel_on(struct guard *g)
{
	g->cancel_off = false;
	pthread_setcancelstate(g->cancel_state, NULL);
}

static inline void guard_enter(void)
{
	guard.inside++;
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(guard_cancels, 0))
		guard_cancel_off(&guard);
}

static inline bool guard_leave(long *rc)
{
	atomic_signal_fence(memory_order_seq_cst);
	if (--guard.inside)
		return false;
	atomic_signal_fence(memory_order_seq_cst);
	if (__builtin_expect(guard.cancel_off, 0))
		guard_cancel_on(&guard);
	return __builtin_expect(guard.put_off || *rc == GUARD_RESTART, 0) && guard_settle(rc);
}

/* A step that no handler sees half done, with its result: -errno, or what the call returns. */
#define GUARDED(call)                             \
	({                                        \
		long guarded_;                    \
		do {                              \
			guard_enter();            \
			guarded_ = (call);        \
		} while (guard_leave(&guarded_)); \
		guarded_;                         \
	})
#define GUARDED_DO(call)                \
	do {                            \
		long guarded_ = 0;      \
		guard_enter();          \
		call;                   \
		guard_leave(&guarded_); \
	} while (0)

#endif
