/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - the simulation runner: some hundred seeds, then the goodput table.  A failure prints the seed and the command that
 * replays it with every packet.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tests/common/testpool.h"
#include "tests/sim/chance.h"
#include "tests/sim/goodput.h"

#define EAL_MB 512
#define USUAL_MBUFS 16384
#define JUMBO_MBUFS 8192
#define SEEDS_DEFAULT 300
#define GOODPUT_FILE "tests/sim/goodput.txt"

static struct chance_pools pools;

static bool make_pools(void)
{
	pools.usual[0] = testpool_create("usual0", USUAL_MBUFS, 1500);
	pools.usual[1] = testpool_create("usual1", USUAL_MBUFS, 1500);
	pools.jumbo[0] = testpool_create("jumbo0", JUMBO_MBUFS, 9000);
	pools.jumbo[1] = testpool_create("jumbo1", JUMBO_MBUFS, 9000);
	return pools.usual[0] && pools.usual[1] && pools.jumbo[0] && pools.jumbo[1];
}

/* 0 if the seed's world ran as it must. */
static int run_seed(const char *self, uint64_t seed, bool trace, uint64_t *steps)
{
	static struct world w;
	bool failed;

	memset(&w, 0, sizeof(w));
	w.seed = w.rng.state = seed;
	w.trace = trace;
	failed = setjmp(w.failed) != 0;
	if (!failed) {
		chance_make(&w, &pools);
		world_run(&w);
	}
	*steps += w.steps;
	if (failed)
		printf("seed %llu failed at %.6f: %s\n  replay: %s --seed %llu --trace\n", (unsigned long long)seed,
		       (double)w.now / 1e6 - 1, w.reason, self, (unsigned long long)seed);
	else if (trace)
		printf("seed %llu passed at %.6f, %llu steps\n", (unsigned long long)seed, (double)w.now / 1e6 - 1,
		       (unsigned long long)w.steps);
	world_drop(&w);
	return failed;
}

static int run_seeds(const char *self, uint64_t first, unsigned n)
{
	unsigned failed = 0;
	uint64_t steps = 0;

	for (unsigned i = 0; i < n; i++)
		failed += (unsigned)run_seed(self, first + i, false, &steps);
	printf("simulation: %u seeds, %u failed, %llu steps\n", n, failed, (unsigned long long)steps);
	return failed != 0;
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {{"seed", required_argument, NULL, 's'},  {"seeds", required_argument, NULL, 'n'},
					     {"first", required_argument, NULL, 'f'}, {"trace", no_argument, NULL, 't'},
					     {"table", no_argument, NULL, 'g'},	      {NULL, 0, NULL, 0}};
	uint64_t seed = 0, first = 1, steps = 0;
	unsigned n = SEEDS_DEFAULT;
	bool one = false, trace = false, table = false;
	int c;

	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		one |= c == 's';
		trace |= c == 't';
		table |= c == 'g';
		if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'f')
			first = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			n = (unsigned)atoi(optarg);
		else if (c == '?')
			return 2;
	}
	if (testpool_start(EAL_MB) || !make_pools()) {
		fprintf(stderr, "DPDK's EAL or the packet pools cannot start in %d MB of memory\n", EAL_MB);
		return 2;
	}
	if (table)
		return goodput_print(stdout, pools.usual);
	if (one)
		return run_seed(argv[0], seed, trace, &steps);
	c = run_seeds(argv[0], first, n);
	return goodput_compare(GOODPUT_FILE, pools.usual) || c;
}
