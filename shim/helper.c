/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * helper.c - the one thread of our own: it starts the engine (DPDK pins and marks the thread that starts it) and then drives the
 * stacks while no application thread does, so that a program that computes still acknowledges, retransmits and answers.
 *
 * While an application thread sleeps as the watcher, the helper sleeps for good.  While application threads drive, it looks in
 * every tick, and once they are steady whenever the kernel's own tick has interrupted them anyway.  While they are away, it
 * drives: woken by the ports' interrupts, or by naps.
 *
 * In a fork family each process has a helper from its first use of the engine on; only the one whose turn it is (family.h) does
 * anything.  The eventfd is the first one's, inherited, so that everybody wakes whichever it is.
 */
#include "shim/runtime.h"

#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#define TICK_US 1000
/* Ticks with a watcher in place before it is left alone: a busy program's watcher comes and goes. */
#define WATCHED_TICKS 20
/* Application threads that have not driven for this long are away. */
#define AWAY_US 1000
/*
 * So many ticks after they were away last, a tick may be this much late: the kernel then lets it wait for the next interrupt of
 * any timer.  In a virtual machine an interrupt of its own costs whoever has the core some 50 us.  Below POKE_SLACK_US, or each
 * call would poke.
 */
#define STEADY_TICKS 16
#define STEADY_SLACK_US 3900
/* Naps of 50 us mean 50 us. */
#define EXACT_NS 1ul

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool answered;
	int result;
	int (*up)(void);
	int efd;
	_Atomic bool runs; /* there is one in this process */
} helper = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .efd = -1};

void helper_poke(usec_t deadline)
{
	static const uint64_t one = 1;

	if (!helper_oversleeps(deadline) || atomic_load(&rt.shared->watcher))
		return;
	if (atomic_exchange(&rt.shared->helper_until, 0))
		rt.real->syscall(SYS_write, helper.efd, &one, sizeof(one));
}

void helper_wake(void)
{
	static const uint64_t one = 1;

	rt.real->syscall(SYS_write, helper.efd, &one, sizeof(one));
}

/* Sleep until then, until poked, or until a port has something if fds has ports in it. */
static void doze(struct pollfd *fds, nfds_t n, usec_t until)
{
	struct timespec ts;
	usec_t now = io_now();
	uint64_t count;

	if (family_is_many()) {
		family_bury_dead();
		/* The watcher's process may have been stopped, or be about to be buried. */
		if (stacks_stale(now, FAMILY_LOOK_US))
			stacks_drive(true, now);
		until = until > now + FAMILY_LOOK_US ? now + FAMILY_LOOK_US : until;
	}
	if (until <= now)
		return;
	ts.tv_sec = (time_t)((until - now) / 1000000);
	ts.tv_nsec = (long)((until - now) % 1000000) * 1000;
	fds[0] = (struct pollfd){.fd = helper.efd, .events = POLLIN};
	rt.real->ppoll(fds, n, until == USEC_NEVER ? NULL : &ts, NULL);
	/* The write may come later than the look at the flag: then it is found here the next time. */
	if (!atomic_exchange(&rt.shared->helper_until, 0) || fds[0].revents)
		(void)!rt.real->read(helper.efd, &count, sizeof(count));
}

/* Look again in a tick, or up to so much later. */
static void tick(usec_t slack)
{
	struct pollfd fd;
	usec_t until = io_now() + TICK_US;

	if (slack)
		prctl(PR_SET_TIMERSLACK, slack * 1000);
	atomic_store(&rt.shared->helper_until, until + slack);
	doze(&fd, 1, until);
	if (slack)
		prctl(PR_SET_TIMERSLACK, EXACT_NS);
}

/* A watcher has taken the ports into its own wait: nothing to do until it leaves. */
static void sleep_deep(void)
{
	struct pollfd fd;

	atomic_store(&rt.shared->helper_until, USEC_NEVER);
	if (atomic_load(&rt.shared->watcher))
		doze(&fd, 1, USEC_NEVER);
	else
		atomic_store(&rt.shared->helper_until, 0);
}

