/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notice.c - see notice.h.  The engine copies what is sent before the call returns, so a send with MSG_ZEROCOPY is complete at
 * once, and says that it was copied (SO_EE_CODE_ZEROCOPY_COPIED), as Linux does where it has to copy (on loopback, and towards
 * a device that cannot gather).  Linux merges completions that follow each other; here all do: the queue is one range.  ICMP
 * errors the engine keeps; they are of a time before the connection, and come first.
 */
#include "shim/notice.h"

#include <errno.h>
#include <string.h>
#include <time.h>

_Static_assert(RECV_QUOTE_MAX >= ENGINE_ICMP_QUOTE_MAX, "there is room for what the engine keeps of a packet");

/* ---- receiving ----------------------------------------------------------------------------------------------------------------
 */

/* sk_peek_offset_fwd() and _bwd(): a look moves on, what is taken off the queue brings it back. */
static void move_peek(struct sock *s, ssize_t got, int flags)
{
	int at = atomic_load(&s->peek_off);

	if (flags & MSG_PEEK)
		atomic_store(&s->peek_off, at < 0 ? at : at + (int)got);
	else
		atomic_store(&s->peek_off, at <= 0 ? at : at > got ? at - (int)got : 0);
}

void notice_received(struct stack *st, struct sock *s, ssize_t got, int flags)
{
	if (got <= 0 || (flags & MSG_OOB))
		return;
	sock_set_rare(s)->recv_at = engine_recv_at(st->engine);
	if (atomic_load(&s->notices) & NOTICE_PEEK_OFF)
		move_peek(s, got, flags);
}

void notice_peek_off(struct sock *s, const void *val)
{
	int at;

	memcpy(&at, val, sizeof(at));
	atomic_store(&s->peek_off, at);
	atomic_fetch_or(&s->notices, NOTICE_PEEK_OFF);
}

/* From the engine's clock to that of the host. */
static struct timespec realtime_of(usec_t at, usec_t now)
{
	struct timespec ts;
	int64_t ns;

	clock_gettime(CLOCK_REALTIME, &ts);
	ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec - (int64_t)(now - at) * 1000;
	return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

/* Linux's tcp_inq_hint(): at the end of the stream 1, lest the user wait for more. */
static int inq_hint(struct conn *c)
{
	int inq = (int)engine_inq(c);

	return !inq && (engine_ready(c) & EPOLLRDHUP) ? 1 : inq;
}

static ssize_t told(const struct fdref *r, ssize_t n, struct recv_extra *x)
{
	struct sock *s = sock_of(r);
	usec_t now;
	int err;
	struct stack *st = sock_enter(r, &now, &err);

	if (!st)
		return n;
	x->has_inq = x->asked & NOTICE_INQ;
	x->inq = inq_hint(s->conn);
	x->has_stamp = n > 0 && sock_rare(s)->recv_at;
	if (x->has_stamp)
		x->stamp = realtime_of(sock_rare(s)->recv_at, now);
	stack_leave(st, now);
	return n;
}

/* The error that ended an attempt to connect: 0 bytes of quote or more, -EAGAIN: none. */
static ssize_t take_icmp(struct stack *st, struct sock *s, struct recv_extra *x)
{
	struct engine_icmp_error icmp;
	socklen_t len = sizeof(x->offender);

	if (!engine_take_icmp_error(st->engine, s->conn, &icmp))
		return -EAGAIN;
	x->error = (struct sock_extended_err){.ee_errno = icmp.err,
					      .ee_origin = SO_EE_ORIGIN_ICMP,
					      .ee_type = icmp.type,
					      .ee_code = icmp.code,
					      .ee_info = icmp.info};
	addr_write(s->family, &(struct endpoint){.addr = icmp.offender}, &x->offender.sa, &len);
	x->to_len = sizeof(x->to);
	addr_write(s->family, &icmp.to, &x->to.sa, &x->to_len);
	memcpy(x->quote, icmp.quote, icmp.len);
	return icmp.len;
}

static ssize_t take_completions(struct stack *st, struct sock *s, struct recv_extra *x)
{
	struct sock_rare *rare = sock_set_rare(s);

	if (rare->zc_first == rare->zc_next)
		return -EAGAIN;
	x->error = (struct sock_extended_err){.ee_origin = SO_EE_ORIGIN_ZEROCOPY,
					      .ee_code = SO_EE_CODE_ZEROCOPY_COPIED,
					      .ee_info = rare->zc_first,
					      .ee_data = rare->zc_next - 1};
	memset(&x->offender, 0, sizeof(x->offender));
	x->to_len = 0;
	rare->zc_first = rare->zc_next;
	engine_set_notices(st->engine, s->conn, false);
	return 0;
}

/* ip_recv_error(): the oldest entry, whose time stamp is that of the question where there is no better. */
static ssize_t recv_error(const struct fdref *r, struct recv_extra *x)
{
	struct sock *s = sock_of(r);
	usec_t now;
	ssize_t n;
	int err;
	struct stack *st = sock_enter(r, &now, &err);

	if (!st)
		return err;
	n = take_icmp(st, s, x);
	if (n < 0)
		n = take_completions(st, s, x);
	stack_leave(st, now);
	if (n < 0)
		return n;
	x->has_error = true;
	x->has_stamp = x->asked & NOTICE_STAMP;
	clock_gettime(CLOCK_REALTIME, &x->stamp);
	return n;
}

ssize_t notice_recvmsg(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags, struct recv_extra *x)
{
	struct sock *s = sock_of(r);
	ssize_t n;

	x->asked = atomic_load_explicit(&s->notices, memory_order_relaxed);
	x->family = s->family;
	if (flags & MSG_ERRQUEUE)
		return recv_error(r, x);
	n = sock_recv(r, iov, iovcnt, flags);
	return n >= 0 && x->asked && !(flags & MSG_OOB) ? told(r, n, x) : n;
}

void notice_recverr6(struct sock *s, const void *val)
{
	struct stack *st = rt.stacks[atomic_load(&s->stack)];
	usec_t now;
	int on;

	memcpy(&on, val, sizeof(on));
	if (on || !stack_enter(st, &now))
		return;
	engine_drop_icmp_errors(st->engine, s->conn);
	stack_leave(st, now);
}

/* ---- MSG_ZEROCOPY -------------------------------------------------------------------------------------------------------------
 */

void notice_sent(const struct fdref *r, ssize_t n)
{
	struct sock *s = sock_of(r);
	struct stack *st;
	usec_t now;
	int err;

	/* Of nothing sent there is nothing to tell. */
	if (n <= 0 || !(atomic_load(&s->notices) & NOTICE_ZEROCOPY))
		return;
	st = sock_enter(r, &now, &err);
	if (!st)
		return;
	sock_set_rare(s)->zc_next++;
	engine_set_notices(st->engine, s->conn, true);
	stack_leave(st, now);
}

void notice_inherit(struct sock *child, const struct sock *listener)
{
	atomic_store(&child->notices, atomic_load(&listener->notices));
	atomic_store(&sock_set_rare(child)->tsflags, atomic_load(&sock_rare(listener)->tsflags));
	atomic_store(&sock_set_rare(child)->bind_phc, atomic_load(&sock_rare(listener)->bind_phc));
	atomic_store(&child->peek_off, atomic_load(&listener->peek_off));
}
