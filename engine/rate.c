/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rate.c - how fast data is delivered (draft-ietf-ccwg-bbr, "Delivery Rate Samples"): each packet remembers how much had been
 * delivered and lost when it was sent, and how much was in flight; when it is delivered itself, what was delivered meanwhile,
 * over the longer of the time it took to send it and the time it took to acknowledge it, is a sample.  Algorithms that model the
 * path get it with each ACK.
 */
#include "engine/stack.h"

struct cc_view rate_view(struct engine *e, const struct conn *c)
{
	return (struct cc_view){.now = e->now,
				.delivered = c->delivered,
				.in_flight = recovery_pipe(c),
				.srtt_us = c->rtt_measured ? c->srtt_us : 0,
				.random = (uint32_t)engine_random(e),
				.in_recovery = c->ca_state == CA_RECOVERY,
				.in_loss = c->ca_state == CA_LOSS,
				.sack_ok = c->sack_ok,
				.ecn_ok = c->ecn_ok};
}

/* Until all that is in flight now has been delivered, samples show what there was to send, not what the path can carry. */
static void mark_app_limited(struct conn *c)
{
	uint32_t until = c->delivered + recovery_pipe(c);

	c->app_limited = until ? until : 1;
}

void rate_start(struct conn *c)
{
	c->delivered = c->lost = c->app_limited = c->rate_bytes = c->rate_us = 0;
	pace_reset(c);
}

void rate_out_of_data(struct conn *c)
{
	if (recovery_pipe(c) < c->cc.cwnd)
		mark_app_limited(c);
}

void rate_sent(struct engine *e, struct conn *c, struct rte_mbuf *m, uint32_t in_flight)
{
	struct pkt *p = pkt(m);

	/* Nothing in flight: the clocks of the sample start now. */
	if (in_flight == p->len)
		c->first_sent_at = c->delivered_at = (uint32_t)e->now;
	p->first_sent_at = c->first_sent_at;
	p->delivered_at = c->delivered_at;
	p->delivered = c->delivered;
	p->lost = c->lost;
	p->tx_in_flight = in_flight;
	p->flags = c->app_limited ? p->flags | PKT_APP_LIMITED : p->flags & ~PKT_APP_LIMITED;
}

void rate_delivered(struct rate_sample *rs, struct rte_mbuf *m)
{
	const struct pkt *p = pkt(m);

	if (!rs->newest || (int32_t)(p->delivered - rs->newest->delivered) >= 0)
		rs->newest = p;
}

void rate_lost(struct conn *c, struct rte_mbuf *m)
{
	const struct cc_ops *cc = cc_ops(c->cc.algo);
	const struct pkt *p = pkt(m);
	struct cc_lost l;

	c->lost += p->len;
	if (!cc->on_lost)
		return;
	l = (struct cc_lost){.seq = p->seq,
			     .bytes = p->len,
			     .tx_in_flight = p->tx_in_flight,
			     .lost = c->lost - p->lost,
			     .delivered = c->delivered,
			     .app_limited = p->flags & PKT_APP_LIMITED,
			     .sack_ok = c->sack_ok};
	cc->on_lost(&c->cc, &l);
}

/* Of the packet p; 0: no reliable sample. */
static uint32_t interval_of(const struct engine *e, const struct conn *c, const struct pkt *p)
{
	uint32_t send_us = p->sent_at - p->first_sent_at, ack_us = (uint32_t)e->now - p->delivered_at;
	uint32_t interval = send_us > ack_us ? send_us : ack_us;

	/* Shorter than any round trip: a burst of ACKs, not a rate. */
	return interval < c->min_rtt_us ? 0 : interval;
}

void rate_acked(struct engine *e, struct conn *c, const struct rate_sample *rs, const struct ack *a)
{
	const struct pkt *p = rs->newest;
	uint32_t interval;

	c->delivered += a->delivered;
	c->delivered_pkts += rs->packets;
	e->stats.delivered += rs->packets;
	if (a->ece) {
		extra_of(e, c)->delivered_ce += rs->packets;
		e->stats.delivered_ce += rs->packets;
	}
	if (c->app_limited && (int32_t)(c->delivered - c->app_limited) > 0)
		c->app_limited = 0;
	if (a->delivered)
		c->delivered_at = (uint32_t)e->now;
	if (!p)
		return;
	c->first_sent_at = p->sent_at;
	interval = interval_of(e, c, p);
	if (!interval)
		return;
	c->rate_us = interval;
	c->rate_bytes = c->delivered - p->delivered;
	c->rate_app_limited = p->flags & PKT_APP_LIMITED;
}

/* The sample of this ACK, if it completes one. */
static struct rate sample_of(const struct engine *e, const struct conn *c, const struct rate_sample *rs)
{
	const struct pkt *p = rs->newest;
	uint32_t rtt;

	if (!p)
		return (struct rate){0};
	rtt = (uint32_t)e->now - p->sent_at;
	return (struct rate){.has_data = true,
			     .interval_us = interval_of(e, c, p),
			     .delivered = c->delivered - p->delivered,
			     .prior_delivered = p->delivered,
			     .tx_in_flight = p->tx_in_flight,
			     .lost = c->lost - p->lost,
			     .rtt_us = p->flags & PKT_EVER_RETRANS ? 0
				       : rtt			   ? rtt
								   : 1,
			     .app_limited = p->flags & PKT_APP_LIMITED};
}

void rate_control(struct engine *e, struct conn *c, const struct rate_sample *rs, struct ack *a)
{
	a->rate = sample_of(e, c, rs);
	a->view = rate_view(e, c);
	cc_ops(c->cc.algo)->control(&c->cc, a);
	if (c->cc.slow_on_purpose)
		mark_app_limited(c);
}
