/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * link.c - one direction of a bad network; see link.h.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/link.h"

#define ETH_LEN 14

void link_init(struct link *l, const struct link_config *cfg, struct rng *rng)
{
	memset(l, 0, sizeof(*l));
	l->cfg = *cfg;
	l->rng = rng;
}

/* Insert by time of arrival, behind those of the same time: most frames go to the end. */
static void insert(struct link *l, struct flight *f)
{
	struct flight *after = l->last;

	while (after && after->at > f->at)
		after = after->prev;
	f->prev = after;
	f->next = after ? after->next : l->first;
	*(f->prev ? &f->prev->next : &l->first) = f;
	*(f->next ? &f->next->prev : &l->last) = f;
}

/* ARP has no checksum: a wrong bit in it would be a lie, not damage, so that only IP packets are hit. */
static void corrupt(struct link *l, struct flight *f)
{
	size_t bit;

	if (f->len <= ETH_LEN || f->data[12] != 0x08 || f->data[13] != 0x00 || !rng_chance(l->rng, l->cfg.corrupt_ppm))
		return;
	bit = ETH_LEN * 8 + rng_below(l->rng, (f->len - ETH_LEN) * 8);
	f->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	l->corrupted++;
}

static void fly(struct link *l, const uint8_t *data, size_t len, usec_t at)
{
	struct flight *f = malloc(sizeof(*f) + len);

	if (!f)
		abort();
	if (rng_chance(l->rng, l->cfg.reorder_ppm))
		at += 1 + rng_below(l->rng, l->cfg.reorder_us + 1);
	f->at = at;
	f->len = len;
	memcpy(f->data, data, len);
	corrupt(l, f);
	insert(l, f);
}

void link_send(struct link *l, const uint8_t *data, size_t len, usec_t now)
{
	uint64_t start = l->busy_ns > now * 1000 ? l->busy_ns : now * 1000, waiting;

	l->sent++;
	if (l->cfg.rate_bps) {
		waiting = (start - now * 1000) * l->cfg.rate_bps / 8 / 1000000000;
		if (waiting > l->cfg.queue_bytes) {
			l->overflowed++;
			return;
		}
		start += len * 8 * 1000000000 / l->cfg.rate_bps;
		l->busy_ns = start;
	}
	if (rng_chance(l->rng, l->cfg.loss_ppm)) {
		l->lost++;
		return;
	}
	fly(l, data, len, (start + 999) / 1000 + l->cfg.delay_us);
	if (rng_chance(l->rng, l->cfg.dup_ppm))
		fly(l, data, len, (start + 999) / 1000 + l->cfg.delay_us);
}

usec_t link_next(const struct link *l)
{
	return l->first ? l->first->at : USEC_NEVER;
}

struct flight *link_take(struct link *l, usec_t now)
{
	struct flight *f = l->first;

	if (!f || f->at > now)
		return NULL;
	l->first = f->next;
	*(f->next ? &f->next->prev : &l->last) = NULL;
	return f;
}

void link_clear(struct link *l)
{
	for (struct flight *f = link_take(l, USEC_NEVER); f; f = link_take(l, USEC_NEVER))
		free(f);
}
