/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sockopt_own.c - what getsockopt() gives of the descriptor, and of a connection what the engine does not count as an option.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getcpu(), struct ip6_mtuinfo */
#endif
#include "shim/sockopt.h"
#include "shim/notice.h"

#include <asm/socket.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>

int sockopt_answer(const struct own_answer *a, void *val, socklen_t *len)
{
	if (a->rc)
		return a->rc;
	if (((int)*len < 0 && !a->any_length) || (a->whole && *len > a->size))
		return -EINVAL;
	if (*len > a->size)
		*len = a->size;
	memcpy(val, a->val, *len);
	return 0;
}

static bool is_int(struct own_answer *a, int value)
{
	a->size = sizeof(value);
	memcpy(a->val, &value, sizeof(value));
	return true;
}

static bool peername(struct sock *s, struct own_answer *a)
{
	struct endpoint peer;

	a->size = sizeof(a->val);
	a->whole = true;
	a->rc = engine_peername(s->conn, &peer);
	if (!a->rc)
		a->rc = addr_write(s->family, &peer, (struct sockaddr *)a->val, &a->size);
	return true;
}

/* What the buffers hold; that there is memory beside them is not told. */
static bool meminfo(struct sock *s, struct own_answer *a)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t size = sizeof(int);
	struct engine *e = rt.stacks[atomic_load(&s->stack)]->engine;

	info[SK_MEMINFO_RMEM_ALLOC] = engine_inq(s->conn);
	info[SK_MEMINFO_WMEM_QUEUED] = engine_outq(s->conn);
	engine_getsockopt(e, s->conn, SOL_SOCKET, SO_RCVBUF, &info[SK_MEMINFO_RCVBUF], &size, 0);
	engine_getsockopt(e, s->conn, SOL_SOCKET, SO_SNDBUF, &info[SK_MEMINFO_SNDBUF], &size, 0);
	a->size = sizeof(info);
	memcpy(a->val, info, sizeof(info));
	return true;
}

static int pending_error(struct sock *s)
{
	int error = atomic_exchange(&s->error, 0);

	return error ? error : engine_error(s->conn);
}

static bool of_socket(struct sock *s, int name, struct own_answer *a)
{
	switch (name) {
	case SO_TYPE:
		return is_int(a, SOCK_STREAM);
	case SO_DOMAIN:
		return is_int(a, s->family);
	case SO_PROTOCOL:
		return is_int(a, IPPROTO_TCP);
	case SO_ACCEPTCONN:
		return is_int(a, engine_state(s->conn) == TCP_LISTEN);
	case SO_ERROR:
		return is_int(a, pending_error(s));
	case SO_PEERNAME:
		return peername(s, a);
	case SO_MEMINFO:
		return meminfo(s, a);
	case SO_INCOMING_CPU:
		/* Whoever asks drives the stack, and so takes in what comes. */
		return atomic_load(&s->phase) == PHASE_CONNECTED && is_int(a, sched_getcpu());
	default:
		return false;
	}
}

/* Of a connected socket only; else the placeholder says the same. */
static bool path_mtu(struct sock *s, struct own_answer *a, bool whole)
{
	struct ip6_mtuinfo info = {0};
	socklen_t size = sizeof(info.ip6m_mtu);
	struct engine *e = rt.stacks[atomic_load(&s->stack)]->engine;

	if (engine_getsockopt(e, s->conn, IPPROTO_IP, IP_MTU, &info.ip6m_mtu, &size, 0))
		return false;
	if (!whole)
		return is_int(a, (int)info.ip6m_mtu);
	a->rc = a->size < sizeof(info) ? -EINVAL : 0;
	a->size = sizeof(info);
	memcpy(a->val, &info, sizeof(info));
	return true;
}

/* do_ipv6_getsockopt(), which takes a negative length for a large one. */
static bool of_ipv6(struct sock *s, int name, struct own_answer *a)
{
	a->any_length = true;
	switch (name) {
	case IPV6_V6ONLY:
		return is_int(a, s->v6only);
	case IPV6_ADDRFORM:
		return engine_state(s->conn) == TCP_ESTABLISHED && is_int(a, s->family);
	case IPV6_MTU:
	case IPV6_PATHMTU:
		return path_mtu(s, a, name == IPV6_PATHMTU);
	default:
		return false;
	}
}

bool sockopt_own(struct sock *s, int level, int name, struct own_answer *a)
{
	if (level == IPPROTO_IPV6)
		return s->family == AF_INET6 && of_ipv6(s, name, a);
	if (notice_get(s, level, name, a->val, &a->size))
		return true;
	return level == SOL_SOCKET && of_socket(s, name, a);
}

/* The beginning of linux/tcp.h's struct tcp_zerocopy_receive; libc's is shorter. */
struct zerocopy_receive {
	uint64_t address;
	uint32_t length, recv_skip_hint, inq;
};

int sockopt_zerocopy_receive(const struct fdref *r, void *val, socklen_t len)
{
	struct zerocopy_receive z = {0};
	unsigned inq;
	usec_t now;
	int err;
	struct stack *st = sock_enter(r, &now, &err);

	if (!st)
		return err;
	inq = engine_inq(sock_of(r)->conn);
	if (engine_state(sock_of(r)->conn) == TCP_LISTEN)
		err = -ENOTCONN;
	else
		err = !inq && (engine_ready(sock_of(r)->conn) & EPOLLRDHUP) ? -EIO : 0;
	stack_leave(st, now);
	if (err)
		return err;
	memcpy(&z, val, len < sizeof(z) ? len : sizeof(z));
	/* No page is mapped: all of it is to be read (tcp_zerocopy_receive() says so of what is not page by page). */
	z.length = 0;
	z.recv_skip_hint = inq;
	z.inq = inq;
	memcpy(val, &z, len < sizeof(z) ? len : sizeof(z));
	return 0;
}
