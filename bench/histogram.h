/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * histogram.h - latencies in nanoseconds counted in buckets, 32 to each power of two: a percentile is right to within 3 %, and
 * adding one costs the same whatever was added before.  No locks, no allocation.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BITS 6
#define HISTOGRAM_SUB (1u << HISTOGRAM_BITS)

struct histogram {
	uint64_t n;
	uint64_t bucket[(64 - HISTOGRAM_BITS + 1) * HISTOGRAM_SUB];
};

/* Below HISTOGRAM_SUB a bucket for each value; above, the power of two and the bits that follow its highest one. */
static inline void histogram_add(struct histogram *h, uint64_t v)
{
	unsigned shift = v < HISTOGRAM_SUB ? 0 : 63 - __builtin_clzll(v) - HISTOGRAM_BITS + 1;

	h->bucket[shift * HISTOGRAM_SUB + ((v >> shift) & (HISTOGRAM_SUB - 1))]++;
	h->n++;
}

/* The value that this share (0..1) of all stays below; 0 if there is none. */
static inline double histogram_at(const struct histogram *h, double share)
{
	uint64_t seen = 0, want = (uint64_t)(share * h->n);

	for (unsigned i = 0; h->n && i < sizeof(h->bucket) / sizeof(h->bucket[0]); i++) {
		seen += h->bucket[i];
		if (seen > want)
			return (double)((uint64_t)(i % HISTOGRAM_SUB + 1) << i / HISTOGRAM_SUB);
	}
	return 0;
}

#endif
