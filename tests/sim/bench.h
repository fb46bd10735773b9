/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench.h - worlds without chance in their configuration, for figures: bulk flows over links of known rate, delay, queue and
 * loss.
 */
#ifndef BENCH_H
#define BENCH_H

#include "tests/sim/world.h"

#define BENCH_MSS 1448 /* of an MTU of 1500 with timestamps */
#define BENCH_FRAME 1514
#define BENCH_FLOWS 4

/* One flow over one link; loss only of what it sends. */
struct bench_path {
	uint64_t rate_bps;
	usec_t rtt_us;
	unsigned queue_bytes, loss_ppm;
	uint64_t buffer; /* of sockets, at most; half of it is window */
	bool codel, ecn;
	unsigned mark_bytes;
	uint64_t drop_from, drop_count; /* as in struct link_config */
};

/* Packet memory, before the first world. */
bool bench_start(void *arg);
/* Two hosts and one flow from the first to the second: bytes to send, UINT64_MAX for ever. */
void bench_single(struct world *w, const char *cc, const struct bench_path *path, uint64_t bytes);
/* n flows through one bottleneck, each with its algorithm and round trip. */
void bench_shared(struct world *w, unsigned n, const char *const *cc, const usec_t *rtt_us, const struct bench_path *path);
/* Let it run; then count for a while: bits a second that each flow delivered go into bps. */
void bench_measure(struct world *w, usec_t warm_us, usec_t count_us, double *bps);
/* The link from the senders to the receivers. */
struct link *bench_bottleneck(struct world *w);

#endif
