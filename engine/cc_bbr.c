/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc_bbr.c - BBR version 3 (draft-ietf-ccwg-bbr, the working group's text of 2026: ProbeRTT driven by the min_rtt filter,
 * precautionary bandwidth probing).  A model of the path, its bandwidth and its round-trip time, made of delivery rate samples,
 * sets the pacing rate and the window.  Names are the draft's; gains are in per cent.
 *
 * The draft leaves ECN open.  Here the echo of a mark (RFC 3168) counts as excessive loss does, once per round trip: it ends
 * Startup and a bandwidth probe, and in the other phases lowers the short-term bounds.  What an undo, an echo or the loss of a
 * probe changes is done at the ACK that goes with it, when all is known.
 */
#include <linux/inet_diag.h>

#include "engine/cc_bbr.h"

#define STARTUP_PACING_GAIN 277
#define DRAIN_PACING_GAIN 50
#define PROBE_DOWN_PACING_GAIN 90
#define PROBE_UP_PACING_GAIN 125
#define DEFAULT_CWND_GAIN 200
#define PROBE_UP_CWND_GAIN 225
#define PACING_MARGIN 1
#define EXTRA_ACKED_ROUNDS 5 /* of each of the two slots of its filter: ten in all */
#define RTT_UNKNOWN_US 1000

static unsigned pacing_gain(const struct bbr *b)
{
	static const uint16_t gains[] = {[BBR_STARTUP] = STARTUP_PACING_GAIN,
					 [BBR_DRAIN] = DRAIN_PACING_GAIN,
					 [BBR_PROBE_BW_DOWN] = PROBE_DOWN_PACING_GAIN,
					 [BBR_PROBE_BW_CRUISE] = 100,
					 [BBR_PROBE_BW_REFILL] = 100,
					 [BBR_PROBE_BW_UP] = PROBE_UP_PACING_GAIN,
					 [BBR_PROBE_RTT] = 100};

	return gains[b->state];
}

static unsigned cwnd_gain(const struct bbr *b)
{
	if (b->state == BBR_PROBE_RTT)
		return BBR_PROBE_RTT_CWND_GAIN;
	return b->state == BBR_PROBE_BW_UP ? PROBE_UP_CWND_GAIN : DEFAULT_CWND_GAIN;
}

static bool is_probing_bw(const struct bbr *b)
{
	return b->state == BBR_STARTUP || b->state == BBR_PROBE_BW_REFILL || b->state == BBR_PROBE_BW_UP;
}

/* ---- congestion --------------------------------------------------------------------------------------------------------------
 */

/* HandleInflightTooHigh(); the move to DOWN waits for the ACK that is being worked on. */
static void handle_inflight_too_high(struct cc *cc, uint32_t tx_in_flight, bool app_limited)
{
	struct bbr *b = cc->bbr;

	b->prev_probe_too_high = true;
	b->is_bw_probe_sample = false;
	if (!app_limited)
		b->inflight_longterm = max32(tx_in_flight, percent(bbr_target_inflight(cc), BBR_BETA));
	if (b->state == BBR_PROBE_BW_UP) {
		b->undo_state = BBR_PROBE_BW_UP;
		b->down_due = true;
	}
}

/* How much was in flight when losses crossed LossThresh: InflightAtLoss(), a packet being one segment or a TSO frame of them. */
static uint32_t inflight_at_loss(const struct cc_lost *l)
{
	int64_t inflight_prev = (int64_t)l->tx_in_flight - l->bytes, lost_prev = (int64_t)l->lost - l->bytes;
	int64_t prefix = (inflight_prev - BBR_LOSS_THRESH_INVERSE * lost_prev) / (BBR_LOSS_THRESH_INVERSE - 1);

	return inflight_prev + prefix > 0 ? inflight_prev + prefix : 0;
}

static void bbr_on_lost(struct cc *cc, const struct cc_lost *l)
{
	struct bbr *b = cc->bbr;

	bbr_note_loss(b, l->delivered);
	if (l->seq != b->lost_end && b->loss_ranges < BBR_STARTUP_FULL_LOSS_CNT)
		b->loss_ranges++;
	b->lost_end = l->seq + l->bytes;
	if (b->is_bw_probe_sample && bbr_is_inflight_too_high(l->lost, l->tx_in_flight, l->sack_ok))
		handle_inflight_too_high(cc, inflight_at_loss(l), l->app_limited);
}

