/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * floor.c - what a machine alone adds to a latency.  Two threads, each on a core of its own, do nothing but look at the clock:
 * whatever keeps them from it, timers' interrupts or a host with other guests, keeps every program from its work.
 *
 * floor CPU_A CPU_B SECONDS: prints the 99th percentile, in microseconds, of what a request would wait that takes no time itself
 * but needs both cores one after the other, each as soon as it is there: over all of the time, and in windows of 10 ms (the
 * median of those), as conn_client does.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/clock.h"

#define GAP_NS 1000u /* less is the clock's own */
#define GAPS_MAX (1u << 18)
#define WINDOW_NS 10000000ull
#define SHARE 0.01 /* of the requests wait longer than the 99th percentile */

struct gap {
	uint64_t at, ns; /* since the beginning */
};

struct core {
	int cpu;
	uint64_t from, until; /* by the clock */
	struct gap *gaps;
	unsigned n;
};

static void *look_at_the_clock(void *arg)
{
	struct core *c = arg;
	uint64_t last = c->from, now;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(c->cpu, &set);
	if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set))
		exit(2);
	/* Getting here is no gap. */
	while (now_ns() < c->from)
		;
	for (; last < c->until; last = now) {
		now = now_ns();
		if (now - last > GAP_NS && c->n < GAPS_MAX)
			c->gaps[c->n++] = (struct gap){last - c->from, now - last};
	}
	return NULL;
}

/* For how much of the time is the end of a gap farther away than ns? */
static uint64_t beyond(const struct gap *g, unsigned n, uint64_t ns)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < n; i++)
		sum += g[i].ns > ns ? g[i].ns - ns : 0;
	return sum;
}

/* The wait that only SHARE of those who come within `time` exceed; exact to a nanosecond, by halves. */
static uint64_t percentile(const struct gap *g, unsigned n, uint64_t time)
{
	uint64_t low = 0, high = time;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (beyond(g, n, mid) > SHARE * time)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int by_time(const void *a, const void *b)
{
	const struct gap *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The median of the windows, the gaps in order of time. */
static uint64_t within_windows(const struct gap *g, unsigned n, uint64_t time)
{
	uint64_t windows = time / WINDOW_NS, median, *each = calloc(windows + 1, sizeof(*each));
	unsigned i = 0;

	if (!each)
		exit(2);
	for (uint64_t w = 0; w < windows; w++) {
		unsigned first = i;

		while (i < n && g[i].at < (w + 1) * WINDOW_NS)
			i++;
		each[w] = percentile(g + first, i - first, WINDOW_NS);
	}
	qsort(each, windows, sizeof(*each), by_size);
	median = each[windows / 2];
	free(each);
	return median;
}

/* Both cores' gaps in order of time; how many. */
static unsigned look(struct core core[2], uint64_t time, struct gap *gaps)
{
	uint64_t from = now_ns() + WINDOW_NS;
	pthread_t thread[2];
	unsigned n;

	for (int i = 0; i < 2; i++) {
		core[i].from = from;
		core[i].until = from + time;
		core[i].gaps = gaps + i * GAPS_MAX;
		if (pthread_create(&thread[i], NULL, look_at_the_clock, &core[i]))
			exit(2);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	n = core[0].n;
	for (unsigned i = 0; i < core[1].n; i++)
		gaps[n++] = core[1].gaps[i];
	qsort(gaps, n, sizeof(gaps[0]), by_time);
	return n;
}

int main(int argc, char **argv)
{
	static struct gap gaps[2 * GAPS_MAX];
	struct core core[2] = {0};
	uint64_t time;
	unsigned n;

	if (argc != 4 || atof(argv[3]) <= 0) {
		fprintf(stderr, "usage: floor CPU_A CPU_B SECONDS\n");
		return 2;
	}
	core[0].cpu = atoi(argv[1]);
	core[1].cpu = atoi(argv[2]);
	time = (uint64_t)(atof(argv[3]) * 1e9);
	n = look(core, time, gaps);
	printf("%.1f %.1f\n", percentile(gaps, n, time) / 1e3, within_windows(gaps, n, time) / 1e3);
	return 0;
}
