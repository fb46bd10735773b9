/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * user.c - see user.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "user.h"

#include <errno.h>
#include <string.h>

/*
 * One byte is touched by an instruction that the handler of its fault knows (guard.c), which makes it return -EFAULT: as the
 * kernel does with its own, and for nothing where there is no fault.
 */
__asm__(".pushsection .text\n"
	".globl user_touch_begin, user_touch_end, user_read_byte, user_write_byte\n"
	".hidden user_touch_begin, user_touch_end, user_read_byte, user_write_byte\n"
	".type user_read_byte, @function\n"
	".type user_write_byte, @function\n"
	"user_touch_begin:\n"
	"user_read_byte: movb (%rdi), %al\n"
	"	xorl %eax, %eax\n"
	"	ret\n"
	"user_write_byte: movb (%rdi), %al\n"
	"	movb %al, (%rdi)\n"
	"	xorl %eax, %eax\n"
	"user_touch_end: ret\n"
	".popsection");

static bool possible(const void *p, size_t n)
{
	return (uintptr_t)p >= USER_BEGIN && user_range(p, n);
}

int user_copy(void *to, const void *from, size_t n)
{
	void *trap[5];

	if (!n)
		return 0;
	if (!possible(to, n) || !possible(from, n))
		return -EFAULT;
	guard_catch_faults();
	if (__builtin_setjmp(trap)) {
		guard.trap = NULL;
		return -EFAULT;
	}
	*(void **volatile *)&guard.trap = trap;
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(to, from, n);
	atomic_signal_fence(memory_order_seq_cst);
	*(void **volatile *)&guard.trap = NULL;
	return 0;
}

int user_touch(int (*byte)(uintptr_t), uintptr_t first, size_t n)
{
	uintptr_t last = first + n - 1;

	if (!n)
		return 0;
	if (!possible((void *)first, n))
		return -EFAULT;
	guard_catch_faults();
	for (; first / USER_PAGE != last / USER_PAGE; first += USER_PAGE)
		if (byte(first))
			return -EFAULT;
	return byte(last);
}
