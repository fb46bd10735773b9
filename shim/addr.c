/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * addr.c - socket addresses to endpoints and back.  An AF_INET6 socket speaks to IPv4 peers under v4-mapped addresses (RFC
 * 3493 3.7).
 */
#include "shim/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

/* sockaddr_in6 without its scope id, which Linux accepts (RFC 2133's). */
#define SIN6_LEN_OLD 24

/* ::ffff:0.0.0.0 is "any" as well. */
static void normalize_any(struct ip_addr *a)
{
	if (ip_is_v4(a) && ip_to_v4(a) == htonl(INADDR_ANY))
		memset(a, 0, sizeof(*a));
}

static int read_v4(const struct sockaddr *sa, socklen_t len, struct endpoint *ep)
{
	struct sockaddr_in in;

	if (len < sizeof(in))
		return -EINVAL;
	memcpy(&in, sa, sizeof(in));
	if (in.sin_family != AF_INET && (in.sin_family != AF_UNSPEC || in.sin_addr.s_addr != htonl(INADDR_ANY)))
		return -EAFNOSUPPORT;
	ep->addr = ip_from_v4(in.sin_addr.s_addr);
	ep->port = ntohs(in.sin_port);
	normalize_any(&ep->addr);
	return 0;
}

static int read_v6(const struct sockaddr *sa, socklen_t len, struct endpoint *ep)
{
	struct sockaddr_in6 in6 = {0};

	if (len < SIN6_LEN_OLD)
		return -EINVAL;
	memcpy(&in6, sa, len < sizeof(in6) ? len : sizeof(in6));
	if (in6.sin6_family != AF_INET6)
		return -EAFNOSUPPORT;
	memcpy(&ep->addr, &in6.sin6_addr, sizeof(ep->addr));
	ep->port = ntohs(in6.sin6_port);
	normalize_any(&ep->addr);
	return 0;
}

int addr_read(int family, const struct sockaddr *sa, socklen_t len, struct endpoint *ep)
{
	/* move_addr_to_kernel() */
	if (len > sizeof(struct sockaddr_storage))
		return -EINVAL;
	if (!sa)
		return -EFAULT;
	return family == AF_INET6 ? read_v6(sa, len, ep) : read_v4(sa, len, ep);
}

int addr_write(int family, const struct endpoint *ep, struct sockaddr *sa, socklen_t *len)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(ep->port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(ep->port)};
	socklen_t full = family == AF_INET6 ? sizeof(in6) : sizeof(in);

	if (!len)
		return -EFAULT;
	if ((int)*len < 0)
		return -EINVAL;
	if (*len && !sa)
		return -EFAULT;
	if (!ip_is_any(&ep->addr))
		in.sin_addr.s_addr = ip_to_v4(&ep->addr);
	memcpy(&in6.sin6_addr, &ep->addr, sizeof(in6.sin6_addr));
	if (*len)
		memcpy(sa, family == AF_INET6 ? (void *)&in6 : (void *)&in, *len < full ? *len : full);
	*len = full;
	return 0;
}

/* Is it so in any of the stacks?  First that of this thread: listeners are in all of them, and the others have their own work. */
static bool any_stack(bool (*is)(struct engine *, const struct endpoint *), const struct sockaddr *sa, socklen_t len)
{
	unsigned home = thread_self()->home;
	struct endpoint at;
	bool found = false;
	usec_t now;

	if (!rt_up() || addr_read(sa->sa_family, sa, len, &at))
		return false;
	for (unsigned i = 0; !found && i < rt.nstacks; i++) {
		struct stack *st = rt.stacks[(home + i) % rt.nstacks];

		if (!stack_enter(st, &now))
			break;
		found = is(st->engine, &at);
		stack_leave(st, now);
	}
	return found;
}

bool sock_listens(const struct sockaddr *sa, socklen_t len)
{
	return any_stack(engine_listens, sa, len);
}

bool sock_port_used(const struct sockaddr *sa, socklen_t len)
{
	return any_stack(engine_port_used, sa, len);
}
