/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * addr.c - addresses: 128 bits, IPv4 as v4-mapped (RFC 4291 section 2.5.5.2).  "Any" has one form inside, all zero, so that
 * tables can compare addresses byte by byte; the v4-mapped form of 0.0.0.0 is understood as well.
 */
#include "engine/engine.h"

#include <arpa/inet.h>

#define V4_MAPPED htonl(0xffff)

struct ip_addr ip_from_v4(uint32_t network_order)
{
	struct ip_addr a = {.w = {0, 0, network_order ? V4_MAPPED : 0, network_order}};

	return a;
}

uint32_t ip_to_v4(const struct ip_addr *a)
{
	return a->w[3];
}

bool ip_is_v4(const struct ip_addr *a)
{
	return a->d[0] == 0 && a->w[2] == V4_MAPPED;
}

bool ip_is_any(const struct ip_addr *a)
{
	return a->d[0] == 0 && a->w[3] == 0 && (a->w[2] == 0 || a->w[2] == V4_MAPPED);
}

bool ip_is_loopback(const struct ip_addr *a)
{
	return ip_is_v4(a) && a->b[12] == 127;
}

bool ip_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->d[0] == b->d[0] && a->d[1] == b->d[1];
}
