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

struct ep_wait {
	struct waiting w;
	struct epset *set;
	struct epoll_event *evs;
	int max, n;
	uint32_t collection;
	struct watch *watch;
	struct pollfd fds[1 + WAIT_EXTRA_FDS];
};

/* ---- the engine's side
 * ---------------------------------------------------------------------------------------------------------- */

static struct member *next_ready(struct epset *set)
{
	struct list *at = list_pop(&set->ready);

	if (!at)
		return NULL;
	atomic_fetch_sub_explicit(&set->nready, 1, memory_order_relaxed);
	return container_of(at, struct member, at_ready);
}

static void ready_again(struct epset *set, struct member *m)
{
	list_add_tail(&set->ready, &m->at_ready);
	atomic_fetch_add_explicit(&set->nready, 1, memory_order_relaxed);
}

/* Put an event of a member into the answer.  Under ready_lock. */
static void report(struct ep_wait *ew, struct member *m, uint32_t events)
{
	ew->evs[ew->n++] = (struct epoll_event){.events = events, .data = m->data};
	m->reported = ew->collection;
	m->disabled = (m->events & EPOLLONESHOT) != 0;
}

/* Level-triggered members go to the tail of the list, and leave it when they are found not ready. */
static void collect_engine(struct ep_wait *ew)
{
	struct epset *set = ew->set;
	unsigned left;

	if (!atomic_load(&set->nready))
		return;
	lock_take(&set->ready_lock);
	for (left = atomic_load(&set->nready); left && ew->n < ew->max; left--) {
		struct member *m = next_ready(set);
		uint32_t events = member_level(m);

		if (!events || m->reported == ew->collection) {
			if (events)
				ready_again(set, m);
			continue;
		}
		report(ew, m, events);
		if (!(m->events & (EPOLLET | EPOLLONESHOT)))
			ready_again(set, m);
	}
	lock_drop(&set->ready_lock);
}

bool epset_ready(struct epset *set)
{
	struct member *m;
	bool ready = false;

	if (!atomic_load(&set->nready))
		return false;
	lock_take(&set->ready_lock);
	while (!ready && (m = next_ready(set))) {
		ready = member_level(m) != 0;
		if (ready) {
			list_add_head(&set->ready, &m->at_ready);
			atomic_fetch_add_explicit(&set->nready, 1, memory_order_relaxed);
		}
	}
	lock_drop(&set->ready_lock);
	return ready;
}

/* ---- the kernel's side
 * ---------------------------------------------------------------------------------------------------------- */

/* Events of members that the kernel knows under our data become the user's; those reported already, and stale ones, are left out.
 */
static void translate(struct ep_wait *ew, int from, int n)
{
	struct epset *set = ew->set;

	ew->n = from;
	lock_take(&set->ready_lock);
	for (int i = from; i < from + n; i++) {
		struct epoll_event ev = ew->evs[i];
		struct member *m;

		if (ev.data.u64 >> 32 != set->cookie) {
			ew->evs[ew->n++] = ev;
			continue;
		}
		m = member_of_data(set, ev.data.u64);
		if (m && !m->disabled && m->reported != ew->collection && (ev.events & m->events))
			report(ew, m, ev.events & m->events);
	}
	lock_drop(&set->ready_lock);
}

static void collect_kernel(struct ep_wait *ew)
{
	struct epset *set = ew->set;
	int room = ew->max - ew->n, n;

	if (room <= 0)
		return;
	birth_await();
	n = wait_epoll(set->kfd, ew->evs + ew->n, room);
	if (n <= 0)
		return;
	atomic_fetch_add(&rt.shared->kernel_epoch, 1);
	translate(ew, ew->n, n);
}

/* ---- both
 * ----------------------------------------------------------------------------------------------------------------------- */

