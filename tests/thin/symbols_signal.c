/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symbols_signal.c - handlers: none sees a call half done, what was installed is what is reported, and SA_RESTART decides whether
 * a call that was left for a handler begins anew.
 */
#include "tests/thin/symbols.h"

/* sigset() and siginterrupt() are deprecated, and programs use them. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

__sighandler_t bsd_signal(int sig, __sighandler_t handler);
__sighandler_t __sysv_signal(int sig, __sighandler_t handler);

static volatile sig_atomic_t ran, from, recvs_then;
static sigjmp_buf out;

static void count(int sig)
{
	ran++;
	from = sig;
	recvs_then = (sig_atomic_t)c->recv;
}

static void count_info(int sig, siginfo_t *info, void *context)
{
	count(sig);
	CHECK(info->si_signo == sig && info->si_pid == getpid() && context);
}

static void jump(int sig)
{
	siglongjmp(out, sig);
}

static void install(int sig, __sighandler_t handler, int flags)
{
	struct sigaction act = {.sa_handler = handler, .sa_flags = flags};

	ran = 0;
	CHECK(sigaction(sig, &act, NULL) == 0);
}

static bool is_blocked(int sig)
{
	sigset_t mask;

	CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0);
	return sigismember(&mask, sig) == 1;
}

/* The handler runs behind the call that the signal came in. */
static void put_off_to_the_end(void)
{
	put();
	install(SIGUSR1, count, 0);
	c->raises = SIGUSR1;
	got(recv(s, buf, sizeof(buf), 0));
	CHECK(ran == 1 && from == SIGUSR1 && !is_blocked(SIGUSR1));
	put();
	install(SIGUSR1, count, SA_NODEFER);
	c->raises = SIGUSR1;
	got(recv(s, buf, sizeof(buf), 0));
	CHECK(ran == 1 && !is_blocked(SIGUSR2));
}

static void restarted_or_not(void)
{
	unsigned n = c->recv;

	c->restarts = true;
	put();
	install(SIGUSR1, count, SA_RESTART);
	c->raises = SIGUSR1;
	got(recv(s, buf, sizeof(buf), 0));
	/* Between the two halves of the call. */
	CHECK(ran == 1 && c->recv == n + 2 + 1 && (unsigned)recvs_then == n + 1);
	install(SIGUSR1, count, 0);
	c->raises = SIGUSR1;
	CHECK_FAILS(recv(s, buf, sizeof(buf), 0), EINTR);
	CHECK(ran == 1);
	c->restarts = false;
}

static void jumps_out(void)
{
	install(SIGUSR1, jump, 0);
	put();
	c->raises = SIGUSR1;
	if (!sigsetjmp(out, 1)) {
		recv(s, buf, sizeof(buf), 0);
		CHECK(!"the handler did not jump");
	}
	CHECK(!is_blocked(SIGUSR1) && !is_blocked(SIGUSR2));
	/* The thread is not inside any more: the next handler runs at once. */
	install(SIGUSR1, count, 0);
	raise(SIGUSR1);
	CHECK(ran == 1);
}

/* It would be too late: a fault's signal is delivered where it happens. */
static void faults_are_not_put_off(void)
{
	unsigned n = c->recv;

	c->restarts = true;
	install(SIGSEGV, count, 0);
	c->raises = SIGSEGV;
	/* No handler was put off, so that nothing tells against another try. */
	CHECK_FAILS(recv(s, buf, sizeof(buf), 0), EAGAIN);
	CHECK(ran == 1 && (unsigned)recvs_then == n + 1);
	c->restarts = false;
	install(SIGSEGV, SIG_DFL, 0);
}

