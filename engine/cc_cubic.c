/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc_cubic.c - CUBIC (RFC 9438).  Windows are bytes, times are microseconds, arithmetic is whole numbers: C = 0.4 segments per
 * second cubed becomes a binary fraction per cubic microsecond, and products that need more than 64 bits have 128.
 */
#include "engine/cc.h"

/* RFC 9438 section 4.6: beta_cubic = 0.7; section 4.3: alpha_cubic = 3 (1 - beta) / (1 + beta) = 9/17. */
#define BETA_NUM 7
#define BETA_DEN 10
#define ALPHA_NUM 9
#define ALPHA_DEN 17
#define TICK_US 4000 /* of Linux's clock, at the 250 Hz that is usual */

/*
 * C in segments per us^3 is 0.4e-18.  Cubes of time are kept in units of 2^30 us^3; C * 2^30 = 0.4e-18 * 2^30 is this over 2^80,
 * exact to 2^-48.
 */
#define TIME_CUBE_SHIFT 30
#define C_FRACTION 519229685853483ull
#define C_FRACTION_SHIFT 80
/* Beyond 2^30 us (18 minutes) from K the curve has left CC_CWND_MAX, whatever the segment size: it stops there. */
#define TIME_MAX_US (1u << 30)
#define US_PER_S 1000000ull

typedef unsigned __int128 wide;

/* The whole part of the cube root, digit by digit: x < 2^96. */
static uint32_t cube_root(wide x)
{
	uint64_t root = 0;

	for (int shift = 93; shift >= 0; shift -= 3) {
		wide next;

		root <<= 1;
		next = (wide)3 * root * (root + 1) + 1; /* (root + 1)^3 - root^3 */
		if (x >> shift >= next) {
			x -= next << shift;
			root++;
		}
	}
	return (uint32_t)root;
}

