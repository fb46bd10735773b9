/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_fd.c - closing, duplicating and controlling descriptors.
 *
 * Every number is a real one, so the kernel does what is to be done to numbers; the table follows.  Order: what goes away is out
 * of the table before its number is free; what is new is in the table before the caller knows its number.
 */
#include "calls.h"

#include "fresh.h"
#include "placeholder.h"
#include "user.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Flags of F_SETFL that Linux lets change, O_NONBLOCK aside: the placeholder keeps them. */
#define FL_OTHERS (O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME)

/* The core keeps books of which kernel descriptors are in its epoll sets. */
static void tell_closing(int fd)
{
	if (core())
		GUARDED_DO(core()->fd_closing(fd));
}

/* ---- close ------------------------------------------------------------------------------------------------------------------
 */

/* Another thread changed the slot between look-up and claim: OWN_AGAIN. */
static int close_ours(const struct fdref *r, bool by_core)
{
	bool pristine = false;
	int rc = 0;

	if (r->kind == FD_SPARE || (r->kind == FD_PRIVATE && !by_core))
		return -EBADF;
	/* Whoever takes it out of the table closes it.  Until its number is free, others get EBADF. */
	if (!fdtab_swap(r, FD_SPARE, NULL, 0))
		return OWN_AGAIN;
	switch (r->kind) {
	case FD_SOCK:
		rc = core()->release(r, &pristine);
		break;
	case FD_FRESH:
		tell_closing(r->fd);
		pristine = fresh_drop(r->obj);
		break;
	case FD_EPOLL:
		tell_closing(r->fd);
		if (r->obj)
			core()->epoll_release(r);
		break;
	default:
		break;
	}
	placeholder_put(r->fd, pristine);
	return rc;
}

int close(int fd)
{
	struct fdref r;
	int saved = errno;
	int rc = OWN_AGAIN;

	cancel_point();
	while (rc == OWN_AGAIN && !fdtab_is_kernel(fd)) {
		r = fdtab_get(fd);
		if (r.kind != FD_KERNEL)
			rc = (int)GUARDED(close_ours(&r, r.kind == FD_PRIVATE && CALLED_BY_CORE()));
	}
	if (rc != OWN_AGAIN)
		return (int)finish(saved, rc);
	tell_closing(fd);
	return REAL(close)(fd);
}

/* ---- close_range, closefrom ---------------------------------------------------------------------------------------------------
 */

static int kernel_range(unsigned first, unsigned last, unsigned flags)
{
	struct rlimit lim = {0, 0};

	if (core() && !(flags & CLOSE_RANGE_CLOEXEC)) {
		getrlimit(RLIMIT_NOFILE, &lim);
		for (unsigned fd = first; fd <= last && fd < lim.rlim_cur; fd++)
			tell_closing((int)fd);
	}
	return REAL(close_range)(first, last, (int)flags) < 0 ? -errno : 0;
}

/* The kernel's numbers first: if it knows no close_range(), nothing has happened. */
static int close_numbers(unsigned first, unsigned last)
{
	unsigned from = first;
	int rc;

	for (int fd = fdtab_next((int)first); fd >= 0 && (unsigned)fd <= last; fd = fdtab_next(fd + 1)) {
		rc = (unsigned)fd > from ? kernel_range(from, (unsigned)fd - 1, 0) : 0;
		if (rc)
			return rc;
		from = (unsigned)fd + 1;
	}
	rc = from <= last ? kernel_range(from, last, 0) : 0;
	for (int fd = fdtab_next((int)first); !rc && fd >= 0 && (unsigned)fd <= last; fd = fdtab_next(fd + 1)) {
		struct fdref r = fdtab_get(fd);

		if (r.kind != FD_KERNEL)
			close_ours(&r, false);
	}
	return rc;
}

static int cloexec_numbers(unsigned first, unsigned last, unsigned flags)
{
	/* What is kept is sorted by this very flag. */
	placeholder_drain();
	for (int fd = fdtab_next((int)first); fd >= 0 && (unsigned)fd <= last; fd = fdtab_next(fd + 1))
		fdtab_change_traits(fd, FD_CLOEXEC_ON, 0);
	return kernel_range(first, last, flags);
}

int close_range(unsigned first, unsigned last, int flags)
{
	int saved = errno;

	if (!fdtab.size || first > last || first > INT_MAX || (flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)))
		return REAL(close_range)(first, last, flags);
	if (flags & CLOSE_RANGE_CLOEXEC)
		return (int)finish(saved, GUARDED(cloexec_numbers(first, last, (unsigned)flags)));
	if ((flags & CLOSE_RANGE_UNSHARE) && REAL(syscall)(SYS_unshare, (long)CLONE_FILES) < 0)
		return -1;
	return (int)finish(saved, GUARDED(close_numbers(first, last)));
}

