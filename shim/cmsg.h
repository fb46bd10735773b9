/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmsg.h - control messages of engine sockets, in the application's memory: those that recvmsg() gives, those that sendmsg()
 * takes.
 */
#ifndef SHIM_CMSG_H
#define SHIM_CMSG_H

#include "core.h"

/* What msg asks to be sent with the data, judged as sock_cmsg_send() does: 0, -EINVAL, -EFAULT, -ENOBUFS. */
int cmsg_check(const struct msghdr *msg);
/*
 * Write what x has into the application's msg, which is writable: the messages, msg_controllen, the flags beside those that
 * msg_flags has already.  What has no room is cut, with MSG_CTRUNC; a control buffer that is not there stays empty (put_cmsg()).
 */
void cmsg_write(struct msghdr *msg, const struct recv_extra *x);

#endif
