/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmsg.c - see cmsg.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "cmsg.h"

#include "user.h"

#include <errno.h>
#include <limits.h>
#include <linux/tcp.h>
#include <string.h>
#include <sys/time.h>

/* asm/socket.h has these, and much that libc has too. */
#ifndef SO_TIMESTAMP_NEW
#define SO_TIMESTAMP_NEW 63
#define SO_TIMESTAMPNS_NEW 64
#define SO_TIMESTAMPING_NEW 65
#endif
#define TIMESTAMP_OLD 29
#define TIMESTAMPNS_OLD 35
#define TIMESTAMPING_OLD 37
/* SOF_TIMESTAMPING_TX_RECORD_MASK, of linux/net_tstamp.h: what a single call may ask for. */
#define TX_RECORD 0x383u

/* ---- sending ------------------------------------------------------------------------------------------------------------------
 */

/* One of SOL_SOCKET. */
static int check_one(const struct cmsghdr *c)
{
	uint32_t value = 0;

	switch (c->cmsg_type) {
	case SCM_RIGHTS:
	case SCM_CREDENTIALS:
		/* They mean nothing to TCP. */
		return 0;
	case TIMESTAMPING_OLD:
	case SO_TIMESTAMPING_NEW:
	case SO_MARK:
		if (c->cmsg_len != CMSG_LEN(sizeof(value)))
			return -EINVAL;
		memcpy(&value, CMSG_DATA(c), sizeof(value));
		return c->cmsg_type != SO_MARK && (value & ~TX_RECORD) ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

int cmsg_check(const struct msghdr *msg)
{
	int rc = 0;

	if (msg->msg_controllen > INT_MAX)
		return -ENOBUFS;
	if (!msg->msg_controllen)
		return 0;
	if (user_readable(msg->msg_control, msg->msg_controllen))
		return -EFAULT;
	/* Messages of other levels are not ours to judge. */
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c && !rc; c = CMSG_NXTHDR((struct msghdr *)msg, c)) {
		size_t offset = (size_t)((char *)c - (char *)msg->msg_control);

		if (c->cmsg_len < sizeof(*c) || c->cmsg_len > msg->msg_controllen - offset)
			return -EINVAL;
		rc = c->cmsg_level == SOL_SOCKET ? check_one(c) : 0;
	}
	return rc;
}

/* ---- receiving ----------------------------------------------------------------------------------------------------------------
 */

/* What is left of the control buffer. */
struct room {
	char *at;
	size_t left;
	int flags;
};

/* As put_cmsg(). */
static void put(struct room *r, int level, int type, const void *data, size_t size)
{
	struct {
		struct cmsghdr head;
		char data[3 * sizeof(struct timespec)]; /* the largest: SCM_TIMESTAMPING */
	} message = {.head = {.cmsg_level = level, .cmsg_type = type}};
	size_t len = CMSG_LEN(size), step = CMSG_SPACE(size);

	if (!r->at || r->left < sizeof(message.head)) {
		r->flags |= MSG_CTRUNC;
		return;
	}
	if (len > r->left) {
		r->flags |= MSG_CTRUNC;
		len = r->left;
	}
	message.head.cmsg_len = len;
	memcpy(message.data, data, size);
	if (user_copy(r->at, &message, len))
		return;
	step = step < r->left ? step : r->left;
	r->at += step;
	r->left -= step;
}

static void put_stamp(struct room *r, const struct recv_extra *x)
{
	struct timeval tv = {.tv_sec = x->stamp.tv_sec, .tv_usec = x->stamp.tv_nsec / 1000};
	bool is_new = x->asked & NOTICE_STAMP_NEW;

	if (x->asked & NOTICE_STAMP_NS)
		put(r, SOL_SOCKET, is_new ? SO_TIMESTAMPNS_NEW : TIMESTAMPNS_OLD, &x->stamp, sizeof(x->stamp));
	else
		put(r, SOL_SOCKET, is_new ? SO_TIMESTAMP_NEW : TIMESTAMP_OLD, &tv, sizeof(tv));
}

/* ip_recv_error(), ipv6_recv_error(): the error, and who reported it. */
static void put_error(struct room *r, const struct recv_extra *x)
{
	struct {
		struct sock_extended_err error;
		union recv_name offender;
	} what = {.error = x->error, .offender = x->offender};

	if (x->family == AF_INET)
		put(r, IPPROTO_IP, IP_RECVERR, &what, sizeof(what.error) + sizeof(what.offender.in));
	else
		put(r, IPPROTO_IPV6, IPV6_RECVERR, &what, sizeof(what.error) + sizeof(what.offender.in6));
}

void cmsg_write(struct msghdr *msg, const struct recv_extra *x)
{
	struct room r = {msg->msg_control, msg->msg_controllen, 0};
	struct timespec stamps[3] = {x->stamp};

	if (x->has_stamp && (x->asked & NOTICE_STAMP))
		put_stamp(&r, x);
	if (x->has_stamp && (x->asked & NOTICE_STAMPING))
		put(&r, SOL_SOCKET, x->asked & NOTICE_STAMP_NEW ? SO_TIMESTAMPING_NEW : TIMESTAMPING_OLD, stamps, sizeof(stamps));
	if (x->has_inq)
		put(&r, IPPROTO_TCP, TCP_CM_INQ, &x->inq, sizeof(x->inq));
	if (x->has_error)
		put_error(&r, x);
	msg->msg_flags |= r.flags | (x->has_error ? MSG_ERRQUEUE : 0);
	msg->msg_controllen -= r.left;
}
