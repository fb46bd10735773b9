/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * csum.c - the Internet checksum (RFC 1071) of long runs: 64-bit words and their upper halves are added up, which the compiler
 * turns into vector code; carries are folded once at the end (RFC 1071 section 2, parallel summation and deferred carries).
 */
#include "engine/csum.h"

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

/* Four words side by side, and what one turn of a loop takes. */
typedef uint64_t vector __attribute__((vector_size(32)));
#define VECTORS 4
#define STEP (VECTORS * sizeof(vector))

/*
 * Words as they are and their upper halves, each added up modulo 2^64: the lower halves make what the first sum has over the
 * second.  Neither half overflows below 2^32 words.
 */
static inline uint64_t add_up(const vector *all, const vector *high)
{
	vector both = *all - (*high << 32) + *high;

	return csum_plus(csum_plus(csum_plus(both[0], both[1]), both[2]), both[3]);
}

/* Sum of n bytes at any address, n a multiple of STEP. */
VECTOR_CLONES
static uint64_t sum_words(const uint8_t *p, size_t n)
{
	vector all = {0}, high = {0}, w;

	for (; n; n -= STEP, p += STEP) {
		for (unsigned i = 0; i < VECTORS; i++) {
			memcpy(&w, p + i * sizeof(w), sizeof(w));
			all += w;
			high += w >> 32;
		}
	}
	return add_up(&all, &high);
}

/* The same on the way from one place to another: the bytes pass through the registers once. */
VECTOR_CLONES
static uint64_t copy_words(uint8_t *restrict to, const uint8_t *restrict from, size_t n)
{
	vector all = {0}, high = {0}, w;

	for (; n; n -= STEP, to += STEP, from += STEP) {
		for (unsigned i = 0; i < VECTORS; i++) {
			memcpy(&w, from + i * sizeof(w), sizeof(w));
			memcpy(to + i * sizeof(w), &w, sizeof(w));
			all += w;
			high += w >> 32;
		}
	}
	return add_up(&all, &high);
}

uint64_t csum_long(const uint8_t *p, size_t len)
{
	size_t whole = len / STEP * STEP;

	return csum_plus(sum_words(p, whole), csum_short(p + whole, len - whole));
}

uint16_t csum_copy(void *dst, const void *src, size_t len)
{
	uint8_t *to = dst;
	const uint8_t *from = src;
	size_t whole = len < CSUM_LONG ? 0 : len / STEP * STEP;
	uint64_t sum = whole ? copy_words(to, from, whole) : 0;

	memcpy(to + whole, from + whole, len - whole);
	return csum_fold(csum_plus(sum, csum_short(to + whole, len - whole)));
}

uint64_t csum_chain(const struct rte_mbuf *m)
{
	uint64_t sum = 0;

	for (size_t done = 0; m; done += m->data_len, m = m->next)
		sum += csum_add(0, csum_partial(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len), done);
	return sum;
}
