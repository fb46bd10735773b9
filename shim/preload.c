/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * preload.c - the library's own beginning and end, and those of the process: constructor, fork, exit.
 */
#include "calls.h"

#include "config.h"
#include "inherit.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

__pid_t (*real_vfork)(void);

__attribute__((constructor)) static void start(void)
{
	real_load();
	real_vfork = real.vfork;
	loader_born();
	config_capture(environ);
	inherit_begin(environ);
	pthread_atfork(loader_fork_prepare, loader_fork_parent, loader_fork_child);
}

__attribute__((destructor)) static void end(void)
{
	loader_exiting();
}

/* Ending without atexit handlers and destructors. */
static __attribute__((noreturn)) void leave(int status)
{
	loader_exiting();
	for (;;)
		REAL(_exit)(status);
}

void _exit(int status)
{
	leave(status);
}

void _Exit(int status)
{
	leave(status);
}

/*
 * A vfork() child closes and duplicates descriptors in its parent's memory, and so in its parent's table.  POSIX allows vfork()
 * to be fork(); what callers may rely on, that the child may exec or _exit, holds.  A process without a table keeps the real one:
 * reached by a jump, as the child must not return through our frame.
 */
_Static_assert(offsetof(struct fdtab, size) == 8, "as below");
__attribute__((naked)) __pid_t vfork(void)
{
	__asm__("endbr64\n\t"
		"cmpl $0, fdtab+8(%rip)\n\t"
		"jne 1f\n\t"
		"mov real_vfork(%rip), %rax\n\t"
		"test %rax, %rax\n\t"
		"je 1f\n\t"
		"jmp *%rax\n"
		"1:\tjmp fork@PLT");
}
