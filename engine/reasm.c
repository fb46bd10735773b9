/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reasm.c - the receive queues: in order (small segments are copied into the tail of the last packet, so that tiny ones cannot
 * eat the pool) and out of order, sorted and without overlap, with the blocks to report by SACK (RFC 2018 section 4).
 */
#include <string.h>

#include "engine/stack.h"

/* ---- in order ---- */

/* Copying is worth it while it is small against what the mbuf would pin. */
static bool fits_tail(const struct conn *c, struct rte_mbuf *m)
{
	struct rte_mbuf *tail = c->rcvq.tail;

	return tail && pkt(m)->len <= pkt_tailroom(tail) && pkt(m)->len < m->buf_len / 4 && pkt_end(tail) == pkt(m)->seq &&
	       rte_mbuf_refcnt_read(tail) == 1;
}

void rcvq_append(struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	struct rte_mbuf *tail = c->rcvq.tail;

	if (fits_tail(c, m)) {
		memcpy(pkt_data(tail) + pkt(tail)->len, pkt_data(m), pkt(m)->len);
		pkt(tail)->len += pkt(m)->len;
		e->stats.rcv_collapsed++;
		rte_pktmbuf_free_seg(m);
		return;
	}
	e->held++;
	c->rcv_queued += pkt_truesize(m);
	pktq_push(&c->rcvq, m);
}

/* ---- out of order ---- */

/* Remember the block that [start, end) belongs to as the latest; blocks it touches become one with it. */
static void note_block(struct conn *c, seq_t start, seq_t end)
{
	struct sack_block now = {start, end}, kept[SACK_BLOCKS_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < c->nofo_recent; i++) {
		struct sack_block b = c->ofo_recent[i];

		if (seq_leq(b.start, now.end) && seq_geq(b.end, now.start)) {
			now.start = seq_min(now.start, b.start);
			now.end = seq_max(now.end, b.end);
		} else if (n < SACK_BLOCKS_MAX - 1) {
			kept[n++] = b;
		}
	}
	c->ofo_recent[0] = now;
	memcpy(&c->ofo_recent[1], kept, n * sizeof(kept[0]));
	c->nofo_recent = n + 1;
}

/* Blocks that rcv_nxt has passed are acknowledged cumulatively. */
static void forget_blocks(struct conn *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->nofo_recent; i++)
		if (seq_gt(c->ofo_recent[i].end, c->rcv_nxt) && seq_gt(c->ofo_recent[i].start, c->rcv_nxt))
			c->ofo_recent[n++] = c->ofo_recent[i];
	c->nofo_recent = n;
}

static void discard(struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	c->rcv_queued -= pkt_truesize(m);
	conn_free_pkt(e, m);
}

static void cut_front(struct rte_mbuf *m, seq_t upto)
{
	uint32_t n = upto - pkt(m)->seq;

	pkt(m)->seq += n;
	pkt(m)->off += n;
	pkt(m)->len -= n;
}

/* The last packet that begins at or before seq; NULL: none. In-order arrival behind a hole ends at the tail at once. */
static struct rte_mbuf *predecessor(struct conn *c, seq_t seq)
{
	struct rte_mbuf *prev = NULL;

	if (c->ofoq.tail && seq_leq(pkt(c->ofoq.tail)->seq, seq))
		return c->ofoq.tail;
	for (struct rte_mbuf *m = c->ofoq.head; m && seq_leq(pkt(m)->seq, seq); m = pkt(m)->next)
		prev = m;
	return prev;
}

static void link_after(struct conn *c, struct rte_mbuf *prev, struct rte_mbuf *m)
{
	struct rte_mbuf **link = prev ? &pkt(prev)->next : &c->ofoq.head;

	pkt(m)->next = *link;
	*link = m;
	if (!pkt(m)->next)
		c->ofoq.tail = m;
}

/* Remove what the new packet covers, and shorten it where a later one begins. */
static void resolve_followers(struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	struct rte_mbuf *f;

	while ((f = pkt(m)->next) && seq_lt(pkt(f)->seq, pkt_end(m))) {
		e->stats.ofo_merge++;
		if (seq_gt(pkt_end(f), pkt_end(m))) {
			pkt(m)->len = pkt(f)->seq - pkt(m)->seq;
			return;
		}
		pkt(m)->next = pkt(f)->next;
		if (!pkt(m)->next)
			c->ofoq.tail = m;
		discard(e, c, f);
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

void reasm_insert(struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	seq_t start = pkt(m)->seq, end = pkt_end(m);
	struct rte_mbuf *prev = predecessor(c, start);

	if (prev && seq_geq(pkt_end(prev), end)) {
		e->stats.ofo_merge++;
		c->dsack = (struct sack_block){start, end};
		c->dsack_pending = c->sack_ok && e->cfg.tcp.dsack;
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
		e->stats.ofo_drop++;
		rte_pktmbuf_free_seg(m);
		return;
	}
	e->held++;
	c->rcv_queued += pkt_truesize(m);
	link_after(c, prev, m);
	resolve_followers(e, c, m);
	note_block(c, start, end);
}

void reasm_merge(struct engine *e, struct conn *c)
{
	struct rte_mbuf *m;

	while ((m = c->ofoq.head) && seq_leq(pkt(m)->seq, c->rcv_nxt)) {
		pktq_pop(&c->ofoq);
		if (seq_leq(pkt_end(m), c->rcv_nxt)) {
			discard(e, c, m);
			continue;
		}
		cut_front(m, c->rcv_nxt);
		c->rcv_nxt = pkt_end(m);
		/* From queue to queue: uncharge here, charged again there unless it was copied. */
		e->held--;
		c->rcv_queued -= pkt_truesize(m);
		rcvq_append(e, c, m);
	}
	forget_blocks(c);
}

void reasm_purge(struct engine *e, struct conn *c)
{
	while (c->ofoq.head)
		discard(e, c, pktq_pop(&c->ofoq));
	c->nofo_recent = 0;
}
