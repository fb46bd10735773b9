/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wait.h - who waits for what, and how a thread sleeps without missing its wake-up.
 *
 * A pollable is what can be waited for: it is embedded in every socket and epoll set.  A watch ties it to who is told: a thread
 * (blocked in a call, in poll() or in epoll_wait()), a member of an epoll set, or the thread that sends signals (sigio.h).
 *
 * The protocol.  Sleeper: put the watch on the pollable, set `sleeping`, drive and look once more, sleep.  Waker: make it ready,
 * look at the watches, exchange `sleeping`, and only if it was set write the eventfd.  Each step of one side and its counterpart
 * of the other are read-modify-writes of the same word (pollable.nwatches, thread.sleeping), so that one of the two always sees
 * the other.
 */
#ifndef SHIM_WAIT_H
#define SHIM_WAIT_H

#include "engine/engine.h"
#include "engine/list.h"
#include "shim/arena.h"
#include "shim/lock.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/types.h>

struct epoll_event;
struct thread;
struct pollable;

enum watch_kind { WATCH_THREAD, WATCH_MEMBER, WATCH_SIGIO };

/* Protected by the lock of the pollable it is on. */
struct watch {
	struct object obj;
	struct list at;	     /* on pollable.watches */
	struct pollable *on; /* NULL: on none */
	uint32_t mask;	     /* EPOLL* of interest; EPOLLERR and EPOLLHUP always are */
	uint8_t kind;	     /* enum watch_kind */
	bool exclusive;	     /* of several exclusive ones only as many are told as have something to do (struct news) */
	union {
		struct thread *thread; /* WATCH_THREAD, WATCH_SIGIO */
		void *target;	       /* WATCH_MEMBER: struct sock or struct epset; NULL while FRESH */
	};
	uint64_t told; /* exclusive: in which stay of which thread it was last; 0: in none */
};

struct pollable {
	struct lock lock;
	_Atomic uint32_t nwatches;
	struct list watches; /* exclusive ones last, the one that was served last behind all; linked on first use */
};

/* Link its watches anew: its lock was taken from a process that was killed. */
void pollable_mend(struct pollable *p) __attribute__((cold));
static inline void pollable_lock(struct pollable *p)
{
	if (__builtin_expect(lock_take(&p->lock), 0))
		pollable_mend(p);
}
/* Put a watch on a pollable (w->kind, mask, thread, exclusive filled in).  From then on events reach it: look at the level after
 * this. */
void pollable_add(struct pollable *p, struct watch *w);
/* Take it off; nobody tells it anything any more when this returns.  Harmless if it is on none. */
void pollable_remove(struct watch *w);
/* What happened. */
struct news {
	uint32_t events; /* EPOLL* */
	unsigned count;	 /* as many exclusive watchers that sleep are woken: connections that wait for accept(); else 1 */
	int stack;	 /* first those whose home it is; -1: no matter */
};
/* Tell those who are interested in any of the events.  True if an exclusive watcher, or any sleeper, was woken. */
bool pollable_tell(struct pollable *p, const struct news *news);
/* The same of something that one exclusive watcher can serve. */
static inline bool pollable_notify(struct pollable *p, uint32_t events)
{
	return pollable_tell(p, &(struct news){.events = events, .count = 1, .stack = -1});
}

#define THREAD_WAKES_MAX 32

/*
 * What the core keeps of a thread, in the arena so that a waker finds it.  Its eventfd belongs to the record's index and stays
 * when the thread ends, for the next one: a late waker never writes into another file.
 */
struct thread {
	struct object obj;
	_Atomic uint32_t sleeping; /* exchange to 0 before writing the eventfd */
	unsigned proc;		   /* the thread's process: its eventfd may be in that process's private table alone */
	uint32_t tid;
	uint32_t stay;	      /* counts the times that it went to sleep; for itself alone */
	bool staying;	      /* from then on, until it is off the watches */
	unsigned home;	      /* the stack on which it opens connections */
	unsigned stacks_held; /* stack locks this thread holds */
	unsigned nwakes;      /* wake-ups put off until the stack lock is released */
	struct thread *wakes[THREAD_WAKES_MAX];
	struct watch watch;	   /* for a call that waits for one socket */
	bool watch_busy;	   /* in use: a signal handler waits meanwhile */
	unsigned spin_us;	   /* what adaptive spinning has learnt: how long is worth it */
	_Atomic usec_t poll_asked; /* wait_may_ask()'s for poll() */
	pthread_t self;		   /* pthread_cancel()'s name for it */
	_Atomic bool cancelled;	   /* it was, since it last looked */
	_Atomic bool called;	   /* the thread of sigio.c: a socket has events for it */
	void *scratch;		   /* the thread's own memory, for poll() of many descriptors */
	size_t scratch_size;
	bool scratch_busy;
};

#define THREADS_MAX (1u << 18)