static void respond_to_ece(struct cc *cc, const struct bbr_step *s)
{
	struct bbr *b = cc->bbr;
	const struct rate *r = &s->a->rate;

	b->ece_due = false;
	bbr_note_loss(b, s->v->delivered);
	if (!b->full_bw_reached)
		bbr_leave_startup_by_congestion(cc);
	else if (b->is_bw_probe_sample)
		handle_inflight_too_high(cc, r->has_data ? r->tx_in_flight : s->v->in_flight, r->app_limited);
}

/* HandleSpuriousLossDetection() */
static void respond_to_undo(struct bbr *b, const struct cc_view *v)
{
	b->undo_due = b->down_due = false;
	bbr_restore_cwnd(b);
	b->is_loss_in_round = false;
	bbr_reset_full_bw(b);
	b->bw_shortterm = max32(b->bw_shortterm, b->undo_bw_shortterm);
	b->inflight_shortterm = max32(b->inflight_shortterm, b->undo_inflight_shortterm);
	b->inflight_longterm = max32(b->inflight_longterm, b->undo_inflight_longterm);
	if (b->undo_state == BBR_STARTUP && b->state != BBR_STARTUP) {
		b->full_bw_reached = false;
		if (b->state != BBR_PROBE_RTT)
			b->state = BBR_STARTUP;
	} else if (b->undo_state == BBR_PROBE_BW_UP && b->state != BBR_PROBE_BW_UP && b->state != BBR_PROBE_RTT) {
		bbr_start_refill(b, v);
	}
	b->undo_state = BBR_NO_STATE;
}

static void adapt_lower_bounds(struct bbr *b)
{
	if (is_probing_bw(b) || !b->is_loss_in_round)
		return;
	if (b->bw_shortterm == BBR_INFINITE)
		b->bw_shortterm = bbr_max_bw(b);
	if (b->inflight_shortterm == BBR_INFINITE)
		b->inflight_shortterm = b->cwnd;
	b->bw_shortterm = max32(b->bw_latest, percent(b->bw_shortterm, BBR_BETA));
	b->inflight_shortterm = max32(b->inflight_latest, percent(b->inflight_shortterm, BBR_BETA));
}

/* ---- each ACK ----------------------------------------------------------------------------------------------------------------
 */

static void update_latest_delivery_signals(struct bbr *b, struct bbr_step *s)
{
	const struct rate *r = &s->a->rate;

	b->bw_latest = max32(b->bw_latest, s->bw);
	b->inflight_latest = max32(b->inflight_latest, r->delivered);
	if ((int32_t)(r->prior_delivered - b->loss_round_delivered) >= 0) {
		b->loss_round_delivered = s->v->delivered;
		s->loss_round_start = true;
	}
}

static void update_round(struct bbr *b, struct bbr_step *s)
{
	if ((int32_t)(s->a->rate.prior_delivered - b->next_round_delivered) < 0)
		return;
	bbr_start_round(b, s->v);
	s->round_start = true;
	if (b->rounds_since_probe_up < UINT8_MAX)
		b->rounds_since_probe_up++;
	if (b->drain_rounds < UINT8_MAX)
		b->drain_rounds++;
}

static void update_congestion_signals(struct bbr *b, struct bbr_step *s)
{
	update_round(b, s);
	if (s->bw && (s->bw >= bbr_max_bw(b) || !s->a->rate.app_limited))
		b->max_bw[1] = max32(b->max_bw[1], s->bw);
	if (s->loss_round_start)
		adapt_lower_bounds(b);
}

/* The two slots of the windowed maximum take turns; in Startup each is one round. */
static void advance_extra_acked_filter(struct bbr *b)
{
	if (++b->extra_acked_rounds < (b->full_bw_reached ? EXTRA_ACKED_ROUNDS : 1))
		return;
	b->extra_acked_rounds = 0;
	b->extra_acked[0] = b->extra_acked[1];
	b->extra_acked[1] = 0;
}

static void update_ack_aggregation(struct bbr *b, const struct bbr_step *s)
{
	uint32_t now = (uint32_t)s->v->now;
	uint64_t expected = (uint64_t)bbr_bw(b) * (now - b->extra_acked_stamp) / BBR_BW_SCALE;

	if (s->round_start)
		advance_extra_acked_filter(b);
	if (b->extra_acked_delivered <= expected) {
		b->extra_acked_delivered = 0;
		b->extra_acked_stamp = now;
		expected = 0;
	}
	b->extra_acked_delivered = add_capped(b->extra_acked_delivered, s->a->delivered);
	if (b->extra_acked_delivered > expected)
		b->extra_acked[1] = max32(b->extra_acked[1], min32(b->extra_acked_delivered - (uint32_t)expected, b->cwnd));
}

