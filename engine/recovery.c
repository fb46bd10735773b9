/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * recovery.c - what is lost and when to send it again: the scoreboard (RFC 2018, RFC 6675), fast retransmit and fast recovery
 * (RFC 5681, RFC 6582 without SACK), and the state after a timeout.  Knows nothing of how a window grows: that is cc's.
 *
 * Each packet in flight is in one of three conditions: in the network, SACKED, or LOST; one that is sent again is in the network
 * again. pipe = flight - sacked - lost.  Without SACK every duplicate ACK stands for one segment that left the network.
 */
#include "engine/tcp_input.h"

uint32_t recovery_pipe(const struct conn *c)
{
	uint32_t gone = c->sacked_out + c->lost_out, flight = conn_flight(c) - (c->fin_sent && !c->fin_acked);

	return flight > gone ? flight - gone : 0;
}

void recovery_forget(struct conn *c, struct rte_mbuf *m, uint32_t bytes)
{
	uint8_t flags = pkt(m)->flags;

	if (flags & PKT_SACKED)
		c->sacked_out -= bytes;
	if (flags & PKT_LOST)
		c->lost_out -= bytes;
	if (flags & PKT_RETRANS)
		c->retrans_out -= bytes;
}

static void mark_lost(struct conn *c, struct rte_mbuf *m)
{
	struct pkt *p = pkt(m);

	if (p->flags & (PKT_LOST | PKT_SACKED))
		return;
	if (p->flags & PKT_RETRANS)
		c->retrans_out -= p->len;
	p->flags = (p->flags & ~PKT_RETRANS) | PKT_LOST;
	c->lost_out += p->len;
	rate_lost(c, m);
	if (!c->rtx_hint || seq_lt(p->seq, pkt(c->rtx_hint)->seq))
		c->rtx_hint = m;
}

static void mark_sacked(struct input *in, struct rte_mbuf *m, struct ack *a)
{
	struct conn *c = in->c;
	struct pkt *p = pkt(m);

	recovery_forget(c, m, p->len);
	if (!(p->flags & PKT_EVER_RETRANS) && !a->rtt && !a->acked)
		a->rtt = (uint32_t)in->e->now - p->sent_at;
	in->rate.packets++;
	rate_delivered(&in->rate, m);
	p->flags = (p->flags & ~(PKT_LOST | PKT_RETRANS)) | PKT_SACKED;
	c->sacked_out += p->len;
	c->high_sacked = seq_max(c->high_sacked, pkt_end(m));
	a->sacked += p->len;
	a->delivered += p->len;
}

struct rte_mbuf *recovery_next_lost(struct conn *c)
{
	struct rte_mbuf *m = c->rtx_hint ? c->rtx_hint : c->sndq.head;

	if (!c->lost_out)
		return NULL;
	while (m && m != c->snd_new && !(pkt(m)->flags & PKT_LOST))
		m = pkt(m)->next;
	c->rtx_hint = m == c->snd_new ? NULL : m;
	return c->rtx_hint;
}

void recovery_retransmitted(struct conn *c, struct rte_mbuf *m)
{
	struct pkt *p = pkt(m);

	if (p->flags & PKT_LOST)
		c->lost_out -= p->len;
	if (!(p->flags & PKT_RETRANS))
		c->retrans_out += p->len;
	p->flags = (p->flags & ~PKT_LOST) | PKT_RETRANS | PKT_EVER_RETRANS;
}

/* ---- SACK ---- */

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

static void sack_range(struct input *in, const struct sack_block *b, struct ack *a)
{
	struct conn *c = in->c;

	for (struct rte_mbuf *m = c->sndq.head; m && m != c->snd_new && seq_lt(pkt(m)->seq, b->end); m = pkt(m)->next)
		if (seq_geq(pkt(m)->seq, b->start) && seq_leq(pkt_end(m), b->end) && !(pkt(m)->flags & PKT_SACKED))
			mark_sacked(in, m, a);
}

