/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * real.h - libc's own functions, for a library that hides them.
 *
 * The constructor fills the table; a wrapper that is called earlier (another library's constructor, a malloc that reads a file)
 * fills it by itself.  read, write, close, fcntl and syscall are there from the first instruction, because dlsym() itself may
 * reach them.
 */
#ifndef SHIM_REAL_H
#define SHIM_REAL_H

#include "core.h"

extern struct real_calls real __attribute__((visibility("hidden")));

/* Look all symbols up; any thread, any number of times.  A symbol that this libc lacks becomes one that fails with ENOSYS. */
void real_load(void) __attribute__((cold));

/* Call libc's function: REAL(read)(fd, buf, n). */
#define REAL(name) (*(__builtin_expect(real.name != NULL, 1) ? real.name : (real_load(), real.name)))

/* The system call itself, with libc's convention: -1 and errno.  Arguments as longs, unused ones 0. */
long real_syscall6(long number, const long args[6]);

#endif
