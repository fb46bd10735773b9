/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * epwait.c - epoll_wait(): ready engine members first, the kernel's set when its turn has come, then spin, then sleep.
 *
 * The kernel is asked with a system call: before the answer "nothing" is given, and otherwise every KERNEL_ASK_US on average, so
 * that neither side starves.  Who comes first when both have something changes from call to call.
 */
#include "shim/birth.h"
#include "shim/epoll.h"
#include "shim/sock.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* What one call is given, and what it has so far. */
struct answer {
	struct epset *set;
	struct epoll_event *evs;
	int max, n;
	uint32_t collection; /* 0: none was begun */
};

struct ep_wait {
	struct waiting w;
	struct answer a;
	struct watch *watch;
	struct pollfd fds[1 + WAIT_EXTRA_FDS];
};

/* ---- the engine's side
 * ---------------------------------------------------------------------------------------------------------- */

/* From here on no member is reported twice.  Under ready_lock. */
static void begin(struct answer *a)
{
	if (!a->collection && !(a->collection = ++a->set->collection))
		a->collection = ++a->set->collection;
}

/* Put an event of a member into the answer.  Under ready_lock. */
static void report(struct answer *a, struct member *m, uint32_t events)
{
	a->evs[a->n++] = (struct epoll_event){.events = events, .data = m->data};
	m->reported = a->collection;
	m->disabled = (m->events & EPOLLONESHOT) != 0;
}

/* Those that were looked at go behind the others: level-triggered ones that were reported stay on the list.  Under ready_lock. */
static inline void collect(struct answer *a)
{
	struct list *ready = &a->set->ready, *at = ready->next;
	unsigned left = atomic_load_explicit(&a->set->nready, memory_order_relaxed);

	begin(a);
	for (; left && a->n < a->max; left--) {
		struct member *m = container_of(at, struct member, at_ready);
		uint32_t events = member_level(m);

		at = at->next;
		if (events && m->reported == a->collection)
			continue;
		if (events)
			report(a, m, events);
		if (!events || (m->events & (EPOLLET | EPOLLONESHOT)))
			member_unready(m);
	}
	list_begin_at(ready, at);
}

static void collect_engine(struct answer *a)
{
	if (!atomic_load(&a->set->nready))
		return;
	ready_lock(a->set);
	collect(a);
	lock_drop(&a->set->ready_lock);
}

bool epset_ready(struct epset *set)
{
	bool ready = false;

	if (!atomic_load(&set->nready))
		return false;
	ready_lock(set);
	while (!ready && !list_empty(&set->ready)) {
		struct member *m = container_of(set->ready.next, struct member, at_ready);

		ready = member_level(m) != 0;
		if (!ready)
			member_unready(m);
	}
	lock_drop(&set->ready_lock);
	return ready;
}

/* ---- the kernel's side
 * ---------------------------------------------------------------------------------------------------------- */

/* Events of members that the kernel knows under our data become the user's; those reported already, and stale ones, are left out.
 */
static void translate(struct answer *a, int from, int n)
{
	struct epset *set = a->set;

	a->n = from;
	ready_lock(set);
	begin(a);
	for (int i = from; i < from + n; i++) {
		struct epoll_event ev = a->evs[i];
		struct member *m;

		if (ev.data.u64 >> 32 != set->cookie) {
			a->evs[a->n++] = ev;
			continue;
		}
		m = member_of_data(set, ev.data.u64);
		if (m && !m->disabled && m->reported != a->collection && (ev.events & m->events))
			report(a, m, ev.events & m->events);
	}
	lock_drop(&set->ready_lock);
}

static void collect_kernel(struct answer *a)
{
	int room = a->max - a->n, n;

	if (room <= 0)
		return;
	birth_await();
	n = wait_epoll(a->set->kfd, a->evs + a->n, room);
	if (n <= 0)
		return;
	atomic_fetch_add(&rt.shared->kernel_epoch, 1);
	translate(a, a->n, n);
}

/* ---- both
 * ----------------------------------------------------------------------------------------------------------------------- */

/* Whose turn it is comes first; insist: the kernel is asked in any case before there is nothing. */
static void gather_both(struct answer *a, usec_t now, bool insist)
{
	struct epset *set = a->set;
	bool due = wait_may_ask(&set->kernel_asked, now);
	bool first = due && atomic_load_explicit(&set->kernel_first, memory_order_relaxed);

	if (first)
		collect_kernel(a);
	collect_engine(a);
	if (!first && (due || (insist && !a->n)))
		collect_kernel(a);
	if (due)
		atomic_store_explicit(&set->kernel_first, !first, memory_order_relaxed);
}

static void gather(struct answer *a, usec_t now, bool insist)
{
	a->n = 0;
	a->collection = 0;
	if (atomic_load_explicit(&a->set->has_kernel, memory_order_relaxed))
		gather_both(a, now, insist);
	else
		collect_engine(a);
}

static bool ep_ready(struct waiting *w)
{
	struct ep_wait *ew = container_of(w, struct ep_wait, w);

	collect_engine(&ew->a);
	return ew->a.n > 0;
}

static bool ep_ask_kernel(struct waiting *w)
{
	struct ep_wait *ew = container_of(w, struct ep_wait, w);

	if (!atomic_load_explicit(&ew->a.set->has_kernel, memory_order_relaxed))
		return false;
	collect_kernel(&ew->a);
	return ew->a.n > 0;
}

