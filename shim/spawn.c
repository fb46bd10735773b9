/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spawn.c - see spawn.h.  The child does what POSIX says of posix_spawn(), in its order: signals, scheduling, session, group,
 * ids, file actions, signal mask, exec; with calls of this library, so that descriptors that are ours are moved as such.
 *
 * File actions have no reader in libc's interface.  Their array is read as glibc has laid it out since 2.29; that it is so is
 * found out by a list made through the interface.  Where it is not, only what needs no reading is served.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "spawn.h"

#include "fdtab.h"
#include "real.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum tag { DO_CLOSE, DO_DUP2, DO_OPEN, DO_CHDIR, DO_FCHDIR, DO_CLOSEFROM, DO_TCSETPGRP };

struct action {
	int tag;
	union {
		struct {
			int fd, to;
		} fd;
		struct {
			int fd;
			char *path;
			int flags;
			mode_t mode;
		} open;
		char *dir;
	};
};

static const struct action *action_at(const posix_spawn_file_actions_t *list, int i)
{
	return (const struct action *)list->__actions + i;
}

/* Is the array what we take it for? */
static bool is_readable(void)
{
	posix_spawn_file_actions_t list;
	bool ok = false;

	if (posix_spawn_file_actions_init(&list))
		return false;
	if (!posix_spawn_file_actions_addclose(&list, 71) && !posix_spawn_file_actions_adddup2(&list, 72, 73) &&
	    !posix_spawn_file_actions_addopen(&list, 74, "/", O_RDONLY, 0123) &&
	    !posix_spawn_file_actions_addchdir_np(&list, ".") && list.__used == 4) {
		const struct action *a = action_at(&list, 0);

		ok = a[0].tag == DO_CLOSE && a[0].fd.fd == 71 && a[1].tag == DO_DUP2 && a[1].fd.fd == 72 && a[1].fd.to == 73 &&
		     a[2].tag == DO_OPEN && a[2].open.fd == 74 && !strcmp(a[2].open.path, "/") && a[2].open.mode == 0123 &&
		     a[3].tag == DO_CHDIR && !strcmp(a[3].dir, ".");
	}
	posix_spawn_file_actions_destroy(&list);
	return ok;
}

bool spawn_is_ours(const posix_spawn_file_actions_t *actions)
{
	bool inherits = false;
	int used = actions ? actions->__used : 0;

	if (!fdtab.size)
		return false;
	for (int fd = fdtab_next(0); !inherits && fd >= 0; fd = fdtab_next(fd + 1))
		inherits = fdtab_kind(fd) == FD_SOCK && !(fdtab_traits(fd) & FD_CLOEXEC_ON);
	if (!used)
		return inherits;
	if (!is_readable())
		return false;
	for (int i = 0; !inherits && i < used; i++) {
		const struct action *a = action_at(actions, i);

		inherits = a->tag == DO_DUP2 && fdtab_kind(a->fd.fd) == FD_SOCK;
	}
	return inherits;
}

/* ---- in the child ------------------------------------------------------------------------------------------------------------
 */

static int open_at(const struct action *a)
{
	int fd = open(a->open.path, a->open.flags, a->open.mode);

	if (fd < 0 || fd == a->open.fd)
		return fd < 0 ? -1 : 0;
	if (dup2(fd, a->open.fd) < 0)
		return -1;
	return close(fd);
}

/* -1 and errno. */
static int act(const struct action *a)
{
	switch (a->tag) {
	case DO_CLOSE:
		/* One that is not open is no error to posix_spawn(). */
		close(a->fd.fd);
		return 0;
	case DO_DUP2:
		if (a->fd.fd == a->fd.to)
			return fcntl(a->fd.fd, F_SETFD, 0);
		return dup2(a->fd.fd, a->fd.to);
	case DO_OPEN:
		close(a->open.fd);
		return open_at(a);
	case DO_CHDIR:
		return chdir(a->dir);
	case DO_FCHDIR:
		return fchdir(a->fd.fd);
	case DO_CLOSEFROM:
		closefrom(a->fd.fd);
		return 0;
	case DO_TCSETPGRP:
		return tcsetpgrp(a->fd.fd, getpgrp());
	default:
		errno = ENOSYS;
		return -1;
	}
}

