/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * own.h - what happens to a FRESH socket: remembered options and flags, and the bind, listen or connect that decides who owns it.
 *
 * r is a FRESH reference as fdtab gave it.  All return what the system call would, or -errno; OWN_AGAIN if the descriptor is
 * not FRESH any more (another thread decided): look it up again.
 */
#ifndef SHIM_OWN_H
#define SHIM_OWN_H

#include "core.h"

#define OWN_AGAIN (-4096) /* beyond every errno */

/* A new socket that may become the engine's; flags of socket()'s type.  -errno. */
int own_socket(int family, int flags);

int own_bind(const struct fdref *r, const struct sockaddr *sa, socklen_t len);
int own_listen(const struct fdref *r, int backlog);
int own_connect(const struct fdref *r, const struct sockaddr *sa, socklen_t len);
/* sendmsg() with MSG_FASTOPEN. */
ssize_t own_fastopen(const struct fdref *r, const struct msghdr *msg, int flags);
/* bind() of a socket that the engine has already; r is FD_SOCK. */
int own_bind_taken(const struct fdref *r, const struct sockaddr *sa, socklen_t len);
/* listen() of one: first or again. */
int own_listen_taken(const struct fdref *r, int backlog);
int own_setsockopt(const struct fdref *r, int level, int name, const void *val, socklen_t len);
/* The placeholder answers, once it has all options. */
int own_getsockopt(const struct fdref *r, int level, int name, void *val, socklen_t *len);
/* O_NONBLOCK, remembered. */
int own_set_nonblock(const struct fdref *r, bool on);
int own_get_nonblock(const struct fdref *r);

#endif
