/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guard.c - the handler behind which all of the program's handlers are installed (signal.c): it runs them at once or, inside a
 * call of the library, puts them off to its end (guard.h).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "guard.h"

#include "core.h"
#include "loader.h"
#include "real.h"
#include "user.h"

#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

__thread struct guard guard __attribute__((visibility("hidden"), tls_model("initial-exec")));
bool guard_cancels;
struct guard_action guard_actions[NSIG];

struct guard *guard_self(void)
{
	return &guard;
}

/* The same signal again for this thread, which has it blocked until the call is over. */
static void put_off(struct guard *g, int sig, siginfo_t *info, ucontext_t *uc)
{
	sigset_t all;

	guard_fill(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	if (REAL(syscall)(SYS_rt_tgsigqueueinfo, (long)getpid(), (long)gettid(), (long)sig, info) < 0)
		REAL(syscall)(SYS_tgkill, (long)getpid(), (long)gettid(), (long)sig);
	g->put_off = true;
	/* Blocked outside, and so open in the mask of a wait alone. */
	if (g->asleep && sigismember(&uc->uc_sigmask, sig) == 1) {
		g->mask = *g->asleep;
		g->has_mask = true;
		return;
	}
	if (!g->masked) {
		sigemptyset(&g->before);
		memcpy(&g->before, &uc->uc_sigmask, KERNEL_SIGSET);
		g->masked = true;
	}
	memcpy(&uc->uc_sigmask, &all, KERNEL_SIGSET);
}

static void run(struct guard *g, int sig, siginfo_t *info, ucontext_t *uc)
{
	const struct sigaction none = {.sa_handler = SIG_DFL};
	unsigned hard = g->hard + !(guard_actions[sig].flags & SA_RESTART);
	void (*handler)(int, siginfo_t *, void *) = guard_actions[sig].handler;
	void **trap = g->trap;

	if (g->show && !memcmp(&uc->uc_sigmask, &g->mask, KERNEL_SIGSET)) {
		memcpy(&uc->uc_sigmask, &g->before, KERNEL_SIGSET);
		g->show = false;
	}
	if (guard_actions[sig].flags & SA_RESETHAND)
		REAL(sigaction)(sig, &none, NULL);
	/* A handler's faults are its own, also when it never comes back here. */
	g->trap = NULL;
	handler(sig, info, uc);
	g->trap = trap;
	/* Handlers that ran inside this one's own calls are no matter of the call that this one interrupted. */
	g->hard = hard;
}

void guard_on_signal(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	if (guard.inside)
		put_off(&guard, sig, info, context);
	else
		run(&guard, sig, info, context);
	errno = saved;
}

/* ---- faults -------------------------------------------------------------------------------------------------------------------
 */

static __attribute__((noreturn)) void go_on(void **trap)
{
	__builtin_longjmp(trap, 1);
}

/*
 * The interrupted code is to go on at the trap, not here: returning gives back the mask and the stack of an alternate stack's
 * user.  Called as by a call instruction, below the red zone (AMD64 ABI 3.2.2).
 */
static void divert(ucontext_t *uc, void **trap)
{
	greg_t *regs = uc->uc_mcontext.gregs;

	regs[REG_RSP] = ((regs[REG_RSP] - 128) & ~15) - 8;
	regs[REG_RIP] = (greg_t)go_on;
	regs[REG_RDI] = (greg_t)trap;
}

/* Was it a byte that user.c touches to see whether it is there?  Then that says no. */
static bool touch_fails(ucontext_t *uc)
{
	greg_t *regs = uc->uc_mcontext.gregs;

	if (regs[REG_RIP] < (greg_t)user_touch_begin || regs[REG_RIP] >= (greg_t)user_touch_end)
		return false;
	regs[REG_RAX] = -EFAULT;
	regs[REG_RIP] = (greg_t)user_touch_end;
	return true;
}

/* The default action, as if nobody had been asked: the fault happens again, or the signal that somebody sent is sent again. */
static void act_by_default(int sig, const siginfo_t *info)
{
	const struct sigaction none = {.sa_handler = SIG_DFL};

	REAL(sigaction)(sig, &none, NULL);
	if (info->si_code <= 0)
		REAL(syscall)(SYS_tgkill, (long)getpid(), (long)gettid(), (long)sig);
}

void guard_on_fault(int sig, siginfo_t *info, void *context)
{
	struct guard_action act = guard_actions[sig];
	void **trap = guard.trap;

	if (!trap && core())
		trap = core()->copying();
	if (info->si_code > 0 && touch_fails(context))
		return;
	if (info->si_code > 0 && trap) {
		divert(context, trap);
		return;
	}
	if (!act.handler) {
		act_by_default(sig, info);
		return;
	}
	if (act.flags & (int)SA_RESETHAND)
		guard_actions[sig].handler = NULL;
	act.handler(sig, info, context);
}

/* A handler may leave by siglongjmp(): everything is in order before the mask changes. */
static void run_put_off(struct guard *g)
{
	bool has_mask = g->has_mask;
	sigset_t before = g->before;

	if (!g->masked)
		pthread_sigmask(SIG_BLOCK, NULL, &before);
	g->put_off = g->masked = g->has_mask = false;
	if (!has_mask) {
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		return;
	}
	g->before = before;
	g->show = true;
	pthread_sigmask(SIG_SETMASK, &g->mask, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	g->show = false;
}

bool guard_settle(long *rc)
{
	unsigned hard = guard.hard;

	if (guard.put_off)
		run_put_off(&guard);
	if (*rc != GUARD_RESTART)
		return false;
	if (guard_cancels)
		pthread_testcancel();
	if (guard.hard == hard)
		return true;
	*rc = -EINTR;
	return false;
}
