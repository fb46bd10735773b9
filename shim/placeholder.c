/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * placeholder.c - a pool per family, close-on-exec flag and whether the socket is shared, in each shard: a bitmap over descriptor
 * numbers, with a summary of its non-empty words.
 *
 * Whoever clears a bit owns the number; that is all the locking there is.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "placeholder.h"

#include "fdtab.h"
#include "real.h"
#include "shard.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#define POOL_FDS 65536 /* higher numbers are not kept */
#define WORDS (POOL_FDS / 64)
#define SUMMARY (WORDS / 64)

/* Private descriptors go near the soft limit, but not so high that the kernel's own table must grow to megabytes. */
#define PRIVATE_CEILING 16384
#define PRIVATE_ROOM 256

#define POOLS 8
/* What a shard may keep grows by so many at a time, and never shrinks. */
#define ALLOWED_MORE 32u

static struct shard {
	unsigned count, allowed; /* numbers that are kept, and that may be */
	struct pool {
		uint64_t
		    summary[SUMMARY]; /* a set bit: the word may have bits; a clear one: it has none, or its put is under way */
		uint64_t words[WORDS];
	} pools[POOLS];
} __attribute__((aligned(64))) shards[SHARDS];
static unsigned allowed; /* in all shards */

/* The sockets that are shared, by family: the private descriptor + 1. */
static int stocks[2];

