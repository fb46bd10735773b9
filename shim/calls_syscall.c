/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_syscall.c - syscall(2): the numbers that work on sockets and descriptors go to our wrappers, all others to libc.
 *
 * Some runtimes make these calls by number.  The kernel's conventions differ from libc's in places: signal sets are 8 bytes and
 * come with their size, ppoll and pselect6 write the remaining time back, offsets come in two halves.
 */
#include "calls.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "deadline.h"
#include "user.h"

/* Arguments as the kernel would take them: truncated to the type each call declares. */
#define INT(i) ((int)a[i])
#define UINT(i) ((unsigned)a[i])
#define PTR(i) ((void *)a[i])
#define SIZE(i) ((size_t)a[i])

/* A kernel signal set in libc's larger type; NULL stays NULL.  False: wrong size (EINVAL in the kernel). */
static bool widen(const void *set, size_t size, sigset_t *wide, const sigset_t **out)
{
	*out = NULL;
	if (!set)
		return true;
	if (size != KERNEL_SIGSET)
		return false;
	sigemptyset(wide);
	/* What is not there is for the call to find out. */
	*out = user_copy(wide, set, KERNEL_SIGSET) ? set : wide;
	return true;
}

/* The kernel's calls update the caller's time-out, libc's do not. */
static void write_back(struct timespec *t, const struct deadline *end)
{
	if (t && !user_writable(t, sizeof(*t)))
		deadline_left(end, t);
}

/* Of a time-out that is there and makes sense. */
static struct deadline end_of(const struct timespec *t)
{
	return deadline_in(t && !user_readable(t, sizeof(*t)) && timespec_valid(t) ? t : NULL);
}

static long call_ppoll(const long a[6])
{
	struct timespec *t = PTR(2);
	struct deadline end = end_of(t);
	const sigset_t *mask;
	sigset_t wide;
	long rc;

	if (!widen(PTR(3), SIZE(4), &wide, &mask))
		return fail(EINVAL);
	rc = ppoll(PTR(0), (nfds_t)UINT(1), t, mask);
	write_back(t, &end);
	return rc;
}

static long call_pselect6(const long a[6])
{
	struct timespec *t = PTR(4);
	struct deadline end = end_of(t);
	struct {
		const void *set;
		size_t size;
	} *sig = PTR(5);
	const sigset_t *mask;
	sigset_t wide;
	long rc;

	if (sig && user_readable(sig, sizeof(*sig)))
		return fail(EFAULT);
	if (!widen(sig ? sig->set : NULL, sig ? sig->size : 0, &wide, &mask))
		return fail(EINVAL);
	rc = pselect(INT(0), PTR(1), PTR(2), PTR(3), t, mask);
	write_back(t, &end);
	return rc;
}

static long call_epoll_pwait(const long a[6], bool second)
{
	const sigset_t *mask;
	sigset_t wide;

	if (!widen(PTR(4), SIZE(5), &wide, &mask))
		return fail(EINVAL);
	if (second)
		return epoll_pwait2(INT(0), PTR(1), INT(2), PTR(3), mask);
	return epoll_pwait(INT(0), PTR(1), INT(2), INT(3), mask);
}

/* Reading and writing; *done: it was one of these. */
static long call_io(long number, const long a[6], bool *done)
{
	*done = true;
	switch (number) {
	case SYS_read:
		return read(INT(0), PTR(1), SIZE(2));
	case SYS_write:
		return write(INT(0), PTR(1), SIZE(2));
	case SYS_readv:
		return readv(INT(0), PTR(1), INT(2));
	case SYS_writev:
		return writev(INT(0), PTR(1), INT(2));
	case SYS_preadv2: /* the offset's upper half is 0 in 64-bit processes */
		return preadv64v2(INT(0), PTR(1), INT(2), a[3], INT(5));
	case SYS_pwritev2:
		return pwritev64v2(INT(0), PTR(1), INT(2), a[3], INT(5));
	case SYS_recvfrom:
		return recvfrom(INT(0), PTR(1), SIZE(2), INT(3), PTR(4), PTR(5));
	case SYS_sendto:
		return sendto(INT(0), PTR(1), SIZE(2), INT(3), PTR(4), UINT(5));
	case SYS_recvmsg:
		return recvmsg(INT(0), PTR(1), INT(2));
	case SYS_sendmsg:
		return sendmsg(INT(0), PTR(1), INT(2));
	case SYS_recvmmsg:
		return recvmmsg(INT(0), PTR(1), UINT(2), INT(3), PTR(4));
	case SYS_sendmmsg:
		return sendmmsg(INT(0), PTR(1), UINT(2), INT(3));
	case SYS_sendfile:
		return sendfile64(INT(0), INT(1), PTR(2), SIZE(3));
	case SYS_splice:
		return splice(INT(0), PTR(1), INT(2), PTR(3), SIZE(4), UINT(5));
	default:
		*done = false;
		return 0;
	}
}

