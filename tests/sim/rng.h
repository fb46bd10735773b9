/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rng.h - the simulation's only source of chance: SplitMix64, seeded once, so that a seed is a whole run.
 */
#ifndef RNG_H
#define RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* A number from 0 to n - 1; n must not be 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
	return rng_next(r) % n;
}

/* A number from lo to hi, each power of two about as likely as any other: sizes and times of all magnitudes. */
static inline uint64_t rng_magnitude(struct rng *r, uint64_t lo, uint64_t hi)
{
	uint64_t span = hi;

	while (span / 2 > lo && rng_next(r) & 1)
		span /= 2;
	return lo + rng_below(r, span - lo + 1);
}

/* True with this probability, in millionths. */
static inline bool rng_chance(struct rng *r, unsigned ppm)
{
	return ppm && rng_below(r, 1000000) < ppm;
}

#endif
