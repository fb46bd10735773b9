/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notice.h - what a socket tells its user beside data: control messages that were asked for, and the error queue, which holds
 * the completions of MSG_ZEROCOPY and the ICMP errors that ended attempts to connect.  Sockets of which nothing was asked have
 * sock.notices 0, and nothing here is called for them but to read that queue.
 */
#ifndef SHIM_NOTICE_H
#define SHIM_NOTICE_H

#include "shim/sock.h"

/* core_ops.recvmsg, see core.h. */
ssize_t notice_recvmsg(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags, struct recv_extra *x);
/* A call with MSG_ZEROCOPY, a flag without effect until SO_ZEROCOPY is set, took n bytes, or failed. */
void notice_sent(const struct fdref *r, ssize_t n);
/* Inside the stack, behind an engine_recv() on a socket with notices: got as it returned. */
void notice_received(struct stack *st, struct sock *s, ssize_t got, int flags);
/* SO_PEEK_OFF was set to this int, which Linux takes. */
void notice_peek_off(struct sock *s, const void *val);
/* IPV6_RECVERR was set to this int, for which the placeholder stands; 0 drops the ICMP errors as it does with IP_RECVERR. */
void notice_recverr6(struct sock *s, const void *val);
/* An accepted socket is asked what its listener was (accept(2)). */
void notice_inherit(struct sock *child, const struct sock *listener);

/* These options: -ENOPROTOOPT: it is none of them. */
int notice_set(struct sock *s, int fd, int level, int name, const void *val, socklen_t len);
/* True: *answer, of *size bytes, is what getsockopt() gives. */
bool notice_get(const struct sock *s, int level, int name, void *answer, socklen_t *size);

#endif