void closefrom(int low)
{
	struct rlimit lim = {1024, 1024};
	int saved = errno;

	if (!fdtab.size) {
		REAL(closefrom)(low);
		return;
	}
	low = low < 0 ? 0 : low;
	if (GUARDED(close_numbers((unsigned)low, ~0u))) {
		getrlimit(RLIMIT_NOFILE, &lim);
		for (int fd = low; (rlim_t)fd < lim.rlim_cur; fd++)
			close(fd);
	}
	errno = saved;
}

/* ---- dup --------------------------------------------------------------------------------------------------------------------
 */

static void release_replaced(const struct fdref *old)
{
	bool pristine;

	if (old->kind == FD_SOCK)
		core()->release(old, &pristine);
	else if (old->kind == FD_FRESH)
		fresh_drop(old->obj);
	else if (old->kind == FD_EPOLL && old->obj)
		core()->epoll_release(old);
}

/*
 * newfd is a kernel duplicate of what r was: make it what r is now, in place of old.  Whatever decides a FRESH socket meanwhile
 * reaches both numbers or is seen here.
 */
static void attach(struct fdref r, int newfd, const struct fdref *old, bool cloexec)
{
	unsigned traits = fdtab_traits(r.fd) & (FD_POOLABLE | FD_IS_V6);
	struct fresh *f = NULL;

	while (r.kind == FD_FRESH && !(f = fresh_lock(&r)))
		r = fdtab_get(r.fd);
	if (f)
		fresh_share(f);
	else if (r.kind == FD_SOCK)
		core()->retain(&r);
	else if (r.kind == FD_EPOLL && r.obj)
		core()->epoll_retain(&r);
	if (fdtab_swap(old, r.kind, r.obj, r.gen))
		release_replaced(old);
	else
		fdtab_set(newfd, r.kind, r.obj, r.gen);
	if (r.kind == FD_FRESH || r.kind == FD_SOCK)
		fdtab_change_traits(newfd, traits | (cloexec ? FD_CLOEXEC_ON : 0), FD_TRAITS);
	if (f)
		fresh_unlock(f);
}

static bool can_dup(const struct fdref *r)
{
	return r->kind != FD_SPARE && r->kind != FD_PRIVATE;
}

/* A shared placeholder is nobody's in particular, and its duplicate would not be known from any other number's. */
static int own_before_dup(const struct fdref *r)
{
	return fdtab_traits(r->fd) & FD_SHARED ? placeholder_own(r->fd) : 0;
}

/* dup() and F_DUPFD*: a new number at or above min. */
static int dup_new(int fd, int cmd, int min)
{
	struct fdref r = fdtab_get(fd), old;
	int newfd, rc = can_dup(&r) ? own_before_dup(&r) : -EBADF;

	if (rc)
		return fail(-rc);
	newfd = REAL(fcntl)(fd, cmd, min);
	if (newfd < 0 && errno == EMFILE && placeholder_drain())
		newfd = REAL(fcntl)(fd, cmd, min);
	if (newfd < 0)
		return -1;
	if (r.kind == FD_KERNEL) {
		fdtab_forget(newfd);
		return newfd;
	}
	old = (struct fdref){.fd = newfd};
	attach(r, newfd, &old, cmd == F_DUPFD_CLOEXEC);
	return newfd;
}

/* flags < 0: dup2(). */
static int dup_onto(int fd, int to, int flags)
{
	struct fdref r = fdtab_get(fd), old = fdtab_get(to);
	bool was_spare = old.kind == FD_SPARE;
	int rc;

	if (to < 0 || !can_dup(&r) || REAL(fcntl)(fd, F_GETFD) < 0)
		return fail(EBADF);
	rc = own_before_dup(&r);
	if (rc)
		return fail(-rc);
	/* dup2(2): EBUSY is for a race with the opening of that number; ours are as good as being opened. */
	if (old.kind == FD_PRIVATE || (was_spare && !placeholder_claim(to)))
		return fail(EBUSY);
	if (was_spare)
		old.kind = FD_KERNEL;
	else if (old.kind != FD_SOCK)
		tell_closing(to);
	rc = flags < 0 ? REAL(dup2)(fd, to) : REAL(dup3)(fd, to, flags);
	if (rc >= 0 && (r.kind != FD_KERNEL || old.kind != FD_KERNEL))
		attach(r, to, &old, flags > 0);
	else if (rc < 0 && was_spare)
		REAL(close)(to);
	return rc;
}

int dup(int fd)
{
	return (int)GUARDED(dup_new(fd, F_DUPFD, 0));
}

