/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fork.c - a process begins: a forked child joins its parent's family, with the same sockets and epoll sets; and ends: what it
 * alone held is closed as the kernel would close it, and what is queued still goes out.
 */
#include "shim/birth.h"
#include "shim/epoll.h"
#include "shim/guard.h"
#include "shim/hold.h"
#include "shim/runtime.h"
#include "shim/sigio.h"
#include "shim/sock.h"

#include <netinet/tcp.h>
#include <unistd.h>

/* How long the process stays for its peers' acknowledgements; the kernel would go on for it. */
#define EXIT_DRAIN_US 2000000u
/*
 * Nobody acknowledges a reset or a last ACK.  Where a port's ring is memory that goes with the process (memif), it stays until
 * the peer has taken out what is there; where that can't be seen, until it must have looked: its longest nap, and much more on
 * a busy machine.
 */
#define EXIT_TAKEN_US 20000u
#define EXIT_LOOK_US 50u

/* Once: a program that forks for other reasons does it often. */
static void say_alone(void)
{
	static bool said;

	if (!said)
		rt.thin->log(LOG_LEVEL_WARN, "children cannot share the engine (%s): connections that they inherit fail with EIO",
			     rt.info.forks ? "too many processes, or no descriptor left" : rt.info.driver);
	said = true;
}

void core_fork_prepare(void)
{
	birth_fork_prepare();
	rt.forking = rt_up();
	if (rt.forking && rt.info.forks)
		epoll_fork_prepare();
	rt.child = rt.forking && rt.info.forks ? family_prepare() : -1;
	if (rt.forking)
		io_fork_prepare();
	sigio_fork_prepare();
	if (rt.forking && rt.child < 0)
		say_alone();
}

/* A thread's first use of the engine starts them. */
void core_threads_up(void)
{
	thread_self();
}

void core_fork_parent(void)
{
	sigio_fork_parent();
	family_birth_over();
	if (rt.forking)
		io_fork_parent();
	/* A process that forks and was forked itself (a daemon) may be all that is left one day. */
	if (rt.forking && rt.child >= 0)
		helper_join();
}

static void nobody_sock(void *obj)
{
	sock_bury(obj);
}

static void nobody_set(void *obj)
{
	epset_end(obj);
}

/*
 * The child holds what its descriptors say; what calls of the parent's other threads held is not its.  A relay's number of a
 * socket that it is not for is nothing but a placeholder's.
 */
static void count_holds(void)
{
	hold_forget();
	for (int fd = rt.thin->fd_next(0); fd >= 0; fd = rt.thin->fd_next(fd + 1)) {
		struct fdref r = rt_fd(fd);

		if (r.kind == FD_SOCK && !birth_shares(r.obj))
			rt.thin->fd_set(fd, FD_KERNEL, NULL, 0);
		else if ((r.kind == FD_SOCK || r.kind == FD_EPOLL) && r.obj)
			hold_found(r.obj, r.gen);
	}
	hold_settle(SLAB_SOCK, nobody_sock);
	hold_settle(SLAB_EPSET, nobody_set);
}

bool core_fork_child(void)
{
	rt.pid = getpid();
	thread_forget();
	birth_fork_child();
	runtime_forget();
	epoll_fork_child();
	helper_forget();
	if (rt.forking)
		io_fork_child();
	if (rt.forking && rt.child >= 0 && family_born((unsigned)rt.child)) {
		count_holds();
		sigio_fork_child(true);
		return true;
	}
	sigio_fork_child(false);
	if (atomic_load(&rt.state) == RT_DOWN) {
		/* It may start an engine of its own: it must not share the parent's objects. */
		if (arena_init() || family_init())
			atomic_store(&rt.state, RT_FAILED);
	} else if (atomic_load(&rt.state) != RT_FAILED) {
		atomic_store(&rt.state, RT_OFF);
		hold_forget();
	}
	return false;
}

void core_exec_begin(void)
{
	if (rt_up())
		stacks_suspend();
}

void core_exec_failed(void)
{
	if (rt_up())
		stacks_resume();
}

/* ---- exit
 * ------------------------------------------------------------------------------------------------------------------------ */

struct drain {
	struct waiting w;
	unsigned pending;
};

static void count_pending(struct conn *c, void *arg)
{
	struct drain *d = arg;
	int state = engine_state(c);

	if (state == TCP_FIN_WAIT1 || state == TCP_CLOSING || state == TCP_LAST_ACK)
		d->pending++;
}

/* Have the peers everything, FINs included?  A link that is down won't bring it to them. */
static bool drained(struct waiting *w)
{
	struct drain *d = container_of(w, struct drain, w);
	usec_t now;

	d->pending = 0;
	for (unsigned i = 0; i < rt.nstacks; i++) {
		struct stack *st = rt.stacks[i];

		if (!stack_enter(st, &now))
			return true;
		stack_flush(st, now);
		if (st->link_up)
			engine_each(st->engine, count_pending, d);
		stack_leave(st, now);
	}
	return d->pending == 0;
}

static bool taken(struct waiting *w)
{
	return port_is_taken(rt.port);
}

static int enroll_nothing(struct waiting *w, struct thread *t)
{
	return 0;
}

static void resign_nothing(struct waiting *w)
{
}

/* Is this a signal handler that interrupted a call of the core? */
static bool inside(void)
{
	for (unsigned i = 0; i < rt.nstacks; i++)
		if (lock_mine(&rt.stacks[i]->lock))
			return true;
	return false;
}

/* Close what this process alone holds; how many. */
static unsigned let_go(void)
{
	uint32_t socks = arena_count(SLAB_SOCK);
	unsigned ended = 0;

	for (uint32_t i = 0; i < socks; i++) {
		struct sock *s = arena_at(SLAB_SOCK, i);

		if (hold_none(s) == HOLD_NOBODY) {
			sock_bury(s);
			ended++;
		}
	}
	return ended;
}

static void await_taken(struct waiting *w)
{
	usec_t end = io_now() + EXIT_TAKEN_US;

	w->ready = taken;
	/* Nothing wakes us when the peer has. */
	do {
		w->deadline = io_now() + EXIT_LOOK_US;
	} while (!wait_for(w) && io_now() < end);
}

void core_exiting(void)
{
	struct drain d = {.w = {
			      .ready = drained,
			      .enroll = enroll_nothing,
			      .resign = resign_nothing,
			  }};
	unsigned ended;
	int up = RT_UP;
	sigset_t all, before;

	if (getpid() != rt.pid || inside())
		return;
	rt.exiter = lock_tid();
	if (!atomic_compare_exchange_strong(&rt.state, &up, RT_EXITING))
		return;
	sigio_end();
	ended = let_go();
	/* What is still to be sent, others of the family will send. */
	if (family_goes_on()) {
		stacks_abandon();
		return;
	}
	/* No handler shortens it: the kernel would go on sending as well. */
	guard_fill(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	d.w.sigmask = &all;
	d.w.deadline = io_now() + EXIT_DRAIN_US;
	wait_for(&d.w);
	if (ended && rt.info.doorbell == IO_DOORBELL_CHEAP)
		await_taken(&d.w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}
