/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user.c - see user.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "user.h"

#include "guard.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096

/* Faults go to the trap while work() runs: 0, -EFAULT. */
static __attribute__((noinline)) int trapped(void (*work)(void *, void *, size_t), void *to, void *from, size_t n)
{
	void *trap[5];

	guard_catch_faults();
	if (__builtin_setjmp(trap)) {
		guard.trap = NULL;
		return -EFAULT;
	}
	*(void **volatile *)&guard.trap = trap;
	atomic_signal_fence(memory_order_seq_cst);
	work(to, from, n);
	atomic_signal_fence(memory_order_seq_cst);
	*(void **volatile *)&guard.trap = NULL;
	return 0;
}

static void copy(void *to, void *from, size_t n)
{
	memcpy(to, from, n);
}

/* The first byte of each page, and the last of all. */
static void read_touch(void *none, void *p, size_t n)
{
	const volatile char *at = p, *last = at + n - 1;

	for (; at < last; at += PAGE)
		(void)*at;
	(void)*last;
}

static void write_touch(void *p, void *none, size_t n)
{
	volatile char *at = p, *last = at + n - 1;

	for (; at < last; at += PAGE)
		*at = *at;
	*last = *last;
}

static bool possible(const void *p, size_t n)
{
	return (uintptr_t)p >= USER_BEGIN && user_range(p, n);
}

int user_copy(void *to, const void *from, size_t n)
{
	if (!n)
		return 0;
	return possible(to, n) && possible(from, n) ? trapped(copy, to, (void *)from, n) : -EFAULT;
}

int user_readable(const void *p, size_t n)
{
	if (!n)
		return 0;
	return possible(p, n) ? trapped(read_touch, NULL, (void *)p, n) : -EFAULT;
}

int user_writable(void *p, size_t n)
{
	if (!n)
		return 0;
	return possible(p, n) ? trapped(write_touch, p, NULL, n) : -EFAULT;
}

static void write_parts(void *parts, void *none, size_t n)
{
	const struct user_part *at = parts;

	for (size_t i = 0; i < n; i++)
		write_touch(at[i].p, NULL, at[i].n);
}

int user_writable_parts(struct user_part *parts, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!possible(parts[i].p, parts[i].n))
			return -EFAULT;
	return trapped(write_parts, parts, NULL, n);
}
