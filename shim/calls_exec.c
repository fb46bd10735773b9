/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_exec.c - starting programs: exec and its forms, posix_spawn, popen, system.
 *
 * Engine sockets that the program inherits become kernel sockets with a relay behind them (relay.h), and the library stays in an
 * environment that was made anew (inherit.h).
 */
#include "calls.h"

#include "inherit.h"
#include "placeholder.h"
#include "relay.h"
#include "spawn.h"

#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* An exec by any of its names: the rest of the call, with this environment. */
#define EXEC(envp, call)                                                            \
	({                                                                          \
		char *room_[inherit_room(envp)];                                    \
		bool mine_ = relay_exec_begin();                                    \
		char *const *env = inherit_env(envp, room_, relay_exec_expected()); \
		int rc_ = call;                                                     \
		if (mine_)                                                          \
			relay_exec_failed();                                        \
		rc_;                                                                \
	})

int execve(const char *path, char *const argv[], char *const envp[])
{
	return EXEC(envp, REAL(execve)(path, argv, env));
}

int execv(const char *path, char *const argv[])
{
	return EXEC(environ, REAL(execve)(path, argv, env));
}

int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return EXEC(envp, REAL(execvpe)(file, argv, env));
}

int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

int fexecve(int fd, char *const argv[], char *const envp[])
{
	return EXEC(envp, REAL(fexecve)(fd, argv, env));
}

int execveat(int fd, const char *path, char *const argv[], char *const envp[], int flags)
{
	return EXEC(envp, REAL(execveat)(fd, path, argv, env, flags));
}

/* ---- arguments one by one ----------------------------------------------------------------------------------------------------
 */

static size_t count_args(const char *arg, va_list ap)
{
	size_t n = 1;
	va_list copy;

	va_copy(copy, ap);
	for (; arg; arg = va_arg(copy, const char *))
		n++;
	va_end(copy);
	return n;
}

/* Up to and with the NULL. */
static void take_args(char **argv, const char *arg, va_list *ap)
{
	for (*argv = (char *)arg; *argv; *argv = va_arg(*ap, char *))
		argv++;
}

#define TAKE_ARGS(argv, arg, ap)         \
	va_start(ap, arg);               \
	char *argv[count_args(arg, ap)]; \
	take_args(argv, arg, &ap)

int execl(const char *path, const char *arg, ...)
{
	va_list ap;

	TAKE_ARGS(argv, arg, ap);
	va_end(ap);
	return execv(path, argv);
}

int execle(const char *path, const char *arg, ...)
{
	char *const *envp;
	va_list ap;

	TAKE_ARGS(argv, arg, ap);
	envp = va_arg(ap, char *const *);
	va_end(ap);
	return execve(path, argv, envp);
}

int execlp(const char *file, const char *arg, ...)
{
	va_list ap;

	TAKE_ARGS(argv, arg, ap);
	va_end(ap);
	return execvpe(file, argv, environ);
}

/* ---- children that libc starts -----------------------------------------------------------------------------------------------
 */

/*
 * Made without fork(): no handler runs, and what they inherit are the placeholders of the moment.  Those must not be recycled
 * afterwards, nor may the pool's be inherited.
 */
static void before_spawn(void)
{
	int saved = errno;

	if (fdtab.size) {
		placeholder_fork_prepare();
		placeholder_drain();
	}
	errno = saved;
}

/* libc's own exec is out of reach: the environment is made here. */
#define SPAWN(which, search_)                                                                                   \
	({                                                                                                      \
		char *room_[inherit_room(envp)];                                                                \
		char *const *env = inherit_env(envp, room_, NULL);                                              \
		struct spawn_call call_ = {path, search_, actions, attr, argv, env};                            \
		before_spawn();                                                                                 \
		spawn_is_ours(actions) ? spawn(pid, &call_) : REAL(which)(pid, path, actions, attr, argv, env); \
	})

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
		char *const argv[], char *const envp[])
{
	return SPAWN(posix_spawn, false);
}

int posix_spawnp(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr,
		 char *const argv[], char *const envp[])
{
	return SPAWN(posix_spawnp, true);
}

FILE *popen(const char *command, const char *mode)
{
	before_spawn();
	return REAL(popen)(command, mode);
}

/* system(3): SIGINT and SIGQUIT are the command's while it runs, and its SIGCHLD is waited for here. */
static int system_ours(const char *command)
{
	char *argv[] = {"sh", "-c", (char *)command, NULL};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, was_int, was_quit;
	sigset_t block, before, reset;
	posix_spawnattr_t attr;
	int status = -1, err;
	pid_t pid;

	sigemptyset(&block);
	sigaddset(&block, SIGCHLD);
	sigaction(SIGINT, &ignore, &was_int);
	sigaction(SIGQUIT, &ignore, &was_quit);
	pthread_sigmask(SIG_BLOCK, &block, &before);
	sigemptyset(&reset);
	if (was_int.sa_handler != SIG_IGN)
		sigaddset(&reset, SIGINT);
	if (was_quit.sa_handler != SIG_IGN)
		sigaddset(&reset, SIGQUIT);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigdefault(&attr, &reset);
	posix_spawnattr_setsigmask(&attr, &before);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	err = posix_spawn(&pid, "/bin/sh", NULL, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	while (!err && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	sigaction(SIGINT, &was_int, NULL);
	sigaction(SIGQUIT, &was_quit, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err)
		errno = err;
	return err ? -1 : status;
}

int system(const char *command)
{
	before_spawn();
	return command && spawn_is_ours(NULL) ? system_ours(command) : REAL(system)(command);
}