/* Which of a shard's pools. */
static unsigned pool_of(unsigned traits)
{
	return (traits & FD_CLOEXEC_ON ? 1 : 0) + (traits & FD_IS_V6 ? 2 : 0) + (traits & FD_SHARED ? 4 : 0);
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

/* The lowest number of this shard's pool; -1: it has none. */
static int shard_take(struct shard *sh, unsigned pool)
{
	if (!__atomic_load_n(&sh->count, __ATOMIC_RELAXED))
		return -1;
	for (unsigned group = 0; group < SUMMARY; group++) {
		int fd = take_from(&sh->pools[pool], group);

		if (fd >= 0) {
			__atomic_fetch_sub(&sh->count, 1, __ATOMIC_RELAXED);
			return fd;
		}
	}
	return -1;
}

static int pool_take(unsigned pool)
{
	int fd = -1;

	for (unsigned i = 0; i < SHARDS && fd < 0; i++)
		fd = shard_take(&shards[shard_at(i)], pool);
	return fd;
}

/* How many may be kept. */
static unsigned limit(void)
{
	static unsigned known;
	unsigned max = __atomic_load_n(&known, __ATOMIC_RELAXED);

	if (!max) {
		struct rlimit lim = {4 * POOL_MAX, 4 * POOL_MAX};

		getrlimit(RLIMIT_NOFILE, &lim);
		max = lim.rlim_cur / 4 < POOL_MAX ? (unsigned)(lim.rlim_cur / 4) : POOL_MAX;
		__atomic_store_n(&known, max, __ATOMIC_RELAXED);
	}
	return max;
}

static bool allow_more(struct shard *sh)
{
	unsigned had = __atomic_load_n(&allowed, __ATOMIC_RELAXED), more;

	do {
		more = limit() - had < ALLOWED_MORE ? limit() - had : ALLOWED_MORE;
		if (!more)
			return false;
	} while (!__atomic_compare_exchange_n(&allowed, &had, had + more, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	__atomic_fetch_add(&sh->allowed, more, __ATOMIC_RELAXED);
	return true;
}

/* Count one more; false: the shard has no room for it. */
static bool shard_has_room(struct shard *sh)
{
	if (__atomic_fetch_add(&sh->count, 1, __ATOMIC_RELAXED) < __atomic_load_n(&sh->allowed, __ATOMIC_RELAXED) ||
	    allow_more(sh))
		return true;
	__atomic_fetch_sub(&sh->count, 1, __ATOMIC_RELAXED);
	return false;
}

/* A shard with room for one more, which is counted: this thread's if it has; NULL: all are full. */
static struct shard *shard_with_room(void)
{
	for (unsigned i = 0; i < SHARDS; i++)
		if (shard_has_room(&shards[shard_at(i)]))
			return &shards[shard_at(i)];
	return NULL;
}

static void shard_keep(struct shard *sh, unsigned pool, int fd)
{
	uint64_t *summary = &sh->pools[pool].summary[fd / 4096], bit = 1ull << (fd / 64 % 64);

	__atomic_fetch_or(&sh->pools[pool].words[fd / 64], 1ull << (fd % 64), __ATOMIC_SEQ_CST);
	if (!(__atomic_load_n(summary, __ATOMIC_SEQ_CST) & bit))
		__atomic_fetch_or(summary, bit, __ATOMIC_SEQ_CST);
}

/* The family's shared socket; -1: there is none, and no room for one. */
static int stock_of(int family)
{
	int *stock = &stocks[family == AF_INET6];
	int fd = __atomic_load_n(stock, __ATOMIC_ACQUIRE) - 1;
	int high, none = 0;

	if (fd >= 0)
		return fd;
	fd = REAL(socket)(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	high = fd < 0 ? -1 : private_fd(fd);
	if (high < 0) {
		if (fd >= 0)
			REAL(close)(fd);
		return -1;
	}
	if (__atomic_compare_exchange_n(stock, &none, high + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return high;
	/* Another thread was first. */
	private_fd_close(high);
	return none - 1;
}

/* A new number: for the shared socket, or without one for a socket of its own.  -errno. */
static int open_new(int family, unsigned traits)
{
	int cloexec = traits & FD_CLOEXEC_ON ? SOCK_CLOEXEC : 0;
	int stock = traits & FD_SHARED ? stock_of(family) : -1;
	int fd;

	if (stock >= 0) {
		fd = REAL(fcntl)(stock, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
	} else {
		traits &= ~FD_SHARED;
		fd = REAL(socket)(family, SOCK_STREAM | cloexec, 0);
	}
	if (fd < 0)
		return -errno;
	if (fdtab_place(fd, traits) < 0) {
		REAL(close)(fd);
		return -ENOMEM;
	}
	return fd;
}

static int take_kept(unsigned traits)
{
	int fd = pool_take(pool_of(traits));

	if (fd >= 0)
		fdtab_place(fd, traits);
	return fd;
}

int placeholder_get(int family, int flags, enum placeholder_use use)
{
	unsigned own = FD_POOLABLE | (flags & SOCK_CLOEXEC ? FD_CLOEXEC_ON : 0) | (family == AF_INET6 ? FD_IS_V6 : 0);
	unsigned wanted = use == PLACEHOLDER_OWN ? own : own | FD_SHARED;
	int saved = errno;
	int fd = take_kept(wanted);

	if (fd < 0 && wanted != own)
		fd = take_kept(own);
	if (fd >= 0)
		return fd;
	fd = open_new(family, wanted);
	if (fd == -EMFILE && placeholder_drain())
		fd = open_new(family, wanted);
	errno = saved;
	return fd;
}

/* The number's traits, when no other thread is about to renew its socket. */
static unsigned settled_traits(int fd)
{
	unsigned traits;

	while ((traits = fdtab_traits(fd)) & FD_RENEWING)
		sched_yield();
	return traits;
}

void placeholder_put(int fd, bool pristine)
{
	unsigned traits = settled_traits(fd);
	bool fits = pristine && (traits & FD_POOLABLE) && fd > STDERR_FILENO && fd < POOL_FDS;
	struct shard *sh = fits ? shard_with_room() : NULL;
	int saved = errno;

	if (sh) {
		fdtab_set(fd, FD_SPARE, NULL, 0);
		shard_keep(sh, pool_of(traits), fd);
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
	int family = traits & FD_IS_V6 ? AF_INET6 : AF_INET;
	int fresh = REAL(socket)(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc;

	if (fresh < 0 && errno == EMFILE && placeholder_drain())
		fresh = REAL(socket)(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fresh < 0)
		return -errno;
	rc = REAL(dup3)(fresh, fd, cloexec ? O_CLOEXEC : 0) < 0 ? -errno : 0;
	REAL(close)(fresh);
	if (!rc)
		fdtab_change_traits(fd, FD_POOLABLE, FD_SHARED);
	return rc;
}

/* Whoever sets FD_RENEWING renews; who closes the number meanwhile waits, lest another file gets it before it is replaced. */
static int end_sharing(int fd)
{
	struct fdref r = fdtab_get(fd);
	int rc;

	if (r.kind != FD_FRESH && r.kind != FD_SOCK)
		return -EBADF;
	if (!fdtab_claim_trait(&r, FD_RENEWING)) {
		sched_yield();
		return 0;
	}
	rc = placeholder_renew(fd);
	fdtab_change_traits(fd, 0, FD_RENEWING);
	return rc;
}

int placeholder_own(int fd)
{
	int saved = errno, rc = 0;

	while (!rc && (fdtab_traits(fd) & FD_SHARED))
		rc = end_sharing(fd);
	if (!rc)
		fdtab_change_traits(fd, 0, FD_POOLABLE);
	errno = saved;
	return rc;
}

bool placeholder_drain(void)
{
	bool any = false;

	for (unsigned i = 0; i < POOLS; i++) {
		int fd;

		while ((fd = pool_take(i)) >= 0) {
			fdtab_set(fd, FD_KERNEL, NULL, 0);
			REAL(close)(fd);
			any = true;
		}
	}
	return any;
}

/* Is the number in one of the shard's pools?  Then it is the caller's now. */
static bool shard_claim(struct shard *sh, int fd)
{
	uint64_t bit = 1ull << (fd % 64);

	for (unsigned i = 0; i < POOLS; i++) {
		uint64_t *word = &sh->pools[i].words[fd / 64];

		if ((__atomic_load_n(word, __ATOMIC_RELAXED) & bit) && (__atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST) & bit)) {
			__atomic_fetch_sub(&sh->count, 1, __ATOMIC_RELAXED);
			return true;
		}
	}
	return false;
}

bool placeholder_claim(int fd)
{
	if (fd < 0 || fd >= POOL_FDS)
		return false;
	for (unsigned i = 0; i < SHARDS; i++)
		if (shard_claim(&shards[i], fd)) {
			fdtab_set(fd, FD_KERNEL, NULL, 0);
			return true;
		}
	return false;
}

unsigned placeholder_count(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < SHARDS; i++)
		count += __atomic_load_n(&shards[i].count, __ATOMIC_RELAXED);
	return count;
}

void placeholder_fork_prepare(void)
{
	for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1)) {
		enum fd_kind kind = fdtab_kind(fd);

		if (kind == FD_FRESH)
			placeholder_own(fd);
		else if (kind == FD_SOCK && !(fdtab_traits(fd) & FD_SHARED))
			fdtab_change_traits(fd, 0, FD_POOLABLE);
	}
}

void placeholder_fork_child(void)
{
	for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1))
		if (fdtab_traits(fd) & FD_RENEWING)
			fdtab_change_traits(fd, 0, FD_RENEWING | FD_SHARED | FD_POOLABLE);
	placeholder_drain();
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
