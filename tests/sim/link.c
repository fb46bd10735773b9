/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link.c - one direction of a bad network; see link.h.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/link.h"

#define ETH_LEN 14
#define LARGE_LEN 100
#define ECN_MASK 3
#define ECN_CE 3
/* Frames up to this length are kept for the next one of the kind: most are born and die at the same rate. */
#define KEPT_LEN 1600

static struct frame *kept;

void link_init(struct link *l, const struct link_config *cfg, uint64_t seed)
{
	memset(l, 0, sizeof(*l));
	l->cfg = *cfg;
	l->rng.state = seed;
}

static struct frame *frame_new(const uint8_t *data, size_t len, bool corrupted)
{
	struct frame *f = kept;

	if (len <= KEPT_LEN && f)
		kept = f->next;
	else
		f = malloc(sizeof(*f) + (len <= KEPT_LEN ? KEPT_LEN : len));
	if (!f)
		abort();
	f->len = len;
	f->corrupted = corrupted;
	memcpy(f->data, data, len);
	return f;
}

void link_free(struct frame *f)
{
	if (f->len > KEPT_LEN) {
		free(f);
		return;
	}
	f->next = kept;
	kept = f;
}

/* Insert by time of arrival, behind those of the same time: most frames go to the end. */
static void insert(struct frames *q, struct frame *f)
{
	struct frame *after = q->last;

	while (after && after->at > f->at)
		after = after->prev;
	f->prev = after;
	f->next = after ? after->next : q->first;
	*(f->prev ? &f->prev->next : &q->first) = f;
	*(f->next ? &f->next->prev : &q->last) = f;
}

static struct frame *pop(struct frames *q)
{
	struct frame *f = q->first;

	q->first = f->next;
	*(f->next ? &f->next->prev : &q->last) = NULL;
	return f;
}

static bool is_ip(const struct frame *f)
{
	return f->len > ETH_LEN + 20 && f->data[12] == 0x08 && f->data[13] == 0x00;
}

/* ARP has no checksum: a wrong bit in it would be a lie, not damage, so that only IP packets are hit. */
static void corrupt(struct link *l, struct frame *f)
{
	size_t bit;

	if (!is_ip(f) || !rng_chance(&l->rng, l->cfg.corrupt_ppm) || f->corrupted)
		return;
	f->corrupted = true;
	bit = ETH_LEN * 8 + rng_below(&l->rng, (f->len - ETH_LEN) * 8);
	f->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	l->corrupted++;
}

/* RFC 3168 5: congestion experienced, if the packet's ends can use it.  The checksum is corrected, not made anew (RFC 1624). */
static bool mark(struct link *l, struct frame *f)
{
	uint8_t *tos = f->data + ETH_LEN + 1, *sum = f->data + ETH_LEN + 10;
	uint32_t check;

	if (!is_ip(f) || !(*tos & ECN_MASK))
		return false;
	check = (uint32_t)(uint16_t) ~(sum[0] << 8 | sum[1]) + (uint16_t) ~*tos;
	*tos |= ECN_CE;
	check += *tos;
	check = (check & 0xffff) + (check >> 16);
	check = (check & 0xffff) + (check >> 16);
	sum[0] = (uint8_t)(~check >> 8);
	sum[1] = (uint8_t)~check;
	l->marked++;
	return true;
}

static bool lost_evenly(struct link *l)
{
	if (!l->run_left) {
		l->run_left = 1000000 / l->cfg.loss_ppm;
		l->lose_in = rng_below(&l->rng, l->run_left);
	}
	l->run_left--;
	return l->lose_in-- == 0;
}

static bool is_lost(struct link *l, size_t len)
{
	if (len >= LARGE_LEN) {
		l->large++;
		if (l->large >= l->cfg.drop_from && l->large - l->cfg.drop_from < l->cfg.drop_count)
			return true;
	}
	if (l->cfg.even_loss && l->cfg.loss_ppm)
		return lost_evenly(l);
	if (rng_chance(&l->rng, l->spell ? l->cfg.spell_end_ppm : l->cfg.spell_ppm))
		l->spell = !l->spell;
	return rng_chance(&l->rng, l->spell ? l->cfg.spell_loss_ppm : l->cfg.loss_ppm);
}

