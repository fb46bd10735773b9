/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_wait.c - poll, ppoll, select and pselect: libc's while no descriptor is the engine's, else the core's poll.
 *
 * select() becomes poll() (sets.h) unless a glance at the sets is enough, as it is in most calls.
 */
#include "calls.h"

#include "deadline.h"
#include "user.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

/* Up to this many descriptors are kept on the stack. */
#define STACK_FDS 1024
/* A number that is never open: poll says POLLNVAL. */
#define NEVER_OPEN INT_MAX
/* Who has to look at a set of descriptors. */
enum {
	NEED_CORE = 1,	/* one is the engine's */
	NEED_SPARE = 2, /* one was closed, but the kernel still has it */
};

static __attribute__((noinline)) unsigned need_of_other(int fd, enum fd_kind kind)
{
	switch (kind) {
	case FD_EPOLL:
		return core() ? NEED_CORE : 0;
	case FD_SPARE:
		return NEED_SPARE;
	case FD_RELAYED:
		relay_touch(fd);
		return 0;
	default:
		return 0;
	}
}

static inline unsigned need_of(int fd)
{
	enum fd_kind kind = fdtab_kind(fd);

	return __builtin_expect(kind == FD_SOCK, 1) ? NEED_CORE : need_of_other(fd, kind);
}

/* Nobody but who polls writes revents: it may be written as it is. */
static bool answers_fit(struct pollfd *fds, nfds_t n)
{
	const nfds_t step = 4096 / sizeof(*fds);

	for (nfds_t i = 0; i + 1 < n; i += step)
		if (user_writable(&fds[i].revents, sizeof(fds[i].revents)))
			return false;
	return !n || !user_writable(&fds[n - 1].revents, sizeof(fds[n - 1].revents));
}

static int poll_someone(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, unsigned need)
{
	struct timespec left = timeout ? *timeout : (struct timespec){0};
	int rc;

	if (need & NEED_CORE)
		return (int)GUARDED(core()->poll(fds, n, timeout ? &left : NULL, mask));
	rc = REAL(ppoll)(fds, n, timeout, mask);
	return rc < 0 ? -errno : rc;
}

/* ---- poll -------------------------------------------------------------------------------------------------------------------
 */

/* Of what is not there, or too much to be there, the kernel says so. */
static unsigned poll_need(const struct pollfd *fds, nfds_t n)
{
	unsigned need = 0;

	if (!fdtab.size || n > INT_MAX / sizeof(*fds) || user_readable(fds, n * sizeof(*fds)))
		return 0;
	for (nfds_t i = 0; i < n; i++)
		need |= need_of(fds[i].fd);
	return need;
}

/* A time-out and a mask. */
static bool waits_well(const struct timespec *timeout, const sigset_t *mask)
{
	return (!timeout || !user_readable(timeout, sizeof(*timeout))) && (!mask || !user_readable(mask, KERNEL_SIGSET));
}

/* Numbers that the application has closed must not be seen by the kernel: it would answer for the placeholder. */
static int poll_spared(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, unsigned need)
{
	struct pollfd *copy = malloc(n * sizeof(*copy));
	int rc;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, fds, n * sizeof(*copy));
	for (nfds_t i = 0; i < n; i++)
		if (need_of(fds[i].fd) == NEED_SPARE)
			copy[i].fd = NEVER_OPEN;
	rc = poll_someone(copy, n, timeout, mask, need);
	for (nfds_t i = 0; i < n && (rc >= 0 || rc == -EINTR); i++)
		fds[i].revents = copy[i].revents;
	free(copy);
	return rc;
}

static int poll_ours(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	unsigned need = poll_need(fds, n);
	int saved = errno;

	cancel_point();
	if (!timespec_valid(timeout))
		return fail(EINVAL);
	if (!answers_fit(fds, n))
		return fail(EFAULT);
	if (need & NEED_SPARE)
		return (int)finish(saved, poll_spared(fds, n, timeout, mask, need));
	return (int)finish(saved, poll_someone(fds, n, timeout, mask, need));
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	struct timespec ts;

	if (!poll_need(fds, n))
		return REAL(poll)(fds, n, timeout);
	return poll_ours(fds, n, timespec_of_ms(timeout, &ts), NULL);
}

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t fdslen)
{
	if (fdslen / sizeof(*fds) < n)
		__chk_fail();
	return poll(fds, n, timeout);
}

