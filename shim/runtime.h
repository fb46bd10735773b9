/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * runtime.h - where engine and ports meet: the stacks, who drives them and when, and the one watcher that sleeps for all.
 *
 * A stack is an engine, a queue of the port and a lock.  Whoever has the lock drives: an application thread in its own call, or
 * the helper thread when no application thread does.  Only here is the clock read and a packet moved between engine and port.
 */
#ifndef SHIM_RUNTIME_H
#define SHIM_RUNTIME_H

#include "engine/engine.h"
#include "io/io.h"
#include "shim/config.h"
#include "shim/core.h"
#include "shim/family.h"
#include "shim/fdtab.h"
#include "shim/lock.h"
#include "shim/wait.h"

struct rte_mempool;
struct rte_ring;

#define RX_BURST 32
#define TURN_US 10
#define TX_PENDING 64

/* A turn of a program's event loop, in whose calls output may wait (runtime.c). */
struct turn {
	unsigned calls; /* still to come */
	bool held;	/* some data waits */
	bool holds;	/* data may wait, not ACKs alone: */
	bool lone;	/* ... news of one socket began it, whose answer waits for nothing but its close; else of several */
	bool lasts;	/* ... and users mostly close what they have answered, */
	uint8_t doubt;	/* which it takes longer to believe by this power of two */
	usec_t until;	/* data waits no longer than until then */
	uint32_t sent;	/* engine_spoken().data when the last call ended */
	struct engine_spoken learned; /* what had been said when `lasts` was found out */
	usec_t ends;		      /* then the turn is over */
	usec_t trust_at;	      /* from when on the program is trusted to come back soon, again */
	unsigned late;		      /* LATE_RARELY more with each call that came late, one less with each that did not */
	usec_t distrust;	      /* how long it was not, the last time; less with each turn that went well */
};

struct stack {
	/* What every call touches. */
	struct lock lock;
	bool inside; /* its owner is at work: if it dies now, nothing of the state can be trusted */
	unsigned id;
	struct engine *engine;
	usec_t now;		   /* the latest time the engine was told: never goes back */
	_Atomic usec_t last_drive; /* when packets were last looked for */
	_Atomic uint32_t driver;   /* ... by stacks_drive(): the thread */
	_Atomic usec_t deadline;   /* engine_next_deadline() when the lock was last released */
	struct turn turn;
	unsigned ntx;  /* frames that wait for the doorbell, or that the port refused */
	bool behind;   /* the last look may have left some on the port, whose interrupt it has taken */
	void *trap[5]; /* __builtin_setjmp()'s: where the owner goes on when the application's memory is not there */

	struct rte_mempool *pool;
	_Atomic uint64_t frames; /* received so far */
	usec_t last_ring;	 /* when the doorbell was last rung */
	usec_t link_checked, link_changed;
	bool link_up;
	struct rte_mbuf *tx[TX_PENDING];
	struct engine_config config;  /* the engine's, which may be lost with it */
	struct rte_ring *handed_over; /* frames that arrived at another stack's queue; NULL with a single stack */
};

enum rt_state {
	RT_DOWN, /* not tried yet */
	RT_UP,
	RT_FAILED,  /* tried, said why, not tried again */
	RT_OFF,	    /* a forked child that could not join the family: the engine is its parent's */
	RT_EXITING, /* connections were closed for good */
};

/* This process's runtime.  Written by engine_up() and fork alone. */
struct runtime {
	const struct thin_ops *thin;
	const struct real_calls *real;
	const struct config *cfg;
	const struct fdtab *fds;
	_Atomic int state; /* enum rt_state */
	pid_t pid;
	uint32_t exiter; /* thread that ended the process's connections */
	struct port *port;
	struct port_info info;
	unsigned rx_burst, rx_turn; /* frames asked of the port at once, and taken in before the program has its turn */
	unsigned nstacks;
	struct stack *stacks[IO_QUEUES_MAX];
	struct shared *shared;	  /* what the processes of a fork family have in common */
	unsigned proc;		  /* this one's number among them */
	bool forking;		  /* fork() began with the engine up */
	int child;		  /* the child's number, then; -1: it cannot join */
	_Atomic bool gone;	  /* it ends: no thread of it enters a stack any more */
	_Atomic uint32_t execing; /* or so it looks: it may be that exec fails */
};
extern struct runtime rt;