/* C * t^3 in bytes. */
static uint32_t cubic_growth(uint32_t mss, uint64_t t_us)
{
	uint64_t t = t_us < TIME_MAX_US ? t_us : TIME_MAX_US;
	uint64_t cube = (wide)(t * t) * t >> TIME_CUBE_SHIFT;
	wide bytes = (wide)cube * mss * C_FRACTION >> C_FRACTION_SHIFT;

	return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

/* Equation 2: K = cbrt((W_max - cwnd_epoch) / C), in us; 1/C = 2.5e18 us^3 per segment. */
static uint32_t time_to_w_max(const struct cc *cc)
{
	wide segments_over_c = (wide)(cc->cubic.stage.w_max - cc->cwnd) * (5 * US_PER_S / 2) * US_PER_S * US_PER_S / cc->mss;

	return cube_root(segments_over_c);
}

/* Equation 1: W_cubic(t) = C (t - K)^3 + W_max. */
static uint32_t w_cubic(const struct cc *cc, uint64_t t_us)
{
	uint32_t k = cc->cubic.stage.k_us, w_max = cc->cubic.stage.w_max, d;

	if (t_us < k) {
		d = cubic_growth(cc->mss, k - t_us);
		return d < w_max ? w_max - d : 0;
	}
	d = cubic_growth(cc->mss, t_us - k);
	return d < CC_CWND_MAX - w_max ? w_max + d : CC_CWND_MAX;
}

static void cubic_init(struct cc *cc, const struct cc_view *v)
{
	cc->cubic = (typeof(cc->cubic)){0};
}

/* Section 4.2: where a congestion avoidance stage begins.  Sections 4.8 and 4.10: after a timeout or slow start, K is 0 and W_max
 * is cwnd. */
static void epoch_begin(struct cc *cc, usec_t now)
{
	cc->cubic.stage.epoch_at = now;
	cc->cubic.stage.w_est = cc->cwnd;
	cc->cubic.est_acked = 0;
	cc->acked = 0;
	if (cc->cubic.stage.w_max > cc->cwnd) {
		cc->cubic.stage.k_us = time_to_w_max(cc);
	} else {
		cc->cubic.stage.w_max = cc->cwnd;
		cc->cubic.stage.k_us = 0;
	}
}

/*
 * Section 4.3, equation 4: W_est grows by alpha_cubic segments for each window acknowledged; by a whole one once it has made good
 * what the last reduction took, for then Reno would be there too.
 *
 * Deviation: by a whole one also in the round trips that the first tick of Linux's clock holds.  Linux looks at its curve once a
 * tick, in whole segments rounded up, so that below W_max it gains one a window for as long as the tick lasts.  Where losses are
 * less than a tick apart it never does anything else, and keeps a third more in flight than alpha_cubic gives: beside such flows
 * ours would get less than its share.  Round trips of a tick and more are as the RFC has them.
 */
static void estimate_reno(struct cc *cc, uint64_t t_us, uint32_t acked)
{
	bool whole = cc->cubic.stage.w_est >= cc->cubic.stage.cwnd_prior || t_us + cc->cubic.srtt_us < TICK_US;
	uint64_t per_segment = whole ? cc->cwnd : (uint64_t)cc->cwnd * ALPHA_DEN / ALPHA_NUM;
	uint64_t counted = (uint64_t)cc->cubic.est_acked + acked;
	uint64_t w_est = cc->cubic.stage.w_est + counted / per_segment * cc->mss;

	cc->cubic.est_acked = counted % per_segment;
	cc->cubic.stage.w_est = w_est < CC_CWND_MAX ? w_est : CC_CWND_MAX;
}

/* Sections 4.4 and 4.5: (target - cwnd) / cwnd for each byte acknowledged, target being W_cubic(t + RTT) within [cwnd, 1.5 cwnd].
 */
static void grow_cubic(struct cc *cc, uint64_t t_us, uint32_t acked)
{
	uint32_t target = w_cubic(cc, t_us + cc->cubic.srtt_us);
	uint32_t most = cc->cwnd + cc->cwnd / 2;
	uint64_t counted;

	if (target <= cc->cwnd)
		return;
	if (target > most)
		target = most;
	counted = (uint64_t)(target - cc->cwnd) * acked + cc->acked;
	cc->acked = counted % cc->cwnd;
	cc_grow(cc, counted / cc->cwnd);
}

static void avoid_congestion(struct cc *cc, usec_t now, uint32_t acked)
{
	uint64_t t_us;

	if (!cc->cubic.stage.epoch_at)
		epoch_begin(cc, now);
	t_us = now > cc->cubic.stage.epoch_at ? now - cc->cubic.stage.epoch_at : 0;
	estimate_reno(cc, t_us, acked);
	/* Section 4.3: where Reno would be faster, be Reno. */
	if (w_cubic(cc, t_us) < cc->cubic.stage.w_est) {
		if (cc->cwnd < cc->cubic.stage.w_est)
			cc->cwnd = cc->cubic.stage.w_est;
		return;
	}
	grow_cubic(cc, t_us, acked);
}

static void smooth_rtt(struct cc *cc, usec_t rtt)
{
	int64_t sample = rtt < TIME_MAX_US ? rtt : TIME_MAX_US;

	if (!cc->cubic.srtt_us)
		cc->cubic.srtt_us = sample;
	else
		cc->cubic.srtt_us += (sample - (int64_t)cc->cubic.srtt_us) / 8;
}

/*
 * Sections 4.2 and 5.8: t leaves out the time in which cwnd did not limit the flight and so did not follow the curve.
 */
static void leave_out(struct cc *cc, uint32_t now)
{
	int32_t passed = (int32_t)(now - cc->cubic.acked_at);

	if (cc->cubic.stage.epoch_at && passed > 0)
		cc->cubic.stage.epoch_at += passed;
}

static void cubic_on_ack(struct cc *cc, const struct ack *a)
{
	uint32_t acked = cc_countable(a);

	if (a->rtt)
		smooth_rtt(cc, a->rtt);
	if (!a->cwnd_limited)
		leave_out(cc, (uint32_t)a->now);
	cc->cubic.acked_at = (uint32_t)a->now;
	/* Section 5.8: a window that was not used up says nothing about the path. */
	if (!a->cwnd_limited || !acked)
		return;
	/* Section 4.10: HyStart++ for the first slow start, while no loss has said where the path ends. */
	if (cc->ssthresh == UINT32_MAX)
		acked = cc_hystart(cc, &cc->cubic.hystart, a);
	else if (cc_in_slow_start(cc))
		acked = cc_slow_start(cc, acked);
	if (acked)
		avoid_congestion(cc, a->now, acked);
}

/*
 * Sections 4.6 and 4.7: multiplicative decrease, and fast convergence when the last maximum was not reached again.  Of cwnd
 * rather than of the flight, which section 4.6 allows where, as here, cwnd does not grow beyond what was used.
 */
static uint32_t cubic_on_loss(struct cc *cc, usec_t now)
{
	uint64_t cwnd = cc->cwnd;

	cc->cubic.stage.w_max = cwnd < cc->cubic.stage.w_max ? cwnd * (BETA_DEN + BETA_NUM) / (2 * BETA_DEN) : cwnd;
	cc->cubic.stage.cwnd_prior = cwnd;
	cc->cubic.stage.epoch_at = 0;
	return cc_floor(cc, cwnd * BETA_NUM / BETA_DEN);
}

static void cubic_on_timeout(struct cc *cc, usec_t now)
{
	cc->cubic.stage.epoch_at = 0;
	cc->cubic.stage.w_max = 0;
}

static void cubic_keep(const struct cc *cc, struct cubic_stage *kept)
{
	*kept = cc->cubic.stage;
}

/* Section 4.9: what the curve was before the reduction. */
static void cubic_undo(struct cc *cc, const struct cubic_stage *kept)
{
	cc->cubic.stage = *kept;
}

/* Section 5.8: t is the time in which the window was in use. */
static void cubic_on_idle(struct cc *cc, usec_t idle_us)
{
	cc->cubic.acked_at += (uint32_t)idle_us;
	if (cc->cubic.stage.epoch_at)
		cc->cubic.stage.epoch_at += idle_us;
}

const struct cc_ops cc_cubic = {
    .name = "cubic",
    .init = cubic_init,
    .on_ack = cubic_on_ack,
    .on_loss = cubic_on_loss,
    .on_ece = cubic_on_loss,
    .keep = cubic_keep,
    .undo = cubic_undo,
    .on_timeout = cubic_on_timeout,
    .on_idle = cubic_on_idle,
};
