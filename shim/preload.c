/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * preload.c - the library's own beginning and end, and those of the process: constructor, fork, exit.
 */
#include "calls.h"

#include "config.h"
#include "placeholder.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

extern char **environ;

__pid_t (*real_vfork)(void);

__attribute__((constructor)) static void start(void)
{
	real_load();
	real_vfork = real.vfork;
	config_capture(environ);
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
 * Children that libc starts without fork(): no handler runs, and what they inherit are the placeholders of the moment.  Those
 * must not be recycled afterwards, nor may the pool's be inherited.
 */
static void before_spawn(void)
{
	int saved = errno;

	if (fdtab_size) {
		placeholder_fork_prepare();
		placeholder_drain();
	}
	errno = saved;
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
		char *const argv[], char *const envp[])
{
	before_spawn();
	return REAL(posix_spawn)(pid, path, actions, attr, argv, envp);
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
		 char *const argv[], char *const envp[])
{
	before_spawn();
	return REAL(posix_spawnp)(pid, file, actions, attr, argv, envp);
}

FILE *popen(const char *command, const char *mode)
{
	before_spawn();
	return REAL(popen)(command, mode);
}

int system(const char *command)
{
	before_spawn();
	return REAL(system)(command);
}

/*
 * A vfork() child closes and duplicates descriptors in its parent's memory, and so in its parent's table.  POSIX allows vfork()
 * to be fork(); what callers may rely on, that the child may exec or _exit, holds.  A process without a table keeps the real one:
 * reached by a jump, as the child must not return through our frame.
 */
__attribute__((naked)) __pid_t vfork(void)
{
	__asm__("endbr64\n\t"
		"cmpl $0, fdtab_size(%rip)\n\t"
		"jne 1f\n\t"
		"mov real_vfork(%rip), %rax\n\t"
		"test %rax, %rax\n\t"
		"je 1f\n\t"
		"jmp *%rax\n"
		"1:\tjmp fork@PLT");
}