/* What only an ACK that delivers something can tell. */
static void update_model(struct cc *cc, struct bbr_step *s)
{
	struct bbr *b = cc->bbr;

	update_latest_delivery_signals(b, s);
	update_congestion_signals(b, s);
	update_ack_aggregation(b, s);
	bbr_check_full_bw_reached(b, s);
	bbr_check_startup_high_loss(cc, s);
	if (s->loss_round_start) {
		b->is_loss_in_round = false;
		b->loss_ranges = 0;
	}
}

static void set_pacing_rate(struct cc *cc, unsigned gain)
{
	uint64_t rate = (uint64_t)bbr_bw(cc->bbr) * BBR_BW_UNIT * gain / 100 * (100 - PACING_MARGIN) / 100;

	if (rate && (cc->bbr->full_bw_reached || rate > cc->pacing_rate))
		cc->pacing_rate = rate;
}

static void init_pacing_rate(struct cc *cc, uint32_t srtt_us)
{
	uint64_t nominal = (uint64_t)CC_INIT_CWND_SEGS * cc->mss * 1000000 / (srtt_us ? srtt_us : RTT_UNKNOWN_US);

	cc->pacing_rate = nominal * STARTUP_PACING_GAIN / 100;
	cc->bbr->has_rtt = srtt_us != 0;
}

static uint32_t max_inflight(const struct cc *cc)
{
	const struct bbr *b = cc->bbr;
	uint32_t cap = bbr_bdp_multiple(cc, bbr_bw(b), cwnd_gain(b));

	return bbr_quantization_budget(cc, add_capped(cap, max32(b->extra_acked[0], b->extra_acked[1])));
}

/* BoundCwndForModel() */
static uint32_t model_cap(const struct cc *cc)
{
	const struct bbr *b = cc->bbr;
	uint32_t cap = BBR_INFINITE;

	if (b->state == BBR_PROBE_RTT || b->state == BBR_PROBE_BW_CRUISE)
		cap = bbr_inflight_with_headroom(cc);
	else if (bbr_in_probe_bw(b))
		cap = b->inflight_longterm;
	return max32(min32(cap, b->inflight_shortterm), bbr_min_pipe_cwnd(cc));
}

static void set_cwnd(struct cc *cc, const struct bbr_step *s)
{
	struct bbr *b = cc->bbr;
	uint32_t most = max_inflight(cc), newly = s->a->delivered;

	if (b->full_bw_reached)
		b->cwnd = min32(add_capped(b->cwnd, newly), most);
	else if (b->cwnd < most || s->v->delivered < CC_INIT_CWND_SEGS * cc->mss)
		b->cwnd = add_capped(b->cwnd, newly);
	b->cwnd = max32(b->cwnd, bbr_min_pipe_cwnd(cc));
	if (b->state == BBR_PROBE_RTT)
		b->cwnd = min32(b->cwnd, b->probe_rtt_cwnd);
	b->cwnd = min32(b->cwnd, model_cap(cc));
}

static void follow_recovery(struct bbr *b, const struct cc_view *v)
{
	bool in = v->in_recovery || v->in_loss;

	if (b->was_in_recovery && !in)
		bbr_restore_cwnd(b);
	b->was_in_recovery = in;
}

static void settle_dues(struct cc *cc, const struct bbr_step *s)
{
	struct bbr *b = cc->bbr;

	if (b->undo_due)
		respond_to_undo(b, s->v);
	if (b->ece_due)
		respond_to_ece(cc, s);
	if (b->down_due && b->state == BBR_PROBE_BW_UP)
		bbr_start_down(b, s->v);
	b->down_due = false;
}