int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	if (!poll_need(fds, n))
		return REAL(ppoll)(fds, n, timeout, mask);
	if (!waits_well(timeout, mask))
		return fail(EFAULT);
	return poll_ours(fds, n, timeout, mask);
}

int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t fdslen)
{
	if (fdslen / sizeof(*fds) < n)
		__chk_fail();
	return ppoll(fds, n, timeout, mask);
}

/* ---- select -----------------------------------------------------------------------------------------------------------------
 */

/*
 * Linux looks at no more bits than the process's table of descriptors has room for (core_sys_select()), which grows with what is
 * open, so that programs may give getdtabsize() with sets of the ordinary size.  That table has descriptors of ours near its end,
 * so its room is told here, beyond the ordinary size: by the bits of what the program has open.
 */
static int table_room = FD_SETSIZE;

/* Is it the program's? */
static bool is_open(int fd)
{
	enum fd_kind kind = fdtab_kind(fd);

	return kind == FD_KERNEL ? REAL(fcntl)(fd, F_GETFD) >= 0 : kind != FD_SPARE && kind != FD_PRIVATE;
}

/* The highest bit of that word of the sets that stands for an open descriptor; -1: none.  What is not there has none. */
static int highest_open(const struct sets *s, int first)
{
	unsigned long any = 0;

	for (int set = 0; set < SET_KINDS; set++)
		if (s->bits[set] && !user_readable(&s->bits[set][first / LONG_BITS], sizeof(long)))
			any |= sets_word(s, set, first);
	while (any) {
		int at = LONG_BITS - 1 - __builtin_clzl(any);

		if (first + at < s->n && is_open(first + at))
			return first + at;
		any &= ~(1ul << at);
	}
	return -1;
}

/* How many of the bits count. */
static __attribute__((noinline)) int bits_of_table(const struct sets *s)
{
	int room = __atomic_load_n(&table_room, __ATOMIC_RELAXED), top = -1, saved = errno;

	for (int first = room; first < s->n; first += LONG_BITS) {
		int open = highest_open(s, first);

		if (open >= 0)
			top = open;
	}
	errno = saved;
	while (room <= top)
		room *= 2;
	__atomic_store_n(&table_room, room, __ATOMIC_RELAXED);
	return s->n < room ? s->n : room;
}

static inline struct sets sets_of(int n, fd_set *in, fd_set *out, fd_set *ex)
{
	return (struct sets){.bits = {(unsigned long *)in, (unsigned long *)out, (unsigned long *)ex}, .n = n};
}

/* How many bits of these sets count, of the n that the program says. */
static inline int bits_of(int n, fd_set *in, fd_set *out, fd_set *ex)
{
	struct sets s;

	if (__builtin_expect(n <= __atomic_load_n(&table_room, __ATOMIC_RELAXED), 1) || !fdtab.size)
		return n;
	s = sets_of(n, in, out, ex);
	return bits_of_table(&s);
}

/*
 * Who has to look, and at what: *count descriptors, which go to fds unless it is NULL.  No more than `most`: another thread may
 * add to the sets after they were counted.
 */
static inline unsigned sets_to_poll(const struct sets *s, struct pollfd *fds, unsigned most, unsigned *count)
{
	unsigned need = 0, n = 0;

	for (int first = 0; first < s->n && n < most; first += LONG_BITS) {
		unsigned long in = sets_word(s, SET_IN, first), out = sets_word(s, SET_OUT, first);
		unsigned long ex = sets_word(s, SET_EX, first), any = (in | out | ex) & sets_within(s, first);

		for (; any && n < most; any &= any - 1, n++) {
			int at = __builtin_ctzl(any), fd = first + at;

			need |= need_of(fd);
			if (fds)
				fds[n] = (struct pollfd){.fd = fd,
							 .events = (short)((in >> at & 1 ? sets_ask[SET_IN] : 0) |
									   (out >> at & 1 ? sets_ask[SET_OUT] : 0) |
									   (ex >> at & 1 ? sets_ask[SET_EX] : 0))};
		}
	}
	*count = n;
	return need;
}

