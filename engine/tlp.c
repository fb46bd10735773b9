/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tlp.c - the tail loss probe (RFC 8985 section 7): when a flight ends without an ACK of its last segments, send one segment
 * after two round trips, whose ACK lets RACK see what is missing, before the timeout would take all for lost.
 */
#include "engine/tcp_input.h"

#define EARLY_RETRANS_TLP 3    /* net.ipv4.tcp_early_retrans: 3 and above */
#define PTO_NO_RTT_US 1000000u /* 7.2: without a sample of the round-trip time */
/* 7.2: what a delayed ACK may add when there is one segment to be acknowledged (Linux's least RTO), and what timers may. */
#define MAX_ACK_DELAY_US 200000u
#define PTO_MARGIN_US 2000u

static bool single_segment(const struct conn *c)
{
	struct rte_mbuf *head = c->sndq.head;

	return !head || head == c->snd_new || !pkt(head)->next || pkt(head)->next == c->snd_new;
}

usec_t tlp_timeout(const struct engine *e, const struct conn *c)
{
	bool calm = c->ca_state == CA_OPEN || c->ca_state == CA_CWR;
	usec_t pto = PTO_NO_RTT_US;

	if (e->cfg.tcp.early_retrans < EARLY_RETRANS_TLP || !c->sack_ok || !calm || c->sacked_out || c->lost_out || c->tlp_out ||
	    !conn_flight(c) || !(STATE_BIT(c->state) & SYNCHRONIZED) || c->fo_child)
		return 0;
	if (c->rtt_measured)
		pto = 2 * (usec_t)c->srtt_us + (single_segment(c) ? MAX_ACK_DELAY_US : PTO_MARGIN_US);
	return pto;
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
	c->tlp_end_seq = c->snd_nxt;
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

	if (!c->tlp_out || seq_lt(in->seg.ack, c->tlp_end_seq))
		return;
	if (!c->tlp_is_retrans || in->tlp_duplicate)
		c->tlp_out = false;
	else if (seq_gt(in->seg.ack, c->tlp_end_seq))
		repaired(in->e, c);
	else if (a->is_dup && !a->sacked && !a->dsack)
		c->tlp_out = false; /* both have arrived, at a receiver that reports no duplicates */
}
