/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sockopt.c - options and ioctls: those of the call and of the descriptor are served here, those of the connection by the engine,
 * and the rest by the placeholder, which answers as a TCP socket of the kernel does and is not recycled after that.
 */
#include "shim/sockopt.h"
#include "shim/notice.h"

#include <asm/socket.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef SO_RCVTIMEO_NEW
#define SO_RCVTIMEO_NEW 66
#define SO_SNDTIMEO_NEW 67
#endif
/* When the kernel's tick cannot be found out: the usual one. */
#define TICK_US_DEFAULT 4000

/* ---- timeouts of calls --------------------------------------------------------------------------------------------------------
 */

/* The kernel keeps these timeouts in ticks; their length shows in what getsockopt() gives back for the shortest one. */
static usec_t tick_us(void)
{
	static _Atomic usec_t tick;
	struct timeval tv = {.tv_usec = 1};
	socklen_t len = sizeof(tv);
	int fd;

	if (atomic_load(&tick))
		return atomic_load(&tick);
	fd = rt.real->socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || rt.real->setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) ||
	    rt.real->getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len) || tv.tv_usec <= 0)
		tv.tv_usec = TICK_US_DEFAULT;
	if (fd >= 0)
		rt.real->close(fd);
	atomic_store(&tick, (usec_t)tv.tv_usec);
	return (usec_t)tv.tv_usec;
}

/* Which timeout an option sets, of enum sock_timeout; -1: none. */
static int timeout_of(int level, int name)
{
	if (level != SOL_SOCKET)
		return -1;
	if (name == SO_RCVTIMEO || name == SO_RCVTIMEO_NEW)
		return TIMEOUT_RCV;
	if (name == SO_SNDTIMEO || name == SO_SNDTIMEO_NEW)
		return TIMEOUT_SND;
	return -1;
}

static int timeout_set(_Atomic usec_t *field, const void *val, socklen_t len)
{
	usec_t tick = tick_us();
	struct timeval tv;

	if (len < sizeof(tv))
		return -EINVAL;
	memcpy(&tv, val, sizeof(tv));
	if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
		return -EDOM;
	/* Negative: the call gives up at once.  One microsecond is not a multiple of the tick and reads back as 0, as it does on
	 * Linux. */
	if (tv.tv_sec < 0)
		atomic_store(field, 1);
	else if (tv.tv_sec > INT32_MAX)
		atomic_store(field, 0);
	else
		atomic_store(field, (usec_t)tv.tv_sec * 1000000 + ((usec_t)tv.tv_usec + tick - 1) / tick * tick);
	return 0;
}

static int timeout_get(const _Atomic usec_t *field, void *val, socklen_t *len)
{
	usec_t us = atomic_load(field), tick = tick_us();
	struct timeval tv = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000 / tick * tick)};
	struct own_answer a = {.size = sizeof(tv)};

	memcpy(a.val, &tv, sizeof(tv));
	return sockopt_answer(&a, val, len);
}

/* ---- set ----------------------------------------------------------------------------------------------------------------------
 */

/* In the connection that the socket has in that stack. */
static int engine_set(struct sock *s, unsigned stack, const struct early_opt *o, const void *val)
{
	struct stack *st = rt.stacks[stack];
	struct conn *c;
	usec_t now;
	int rc = 0;

	if (!stack_enter(st, &now))
		return -EAGAIN;
	c = sock_conn_in(s, stack);
	if (c)
		rc = engine_setsockopt(st->engine, c, o->level, o->name, val, o->len, now);
	stack_leave(st, now);
	return rc;
}

/*
 * What a placeholder would agree to although nobody keeps the promise, and what it would refuse for not being connected.  A value
 * that is too short it may judge.
 */
