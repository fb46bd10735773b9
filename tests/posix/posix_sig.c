/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * posix_sig.c - see posix_sig.h.
 */
#include "posix_sig.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WAIT_S 5

/* The kinds that came since signals_block(). */
static int seen;

sigset_t signals_all(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIG_RT);
	sigaddset(&set, SIGIO);
	sigaddset(&set, SIGURG);
	return set;
}

void signals_block(void)
{
	const struct timespec now = {0};
	sigset_t set = signals_all();

	seen = 0;
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	while (sigtimedwait(&set, NULL, &now) > 0)
		;
}

const char *signals_code(int code)
{
	static const char *const names[] = {"?", "POLL_IN", "POLL_OUT", "POLL_MSG", "POLL_ERR", "POLL_PRI", "POLL_HUP"};

	return code == SI_KERNEL ? "SI_KERNEL" : code > 0 && code < (int)LEN(names) ? names[code] : "another";
}

void signals_expect(int signo, int code, int fd)
{
	const struct timespec limit = {.tv_sec = WAIT_S};
	sigset_t set = signals_all();
	siginfo_t si;
	int got;

	do {
		got = sigtimedwait(&set, &si, &limit);
		if (got == SIG_RT)
			seen |= 1 << si.si_code;
	} while (got > 0 && (got != signo || si.si_code != code));
	if (got < 0)
		say("no %s", signals_code(code));
	else if (signo != SIG_RT)
		say("%s %s", strsignal(got), signals_code(si.si_code));
	else
		say("real-time %s band %lx, its descriptor: %s", signals_code(si.si_code), si.si_band,
		    si.si_fd == fd ? "yes" : "no");
}

void signals_only(int kinds)
{
	const struct timespec now = {0};
	sigset_t set = signals_all();
	siginfo_t si;
	int got;

	while ((got = sigtimedwait(&set, &si, &now)) > 0)
		if (got == SIG_RT)
			seen |= 1 << si.si_code;
	for (int code = POLL_IN; code <= POLL_HUP; code++)
		if (seen & ~kinds & 1 << code)
			say("also %s", signals_code(code));
	seen = 0;
}

void signals_owned(int fd, int sig)
{
	MUST(fcntl(fd, F_SETOWN, getpid()));
	MUST(fcntl(fd, F_SETSIG, sig));
	MUST(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
}

/* ---- a timer ----------------------------------------------------------------------------------------------------------------
 */

volatile sig_atomic_t ticks;
static const char *volatile after_three;
static timer_t timer;

static void on_tick(int signo)
{
	/* Only after some interruptions does the other end do what the call waits for. */
	if (++ticks == 3 && after_three)
		tell_from_handler(after_three);
}

void ticking(int flags, const char *word)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct itimerspec it = {.it_value.tv_nsec = TICK_MS * 1000000, .it_interval.tv_nsec = TICK_MS * 1000000};
	struct sigaction sa = {.sa_handler = on_tick, .sa_flags = flags};

	ticks = 0;
	after_three = word;
	MUST(sigaction(SIGALRM, &sa, NULL));
	MUST(timer_create(CLOCK_MONOTONIC, &ev, &timer));
	MUST(timer_settime(timer, 0, &it, NULL));
}

void quiet(void)
{
	say_if("signals came", ticks > 0);
	MUST(timer_delete(timer));
}
