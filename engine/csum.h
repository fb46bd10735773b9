/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * csum.h - the Internet checksum (RFC 1071) as partial sums: 32-bit, not complemented, in the byte order of memory.
 */
#ifndef ENGINE_CSUM_H
#define ENGINE_CSUM_H

#include <stddef.h>
#include <stdint.h>

struct rte_mbuf;

/* Partial sum of len bytes, folded to 16 bits. */
uint16_t csum_partial(const void *buf, size_t len);
/* Copy len bytes and return their partial sum, folded. */
uint16_t csum_copy(void *dst, const void *src, size_t len);
/* Partial sum of a packet's bytes from `off` to its end, over all segments, folded. */
uint16_t csum_mbuf(const struct rte_mbuf *m, uint32_t off);
/* Add the partial sum of bytes that start at this offset of the whole: at an odd offset its bytes change places. */
static inline uint32_t csum_add(uint32_t sum, uint16_t part, size_t offset)
{
	return sum + ((offset & 1) ? (uint16_t)((part << 8) | (part >> 8)) : part);
}
static inline uint16_t csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

#endif
