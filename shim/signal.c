/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * signal.c - the calls by which a program installs its handlers: behind ours (install.c).
 * Without a configuration nothing of this happens.
 */
#include "calls.h"

#include "config.h"

/* siginterrupt()'s: signals for which signal() leaves SA_RESTART out. */
static sigset_t interrupting;

/* ---- installation -----------------------------------------------------------------------------------------------------------
 */

int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	int saved = errno;

	if (!guard_disguises(sig) || !config_is_enabled())
		return REAL(sigaction)(sig, act, old);
	return (int)finish(saved, GUARDED(guard_install(sig, act, old)));
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
