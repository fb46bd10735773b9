/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc_hystart.c - HyStart++ (RFC 9406): slow start notices a queue building up by the round-trip time, slows down for a few rounds
 * to make sure (conservative slow start), and ends before the queue overflows.  A round, there, ends when what was sent at its
 * beginning is acknowledged; here, where only the ACKs are seen, when a window's worth is: the same, since growth (and this
 * function) is for windows that were filled.
 */
#include "engine/cc.h"

/* RFC 9406 section 4.3. */
#define MIN_RTT_THRESH_US 4000u
#define MAX_RTT_THRESH_US 16000u
#define MIN_RTT_DIVISOR 8
#define N_RTT_SAMPLE 8
#define CSS_GROWTH_DIVISOR 4
#define CSS_ROUNDS 5

static void begin_round(struct cc *cc, struct hystart *h)
{
	h->round_left = cc->cwnd;
	h->last_rtt_us = h->rtt_us;
	h->rtt_us = 0;
	h->samples = 0;
}

static void take_sample(struct hystart *h, usec_t rtt)
{
	uint32_t sample = rtt < UINT32_MAX ? (uint32_t)rtt : UINT32_MAX;

	if (!sample)
		return;
	if (!h->rtt_us || sample < h->rtt_us)
		h->rtt_us = sample;
	if (h->samples < N_RTT_SAMPLE)
		h->samples++;
}

/* Section 4.2: is the least round-trip time of this round well above that of the last? */
static bool delay_rises(const struct hystart *h)
{
	uint32_t margin = h->last_rtt_us / MIN_RTT_DIVISOR;

	if (margin < MIN_RTT_THRESH_US)
		margin = MIN_RTT_THRESH_US;
	if (margin > MAX_RTT_THRESH_US)
		margin = MAX_RTT_THRESH_US;
	return h->last_rtt_us && (uint64_t)h->rtt_us >= (uint64_t)h->last_rtt_us + margin;
}

/* Into conservative slow start when the delay rises; out of it when that proves a mistake. */
static void judge(struct hystart *h)
{
	if (h->samples < N_RTT_SAMPLE)
		return;
	if (!h->css_rtt_us && delay_rises(h)) {
		h->css_rtt_us = h->rtt_us;
		h->css_rounds = 0;
	} else if (h->css_rtt_us && h->rtt_us < h->css_rtt_us) {
		h->css_rtt_us = 0;
	}
}

static void end_round(struct cc *cc, struct hystart *h)
{
	if (h->css_rtt_us && ++h->css_rounds >= CSS_ROUNDS)
		cc->ssthresh = cc->cwnd;
	begin_round(cc, h);
}

uint32_t cc_hystart(struct cc *cc, struct hystart *h, const struct ack *a)
{
	uint32_t growth = cc_countable(a), left;

	if (!h->round_left)
		begin_round(cc, h);
	take_sample(h, a->rtt);
	judge(h);
	if (h->css_rtt_us) {
		uint64_t counted = (uint64_t)cc->acked + growth;

		growth = counted / CSS_GROWTH_DIVISOR;
		cc->acked = counted % CSS_GROWTH_DIVISOR;
	}
	left = cc_slow_start(cc, growth);
	if (a->acked < h->round_left)
		h->round_left -= a->acked;
	else
		end_round(cc, h);
	return left;
}