/* Which sets of the answer it is in, by bits.  That it is in the question's, its events say: no two sets ask for the same. */
static inline unsigned found_in(const struct pollfd *p)
{
	unsigned found = 0;

	for (int set = 0; set < SET_KINDS; set++)
		if ((p->events & sets_ask[set]) && (p->revents & sets_count[set]))
			found |= 1u << set;
	return found;
}

/*
 * Of what poll() found: how many bits a select() would set, or -EBADF.  revents becomes found_in(); descriptors with nothing that
 * counts are not asked again: their numbers are inverted.
 */
static inline int poll_to_count(struct pollfd *fds, unsigned n)
{
	int total = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned found;

		if (!fds[i].revents)
			continue;
		if (fds[i].revents & POLLNVAL)
			return -EBADF;
		found = found_in(&fds[i]);
		fds[i].revents = (short)found;
		/* POLLHUP and POLLERR end a poll() unasked, but not a select() that did not ask for reading or writing. */
		if (!found)
			fds[i].fd = ~fds[i].fd;
		total += __builtin_popcount(found);
	}
	return total;
}

/* Write the answer over the question; whole words, as the kernel does. */
static inline void poll_to_sets(const struct sets *s, const struct pollfd *fds, unsigned n)
{
	for (int set = 0; set < SET_KINDS; set++)
		for (int first = 0; s->bits[set] && first < s->n; first += LONG_BITS)
			s->bits[set][first / LONG_BITS] = 0;
	for (unsigned i = 0; i < n; i++) {
		/* Of those that are not asked again nothing was found. */
		for (unsigned found = (unsigned)fds[i].revents; found; found &= found - 1)
			s->bits[__builtin_ctz(found)][fds[i].fd / LONG_BITS] |= 1ul << fds[i].fd % LONG_BITS;
	}
}

/*
 * May all of each set be read, or written?  As on Linux the latter is found out when there is an answer; nor would it do to touch
 * sets so before they are read: a word of which one byte was just written is not loaded until the CPU is done with that store.
 */
static inline bool sets_allow(const struct sets *s, int (*byte)(uintptr_t))
{
	size_t size = (size_t)(s->n + LONG_BITS - 1) / LONG_BITS * sizeof(long);

	for (int set = 0; set < SET_KINDS; set++)
		if (s->bits[set] && user_touch_some(byte, (uintptr_t)s->bits[set], size))
			return false;
	return true;
}

static inline int select_loop(const struct sets *s, struct pollfd *fds, unsigned n, struct timespec *left, const sigset_t *mask)
{
	int rc, found;

	cancel_point();
	do {
		rc = (int)GUARDED(core()->poll(fds, n, left, mask));
		if (rc < 0)
			return rc;
		found = poll_to_count(fds, n);
	} while (rc > 0 && found == 0);
	if (found < 0)
		return found;
	if (!sets_allow(s, user_write_byte))
		return -EFAULT;
	poll_to_sets(s, fds, n);
	return found;
}

/* Sets of this size are not kept on the stack. */
static __attribute__((noinline)) int select_many(const struct sets *s, unsigned n, struct timespec *left, const sigset_t *mask)
{
	struct pollfd *many;
	int rc;

	many = malloc(n * sizeof(*many));
	if (!many)
		return -ENOMEM;
	sets_to_poll(s, many, n, &n);
	rc = select_loop(s, many, n, left, mask);
	free(many);
	return rc;
}

/* Nothing of it is ours. */
#define KERNELS_ALONE INT_MIN

