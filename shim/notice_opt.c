/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notice_opt.c - the options by which notices are asked for (notice.h): SO_TIMESTAMP and its kin, SO_TIMESTAMPING, SO_ZEROCOPY,
 * TCP_INQ.  Values and errnos are Linux's sk_setsockopt(), as seen from outside.
 */
#include "shim/notice.h"

#include <asm/socket.h>
#include <errno.h>
#include <linux/net_tstamp.h>
#include <netinet/tcp.h>
#include <string.h>

#ifndef SO_TIMESTAMP_NEW
#define SO_TIMESTAMP_NEW 63
#define SO_TIMESTAMPNS_NEW 64
#define SO_TIMESTAMPING_NEW 65
#endif
#define STAMP_FORM (NOTICE_STAMP | NOTICE_STAMP_NS | NOTICE_STAMP_NEW)
#define OPT_ID_TCP (1 << 16) /* SOF_TIMESTAMPING_OPT_ID_TCP, newer than some headers */

struct timestamping {
	uint32_t flags, bind_phc;
};

/* How SO_TIMESTAMP and its kin want the stamps; 0: not one of them. */
static uint32_t stamp_form(int level, int name)
{
	if (level != SOL_SOCKET)
		return 0;
	switch (name) {
	case SO_TIMESTAMP_OLD:
		return NOTICE_STAMP;
	case SO_TIMESTAMPNS_OLD:
		return NOTICE_STAMP | NOTICE_STAMP_NS;
	case SO_TIMESTAMP_NEW:
		return NOTICE_STAMP | NOTICE_STAMP_NEW;
	case SO_TIMESTAMPNS_NEW:
		return NOTICE_STAMP | NOTICE_STAMP_NS | NOTICE_STAMP_NEW;
	default:
		return 0;
	}
}

static bool is_timestamping(int level, int name)
{
	return level == SOL_SOCKET && (name == SO_TIMESTAMPING_OLD || name == SO_TIMESTAMPING_NEW);
}

/* The bit of an option that is 0 or 1; 0: not one of them. */
static uint32_t switch_of(int level, int name)
{
	if (level == SOL_SOCKET && name == SO_ZEROCOPY)
		return NOTICE_ZEROCOPY;
	return level == IPPROTO_TCP && name == TCP_INQ ? NOTICE_INQ : 0;
}

/* Within the bits of `of`, these. */
static void put_bits(struct sock *s, uint32_t of, uint32_t bits)
{
	atomic_fetch_or(&s->notices, bits);
	atomic_fetch_and(&s->notices, ~(of & ~bits));
}

/* ---- set ----------------------------------------------------------------------------------------------------------------------
 */

/* The engine keeps arrival times from now on, or no longer. */
static int stamp_packets(struct sock *s)
{
	int on = (atomic_load(&s->notices) & (NOTICE_STAMP | NOTICE_RX_SOFTWARE)) != 0;

	return sockopt_engine(s, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof(on));
}

/* The shape remains when it is switched off (__sock_set_timestamps()). */
static int set_stamp(struct sock *s, uint32_t form, int on)
{
	if (on)
		put_bits(s, STAMP_FORM, form);
	else
		put_bits(s, NOTICE_STAMP | NOTICE_STAMP_NS, 0);
	return stamp_packets(s);
}

static bool is_unconnected(struct sock *s)
{
	struct conn *c = atomic_load(&s->conn);

	return engine_state(c) == TCP_CLOSE || engine_state(c) == TCP_LISTEN;
}

/*
 * What this kernel knows of, the placeholder says; but not OPT_ID, which it refuses unless connected (sock_set_timestamping()).
 */
static int set_timestamping(struct sock *s, int fd, int name, const void *val, socklen_t len)
{
	const uint32_t ids = SOF_TIMESTAMPING_OPT_ID | OPT_ID_TCP;
	struct timestamping t = {0}, ask;
	uint32_t bits = name == SO_TIMESTAMPING_NEW ? NOTICE_STAMP_NEW : 0;
	int rc = fd < 0 ? 0 : rt.thin->placeholder_own(fd);

	memcpy(&t, val, len == sizeof(t) ? sizeof(t) : sizeof(t.flags));
	ask = t;
	ask.flags &= ~ids;
	if (!rc && fd >= 0 && rt.real->setsockopt(fd, SOL_SOCKET, name, &ask, sizeof(ask)))
		rc = -errno;
	if (rc)
		return rc;
	if ((t.flags & ids) == OPT_ID_TCP)
		return -EINVAL;
	if ((t.flags & SOF_TIMESTAMPING_OPT_ID) && !(atomic_load(&sock_rare(s)->tsflags) & SOF_TIMESTAMPING_OPT_ID) &&
	    is_unconnected(s))
		return -EINVAL;
	atomic_store(&sock_set_rare(s)->tsflags, t.flags);
	atomic_store(&sock_set_rare(s)->bind_phc, t.bind_phc);
	bits |= t.flags & SOF_TIMESTAMPING_SOFTWARE ? NOTICE_STAMPING : 0;
	bits |= t.flags & SOF_TIMESTAMPING_RX_SOFTWARE ? NOTICE_RX_SOFTWARE : 0;
	put_bits(s, NOTICE_STAMPING | NOTICE_RX_SOFTWARE | NOTICE_STAMP_NEW, bits);
	return stamp_packets(s);
}

int notice_set(struct sock *s, int fd, int level, int name, const void *val, socklen_t len)
{
	uint32_t form = stamp_form(level, name), bit = switch_of(level, name);
	int v;

	if (!form && !bit && !is_timestamping(level, name))
		return -ENOPROTOOPT;
	if (len < sizeof(v))
		return -EINVAL;
	memcpy(&v, val, sizeof(v));
	if (form)
		return set_stamp(s, form, v);
	if (!bit)
		return set_timestamping(s, fd, name, val, len);
	if (v < 0 || v > 1)
		return -EINVAL;
	put_bits(s, bit, v ? bit : 0);
	return 0;
}

/* ---- get ----------------------------------------------------------------------------------------------------------------------
 */

bool notice_get(const struct sock *s, int level, int name, void *answer, socklen_t *size)
{
	uint32_t form = stamp_form(level, name), bit = switch_of(level, name), now = atomic_load(&s->notices);
	struct timestamping t = {atomic_load(&sock_rare(s)->tsflags), atomic_load(&sock_rare(s)->bind_phc)};
	int v;

	/* Where it was never set, Linux has something to say: before 6.9 TCP had none. */
	if (level == SOL_SOCKET && name == SO_PEEK_OFF && (now & NOTICE_PEEK_OFF)) {
		v = atomic_load(&s->peek_off);
		*size = sizeof(v);
		memcpy(answer, &v, sizeof(v));
		return true;
	}
	if (is_timestamping(level, name)) {
		if (name == SO_TIMESTAMPING_NEW && !(now & NOTICE_STAMP_NEW))
			t = (struct timestamping){0};
		*size = sizeof(t);
		memcpy(answer, &t, sizeof(t));
		return true;
	}
	if (!form && !bit)
		return false;
	/* sk_getsockopt() looks for the shorter of the new forms alone. */
	if (form == (NOTICE_STAMP | NOTICE_STAMP_NEW))
		now &= ~NOTICE_STAMP_NS;
	v = bit ? (now & bit) != 0 : (now & STAMP_FORM) == form;
	*size = sizeof(v);
	memcpy(answer, &v, sizeof(v));
	return true;
}