void recovery_sack(struct input *in, struct ack *a)
{
	struct engine *e = in->e;
	struct conn *c = in->c;
	const struct seg *s = &in->seg;
	unsigned first = 0;

	if (!c->sack_ok)
		return;
	if (is_dsack(s)) {
		a->dsack = true;
		c->dsack_dups++;
		e->stats.dsack_recv++;
		first = 1;
	}
	for (unsigned i = first; i < s->nsack; i++) {
		if (block_valid(c, &s->sack[i]))
			sack_range(in, &s->sack[i], a);
		else if (seq_gt(s->sack[i].end, c->snd_una))
			e->stats.sack_discard++;
	}
}

/* RFC 6675 section 4, IsLost(): more than (DupThresh - 1) * SMSS bytes above it have been SACKed. */
static void mark_lost_by_sack(const struct engine *e, struct conn *c)
{
	uint32_t above = c->sacked_out, enough = (e->cfg.tcp.reordering - 1) * c->mss;

	for (struct rte_mbuf *m = c->sndq.head; m && m != c->snd_new && above > enough; m = pkt(m)->next) {
		if (pkt(m)->flags & PKT_SACKED)
			above -= pkt(m)->len;
		else if (!(pkt(m)->flags & PKT_RETRANS))
			mark_lost(c, m);
	}
}

/* ---- states ---- */

static void remember_window(struct conn *c)
{
	c->prior_cwnd = c->cc.cwnd;
	c->prior_ssthresh = c->cc.ssthresh;
	c->recovery_point = c->snd_nxt;
}

/* RFC 5681 3.2 step 2, RFC 6675 section 5 (4). */
static void enter_recovery(struct engine *e, struct conn *c)
{
	remember_window(c);
	c->cc.ssthresh = cc_ops(c->cc.algo)->on_loss(&c->cc, e->now);
	c->cc.cwnd = c->cc.ssthresh;
	c->ca_state = CA_RECOVERY;
	c->fast_retransmit = true;
	if (c->sack_ok)
		e->stats.sack_recovery++;
	else
		e->stats.reno_recovery++;
}

static void leave_recovery(struct conn *c)
{
	if (c->ca_state == CA_RECOVERY)
		c->cc.cwnd = c->cc.ssthresh;
	c->ca_state = CA_OPEN;
	c->dupacks = 0;
	c->fast_retransmit = false;
	if (!c->sack_ok)
		c->sacked_out = 0;
}

/* Each duplicate ACK is a segment that left the network; never more than what is outstanding behind the first hole. */
static void count_reno_dupack(struct conn *c)
{
	uint32_t flight = conn_flight(c), most;

	most = flight > c->mss + c->lost_out ? flight - c->mss - c->lost_out : 0;
	c->sacked_out += c->mss;
	if (c->sacked_out > most)
		c->sacked_out = most;
}

static void uncount_reno(struct conn *c, uint32_t acked)
{
	uint32_t beyond = acked > c->mss ? acked - c->mss : 0;

	c->sacked_out = c->sacked_out > beyond ? c->sacked_out - beyond : 0;
}

static void count_dupack(struct conn *c, const struct ack *a)
{
	bool counts = c->sack_ok ? a->sacked > 0 : a->is_dup;

	if (!counts)
		return;
	if (c->dupacks < UINT8_MAX)
		c->dupacks++;
	if (!c->sack_ok)
		count_reno_dupack(c);
}

static void mark_head_lost(struct conn *c)
{
	struct rte_mbuf *m = c->sndq.head;

	if (m && m != c->snd_new && !(pkt(m)->flags & PKT_RETRANS))
		mark_lost(c, m);
}

/* Recovery goes on: find out what else is missing. A partial ACK names the next hole itself (RFC 6582 3.2 step 3). */
static void continue_recovery(struct engine *e, struct conn *c, const struct ack *a)
{
	if (!c->sack_ok && a->acked)
		uncount_reno(c, a->acked);
	if (c->sack_ok)
		mark_lost_by_sack(e, c);
	if (a->acked) {
		mark_head_lost(c);
		c->fast_retransmit = c->lost_out > 0;
	}
	if (c->lost_out)
		tcp_want_output(e, c);
}

