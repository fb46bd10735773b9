/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - the simulation runner: some hundred seeds, then the goodput table.  A failure prints the seed and the command that
 * replays it with every packet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <getopt.h>

#include <rte_mempool.h>

#include "tests/common/testpool.h"
#include "tests/sim/chance.h"
#include "tests/sim/goodput.h"

#define EAL_MB 512
#define USUAL_MBUFS 8192
#define JUMBO_MBUFS 4096
#define TINY_MBUFS 64
/* The sanitizers make it many times slower. */
#ifdef __SANITIZE_ADDRESS__
#define SEEDS_DEFAULT 200
#else
#define SEEDS_DEFAULT 1000
#endif
#define BLOCK_SEEDS 50
#define GOODPUT_FILE "tests/sim/goodput.txt"

struct block {
	uint64_t first;
	unsigned n;
	char name[48];
};

static struct chance_pools pools;
static const char *self;

static struct rte_mempool *make_pool(const char *kind, unsigned i, unsigned n, unsigned mtu)
{
	char name[16];

	snprintf(name, sizeof(name), "%s%u", kind, i);
	return testpool_create(name, n, mtu);
}

static bool make_pools(void)
{
	bool all = true;

	for (unsigned i = 0; i < 2 * STACKS_MAX && all; i++) {
		unsigned node = i / STACKS_MAX, stack = i % STACKS_MAX;

		pools.usual[node][stack] = make_pool("usual", i, USUAL_MBUFS, 1500);
		pools.jumbo[node][stack] = make_pool("jumbo", i, JUMBO_MBUFS, 9000);
		pools.tiny[node][stack] = make_pool("tiny", i, TINY_MBUFS, 1500);
		all = pools.usual[node][stack] && pools.jumbo[node][stack] && pools.tiny[node][stack];
	}
	return all;
}

/* What the engines held when it went wrong. */
static void print_state(const struct world *w)
{
	struct engine_usage u;

	for (unsigned i = 0; i < 2; i++) {
		if (!w->node[i].stack[0].e)
			continue;
		node_usage(w, i, &u);
		printf("  node %u: %u stacks, %u connections, %u half open, %u TIME-WAIT, %u mbufs; %u of %u free at the first\n",
		       i, w->node[i].cfg.nstacks, u.conns, u.half_open, u.timewaits, u.mbufs,
		       rte_mempool_avail_count(w->node[i].stack[0].pool), w->node[i].stack[0].pool_full);
	}
}

/* 0 if the seed's world ran as it must. */
static int run_seed(uint64_t seed, bool trace, uint64_t *steps)
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
	if (failed) {
		printf("seed %llu failed at %.6f: %s\n  replay: %s --seed %llu --trace\n", (unsigned long long)seed,
		       (double)w.now / 1e6 - 1, w.reason, self, (unsigned long long)seed);
		print_state(&w);
	} else if (trace) {
		printf("seed %llu passed at %.6f, %llu steps, %llu frames found no mbuf\n", (unsigned long long)seed,
		       (double)w.now / 1e6 - 1, (unsigned long long)w.steps, (unsigned long long)w.starved);
	}
	world_drop(&w);
	return failed;
}

/* One cmocka test: a block of seeds. */
static void test_block(void **state)
{
	const struct block *b = *state;
	unsigned failed = 0;
	uint64_t steps = 0;

	for (unsigned i = 0; i < b->n; i++)
		failed += (unsigned)run_seed(b->first + i, false, &steps);
	if (failed)
		fail_msg("%u of %u seeds failed", failed, b->n);
}

static void test_goodput(void **state)
{
	(void)state;
	if (goodput_compare(GOODPUT_FILE, pools.usual))
		fail_msg("the goodput table is not the one in git");
}

/* Seeds in blocks, then the table if it is asked for. */
static int run_all(uint64_t first, unsigned n, bool goodput)
{
	unsigned nblocks = (n + BLOCK_SEEDS - 1) / BLOCK_SEEDS;
	struct CMUnitTest *tests = calloc(nblocks + 1, sizeof(*tests));
	struct block *blocks = calloc(nblocks + 1, sizeof(*blocks));
	int failed;

	if (!tests || !blocks)
		return 2;
	for (unsigned i = 0; i < nblocks; i++) {
		struct block *b = &blocks[i];

		b->first = first + (uint64_t)i * BLOCK_SEEDS;
		b->n = n - i * BLOCK_SEEDS < BLOCK_SEEDS ? n - i * BLOCK_SEEDS : BLOCK_SEEDS;
		snprintf(b->name, sizeof(b->name), "seeds %llu to %llu", (unsigned long long)b->first,
			 (unsigned long long)b->first + b->n - 1);
		tests[i] = (struct CMUnitTest){.name = b->name, .test_func = test_block, .initial_state = b};
	}
	tests[nblocks] = (struct CMUnitTest){.name = "goodput", .test_func = test_goodput};
	failed = _cmocka_run_group_tests("two engines over a bad link", tests, nblocks + goodput, NULL, NULL);
	free(tests);
	free(blocks);
	return failed != 0;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: %s [--first SEED] [--seeds N]   N seeds from SEED on; neither: the default run, and the goodput "
		"table\n"
		"       %s --seed SEED [--trace]       one seed, with each packet\n"
		"       %s --table                     print the goodput table\n",
		self, self, self);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option opts[] = {{"seed", required_argument, NULL, 's'},  {"seeds", required_argument, NULL, 'n'},
					     {"first", required_argument, NULL, 'f'}, {"trace", no_argument, NULL, 't'},
					     {"table", no_argument, NULL, 'g'},	      {NULL, 0, NULL, 0}};
	uint64_t seed = 0, first = 1, steps = 0;
	unsigned n = SEEDS_DEFAULT;
	bool one = false, some = false, trace = false, table = false;
	int c;

	self = argv[0];
	while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1) {
		one |= c == 's';
		some |= c == 'f' || c == 'n';
		trace |= c == 't';
		table |= c == 'g';
		if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'f')
			first = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			n = (unsigned)atoi(optarg);
		else if (c == '?')
			return usage();
	}
	if (testpool_start(EAL_MB) || !make_pools()) {
		fprintf(stderr, "DPDK's EAL or the packet pools cannot start in %d MB of memory\n", EAL_MB);
		return 2;
	}
	if (table)
		return goodput_print(stdout, pools.usual);
	return one ? run_seed(seed, trace, &steps) : run_all(first, n, !some);
}