static long call_socket(long number, const long a[6], bool *done)
{
	*done = true;
	switch (number) {
	case SYS_socket:
		return socket(INT(0), INT(1), INT(2));
	case SYS_socketpair:
		return socketpair(INT(0), INT(1), INT(2), PTR(3));
	case SYS_bind:
		return bind(INT(0), (const struct sockaddr *)PTR(1), UINT(2));
	case SYS_listen:
		return listen(INT(0), INT(1));
	case SYS_accept:
		return accept4(INT(0), (struct sockaddr *)PTR(1), PTR(2), 0);
	case SYS_accept4:
		return accept4(INT(0), (struct sockaddr *)PTR(1), PTR(2), INT(3));
	case SYS_connect:
		return connect(INT(0), (const struct sockaddr *)PTR(1), UINT(2));
	case SYS_shutdown:
		return shutdown(INT(0), INT(1));
	case SYS_getsockname:
		return getsockname(INT(0), (struct sockaddr *)PTR(1), PTR(2));
	case SYS_getpeername:
		return getpeername(INT(0), (struct sockaddr *)PTR(1), PTR(2));
	case SYS_getsockopt:
		return getsockopt(INT(0), INT(1), INT(2), PTR(3), PTR(4));
	case SYS_setsockopt:
		return setsockopt(INT(0), INT(1), INT(2), PTR(3), UINT(4));
	default:
		*done = false;
		return 0;
	}
}

static long call_fd(long number, const long a[6], bool *done)
{
	*done = true;
	switch (number) {
	case SYS_close:
		return close(INT(0));
	case SYS_close_range:
		return close_range(UINT(0), UINT(1), INT(2));
	case SYS_dup:
		return dup(INT(0));
	case SYS_dup2:
		return dup2(INT(0), INT(1));
	case SYS_dup3:
		return dup3(INT(0), INT(1), INT(2));
	case SYS_fcntl:
		return fcntl(INT(0), INT(1), a[2]);
	case SYS_ioctl:
		return ioctl(INT(0), (unsigned long)a[1], PTR(2));
	case SYS_execve:
		return execve(PTR(0), PTR(1), PTR(2));
	case SYS_execveat:
		return execveat(INT(0), PTR(1), PTR(2), PTR(3), INT(4));
	case SYS_exit_group:
		_exit(INT(0));
	default:
		*done = false;
		return 0;
	}
}

static long call_wait(long number, const long a[6], bool *done)
{
	*done = true;
	switch (number) {
	case SYS_poll:
		return poll(PTR(0), (nfds_t)UINT(1), INT(2));
	case SYS_ppoll:
		return call_ppoll(a);
	case SYS_select:
		return select(INT(0), PTR(1), PTR(2), PTR(3), PTR(4));
	case SYS_pselect6:
		return call_pselect6(a);
	case SYS_epoll_create:
		return epoll_create(INT(0));
	case SYS_epoll_create1:
		return epoll_create1(INT(0));
	case SYS_epoll_ctl:
		return epoll_ctl(INT(0), INT(1), INT(2), PTR(3));
	case SYS_epoll_wait:
		return epoll_wait(INT(0), PTR(1), INT(2), INT(3));
	case SYS_epoll_pwait:
		return call_epoll_pwait(a, false);
#ifdef SYS_epoll_pwait2
	case SYS_epoll_pwait2:
		return call_epoll_pwait(a, true);
#endif
	default:
		*done = false;
		return 0;
	}
}

long syscall(long number, ...)
{
	static long (*const groups[])(long, const long[6], bool *) = {call_io, call_socket, call_fd, call_wait};
	long a[6], rc;
	bool done;
	va_list ap;

	/* As libc's syscall(): six arguments are passed on whether or not the caller gave as many. */
	va_start(ap, number);
	for (unsigned i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	for (unsigned i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		rc = groups[i](number, a, &done);
		if (done)
			return rc;
	}
	return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
