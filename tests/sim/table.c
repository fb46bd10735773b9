/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table.c - the figures in git; see table.h.  The engine is deterministic and so are the links: the table is compared to the
 * digit, and a change of it must be meant.  Its rows are for all algorithms that the engine has.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "engine/cc.h"
#include "tests/sim/bench.h"
#include "tests/sim/farm.h"
#include "tests/sim/model.h"
#include "tests/sim/table.h"

#define TABLE_FILE "tests/sim/goodput.txt"
#define PATIENCE_S 600

/* Goodput: one flow over so much, with a queue of half a bandwidth-delay product but never a tiny one. */
#define RATE_BPS 100000000ull
#define QUEUE_LEAST 100000
#define COUNT_SEGMENTS 12000 /* measured, at the rate that is predicted */
#define COUNT_LOSSES 4	     /* ... but at least as many as bring so many losses */
#define COUNT_MOST_US 600000000
#define WARM_US 1000000 /* not measured, and again as many losses */
#define WARM_RTTS 25

/* A shared queue. */
#define SHARED_BPS 20000000ull
#define SHARED_QUEUE 100000 /* 40 ms of it */
#define SHARED_RTT_US 20000
#define SHARED_WARM_US 6000000
#define SHARED_COUNT_US 20000000

/* The figures that are promised. */
#define GIGABIT 1000000000ull
#define GIGABIT_RTT_US 50000
#define BURST_AT 4000 /* segments into the transfer */
#define BURST 20
#define TAIL_SEGMENTS 300
#define TAIL_LOST 10 /* an even number of segments arrives before them: the ACK of the last pair is not delayed */
#define REPAIR_RTTS 2
#define REPAIR_MORE_MS 10

static const unsigned losses[] = {0, 100, 1000, 10000, 50000}; /* ppm */
static const usec_t rtts[] = {100, 10000, 50000, 100000, 300000};
#define LOSSES 5
#define RTTS 5
#define SHARINGS 4
#define FIGURES 5
#define PER_CC (LOSSES * RTTS + SHARINGS + FIGURES)
#define CC_MAX 8

struct result {
	double value[3];
};

static struct world world;
static char algorithm[CC_MAX][CC_NAME_MAX];
static unsigned nalgorithms;

static double link_goodput(uint64_t rate_bps)
{
	return (double)rate_bps * BENCH_MSS / BENCH_FRAME;
}

static usec_t at_most(double us)
{
	return us < COUNT_MOST_US ? (usec_t)us : COUNT_MOST_US;
}

/* ---- one cell each; the world is ready to fail ---- */

static void goodput_cell(struct world *w, const char *cc, unsigned loss_ppm, usec_t rtt_us, struct result *r)
{
	struct bench_path path = {.rate_bps = RATE_BPS, .rtt_us = rtt_us, .loss_ppm = loss_ppm};
	double most = link_goodput(RATE_BPS), bps, rtt = (double)rtt_us / 1e6 + 2.0 * BENCH_FRAME * 8 / (double)RATE_BPS;
	double segments = COUNT_SEGMENTS, lossy = loss_ppm ? COUNT_LOSSES * 1e6 / loss_ppm : 0;
	usec_t count_us, warm_us = WARM_US + WARM_RTTS * rtt_us;

	path.queue_bytes = (unsigned)(RATE_BPS / 16 * rtt_us / 1000000);
	path.buffer = RATE_BPS / 2 * rtt_us / 1000000; /* twice what path and queue hold, and then some */
	if (path.queue_bytes < QUEUE_LEAST)
		path.queue_bytes = QUEUE_LEAST;
	if (loss_ppm && model_rate(cc, loss_ppm / 1e6, rtt) * BENCH_MSS * 8 < most)
		most = model_rate(cc, loss_ppm / 1e6, rtt) * BENCH_MSS * 8;
	if (segments < lossy)
		segments = lossy;
	count_us = at_most(segments * BENCH_MSS * 8e6 / most);
	warm_us += at_most(lossy * BENCH_MSS * 8e6 / most);
	bench_single(w, cc, &path, UINT64_MAX);
	bench_measure(w, warm_us, count_us, &bps);
	r->value[0] = 100 * bps / most;
}

