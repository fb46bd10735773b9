/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fork.c - the ends: what is left of the engine in a forked child (nothing but the memory of it), and the end of the process,
 * when connections are closed as the kernel would close them and what is queued still goes out.
 */
#include "shim/epoll.h"
#include "shim/runtime.h"
#include "shim/sock.h"

#include <netinet/tcp.h>
#include <unistd.h>

/* How long the process stays for its peers' acknowledgements; the kernel would go on for it. */
#define EXIT_DRAIN_US 2000000u
/*
 * Nobody acknowledges a reset or a last ACK.  Where a port's ring is memory that goes with the process (memif), it stays until
 * the peer must have looked: its longest nap, and much more on a busy machine.
 */
#define EXIT_TAKEN_US 20000u

void core_fork_prepare(void)
{
	/* The child uses no lock, no stack and no object of ours: nothing has to be at rest. */
}

void core_fork_parent(void)
{
}

void core_fork_child(void)
{
	rt.pid = getpid();
	thread_forget();
	if (atomic_load(&rt.state) == RT_DOWN)
		arena_init(); /* it may start an engine of its own: it must not share the parent's objects */
	else if (atomic_load(&rt.state) != RT_FAILED)
		atomic_store(&rt.state, RT_OFF);
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

static bool never(struct waiting *w)
{
	return false;
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

void core_exiting(void)
{
	struct drain d = {.w = {.ready = drained, .enroll = enroll_nothing, .resign = resign_nothing, .restart = true}};
	uint32_t socks = arena_count(SLAB_SOCK), ended = 0;
	int up = RT_UP;

	if (getpid() != rt.pid || inside())
		return;
	rt.exiter = lock_tid();
	if (!atomic_compare_exchange_strong(&rt.state, &up, RT_EXITING))
		return;
	for (uint32_t i = 0; i < socks; i++) {
		struct sock *s = arena_at(SLAB_SOCK, i);

		if (s->pid == rt.pid && object_kill(s)) {
			sock_end(s);
			ended++;
		}
	}
	d.w.deadline = io_now() + EXIT_DRAIN_US;
	wait_for(&d.w);
	if (!ended || rt.info.doorbell != IO_DOORBELL_CHEAP)
		return;
	d.w.ready = never;
	d.w.deadline = io_now() + EXIT_TAKEN_US;
	wait_for(&d.w);
}
