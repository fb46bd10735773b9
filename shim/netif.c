/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netif.c - asks the kernel for its interfaces.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "netif.h"

#include "real.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

static unsigned mask_bits(const unsigned char *mask, unsigned bytes)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < bytes; i++)
		bits += (unsigned)__builtin_popcount(mask[i]);
	return bits;
}

static bool to_addr(const struct ifaddrs *ifa, struct netif_addr *out)
{
	if (!ifa->ifa_addr || !ifa->ifa_netmask || !(ifa->ifa_flags & IFF_UP))
		return false;
	memset(out, 0, sizeof(*out));
	if (ifa->ifa_addr->sa_family == AF_INET) {
		const struct sockaddr_in *a = (const void *)ifa->ifa_addr, *m = (const void *)ifa->ifa_netmask;

		out->addr.s6_addr[10] = out->addr.s6_addr[11] = 0xff;
		memcpy(&out->addr.s6_addr[12], &a->sin_addr, 4);
		out->len = 96 + mask_bits((const void *)&m->sin_addr, 4);
	} else if (ifa->ifa_addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *a = (const void *)ifa->ifa_addr, *m = (const void *)ifa->ifa_netmask;

		out->addr = a->sin6_addr;
		out->len = mask_bits(m->sin6_addr.s6_addr, 16);
	} else {
		return false;
	}
	return true;
}

int netif_addrs(const char *name, struct netif_addr *out, unsigned max)
{
	struct ifaddrs *list;
	unsigned n = 0;

	if (getifaddrs(&list) < 0)
		return -errno;
	for (struct ifaddrs *ifa = list; ifa; ifa = ifa->ifa_next) {
		struct netif_addr a;

		if ((name && strcmp(name, ifa->ifa_name)) || !to_addr(ifa, &a))
			continue;
		if (n < max) {
			a.ifindex = if_nametoindex(ifa->ifa_name);
			out[n] = a;
		}
		n++;
	}
	freeifaddrs(list);
	return (int)n;
}

unsigned netif_index(const char *name)
{
	return strlen(name) < IF_NAMESIZE ? if_nametoindex(name) : 0;
}

unsigned netif_mtu(const char *name)
{
	struct ifreq req = {0};
	int fd = REAL(socket)(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned mtu = 0;

	if (fd < 0)
		return 0;
	strncpy(req.ifr_name, name, sizeof(req.ifr_name) - 1);
	if (REAL(ioctl)(fd, SIOCGIFMTU, &req) == 0 && req.ifr_mtu > 0)
		mtu = (unsigned)req.ifr_mtu;
	REAL(close)(fd);
	return mtu;
}

bool netif_in_prefix(const struct in6_addr *addr, const struct in6_addr *prefix, unsigned len)
{
	unsigned bytes = len / 8, rest = len % 8;

	if (memcmp(addr, prefix, bytes))
		return false;
	return !rest || !((addr->s6_addr[bytes] ^ prefix->s6_addr[bytes]) & (0xff00 >> rest));
}
