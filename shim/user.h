/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user.h - the application's memory, which need not be there: EFAULT as from the kernel, at the price of touching it.
 *
 * What a call is given is copied, or touched once, before the call relies on it; payload is copied by the engine, which is left
 * in the midst of it (engine_copying()).  A fault in either is ours and becomes EFAULT; every other one is the application's,
 * whose handler, or default action, gets it as if we were not there (guard.c).  What is left: where another thread unmaps the
 * memory between look and use, or the thread has SIGSEGV blocked, or the data is for a SYN that was put off
 * (TCP_FASTOPEN_CONNECT), a fault ends the process.
 */
#ifndef SHIM_USER_H
#define SHIM_USER_H

#include "guard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The end of what a process can map, as the kernel's access_ok() knows it. */
#define USER_END 0x7ffffffff000ul
/* Nothing is mapped below (vm.mmap_min_addr). */
#define USER_BEGIN 4096
#define USER_PAGE 4096

/* access_ok(): may this be memory of a process? */
static inline bool user_range(const void *p, size_t n)
{
	return (uintptr_t)p <= USER_END && n <= USER_END - (uintptr_t)p;
}

/* 0, or -EFAULT if not all of it is there; n 0 is always. */
int user_copy(void *to, const void *from, size_t n);
static inline int user_readable(const void *p, size_t n) __attribute__((access(none, 1)));
/* Bytes are written as they are: nobody else may be writing there. */
static inline int user_writable(void *p, size_t n);
/* guard.c: the code that touches it for these two; a fault in there goes on at its end, a return, with -EFAULT. */
extern const char user_touch_begin[] __attribute__((visibility("hidden")));
extern const char user_touch_end[] __attribute__((visibility("hidden")));

/* Touch one byte, or one of each page: 0, -EFAULT. */
int user_read_byte(uintptr_t at) __attribute__((visibility("hidden")));
int user_write_byte(uintptr_t at) __attribute__((visibility("hidden")));
int user_touch(int (*byte)(uintptr_t), uintptr_t first, size_t n);

/* As a rule it lies in one page. */
static inline int user_touch_some(int (*byte)(uintptr_t), uintptr_t first, size_t n)
{
	uintptr_t last = first + n - 1;

	if (__builtin_expect(n && first - USER_BEGIN < USER_END - USER_BEGIN && (first ^ last) < USER_PAGE && guard_catches, 1))
		return byte(first);
	return user_touch(byte, first, n);
}

static inline int user_readable(const void *p, size_t n)
{
	return user_touch_some(user_read_byte, (uintptr_t)p, n);
}

static inline int user_writable(void *p, size_t n)
{
	return user_touch_some(user_write_byte, (uintptr_t)p, n);
}

#endif