static int refused(struct sock *s, int level, int name, socklen_t len)
{
	if (level != IPPROTO_TCP)
		return 0;
	switch (name) {
	case TCP_ULP:
		/* As a kernel without the module: its TLS is for its own connections. */
		return len ? -ENOENT : 0;
	case TCP_QUEUE_SEQ:
		return len >= sizeof(int) && engine_state(s->conn) != TCP_CLOSE ? -EPERM : 0;
	case TCP_REPAIR:
		return len >= sizeof(int) ? -ENOPROTOOPT : 0;
	case TCP_MD5SIG:
	case TCP_MD5SIG_EXT:
		return len >= sizeof(struct tcp_md5sig) ? -ENOPROTOOPT : 0;
	default:
		return 0;
	}
}

/* In all connections that the socket has. */
static int engine_set_all(struct sock *s, const struct early_opt *o, const void *val)
{
	unsigned home = atomic_load(&s->stack);
	int rc = engine_set(s, home, o, val);

	for (unsigned i = 0; atomic_load(&s->spread) && !rc && i < rt.nstacks; i++)
		if (i != home)
			rc = engine_set(s, i, o, val);
	return rc;
}

int sockopt_engine(struct sock *s, int level, int name, const void *val, socklen_t len)
{
	const struct early_opt o = {.level = level, .name = name, .len = len};

	return engine_set_all(s, &o, val);
}

/* The call needs it at each receive: keep what the engine made of it. */
static void note_rcvlowat(struct sock *s)
{
	struct stack *st = rt.stacks[atomic_load(&s->stack)];
	int lowat = 1;
	socklen_t len = sizeof(lowat);
	usec_t now;

	if (!stack_enter(st, &now))
		return;
	if (!engine_getsockopt(st->engine, s->conn, SOL_SOCKET, SO_RCVLOWAT, &lowat, &len, now))
		atomic_store(&s->rcvlowat, (uint32_t)lowat);
	stack_leave(st, now);
}

static int v6only_set(struct sock *s, const void *val, socklen_t len)
{
	struct stack *st = rt.stacks[atomic_load(&s->stack)];
	struct endpoint local = {0};
	usec_t now;
	int on;

	if (len < sizeof(on))
		return -EINVAL;
	memcpy(&on, val, sizeof(on));
	if (!stack_enter(st, &now))
		return -EAGAIN;
	engine_sockname(s->conn, &local);
	stack_leave(st, now);
	/* Too late once it has a port (ipv6(7)). */
	if (local.port)
		return -EINVAL;
	s->v6only = on != 0;
	return 0;
}

static bool may_administer_net(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	return rt.real->syscall(SYS_capget, &head, data) == 0 && (data[0].effective & 1u << CAP_NET_ADMIN);
}

/* tcp(7): without privilege only what net.ipv4.tcp_allowed_congestion_control names. */
static bool congestion_denied(struct sock *s, const void *val, socklen_t len)
{
	struct stack *st = rt.stacks[atomic_load(&s->stack)];
	bool restricted;
	usec_t now;

	if (!stack_enter(st, &now))
		return false;
	restricted = engine_congestion_restricted(st->engine, s->conn, val, len);
	stack_leave(st, now);
	return restricted && !may_administer_net();
}

int sockopt_set(struct sock *s, int fd, int level, int name, const void *val, socklen_t len)
{
	const struct early_opt o = {.level = level, .name = name, .len = len};
	int timeout = timeout_of(level, name);
	int rc;

	if ((int)len < 0)
		return -EINVAL;
	if (!val && len)
		return -EFAULT;
	if (timeout >= 0)
		return timeout_set(&sock_set_rare(s)->timeout[timeout], val, len);
	if (level == IPPROTO_IPV6 && s->family != AF_INET6)
		return -ENOPROTOOPT;
	if (level == IPPROTO_IPV6 && name == IPV6_V6ONLY)
		return v6only_set(s, val, len);
	if (level == IPPROTO_TCP && name == TCP_CONGESTION && congestion_denied(s, val, len))
		return -EPERM;
	rc = notice_set(s, fd, level, name, val, len);
	if (rc != -ENOPROTOOPT)
		return rc;
	rc = engine_set_all(s, &o, val);
	if (level == SOL_SOCKET && name == SO_RCVLOWAT && !rc)
		note_rcvlowat(s);
	if (level == SOL_SOCKET && name == SO_LINGER && !rc)
		atomic_store(&s->lingers, true);
	if (rc != -ENOPROTOOPT || fd < 0)
		return rc;
	rc = refused(s, level, name, len);
	if (rc)
		return rc;
	atomic_store(&s->dirty, true);
	rc = rt.thin->placeholder_own(fd);
	if (rc)
		return rc;
	if (rt.real->setsockopt(fd, level, name, val, len))
		return -errno;
	if (level == SOL_SOCKET && name == SO_PEEK_OFF)
		notice_peek_off(s, val);
	if (level == IPPROTO_IPV6 && name == IPV6_RECVERR)
		notice_recverr6(s, val);
	return 0;
}

