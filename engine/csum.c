/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * csum.c - the Internet checksum (RFC 1071).  64-bit words are split into halves and added to two 64-bit sums, which the compiler
 * turns into vector code; carries are folded once at the end (RFC 1071 section 2, parallel summation and deferred carries).
 */
#include "engine/csum.h"

#include <rte_mbuf.h>
#include <string.h>

/* Below this the plain loop is faster. */
#define VECTOR_MIN 64

/* Resolved once by the dynamic linker.  A sanitizer's instrumentation may not run that early. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature) /* clang says it so */
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer))
#else
#define SANITIZED 0
#endif
#if defined(__x86_64__) && !SANITIZED
#define VECTOR_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define VECTOR_CLONES
#endif

/* Sum of n 64-bit words at any address, as 32-bit words: no overflow below 2^32 words. */
VECTOR_CLONES
static uint64_t sum_words(const uint8_t *p, size_t n)
{
	uint64_t low = 0, high = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t w;

		memcpy(&w, p + 8 * i, 8);
		low += w & 0xffffffff;
		high += w >> 32;
	}
	return low + high;
}

/* The same on the way from one place to another: the bytes pass through the registers once. */
VECTOR_CLONES
static uint64_t copy_words(uint8_t *restrict to, const uint8_t *restrict from, size_t n)
{
	uint64_t low = 0, high = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t w;

		memcpy(&w, from + 8 * i, 8);
		memcpy(to + 8 * i, &w, 8);
		low += w & 0xffffffff;
		high += w >> 32;
	}
	return low + high;
}

/*
 * The same in a few instructions, for headers and ends: len bytes, as if a zero followed an odd one (RFC 1071 section 1).  The
 * carry of each addition goes round (section 2), which also keeps the compiler from making vectors of a handful of words.
 */
static inline uint64_t sum_short(const uint8_t *p, size_t len)
{
	uint64_t sum = 0, d;
	uint32_t w;
	uint16_t h;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&d, p, 8);
		sum += d;
		sum += sum < d;
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	if (len & 4) {
		memcpy(&w, p, 4);
		sum += w;
		p += 4;
	}
	if (len & 2) {
		memcpy(&h, p, 2);
		sum += h;
		p += 2;
	}
	if (len & 1) {
		h = 0;
		memcpy(&h, p, 1);
		sum += h;
	}
	return sum;
}

uint16_t csum_partial(const void *buf, size_t len)
{
	const uint8_t *p = buf;
	size_t words = len < VECTOR_MIN ? 0 : len / 32 * 4;

	return csum_fold((words ? sum_words(p, words) : 0) + sum_short(p + 8 * words, len - 8 * words));
}

uint16_t csum_copy(void *dst, const void *src, size_t len)
{
	uint8_t *to = dst;
	const uint8_t *from = src;
	size_t words = len < VECTOR_MIN ? 0 : len / 32 * 4, done = 8 * words;
	uint64_t sum = words ? copy_words(to, from, words) : 0;

	memcpy(to + done, from + done, len - done);
	return csum_fold(sum + sum_short(to + done, len - done));
}

uint16_t csum_mbuf(const struct rte_mbuf *m, uint32_t off)
{
	uint64_t sum = 0;
	size_t done = 0;

	for (; m; m = m->next) {
		uint32_t len = m->data_len, skip = off < len ? off : len;

		off -= skip;
		sum += csum_add(0, csum_partial(rte_pktmbuf_mtod_offset(m, const uint8_t *, skip), len - skip), done);
		done += len - skip;
	}
	return csum_fold(sum);
}
