/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sack.c - what the peer's SACK blocks say (RFC 2018, RFC 2883): which packets it holds, and which it got twice.
 *
 * A window may hold 100,000 packets, and the peer chooses the blocks, so that no block may cost a walk through the window.
 * Packets that are SACKed and follow each other are a run: the first of it knows the last, and a walk takes it in one step.  A
 * walk begins at one of the places where recent blocks began, which is where the next block of an honest peer begins or is close
 * to. And all walks of one ACK together end after SACK_STEPS_MAX steps: what was not reached counts as not SACKed, and the next
 * ACK goes on from there.  Packets newly SACKed cost nothing of that: each is so once.
 */
#include "engine/tcp_input.h"

#define SACK_STEPS_MAX 256

struct rte_mbuf *sack_run_last(struct rte_mbuf *m, unsigned *steps)
{
	struct rte_mbuf *last = m, *next;

	while (*steps && (next = pkt(last)->run ? pkt(last)->run : pkt(last)->next) && (pkt(next)->flags & PKT_SACKED)) {
		last = next;
		--*steps;
	}
	if (last != m)
		pkt(m)->run = last;
	return last;
}

void sack_forget_below(struct conn *c, seq_t ack)
{
	unsigned n = 0;

	if (!c->repair->sack_hint[0])
		return;
	for (unsigned i = 0; i < SACK_HINTS && c->repair->sack_hint[i]; i++)
		if (seq_geq(pkt(c->repair->sack_hint[i])->seq, ack))
			c->repair->sack_hint[n++] = c->repair->sack_hint[i];
	while (n < SACK_HINTS)
		c->repair->sack_hint[n++] = NULL;
}

void sack_forget_all(struct conn *c)
{
	memset(c->repair->sack_hint, 0, sizeof(c->repair->sack_hint));
}

/* The hint closest to seq from below; SACK_HINTS: none. */
static unsigned nearest_hint(const struct conn *c, seq_t seq)
{
	unsigned best = SACK_HINTS;

	for (unsigned i = 0; i < SACK_HINTS && c->repair->sack_hint[i]; i++) {
		seq_t at = pkt(c->repair->sack_hint[i])->seq;

		if (seq_leq(at, seq) && (best == SACK_HINTS || seq_gt(at, pkt(c->repair->sack_hint[best])->seq)))
			best = i;
	}
	return best;
}

/* m takes the place of hint `from`, or of the one that was not used for longest, and becomes the latest. */
static void set_hint(struct conn *c, unsigned from, struct rte_mbuf *m)
{
	if (from == SACK_HINTS)
		from--;
	memmove(&c->repair->sack_hint[1], &c->repair->sack_hint[0], from * sizeof(c->repair->sack_hint[0]));
	c->repair->sack_hint[0] = m;
}

/* The first packet that begins at seq or behind it; NULL: there is none, or it is too far away for this ACK. */
static struct rte_mbuf *find_start(struct conn *c, seq_t seq, unsigned *steps)
{
	unsigned from = nearest_hint(c, seq);
	struct rte_mbuf *m = from < SACK_HINTS ? c->repair->sack_hint[from] : c->sndq.head, *last = m;

	while (m && m != c->snd_new && seq_lt(pkt(m)->seq, seq) && *steps) {
		if (pkt(m)->flags & PKT_SACKED)
			m = sack_run_last(m, steps);
		last = m;
		m = pkt(m)->next;
		if (*steps)
			--*steps;
	}
	if (!m || m == c->snd_new) {
		if (last && last != c->snd_new)
			set_hint(c, from, last);
		return NULL;
	}
	set_hint(c, from, m);
	return seq_geq(pkt(m)->seq, seq) ? m : NULL;
}

static void mark_sacked(struct input *in, struct rte_mbuf *m, struct ack *a)
{
	struct conn *c = in->c;
	struct pkt *p = pkt(m);

	rack_delivered(in, m);
	if (!(p->flags & PKT_EVER_RETRANS) && !a->rtt && !a->acked)
		a->rtt = (uint32_t)in->e->now - p->sent_at;
	in->rate.packets++;
	rate_delivered(&in->rate, m);
	recovery_forget(c, m, p->len);
	p->flags = (p->flags & ~(PKT_LOST | PKT_RETRANS)) | PKT_SACKED;
	p->run = NULL;
	c->sacked_out += p->len;
	c->repair->sacked_pkts++;
	c->high_sacked = seq_max(c->high_sacked, pkt_end(m));
	a->sacked += p->len;
	a->delivered += p->len;
}

static void sack_range(struct input *in, const struct sack_block *b, struct ack *a, unsigned *steps)
{
	struct conn *c = in->c;
	struct rte_mbuf *m = find_start(c, b->start, steps), *first = m, *last = NULL;

	while (m && m != c->snd_new && *steps && seq_leq(pkt_end(m), b->end)) {
		if (pkt(m)->flags & PKT_SACKED) {
			m = sack_run_last(m, steps);
			if (*steps)
				--*steps;
		} else {
			mark_sacked(in, m, a);
		}
		last = m;
		m = pkt(m)->next;
	}
	/* All of it is one run now. */
	if (last && last != first)
		pkt(first)->run = last;
}

/* RFC 2883 section 4: the first block reports a duplicate if it lies below the ACK or within the second block. */
static bool is_dsack(const struct seg *s)
{
	const struct sack_block *b = &s->sack[0];

	if (seq_lt(b->start, s->ack))
		return seq_leq(b->end, s->ack);
	return s->nsack > 1 && seq_geq(b->start, s->sack[1].start) && seq_leq(b->end, s->sack[1].end);
}

static bool block_valid(const struct conn *c, const struct sack_block *b)
{
	return seq_lt(b->start, b->end) && seq_leq(b->end, c->snd_nxt) && seq_geq(b->start, c->snd_una);
}

static void take_dsack(struct input *in, const struct sack_block *b, struct ack *a)
{
	struct conn *c = in->c;
	uint32_t segs = seq_lt(b->start, b->end) ? (b->end - b->start + c->mss - 1) / c->mss : 1;

	a->dsack = true;
	extra_of(in->e, c)->dsack_dups += segs;
	in->e->stats.dsack_recv++;
	undo_duplicate(c, b, segs);
	if (c->tlp_out && b->end == c->repair->tlp_end_seq)
		in->tlp_duplicate = true;
}

void sack_blocks(struct input *in, struct ack *a)
{
	struct conn *c = in->c;
	const struct seg *s = &in->seg;
	unsigned first = 0, steps = SACK_STEPS_MAX;

	if (!c->sack_ok || !s->nsack)
		return;
	if (is_dsack(s)) {
		take_dsack(in, &s->sack[0], a);
		first = 1;
	}
	if (s->nsack == first || !repair_begin(in->e, c))
		return;
	for (unsigned i = first; i < s->nsack; i++) {
		if (block_valid(c, &s->sack[i]))
			sack_range(in, &s->sack[i], a, &steps);
		else if (seq_gt(s->sack[i].end, c->snd_una))
			in->e->stats.sack_discard++;
	}
}