static void bbr_control(struct cc *cc, const struct ack *a)
{
	struct bbr *b = cc->bbr;
	struct bbr_step s = {.a = a, .v = &a->view};

	if (a->rate.interval_us) {
		uint64_t rate = (uint64_t)a->rate.delivered * BBR_BW_SCALE / a->rate.interval_us;

		s.bw = rate < BBR_INFINITE ? rate : BBR_INFINITE - 1;
	}
	if (!b->has_rtt && a->view.srtt_us)
		init_pacing_rate(cc, a->view.srtt_us);
	settle_dues(cc, &s);
	follow_recovery(b, s.v);
	if (a->rate.has_data)
		update_model(cc, &s);
	bbr_check_startup_and_drain(cc, &s);
	if (a->rate.has_data)
		bbr_update_cycle_phase(cc, &s);
	bbr_update_min_rtt(cc, &s);
	bbr_check_probe_rtt(b, &s);
	if (s.loss_round_start) {
		b->bw_latest = s.bw;
		b->inflight_latest = a->rate.delivered;
	}
	set_pacing_rate(cc, pacing_gain(b));
	set_cwnd(cc, &s);
	cc->cwnd = b->cwnd;
	cc->slow_on_purpose = b->state == BBR_PROBE_RTT;
}

/* ---- the table's other hooks -------------------------------------------------------------------------------------------------
 */

static void bbr_init(struct cc *cc, const struct cc_view *v)
{
	struct bbr *b = cc->bbr;

	*b = (struct bbr){.state = BBR_STARTUP, .undo_state = BBR_NO_STATE, .cwnd = cc->cwnd};
	b->min_rtt_us = v->srtt_us ? v->srtt_us : BBR_INFINITE;
	b->min_rtt_stamp = b->extra_acked_stamp = (uint32_t)v->now;
	b->probe_rtt_cwnd = CC_INIT_CWND_SEGS * cc->mss;
	b->inflight_longterm = b->probe_up_acked_per_inc = BBR_INFINITE;
	b->next_round_delivered = b->loss_round_delivered = v->delivered;
	b->was_in_recovery = v->in_recovery || v->in_loss;
	bbr_reset_short_term_model(b);
	init_pacing_rate(cc, v->srtt_us);
}

/* Recovery takes the result for the window to go on with, and control() has the last word at the ACK. */
static uint32_t bbr_on_loss(struct cc *cc, usec_t now)
{
	bbr_save_state_upon_loss(cc->bbr);
	cc->bbr->was_in_recovery = true;
	return cc->bbr->cwnd;
}

static uint32_t bbr_on_ece(struct cc *cc, usec_t now)
{
	cc->bbr->ece_due = true;
	return cc->bbr->cwnd;
}

/* OnEnterRTO(): one segment may go out; the window grows again from there as ACKs come. */
static void bbr_on_timeout(struct cc *cc, usec_t now)
{
	cc->bbr->cwnd = cc->mss;
}

static void bbr_undo(struct cc *cc, const struct cubic_stage *kept)
{
	cc->bbr->undo_due = true;
}

static void bbr_on_idle(struct cc *cc, usec_t idle_us)
{
	/* on_restart() is told. */
}

static void bbr_on_restart(struct cc *cc, const struct cc_view *v)
{
	struct bbr *b = cc->bbr;

	b->idle_restart = true;
	b->extra_acked_stamp = (uint32_t)v->now;
	if (bbr_in_probe_bw(b))
		set_pacing_rate(cc, 100);
	else if (b->state == BBR_PROBE_RTT)
		bbr_check_probe_rtt_done(b, v);
	cc->cwnd = b->cwnd;
}

static socklen_t bbr_info(const struct cc *cc, union tcp_cc_info *info)
{
	const struct bbr *b = cc->bbr;
	uint64_t bytes_per_s = (uint64_t)bbr_bw(b) * BBR_BW_UNIT;

	info->bbr = (struct tcp_bbr_info){.bbr_bw_lo = (uint32_t)bytes_per_s,
					  .bbr_bw_hi = bytes_per_s >> 32,
					  .bbr_min_rtt = b->min_rtt_us,
					  .bbr_pacing_gain = pacing_gain(b) * 256 / 100,
					  .bbr_cwnd_gain = cwnd_gain(b) * 256 / 100};
	return sizeof(info->bbr);
}

const struct cc_ops cc_bbr = {
    .name = "bbr",
    .has_model = true,
    .init = bbr_init,
    .on_loss = bbr_on_loss,
    .on_ece = bbr_on_ece,
    .on_timeout = bbr_on_timeout,
    .undo = bbr_undo,
    .on_idle = bbr_on_idle,
    .control = bbr_control,
    .on_lost = bbr_on_lost,
    .on_restart = bbr_on_restart,
    .info = bbr_info,
};