int dup2(int fd, int to)
{
	if (fd == to && fdtab_kind(fd) != FD_SPARE)
		return REAL(dup2)(fd, to);
	return fdtab.size || core() ? (int)GUARDED(dup_onto(fd, to, -1)) : REAL(dup2)(fd, to);
}

int dup3(int fd, int to, int flags)
{
	if (fd == to || (flags & ~O_CLOEXEC) || !(fdtab.size || core()) || CALLED_BY_CORE())
		return REAL(dup3)(fd, to, flags);
	return (int)GUARDED(dup_onto(fd, to, flags));
}

/* ---- fcntl ------------------------------------------------------------------------------------------------------------------
 */

/* libc's -1 and errno to -errno, for finish(). */
static long negated(long rc)
{
	return rc < 0 ? -errno : rc;
}

static long fresh_getfl(const struct fdref *r)
{
	long flags = negated(REAL(fcntl)(r->fd, F_GETFL));
	int nonblock = own_get_nonblock(r);

	if (flags < 0 || nonblock == OWN_AGAIN)
		return flags < 0 ? flags : OWN_AGAIN;
	return flags | (nonblock ? O_NONBLOCK : 0);
}

static long fresh_setfl(const struct fdref *r, int flags)
{
	/* A placeholder that is still as it was created has none of the others. */
	if ((flags & FL_OTHERS) || !(fdtab_traits(r->fd) & FD_POOLABLE)) {
		long rc = placeholder_own(r->fd);

		if (!rc)
			rc = negated(REAL(fcntl)(r->fd, F_SETFL, flags & ~O_NONBLOCK));
		if (rc < 0)
			return rc;
	}
	return own_set_nonblock(r, flags & O_NONBLOCK);
}

/* An engine socket's other flags are the placeholder's; its O_NONBLOCK there is the core's business. */
static long sock_setfl(const struct fdref *r, int flags)
{
	if ((flags & FL_OTHERS) || !(fdtab_traits(r->fd) & FD_POOLABLE)) {
		long rc = placeholder_own(r->fd);
		int now = REAL(fcntl)(r->fd, F_GETFL);

		if (!rc)
			rc = negated(REAL(fcntl)(r->fd, F_SETFL, (flags & ~O_NONBLOCK) | (now & O_NONBLOCK)));
		if (rc < 0)
			return rc;
		if ((flags ^ now) & O_ASYNC)
			core()->sigio(r);
	}
	return core()->setfl(r, flags);
}

static long sock_getfl(const struct fdref *r)
{
	long flags = core()->getfl(r);

	if (flags < 0 || (fdtab_traits(r->fd) & FD_POOLABLE))
		return flags;
	return flags | (REAL(fcntl)(r->fd, F_GETFL) & FL_OTHERS);
}

static long setfd(const struct fdref *r, int flags)
{
	long rc = negated(REAL(fcntl)(r->fd, F_SETFD, flags));

	if (rc >= 0)
		fdtab_change_traits(r->fd, flags & FD_CLOEXEC ? FD_CLOEXEC_ON : 0, flags & FD_CLOEXEC ? 0 : FD_CLOEXEC_ON);
	return rc;
}

/* The placeholder got an owner, or a signal for it. */
static long owner_changed(const struct fdref *r)
{
	struct fresh *f;

	if (r->kind == FD_SOCK) {
		core()->sigio(r);
		return 0;
	}
	f = fresh_lock(r);
	if (!f)
		return OWN_AGAIN;
	f->owned = true;
	fresh_unlock(f);
	return 0;
}

static bool sets_owner(int cmd)
{
	return cmd == F_SETOWN || cmd == F_SETOWN_EX || cmd == F_SETSIG;
}

/* A FRESH or engine socket; locks, owners, signals and the like are the placeholder's. */
static long fcntl_ours(const struct fdref *r, int cmd, long arg)
{
	bool fresh = r->kind == FD_FRESH;
	long rc = 0;

	switch (cmd) {
	case F_GETFL:
		return fresh ? fresh_getfl(r) : sock_getfl(r);
	case F_SETFL:
		return fresh ? fresh_setfl(r, (int)arg) : sock_setfl(r, (int)arg);
	case F_SETFD:
		return setfd(r, (int)arg);
	case F_GETFD:
	case F_GETOWN:
	case F_GETSIG:
		break;
	default:
		rc = placeholder_own(r->fd);
	}
	if (!rc)
		rc = negated(REAL(fcntl)(r->fd, cmd, arg));
	return rc || !sets_owner(cmd) ? rc : owner_changed(r);
}

