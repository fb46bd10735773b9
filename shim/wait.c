/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wait.c - pollables, and the three stages of a wait: drive and look, spin while that has paid off lately, sleep in one kernel
 * call.
 */
#include "shim/wait.h"
#include "shim/epoll.h"
#include "shim/guard.h"
#include "shim/runtime.h"
#include "shim/sigio.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

/* An event that comes so soon after the wait began is worth spinning for. */
#define SPIN_MAX_US 300u
#define SPIN_LEAST_US 5u
/* Somebody else may need this core to bring about what we spin for. */
#define SPIN_YIELD_US 5u
/* Spinning that a signal may still interrupt without ending the wait. */
#define OPEN_SPIN_US 5u
/* While packets keep coming, spinning goes on for so long before signals and the kernel's descriptors get their turn. */
#define SPIN_TURN_US 1000u
#define NAP_SLACK_NS 1000
/* How long a thread sleeps that another process could not wake. */
#define UNWAKEABLE_US 1000u

void pollable_add(struct pollable *p, struct watch *w)
{
	pollable_lock(p);
	if (!p->watches.next)
		list_init(&p->watches);
	if (w->exclusive)
		list_add_tail(&p->watches, &w->at);
	else
		list_add_head(&p->watches, &w->at);
	w->on = p;
	atomic_fetch_add(&p->nwatches, 1);
	lock_drop(&p->lock);
}

void pollable_remove(struct watch *w)
{
	struct pollable *p = w->on;

	if (!p)
		return;
	pollable_lock(p);
	list_del(&w->at);
	w->on = NULL;
	atomic_fetch_sub(&p->nwatches, 1);
	lock_drop(&p->lock);
}

/* Does it stand for a thread that sleeps, home >= 0: and takes its connections from that stack first? */
static bool is_asleep(const struct watch *w, int home)
{
	return w->kind == WATCH_THREAD && thread_is_asleep(w->thread) && (home < 0 || w->thread->home == (unsigned)home);
}

/* The same of a member: of those who wait for its set. */
static bool has_sleeper(struct watch *w, int home)
{
	struct pollable *p;
	bool found = false;

	if (w->kind == WATCH_THREAD)
		return is_asleep(w, home);
	p = member_waiters(w);
	pollable_lock(p);
	if (p->watches.next)
		list_each (at, &p->watches)
			found |= is_asleep(container_of(at, struct watch, at), home);
	lock_drop(&p->lock);
	return found;
}

static bool watch_tell(struct watch *w, uint32_t events)
{
	if (w->kind == WATCH_THREAD)
		return thread_wake(w->thread);
	if (w->kind == WATCH_MEMBER)
		return member_event(w, events);
	sigio_event(w, events);
	return false;
}

static bool is_for(const struct watch *w, uint32_t events)
{
	return events & (w->mask | EPOLLERR | EPOLLHUP);
}

/* All that are not exclusive; true if one was woken. */
static bool tell_all(struct pollable *p, uint32_t events)
{
	bool woke = false;

	list_each (at, &p->watches) {
		struct watch *w = container_of(at, struct watch, at);

		if (w->exclusive)
			break;
		if (is_for(w, events))
			woke |= watch_tell(w, events);
	}
	return woke;
}

/* Which of the exclusive ones. */
enum which { ASLEEP_AT_HOME, ASLEEP, ALL };

/* A thread that looks for packets before it sleeps may tell itself, of several things at once: that wakes one all the same. */
static uint64_t this_stay(void)
{
	const struct thread *t = thread_self();

	return t->staying ? (uint64_t)t->obj.index << 32 | t->stay : 0;
}

static bool is_among(struct watch *w, enum which which, int home)
{
	if (which == ALL)
		return true;
	return (!w->told || w->told != this_stay()) && has_sleeper(w, which == ASLEEP_AT_HOME ? home : -1);
}

/* Until `most` of them were woken; how many were.  Who was goes behind the others: what comes is spread over all that wait. */
static unsigned tell_some(struct pollable *p, const struct news *news, unsigned most, enum which which)
{
	struct list served;
	unsigned n = 0;

	list_init(&served);
	list_each_safe (at, &p->watches) {
		struct watch *w = container_of(at, struct watch, at);

		if (n == most)
			break;
		if (!w->exclusive || !is_for(w, news->events) || !is_among(w, which, news->stack) || !watch_tell(w, news->events))
			continue;
		n++;
		w->told = this_stay();
		list_del(at);
		list_add_tail(&served, at);
	}
	while (!list_empty(&served))
		list_add_tail(&p->watches, list_pop(&served));
	return n;
}

