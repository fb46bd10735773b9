/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * placeholder.c - a pool per family and close-on-exec flag: a bitmap over descriptor numbers, with a summary of its non-empty
 * words.
 *
 * Whoever clears a bit owns the number; that is all the locking there is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "placeholder.h"

#include "fdtab.h"
#include "real.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define POOL_FDS 65536 /* higher numbers are not kept */
#define WORDS (POOL_FDS / 64)
#define SUMMARY (WORDS / 64)

/* Private descriptors go near the soft limit, but not so high that the kernel's own table must grow to megabytes. */
#define PRIVATE_CEILING 16384
#define PRIVATE_ROOM 256

static struct pool {
	uint64_t summary[SUMMARY]; /* a set bit: the word may have bits; a clear one: it has none, or its put is under way */
	uint64_t words[WORDS];
} pools[4];
static unsigned count;

static struct pool *pool_of(unsigned traits)
{
	return &pools[(traits & FD_CLOEXEC_ON ? 1 : 0) + (traits & FD_IS_V6 ? 2 : 0)];
}

/* Clear the summary bit of an empty word; a put that came in between is made visible again. */
static void summary_clear(struct pool *p, unsigned word)
{
	uint64_t bit = 1ull << (word % 64);

	__atomic_fetch_and(&p->summary[word / 64], ~bit, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&p->words[word], __ATOMIC_SEQ_CST))
		__atomic_fetch_or(&p->summary[word / 64], bit, __ATOMIC_SEQ_CST);
}

/* Take the lowest number of this word of the summary; -1: it has none. */
static int take_from(struct pool *p, unsigned group)
{
	uint64_t full;

	while ((full = __atomic_load_n(&p->summary[group], __ATOMIC_SEQ_CST))) {
		unsigned word = group * 64 + (unsigned)__builtin_ctzll(full);
		uint64_t bits = __atomic_load_n(&p->words[word], __ATOMIC_SEQ_CST);
		uint64_t lowest = bits & -bits;

		if (!bits)
			summary_clear(p, word);
		else if (__atomic_fetch_and(&p->words[word], ~lowest, __ATOMIC_SEQ_CST) & lowest)
			return (int)(word * 64 + (unsigned)__builtin_ctzll(lowest));
	}
	return -1;
}

static int pool_take(struct pool *p)
{
	if (!__atomic_load_n(&count, __ATOMIC_RELAXED))
		return -1;
	for (unsigned group = 0; group < SUMMARY; group++) {
		int fd = take_from(p, group);

		if (fd >= 0) {
			__atomic_fetch_sub(&count, 1, __ATOMIC_RELAXED);
			return fd;
		}
	}
	return -1;
}

static bool pool_has_room(void)
{
	static unsigned limit;
	unsigned max = __atomic_load_n(&limit, __ATOMIC_RELAXED);

	if (!max) {
		struct rlimit lim = {4 * POOL_MAX, 4 * POOL_MAX};

		getrlimit(RLIMIT_NOFILE, &lim);
		max = lim.rlim_cur / 4 < POOL_MAX ? (unsigned)(lim.rlim_cur / 4) : POOL_MAX;
		__atomic_store_n(&limit, max, __ATOMIC_RELAXED);
	}
	if (__atomic_fetch_add(&count, 1, __ATOMIC_RELAXED) < max)
		return true;
	__atomic_fetch_sub(&count, 1, __ATOMIC_RELAXED);
	return false;
}

static int open_new(int family, int flags)
{
	unsigned traits = FD_POOLABLE | (flags & SOCK_CLOEXEC ? FD_CLOEXEC_ON : 0) | (family == AF_INET6 ? FD_IS_V6 : 0);
	int fd = REAL(socket)(family, SOCK_STREAM | (flags & SOCK_CLOEXEC), 0);

	if (fd < 0)
		return -errno;
	if (fdtab_place(fd, traits) < 0) {
		REAL(close)(fd);
		return -ENOMEM;
	}
	return fd;
}

