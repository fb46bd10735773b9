/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls.h - what all wrappers share.  To be included first: it must see libc's headers before anybody turns fortification on.
 *
 * A wrapper is a few lines: not ours: libc's function; ours: the core's, whose -errno becomes -1 and errno.  Wrappers alone set
 * errno, and leave it as it was on success.  They never call an interposed function themselves, but REAL() ones.
 */
#ifndef SHIM_CALLS_H
#define SHIM_CALLS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
/* Fortified headers define read(), recv(), ... inline: we are what they call. */
#undef _FORTIFY_SOURCE

#include "core.h"
#include "fdtab.h"
#include "guard.h"
#include "loader.h"
#include "own.h"
#include "real.h"
#include "relay_name.h"

#include <errno.h>
#include <pthread.h>

/* What libc declares already, declared visible: these and no others leave the library. */
#define INTERCEPT(ret, name, args) extern __attribute__((visibility("default"))) ret name args;
#include "intercept.def"

static inline int fail(int err)
{
	errno = err;
	return -1;
}

/* The end of a call that went to the core: its result r in libc's form, errno as it was before if it succeeded. */
static inline long finish(int saved, long r)
{
	errno = r < 0 ? (int)-r : saved;
	return r < 0 ? -1 : r;
}

/* pthreads(7): a thread that was cancelled ends at the beginning of such a call. */
static inline void cancel_point(void)
{
	if (__builtin_expect(guard_cancels, 0))
		pthread_testcancel();
}

/*
 * A descriptor for reading or writing: true if libc is not to have it, because it is the engine's (r->kind FD_SOCK) or was closed
 * (FD_SPARE).  On undecided ones the placeholder gives the right answers.
 */
static inline bool io_ours(int fd, struct fdref *r)
{
	*r = fdtab_get(fd);
	if (__builtin_expect(r->kind == FD_RELAYED, 0))
		relay_touch(fd);
	return r->kind == FD_SOCK || r->kind == FD_SPARE;
}

/* calls_io.c: send and receive on a descriptor that is ours (io_ours); SIGPIPE included.  Results as the wrappers give them. */
ssize_t io_recv(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags);
ssize_t io_send(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags);

/* Is the calling code our own, for which private descriptors are ordinary ones? */
#define CALLED_BY_CORE() loader_owns(__builtin_return_address(0))

/* calls_stdio.c: a stream's descriptor if it is one of ours, else -1. */
int stdio_fileno(FILE *f);

/* libc's: abort with "buffer overflow detected". */
void __chk_fail(void) __attribute__((noreturn));

#endif