/* What the four ways to share are called, and what they are. */
static const char *sharing_name(unsigned kind)
{
	static const char *const names[SHARINGS] = {"four alike", "four alike, CoDel", "RTT 20 and 80 ms", "with two of cubic"};

	return names[kind];
}

static void sharing_cell(struct world *w, const char *cc, unsigned kind, struct result *r)
{
	struct bench_path path = {.rate_bps = SHARED_BPS, .queue_bytes = SHARED_QUEUE, .codel = kind == 1, .ecn = kind == 1};
	const char *of[BENCH_FLOWS] = {cc, cc, cc, cc};
	usec_t rtt[BENCH_FLOWS] = {SHARED_RTT_US, SHARED_RTT_US, SHARED_RTT_US, SHARED_RTT_US};
	double bps[BENCH_FLOWS], sum = 0, squares = 0;
	const struct link *l;

	if (kind == 2)
		rtt[2] = rtt[3] = 4 * SHARED_RTT_US;
	if (kind == 3)
		of[2] = of[3] = "cubic";
	bench_shared(w, BENCH_FLOWS, of, rtt, &path);
	bench_measure(w, SHARED_WARM_US, SHARED_COUNT_US, bps);
	for (unsigned i = 0; i < BENCH_FLOWS; i++) {
		sum += bps[i];
		squares += bps[i] * bps[i];
	}
	l = bench_bottleneck(w);
	r->value[0] = sum * sum / (BENCH_FLOWS * squares);
	r->value[1] = 100 * sum / link_goodput(SHARED_BPS);
	r->value[2] = l->waiters ? (double)l->waited_us / (double)l->waiters / 1e3 : 0;
}

static void gigabit(struct world *w, const char *cc, struct result *r)
{
	uint64_t bdp = GIGABIT / 8 * GIGABIT_RTT_US / 1000000;
	/* Without loss: the window ends within the queue. */
	struct bench_path path = {.rate_bps = GIGABIT, .rtt_us = GIGABIT_RTT_US, .queue_bytes = (unsigned)bdp, .buffer = 3 * bdp};
	double bps;

	bench_single(w, cc, &path, UINT64_MAX);
	bench_measure(w, 2000000, 500000, &bps);
	r->value[0] = 100 * bps / link_goodput(GIGABIT);
}

/* A transfer of so many segments, of which these are lost. */
struct transfer {
	uint64_t rate_bps, segments, lost_from, nlost;
};

/* Milliseconds until the last byte was read, and how often the timer expired. */
static double transfer_ms(struct world *w, const char *cc, const struct transfer *t, double *timeouts)
{
	struct bench_path path = {.rate_bps = t->rate_bps,
				  .rtt_us = GIGABIT_RTT_US,
				  .queue_bytes = (unsigned)(t->rate_bps / 8 * GIGABIT_RTT_US / 1000000),
				  .drop_from = t->lost_from,
				  .drop_count = t->nlost};

	bench_single(w, cc, &path, t->segments * BENCH_MSS);
	world_transfer(w);
	*timeouts = (double)engine_stats(w->host[0].stack[0].e)->timeouts;
	return (double)(w->session[0].side[1].progress_at - CLOCK_START) / 1e3;
}

static void forget(struct world *w)
{
	jmp_buf failed;

	world_drop(w);
	memcpy(&failed, &w->failed, sizeof(failed));
	memset(w, 0, sizeof(*w));
	memcpy(&w->failed, &failed, sizeof(failed));
	w->rng.state = 1;
}

/* How much longer the transfer takes with these segments lost than with none. */
static void repair(struct world *w, const char *cc, const struct transfer *t, struct result *r)
{
	struct transfer whole = {.rate_bps = t->rate_bps, .segments = t->segments};
	double without = transfer_ms(w, cc, &whole, &r->value[1]);

	forget(w);
	r->value[0] = transfer_ms(w, cc, t, &r->value[1]) - without;
}

