/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay.h - an engine socket for a program that has no part in the engine: one that is exec'ed (inetd, CGI, sshd's re-exec), or
 * that gets it by SCM_RIGHTS.
 *
 * It is given a kernel stream socket (AF_UNIX) whose other end a relay has: a process left behind, forked before the exec.  As a
 * member of the fork family the relay holds the engine socket, and it carries bytes both ways with the ends of both directions,
 * until the program has closed its end (pump.c).  It is nobody's child, in a session of its own, and has no descriptor open but
 * those; it begins when it is told that the exec came about, and leaves without a trace if it failed.
 *
 * For a listener the program is given a listening AF_UNIX socket; the relay accepts and connects to that.
 *
 * Who inherits a socket may not mean to use it, and its bytes must not be taken from those who do.  So where another process of
 * the family holds it too, the relay takes none before it is clear whose it is: the socket is one of the program's standard
 * descriptors or was sent by SCM_RIGHTS, all others have closed it, or the program uses it: writes to it, or, under the shim,
 * reads it, accepts from it or waits for it (relay_touch()).
 */
#ifndef SHIM_RELAY_H
#define SHIM_RELAY_H

#include "relay_name.h"

/* One engine socket on its way. */
struct relay_item {
	struct fdref r;		 /* by one of its descriptors */
	bool eager;		 /* certainly meant for the program */
	int outside;		 /* what the program gets: close-on-exec */
	int inside;		 /* the relay's end; -1: a listener's, which has none */
	struct sockaddr_un name; /* a listener's */
	socklen_t name_len;
	struct relay_ends ends;
};

/*
 * Make both ends for each item (r and eager are given), and a relay that holds them.  Items that cannot be passed on (not
 * connected, or not in reach) have outside -1.  Returns the number of the relay's line, or -errno: then no item has ends.  The
 * caller closes the items' outsides.
 */
int relay_start(struct relay_item *items, unsigned n);
/* Tell the relay that it came about, or did not.  Exec itself tells it too, as it closes the line. */
void relay_settle(int line, bool came_about);

/* pump.c: the relay's life.  In the new process; never returns. */
void relay_run(struct relay_item *items, unsigned n, int line) __attribute__((noreturn));

/* relay_exec.c: around an exec of this process.  begin() puts the kernel ends under the numbers that the new program inherits;
 * failed() puts everything back.  errno is kept. */
/* begin(): false if there is nothing to put back. */
bool relay_exec_begin(void);
void relay_exec_failed(void);
/* After begin(): a variable for the new program's environment (inherit.h), or NULL. */
const char *relay_exec_expected(void);
/* A copy of the message with kernel sockets in the place of engine sockets, to be sent by libc's sendmsg(); its result is -1 with
 * errno too. */
ssize_t relay_sendmsg(int fd, const struct msghdr *msg, int flags);
/* The same for libc's sendmmsg(). */
int relay_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags);
/* Does it have engine sockets in an SCM_RIGHTS message?  Does any of them? */
bool relay_needed(const struct msghdr *msg);
bool relay_needed_by_any(const struct mmsghdr *msgs, unsigned n);

#endif
