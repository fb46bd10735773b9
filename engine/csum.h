/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * csum.h - the Internet checksum (RFC 1071) as partial sums: not complemented, in the byte order of memory.  Short runs, as
 * headers are, are summed where they stand.
 */
#ifndef ENGINE_CSUM_H
#define ENGINE_CSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_mbuf.h>

/* From here on vectors are worth a call. */
#define CSUM_LONG 128

/* What to add to a sum for len bytes, any number of them. */
uint64_t csum_long(const uint8_t *p, size_t len);
/* Copy len bytes and return their partial sum, folded. */
uint16_t csum_copy(void *dst, const void *src, size_t len);
/* The sum of all bytes of a packet, whatever the number of its segments. */
uint64_t csum_chain(const struct rte_mbuf *m);

/* 64 bits with the carry gone round (RFC 1071 section 2): such a sum may be added to for ever, and is zero of zeros only. */
static inline uint64_t csum_plus(uint64_t sum, uint64_t more)
{
	uint64_t plain;
	bool carry = __builtin_add_overflow(sum, more, &plain);

	return plain + carry;
}
/*
 * Is this the sum of something with its checksum in place?  Folded it would be all ones, unless all bytes are zero, which nothing
 * that has a header is: it is a multiple of 2^16 - 1, and so it was before, since 2^16 is 1 by that measure.
 */
static inline bool csum_good(uint64_t sum)
{
	return sum % 0xffff == 0;
}
static inline uint16_t csum_fold(uint64_t sum)
{
	uint32_t high = (uint32_t)(sum >> 32), s = (uint32_t)sum + high;

	s += s < high;
	/* The carry of the lower half goes into the upper one, which is the result. */
	return (uint16_t)((s + (s >> 16 | s << 16)) >> 16);
}
static inline uint64_t csum_plus_word(uint64_t sum, const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, 8);
	return csum_plus(sum, w);
}
/* The last bytes, fewer than a word. */
static inline uint64_t csum_plus_end(uint64_t sum, const uint8_t *p, size_t len)
{
	uint32_t half;
	uint16_t quarter;

	if (len & 4) {
		memcpy(&half, p, 4);
		sum = csum_plus(sum, half);
		p += 4;
	}
	if (len & 2) {
		memcpy(&quarter, p, 2);
		sum = csum_plus(sum, quarter);
		p += 2;
	}
	if (len & 1) {
		quarter = 0;
		memcpy(&quarter, p, 1);
		sum = csum_plus(sum, quarter);
	}
	return sum;
}
/*
 * The sum of len bytes, as if a zero followed an odd one (RFC 1071 section 1), in a few instructions, for headers and ends.  It
 * is written out lest the compiler make vectors of a handful of words.
 */
static inline uint64_t csum_short(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;

	for (; len >= 32; len -= 32, p += 32) {
		sum = csum_plus_word(csum_plus_word(sum, p), p + 8);
		sum = csum_plus_word(csum_plus_word(sum, p + 16), p + 24);
	}
	for (; len >= 8; len -= 8, p += 8)
		sum = csum_plus_word(sum, p);
	return csum_plus_end(sum, p, len);
}
/* The sum of len bytes: for csum_plus() and csum_fold(). */
static inline uint64_t csum_sum(const void *buf, size_t len)
{
	return len < CSUM_LONG ? csum_short(buf, len) : csum_long(buf, len);
}
/* The same, folded to 16 bits. */
static inline uint16_t csum_partial(const void *buf, size_t len)
{
	return csum_fold(csum_sum(buf, len));
}
static inline uint64_t csum_mbuf(const struct rte_mbuf *m)
{
	return m->next ? csum_chain(m) : csum_sum(rte_pktmbuf_mtod(m, const void *), m->data_len);
}
/* Add the partial sum of bytes that start at this offset of the whole: at an odd offset its bytes change places. */
static inline uint32_t csum_add(uint32_t sum, uint16_t part, size_t offset)
{
	return sum + ((offset & 1) ? (uint16_t)((part << 8) | (part >> 8)) : part);
}

#endif