static int reschedule(const posix_spawnattr_t *attr, short flags)
{
	struct sched_param param;
	int policy;

	if (!(flags & (POSIX_SPAWN_SETSCHEDULER | POSIX_SPAWN_SETSCHEDPARAM)))
		return 0;
	posix_spawnattr_getschedparam(attr, &param);
	posix_spawnattr_getschedpolicy(attr, &policy);
	return flags & POSIX_SPAWN_SETSCHEDULER ? sched_setscheduler(0, policy, &param) : sched_setparam(0, &param);
}

static int apply(const posix_spawnattr_t *attr, short flags)
{
	pid_t group = 0;

	if (reschedule(attr, flags))
		return -1;
	if ((flags & POSIX_SPAWN_SETSID) && setsid() < 0)
		return -1;
	if (flags & POSIX_SPAWN_SETPGROUP)
		posix_spawnattr_getpgroup(attr, &group);
	if ((flags & POSIX_SPAWN_SETPGROUP) && setpgid(0, group))
		return -1;
	if ((flags & POSIX_SPAWN_RESETIDS) && (seteuid(getuid()) || setegid(getgid())))
		return -1;
	return 0;
}

/* Handlers are not the child's; what is ignored stays so unless it was asked to be reset. */
static void reset_signals(const posix_spawnattr_t *attr, short flags)
{
	struct sigaction sa;
	sigset_t reset;

	sigemptyset(&reset);
	if (flags & POSIX_SPAWN_SETSIGDEF)
		posix_spawnattr_getsigdefault(attr, &reset);
	for (int sig = 1; sig < NSIG; sig++)
		if (!sigaction(sig, NULL, &sa) && sa.sa_handler != SIG_DFL &&
		    (sa.sa_handler != SIG_IGN || sigismember(&reset, sig) == 1))
			signal(sig, SIG_DFL);
}

static __attribute__((noreturn)) void child(const struct spawn_call *call, const sigset_t *mask, int line)
{
	int used = call->actions ? call->actions->__used : 0, rc;
	sigset_t wanted = *mask;
	short flags = 0;

	if (call->attr)
		posix_spawnattr_getflags(call->attr, &flags);
	reset_signals(call->attr, flags);
	rc = call->attr ? apply(call->attr, flags) : 0;
	for (int i = 0; !rc && i < used; i++) {
		const struct action *a = action_at(call->actions, i);

		/* It takes the number of our line: that moves. */
		if (a->tag != DO_CLOSE && (a->tag == DO_DUP2 ? a->fd.to : a->fd.fd) == line)
			line = REAL(fcntl)(line, F_DUPFD_CLOEXEC, line + 1);
		if (a->tag != DO_CLOSE || a->fd.fd != line)
			rc = act(a) < 0 ? -1 : 0;
	}
	if (flags & POSIX_SPAWN_SETSIGMASK)
		posix_spawnattr_getsigmask(call->attr, &wanted);
	pthread_sigmask(SIG_SETMASK, &wanted, NULL);
	if (!rc && call->search)
		execvpe(call->path, call->argv, call->envp);
	else if (!rc)
		execve(call->path, call->argv, call->envp);
	rc = errno;
	(void)!REAL(write)(line, &rc, sizeof(rc));
	for (;;)
		REAL(_exit)(127);
}

/* ---- in the parent -----------------------------------------------------------------------------------------------------------
 */

/* What the child has to say before it execs: nothing, or why it cannot. */
static int hear(int line, pid_t pid)
{
	ssize_t n;
	int err = 0;

	do {
		n = REAL(read)(line, &err, sizeof(err));
	} while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(err))
		return 0;
	waitpid(pid, NULL, 0);
	return err;
}

int spawn(pid_t *pid, const struct spawn_call *call)
{
	sigset_t all, before;
	int line[2], err;
	pid_t got;

	if (pipe2(line, O_CLOEXEC))
		return errno;
	fdtab_forget(line[0]);
	fdtab_forget(line[1]);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	got = fork();
	err = got < 0 ? errno : 0;
	if (got == 0)
		child(call, &before, line[1]);
	REAL(close)(line[1]);
	if (!err)
		err = hear(line[0], got);
	REAL(close)(line[0]);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!err && pid)
		*pid = got;
	if (err)
		errno = err;
	return err;
}
