/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_epoll.c - epoll instances are real ones; the core takes over where one has or may get engine members.
 *
 * A thread that waits before the core is loaded must not sleep through its arrival: it waits in poll() for the instance and for a
 * descriptor that the loader writes once, and goes on in the core.  Without configuration nothing of this happens.
 */
#include "calls.h"

#include "deadline.h"
#include "placeholder.h"
#include "user.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

/* ---- create and control -------------------------------------------------------------------------------------------------------
 */

/* Instances without an object are told apart by this number, so that the duplicates of one are known (loader.c). */
static uint32_t next_id(void)
{
	static uint32_t id;

	return __atomic_add_fetch(&id, 1, __ATOMIC_RELAXED);
}

static int create(int flags, bool by_core)
{
	int epfd = REAL(epoll_create1)(flags);

	if (epfd < 0 && errno == EMFILE && placeholder_drain())
		epfd = REAL(epoll_create1)(flags);
	if (epfd < 0)
		return -1;
	if (!by_core && loader_wanted())
		fdtab_set(epfd, FD_EPOLL, NULL, next_id());
	else
		fdtab_forget(epfd);
	return epfd;
}

int epoll_create1(int flags)
{
	return create(flags, CALLED_BY_CORE());
}

int epoll_create(int size)
{
	if (size <= 0)
		return fail(EINVAL);
	return create(0, CALLED_BY_CORE());
}

/* An instance that we did not see being made: inherited through exec, or received from another process. */
static void recognize(struct fdref *set)
{
	char link[32], name[32] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", set->fd);
	if (readlink(link, name, sizeof(name) - 1) > 0 && !strcmp(name, "anon_inode:[eventpoll]")) {
		fdtab_set(set->fd, FD_EPOLL, NULL, next_id());
		*set = fdtab_get(set->fd);
	}
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	struct fdref set, target;
	const struct core_ops *ops;
	int saved = errno, rc;

	/* What is not there the kernel refuses before it looks at anything else. */
	if (!fdtab.size || (op != EPOLL_CTL_DEL && user_readable(ev, sizeof(*ev))))
		return REAL(epoll_ctl)(epfd, op, fd, ev);
	if (fdtab_kind(fd) == FD_RELAYED)
		relay_touch(fd);
	set = fdtab_get(epfd);
	target = fdtab_get(fd);
	if (set.kind == FD_SPARE || target.kind == FD_SPARE)
		return fail(EBADF);
	if (set.kind == FD_KERNEL && (target.kind == FD_SOCK || target.kind == FD_FRESH))
		recognize(&set);
	/* Not an epoll instance at all: the kernel says so. */
	if (set.kind != FD_EPOLL)
		return REAL(epoll_ctl)(epfd, op, fd, ev);
	if (target.kind == FD_FRESH && (rc = (int)GUARDED(placeholder_own(fd))))
		return fail(-rc);
	if (!set.obj && target.kind != FD_FRESH && target.kind != FD_SOCK && target.kind != FD_EPOLL)
		return REAL(epoll_ctl)(epfd, op, fd, ev);
	ops = loader_load();
	if (!ops)
		return REAL(epoll_ctl)(epfd, op, fd, ev);
	return (int)finish(saved, GUARDED(ops->epoll_ctl(epfd, op, fd, ev)));
}

/* ---- wait -------------------------------------------------------------------------------------------------------------------
 */

static int to_ms(const struct timespec *t)
{
	if (!t)
		return -1;
	if (t->tv_sec >= INT_MAX / 1000)
		return INT_MAX;
	return (int)(t->tv_sec * 1000 + (t->tv_nsec + 999999) / 1000000);
}

/* What a call to epoll_wait and its like wants. */
struct wait {
	int epfd;
	struct epoll_event *evs;
	int max;
	const struct timespec *timeout;
	const sigset_t *mask;
};

