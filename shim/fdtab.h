/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fdtab.h - what each descriptor number is: the kernel's (almost all), a socket or epoll instance of the engine's, or one of
 * ours.
 *
 * A flat array, a slot for each number, mapped when the first entry is made: a process without engine sockets has none, and every
 * look-up is one compare.  Look-ups and changes take no lock and may come from a signal handler: a slot is two words that are
 * replaced together (cmpxchg16b); a reader takes the first, the second, and the first again, whose sequence number tells whether
 * they belong together.
 */
#ifndef SHIM_FDTAB_H
#define SHIM_FDTAB_H

#include "core.h"

/* What is known of the kernel socket under a number, so that it can be recycled (placeholder.h). */
enum fd_trait {
	FD_POOLABLE = 1 << 3, /* never used: no option, address or second process sees it */
	FD_CLOEXEC_ON = 1 << 4,
	FD_IS_V6 = 1 << 5,
	FD_SHARED = 1 << 6,   /* not its own: one of many numbers of one socket that nobody uses */
	FD_RENEWING = 1 << 7, /* a thread is about to give it one of its own */
	FD_TRAITS = FD_POOLABLE | FD_CLOEXEC_ON | FD_IS_V6 | FD_SHARED | FD_RENEWING,
};
#define FDTAB_KIND 7u

/* word: kind 3 bits | traits 5 | sequence 24 | generation of obj 32. */
struct fdtab_slot {
	uint64_t word;
	void *obj;
} __attribute__((aligned(16)));

/* Published in this order: slots, then size. */
struct fdtab {
	struct fdtab_slot *slots;
	unsigned size; /* 0: there is none yet */
};
extern struct fdtab fdtab __attribute__((visibility("hidden")));

/*
 * Where a number's slot is, in blocks of 4 * FDTAB_STRIDE: numbers next to each other, which the kernel deals out to threads in
 * turn, lie in cache lines of their own, and what shares one is FDTAB_STRIDE apart.
 */
#define FDTAB_STRIDE 256u

static inline unsigned fdtab_index(unsigned fd)
{
	return (fd & ~(4 * FDTAB_STRIDE - 1)) | (fd % FDTAB_STRIDE * 4) | (fd / FDTAB_STRIDE % 4);
}

/* NULL: a number that is not in the table.  Atomic throughout: another thread may still try to publish a table of its own. */
static inline struct fdtab_slot *fdtab_slot_in(const struct fdtab *t, int fd)
{
	if ((unsigned)fd >= __atomic_load_n(&t->size, __ATOMIC_ACQUIRE))
		return NULL;
	return __atomic_load_n(&t->slots, __ATOMIC_RELAXED) + fdtab_index((unsigned)fd);
}

static inline struct fdtab_slot *fdtab_slot(int fd)
{
	return fdtab_slot_in(&fdtab, fd);
}

/* Both words as they were at one moment. */
static inline struct fdtab_slot fdtab_slot_read(const struct fdtab_slot *s)
{
	struct fdtab_slot v;
	uint64_t again;

	do {
		v.word = __atomic_load_n(&s->word, __ATOMIC_ACQUIRE);
		v.obj = __atomic_load_n(&s->obj, __ATOMIC_ACQUIRE);
		again = __atomic_load_n(&s->word, __ATOMIC_ACQUIRE);
	} while (again != v.word);
	return v;
}

/* What a number is; FD_KERNEL for every one that is not in the table. */
static inline enum fd_kind fdtab_kind(int fd)
{
	const struct fdtab_slot *s = fdtab_slot(fd);

	return s ? (enum fd_kind)(__atomic_load_n(&s->word, __ATOMIC_ACQUIRE) & FDTAB_KIND) : FD_KERNEL;
}

/* Is this number none of ours? The whole cost of a read() or write() on a kernel descriptor. */
static inline bool fdtab_is_kernel(int fd)
{
	return fdtab_kind(fd) == FD_KERNEL;
}

/*
 * Look a number up.  Inline, so that the parts of the answer stay in registers: returned through memory they are copied as one
 * piece while they are still being stored as several, which the CPU has to wait for.
 */
static inline struct fdref fdtab_get_in(const struct fdtab *t, int fd)
{
	struct fdref r = {.fd = fd, .kind = FD_KERNEL};
	const struct fdtab_slot *s = fdtab_slot_in(t, fd);

	if (s) {
		struct fdtab_slot v = fdtab_slot_read(s);

		r.kind = (enum fd_kind)(v.word & FDTAB_KIND);
		r.gen = (uint32_t)(v.word >> 32);
		r.obj = v.obj;
	}
	return r;
}

static inline struct fdref fdtab_get(int fd)
{
	return fdtab_get_in(&fdtab, fd);
}

/* Replace whatever the number was.  Traits stay, except that FD_KERNEL clears them.  -ENOMEM: no table, or number beyond it. */
int fdtab_set(int fd, enum fd_kind kind, void *obj, uint32_t gen);
/* Replace it if it still is what `was` says; false: another thread changed it first. */
bool fdtab_swap(const struct fdref *was, enum fd_kind kind, void *obj, uint32_t gen);
/* The number is a new kernel socket with these traits; kind FD_KERNEL.  -ENOMEM as above. */
int fdtab_place(int fd, unsigned traits);
unsigned fdtab_traits(int fd);
/* Set and clear traits of a number that is in the table. */
void fdtab_change_traits(int fd, unsigned set, unsigned clear);
/* Set a trait if the number still is what `was` says and does not have it; false: it changed, or another thread was first. */
bool fdtab_claim_trait(const struct fdref *was, unsigned trait);
/* The first number at or above fd that is not FD_KERNEL; -1: no more. */
int fdtab_next(int fd);
/* The kernel just handed this number out: whatever the table says of it is stale. */
void fdtab_forget(int fd);

#endif
