/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symbols_exec.c - exec in all its forms: the library is in the new program also where the environment was made anew, and is not
 * where it was taken out; one that fails leaves everything as it was.
 */
#include "tests/thin/symbols.h"

#include <fcntl.h>
#include <sys/wait.h>

#define SHELL "/bin/sh"
/* 6: the library is there; and the variables are where they are expected, or hidden. */
#define LOOK "grep -q /libmtcpshim.so /proc/$$/maps && test -z \"$MTCPSHIM_ADDED\" && exit 6"
#define LOOK_HIDDEN LOOK "; test -z \"$LD_PRELOAD\" || exit 7"

static char *const look[] = {"sh", "-c", LOOK, NULL};
static char *const nothing[] = {NULL};
static char *const taken_out[] = {"MTCPSHIM_LOG=warn", NULL};

static void fails(int rc, int err)
{
	CHECK(rc == -1 && errno == err);
	sent(write(s, TEXT, LEN));
}

/* The status of a child that execs. */
static int status_of(void (*start)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		start();
		_exit(99);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void start_execve(void)
{
	execve(SHELL, look, nothing);
}

static void start_taken_out(void)
{
	execve(SHELL, look, taken_out);
}

static void start_hidden(void)
{
	char *const argv[] = {"sh", "-c", LOOK_HIDDEN, NULL};

	execve(SHELL, argv, nothing);
}

void t_execve(void)
{
	CHECK(status_of(start_execve) == 6);
	CHECK(status_of(start_hidden) == 6);
	CHECK(status_of(start_taken_out) == 1);
	fails(execve("/nonexistent", look, nothing), ENOENT);
}

static void start_execv(void)
{
	execv(SHELL, look);
}

void t_execv(void)
{
	CHECK(status_of(start_execv) == 6);
	fails(execv("/nonexistent", look), ENOENT);
}

static void start_execvp(void)
{
	execvp("sh", look);
}

void t_execvp(void)
{
	CHECK(status_of(start_execvp) == 6);
	fails(execvp("no-such-program", look), ENOENT);
}

static void start_execvpe(void)
{
	execvpe("sh", look, nothing);
}

void t_execvpe(void)
{
	CHECK(status_of(start_execvpe) == 6);
	fails(execvpe("no-such-program", look, nothing), ENOENT);
}

static void start_execl(void)
{
	execl(SHELL, "sh", "-c", LOOK, (char *)NULL);
}

void t_execl(void)
{
	CHECK(status_of(start_execl) == 6);
	fails(execl("/nonexistent", "nothing", (char *)NULL), ENOENT);
}

static void start_execle(void)
{
	execle(SHELL, "sh", "-c", LOOK, (char *)NULL, nothing);
}

static void start_execle_out(void)
{
	execle(SHELL, "sh", "-c", LOOK, (char *)NULL, taken_out);
}

void t_execle(void)
{
	CHECK(status_of(start_execle) == 6);
	CHECK(status_of(start_execle_out) == 1);
	fails(execle("/nonexistent", "nothing", (char *)NULL, nothing), ENOENT);
}

static void start_execlp(void)
{
	execlp("sh", "sh", "-c", LOOK, (char *)NULL);
}

void t_execlp(void)
{
	CHECK(status_of(start_execlp) == 6);
	fails(execlp("no-such-program", "nothing", (char *)NULL), ENOENT);
}

static void start_fexecve(void)
{
	fexecve(open(SHELL, O_RDONLY | O_CLOEXEC), look, nothing);
}

void t_fexecve(void)
{
	CHECK(status_of(start_fexecve) == 6);
	fails(fexecve(-1, look, nothing), EINVAL);
}

static void start_execveat(void)
{
	execveat(AT_FDCWD, SHELL, look, nothing, 0);
}

void t_execveat(void)
{
	CHECK(status_of(start_execveat) == 6);
	fails(execveat(AT_FDCWD, "/nonexistent", look, nothing, 0), ENOENT);
}