/* Those that sleep; whoever is awake finds it only if there are too few of them. True if one was woken. */
static bool tell_exclusive(struct pollable *p, const struct news *news)
{
	/* What changes the state is for all (sock_def_wakeup), what can be served once is for one of the exclusive. */
	unsigned most = news->events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR) ? UINT32_MAX : news->count, n = 0;

	if (list_empty(&p->watches) || !container_of(p->watches.prev, struct watch, at)->exclusive)
		return false;
	if (rt.nstacks > 1 && news->stack >= 0)
		n = tell_some(p, news, most, ASLEEP_AT_HOME);
	if (n < most)
		n += tell_some(p, news, most - n, ASLEEP);
	if (n < most)
		tell_some(p, news, most - n, ALL);
	return n;
}

bool pollable_tell(struct pollable *p, const struct news *news)
{
	bool woke = false;

	/* Read-modify-write: either this sees the watch, or who added it sees what made the event. */
	if (!atomic_fetch_add(&p->nwatches, 0))
		return false;
	pollable_lock(p);
	if (p->watches.next) {
		woke = tell_all(p, news->events);
		woke |= tell_exclusive(p, news);
	}
	lock_drop(&p->lock);
	return woke;
}

usec_t wait_deadline(const struct timespec *timeout, usec_t now)
{
	usec_t us;

	if (!timeout || timeout->tv_sec > INT32_MAX)
		return USEC_NEVER;
	us = (usec_t)timeout->tv_sec * 1000000 + (timeout->tv_nsec + 999) / 1000;
	return now + us;
}

bool wait_may_ask(_Atomic usec_t *asked, usec_t now)
{
	usec_t used = atomic_load_explicit(asked, memory_order_relaxed);

	if (!wait_would_ask(asked, now))
		return false;
	if (used + KERNEL_ASK_BURST * KERNEL_ASK_US < now)
		used = now - KERNEL_ASK_BURST * KERNEL_ASK_US;
	atomic_store_explicit(asked, used + KERNEL_ASK_US, memory_order_relaxed);
	return true;
}

/* Look, and ask the kernel when its turn has come. */
static bool look(struct waiting *w, usec_t now)
{
	if (w->ready(w))
		return true;
	if (!w->ask_kernel || now - w->kernel_asked < KERNEL_ASK_US)
		return false;
	w->kernel_asked = now;
	return w->ask_kernel(w);
}

/*
 * Spin for us microseconds, not past the deadline; true if it was worth it.  A packet that came begins them anew, but not beyond
 * most: what is waited for may take many (a writer waits until a third of its buffer is acknowledged), each soon after the last.
 */
static bool spin(struct waiting *w, usec_t start, unsigned us, unsigned most)
{
	usec_t now = io_now(), yielded = now, end = start + (us < most ? most : us);
	uint64_t frames = stacks_frames(), before;

	while (now - start < us && now < end && now < w->deadline) {
		stacks_drive(false, now);
		if (look(w, now))
			return true;
		__builtin_ia32_pause();
		now = io_now();
		before = frames;
		frames = stacks_frames();
		if (frames != before)
			start = w->heard_at = now;
		if (now - yielded > SPIN_YIELD_US) {
			sched_yield();
			yielded = now;
		}
	}
	return false;
}

static unsigned spin_budget(const struct thread *t)
{
	if (rt.cfg->spin_us >= 0)
		return (unsigned)rt.cfg->spin_us;
	return t->spin_us < SPIN_LEAST_US ? 0 : t->spin_us;
}

/*
 * Learn from a wait that ended us microseconds after the last packet that was not what it waits for (a writer who waits for a
 * third of its buffer to be acknowledged sees many), or after it began: how long would have been worth spinning?
 */
static void spin_learn(struct thread *t, usec_t us, bool while_spinning)
{
	if (while_spinning || us < SPIN_MAX_US)
		t->spin_us = us * 2 + 20 > t->spin_us ? us * 2 + 20 : t->spin_us;
	else
		t->spin_us /= 2;
	if (t->spin_us > SPIN_MAX_US)
		t->spin_us = SPIN_MAX_US;
}

/*
 * A wait that a handler ends, or that a cancelled thread is in, is left all the way to the call's end (guard.h): this tells
 * whether it begins anew there if every handler had SA_RESTART.
 */
static int leave_for_handlers(struct waiting *w)
{
	return w->restart ? GUARD_RESTART : -EINTR;
}

/* Was the thread cancelled, and does it mind (pthread_setcancelstate(3))? */
static bool is_cancelled(struct thread *t)
{
	if (__builtin_expect(!atomic_load_explicit(&t->cancelled, memory_order_acquire), 1))
		return false;
	atomic_store(&t->cancelled, false);
	return rt.thin->guard()->cancel_state == PTHREAD_CANCEL_ENABLE;
}

