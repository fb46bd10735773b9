/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * real.c - finds libc's own functions with dlsym(RTLD_NEXT).
 *
 * dlsym() may allocate, and the program's malloc may read files, lock with futexes or close descriptors while the table is still
 * empty: those few are bound by the dynamic linker itself, through aliases that libc exports, and need no look-up.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "real.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

/* libc's documented-by-use aliases, which nobody interposes (GLIBC_2.2.5 on x86-64). */
ssize_t __read(int fd, void *buf, size_t n);
ssize_t __write(int fd, const void *buf, size_t n);
int __close(int fd);
int __fcntl(int fd, int cmd, ...);

static long early_syscall(long number, ...)
{
	long args[6];
	va_list ap;

	va_start(ap, number);
	for (unsigned i = 0; i < 6; i++)
		args[i] = va_arg(ap, long);
	va_end(ap);
	return real_syscall6(number, args);
}

struct real_calls real = {
    .read = __read,
    .write = __write,
    .close = __close,
    .fcntl = __fcntl,
    .fcntl64 = __fcntl,
    .syscall = early_syscall,
};

long real_syscall6(long number, const long args[6])
{
	long result;
	register long r10 __asm__("r10") = args[3];
	register long r8 __asm__("r8") = args[4];
	register long r9 __asm__("r9") = args[5];

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(args[0]), "S"(args[1]), "d"(args[2]), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	if (result < 0 && result > -4096) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

/* Stands in for what this libc does not have; all intercepted functions that came late return an integer. */
static long missing(void)
{
	errno = ENOSYS;
	return -1;
}

static void *find(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	return f ? f : (void *)missing;
}

void real_load(void)
{
	static __thread bool inside __attribute__((tls_model("initial-exec")));
	int saved = errno;

	if (inside)
		return;
	inside = true;
	/* Every thread that gets here stores the same values: no lock, so a signal handler may be first. */
#define INTERCEPT(ret, name, args) __atomic_store_n((void **)&real.name, find(#name), __ATOMIC_RELAXED);
#include "intercept.def"
	inside = false;
	errno = saved;
}
