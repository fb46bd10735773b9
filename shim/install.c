/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * install.c - a program's handlers are known to the kernel as one of ours (guard.h); what it asks about them it gets as it set
 * it.  Once the engine runs, SIGSEGV and SIGBUS are caught in the same way, whether or not the program has a handler: a fault of
 * a copy is a call's EFAULT, every other one its own (user.h).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "guard.h"

#include "real.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

static unsigned changing;
static bool catching;
bool guard_catches;

/* In a forked child no other thread is in sigaction(). */
static void fork_child(void)
{
	changing = 0;
}

__attribute__((constructor)) static void start(void)
{
	pthread_atfork(NULL, NULL, fork_child);
}

static bool is_put_off(int sig)
{
	sigset_t all;

	guard_fill(&all);
	return sig > 0 && sig < NSIG && sig != SIGKILL && sig != SIGSTOP && sigismember(&all, sig) == 1;
}

static bool is_fault(int sig)
{
	return catching && (sig == SIGSEGV || sig == SIGBUS);
}

bool guard_disguises(int sig)
{
	return is_put_off(sig) || is_fault(sig);
}

static bool is_handler(const struct sigaction *act)
{
	return act && act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN;
}

/* What the kernel is to know of act.  SIG_IGN stays: exec hands it on, and a fault that is ignored ends the process anyway. */
static struct sigaction disguised(int sig, const struct sigaction *act)
{
	struct sigaction mine = *act;

	if (is_handler(act)) {
		mine.sa_sigaction = is_fault(sig) ? guard_on_fault : guard_on_signal;
		mine.sa_flags = (act->sa_flags | SA_SIGINFO) & ~SA_RESETHAND;
	} else if (is_fault(sig) && act->sa_handler == SIG_DFL) {
		mine.sa_sigaction = guard_on_fault;
		mine.sa_flags = SA_SIGINFO | SA_ONSTACK;
	}
	return mine;
}

static int install(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct guard_action had = guard_actions[sig];
	struct sigaction mine, was;
	int rc;

	if (act)
		mine = disguised(sig, act);
	if (is_handler(act) || (act && is_fault(sig) && act->sa_handler == SIG_DFL)) {
		guard_actions[sig].handler = act->sa_sigaction;
		guard_actions[sig].flags = act->sa_flags;
	}
	rc = REAL(sigaction)(sig, act ? &mine : NULL, &was);
	if (rc < 0) {
		guard_actions[sig] = had;
		return -errno;
	}
	if (!old)
		return 0;
	*old = was;
	if (was.sa_sigaction == guard_on_signal || was.sa_sigaction == guard_on_fault) {
		old->sa_sigaction = had.handler;
		old->sa_flags =
		    (was.sa_flags & ~(SA_SIGINFO | SA_ONSTACK)) | (had.flags & (SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND));
	}
	return 0;
}

/* Under the lock, or another thread's handler may be lost. */
static void catch_faults(void)
{
	static const int sigs[] = {SIGSEGV, SIGBUS};
	struct sigaction was;

	catching = true;
	for (unsigned i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		if (!REAL(sigaction)(sigs[i], NULL, &was) && was.sa_sigaction != guard_on_fault)
			install(sigs[i], &was, NULL);
	__atomic_store_n(&guard_catches, true, __ATOMIC_RELEASE);
}

static void lock(void)
{
	while (__atomic_exchange_n(&changing, 1, __ATOMIC_ACQUIRE))
		sched_yield();
}

static void unlock(void)
{
	__atomic_store_n(&changing, 0, __ATOMIC_RELEASE);
}

void guard_start_catching(void)
{
	int saved = errno;
	long none = 0;

	guard_enter();
	lock();
	catch_faults();
	unlock();
	guard_leave(&none);
	errno = saved;
}

int guard_install(int sig, const struct sigaction *act, struct sigaction *old)
{
	int rc;

	lock();
	rc = install(sig, act, old);
	unlock();
	return rc;
}