int sock_setsockopt(const struct fdref *r, int level, int name, const void *val, socklen_t len)
{
	struct sock *s = sock_of(r);
	usec_t now;
	int rc;
	struct stack *st = sock_enter(r, &now, &rc);

	if (!st)
		return rc;
	stack_settle(st, now);
	stack_leave(st, now);
	/* Several connections and the placeholder may be concerned: the socket must stay what it is meanwhile. */
	if (!hold_more(s, r->gen))
		return -EBADF;
	rc = sockopt_set(s, r->fd, level, name, val, len);
	sock_unhold(s);
	return rc;
}

/* ---- get ----------------------------------------------------------------------------------------------------------------------
 */

int sock_getsockopt(const struct fdref *r, int level, int name, void *val, socklen_t *len)
{
	struct sock *s = sock_of(r);
	int timeout = timeout_of(level, name);
	struct own_answer own = {.size = len ? *len : 0};
	int rc;
	bool is_own;
	usec_t now;
	struct stack *st = sock_enter(r, &now, &rc);

	if (!st)
		return rc;
	rc = !len || (!val && *len) ? -EFAULT : level == SOL_SOCKET && (int)*len < 0 ? -EINVAL : -ENOPROTOOPT;
	is_own = sockopt_own(s, level, name, &own);
	/* Who looks at the connection is to see what has been done for it as sent. */
	if (level == IPPROTO_TCP && name == TCP_INFO)
		stack_settle(st, now);
	if (rc == -ENOPROTOOPT && !is_own && timeout < 0 && (level != IPPROTO_IPV6 || s->family == AF_INET6))
		rc = engine_getsockopt(st->engine, s->conn, level, name, val, len, now);
	stack_leave(st, now);
	if (rc != -ENOPROTOOPT)
		return rc;
	if (timeout >= 0)
		return timeout_get(&sock_rare(s)->timeout[timeout], val, len);
	if (is_own)
		return sockopt_answer(&own, val, len);
	if (level == SOL_SOCKET && name == SO_COOKIE && (rc = rt.thin->placeholder_own(r->fd)))
		return rc;
	if (rt.real->getsockopt(r->fd, level, name, val, len))
		return -errno;
	return level == IPPROTO_TCP && name == TCP_ZEROCOPY_RECEIVE ? sockopt_zerocopy_receive(r, val, *len) : 0;
}

/* ---- the options that a successor inherits ------------------------------------------------------------------------------------
 */