/* This thread's record, made at its first use; never NULL. */
extern __thread struct thread *thread_known __attribute__((tls_model("initial-exec")));
struct thread *thread_first_use(void) __attribute__((cold));
static inline struct thread *thread_self(void)
{
	struct thread *t = thread_known;

	return __builtin_expect(t != NULL, 1) ? t : thread_first_use();
}
/* The record of the calling thread is the parent's: forget it (in the child of a fork). */
void thread_forget(void);
/* Another process is about to come: give the records that are used first eventfds that both will have. */
void threads_make_wakeable(void);
/* pthread_cancel() of a thread of this process: it wakes up, and leaves its call. */
void thread_cancelled(pthread_t thread);
/* Can every process that knows of this thread wake it? */
bool thread_is_wakeable(const struct thread *t);
/* The eventfd that wakes it, made at the first use; -errno when there is no descriptor left. */
int thread_fd(struct thread *t);
/* Does it sleep, or is it this one, which is about to and will look once more? */
bool thread_is_asleep(const struct thread *t);
/* Read its eventfd empty. */
void thread_drain(struct thread *t);
/* Wake it if it sleeps; true if it did.  Under a stack lock the system call is put off until the lock is released. */
bool thread_wake(struct thread *t);
/* Wake it whatever is noted about it; once for nothing does no harm. */
void thread_rouse(struct thread *t);
/* Do the wake-ups that were put off. */
void thread_flush_wakes(struct thread *t);

/* One wait of a thread for something that the engine, the kernel or both will bring about. */
struct waiting {
	/* Is there something?  Called often, without locks, without system calls. */
	bool (*ready)(struct waiting *w);
	/* Ask the kernel without blocking; NULL: nothing of the kernel's is waited for. */
	bool (*ask_kernel)(struct waiting *w);
	/* Put watches on what is waited for, and take them off again.  0 or -errno. */
	int (*enroll)(struct waiting *w, struct thread *t);
	void (*resign)(struct waiting *w);
	struct pollfd *fds; /* kernel descriptors to sleep on, with room for WAIT_EXTRA_FDS more behind them; NULL with nfds 0 */
	nfds_t nfds;
	usec_t deadline; /* of io_now(); USEC_NEVER */
	const sigset_t *sigmask;
	bool restart;	     /* the call begins anew behind handlers with SA_RESTART */
	usec_t kernel_asked; /* when it was last asked: it is again after KERNEL_ASK_US */
	usec_t heard_at;     /* when packets came that were not enough, or the wait began */
};

/* The thread's own eventfd, and one receive interrupt per stack. */
#define WAIT_EXTRA_FDS 17
/*
 * While the engine has plenty to say, the kernel is asked this often on average, but up to KERNEL_ASK_BURST times in a row: a
 * program that is not busy gets each time the full truth.
 */
#define KERNEL_ASK_US 50
#define KERNEL_ASK_BURST 32

/* Drive, spin, sleep until there is something: 1; 0 at the deadline; -EINTR, or GUARD_RESTART if w->restart (guard.h); -EMFILE
 * and the like when it cannot sleep. */
int wait_for(struct waiting *w);
/* ppoll() for the core: it knows of the handlers that are put off, and is no cancellation point.  -errno. */
int wait_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask);
/* epoll_wait() that does not wait: no cancellation point either. */
int wait_epoll(int epfd, struct epoll_event *evs, int max);
/* A call that does not wait found nothing: -EINTR if a handler is pending that its mask (NULL: none) lets run. */
int wait_pending(const sigset_t *mask);
/* May the kernel be asked now?  If so, wait_may_ask() notes it in *asked, the time up to which the average is used up. */
static inline bool wait_would_ask(const _Atomic usec_t *asked, usec_t now)
{
	return atomic_load_explicit(asked, memory_order_relaxed) + KERNEL_ASK_US <= now;
}
bool wait_may_ask(_Atomic usec_t *asked, usec_t now);
/* Naps on a port without interrupts: from 50 us to 1 ms, then 2 ms when nothing came for a fifth of a second, 5 ms after one
 * more. */
struct nap {
	unsigned us;   /* the next one's length; 0: none was taken yet */
	unsigned idle; /* of the longest kinds, in a row, without a frame */
};
/* The next nap's length; busy: frames came since the last. */
unsigned nap_next(struct nap *n, bool busy);
/*
 * One sleeper's way to wait for the ports: rest_begin(), look for packets once more, sleep for rest_time() at most, rest_end(),
 * again and again, and rest_over() at the end.  Start with nap.us set.
 */
struct rest {
	struct nap nap;
	unsigned narmed; /* interrupts that are on: all or none */
	bool settled;	 /* ... and can be relied upon */
	usec_t armed_at;
};
/* Add the descriptors to sleep on, if there are such. */
void rest_begin(struct rest *r, struct pollfd *fds, nfds_t *n);
/* us, USEC_NEVER with interrupts; busy: frames came since the last time; empty: the look after rest_begin() left nothing behind
 * (stacks_drive()). */
usec_t rest_time(struct rest *r, bool busy, bool empty);
/* fds: those that rest_begin() added. */
void rest_end(struct rest *r, const struct pollfd *fds);
void rest_over(struct rest *r);
/*
 * When a nap of this length (USEC_NEVER: of any) ends: earlier if an engine's deadline comes first.  Never at once: a deadline
 * that has passed means that another thread has the stack, and this one must let it run.
 */
usec_t wait_nap(usec_t us);
/* Deadline of a relative timeout (NULL: never) that begins now; saturates. */
usec_t wait_deadline(const struct timespec *timeout, usec_t now);

#endif