static inline bool rt_up(void)
{
	return atomic_load_explicit(&rt.state, memory_order_acquire) == RT_UP;
}

/* What a descriptor is now. */
static inline struct fdref rt_fd(int fd)
{
	return fdtab_get_in(rt.fds, fd);
}

/* Is it up, or may it come up yet? */
static inline bool rt_usable(void)
{
	int state = atomic_load_explicit(&rt.state, memory_order_acquire);

	return state == RT_UP || state == RT_DOWN;
}

/* Take the stack's lock and the time.  False if this thread holds it already: a signal handler that interrupted a call of its
 * own. */
bool stack_enter(struct stack *st, usec_t *now);
/* Send what is to be sent (as the turn and the doorbell's price allow), tell the waiters, release the lock. */
void stack_leave(struct stack *st, usec_t now);

/* A deadline that comes this much earlier than the helper's own waking time is worth waking it for. */
#define POKE_SLACK_US 5000

static inline bool helper_oversleeps(usec_t deadline)
{
	usec_t until = atomic_load(&rt.shared->helper_until);

	return until > deadline && until - deadline >= POKE_SLACK_US;
}

/*
 * The same two inline, for the calls that are made most; the parts of them that few calls come to: with the lock of a process
 * that ends (false: it was given back; where exec has failed there was no end), after what the last call has left (torn: its
 * owner died inside), with something to send or to tell (when to wake next), with somebody to wake.
 */
bool stack_outlasts(struct stack *st) __attribute__((cold));
void stack_take_up(struct stack *st, bool torn, usec_t away) __attribute__((noinline));
usec_t stack_finish(struct stack *st, usec_t now) __attribute__((noinline));
void stack_wake(usec_t deadline) __attribute__((noinline));

/* With the lock, at that time. */
static inline __attribute__((always_inline)) bool stack_entered(struct stack *st, usec_t clock, usec_t *now)
{
	bool torn = st->inside;
	usec_t before = st->now;

	if (__builtin_expect(atomic_load_explicit(&rt.gone, memory_order_relaxed), 0)) {
		if (!stack_outlasts(st))
			return false;
		/* Others had the lock meanwhile. */
		torn = st->inside;
		before = st->now;
		clock = io_now();
	}
	st->inside = true;
	thread_self()->stacks_held++;
	io_lcore_enter(st->id);
	/* Clocks of two cores may disagree by a little. */
	*now = st->now = clock > before ? clock : before;
	if (__builtin_expect(torn || st->turn.held, 0))
		stack_take_up(st, torn, *now - before);
	return true;
}

static inline __attribute__((always_inline)) bool stack_enter_fast(struct stack *st, usec_t *now)
{
	if (__builtin_expect(!lock_try(&st->lock), 0)) {
		if (lock_mine(&st->lock))
			return false;
		lock_take(&st->lock);
	}
	return stack_entered(st, io_now(), now);
}

static inline __attribute__((always_inline)) void stack_leave_fast(struct stack *st, usec_t now)
{
	usec_t deadline = engine_next_deadline(st->engine);
	struct thread *t = thread_self();

	if (__builtin_expect(st->ntx || st->behind || deadline <= now || !engine_is_quiet(st->engine), 0)) {
		deadline = stack_finish(st, now);
	} else {
		st->turn.held = false;
		st->turn.until = now + TURN_US;
	}
	/* Before watch_until is read, as the watcher stores watch_until before it reads this: one of the two sees the other. */
	if (deadline != atomic_load_explicit(&st->deadline, memory_order_relaxed))
		atomic_exchange(&st->deadline, deadline);
	io_lcore_leave();
	t->stacks_held--;
	st->inside = false;
	lock_drop(&st->lock);
	if (__builtin_expect(t->nwakes || deadline < atomic_load(&rt.shared->watch_until) || helper_oversleeps(deadline), 0))
		stack_wake(deadline);
}