/* At a gigabit, where the transfer builds no queue: the round trip is the path's. */
static void repair_tail(struct world *w, const char *cc, unsigned ncame, unsigned nlost, struct result *r)
{
	repair(w, cc, &(struct transfer){GIGABIT, ncame + nlost, ncame + 1, nlost}, r);
}

static void figure_cell(struct world *w, const char *cc, unsigned kind, struct result *r)
{
	switch (kind) {
	case 0:
		gigabit(w, cc, r);
		break;
	case 1:
		repair(w, cc, &(struct transfer){RATE_BPS, 3 * BURST_AT, BURST_AT, BURST}, r);
		break;
	case 2:
		repair_tail(w, cc, TAIL_SEGMENTS, 1, r);
		break;
	case 3:
		repair_tail(w, cc, TAIL_SEGMENTS - 1, 1, r);
		break;
	default:
		repair_tail(w, cc, TAIL_SEGMENTS - TAIL_LOST, TAIL_LOST, r);
	}
}

/* ---- all of them ---- */

/* The longest jobs are the last of an algorithm's: begin with them. */
static uint64_t cell_of_job(uint64_t index)
{
	return index / PER_CC * PER_CC + PER_CC - 1 - index % PER_CC;
}

static bool cell_job(void *arg, uint64_t job, struct farm_counts *counts)
{
	uint64_t index = cell_of_job(job);
	const char *cc = algorithm[index / PER_CC];
	unsigned cell = (unsigned)(index % PER_CC);
	struct result *r = (struct result *)arg + index;
	struct world *w = &world;

	(void)counts;
	memset(w, 0, sizeof(*w));
	w->rng.state = 1;
	if (setjmp(w->failed)) {
		printf("table, %s, cell %u of %u: %s\n", cc, cell, PER_CC, w->reason);
		world_drop(w);
		return false;
	}
	if (cell < LOSSES * RTTS)
		goodput_cell(w, cc, losses[cell / RTTS], rtts[cell % RTTS], r);
	else if (cell < LOSSES * RTTS + SHARINGS)
		sharing_cell(w, cc, cell - LOSSES * RTTS, r);
	else
		figure_cell(w, cc, cell - LOSSES * RTTS - SHARINGS, r);
	world_drop(w);
	return true;
}

static void cell_crashed(void *arg, uint64_t job, const char *how)
{
	uint64_t index = cell_of_job(job);

	(void)arg;
	printf("table, %s, cell %u of %u: %s\n", algorithm[index / PER_CC], (unsigned)(index % PER_CC), PER_CC, how);
}

static void print_goodput(FILE *out, const char *cc, const struct result *r)
{
	for (unsigned i = 0; i < LOSSES; i++) {
		fprintf(out, "%-6s %6.2f", cc, losses[i] / 1e4);
		for (unsigned k = 0; k < RTTS; k++)
			fprintf(out, " %8.1f", r[i * RTTS + k].value[0]);
		fputc('\n', out);
	}
}

static void print_sharing(FILE *out, const char *cc, const struct result *r)
{
	for (unsigned i = 0; i < SHARINGS; i++)
		if (i < 3 || strcmp(cc, "cubic"))
			fprintf(out, "%-6s %-20s %8.3f %8.1f %8.1f\n", cc, sharing_name(i), r[i].value[0], r[i].value[1],
				r[i].value[2]);
}

static void print_figures(FILE *out, const char *cc, const struct result *r)
{
	static const char *const tails[] = {"the last 1 lost", "the last 1, behind a delayed ACK", "the last 10 lost"};
	double most = REPAIR_RTTS * GIGABIT_RTT_US / 1e3 + REPAIR_MORE_MS;

	fprintf(out, "%-6s 1 Gbit/s x 50 ms %25.1f %% of the link %19s\n", cc, r[0].value[0],
		r[0].value[0] >= 95 ? "ok" : "MISSED");
	fprintf(out, "%-6s %u segments lost in a row %15.1f ms more, %3.0f timeouts %12s\n", cc, BURST, r[1].value[0],
		r[1].value[1], r[1].value[1] == 0 ? "ok" : "MISSED");
	for (unsigned i = 2; i < FIGURES; i++)
		fprintf(out, "%-6s %-34s %6.1f ms more, %3.0f timeouts %12s\n", cc, tails[i - 2], r[i].value[0], r[i].value[1],
			r[i].value[1] == 0 && r[i].value[0] < most ? "ok" : "MISSED");
}

