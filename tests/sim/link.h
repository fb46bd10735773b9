/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link.h - one direction of a bad network: a rate with a queue (drop-tail, CoDel, or marking above a threshold), a delay, an MTU,
 * and chances of loss (alone or in bursts), duplication, reordering and corruption.  It can be taken down and up.
 */
#ifndef LINK_H
#define LINK_H

#include <stddef.h>

#include "engine/engine.h"
#include "tests/sim/codel.h"
#include "tests/sim/rng.h"

struct link_config {
	uint64_t rate_bps; /* 0: without limit */
	usec_t delay_us;
	unsigned queue_bytes; /* what waits for the rate; more is dropped */
	bool codel, ecn;      /* the queue's discipline; packets that can be are marked instead of dropped */
	unsigned mark_bytes;  /* mark what meets so much in the queue (RFC 8257's step); 0: never */
	unsigned mtu;	      /* of IP packets; 0: any */
	bool silent;	      /* what is larger than the MTU vanishes without a word: a black hole */
	unsigned loss_ppm, dup_ppm, corrupt_ppm, reorder_ppm;
	bool even_loss;	   /* one in each run of as many frames as loss_ppm has it, anywhere in it: less luck in figures */
	usec_t reorder_us; /* how much longer a reordered frame takes, at most */
	/* Gilbert-Elliott: chances per frame that a bad spell begins and ends, and of loss within it. */
	unsigned spell_ppm, spell_end_ppm, spell_loss_ppm;
	/* Frames of at least 100 bytes that are dropped: the first of them by its number from 1 on, and how many. */
	uint64_t drop_from, drop_count;
};

/* A frame under way. */
struct frame {
	struct frame *prev, *next;
	usec_t at; /* arrival; in a queue: when it came */
	size_t len;
	bool corrupted; /* a bit of it was turned; of two, the checksum may notice neither (RFC 1071): no link turns another */
	uint8_t data[];
};

struct frames {
	struct frame *first, *last;
};

struct link {
	struct link_config cfg;
	struct rng rng;
	bool down, spell;
	struct frames flight; /* by time of arrival */
	struct frames queue;  /* CoDel's: what waits for the rate */
	unsigned queued;      /* bytes of it */
	uint64_t busy_ns;     /* when the sender's interface is free, nanoseconds */
	struct codel codel;
	uint64_t run_left, lose_in; /* of even loss: frames until the run ends, until the loss */
	uint64_t sent, lost, overflowed, corrupted, marked, too_big, large;
	uint64_t waited_us, waiters; /* time in the queue, of how many frames */
};

void link_init(struct link *l, const struct link_config *cfg, uint64_t seed);
/* Give a frame to the link; copies it; corrupted: on another link, before.  False: larger than the MTU, and the sender is to hear
 * of it. */
bool link_send(struct link *l, const uint8_t *data, size_t len, bool corrupted, usec_t now);
/* When link_take() has something to do next; USEC_NEVER if nothing is under way. */
usec_t link_next(const struct link *l);
/* Take the next frame that has arrived by now, else NULL; the caller hands it to link_free(). */
struct frame *link_take(struct link *l, usec_t now);
void link_free(struct frame *f);
void link_clear(struct link *l);

#endif