static usec_t drives(void)
{
	usec_t sum = 0;

	for (unsigned i = 0; i < rt.nstacks; i++)
		sum += atomic_load_explicit(&rt.stacks[i]->last_drive, memory_order_relaxed);
	return sum;
}

/* The application is away: drive in its place until it comes back or a watcher takes over. */
static void stand_in(void)
{
	struct pollfd fds[1 + IO_QUEUES_MAX];
	struct rest rest = {.nap = {.us = TICK_US}};
	usec_t mine, until;
	uint64_t frames;
	bool empty;
	nfds_t n;

	do {
		n = 1;
		frames = stacks_frames();
		rest_begin(&rest, fds, &n);
		empty = stacks_drive(true, io_now());
		mine = drives();
		atomic_store(&rt.shared->helper_until, USEC_NEVER);
		until = wait_nap(rest_time(&rest, frames != stacks_frames(), empty));
		atomic_store(&rt.shared->helper_until, until);
		if (!atomic_load(&rt.shared->watcher))
			doze(fds, n, until);
		atomic_store(&rt.shared->helper_until, 0);
		rest_end(&rest, fds + 1);
	} while (drives() == mine && !atomic_load(&rt.shared->watcher));
	rest_over(&rest);
}

static void serve(void)
{
	unsigned watched = 0, steady = 0;

	for (;;) {
		if (atomic_load(&rt.shared->watcher)) {
			if (++watched < WATCHED_TICKS)
				tick(0);
			else
				sleep_deep();
			continue;
		}
		watched = 0;
		if (stacks_stale(io_now(), AWAY_US)) {
			stand_in();
			steady = 0;
		} else {
			tick(steady < STEADY_TICKS ? 0 : STEADY_SLACK_US);
			steady += steady < STEADY_TICKS;
		}
	}
}

static void *helper_main(void *arg)
{
	int rc;

	prctl(PR_SET_NAME, "mtcpshim");
	prctl(PR_SET_TIMERSLACK, EXACT_NS);
	rc = helper.up();
	pthread_mutex_lock(&helper.mutex);
	helper.result = rc;
	helper.answered = true;
	pthread_cond_signal(&helper.cond);
	pthread_mutex_unlock(&helper.mutex);
	if (!rc)
		serve();
	return NULL;
}

/* In a process that did not start the engine. */
static void *successor_main(void *arg)
{
	prctl(PR_SET_NAME, "mtcpshim");
	prctl(PR_SET_TIMERSLACK, EXACT_NS);
	family_await_turn();
	family_bury_dead();
	port_take_over(rt.port);
	serve();
	return NULL;
}

int helper_thread(pthread_t *thread, void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	/* The new thread inherits this mask: no signal of the application's is ever handled there. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

static int spawn(void *(*run)(void *))
{
	pthread_t thread;
	int rc = helper_thread(&thread, run, NULL);

	return rc ? rc : -pthread_detach(thread);
}

int helper_start(int (*up)(void))
{
	int rc = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (rc < 0)
		return -errno;
	rc = rt.thin->fd_private(rc);
	if (rc < 0)
		return rc;
	helper.efd = rc;
	helper.up = up;
	helper.answered = false;
	rc = spawn(helper_main);
	if (rc)
		return rc;
	atomic_store(&helper.runs, true);
	atomic_store(&rt.shared->procs[rt.proc].helps, true);
	pthread_mutex_lock(&helper.mutex);
	while (!helper.answered)
		pthread_cond_wait(&helper.cond, &helper.mutex);
	pthread_mutex_unlock(&helper.mutex);
	return helper.result;
}

void helper_forget(void)
{
	pthread_mutex_init(&helper.mutex, NULL);
	pthread_cond_init(&helper.cond, NULL);
	atomic_store(&helper.runs, false);
}

void helper_join(void)
{
	if (atomic_exchange(&helper.runs, true))
		return;
	if (spawn(successor_main))
		atomic_store(&helper.runs, false);
	else
		atomic_store(&rt.shared->procs[rt.proc].helps, true);
	rt.thin->list_start();
}
