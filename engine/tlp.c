/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tlp.c - the tail loss probe (RFC 8985 section 7): when a flight ends without an ACK of its last segments, send one segment
 * when its ACK is overdue, whose ACK lets RACK see what is missing, before the timeout would take all for lost.
 */
#include "engine/tcp_input.h"

#define EARLY_RETRANS_TLP 3    /* net.ipv4.tcp_early_retrans: 3 and above */
#define PTO_NO_RTT_US 1000000u /* 7.2: without a sample of the round-trip time */
#define PTO_MARGIN_US 2000u    /* what timers may add */
#define MAX_ACK_DELAY_MS 200   /* as Linux and 7.2 have it, in the worst case */

static bool single_segment(const struct conn *c)
{
	struct rte_mbuf *head = c->sndq.head;

	return !head || head == c->snd_new || !pkt(head)->next || pkt(head)->next == c->snd_new;
}

bool tlp_wanted(const struct engine *e, const struct conn *c)
{
	bool calm = c->ca_state == CA_OPEN || c->ca_state == CA_CWR;

	return e->cfg.tcp.early_retrans >= EARLY_RETRANS_TLP && c->sack_ok && calm && !c->sacked_out && !c->lost_out &&
	       !c->tlp_out && conn_flight(c) && (STATE_BIT(c->state) & SYNCHRONIZED) && !c->fo_child;
}

/* RFC 5681 4.2: two full segments are not left without an ACK.  Less may be, for as long as the peer likes. */
static bool ack_is_immediate(const struct conn *c)
{
	return conn_flight(c) >= 2 * (uint32_t)c->mss;
}

/*
 * 7.2: two round trips, as SHOULD.  In the second of them the ACK of a lone segment may be delayed, so it is longer where the
 * peer may delay for longer than that: TLP.max_ack_delay, which is the implementation's to choose, is what the peer was seen to
 * take.
 *
 * Deviation: where nothing entitles the peer to a delay, an ACK is overdue after a round trip and its variation, the time of RFC
 * 9002 6.2.1: a long tail then takes two round trips and not three.  On a path whose reports of duplicates had RACK widen its
 * window (6.2 step 4), a probe that came too early among them, the second round trip stays as long as that window.
 */
static usec_t probe_timeout(const struct conn *c)
{
	usec_t pto = 2 * (usec_t)c->srtt_us, lone = c->srtt_us + c->ack_delay_ms * 1000u;
	usec_t overdue = c->srtt_us + 4 * (usec_t)c->rttvar_us;

	if (lone > pto && single_segment(c))
		pto = lone;
	else if (overdue < pto && ack_is_immediate(c) && c->reo_wnd_mult == 1)
		pto = overdue;
	return pto + PTO_MARGIN_US;
}

/*
 * Deviation: the wait begins when the last segment was sent, as RFC 9002 6.2.1 has it, not anew with each ACK: an ACK of what
 * was sent before does not make that of the last segment due any later.  But an ACK shows that the path is alive, and more may
 * be close behind it: an eighth of a round trip passes first.
 */
usec_t tlp_deadline(const struct engine *e, const struct conn *c)
{
	usec_t due = c->last_snd_at + probe_timeout(c), rest = e->now + c->srtt_us / 8 + PTO_MARGIN_US;

	if (!c->rtt_measured)
		return e->now + PTO_NO_RTT_US;
	return due > rest ? due : rest;
}

static void ack_may_take(struct conn *c, uint32_t ms)
{
	if (ms > MAX_ACK_DELAY_MS)
		ms = MAX_ACK_DELAY_MS;
	if (ms > c->ack_delay_ms)
		c->ack_delay_ms = (uint8_t)ms;
}

void tlp_learn_ack_delay(struct conn *c, const struct ack *a)
{
	if (!conn_flight(c) && a->rtt && !a->acked_retrans && a->acked <= c->mss)
		ack_may_take(c, (uint32_t)((a->rtt - c->min_rtt_us) / 1000) + 1);
}

struct rte_mbuf *tlp_last_sent(const struct conn *c)
{
	struct rte_mbuf *m = c->sndq.head;

	if (!c->snd_new)
		return c->sndq.tail;
	if (m == c->snd_new)
		return NULL;
	while (pkt(m)->next != c->snd_new)
		m = pkt(m)->next;
	return m;
}

void tlp_sent(struct engine *e, struct conn *c, bool retransmission)
{
	c->tlp_out = true;
	c->tlp_is_retrans = retransmission;
	c->repair->tlp_end_seq = c->snd_nxt;
	e->stats.loss_probes++;
}

/* 7.4: what the probe repaired was lost by congestion, although nobody saw it. */
static void repaired(struct engine *e, struct conn *c)
{
	e->stats.loss_probe_recovery++;
	c->tlp_out = false;
	if (recovery_reducing(c))
		return;
	c->cc.ssthresh = cc_ops(c->cc.algo)->on_loss(&c->cc, e->now);
	if (c->cc.cwnd > c->cc.ssthresh && !cc_sets_window(&c->cc))
		c->cc.cwnd = c->cc.ssthresh;
}

/* 7.4.2, TLP_process_ack(). */
void tlp_on_ack(struct input *in, const struct ack *a)
{
	struct conn *c = in->c;

	if (!c->tlp_out || seq_lt(in->seg.ack, c->repair->tlp_end_seq))
		return;
	/* It came twice: the probe was sent too early. */
	if (c->tlp_is_retrans && in->tlp_duplicate)
		ack_may_take(c, 2 * c->ack_delay_ms);
	if (!c->tlp_is_retrans || in->tlp_duplicate)
		c->tlp_out = false;
	else if (seq_gt(in->seg.ack, c->repair->tlp_end_seq))
		repaired(in->e, c);
	else if (a->is_dup && !a->sacked && !a->dsack)
		c->tlp_out = false; /* both have arrived, at a receiver that reports no duplicates */
}
