/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * birth.h - the birth of a relay (relay.h): a fork() that the program knows nothing of, in the midst of what its other threads
 * do.
 *
 * Until the relay has closed what it was not made for, it has all the program's descriptors too, and so what a thread closes
 * meanwhile is not closed: the kernel goes on reporting it from epoll sets, under a number that may be another file's by then
 * (epoll(7), question 6).  Therefore the relay holds no engine socket but those it is for, and no set of this process asks the
 * kernel for events before the birth is over.
 */
#ifndef SHIM_BIRTH_H
#define SHIM_BIRTH_H

#include <stdbool.h>

/* From here to the end a child that this thread forks, and its children, hold those sockets alone that keeps() picks.  One at a
 * time: others wait.  The end is called here and in the relay. */
void birth_begin(bool (*keeps)(const void *sock));
void birth_end(void);

/* Is this socket shared with the child that is being forked, or that this process is? */
bool birth_shares(const void *sock);
/* Any thread, without locks: until none is under way. */
void birth_await(void);

/* fork(): before, by the thread that forks; in the child, which goes on with a birth that it is part of. */
void birth_fork_prepare(void);
void birth_fork_child(void);

#endif