void t_sigaction(void)
{
	struct sigaction act = {.sa_sigaction = count_info, .sa_flags = SA_SIGINFO | SA_RESTART}, old;

	CHECK(sigaction(SIGUSR2, &act, NULL) == 0 && sigaction(SIGUSR2, NULL, &old) == 0);
	CHECK(old.sa_sigaction == count_info && (old.sa_flags & (SA_SIGINFO | SA_RESTART)) == (SA_SIGINFO | SA_RESTART));
	ran = 0;
	raise(SIGUSR2);
	CHECK(ran == 1);
	c->raises = SIGUSR2;
	CHECK_FAILS(recv(s, buf, sizeof(buf), 0), EAGAIN);
	CHECK(ran == 2);
	CHECK_FAILS(sigaction(SIGKILL, &act, NULL), EINVAL);
	CHECK_FAILS(sigaction(0, &act, NULL), EINVAL);
	put_off_to_the_end();
	restarted_or_not();
	jumps_out();
	/* Once, and then the default again. */
	install(SIGUSR1, count, (int)SA_RESETHAND);
	CHECK(sigaction(SIGUSR1, NULL, &old) == 0 && (old.sa_flags & (int)SA_RESETHAND) && old.sa_handler == count);
	c->raises = SIGUSR1;
	CHECK_FAILS(recv(s, buf, sizeof(buf), 0), EAGAIN);
	CHECK(ran == 1 && sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);
	faults_are_not_put_off();
	act.sa_handler = SIG_DFL;
	act.sa_flags = 0;
	CHECK(sigaction(SIGUSR2, &act, NULL) == 0);
}

static int flags_of(int sig)
{
	struct sigaction now;

	CHECK(sigaction(sig, NULL, &now) == 0);
	return now.sa_flags & (SA_RESTART | SA_NODEFER | (int)SA_RESETHAND);
}

static void bsd(__sighandler_t (*set)(int, __sighandler_t))
{
	CHECK(set(SIGUSR1, count) == SIG_DFL && flags_of(SIGUSR1) == SA_RESTART);
	ran = 0;
	c->raises = SIGUSR1;
	CHECK_FAILS(recv(s, buf, sizeof(buf), 0), EAGAIN);
	CHECK(ran == 1 && set(SIGUSR1, SIG_IGN) == count && set(SIGUSR1, SIG_DFL) == SIG_IGN);
	errno = 0;
	CHECK(set(SIGUSR1, SIG_ERR) == SIG_ERR && errno == EINVAL);
}

void t_signal(void)
{
	bsd(signal);
}

void t_bsd_signal(void)
{
	bsd(bsd_signal);
}

void t_ssignal(void)
{
	bsd(ssignal);
}

static void sysv(__sighandler_t (*set)(int, __sighandler_t))
{
	CHECK(set(SIGUSR1, count) == SIG_DFL && flags_of(SIGUSR1) == (SA_NODEFER | (int)SA_RESETHAND));
	ran = 0;
	raise(SIGUSR1);
	CHECK(ran == 1 && set(SIGUSR1, SIG_DFL) == SIG_DFL);
}

void t_sysv_signal(void)
{
	sysv(sysv_signal);
}

void t___sysv_signal(void)
{
	sysv(__sysv_signal);
}

void t_sigset(void)
{
	CHECK(sigset(SIGUSR1, count) == SIG_DFL);
	CHECK(sigset(SIGUSR1, SIG_HOLD) == count && is_blocked(SIGUSR1));
	CHECK(sigset(SIGUSR1, SIG_DFL) == SIG_HOLD && !is_blocked(SIGUSR1));
	CHECK(sigset(SIGUSR1, SIG_DFL) == SIG_DFL);
	CHECK(sigset(-1, SIG_DFL) == SIG_ERR);
}

void t_siginterrupt(void)
{
	install(SIGUSR1, count, SA_RESTART);
	CHECK(siginterrupt(SIGUSR1, 1) == 0 && flags_of(SIGUSR1) == 0);
	CHECK(signal(SIGUSR1, count) == count && flags_of(SIGUSR1) == 0);
	CHECK(siginterrupt(SIGUSR1, 0) == 0 && flags_of(SIGUSR1) == SA_RESTART);
	install(SIGUSR1, SIG_DFL, 0);
}

static void *wait_for_ever(void *arg)
{
	pause();
	return NULL;
}

void t_pthread_cancel(void)
{
	unsigned n = c->cancelled;
	pthread_t t;
	void *how;

	CHECK(pthread_create(&t, NULL, wait_for_ever, NULL) == 0);
	CHECK(pthread_cancel(t) == 0 && c->cancelled == n + 1);
	CHECK(pthread_join(t, &how) == 0 && how == PTHREAD_CANCELED);
}
