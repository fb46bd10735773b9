/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rate.c - how fast data is delivered (draft-cheng-iccrg-delivery-rate-estimation-02): each packet remembers how much had been
 * delivered when it was sent; when it is delivered itself, what was delivered meanwhile, over the longer of the time it took to
 * send it and the time it took to acknowledge it, is a sample.
 */
#include "engine/stack.h"

void rate_sent(struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	struct pkt *p = pkt(m);

	/* Nothing in flight: the clocks of the sample start now. */
	if (!recovery_pipe(c))
		c->first_sent_at = c->delivered_at = e->now;
	p->first_sent_at = c->first_sent_at;
	p->delivered_at = c->delivered_at;
	p->delivered = c->delivered;
}

void rate_delivered(struct rate_sample *rs, struct rte_mbuf *m)
{
	const struct pkt *p = pkt(m);

	if (rs->valid && (int32_t)(p->delivered - rs->delivered) < 0)
		return;
	*rs = (struct rate_sample){true, p->delivered, p->delivered_at, p->first_sent_at, p->sent_at};
}

void rate_acked(struct engine *e, struct conn *c, const struct rate_sample *rs, uint32_t bytes)
{
	uint32_t send_us, ack_us, interval;

	c->delivered += bytes;
	if (bytes)
		c->delivered_at = e->now;
	if (!rs->valid)
		return;
	c->first_sent_at = rs->sent_at;
	send_us = rs->sent_at - rs->first_sent_at;
	ack_us = (uint32_t)e->now - rs->delivered_at;
	interval = send_us > ack_us ? send_us : ack_us;
	/* Shorter than any round trip: a burst of ACKs, not a rate. */
	if (!interval || interval < c->min_rtt_us)
		return;
	c->delivery_rate = (uint64_t)(c->delivered - rs->delivered) * 1000000 / interval;
}
