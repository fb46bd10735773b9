/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * placeholder.h - the kernel sockets under engine sockets, and the pool of those that were never used.
 *
 * Every engine socket keeps a real kernel TCP socket so that its number, its inode and a way back to the kernel exist.  A kernel
 * socket takes 3.6 KB, so connections share one per family (FD_SHARED) until somebody wants to do something with it: it is
 * never bound, connected or set, and whoever wants to calls placeholder_use() first, which puts an own one under the number.
 *
 * One that carries no state of its own is kept when the application closes it (FD_SPARE: closed as far as the application can
 * tell), and serves the next socket() or accept() without a system call.  Kept are at most POOL_MAX and a quarter of
 * RLIMIT_NOFILE; lowest number first, among those that threads of the same shard (shard.h) have closed.
 *
 * Threads: all of it is lock-free and may run in a signal handler.  Errors: -errno.
 */
#ifndef SHIM_PLACEHOLDER_H
#define SHIM_PLACEHOLDER_H

#include <stdbool.h>

#define POOL_MAX 8192

/* What a placeholder is wanted for. */
enum placeholder_use {
	PLACEHOLDER_ANY,
	PLACEHOLDER_OWN /* the kernel will probably get it: shared it would have to be renewed */
};

/* A TCP socket of this family (AF_INET, AF_INET6), with flags 0 or SOCK_CLOEXEC; FD_KERNEL still.  -EMFILE, -ENFILE, -ENOMEM, ...
 */
int placeholder_get(int family, int flags, enum placeholder_use use);
/*
 * The kernel socket under this number (FRESH or of the engine) is about to be changed, or to be told from others: from now on it
 * is this number's alone, and not recycled.  -EMFILE, ...: nothing happened.
 */
int placeholder_own(int fd);
/* The opposite.  pristine, and FD_POOLABLE in its traits: may be kept; else it is closed. */
void placeholder_put(int fd, bool pristine);
/* Put a new, unbound socket in the place of one that is in use: a bound one cannot be unbound.  -errno: it is as it was. */
int placeholder_renew(int fd);
/* Close all that are kept, as room for new descriptors is needed.  True if any was closed. */
bool placeholder_drain(void);
/* The application wants this very number (dup2): true if it was in the pool, and is the caller's now. */
bool placeholder_claim(int fd);
/* How many are kept. */
unsigned placeholder_count(void);
/*
 * Another process is about to share all descriptors (fork): no placeholder in use may be recycled later, as what the one process
 * does to it the other would see.  Undecided sockets get their own, that both processes know.
 */
void placeholder_fork_prepare(void);
/* In the child: close what is kept, end what other threads of the parent were about to do. */
void placeholder_fork_child(void);

/* Make a descriptor the shim's own: moved to a high number, close-on-exec, FD_PRIVATE.  The new number, or -errno and fd as it
 * was. */
int private_fd(int fd);
void private_fd_close(int fd);

#endif
