/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fdtab.c - the descriptor table.  Numbers beyond it (more than TABLE_MAX descriptors) stay with the kernel.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "fdtab.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Address space only: pages are touched as numbers are used.  At least the kernel's default fs.nr_open. */
#define TABLE_MIN (1u << 20)
#define TABLE_MAX (1u << 22)

#define SEQ_ONE (1ull << 8)
#define SEQ_MASK (0xffffffull << 8)

#ifndef __GCC_HAVE_SYNC_COMPARE_AND_SWAP_16
#error "16-byte compare and swap is needed: build for x86-64-v2 or later"
#endif

struct fdtab fdtab;
static unsigned top; /* numbers at and above were never in the table */

static void create(void)
{
	struct rlimit lim = {0, TABLE_MIN};
	rlim_t n;
	struct fdtab_slot *slots, *none = NULL;

	getrlimit(RLIMIT_NOFILE, &lim);
	n = lim.rlim_max < TABLE_MIN ? TABLE_MIN : lim.rlim_max > TABLE_MAX ? TABLE_MAX : lim.rlim_max;
	n = (n + 4 * FDTAB_STRIDE - 1) / (4 * FDTAB_STRIDE) * (4 * FDTAB_STRIDE); /* whole blocks */
	slots = mmap(NULL, n * sizeof(*slots), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (slots == MAP_FAILED)
		return;
	if (!__atomic_compare_exchange_n(&fdtab.slots, &none, slots, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		munmap(slots, n * sizeof(*slots));
	/* A racing thread has read the same limit, so n is the same whoever's mapping won. */
	__atomic_store_n(&fdtab.size, (unsigned)n, __ATOMIC_RELEASE);
}

static struct fdtab_slot *slot_make(int fd)
{
	if (!__atomic_load_n(&fdtab.size, __ATOMIC_ACQUIRE)) {
		int saved = errno;

		create();
		errno = saved;
	}
	return fdtab_slot(fd);
}

static bool slot_replace(struct fdtab_slot *s, struct fdtab_slot was, struct fdtab_slot now)
{
	union {
		struct fdtab_slot s;
		unsigned __int128 n;
	} from = {was}, to = {now};

	to.s.word = (to.s.word & ~SEQ_MASK) | ((was.word + SEQ_ONE) & SEQ_MASK);
	return __sync_bool_compare_and_swap((unsigned __int128 *)s, from.n, to.n);
}

static void raise_top(int fd)
{
	unsigned seen = __atomic_load_n(&top, __ATOMIC_RELAXED);

	while (seen <= (unsigned)fd &&
	       !__atomic_compare_exchange_n(&top, &seen, (unsigned)fd + 1, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static struct fdtab_slot slot_value(enum fd_kind kind, unsigned traits, void *obj, uint32_t gen)
{
	struct fdtab_slot v = {(uint64_t)gen << 32 | traits | kind, obj};

	return v;
}

int fdtab_set(int fd, enum fd_kind kind, void *obj, uint32_t gen)
{
	struct fdtab_slot *s = kind == FD_KERNEL ? fdtab_slot(fd) : slot_make(fd);
	struct fdtab_slot was;

	if (!s)
		return kind == FD_KERNEL ? 0 : -ENOMEM;
	if (kind != FD_KERNEL)
		raise_top(fd);
	do {
		was = fdtab_slot_read(s);
	} while (!slot_replace(s, was, slot_value(kind, kind == FD_KERNEL ? 0 : was.word & FD_TRAITS, obj, gen)));
	return 0;
}

static bool slot_is(struct fdtab_slot v, const struct fdref *r)
{
	return (v.word & FDTAB_KIND) == r->kind && (uint32_t)(v.word >> 32) == r->gen && v.obj == r->obj;
}

bool fdtab_swap(const struct fdref *was, enum fd_kind kind, void *obj, uint32_t gen)
{
	struct fdtab_slot *s = fdtab_slot(was->fd);
	struct fdtab_slot v;

	if (!s)
		return false;
	if (kind != FD_KERNEL)
		raise_top(was->fd);
	do {
		v = fdtab_slot_read(s);
		if (!slot_is(v, was))
			return false;
	} while (!slot_replace(s, v, slot_value(kind, kind == FD_KERNEL ? 0 : v.word & FD_TRAITS, obj, gen)));
	return true;
}

int fdtab_place(int fd, unsigned traits)
{
	struct fdtab_slot *s = slot_make(fd);

	if (!s)
		return -ENOMEM;
	while (!slot_replace(s, fdtab_slot_read(s), slot_value(FD_KERNEL, traits, NULL, 0)))
		;
	return 0;
}

unsigned fdtab_traits(int fd)
{
	struct fdtab_slot *s = fdtab_slot(fd);

	return s ? fdtab_slot_read(s).word & FD_TRAITS : 0;
}

void fdtab_change_traits(int fd, unsigned set, unsigned clear)
{
	struct fdtab_slot *s = fdtab_slot(fd);
	struct fdtab_slot was, now;

	if (!s)
		return;
	do {
		was = now = fdtab_slot_read(s);
		now.word = (was.word & ~(uint64_t)clear) | set;
	} while (!slot_replace(s, was, now));
}

bool fdtab_claim_trait(const struct fdref *was, unsigned trait)
{
	struct fdtab_slot *s = fdtab_slot(was->fd);
	struct fdtab_slot v, now;

	if (!s)
		return false;
	do {
		v = now = fdtab_slot_read(s);
		if (!slot_is(v, was) || (v.word & trait))
			return false;
		now.word |= trait;
	} while (!slot_replace(s, v, now));
	return true;
}

int fdtab_next(int fd)
{
	unsigned end = __atomic_load_n(&top, __ATOMIC_ACQUIRE);

	for (unsigned i = fd < 0 ? 0 : (unsigned)fd; i < end; i++)
		if (!fdtab_is_kernel((int)i))
			return (int)i;
	return -1;
}

void fdtab_forget(int fd)
{
	if (fd >= 0 && !fdtab_is_kernel(fd))
		fdtab_set(fd, FD_KERNEL, NULL, 0);
}
