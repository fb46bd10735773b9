/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * list.h - tells `mtcpshim ls PID` which sockets this process has, who serves each and why.
 *
 * A thread of its own sleeps in accept() on an AF_UNIX socket with an abstract name (unix(7)) of the process's network namespace,
 * and answers the process's own user and root.  There is one in every process that uses the engine.
 */
#ifndef SHIM_LIST_H
#define SHIM_LIST_H

/* abstract name, with the process id as its own namespace knows it */
#define LIST_NAME "mtcpshim-list %d"

/* Start it, unless it runs.  Without it nothing is amiss but the list. */
void list_start(void);
/* In a forked child: it is the parent's. */
void list_forget(void);

#endif
