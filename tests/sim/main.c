/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - the simulation runner: worlds by their seeds on all cores, and the table of figures.  A failure prints the seed and
 * the command that replays it with the packets of the connection in question as a packet script.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_mempool.h>

#include "tests/common/testpool.h"
#include "tests/sim/chance.h"
#include "tests/sim/farm.h"
#include "tests/sim/record.h"
#include "tests/sim/table.h"

#define EAL_MB 512
#define USUAL_MBUFS 4096
#define OTHER_MBUFS 1024
#define JUMBO_MBUFS 2048
#define TINY_MBUFS 64
/* The sanitizers make it many times slower. */
#ifdef __SANITIZE_ADDRESS__
#define SEEDS_DEFAULT 400
#else
#define SEEDS_DEFAULT 2500
#endif
#define PATIENCE_S 300
/* A run that is long enough to ask how far it is. */
#define LONG_RUN 10000

struct run {
	const char *self;
	uint64_t first;
	unsigned workers;
	bool trace;
};

static struct chance_pools pools;
static struct world world;

static struct rte_mempool *make_pool(const char *kind, unsigned i, unsigned n, unsigned mtu)
{
	char name[16];

	snprintf(name, sizeof(name), "%s%u", kind, i);
	return testpool_create(name, n, mtu);
}

static bool make_pools(void)
{
	bool all = true;

	for (unsigned i = 0; i < HOSTS_MAX * STACKS_MAX && all; i++) {
		unsigned host = i / STACKS_MAX, stack = i % STACKS_MAX;

		pools.usual[host][stack] = make_pool("usual", i, host < 2 ? USUAL_MBUFS : OTHER_MBUFS, 1500);
		pools.tiny[host][stack] = make_pool("tiny", i, TINY_MBUFS, 1500);
		all = pools.usual[host][stack] && pools.tiny[host][stack];
		if (host < 2) {
			pools.jumbo[host][stack] = make_pool("jumbo", i, JUMBO_MBUFS, 9000);
			all = all && pools.jumbo[host][stack];
		}
	}
	return all;
}

static bool start(void *arg)
{
	if (!testpool_start(EAL_MB) && make_pools())
		return true;
	fprintf(stderr, "DPDK's EAL or the packet pools cannot start in %d MB of memory\n", EAL_MB);
	return false;
}

/* Build the seed's world and run it to its end: true if it ran as it must. */
static bool run_world(struct world *w, uint64_t seed, struct record *record)
{
	memset(w, 0, sizeof(*w));
	w->seed = w->rng.state = seed;
	w->record = record;
	if (setjmp(w->failed))
		return false;
	chance_make(w, &pools);
	if (record)
		record_begin(w);
	world_run(w);
	return true;
}

/* Once more, with the packets of the connection that it failed for. */
static void write_script(struct world *w, uint64_t seed, FILE *out)
{
	struct record r = {.out = out, .session = w->suspect ? (unsigned)(w->suspect - w->session) : 0, .who = w->suspect_side};

	world_drop(w);
	run_world(w, seed, &r);
}

static void print_failure(const struct world *w, const char *self)
{
	printf("seed %llu failed at %.6f: %s\n  replay: %s --seed %llu\n", (unsigned long long)w->seed,
	       (double)(w->now - CLOCK_START) / 1e6, w->reason, self, (unsigned long long)w->seed);
}

static bool world_job(void *arg, uint64_t index, struct farm_counts *c)
{
	const struct run *run = arg;
	struct world *w = &world;
	bool good = run_world(w, run->first + index, NULL);

	if (!good)
		print_failure(w, run->self);
	farm_add(&c->virtual_us, w->now - CLOCK_START);
	farm_add(&c->steps, w->steps);
	farm_add(&c->bytes, w->bytes);
	world_drop(w);
	return good;
}