/* A kernel wait with a mask of its own, NULL: with the thread's: no cancellation point, as the core must be left in order. */
int wait_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	struct guard *g = rt.thin->guard();
	struct timespec ts = timeout ? *timeout : (struct timespec){0};
	long rc;

	g->asleep = mask;
	rc = rt.real->syscall(SYS_ppoll, fds, n, timeout ? &ts : NULL, mask, KERNEL_SIGSET);
	g->asleep = NULL;
	return rc < 0 ? -errno : (int)rc;
}

int wait_epoll(int epfd, struct epoll_event *evs, int max)
{
	return (int)rt.real->syscall(SYS_epoll_wait, epfd, evs, max, 0);
}

int wait_pending(const sigset_t *mask)
{
	const struct timespec none = {0};

	return mask ? wait_ppoll(NULL, 0, &none, mask) : 0;
}

static int ppoll_until(struct pollfd *fds, nfds_t n, usec_t until, const sigset_t *mask)
{
	usec_t now = io_now(), left = until > now ? until - now : 0;
	struct timespec ts = {.tv_sec = (time_t)(left / 1000000), .tv_nsec = (long)(left % 1000000) * 1000};

	return wait_ppoll(fds, n, until == USEC_NEVER ? NULL : &ts, mask);
}

/* What one stay in the kernel is made of. */
struct sleep {
	struct waiting *w;
	struct thread *t;
	struct pollfd *fds;
	const sigset_t *mask; /* to be in force while asleep, and only then */
	bool watching;
	usec_t began;	 /* the last stay */
	bool by_port;	 /* it ended because a packet came */
	uint64_t frames; /* received when the last look for packets began */
	bool empty;	 /* it found all there was */
	struct rest rest;
};

static bool any_ready(const struct pollfd *fds, nfds_t n)
{
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].fd >= 0 && fds[i].revents)
			return true;
	return false;
}

/* When a watcher must wake by itself; published for those who bring a deadline forward. */
static usec_t watch_time(struct sleep *s)
{
	usec_t most = rest_time(&s->rest, stacks_frames() != s->frames, s->empty), until;

	atomic_store(&rt.shared->watch_until, USEC_NEVER);
	until = wait_nap(most);
	if (s->w->deadline < until)
		until = s->w->deadline;
	atomic_store(&rt.shared->watch_until, until);
	return until;
}

/* The stay in the kernel itself: 1 if the caller's descriptors have something, 0 to look again, -EINTR. */
static int stay(struct sleep *s, nfds_t n)
{
	usec_t until = s->watching ? watch_time(s) : s->w->deadline;
	int rc;

	if (!thread_is_wakeable(s->t) && until > io_now() + UNWAKEABLE_US)
		until = io_now() + UNWAKEABLE_US;
	s->began = io_now();
	rc = ppoll_until(s->fds, n, until, s->mask);
	if (s->watching)
		atomic_store(&rt.shared->watch_until, 0);
	if (rc <= 0)
		return rc;
	return any_ready(s->w->fds, s->w->nfds);
}

/* Announce it, look once more, sleep: 1 if there is something, 0 to come again, -ETIMEDOUT, -EINTR. */
static int sleep_once(struct sleep *s)
{
	nfds_t n = s->w->nfds, ports;
	int rc;

	s->fds[n++] = (struct pollfd){.fd = thread_fd(s->t), .events = POLLIN};
	ports = n;
	s->frames = stacks_frames();
	s->t->staying = true;
	s->t->stay++;
	atomic_exchange(&s->t->sleeping, 1);
	if (s->watching)
		rest_begin(&s->rest, s->fds, &n);
	s->empty = stacks_drive(true, io_now());
	if (s->w->ready(s->w))
		rc = 1;
	else if (io_now() >= s->w->deadline)
		rc = -ETIMEDOUT;
	else if (is_cancelled(s->t))
		rc = GUARD_RESTART;
	else
		rc = stay(s, n);
	s->by_port = !rc && any_ready(s->fds + ports, n - ports);
	/*
	 * A waker clears the flag first and writes then: its write may come after this look, and be found by the next sleep,
	 * which must take it away too, or every sleep from then on ends at once.
	 */
	if (!atomic_exchange(&s->t->sleeping, 0) || s->fds[s->w->nfds].revents)
		thread_drain(s->t);
	if (s->watching)
		rest_end(&s->rest, s->fds + ports);
	return rc;
}

/*
 * A packet woke us: where it came soon the next will, and a sleep for each would put a wake-up into every round trip.  True if
 * what is waited for came meanwhile.
 */
