/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link.h - one direction of a bad network: a rate with a drop-tail queue, a delay, and chances of loss, duplication, reordering
 * and corruption.
 */
#ifndef LINK_H
#define LINK_H

#include <stddef.h>

#include "engine/engine.h"
#include "tests/sim/rng.h"

struct link_config {
	uint64_t rate_bps; /* 0: without limit */
	usec_t delay_us;
	unsigned queue_bytes; /* what waits for the rate; more is dropped */
	unsigned loss_ppm, dup_ppm, corrupt_ppm, reorder_ppm;
	usec_t reorder_us; /* how much longer a reordered frame takes, at most */
};

/* A frame under way. */
struct flight {
	struct flight *prev, *next;
	usec_t at; /* arrival */
	size_t len;
	uint8_t data[];
};

struct link {
	struct link_config cfg;
	struct rng *rng;
	struct flight *first, *last; /* by time of arrival */
	uint64_t busy_ns;	     /* when the sender's interface is free, nanoseconds */
	uint64_t sent, lost, overflowed, corrupted;
};

void link_init(struct link *l, const struct link_config *cfg, struct rng *rng);
/* Give a frame to the link; copies it. */
void link_send(struct link *l, const uint8_t *data, size_t len, usec_t now);
/* When the next frame arrives; USEC_NEVER if none is under way. */
usec_t link_next(const struct link *l);
/* Take the next frame if it has arrived by now, else NULL; the caller frees it. */
struct flight *link_take(struct link *l, usec_t now);
void link_clear(struct link *l);

#endif