int placeholder_get(int family, int flags)
{
	unsigned traits = (flags & SOCK_CLOEXEC ? FD_CLOEXEC_ON : 0) | (family == AF_INET6 ? FD_IS_V6 : 0);
	int saved = errno;
	int fd = pool_take(pool_of(traits));

	if (fd >= 0) {
		fdtab_place(fd, traits | FD_POOLABLE);
		return fd;
	}
	fd = open_new(family, flags);
	if (fd == -EMFILE && placeholder_drain())
		fd = open_new(family, flags);
	errno = saved;
	return fd;
}

void placeholder_put(int fd, bool pristine)
{
	unsigned traits = fdtab_traits(fd);
	struct pool *p = pool_of(traits);
	int saved = errno;

	if (pristine && (traits & FD_POOLABLE) && fd > STDERR_FILENO && fd < POOL_FDS && pool_has_room()) {
		fdtab_set(fd, FD_SPARE, NULL, 0);
		__atomic_fetch_or(&p->words[fd / 64], 1ull << (fd % 64), __ATOMIC_SEQ_CST);
		__atomic_fetch_or(&p->summary[fd / 4096], 1ull << (fd / 64 % 64), __ATOMIC_SEQ_CST);
		return;
	}
	fdtab_set(fd, FD_KERNEL, NULL, 0);
	REAL(close)(fd);
	errno = saved;
}

int placeholder_renew(int fd)
{
	unsigned traits = fdtab_traits(fd);
	int cloexec = traits & FD_CLOEXEC_ON ? SOCK_CLOEXEC : 0;
	int fresh = REAL(socket)(traits & FD_IS_V6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc;

	if (fresh < 0)
		return -errno;
	rc = REAL(dup3)(fresh, fd, cloexec ? O_CLOEXEC : 0) < 0 ? -errno : 0;
	REAL(close)(fresh);
	if (!rc)
		fdtab_change_traits(fd, FD_POOLABLE, 0);
	return rc;
}

bool placeholder_drain(void)
{
	bool any = false;

	for (unsigned i = 0; i < 4; i++) {
		int fd;

		while ((fd = pool_take(&pools[i])) >= 0) {
			fdtab_set(fd, FD_KERNEL, NULL, 0);
			REAL(close)(fd);
			any = true;
		}
	}
	return any;
}

bool placeholder_claim(int fd)
{
	uint64_t bit = 1ull << (fd % 64);

	if (fd < 0 || fd >= POOL_FDS)
		return false;
	for (unsigned i = 0; i < 4; i++) {
		if (__atomic_fetch_and(&pools[i].words[fd / 64], ~bit, __ATOMIC_SEQ_CST) & bit) {
			__atomic_fetch_sub(&count, 1, __ATOMIC_RELAXED);
			fdtab_set(fd, FD_KERNEL, NULL, 0);
			return true;
		}
	}
	return false;
}

unsigned placeholder_count(void)
{
	return __atomic_load_n(&count, __ATOMIC_RELAXED);
}

void placeholder_fork_prepare(void)
{
	for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1)) {
		enum fd_kind kind = fdtab_get(fd).kind;

		if (kind == FD_FRESH || kind == FD_SOCK)
			fdtab_change_traits(fd, 0, FD_POOLABLE);
	}
}

int private_fd(int fd)
{
	struct rlimit lim = {PRIVATE_CEILING, PRIVATE_CEILING};
	int saved = errno;
	rlim_t ceiling;
	int high;

	getrlimit(RLIMIT_NOFILE, &lim);
	ceiling = lim.rlim_cur < PRIVATE_CEILING ? lim.rlim_cur : PRIVATE_CEILING;
	high = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, (int)(ceiling > 2 * PRIVATE_ROOM ? ceiling - PRIVATE_ROOM : ceiling / 2));
	if (high < 0)
		high = REAL(fcntl)(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (high < 0) {
		high = -errno;
	} else {
		REAL(close)(fd);
		fdtab_set(high, FD_PRIVATE, NULL, 0);
	}
	errno = saved;
	return high;
}

void private_fd_close(int fd)
{
	int saved = errno;

	fdtab_set(fd, FD_KERNEL, NULL, 0);
	REAL(close)(fd);
	errno = saved;
}
