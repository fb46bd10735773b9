/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * clock.c - io_now(): the TSC in microseconds by one multiplication.  EAL rounds its own measurement of the TSC to 10 MHz, up to
 * 0.2 % off; here it is measured against CLOCK_MONOTONIC_RAW over the time that EAL's start takes.  It begins at CLOCK_MONOTONIC,
 * so that the clocks of all programs of this host agree: a peer remembers their timestamps (RFC 7323 5.4, RFC 6191).  Where the
 * TSC does not run at a constant rate in all power states, CLOCK_MONOTONIC serves.
 */
#include <cpuid.h>
#include <stdint.h>
#include <time.h>

#include <rte_cycles.h>

#include "internal.h"

/* CPUID 0x80000007, EDX bit 8: invariant TSC (AMD APM vol. 3 E.4.6, Intel SDM vol. 3 18.17.1). */
#define CPUID_POWER 0x80000007
#define CPUID_POWER_INVARIANT_TSC (1u << 8)

static struct {
	uint64_t tsc0, ns0; /* one moment on both clocks */
	uint64_t us0;	    /* io_now() at tsc0 */
	uint64_t mult;	    /* microseconds per cycle, times 2^64; 0: the TSC is not to be used */
} cal;

static uint64_t raw_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static bool tsc_is_invariant(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(CPUID_POWER, &a, &b, &c, &d) && (d & CPUID_POWER_INVARIANT_TSC);
}

/* Read both clocks at one moment: the try with the fewest cycles around clock_gettime() is the best. */
static void both_clocks(uint64_t *tsc, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t before = rte_rdtsc();
		uint64_t now = raw_ns(CLOCK_MONOTONIC_RAW);
		uint64_t after = rte_rdtsc();

		if (after - before >= best)
			continue;
		best = after - before;
		*tsc = before + best / 2;
		*ns = now;
	}
}

void clock_begin(void)
{
	both_clocks(&cal.tsc0, &cal.ns0);
	cal.us0 = raw_ns(CLOCK_MONOTONIC) / 1000 + 1;
}

void clock_end(void)
{
	uint64_t tsc = 0, ns = 0;

	both_clocks(&tsc, &ns);
	if (tsc_is_invariant() && tsc > cal.tsc0)
		cal.mult = ((unsigned __int128)(ns - cal.ns0) << 64) / 1000 / (tsc - cal.tsc0);
}

uint64_t io_now(void)
{
	if (__builtin_expect(!cal.mult, 0))
		return raw_ns(CLOCK_MONOTONIC) / 1000 + 1;
	return cal.us0 + (uint64_t)(((unsigned __int128)(rte_rdtsc() - cal.tsc0) * cal.mult) >> 64);
}