static bool spin_between(struct sleep *s)
{
	usec_t now = io_now();

	if (!s->by_port)
		return false;
	/* That it came late says nothing about the next: the end of the wait will. */
	if (now - s->began < SPIN_MAX_US)
		spin_learn(s->t, now - s->began, false);
	return spin(s->w, now, spin_budget(s->t), SPIN_TURN_US);
}

/* The time is up: what waits in the kernel is to be seen however short it was, and so are signals that the mask lets in. */
static int last_look(struct waiting *w, const sigset_t *mask)
{
	if (w->ready(w) || (w->ask_kernel && w->ask_kernel(w)))
		return 1;
	return wait_pending(mask);
}

/* Sleep until there is something: 1; 0 at the deadline, -EINTR. */
static int sleep_for(struct sleep *s)
{
	struct waiting *w = s->w;
	int rc;

	do {
		if (!s->watching && rt.nstacks)
			s->watching = watch_take(s->t);
		rc = sleep_once(s);
		if (!rc && spin_between(s))
			rc = 1;
	} while (!rc);
	if (rc == 1)
		return 1;
	/* An exclusive waiter may have been woken at that moment: nobody else was. */
	if (rc == -ETIMEDOUT)
		return last_look(w, s->mask);
	/* What came at the same time is not lost to the signal, nor the signal to it, should it turn out to be nothing. */
	stacks_drive(false, io_now());
	if (w->ready(w))
		return 1;
	return rc == -EINTR && rt.thin->guard()->put_off ? leave_for_handlers(w) : rc;
}

/* The third stage, with all signals blocked but in the kernel wait itself; before: what was blocked outside. */
static int sleep_stage(struct waiting *w, struct thread *t, const sigset_t *before)
{
	struct pollfd own[WAIT_EXTRA_FDS];
	struct sleep s = {.w = w, .t = t, .fds = w->fds ? w->fds : own};
	int slack = 0, rc = thread_fd(t);

	if (rc < 0)
		return rc;
	s.mask = w->sigmask ? w->sigmask : before;
	/* Naps of 50 us shall not become 100: the kernel rounds timeouts up by the thread's slack (prctl(2)), 50 us as a rule. */
	if (!rt.info.has_interrupt || rt.info.weak_interrupt)
		slack = prctl(PR_GET_TIMERSLACK);
	if (slack > NAP_SLACK_NS)
		prctl(PR_SET_TIMERSLACK, NAP_SLACK_NS);
	rc = w->enroll(w, t);
	if (!rc)
		rc = sleep_for(&s);
	t->staying = false;
	w->resign(w);
	rest_over(&s.rest);
	if (slack > NAP_SLACK_NS)
		prctl(PR_SET_TIMERSLACK, (unsigned long)slack);
	if (s.watching)
		watch_drop(t);
	return rc;
}

/* Spin on, then sleep; *spun: the spinning found it. */
static int wait_guarded(struct waiting *w, struct thread *t, usec_t start, unsigned budget, bool *spun)
{
	struct guard *g = rt.thin->guard();
	sigset_t all, before;
	bool off;
	int rc;

	guard_fill(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	*spun = false;
	/* One came just before. */
	if (g->put_off)
		return leave_for_handlers(w);
	off = guard_cancel_off(g);
	*spun = rt.nstacks && spin(w, start, budget, SPIN_TURN_US);
	if (*spun)
		rc = 1;
	else
		rc = io_now() >= w->deadline ? last_look(w, w->sigmask ? w->sigmask : &before) : sleep_stage(w, t, &before);
	if (off)
		guard_cancel_on(g);
	/* With a handler to run, the end of the call restores the mask. */
	if (g->put_off) {
		g->before = before;
		g->masked = true;
	} else {
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	return rc;
}

/*
 * On Linux a wait is one stay in the kernel, and a handler that runs meanwhile ends it.  So signals are blocked from here to that
 * stay, where they are pending and end it at once: two system calls, which the waits that end within OPEN_SPIN_US are spared.
 */
int wait_for(struct waiting *w)
{
	struct thread *t = thread_self();
	usec_t start = io_now();
	unsigned budget = spin_budget(t);
	bool spun;
	int rc;

	w->heard_at = start;
	stacks_drive(false, start);
	if (look(w, start))
		return 1;
	if (rt.thin->guard()->put_off)
		return leave_for_handlers(w);
	spun = rt.nstacks && spin(w, start, budget < OPEN_SPIN_US ? budget : OPEN_SPIN_US, 0);
	if (spun) {
		spin_learn(t, io_now() - w->heard_at, true);
		return 1;
	}
	if (io_now() >= w->deadline)
		return last_look(w, w->sigmask);
	rc = wait_guarded(w, t, start, budget, &spun);
	spin_learn(t, rc == 1 ? io_now() - w->heard_at : USEC_NEVER, spun);
	return rc;
}