/* Until there are events, the time is over (0), or the core is there to take over (OWN_AGAIN). */
static int wait_unloaded(const struct wait *w, const struct deadline *end)
{
	for (;;) {
		struct pollfd fds[2] = {{.fd = w->epfd, .events = POLLIN}, {.fd = loader_reveal_fd(), .events = POLLIN}};
		struct timespec left;
		int n;

		if (core())
			return OWN_AGAIN;
		if (fds[1].fd < 0)
			n = REAL(epoll_pwait)(w->epfd, w->evs, w->max, to_ms(deadline_left(end, &left)), w->mask);
		else
			n = REAL(epoll_wait)(w->epfd, w->evs, w->max, 0);
		if (n || fds[1].fd < 0)
			return n < 0 ? -errno : n;
		n = REAL(ppoll)(fds, 2, deadline_left(end, &left), w->mask);
		if (n <= 0)
			return n < 0 ? -errno : 0;
	}
}

/* Nowhere to put an event: that is the answer when there is one, which stays where it is (ep_send_events()). */
static int wait_in_vain(const struct wait *w)
{
	struct pollfd fd = {.fd = w->epfd, .events = POLLIN};
	struct timespec left = w->timeout ? *w->timeout : (struct timespec){0};
	int n = (int)GUARDED(core()->poll(&fd, 1, w->timeout ? &left : NULL, w->mask));

	return n > 0 ? -EFAULT : n;
}

/* The engine may come meanwhile, with members of the set. */
static __attribute__((noinline)) int wait_for_core(const struct wait *w)
{
	struct deadline end = deadline_in(w->timeout);
	struct timespec left;
	int n = wait_unloaded(w, &end);

	if (n != OWN_AGAIN)
		return n;
	return GUARDED(core()->epoll_wait(w->epfd, w->evs, w->max, deadline_left(&end, &left), w->mask));
}

static int wait_ours(const struct wait *w)
{
	if ((w->timeout && user_readable(w->timeout, sizeof(*w->timeout))) || (w->mask && user_readable(w->mask, KERNEL_SIGSET)))
		return -EFAULT;
	if (w->max <= 0 || (size_t)w->max > INT_MAX / sizeof(*w->evs) || !timespec_valid(w->timeout))
		return -EINVAL;
	if (!user_range(w->evs, (size_t)w->max * sizeof(*w->evs)))
		return -EFAULT;
	cancel_point();
	if (__builtin_expect(!core(), 0))
		return wait_for_core(w);
	if (user_writable(w->evs, sizeof(*w->evs)))
		return wait_in_vain(w);
	return GUARDED(core()->epoll_wait(w->epfd, w->evs, w->max, w->timeout, w->mask));
}

/* Is it libc's to wait on this?  Else *rc is the result. */
static inline bool wait_is_kernels(const struct wait *w, int *rc)
{
	enum fd_kind kind = fdtab_kind(w->epfd);
	int saved = errno;

	if (kind == FD_EPOLL)
		*rc = (int)finish(saved, wait_ours(w));
	else if (kind == FD_SPARE)
		*rc = fail(EBADF);
	return kind != FD_EPOLL && kind != FD_SPARE;
}

int epoll_wait(int epfd, struct epoll_event *evs, int max, int timeout)
{
	struct timespec ts;
	struct wait w = {epfd, evs, max, timespec_of_ms(timeout, &ts), NULL};
	int rc;

	return wait_is_kernels(&w, &rc) ? REAL(epoll_wait)(epfd, evs, max, timeout) : rc;
}

int epoll_pwait(int epfd, struct epoll_event *evs, int max, int timeout, const sigset_t *mask)
{
	struct timespec ts;
	struct wait w = {epfd, evs, max, timespec_of_ms(timeout, &ts), mask};
	int rc;

	return wait_is_kernels(&w, &rc) ? REAL(epoll_pwait)(epfd, evs, max, timeout, mask) : rc;
}

int epoll_pwait2(int epfd, struct epoll_event *evs, int max, const struct timespec *timeout, const sigset_t *mask)
{
	struct wait w = {epfd, evs, max, timeout, mask};
	int rc;

	return wait_is_kernels(&w, &rc) ? REAL(epoll_pwait2)(epfd, evs, max, timeout, mask) : rc;
}