/* What is there now, without waiting. insist: ask the kernel in any case if the engine has nothing. */
static void gather(struct ep_wait *ew, usec_t now, bool insist)
{
	struct epset *set = ew->set;
	bool due = atomic_load_explicit(&set->has_kernel, memory_order_relaxed) && wait_may_ask(&set->kernel_asked, now);
	bool first = due && atomic_load_explicit(&set->kernel_first, memory_order_relaxed);

	ew->n = 0;
	lock_take(&set->ready_lock);
	ew->collection = ++set->collection;
	lock_drop(&set->ready_lock);
	if (first)
		collect_kernel(ew);
	collect_engine(ew);
	if (!first && (due || (insist && !ew->n && atomic_load(&set->has_kernel))))
		collect_kernel(ew);
	if (due)
		atomic_store_explicit(&set->kernel_first, !first, memory_order_relaxed);
}

static bool ep_ready(struct waiting *w)
{
	struct ep_wait *ew = container_of(w, struct ep_wait, w);

	if (atomic_load(&ew->set->nready))
		collect_engine(ew);
	return ew->n > 0;
}

static bool ep_ask_kernel(struct waiting *w)
{
	struct ep_wait *ew = container_of(w, struct ep_wait, w);

	if (!atomic_load_explicit(&ew->set->has_kernel, memory_order_relaxed))
		return false;
	collect_kernel(ew);
	return ew->n > 0;
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
	pollable_add(&ew->set->poll, ew->watch);
	/* From here on epoll_ctl() gives FRESH members to the kernel itself. */
	epset_flush_fresh(ew->set);
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
	if (atomic_load(&ew->set->nready) && atomic_load(&ew->set->poll.nwatches))
		pollable_notify(&ew->set->poll, EPOLLIN);
}

static int wait_both(struct ep_wait *ew, const struct timespec *timeout)
{
	bool poll_only = timeout && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
	usec_t now = io_now();
	int rc;

	if (stacks_stale(now, DRIVE_STALE_US))
		stacks_drive(false);
	gather(ew, now, false);
	if (ew->n)
		return ew->n;
	ew->w.deadline = poll_only ? 0 : wait_deadline(timeout);
	do {
		if (poll_only) {
			stacks_drive(false);
			gather(ew, now, true);
			return ew->n ? ew->n : wait_pending(ew->w.sigmask);
		}
		ew->w.kernel_asked = io_now();
		rc = wait_for(&ew->w);
		if (rc == 1 && !ew->n)
			gather(ew, io_now(), true);
	} while (rc == 1 && !ew->n);
	return ew->n ? ew->n : rc;
}

/* Without an engine: a forked child, or the process is about to end.  Members of ours are not reported. */
static int wait_kernel(struct epset *set, struct ep_wait *ew, const struct timespec *timeout)
{
	struct pollfd fd = {.fd = set->kfd, .events = POLLIN};
	int n = wait_ppoll(&fd, 1, timeout, ew->w.sigmask);

	if (n < 0)
		return n;
	if (n > 0)
		n = wait_epoll(set->kfd, ew->evs, ew->max);
	for (int i = 0; i < n; i++)
		if (ew->evs[i].data.u64 >> 32 != set->cookie)
			ew->evs[ew->n++] = ew->evs[i];
	return ew->n;
}

int epset_wait(int epfd, struct epoll_event *evs, int max, const struct timespec *timeout, const sigset_t *sigmask)
{
	struct fdref r = rt.thin->fd_get(epfd);
	struct ep_wait ew = {.evs = evs, .max = max};
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
	ew.w.sigmask = sigmask;
	if (!rt_usable()) {
		ew.set = r.obj;
		return wait_kernel(ew.set, &ew, timeout);
	}
	ew.set = epset_of(epfd, &rc);
	if (!ew.set)
		return rc;
	epset_flush_fresh(ew.set);
	ew.w.ready = ep_ready;
	ew.w.ask_kernel = ep_ask_kernel;
	ew.w.enroll = ep_enroll;
	ew.w.resign = ep_resign;
	ew.w.fds = ew.fds;
	ew.w.nfds = 1;
	ew.fds[0] = (struct pollfd){.fd = ew.set->kfd, .events = POLLIN};
	rc = wait_both(&ew, timeout);
	epset_unhold(ew.set);
	return rc;
}
