/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay_name.h - what stands in for an engine socket in another program is an AF_UNIX socket, whose other end belongs to a relay
 * (relay.h).  That end's abstract name (unix(7)) holds the two addresses of the TCP connection.  So getpeername() and
 * getsockname() tell the truth in any program under the shim that comes to have it, however it did: by exec, by a fork after
 * that, by SCM_RIGHTS; and nothing has to be handed on beside it.
 *
 * Any thread, no locks, no memory: for signal handlers too.
 */
#ifndef SHIM_RELAY_NAME_H
#define SHIM_RELAY_NAME_H

#include "core.h"

#include <netinet/in.h>
#include <sys/un.h>

/* The addresses of a connection; of a listener only its own. */
struct relay_ends {
	int family; /* AF_INET or AF_INET6: of the engine socket */
	bool listens;
	struct sockaddr_in local, peer; /* of an AF_INET6 socket too, which shows them v4-mapped */
};

/* A name that nobody has yet, of this socket; its length. */
socklen_t relay_name_make(struct sockaddr_un *un, const struct relay_ends *ends);
/* Is this such a name?  Then *ends is what it says. */
bool relay_name_parse(const struct sockaddr_un *un, socklen_t len, struct relay_ends *ends);
/* From an address of an engine socket. */
void relay_addr(struct sockaddr_in *to, const struct sockaddr_storage *from);

/* Does this kernel descriptor stand for an engine socket? */
bool relay_ends_of(int fd, struct relay_ends *ends);
/* Has this process had such a descriptor?  Then the device is in use by the process that has the engine. */
bool relay_is_met(void);

/*
 * A descriptor that is FD_RELAYED is about to be read, accepted from or waited for: tell the relay, which takes nothing from
 * those who hold the engine socket too before it knows that somebody wants it.  From then on it is FD_KERNEL.
 */
void relay_touch(int fd);
/* The numbers that a program is to touch, as digits and commas: mark those that stand for engine sockets. */
void relay_expect(const char *numbers);
/*
 * The process ends: what it wrote to such numbers is to be on its way before somebody who waits for its end, and holds the engine
 * socket too, sends more.  Waits for the relay, a tenth of a second at most.
 */
void relay_await_taken(void);

/*
 * After libc's own call on a kernel descriptor, with its result: what the call is to give if the descriptor stands for an engine
 * socket.  room: what *len was before.  As libc: -1 and errno.
 */
int relay_name_fix(int rc, int fd, bool peer, struct sockaddr *sa, socklen_t *len, socklen_t room);
int relay_getsockopt_fix(int rc, int fd, int level, int name, void *val, socklen_t *len, socklen_t room);
int relay_setsockopt_fix(int rc, int fd, int level);

#endif