/* Tell the waiters what happened; of how many sockets.  Caller is inside the stack. */
unsigned stack_notify(struct stack *st);
/* Packets in: how many; timers.  Caller is inside the stack. */
unsigned stack_drive(struct stack *st, usec_t now);
/* Ring the doorbell now, whatever it costs. */
void stack_flush(struct stack *st, usec_t now);
/* What waits for the end of the turn is sent now: what comes next changes how it would be. */
void stack_settle(struct stack *st, usec_t now);
/* Has it not looked for packets for that long?  It may have since `now`. */
static inline bool stack_stale(struct stack *st, usec_t now, usec_t us)
{
	return now > atomic_load_explicit(&st->last_drive, memory_order_relaxed) + us;
}
/* Is one of them that stale? */
bool stacks_stale(usec_t now, usec_t us);
/*
 * Drive every stack that nobody else drives at this moment, which is `now`: io_now() of just before.  ring: pending frames leave
 * too, dear or not; else if nothing came.  True if all queues were found empty: else what is still in one, or came there before
 * its interrupt was on, need not ring.
 */
bool stacks_drive(bool ring, usec_t now);
/* A process died: take the locks of stacks that it had, and renew those that it was inside. */
void stacks_recover(void);
/*
 * Its last owner was killed inside: start the engine anew.  Listeners stay, connections are reset.  Caller has the lock
 * (renew.c).
 */
void stack_renew(struct stack *st, usec_t now);
/* Keep what that takes. The stack is new. */
void stack_renewable(struct stack *st, const struct engine_config *config);
/* No thread of this process is inside a stack when this returns, nor will one be. */
void stacks_abandon(void);
/* The same until stacks_resume(), for an exec that may fail: who wants to enter waits. */
void stacks_suspend(void);
void stacks_resume(void);
/* The trap of the stack that this thread is inside, if its engine copies the application's bytes; NULL.  From a handler. */
void **stacks_copying(void);
/* Frames received so far by all stacks. */
uint64_t stacks_frames(void);
/* Earliest deadline of all engines. */
usec_t stacks_deadline(void);
/* An application's call that only takes or gives data looks for packets when nobody did for this long. */
#define DRIVE_STALE_US 20

/* Sleeping threads: one of them watches the ports for all. */
bool watch_take(struct thread *t);
void watch_drop(struct thread *t);

/*
 * The helper thread (helper.c).  start() runs up() in the new thread, which has all signals blocked, waits for its result and
 * returns it; on 0 the thread then serves until the process ends.
 */
int helper_start(int (*up)(void));
/* In a forked child: the helper is the parent's; helper_join() starts one that awaits its turn, if there is none yet. */
void helper_forget(void);
void helper_join(void);
/* Make it look around, however deeply it sleeps. */
void helper_wake(void);
/* The watch is free, or a deadline came closer: wake the helper if it sleeps too deeply for that. */
void helper_poke(usec_t deadline);
/* A thread of our own: none of the program's signals is handled there.  -errno. */
int helper_thread(pthread_t *thread, void *(*run)(void *), void *arg);

/* engine_up() of core.h (setup.c). */
int runtime_up(void);
/* In a forked child: no thread is in runtime_up(). */
void runtime_forget(void);

/* core_ops, see core.h: poll.c, fork.c. */
int core_poll(struct pollfd *fds, nfds_t n, struct timespec *timeout, const sigset_t *sigmask);
int core_select(const struct sets *s, unsigned long (*found)[SET_KINDS]);
void core_exiting(void);
void core_fork_prepare(void);
void core_fork_parent(void);
bool core_fork_child(void);
void core_threads_up(void);
void core_exec_begin(void);
void core_exec_failed(void);

#endif
