/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reasm.c - the receive queues: in order (small segments are copied into the tail of the last packet, so that tiny ones cannot
 * eat the pool) and out of order, sorted and without overlap, with the blocks to report by SACK (RFC 2018 section 4).
 */
#include <string.h>

#include "engine/notice.h"
#include "engine/stack.h"

/* ---- in order ---- */

/* Copying is worth it while it is small against what the mbuf would pin, of so many bytes. */
static bool fits_tail(struct rte_mbuf *tail, seq_t seq, uint32_t len, uint32_t pinned)
{
	return tail && len <= pkt_tailroom(tail) && len < pinned / 4 && pkt_end(tail) == seq && rte_mbuf_refcnt_read(tail) == 1;
}

bool rcvq_copy(struct engine *e, struct conn *c, struct rte_mbuf *m, seq_t seq, const void *data, uint32_t len)
{
	struct rte_mbuf *tail = c->rcvq.tail;

	if (!fits_tail(tail, seq, len, m->buf_len))
		return false;
	memcpy(pkt_data(tail) + pkt(tail)->len, data, len);
	pkt(tail)->len += len;
	e->stats.rcv_collapsed++;
	return true;
}

void rcvq_push(struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	conn_charge_rcv(e, c, m);
	pktq_push(&c->rcvq, m);
}

void rcvq_append(struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	struct rte_mbuf *tail = c->rcvq.tail;

	if (rcvq_copy(e, c, m, pkt(m)->seq, pkt_data(m), pkt(m)->len)) {
		if (c->rx_stamp)
			notice_merge(tail, m);
		engine_free(e, m);
		return;
	}
	rcvq_push(e, c, m);
}

/* ---- out of order ---- */

/* Remember the block that [start, end) belongs to as the latest; blocks it touches become one with it. */
static void note_block(struct conn *c, seq_t start, seq_t end)
{
	struct sack_block now = {start, end}, kept[SACK_BLOCKS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < c->nofo_recent; i++) {
		struct sack_block b = c->repair->ofo_recent[i];

		if (seq_leq(b.start, now.end) && seq_geq(b.end, now.start)) {
			now.start = seq_min(now.start, b.start);
			now.end = seq_max(now.end, b.end);
		} else if (n < SACK_BLOCKS_MAX - 1) {
			kept[n++] = b;
		}
	}
	c->repair->ofo_recent[0] = now;
	memcpy(&c->repair->ofo_recent[1], kept, n * sizeof(kept[0]));
	c->nofo_recent = n + 1;
}

/* Blocks that rcv_nxt has passed are acknowledged cumulatively. */
static void forget_blocks(struct conn *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->nofo_recent; i++)
		if (seq_gt(c->repair->ofo_recent[i].end, c->rcv_nxt) && seq_gt(c->repair->ofo_recent[i].start, c->rcv_nxt))
			c->repair->ofo_recent[n++] = c->repair->ofo_recent[i];
	c->nofo_recent = n;
}

static void discard(struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	conn_uncharge_rcv(e, c, m);
	engine_free(e, m);
}

static void cut_front(struct rte_mbuf *m, seq_t upto)
{
	uint32_t n = upto - pkt(m)->seq;

	pkt(m)->seq += n;
	pkt(m)->off += n;
	pkt(m)->len -= n;
}

/* In-order arrival behind a hole is the usual case: such a packet goes behind the last one, and needs a place on the lanes as
 * seldom as any other. */
static void find_place(struct conn *c, seq_t seq, uint32_t random, struct ofoq_place *at)
{
	bool behind_all = c->repair->ofoq.tail && seq_geq(seq, pkt_end(c->repair->ofoq.tail)),
	     on_lane = !(random & ((1 << OFOQ_LANE_BITS) - 1));

	if (behind_all && !on_lane)
		*at = (struct ofoq_place){.prev = c->repair->ofoq.tail};
	else
		ofoq_find(&c->repair->ofoq, seq, at);
}