static void world_crashed(void *arg, uint64_t index, const char *how)
{
	const struct run *run = arg;
	unsigned long long seed = run->first + index;

	printf("seed %llu %s\n  replay: %s --seed %llu\n", seed, how, run->self, seed);
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool run_worlds(struct run *run, uint64_t n)
{
	struct farm farm = {.jobs = n,
			    .workers = run->workers,
			    .patience_s = PATIENCE_S,
			    .progress = n >= LONG_RUN,
			    .start = start,
			    .job = world_job,
			    .crashed = world_crashed,
			    .arg = run};
	struct farm_counts c;
	double began = now_s(), took;
	bool good = farm_run(&farm, &c);

	took = now_s() - began;
	printf("sim: %llu worlds from seed %llu on, %llu failed; %.0f s of virtual time, %.1f MB and %llu steps in %.1f s: %.0f "
	       "worlds "
	       "a second on %u cores\n",
	       (unsigned long long)c.done, (unsigned long long)run->first, (unsigned long long)c.failed,
	       (double)c.virtual_us / 1e6, (double)c.bytes / 1e6, (unsigned long long)c.steps, took, (double)c.done / took,
	       run->workers);
	return good && c.done == n;
}

/* One seed in this process: what happened, and the script. */
static bool replay(const struct run *run, uint64_t seed, int session, int who)
{
	struct world *w = &world;
	bool good;

	if (!start(NULL))
		return false;
	good = run_world(w, seed, NULL);
	if (good)
		printf("seed %llu passed at %.6f: %u hosts, %u sessions, %llu steps, %llu frames found no mbuf\n",
		       (unsigned long long)seed, (double)(w->now - CLOCK_START) / 1e6, w->nhosts, w->nsessions,
		       (unsigned long long)w->steps, (unsigned long long)w->starved);
	else
		print_failure(w, run->self);
	world_describe(w, stdout);
	if (session >= 0)
		w->suspect = &w->session[session];
	if (who >= 0)
		w->suspect_side = (unsigned)who;
	if (!good || session >= 0)
		write_script(w, seed, stdout);
	world_drop(w);
	return good;
}

static unsigned cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (unsigned)CPU_COUNT(&set);
}

static int usage(const char *self)
{
	fprintf(stderr,
		"usage: %s [--first SEED] [--worlds N]        N worlds (%d) from SEED (1) on\n"
		"       %s --seed SEED [--session N] [--end 0|1]  one world; a connection as a packet script\n"
		"       %s --table                            compute the table of figures and print it\n"
		"       %s --figures                          compare it with the one in git\n"
		"       --cores N                             so many processes\n",
		self, SEEDS_DEFAULT, self, self, self);
	return 2;
}

static const struct option options[] = {
    {"seed", required_argument, NULL, 's'},    {"worlds", required_argument, NULL, 'n'}, {"first", required_argument, NULL, 'f'},
    {"session", required_argument, NULL, 'c'}, {"end", required_argument, NULL, 'e'},	 {"cores", required_argument, NULL, 'j'},
    {"table", no_argument, NULL, 't'},	       {"figures", no_argument, NULL, 'g'},	 {NULL, 0, NULL, 0}};

int main(int argc, char **argv)
{
	struct run run = {.self = argv[0], .first = 1, .workers = cores()};
	uint64_t seed = 0, n = SEEDS_DEFAULT;
	int c, session = -1, who = -1;
	char action = 'w';

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 's' || c == 't' || c == 'g')
			action = (char)c;
		if (c == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			n = strtoull(optarg, NULL, 0);
		else if (c == 'f')
			run.first = strtoull(optarg, NULL, 0);
		else if (c == 'c')
			session = atoi(optarg) % SESSIONS_MAX;
		else if (c == 'e')
			who = atoi(optarg) & 1;
		else if (c == 'j')
			run.workers = (unsigned)atoi(optarg);
		else if (c == '?')
			return usage(argv[0]);
	}
	if (action == 's')
		return !replay(&run, seed, session, who);
	if (action == 't')
		return !table_print(stdout, run.workers);
	if (action == 'g')
		return !table_compare(run.workers);
	return !run_worlds(&run, n);
}