static const struct {
	int level, name;
	bool doubled; /* set doubles what get gives (socket(7)) */
} inherited[] = {
    {SOL_SOCKET, SO_REUSEADDR, false},
    {SOL_SOCKET, SO_REUSEPORT, false},
    {SOL_SOCKET, SO_KEEPALIVE, false},
    {SOL_SOCKET, SO_LINGER, false},
    {SOL_SOCKET, SO_RCVBUF, true},
    {SOL_SOCKET, SO_SNDBUF, true},
    {SOL_SOCKET, SO_RCVLOWAT, false},
    {SOL_SOCKET, SO_OOBINLINE, false},
    {SOL_SOCKET, SO_TIMESTAMP, false},
    {IPPROTO_TCP, TCP_NODELAY, false},
    {IPPROTO_TCP, TCP_CORK, false},
    {IPPROTO_TCP, TCP_KEEPIDLE, false},
    {IPPROTO_TCP, TCP_KEEPINTVL, false},
    {IPPROTO_TCP, TCP_KEEPCNT, false},
    {IPPROTO_TCP, TCP_SYNCNT, false},
    {IPPROTO_TCP, TCP_LINGER2, false},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, false},
    {IPPROTO_TCP, TCP_WINDOW_CLAMP, false},
    {IPPROTO_TCP, TCP_MAXSEG, false},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, false},
    {IPPROTO_TCP, TCP_CONGESTION, false},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, false},
    {IPPROTO_TCP, TCP_FASTOPEN, false},
    {IPPROTO_TCP, TCP_FASTOPEN_CONNECT, false},
    {IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, false},
    {IPPROTO_TCP, TCP_FASTOPEN_KEY, false},
    {IPPROTO_TCP, TCP_SAVE_SYN, false},
    {IPPROTO_IP, IP_TOS, false},
    {IPPROTO_IP, IP_TTL, false},
    {IPPROTO_IP, IP_RECVERR, false},
};
_Static_assert(sizeof(inherited) / sizeof(inherited[0]) == KEPT_OPTIONS, "room for each");

void sockopt_keep(struct stack *st, struct conn *c, struct kept_options *kept, usec_t now)
{
	memset(kept, 0, sizeof(*kept));
	for (unsigned i = 0; i < KEPT_OPTIONS; i++) {
		kept->opt[i].len = sizeof(kept->opt[i].val);
		if (engine_getsockopt(st->engine, c, inherited[i].level, inherited[i].name, kept->opt[i].val, &kept->opt[i].len,
				      now))
			kept->opt[i].len = 0;
	}
}

void sockopt_give(struct stack *st, struct conn *c, const struct kept_options *kept, usec_t now)
{
	struct kept_options have;
	int n;

	sockopt_keep(st, c, &have, now);
	for (unsigned i = 0; i < KEPT_OPTIONS; i++) {
		const unsigned char *val = kept->opt[i].val;
		socklen_t len = kept->opt[i].len;

		/* Setting a buffer to its default would switch its tuning off: only what differs was set by the user. */
		if (!len || (len == have.opt[i].len && !memcmp(val, have.opt[i].val, len)))
			continue;
		if (inherited[i].doubled) {
			memcpy(&n, val, sizeof(n));
			n /= 2;
			val = (const unsigned char *)&n;
		}
		engine_setsockopt(st->engine, c, inherited[i].level, inherited[i].name, val, len, now);
	}
}

/* ---- ioctl --------------------------------------------------------------------------------------------------------------------
 */

/* The requests about a connection's queues; -ENOTTY: it is another one. Inside the stack. */
static int queue_ioctl(struct conn *c, unsigned long request, int *value)
{
	if (request != FIONREAD && request != SIOCOUTQ && request != SIOCOUTQNSD && request != SIOCATMARK)
		return -ENOTTY;
	/* tcp_ioctl(): a listener has no queues. */
	if (request != SIOCATMARK && engine_state(c) == TCP_LISTEN)
		return -EINVAL;
	if (request == FIONREAD)
		*value = (int)engine_inq(c);
	else if (request == SIOCOUTQ)
		*value = (int)engine_outq(c);
	else if (request == SIOCOUTQNSD)
		*value = (int)engine_outq_unsent(c);
	else
		*value = engine_at_mark(c);
	return 0;
}

int sock_ioctl(const struct fdref *r, unsigned long request, int *value)
{
	struct sock *s = sock_of(r);
	int rc;
	usec_t now;
	struct stack *st = sock_enter(r, &now, &rc);

	if (!st)
		return rc;
	rc = queue_ioctl(s->conn, request, value);
	stack_leave(st, now);
	if (rc != -ENOTTY)
		return rc;
	if (request != FIONBIO)
		return -ENOTTY;
	atomic_store(&s->nonblock, *value != 0);
	return 0;
}