/* Those that a user can ask for: the engine's list may hold names of its own. */
static unsigned find_algorithms(void)
{
	struct tcp_settings t;

	tcp_settings_init(&t);
	nalgorithms = 0;
	for (unsigned i = 0; cc_ops(i) && nalgorithms < CC_MAX; i++)
		if (!tcp_settings_set(&t, "net.ipv4.tcp_congestion_control", cc_ops(i)->name))
			snprintf(algorithm[nalgorithms++], CC_NAME_MAX, "%s", cc_ops(i)->name);
	return nalgorithms;
}

bool table_print(FILE *out, unsigned workers)
{
	unsigned n = find_algorithms();
	struct result *r = farm_memory(n * PER_CC * sizeof(*r));
	struct farm farm = {.jobs = n * PER_CC,
			    .workers = workers,
			    .patience_s = PATIENCE_S,
			    .start = bench_start,
			    .job = cell_job,
			    .crashed = cell_crashed,
			    .arg = r};
	struct farm_counts counts;

	if (!farm_run(&farm, &counts))
		return false;
	fprintf(
	    out,
	    "# Made by `make table`; the test compares it to the digit.\n\n"
	    "# Goodput of one flow, %% of 100 Mbit/s or, where loss allows less, of what the algorithm's equation predicts\n"
	    "# BBR has no equation: it is to fill the link, but above its LossThresh of 2 %% it takes any loss for a full queue\n"
	    "# and gives way, as draft-ietf-ccwg-bbr has it (inflight_longterm, and the short-term bounds in each round)\n"
	    "# cc    loss%%   0.1 ms    10 ms    50 ms   100 ms   300 ms\n");
	for (unsigned i = 0; i < n; i++)
		print_goodput(out, algorithm[i], r + i * PER_CC);
	fprintf(out, "\n# Four flows share 20 Mbit/s, RTT 20 ms, queue 40 ms: Jain's index, %% of the link, ms in the queue\n");
	for (unsigned i = 0; i < n; i++)
		print_sharing(out, algorithm[i], r + i * PER_CC + LOSSES * RTTS);
	fprintf(out, "\n# Figures: at least 95 %% of the link; no timeouts; repair in two round trips of 50 ms and 10 ms\n"
		     "# Of ten, the probe repairs one when the ACK is overdue, after one round trip (RFC 9002 6.2.1); the second "
		     "shows the rest, which goes\n# at once.  A lone segment's ACK may be delayed: its probe waits for two "
		     "(RFC 8985 7.2).\n");
	for (unsigned i = 0; i < n; i++)
		print_figures(out, algorithm[i], r + i * PER_CC + LOSSES * RTTS + SHARINGS);
	return true;
}

static char *read_all(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 65536);

	if (f && text)
		text[fread(text, 1, 65535, f)] = '\0';
	if (f)
		fclose(f);
	return text;
}

/* Lines of one text that the other does not have at the same place. */
static void print_differences(const char *want, const char *got)
{
	while (*want || *got) {
		size_t w = strcspn(want, "\n"), g = strcspn(got, "\n");

		if (w != g || memcmp(want, got, w))
			printf("-%.*s\n+%.*s\n", (int)w, want, (int)g, got);
		want += w + (want[w] == '\n');
		got += g + (got[g] == '\n');
	}
}

bool table_compare(unsigned workers)
{
	char *got = NULL, *want = read_all(TABLE_FILE);
	size_t size;
	FILE *out = open_memstream(&got, &size);
	bool same, made = table_print(out, workers);

	fclose(out);
	same = made && want && !strcmp(got, want);
	if (same)
		printf("sim: the table of figures is the one in git\n");
	else if (made) {
		printf("sim: the figures differ from " TABLE_FILE "; if that is meant, `make table`:\n");
		print_differences(want ? want : "", got);
	}
	free(got);
	free(want);
	return same;
}
