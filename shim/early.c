/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * early.c - two tables of socket options, as Linux treats them on an unconnected TCP socket (net/core/sock.c, net/ipv4/tcp.c
 * of 6.x).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "early.h"

#include <limits.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/time.h>

#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif

enum value_form { FORM_INT, FORM_LINGER, FORM_TIMEVAL };

/* Accepted whatever else is set, if the value is within these bounds. */
static const struct {
	int level, name;
	enum value_form form;
	int min, max;
} deferrable[] = {
    {SOL_SOCKET, SO_REUSEADDR, FORM_INT, INT_MIN, INT_MAX},
    {SOL_SOCKET, SO_REUSEPORT, FORM_INT, INT_MIN, INT_MAX},
    {SOL_SOCKET, SO_KEEPALIVE, FORM_INT, INT_MIN, INT_MAX},
    {SOL_SOCKET, SO_OOBINLINE, FORM_INT, INT_MIN, INT_MAX},
    {SOL_SOCKET, SO_SNDBUF, FORM_INT, INT_MIN, INT_MAX},
    {SOL_SOCKET, SO_RCVBUF, FORM_INT, INT_MIN, INT_MAX},
    {SOL_SOCKET, SO_LINGER, FORM_LINGER, 0, 0},
    {SOL_SOCKET, SO_RCVTIMEO, FORM_TIMEVAL, 0, 0},
    {SOL_SOCKET, SO_SNDTIMEO, FORM_TIMEVAL, 0, 0},
    {IPPROTO_TCP, TCP_NODELAY, FORM_INT, INT_MIN, INT_MAX},
    {IPPROTO_TCP, TCP_CORK, FORM_INT, INT_MIN, INT_MAX},
    {IPPROTO_TCP, TCP_QUICKACK, FORM_INT, INT_MIN, INT_MAX},
    {IPPROTO_TCP, TCP_DEFER_ACCEPT, FORM_INT, INT_MIN, INT_MAX},
    {IPPROTO_TCP, TCP_LINGER2, FORM_INT, INT_MIN, INT_MAX},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, FORM_INT, 0, INT_MAX},
    {IPPROTO_TCP, TCP_KEEPIDLE, FORM_INT, 1, 32767},
    {IPPROTO_TCP, TCP_KEEPINTVL, FORM_INT, 1, 32767},
    {IPPROTO_TCP, TCP_KEEPCNT, FORM_INT, 1, 127},
    {IPPROTO_TCP, TCP_SYNCNT, FORM_INT, 1, 127},
    {IPPROTO_IPV6, IPV6_V6ONLY, FORM_INT, INT_MIN, INT_MAX},
};

static const struct {
	int level, name;
} kernel_only[] = {
    {SOL_SOCKET, SO_BINDTODEVICE},
    {SOL_SOCKET, SO_ATTACH_FILTER},
    {SOL_SOCKET, SO_ATTACH_BPF},
    {SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF},
    {SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF},
    {IPPROTO_TCP, TCP_MD5SIG},
    {IPPROTO_TCP, TCP_MD5SIG_EXT},
    {IPPROTO_TCP, TCP_REPAIR},
    {IPPROTO_TCP, TCP_ULP},
    {IPPROTO_IP, IP_TRANSPARENT},
    {IPPROTO_IPV6, IPV6_TRANSPARENT},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* sock_set_timeout(): EDOM unless the microseconds are less than a second. */
static bool timeval_valid(const struct early_opt *o)
{
	struct timeval tv;

	if (o->len < sizeof(tv))
		return false;
	memcpy(&tv, o->val, sizeof(tv));
	return tv.tv_usec >= 0 && tv.tv_usec < 1000000;
}

static bool int_within(const struct early_opt *o, int min, int max)
{
	int v;

	if (o->len < sizeof(v))
		return false;
	memcpy(&v, o->val, sizeof(v));
	return v >= min && v <= max;
}

bool early_deferrable(const struct early_opt *o, const void *val, bool unbound_v6)
{
	if (!val || o->len > sizeof(o->val) || (o->level == IPPROTO_IPV6 && !unbound_v6))
		return false;
	for (unsigned i = 0; i < COUNT(deferrable); i++) {
		if (deferrable[i].level != o->level || deferrable[i].name != o->name)
			continue;
		switch (deferrable[i].form) {
		case FORM_INT:
			return int_within(o, deferrable[i].min, deferrable[i].max);
		case FORM_LINGER:
			return o->len >= sizeof(struct linger);
		case FORM_TIMEVAL:
			return timeval_valid(o);
		}
	}
	return false;
}

bool early_kernel_only(int level, int name)
{
	for (unsigned i = 0; i < COUNT(kernel_only); i++)
		if (kernel_only[i].level == level && kernel_only[i].name == name)
			return true;
	return false;
}
