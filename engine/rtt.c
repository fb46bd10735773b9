/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rtt.c - round-trip time and retransmission timeout (RFC 6298), in microseconds.  Which segments may give a sample (Karn's rule,
 * timestamps) is tcp_input's decision.  The least RTO is Linux's 200 ms, not the RFC's second (its section 2.4 is a SHOULD):
 * measured against a peer that delays ACKs by at most 40 ms, a second would be five times what Linux waits.
 */
#include "engine/stack.h"

#define RTO_INITIAL_US 1000000u /* RFC 6298 2.1 */
#define ACK_DELAY_FIRST_MS 50	/* before more is known: Linux's 40 ms, and what its timer may add */
#define RTT_MAX_US RTO_MAX_US	/* a longer sample would change nothing */

/* value + (sample - value) / 2^shift, rounded away from value so that it gets all the way there. */
static uint32_t approach(uint32_t value, uint32_t sample, unsigned shift)
{
	uint32_t round = (1u << shift) - 1;

	if (sample >= value)
		return value + ((sample - value + round) >> shift);
	return value - ((value - sample + round) >> shift);
}

void rtt_init(struct conn *c)
{
	c->srtt_us = c->rttvar_us = c->min_rtt_us = 0;
	c->rto_us = RTO_INITIAL_US;
	c->rtt_measured = false;
	c->backoff = 0;
	c->ack_delay_ms = ACK_DELAY_FIRST_MS;
}

/* RFC 6298 2.3 with G the clock's microsecond; the variance term has a floor, as on Linux, rather than the sum. */
static void update_rto(struct conn *c)
{
	uint32_t spread = 4 * c->rttvar_us;
	uint32_t rto = c->srtt_us + (spread > RTO_MIN_US ? spread : RTO_MIN_US);

	c->rto_us = rto < RTO_MAX_US ? rto : RTO_MAX_US;
}

void rtt_sample(struct engine *e, struct conn *c, usec_t rtt)
{
	uint32_t r = rtt < RTT_MAX_US ? (uint32_t)rtt : RTT_MAX_US;

	if (!r)
		r = 1; /* within one tick of the clock; 0 stands for "not measured" */
	if (!c->min_rtt_us || r < c->min_rtt_us)
		c->min_rtt_us = r;
	if (!c->rtt_measured) {
		c->rtt_measured = true;
		c->srtt_us = r;
		c->rttvar_us = r / 2;
	} else {
		uint32_t off = r > c->srtt_us ? r - c->srtt_us : c->srtt_us - r;

		c->rttvar_us = approach(c->rttvar_us, off, 2);
		c->srtt_us = approach(c->srtt_us, r, 3);
	}
	update_rto(c);
	c->backoff = 0; /* RFC 6298 section 5: a new sample ends the backing off */
}

usec_t rtt_rto(const struct conn *c)
{
	unsigned doublings = c->backoff < 32 ? c->backoff : 32;
	usec_t rto = (usec_t)c->rto_us << doublings;

	return rto < RTO_MAX_US ? rto : RTO_MAX_US;
}