/* Remove what the new packet covers, and shorten it where a later one begins. */
static void resolve_followers(struct engine *e, struct conn *c, struct ofoq_place *at)
{
	struct rte_mbuf *m = at->prev, *f;

	while ((f = pkt(m)->next) && seq_lt(pkt(f)->seq, pkt_end(m))) {
		e->stats.ofo_merge++;
		if (seq_gt(pkt_end(f), pkt_end(m))) {
			pkt(m)->len = pkt(f)->seq - pkt(m)->seq;
			return;
		}
		discard(e, c, ofoq_remove(&c->repair->ofoq, at));
	}
}

/* A small packet right behind the tail of its predecessor moves in with it. */
static bool coalesce(struct engine *e, struct rte_mbuf *prev, struct rte_mbuf *m)
{
	struct rte_mbuf *follower = prev ? pkt(prev)->next : NULL;

	if (!prev || pkt_end(prev) != pkt(m)->seq || pkt(m)->len > pkt_tailroom(prev) || pkt(m)->len >= m->buf_len / 4 ||
	    rte_mbuf_refcnt_read(prev) != 1 || (follower && seq_lt(pkt(follower)->seq, pkt_end(m))))
		return false;
	memcpy(pkt_data(prev) + pkt(prev)->len, pkt_data(m), pkt(m)->len);
	pkt(prev)->len += pkt(m)->len;
	e->stats.rcv_collapsed++;
	rte_pktmbuf_free_seg(m);
	return true;
}

/* Is everything up to end there, in prev or in prev and the packet that begins where it ends? */
static bool nothing_new(struct rte_mbuf *prev, seq_t end)
{
	struct rte_mbuf *next = pkt(prev)->next;

	if (seq_geq(pkt_end(prev), end))
		return true;
	return next && pkt(next)->seq == pkt_end(prev) && seq_geq(pkt_end(next), end);
}

void reasm_duplicate(struct engine *e, struct conn *c, seq_t start, seq_t end)
{
	if (!c->sack_ok || !e->cfg.tcp.dsack || !repair_begin(e, c))
		return;
	c->repair->dsack = (struct sack_block){start, end};
	c->dsack_pending = true;
}

static void drop(struct engine *e, struct rte_mbuf *m)
{
	e->stats.ofo_drop++;
	rte_pktmbuf_free_seg(m);
}

void reasm_insert(struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	seq_t start = pkt(m)->seq, end = pkt_end(m);
	uint32_t random = (uint32_t)engine_random(e);
	struct ofoq_place at;
	struct rte_mbuf *prev;

	if (!repair_begin(e, c)) {
		drop(e, m);
		return;
	}
	find_place(c, start, random, &at);
	prev = at.prev;
	if (prev && nothing_new(prev, end)) {
		e->stats.ofo_merge++;
		reasm_duplicate(e, c, start, end);
		note_block(c, pkt(prev)->seq, pkt_end(prev));
		rte_pktmbuf_free_seg(m);
		return;
	}
	if (prev && seq_gt(pkt_end(prev), start)) {
		e->stats.ofo_merge++;
		cut_front(m, pkt_end(prev));
	}
	if (coalesce(e, prev, m)) {
		note_block(c, start, end);
		return;
	}
	if (c->rcv_queued > c->rcvbuf) {
		drop(e, m);
		return;
	}
	conn_charge_rcv(e, c, m);
	ofoq_insert(&c->repair->ofoq, &at, m, random);
	resolve_followers(e, c, &at);
	note_block(c, start, end);
}

void reasm_merge(struct engine *e, struct conn *c)
{
	struct rte_mbuf *m;

	while ((m = c->repair->ofoq.head) && seq_leq(pkt(m)->seq, c->rcv_nxt)) {
		ofoq_pop(&c->repair->ofoq);
		if (seq_leq(pkt_end(m), c->rcv_nxt)) {
			discard(e, c, m);
			continue;
		}
		cut_front(m, c->rcv_nxt);
		c->rcv_nxt = pkt_end(m);
		/* From queue to queue: uncharge here, charged again there unless it was copied. */
		conn_uncharge_rcv(e, c, m);
		rcvq_append(e, c, m);
	}
	forget_blocks(c);
	repair_settle(e, c);
}

void reasm_purge(struct engine *e, struct conn *c)
{
	while (conn_has_hole(c))
		discard(e, c, ofoq_pop(&c->repair->ofoq));
	c->nofo_recent = 0;
}
