/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * route.h - who serves an address: the engine, the kernel, or (a listener on any address) both.  And MTCPSHIM_RULES, which
 * narrows it.
 *
 * Without rules: the engine serves what its prefixes or its gateway reach.  The kernel keeps loopback (unless
 * MTCPSHIM_LOOPBACK=1), its own addresses, port 53, multicast, IPv6, and destinations for which it has a longer on-link prefix
 * than the engine.
 *
 * Rules are separated by ';' or newlines; the first that matches decides, and where none does the default above holds:
 *
 *   rule    = ( "kernel" | "engine" | "engine-only" ) *( ":" field )
 *   field   = "prog=" NAME ["*"]        the executable's file name
 *           | "connect" | "listen"      only this role
 *           | "tcp"                     the protocol, for completeness
 *           | ADDRESS ["/" LENGTH] | "*"   then, if wanted:
 *           | PORT ["-" PORT] | "*"
 *
 * IPv6 addresses stand in brackets.  connect: address and port are the destination's; listen: the local ones.
 * "engine" never widens: what the engine cannot reach stays with the kernel; but it overrules the exception for port 53.  A
 * listener on any address is served by both; by the engine alone under "engine-only".  A rule with an address matches such a
 * listener if it is for the engine and covers one of the engine's addresses, or for the kernel and covers all of them.
 *
 *   kernel:prog=sshd; kernel:connect:10.0.0.0/8:22; engine:tcp:10.9.0.0/24:5000-6000; kernel:*
 */
#ifndef SHIM_ROUTE_H
#define SHIM_ROUTE_H

#include "config.h"
#include "core.h"

enum route_role { ROUTE_ROLE_ANY, ROUTE_ROLE_CONNECT, ROUTE_ROLE_LISTEN };

/* A socket address as routing sees it. */
struct route_addr {
	struct in6_addr addr; /* IPv4 as v4-mapped; the IPv6 wildcard as :: */
	uint16_t port;	      /* host order */
	bool any;	      /* 0.0.0.0 or :: */
};

/*
 * Read an address given to a socket of this family.  False if the kernel would refuse it (length, family) or treat it specially
 * (AF_UNSPEC): let it say so.
 */
bool route_addr_parse(int family, const struct sockaddr *sa, socklen_t len, struct route_addr *out);

/* Who serves a connection to this destination: ROUTE_KERNEL or ROUTE_ENGINE. */
enum route route_connect(const struct config *cfg, const struct route_addr *to);
/* Who serves a listener on this local address. */
enum route route_listen(const struct config *cfg, const struct route_addr *local);
/* Why the latest answer of the two to this thread was what it was. */
const char *route_why(void);
/* Is this one of the engine's own addresses? */
bool route_is_engine_addr(const struct config *cfg, const struct in6_addr *addr);

/* Is it one of the kernel's, which may have the engine's as well (adopted)? */
bool route_is_kernel_addr(const struct in6_addr *addr);
/* Is it in 127.0.0.0/8? */
bool route_is_loopback(const struct in6_addr *addr);
/* Is it the broadcast address of one of the engine's IPv4 prefixes? */
bool route_is_broadcast(const struct config *cfg, const struct in6_addr *addr);

/* Parse rules; how many, or -EINVAL with the offending rule and what is wrong with it in err. */
int route_rules_parse(const char *text, struct config_rule *rules, unsigned max, char *err, size_t size);
/* Does the rule's program match this executable name? */
bool route_program_match(const char *pattern, const char *name);

#endif
