/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sigio.h - SIGIO and SIGURG for engine sockets whose descriptor has an owner (fcntl(2): F_SETOWN, F_SETSIG, O_ASYNC).
 *
 * The kernel alone can send these signals as it does: with si_code, si_band and si_fd, to a thread, process or group, if the one
 * who named it may, and SIGIO in their place when the queue is full.  So it is made to.  Owner, signal and O_ASYNC are the
 * placeholder's, which also reports errors; and a copy of them is kept on a `bell`, one end of an AF_UNIX pair that the kernel
 * believes to have the program's descriptor number.  What is done to the other end, the `rope`, makes the kernel signal the rest.
 *
 * A thread of its own watches these sockets in each process that has any.  All others are as they were: nothing is asked of them
 * but one flag when their last descriptor in a process is closed.
 */
#ifndef SHIM_SIGIO_H
#define SHIM_SIGIO_H

#include "shim/hold.h"
#include "shim/sock.h"

/* core_ops: owner, signal or O_ASYNC of this descriptor's placeholder, which is its own, may have changed. */
void sigio_follow(const struct fdref *r);
/* hold_less() for a socket: what is its last hold in this process takes its signals along. */
enum hold_left sigio_hold_less(struct sock *s, uint32_t gen);
/* Events for a watch of kind WATCH_SIGIO.  Under the pollable's lock. */
void sigio_event(struct watch *w, uint32_t events);
/* What the caller does to the socket from here to sigio_heed() is no news to its owner.  Inside its stack. */
void sigio_ignore(struct stack *st, struct sock *s);
void sigio_heed(struct stack *st, struct sock *s);
/* The process ends: no more signals from it. */
void sigio_end(void);

/* fork(); child: belongs: to the parent's family. */
void sigio_fork_prepare(void);
void sigio_fork_parent(void);
void sigio_fork_child(bool belongs);

#endif
