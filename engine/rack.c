/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rack.c - RACK, the loss detector (RFC 8985 section 6): a packet is lost when one that was sent later has been delivered, and
 * the reordering window has passed.  It finds a lost retransmission as it finds a lost original.
 *
 * The RFC walks through all that is in flight, in order of transmission.  Here packets sent once are in that order in the send
 * queue, and those sent again are in conn.rtx_list: each of the two is judged from its oldest packet on, up to the first whose
 * time has not come.  rack_passed keeps the place in the send queue, so that no packet is passed twice.
 */
#include "engine/tcp_input.h"

/* net.ipv4.tcp_recovery, as Linux has it. */
#define RECOVERY_RACK 1
#define RECOVERY_STATIC_REO_WND 2
#define RECOVERY_NO_DUPTHRESH 4

#define REO_WND_PERSIST 16 /* recoveries: RFC 8985 6.2 step 4 */
#define REO_WND_SHARE 4	   /* of the least round-trip time */

bool rack_on(const struct engine *e, const struct conn *c)
{
	return c->sack_ok && (e->cfg.tcp.recovery & RECOVERY_RACK);
}

static bool later(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

/* Section 6.2, RACK_sent_after(): was the packet whose delivery is known sent after this one? */
static bool sent_before_rack(const struct conn *c, struct rte_mbuf *m)
{
	uint32_t at = pkt(m)->sent_at;

	return later(c->rack_xmit_at, at) || (c->rack_xmit_at == at && seq_gt(c->rack_end_seq, pkt_end(m)));
}

/*
 * The same of one that was sent again.  In one microsecond what is lost goes before what is new, but after what the first hints
 * at the loss let out (tcp_input.c): that lies before recovery_point.
 */
static bool resent_before_rack(const struct conn *c, struct rte_mbuf *m)
{
	bool same_time = c->rack_xmit_at == pkt(m)->sent_at;

	if (same_time && !c->rack_resent && seq_leq(c->rack_end_seq, c->recovery_point))
		return false;
	return sent_before_rack(c, m);
}

/* Step 3: what was sent once and arrives behind something later was reordered. */
static void note_reordering(struct input *in, struct rte_mbuf *m)
{
	if (!seq_lt(pkt_end(m), in->fack))
		return;
	if (!in->reordered || seq_lt(pkt(m)->seq, in->reordered_seq))
		in->reordered_seq = pkt(m)->seq;
	in->reordered = true;
}

/*
 * Step 2: an ACK that came sooner than any before, or that echoes an earlier timestamp, is one of the original.  A SACK echoes
 * the last segment in order whatever it reports (RFC 7323 4.3): its echo says nothing, and the answer to a tail loss probe must
 * count, or only the RTO repairs the rest of the tail.
 */
static bool ack_is_of_original(const struct input *in, struct rte_mbuf *m)
{
	uint32_t age = (uint32_t)in->e->now - pkt(m)->sent_at;

	if (!(pkt(m)->flags & PKT_EVER_RETRANS))
		return false;
	if (age < in->c->min_rtt_us)
		return true;
	return seq_leq(pkt_end(m), in->seg.ack) && tcp_echoes_before(in, tcp_ts_at(in->e->now - age, in->c->ts_offset));
}

void rack_delivered(struct input *in, struct rte_mbuf *m)
{
	struct conn *c = in->c;
	struct pkt *p = pkt(m);

	if (!(p->flags & PKT_EVER_RETRANS)) {
		note_reordering(in, m);
		if (seq_leq(pkt_end(m), c->recovery_point))
			in->original_acked = true;
	}
	if (ack_is_of_original(in, m) ||
	    (c->rack_valid &&
	     !(later(p->sent_at, c->rack_xmit_at) || (p->sent_at == c->rack_xmit_at && seq_gt(pkt_end(m), c->rack_end_seq)))))
		return;
	c->rack_valid = true;
	c->rack_xmit_at = p->sent_at;
	c->rack_end_seq = pkt_end(m);
	c->rack_resent = p->flags & PKT_EVER_RETRANS;
	c->rack_rtt_us = (uint32_t)in->e->now - p->sent_at;
}

/* Step 4, RACK_update_reo_wnd(): a duplicate says that the window was too short. */
static void adapt_to_dsack(struct engine *e, struct conn *c, bool dsack)
{
	if (c->rack_dsack_seen && seq_geq(c->snd_una, conn_extra(c)->rack_dsack_round))
		c->rack_dsack_seen = false;
	if (!dsack || c->rack_dsack_seen || (e->cfg.tcp.recovery & RECOVERY_STATIC_REO_WND))
		return;
	c->rack_dsack_seen = true;
	extra_of(e, c)->rack_dsack_round = c->snd_nxt;
	if (c->reo_wnd_mult < UINT8_MAX)
		c->reo_wnd_mult++;
	c->reo_wnd_persist = REO_WND_PERSIST;
}

void rack_recovered(struct conn *c)
{
	if (c->reo_wnd_persist && !--c->reo_wnd_persist)
		c->reo_wnd_mult = 1;
}

void rack_reordering(struct engine *e, struct conn *c, uint32_t distance)
{
	uint32_t segs = (distance + c->mss - 1) / c->mss, most = e->cfg.tcp.max_reordering;

	if (segs > most)
		segs = most;
	if (segs > c->reordering)
		c->reordering = segs;
	extra_of(e, c)->reord_seen++;
	e->stats.sack_reorder++;
}

void rack_on_ack(struct input *in, const struct ack *a)
{
	struct conn *c = in->c;

	if (in->reordered && c->sack_ok)
		rack_reordering(in->e, c, in->fack - in->reordered_seq);
	adapt_to_dsack(in->e, c, a->dsack);
}

/* Step 4: how much longer than the round trip of the one delivered a packet may take. */
static uint32_t reo_wnd(const struct engine *e, const struct conn *c)
{
	bool dupthresh = !(e->cfg.tcp.recovery & RECOVERY_NO_DUPTHRESH) && c->repair->sacked_pkts >= c->reordering;
	uint64_t wnd = (uint64_t)c->min_rtt_us / REO_WND_SHARE * c->reo_wnd_mult;

	if (!conn_extra(c)->reord_seen && (c->ca_state >= CA_RECOVERY || dupthresh))
		return 0;
	return wnd < c->srtt_us ? wnd : c->srtt_us;
}

/* Step 5 for one packet.  0: lost, else the time it has left. */
static uint32_t time_left(const struct engine *e, const struct conn *c, struct rte_mbuf *m, uint32_t wnd)
{
	uint32_t age = (uint32_t)e->now - pkt(m)->sent_at, limit = c->rack_rtt_us + wnd;

	return age < limit ? limit - age : 0;
}

static uint32_t judge_originals(struct engine *e, struct conn *c, uint32_t wnd)
{
	struct rte_mbuf *m = c->repair->rack_passed ? pkt(c->repair->rack_passed)->next : c->sndq.head;
	unsigned all = UINT32_MAX;

	for (; m && m != c->snd_new; m = pkt(m)->next) {
		if (pkt(m)->flags & PKT_SACKED) {
			m = sack_run_last(m, &all);
		} else if (!(pkt(m)->flags & (PKT_LOST | PKT_RETRANS))) {
			uint32_t left;

			if (!sent_before_rack(c, m))
				return 0;
			left = time_left(e, c, m, wnd);
			if (left)
				return left;
			recovery_mark_lost(c, m);
		}
		c->repair->rack_passed = m;
	}
	return 0;
}

static uint32_t judge_retransmissions(struct engine *e, struct conn *c, uint32_t wnd)
{
	struct rte_mbuf *m;

	while ((m = c->repair->rtx_list.head) && resent_before_rack(c, m)) {
		uint32_t left = time_left(e, c, m, wnd);

		if (left)
			return left;
		recovery_mark_lost(c, m);
		c->newly_lost_again = true;
		e->stats.lost_retransmit++;
	}
	return 0;
}

/*
 * Step 5, RACK_detect_loss().  The RFC's timer waits for the last packet in question, this one for the first, and asks again when
 * that has been judged.
 */
void rack_detect(struct engine *e, struct conn *c)
{
	uint32_t wnd, first, second;

	if (!c->rack_valid || !rack_on(e, c))
		return;
	wnd = reo_wnd(e, c);
	first = judge_originals(e, c, wnd);
	second = judge_retransmissions(e, c, wnd);
	if (!first || (second && second < first))
		first = second;
	timer_reordering(e, c, first);
}

bool rack_timed_out(const struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	return !time_left(e, c, m, reo_wnd(e, c));
}
