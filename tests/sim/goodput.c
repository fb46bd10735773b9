/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * goodput.c - one bulk transfer over links of known loss and round-trip time.  The engine is deterministic and so are the links:
 * the table in git is compared to the digit, and a change of it must be meant.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "tests/sim/goodput.h"

#define TRANSFER_BYTES 20000000
#define TRANSFER_LIMIT 600000000
#define RATE_BPS 100000000
#define QUEUE_BYTES 250000

static const struct row {
	const char *cc;
	unsigned loss_ppm;
	usec_t rtt_us;
} rows[] = {
    {"cubic", 0, 100},	     {"cubic", 0, 10000},      {"cubic", 0, 100000},	{"cubic", 1000, 100},	  {"cubic", 1000, 10000},
    {"cubic", 1000, 100000}, {"cubic", 10000, 100},    {"cubic", 10000, 10000}, {"cubic", 10000, 100000}, {"cubic", 50000, 100},
    {"cubic", 50000, 10000}, {"cubic", 50000, 100000}, {"reno", 0, 100000},	{"reno", 1000, 10000},	  {"reno", 10000, 10000},
};

static void make_row(struct world *w, const struct row *row, struct rte_mempool *const pools[2][STACKS_MAX])
{
	struct link_config link = {
	    .rate_bps = RATE_BPS, .queue_bytes = QUEUE_BYTES, .delay_us = row->rtt_us / 2, .loss_ppm = row->loss_ppm};
	struct link_config links[2] = {link, link};
	struct node_config nodes[2];

	memset(nodes, 0, sizeof(nodes));
	for (unsigned i = 0; i < 2; i++) {
		tcp_settings_init(&nodes[i].tcp);
		nodes[i].mtu = 1500;
		nodes[i].nstacks = 1;
		if (tcp_settings_set(&nodes[i].tcp, "net.ipv4.tcp_congestion_control", row->cc))
			world_fail(w, "no congestion control \"%s\"", row->cc);
	}
	/* Loss one way only: of data. */
	links[1].loss_ppm = 0;
	world_init(w, nodes, links, pools);
	w->end = w->now + TRANSFER_LIMIT;
	w->nsessions = 1;
	w->session[0].begin = w->now;
	for (unsigned i = 0; i < 2; i++) {
		w->session[0].side[i].read_max = w->session[0].side[i].write_max = 65536;
		w->session[0].side[i].quit_at = UINT64_MAX;
	}
	w->session[0].side[0].to_send = TRANSFER_BYTES;
}

/* Run to the end of the transfer; the time it took and what was sent again go into the line. */
static void run_row(struct world *w, const struct row *row, FILE *out)
{
	usec_t begin = w->now, took;
	const struct engine_stats *st = engine_stats(w->node[0].stack[0].e);

	world_transfer(w);
	took = w->now - begin;
	fprintf(out, "%-6s %6.2f %8.1f %10.3f %8.3f %8llu %8llu\n", row->cc, row->loss_ppm / 1e4, (double)row->rtt_us / 1e3,
		TRANSFER_BYTES * 8.0 / (double)took, (double)took / 1e6, (unsigned long long)st->retrans_segs,
		(unsigned long long)st->timeouts);
}

int goodput_print(FILE *out, struct rte_mempool *const pools[2][STACKS_MAX])
{
	static struct world w;

	fprintf(out, "# One transfer of %d bytes over %d Mbit/s, queue %d bytes; made by run-sim --table\n", TRANSFER_BYTES,
		RATE_BPS / 1000000, QUEUE_BYTES);
	fprintf(out, "# cc     loss%%   rtt_ms     Mbit/s  seconds   resent timeouts\n");
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(&w, 0, sizeof(w));
		w.rng.state = 1;
		if (setjmp(w.failed)) {
			fprintf(stderr, "goodput row %u (%s, loss %u ppm, RTT %llu us): %s\n", i, rows[i].cc, rows[i].loss_ppm,
				(unsigned long long)rows[i].rtt_us, w.reason);
			world_drop(&w);
			return 1;
		}
		make_row(&w, &rows[i], pools);
		run_row(&w, &rows[i], out);
		world_drop(&w);
	}
	return 0;
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

int goodput_compare(const char *path, struct rte_mempool *const pools[2][STACKS_MAX])
{
	char *got = NULL, *want = read_all(path);
	size_t size;
	FILE *out = open_memstream(&got, &size);
	int rc = goodput_print(out, pools);

	fclose(out);
	if (!rc && (!want || strcmp(got, want))) {
		printf("goodput differs from %s; if that is meant: run-sim --table > %s\nexpected:\n%s\nactual:\n%s", path, path,
		       want ? want : "", got);
		rc = 1;
	}
	free(got);
	free(want);
	return rc;
}