static int fcntl_any(int fd, int cmd, long arg)
{
	int saved = errno;
	long rc = OWN_AGAIN;

	if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
		return (int)GUARDED(dup_new(fd, cmd, (int)arg));
	while (rc == OWN_AGAIN && !fdtab_is_kernel(fd)) {
		struct fdref r = fdtab_get(fd);

		if (r.kind == FD_SPARE)
			return fail(EBADF);
		if (r.kind != FD_FRESH && r.kind != FD_SOCK)
			break;
		rc = GUARDED(fcntl_ours(&r, cmd, arg));
	}
	return rc == OWN_AGAIN ? REAL(fcntl)(fd, cmd, arg) : (int)finish(saved, rc);
}

int fcntl(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return fcntl_any(fd, cmd, arg);
}

int fcntl64(int fd, int cmd, ...)
{
	va_list ap;
	long arg;

	va_start(ap, cmd);
	arg = va_arg(ap, long);
	va_end(ap);
	return fcntl_any(fd, cmd, arg);
}

/* ---- ioctl ------------------------------------------------------------------------------------------------------------------
 */

static long ioctl_placeholder(const struct fdref *r, unsigned long request, void *arg)
{
	int rc = request == FIOASYNC ? placeholder_own(r->fd) : 0;

	return rc ? rc : negated(REAL(ioctl)(r->fd, request, arg));
}

static long sock_async(const struct fdref *r, bool on)
{
	long flags = sock_getfl(r);

	return flags < 0 ? flags : sock_setfl(r, (int)(on ? flags | O_ASYNC : flags & ~O_ASYNC));
}

/* Those that the core serves have an int for an argument, to read or to write. */
static long ioctl_int(const struct fdref *r, unsigned long request, void *arg)
{
	bool reads = request == FIONBIO || request == FIOASYNC;
	int value = 0;
	long rc;

	if (reads && user_copy(&value, arg, sizeof(value)))
		return -EFAULT;
	if (request == FIOASYNC)
		return sock_async(r, value);
	rc = core()->ioctl(r, request, &value);
	return rc || reads ? rc : user_copy(arg, &value, sizeof(value));
}

static long ioctl_setown(const struct fdref *r, unsigned long request, void *arg)
{
	long rc = placeholder_own(r->fd);

	if (!rc)
		rc = negated(REAL(ioctl)(r->fd, request, arg));
	return rc ? rc : owner_changed(r);
}

static long ioctl_ours(const struct fdref *r, unsigned long request, void *arg)
{
	long rc;

	if (request == FIOSETOWN || request == SIOCSPGRP)
		return ioctl_setown(r, request, arg);
	if (request == FIOCLEX || request == FIONCLEX)
		return setfd(r, request == FIOCLEX ? FD_CLOEXEC : 0);
	if (r->kind == FD_FRESH) {
		int on;

		if (request == FIONBIO)
			return user_copy(&on, arg, sizeof(on)) ? -EFAULT : own_set_nonblock(r, on != 0);
		return ioctl_placeholder(r, request, arg);
	}
	rc = ioctl_int(r, request, arg);
	/* Interfaces, owners and so on: any socket of the kernel's can tell, this one has its placeholder. */
	return rc == -ENOTTY ? ioctl_placeholder(r, request, arg) : rc;
}

int ioctl(int fd, unsigned long request, ...)
{
	int saved = errno;
	long rc = OWN_AGAIN;
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	while (rc == OWN_AGAIN && !fdtab_is_kernel(fd)) {
		struct fdref r = fdtab_get(fd);

		if (r.kind == FD_SPARE)
			return fail(EBADF);
		if (r.kind != FD_FRESH && r.kind != FD_SOCK)
			break;
		rc = GUARDED(ioctl_ours(&r, request, arg));
	}
	return rc == OWN_AGAIN ? REAL(ioctl)(fd, request, arg) : (int)finish(saved, rc);
}

/* ---- fstat ------------------------------------------------------------------------------------------------------------------
 */

/* Inode numbers tell sockets apart; where none can be had for this one, the shared one's is still a socket's. */
static void own_inode(int fd)
{
	if (!fdtab_is_kernel(fd) && (fdtab_traits(fd) & FD_SHARED))
		GUARDED_DO(placeholder_own(fd));
}

int fstat(int fd, struct stat *st)
{
	own_inode(fd);
	return REAL(fstat)(fd, st);
}

int fstat64(int fd, struct stat64 *st)
{
	own_inode(fd);
	return REAL(fstat64)(fd, st);
}

/* What fstat() was in programs built before glibc 2.33. */
int __fxstat(int version, int fd, struct stat *st)
{
	own_inode(fd);
	return REAL(__fxstat)(version, fd, st);
}

int __fxstat64(int version, int fd, struct stat64 *st)
{
	own_inode(fd);
	return REAL(__fxstat64)(version, fd, st);
}