static int ep_enroll(struct waiting *w, struct thread *t)
{
	struct ep_wait *ew = container_of(w, struct ep_wait, w);

	ew->watch = arena_get(SLAB_WATCH);
	if (!ew->watch)
		return -ENOMEM;
	ew->watch->kind = WATCH_THREAD;
	ew->watch->thread = t;
	ew->watch->mask = EPOLLIN;
	ew->watch->exclusive = true;
	pollable_add(&ew->a.set->poll, ew->watch);
	/* From here on epoll_ctl() gives FRESH members to the kernel itself. */
	epset_flush_fresh(ew->a.set);
	return 0;
}

static void ep_resign(struct waiting *w)
{
	struct ep_wait *ew = container_of(w, struct ep_wait, w);

	if (!ew->watch)
		return;
	pollable_remove(ew->watch);
	arena_put(ew->watch);
	ew->watch = NULL;
	/* What is left is for the next sleeper: the wake-up may have been this thread's alone. */
	if (atomic_load(&ew->a.set->nready) && atomic_load(&ew->a.set->poll.nwatches))
		pollable_notify(&ew->a.set->poll, EPOLLIN);
}

/* Nothing was there: until there is. */
static __attribute__((noinline)) int wait_on(struct answer *a, const struct timespec *timeout, const sigset_t *sigmask,
					     usec_t now)
{
	struct ep_wait ew = {.w = {.ready = ep_ready,
				   .ask_kernel = ep_ask_kernel,
				   .enroll = ep_enroll,
				   .resign = ep_resign,
				   .fds = ew.fds,
				   .nfds = 1,
				   .deadline = wait_deadline(timeout, now),
				   .kernel_asked = now,
				   .sigmask = sigmask},
			     .a = *a,
			     .fds = {{.fd = a->set->kfd, .events = POLLIN}}};
	int rc;

	do {
		rc = wait_for(&ew.w);
		if (rc == 1 && !ew.a.n)
			gather(&ew.a, io_now(), true);
	} while (rc == 1 && !ew.a.n && (ew.w.kernel_asked = io_now()));
	return ew.a.n ? ew.a.n : rc;
}

static int wait_both(struct answer *a, const struct timespec *timeout, const sigset_t *sigmask, usec_t now)
{
	gather(a, now, false);
	if (__builtin_expect(a->n, 1))
		return a->n;
	if (!timeout || timeout->tv_sec || timeout->tv_nsec)
		return wait_on(a, timeout, sigmask, now);
	now = io_now();
	stacks_drive(false, now);
	gather(a, now, true);
	/* With none to spend, ep_poll() does not ask for signals. */
	return a->n;
}

/* Without an engine: a forked child, or the process is about to end.  Members of ours are not reported. */
static int wait_kernel(struct answer *a, const struct timespec *timeout, const sigset_t *sigmask)
{
	struct pollfd fd = {.fd = a->set->kfd, .events = POLLIN};
	int n = wait_ppoll(&fd, 1, timeout, sigmask);

	if (n < 0)
		return n;
	if (n > 0)
		n = wait_epoll(a->set->kfd, a->evs, a->max);
	for (int i = 0; i < n; i++)
		if (a->evs[i].data.u64 >> 32 != a->set->cookie)
			a->evs[a->n++] = a->evs[i];
	return a->n;
}

/*
 * What most calls are: members are ready, and the kernel has none, or it is not its turn.  The set is not held for this: under
 * the lock it is either still the one that was meant, and no member can leave it, or nothing is touched.
 */
static bool glance(struct answer *a, const struct fdref *r, usec_t now)
{
	struct epset *set = r->obj;

	a->set = set;
	if (!atomic_load(&set->nready) || atomic_load(&set->nfresh))
		return false;
	if (atomic_load_explicit(&set->has_kernel, memory_order_relaxed) && wait_would_ask(&set->kernel_asked, now))
		return false;
	ready_lock(set);
	if (object_is(set, r->gen))
		collect(a);
	lock_drop(&set->ready_lock);
	return a->n > 0;
}

int epset_wait(int epfd, struct epoll_event *evs, int max, const struct timespec *timeout, const sigset_t *sigmask)
{
	struct fdref r = rt_fd(epfd);
	struct answer a = {.evs = evs, .max = max};
	usec_t now = io_now();
	int rc;

	if (max <= 0 || (size_t)max > INT_MAX / sizeof(*evs))
		return -EINVAL;
	if (timeout && (timeout->tv_sec < 0 || timeout->tv_nsec < 0 || timeout->tv_nsec >= 1000000000L))
		return -EINVAL;
	/* Also when it has no engine member yet: another thread may put one in meanwhile. */
	if (r.kind != FD_EPOLL || (!r.obj && !rt_usable())) {
		rc = rt.real->epoll_pwait2(epfd, evs, max, timeout, sigmask);
		return rc < 0 ? -errno : rc;
	}
	if (!rt_usable()) {
		a.set = r.obj;
		return wait_kernel(&a, timeout, sigmask);
	}
	if (stacks_stale(now, DRIVE_STALE_US))
		stacks_drive(false, now);
	if (r.obj && glance(&a, &r, now))
		return a.n;
	a.set = epset_at(&r, &rc);
	if (!a.set)
		return rc;
	epset_flush_fresh(a.set);
	rc = wait_both(&a, timeout, sigmask, now);
	epset_unhold(a.set);
	return rc;
}
