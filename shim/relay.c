/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay.c - makes the two ends and the relay process; what it does then is in pump.c.
 *
 * Two forks: the relay must not be a child of the program, which may wait for any child of its own.  The process in between ends
 * at once, and its SIGCHLD is taken away before the program could see it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "relay.h"

#include "fdtab.h"
#include "loader.h"
#include "real.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* As many as may wait in the accept queue of a listener that was passed on. */
#define BACKLOG 1024

static void close_end(int *fd)
{
	if (*fd >= 0)
		REAL(close)(*fd);
	*fd = -1;
}

/* ---- the ends ----------------------------------------------------------------------------------------------------------------
 */

/* Where it is and where it leads; false if that is nowhere. */
static bool find_ends(struct relay_item *it)
{
	struct sockaddr_storage at, peer = {.ss_family = AF_INET};
	socklen_t len = sizeof(at), peer_len = sizeof(peer), int_len = sizeof(int);
	int listens = 0;

	if (core()->getsockname(&it->r, (struct sockaddr *)&at, &len))
		return false;
	core()->getsockopt(&it->r, SOL_SOCKET, SO_ACCEPTCONN, &listens, &int_len);
	if (!listens && core()->getpeername(&it->r, (struct sockaddr *)&peer, &peer_len))
		return false;
	it->ends = (struct relay_ends){.family = at.ss_family, .listens = listens};
	relay_addr(&it->ends.local, &at);
	relay_addr(&it->ends.peer, &peer);
	return true;
}

/* What the program finds set on the socket, and the kernel can do as well. */
static void copy_state(struct relay_item *it)
{
	static const int timeouts[] = {SO_RCVTIMEO, SO_SNDTIMEO};
	int flags = core()->getfl(&it->r);

	for (unsigned i = 0; i < 2; i++) {
		struct timeval tv = {0};
		socklen_t len = sizeof(tv);

		if (core()->getsockopt(&it->r, SOL_SOCKET, timeouts[i], &tv, &len) == 0)
			REAL(setsockopt)(it->outside, SOL_SOCKET, timeouts[i], &tv, sizeof(tv));
	}
	if (flags > 0 && (flags & O_NONBLOCK))
		REAL(fcntl)(it->outside, F_SETFL, O_RDWR | O_NONBLOCK);
}

static bool make_listener(struct relay_item *it)
{
	it->outside = REAL(socket)(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fdtab_forget(it->outside);
	return it->outside >= 0 && !REAL(bind)(it->outside, (struct sockaddr *)&it->name, it->name_len) &&
	       !REAL(listen)(it->outside, BACKLOG);
}

static bool make_pair(struct relay_item *it)
{
	int ends[2];

	if (REAL(socketpair)(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return false;
	fdtab_forget(it->outside = ends[0]);
	fdtab_forget(it->inside = ends[1]);
	REAL(fcntl)(it->inside, F_SETFL, O_RDWR | O_NONBLOCK);
	return !REAL(bind)(it->inside, (struct sockaddr *)&it->name, it->name_len);
}

static bool make_ends(struct relay_item *it)
{
	it->outside = it->inside = -1;
	if (!find_ends(it))
		return false;
	it->name_len = relay_name_make(&it->name, &it->ends);
	if (it->ends.listens ? make_listener(it) : make_pair(it)) {
		copy_state(it);
		return true;
	}
	close_end(&it->outside);
	close_end(&it->inside);
	return false;
}

/* ---- the process -------------------------------------------------------------------------------------------------------------
 */

/* Wait for the process in between.  Its SIGCHLD goes too, unless another child's may have been merged with it. */
static void reap(pid_t pid, bool was_pending)
{
	const struct timespec none = {0};
	siginfo_t other = {.si_pid = 0};
	sigset_t chld;
	int rc;

	do {
		rc = waitpid(pid, NULL, 0);
	} while (rc < 0 && errno == EINTR);
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	if (!was_pending && (waitid(P_ALL, 0, &other, WEXITED | WNOHANG | WNOWAIT) || !other.si_pid))
		sigtimedwait(&chld, NULL, &none);
}

/* In the process in between: the relay begins its life with all signals blocked. */
static __attribute__((noreturn)) void beget(struct relay_item *items, unsigned n, const int line[2])
{
	pid_t pid;

	REAL(close)(line[0]);
	pid = fork();
	if (pid == 0)
		relay_run(items, n, line[1]);
	for (;;)
		REAL(_exit)(0);
}

static void launch(struct relay_item *items, unsigned n, const int line[2])
{
	sigset_t all, before, pending;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	sigpending(&pending);
	pid = fork();
	if (pid == 0)
		beget(items, n, line);
	if (pid > 0)
		reap(pid, sigismember(&pending, SIGCHLD) == 1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* What the relay that is being made is for. */
static const struct relay_item *for_relay;
static unsigned nfor_relay;

static bool is_for_relay(const void *sock)
{
	unsigned i = 0;

	while (i < nfor_relay && for_relay[i].r.obj != sock)
		i++;
	return i < nfor_relay;
}

int relay_start(struct relay_item *items, unsigned n)
{
	unsigned made = 0;
	int line[2];
	char ready = 0;

	core()->birth_begin(is_for_relay);
	for_relay = items;
	nfor_relay = n;
	for (unsigned i = 0; i < n; i++)
		made += make_ends(&items[i]);
	if (!made || REAL(socketpair)(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line)) {
		line[0] = -ENOTCONN;
	} else {
		fdtab_forget(line[0]);
		fdtab_forget(line[1]);
		launch(items, n, line);
		REAL(close)(line[1]);
		/* It has let go of all that it does not need, or has ended because it cannot serve. */
		if (REAL(read)(line[0], &ready, 1) != 1) {
			REAL(close)(line[0]);
			line[0] = -EAGAIN;
		}
	}
	core()->birth_end();
	for (unsigned i = 0; i < n; i++) {
		close_end(&items[i].inside);
		if (line[0] < 0)
			close_end(&items[i].outside);
	}
	return line[0];
}

void relay_settle(int line, bool came_about)
{
	(void)!REAL(write)(line, came_about ? "g" : "x", 1);
	REAL(close)(line);
}