static void fly(struct link *l, struct frame *f, usec_t at)
{
	if (rng_chance(&l->rng, l->cfg.reorder_ppm))
		at += 1 + rng_below(&l->rng, l->cfg.reorder_us + 1);
	f->at = at;
	corrupt(l, f);
	insert(&l->flight, f);
}

/* The frame leaves the interface, which was free at `start`, now or soon. */
static void transmit(struct link *l, struct frame *f, uint64_t start_ns)
{
	usec_t at;

	if (l->cfg.rate_bps) {
		start_ns += f->len * 8 * 1000000000 / l->cfg.rate_bps;
		l->busy_ns = start_ns;
	}
	at = (start_ns + 999) / 1000 + l->cfg.delay_us;
	if (is_lost(l, f->len)) {
		l->lost++;
		link_free(f);
		return;
	}
	if (rng_chance(&l->rng, l->cfg.dup_ppm))
		fly(l, frame_new(f->data, f->len, f->corrupted), at);
	fly(l, f, at);
}

/* First in, first out: when the frame will leave is known when it comes. */
static void drop_tail(struct link *l, struct frame *f, usec_t now)
{
	uint64_t start = l->busy_ns > now * 1000 ? l->busy_ns : now * 1000;
	uint64_t waiting = (start - now * 1000) * l->cfg.rate_bps / 8 / 1000000000;

	if (l->cfg.rate_bps && waiting > l->cfg.queue_bytes) {
		l->overflowed++;
		link_free(f);
		return;
	}
	if (l->cfg.mark_bytes && waiting > l->cfg.mark_bytes)
		mark(l, f);
	l->waited_us += start / 1000 - now;
	l->waiters++;
	transmit(l, f, start);
}

/* What leaves a CoDel queue is decided when the interface is free for it. */
static void serve(struct link *l, usec_t now)
{
	while (l->queue.first && l->busy_ns <= now * 1000) {
		struct frame *f = pop(&l->queue);
		uint64_t start = l->busy_ns > f->at * 1000 ? l->busy_ns : f->at * 1000;
		usec_t sojourn = start / 1000 - f->at;

		l->queued -= f->len;
		if (codel_judge(&l->codel, sojourn, l->queued, start / 1000) && !(l->cfg.ecn && mark(l, f))) {
			l->overflowed++;
			link_free(f);
			continue;
		}
		l->waited_us += sojourn;
		l->waiters++;
		transmit(l, f, start);
	}
}

static void enqueue(struct link *l, struct frame *f, usec_t now)
{
	if (l->queued > l->cfg.queue_bytes) {
		l->overflowed++;
		link_free(f);
		return;
	}
	f->at = now;
	l->queued += f->len;
	insert(&l->queue, f);
	serve(l, now);
}

bool link_send(struct link *l, const uint8_t *data, size_t len, bool corrupted, usec_t now)
{
	struct frame *f;

	l->sent++;
	if (l->down) {
		l->lost++;
		return true;
	}
	if (l->cfg.mtu && len > l->cfg.mtu + ETH_LEN) {
		l->too_big++;
		return l->cfg.silent;
	}
	f = frame_new(data, len, corrupted);
	if (l->cfg.codel && l->cfg.rate_bps)
		enqueue(l, f, now);
	else
		drop_tail(l, f, now);
	return true;
}

usec_t link_next(const struct link *l)
{
	usec_t next = l->flight.first ? l->flight.first->at : USEC_NEVER, free_at = (l->busy_ns + 999) / 1000;

	return l->queue.first && free_at < next ? free_at : next;
}

struct frame *link_take(struct link *l, usec_t now)
{
	if (l->queue.first)
		serve(l, now);
	return l->flight.first && l->flight.first->at <= now ? pop(&l->flight) : NULL;
}

void link_clear(struct link *l)
{
	while (l->queue.first)
		link_free(pop(&l->queue));
	while (l->flight.first)
		link_free(pop(&l->flight));
}
