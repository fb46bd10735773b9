/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netif.h - the kernel's interfaces, as far as configuration and routing need to know them: addresses, prefixes, MTU.
 *
 * System calls behind libc's back (getifaddrs): not for a fast path.  IPv4 addresses are v4-mapped, prefix lengths of 128.
 */
#ifndef SHIM_NETIF_H
#define SHIM_NETIF_H

#include <netinet/in.h>
#include <stdbool.h>

struct netif_addr {
	struct in6_addr addr;
	unsigned len;
	unsigned ifindex;
};

/* The addresses of all interfaces that are up, or of one (name not NULL).  How many there are; at most max are filled in. -errno.
 */
int netif_addrs(const char *name, struct netif_addr *out, unsigned max);
/* Is there a kernel interface of this name? Its index, or 0. */
unsigned netif_index(const char *name);
/* Its MTU, or 0. */
unsigned netif_mtu(const char *name);

/* Does addr lie in the prefix (of 128 bits)? */
bool netif_in_prefix(const struct in6_addr *addr, const struct in6_addr *prefix, unsigned len);

#endif