static void look_for_loss(struct engine *e, struct conn *c, const struct ack *a)
{
	if (a->acked) {
		c->dupacks = 0;
		if (!c->sack_ok)
			c->sacked_out = 0;
	}
	count_dupack(c, a);
	c->ca_state = c->sacked_out || c->dupacks ? CA_DISORDER : CA_OPEN;
	if (c->ca_state == CA_OPEN)
		return;
	if (c->sack_ok)
		mark_lost_by_sack(e, c);
	if (c->dupacks >= e->cfg.tcp.reordering)
		mark_head_lost(c);
	if (c->lost_out)
		enter_recovery(e, c);
	/* The pipe shrank: limited transmit (RFC 3042), or the retransmission. */
	tcp_want_output(e, c);
}

void recovery_on_ack(struct engine *e, struct conn *c, struct ack *a)
{
	bool done = seq_geq(c->snd_una, c->recovery_point);

	switch ((enum ca_state)c->ca_state) {
	case CA_RECOVERY:
		if (a->acked && done) {
			leave_recovery(c);
			return;
		}
		count_dupack(c, a);
		continue_recovery(e, c, a);
		return;
	case CA_LOSS:
		if (a->acked && done)
			leave_recovery(c);
		break;
	default:
		look_for_loss(e, c, a);
		if (c->ca_state == CA_RECOVERY)
			return;
		break;
	}
	if (a->acked && cc_ops(c->cc.algo)->on_ack)
		cc_ops(c->cc.algo)->on_ack(&c->cc, a);
}

/* RFC 5681 3.1 (4), RFC 6298 5.4-5.6: one segment, and everything that was not SACKed is taken for lost. */
void recovery_on_timeout(struct engine *e, struct conn *c)
{
	struct rte_mbuf *head = c->sndq.head;
	bool reneged = head && head != c->snd_new && (pkt(head)->flags & PKT_SACKED);

	if (c->ca_state != CA_LOSS || seq_geq(c->snd_una, c->recovery_point)) {
		remember_window(c);
		c->cc.ssthresh = cc_ops(c->cc.algo)->on_loss(&c->cc, e->now);
	}
	cc_ops(c->cc.algo)->on_timeout(&c->cc, e->now);
	c->cc.cwnd = c->mss;
	c->recovery_point = c->snd_nxt;
	c->ca_state = CA_LOSS;
	c->dupacks = 0;
	c->fast_retransmit = false;
	if (!c->sack_ok)
		c->sacked_out = 0;
	for (struct rte_mbuf *m = head; m && m != c->snd_new; m = pkt(m)->next) {
		/* A receiver that discards what it SACKed leaves the head SACKed but not acknowledged (RFC 2018 8). */
		if (reneged && (pkt(m)->flags & PKT_SACKED)) {
			c->sacked_out -= pkt(m)->len;
			pkt(m)->flags &= ~PKT_SACKED;
		}
		mark_lost(c, m);
	}
	if (c->fin_sent && !c->fin_acked)
		c->fin_due = true;
}

/* RFC 7413 4.2.1: the SYN,ACK left the SYN's data out. */
void recovery_syn_data_refused(struct engine *e, struct conn *c)
{
	mark_lost(c, c->sndq.head);
	c->fast_retransmit = true;
	tcp_want_output(e, c);
}

/* RFC 1191 6.5: what was too large for the path is lost, but not by congestion: it goes again in smaller pieces, the window
 * stays. */
void recovery_mtu_lowered(struct engine *e, struct conn *c)
{
	for (struct rte_mbuf *m = c->sndq.head; m && m != c->snd_new; m = pkt(m)->next)
		if (pkt(m)->len > c->mss)
			mark_lost(c, m);
	if (!c->lost_out)
		return;
	c->fast_retransmit = true;
	tcp_want_output(e, c);
}
