/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * signal.c - handlers are installed behind one of ours (guard.h); what a program asks about its handlers it gets as it set it.
 * Without a configuration nothing of this happens.
 */
#include "calls.h"

#include "config.h"

#include <sched.h>

static unsigned changing;
/* siginterrupt()'s: signals for which signal() leaves SA_RESTART out. */
static sigset_t interrupting;

/* In a forked child no other thread is in sigaction(). */
static void fork_child(void)
{
	changing = 0;
}

__attribute__((constructor)) static void start(void)
{
	pthread_atfork(NULL, NULL, fork_child);
}

/* ---- installation -----------------------------------------------------------------------------------------------------------
 */

static bool is_put_off(int sig)
{
	sigset_t all;

	guard_fill(&all);
	return sig > 0 && sig < NSIG && sig != SIGKILL && sig != SIGSTOP && sigismember(&all, sig) == 1;
}

static bool is_handler(const struct sigaction *act)
{
	return act && act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN;
}

static int install(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct guard_action had = guard_actions[sig];
	struct sigaction mine, was;
	int rc;

	if (act)
		mine = *act;
	if (is_handler(act)) {
		guard_actions[sig].handler = act->sa_sigaction;
		guard_actions[sig].flags = act->sa_flags;
		mine.sa_sigaction = guard_on_signal;
		mine.sa_flags = (act->sa_flags | SA_SIGINFO) & ~SA_RESETHAND;
	}
	rc = REAL(sigaction)(sig, act ? &mine : NULL, &was);
	if (rc < 0) {
		guard_actions[sig] = had;
		return -errno;
	}
	if (!old)
		return 0;
	*old = was;
	if (was.sa_sigaction == guard_on_signal) {
		old->sa_sigaction = had.handler;
		old->sa_flags = (was.sa_flags & ~SA_SIGINFO) | (had.flags & (SA_SIGINFO | (int)SA_RESETHAND));
	}
	return 0;
}

static int install_locked(int sig, const struct sigaction *act, struct sigaction *old)
{
	int rc;

	while (__atomic_exchange_n(&changing, 1, __ATOMIC_ACQUIRE))
		sched_yield();
	rc = install(sig, act, old);
	__atomic_store_n(&changing, 0, __ATOMIC_RELEASE);
	return rc;
}

int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	int saved = errno;

	if (!is_put_off(sig) || !config_is_enabled())
		return REAL(sigaction)(sig, act, old);
	return (int)finish(saved, GUARDED(install_locked(sig, act, old)));
}

static __sighandler_t replace(int sig, __sighandler_t handler, bool mask, int flags)
{
	struct sigaction act = {.sa_handler = handler, .sa_flags = flags}, old;

	if (handler == SIG_ERR) {
		errno = EINVAL;
		return SIG_ERR;
	}
	if (mask && sig > 0 && sig < NSIG)
		sigaddset(&act.sa_mask, sig);
	return sigaction(sig, &act, &old) < 0 ? SIG_ERR : old.sa_handler;
}

__sighandler_t signal(int sig, __sighandler_t handler)
{
	return replace(sig, handler, true, sigismember(&interrupting, sig) == 1 ? 0 : SA_RESTART);
}

__sighandler_t bsd_signal(int sig, __sighandler_t handler)
{
	return signal(sig, handler);
}

__sighandler_t ssignal(int sig, __sighandler_t handler)
{
	return signal(sig, handler);
}

__sighandler_t sysv_signal(int sig, __sighandler_t handler)
{
	return replace(sig, handler, false, (int)SA_RESETHAND | SA_NODEFER);
}

__sighandler_t __sysv_signal(int sig, __sighandler_t handler)
{
	return sysv_signal(sig, handler);
}

/* sigset(3): SIG_HOLD blocks, everything else unblocks; what was blocked before is reported as SIG_HOLD. */
__sighandler_t sigset(int sig, __sighandler_t disposition)
{
	struct sigaction now;
	sigset_t one, was;

	sigemptyset(&one);
	if (sigaddset(&one, sig) < 0)
		return SIG_ERR;
	if (disposition == SIG_HOLD) {
		if (sigaction(sig, NULL, &now) < 0 || sigprocmask(SIG_BLOCK, &one, &was) < 0)
			return SIG_ERR;
	} else {
		now.sa_handler = replace(sig, disposition, false, 0);
		if (now.sa_handler == SIG_ERR || sigprocmask(SIG_UNBLOCK, &one, &was) < 0)
			return SIG_ERR;
	}
	return sigismember(&was, sig) == 1 ? SIG_HOLD : now.sa_handler;
}

int siginterrupt(int sig, int interrupts)
{
	struct sigaction now;

	if (sigaction(sig, NULL, &now) < 0)
		return -1;
	if (interrupts) {
		sigaddset(&interrupting, sig);
		now.sa_flags &= ~SA_RESTART;
	} else {
		sigdelset(&interrupting, sig);
		now.sa_flags |= SA_RESTART;
	}
	return sigaction(sig, &now, NULL);
}

/* ---- cancellation -------------------------------------------------------------------------------------------------------------
 */

/* A thread that waits in the core is not in one of libc's calls, which would end for this: the core wakes it. */
int pthread_cancel(pthread_t thread)
{
	int rc;

	guard_cancels = true;
	rc = REAL(pthread_cancel)(thread);
	if (!rc && core())
		GUARDED_DO(core()->cancelled(thread));
	return rc;
}