/* poll() is to tell.  *left: the time-out, and then what was left of it; NULL: none. */
static __attribute__((noinline)) int select_closely(const struct sets *s, struct timespec *left, const sigset_t *mask)
{
	struct pollfd few[STACK_FDS];
	unsigned need, n;

	/* Sets that are not there are the kernel's to complain of. */
	if (s->n <= 0 || !sets_allow(s, user_read_byte))
		return KERNELS_ALONE;
	need = sets_to_poll(s, s->n <= STACK_FDS ? few : NULL, (unsigned)s->n, &n);
	if (!need)
		return KERNELS_ALONE;
	if (need & NEED_SPARE)
		return -EBADF;
	return s->n <= STACK_FDS ? select_loop(s, few, n, left, mask) : select_many(s, n, left, mask);
}

/* Of at most so many descriptors. */
#define GLANCE_WORDS (STACK_FDS / LONG_BITS)

/* As core()->select(). */
static inline int select_glance(const struct sets *s, unsigned long (*found)[SET_KINDS])
{
	if (s->n <= 0 || s->n > STACK_FDS || !core() || !sets_allow(s, user_read_byte))
		return 0;
	cancel_point();
	return GUARDED(core()->select(s, found));
}

static inline int select_ours(const struct sets *s, struct timespec *left, const sigset_t *mask)
{
	unsigned long found[GLANCE_WORDS][SET_KINDS];
	int count = select_glance(s, found);

	if (!count)
		return select_closely(s, left, mask);
	if (!sets_allow(s, user_write_byte))
		return -EFAULT;
	for (int set = 0; set < SET_KINDS; set++)
		for (int first = 0; s->bits[set] && first < s->n; first += LONG_BITS)
			s->bits[set][first / LONG_BITS] = found[first / LONG_BITS][set];
	return count;
}

/* What is there at once costs the core no look at the clock; the kernel's has always moved on. */
static void moment_passed(struct timespec *left)
{
	if (!left->tv_sec && left->tv_nsec < 1000)
		return;
	left->tv_nsec -= 1000;
	if (left->tv_nsec < 0) {
		left->tv_nsec += 1000000000;
		left->tv_sec--;
	}
}

int select(int n, fd_set *in, fd_set *out, fd_set *ex, struct timeval *timeout)
{
	struct sets s = sets_of(bits_of(n, in, out, ex), in, out, ex);
	struct timespec left = {0};
	int saved = errno, rc;

	if (!fdtab.size)
		return REAL(select)(n, in, out, ex, timeout);
	if (timeout && user_readable(timeout, sizeof(*timeout)))
		return fail(EFAULT);
	if (timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0))
		return fail(EINVAL);
	if (timeout) {
		left.tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000;
		left.tv_nsec = timeout->tv_usec % 1000000 * 1000;
	}
	rc = select_ours(&s, timeout ? &left : NULL, NULL);
	if (rc == KERNELS_ALONE)
		return REAL(select)(s.n, in, out, ex, timeout);
	moment_passed(&left);
	/* Linux tells how much of the time was left, also after an error, and nothing to read-only memory: poll_select_finish().
	 */
	if (timeout && !user_writable(timeout, sizeof(*timeout))) {
		timeout->tv_sec = left.tv_sec;
		timeout->tv_usec = left.tv_nsec / 1000;
	}
	return (int)finish(saved, rc);
}

int pselect(int n, fd_set *in, fd_set *out, fd_set *ex, const struct timespec *timeout, const sigset_t *mask)
{
	struct sets s = sets_of(bits_of(n, in, out, ex), in, out, ex);
	struct timespec left = {0};
	int saved = errno, rc;

	if (!fdtab.size)
		return REAL(pselect)(n, in, out, ex, timeout, mask);
	if (!waits_well(timeout, mask))
		return fail(EFAULT);
	if (!timespec_valid(timeout))
		return fail(EINVAL);
	if (timeout)
		left = *timeout;
	rc = select_ours(&s, timeout ? &left : NULL, mask);
	return rc == KERNELS_ALONE ? REAL(pselect)(s.n, in, out, ex, timeout, mask) : (int)finish(saved, rc);
}
