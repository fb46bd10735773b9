/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc_bbr_phases.c - BBR's state machine: Startup, Drain, the cycle of ProbeBW (DOWN, CRUISE, REFILL, UP) with its precautionary
 * probes, and ProbeRTT (draft-ietf-ccwg-bbr, "State Machine Operation").
 */
#include "engine/cc_bbr.h"

enum ack_phase { ACKS_INIT, ACKS_REFILLING, ACKS_PROBE_STARTING, ACKS_PROBE_FEEDBACK, ACKS_PROBE_STOPPING };

#define FULL_BW_GROWTH 125
#define FULL_BW_COUNT 3
#define DRAIN_ROUNDS 3
#define RENO_ROUNDS_MAX 63
#define PROBE_WAIT_MS 2000
#define PROBE_WAIT_SPREAD_MS 1000
#define PROBE_UP_ROUNDS_MAX 30
#define MIN_RTT_FILTER_US 10000000u
#define PROBE_RTT_DURATION_US 200000u
/* ---- the phases of ProbeBW ---------------------------------------------------------------------------------------------------
 */

static void pick_probe_wait(struct bbr *b, const struct cc_view *v)
{
	b->rounds_since_probe_up = v->random & 1;
	b->bw_probe_wait_ms = PROBE_WAIT_MS + (v->random >> 1) % (PROBE_WAIT_SPREAD_MS + 1);
}

void bbr_start_down(struct bbr *b, const struct cc_view *v)
{
	bbr_reset_congestion_signals(b);
	b->probe_up_acked_per_inc = BBR_INFINITE;
	pick_probe_wait(b, v);
	b->cycle_stamp = (uint32_t)v->now;
	b->ack_phase = ACKS_PROBE_STOPPING;
	bbr_start_round(b, v);
	b->state = BBR_PROBE_BW_DOWN;
}

void bbr_start_refill(struct bbr *b, const struct cc_view *v)
{
	bbr_reset_short_term_model(b);
	b->bw_probe_up_rounds = 0;
	b->bw_probe_up_acked = 0;
	b->prev_probe_precautionary = false;
	b->ack_phase = ACKS_REFILLING;
	bbr_start_round(b, v);
	b->state = BBR_PROBE_BW_REFILL;
}

static void raise_inflight_longterm_slope(struct cc *cc)
{
	struct bbr *b = cc->bbr;

	b->probe_up_acked_per_inc = max32(b->cwnd >> b->bw_probe_up_rounds, cc->mss);
	if (b->bw_probe_up_rounds < PROBE_UP_ROUNDS_MAX)
		b->bw_probe_up_rounds++;
}

static void start_up(struct cc *cc, const struct bbr_step *s)
{
	struct bbr *b = cc->bbr;

	b->ack_phase = ACKS_PROBE_STARTING;
	bbr_start_round(b, s->v);
	bbr_reset_full_bw(b);
	b->full_bw = s->bw;
	b->state = BBR_PROBE_BW_UP;
	raise_inflight_longterm_slope(cc);
}

static bool is_reno_coexistence_probe_time(const struct cc *cc)
{
	return cc->bbr->rounds_since_probe_up >= min32(bbr_target_inflight(cc) / cc->mss, RENO_ROUNDS_MAX);
}

static bool is_time_to_probe_bw(struct cc *cc, const struct cc_view *v)
{
	struct bbr *b = cc->bbr;

	if ((uint32_t)v->now - b->cycle_stamp <= b->bw_probe_wait_ms * 1000u && !is_reno_coexistence_probe_time(cc))
		return false;
	bbr_start_refill(b, v);
	return true;
}

static bool is_time_to_cruise(const struct cc *cc, const struct cc_view *v)
{
	return v->in_flight <= bbr_inflight_with_headroom(cc) && v->in_flight <= bbr_target_at(cc, bbr_max_bw(cc->bbr));
}

static bool is_time_to_go_down(struct cc *cc, const struct bbr_step *s)
{
	struct bbr *b = cc->bbr;

	if (b->prev_probe_too_high && s->v->in_flight >= b->inflight_longterm) {
		b->prev_probe_precautionary = true;
		return true;
	}
	if (s->a->cwnd_limited && b->cwnd >= b->inflight_longterm) {
		bbr_reset_full_bw(b);
		b->full_bw = s->bw;
		return false;
	}
	return b->full_bw_now;
}

static void probe_inflight_longterm_upward(struct cc *cc, const struct bbr_step *s)
{
	struct bbr *b = cc->bbr;

	if (!s->a->cwnd_limited || b->cwnd < b->inflight_longterm)
		return;
	b->bw_probe_up_acked += s->a->delivered;
	if (b->bw_probe_up_acked >= b->probe_up_acked_per_inc) {
		uint32_t delta = b->bw_probe_up_acked / b->probe_up_acked_per_inc;

		b->bw_probe_up_acked -= delta * b->probe_up_acked_per_inc;
		b->inflight_longterm = add_capped(b->inflight_longterm, (uint64_t)delta * cc->mss);
	}
	if (s->round_start)
		raise_inflight_longterm_slope(cc);
}

static void advance_max_bw_filter(struct bbr *b)
{
	/* A cycle without a sample leaves what the one before found. */
	if (!b->max_bw[1])
		return;
	b->max_bw[0] = b->max_bw[1];
	b->max_bw[1] = 0;
}

/* The feedback of a bandwidth probe has all come in.  True: it decided the next phase. */
static bool probe_feedback_ends(struct bbr *b, const struct bbr_step *s)
{
	b->is_bw_probe_sample = false;
	b->ack_phase = ACKS_INIT;
	if (!bbr_in_probe_bw(b))
		return false;
	if (!s->a->rate.app_limited)
		advance_max_bw_filter(b);
	if (!b->prev_probe_precautionary || b->prev_probe_too_high)
		return false;
	bbr_start_refill(b, s->v);
	return true;
}

/* AdaptLongTermModel(): true if it decided a transition. */
static bool adapt_long_term_model(struct cc *cc, const struct bbr_step *s)
{
	struct bbr *b = cc->bbr;
	const struct rate *r = &s->a->rate;

	if (b->ack_phase == ACKS_PROBE_STARTING && s->round_start)
		b->ack_phase = ACKS_PROBE_FEEDBACK;
	if (b->ack_phase == ACKS_PROBE_STOPPING && s->round_start && probe_feedback_ends(b, s))
		return true;
	if (bbr_is_inflight_too_high(r->lost, r->tx_in_flight, s->v->sack_ok) || b->inflight_longterm == BBR_INFINITE)
		return false;
	b->inflight_longterm = max32(b->inflight_longterm, r->tx_in_flight);
	if (b->state == BBR_PROBE_BW_UP)
		probe_inflight_longterm_upward(cc, s);
	return false;
}

/* UpdateProbeBWCyclePhase() */
void bbr_update_cycle_phase(struct cc *cc, const struct bbr_step *s)
{
	struct bbr *b = cc->bbr;

	if (!b->full_bw_reached || adapt_long_term_model(cc, s))
		return;
	switch ((enum bbr_state)b->state) {
	case BBR_PROBE_BW_DOWN:
		if (!is_time_to_probe_bw(cc, s->v) && is_time_to_cruise(cc, s->v))
			b->state = BBR_PROBE_BW_CRUISE;
		break;
	case BBR_PROBE_BW_CRUISE:
		is_time_to_probe_bw(cc, s->v);
		break;
	case BBR_PROBE_BW_REFILL:
		if (s->round_start) {
			b->is_bw_probe_sample = true;
			start_up(cc, s);
		}
		break;
	case BBR_PROBE_BW_UP:
		if (is_time_to_go_down(cc, s)) {
			b->prev_probe_too_high = false;
			bbr_start_down(b, s->v);
		}
		break;
	default:
		break;
	}
}

/* ---- Startup and Drain -------------------------------------------------------------------------------------------------------
 */

void bbr_check_full_bw_reached(struct bbr *b, const struct bbr_step *s)
{
	if (b->full_bw_now || !s->round_start || s->a->rate.app_limited)
		return;
	if (s->bw >= (uint64_t)b->full_bw * FULL_BW_GROWTH / 100) {
		bbr_reset_full_bw(b);
		b->full_bw = s->bw;
		return;
	}
	b->full_bw_count++;
	b->full_bw_now = b->full_bw_count >= FULL_BW_COUNT;
	if (b->full_bw_now)
		b->full_bw_reached = true;
}

void bbr_leave_startup_by_congestion(struct cc *cc)
{
	struct bbr *b = cc->bbr;

	b->undo_state = BBR_STARTUP;
	b->full_bw_reached = true;
	b->inflight_longterm = max32(bbr_bdp_multiple(cc, bbr_bw(b), 100), b->inflight_latest);
}

void bbr_check_startup_high_loss(struct cc *cc, const struct bbr_step *s)
{
	struct bbr *b = cc->bbr;
	const struct rate *r = &s->a->rate;

	if (b->full_bw_reached || !s->v->in_recovery || !b->is_loss_in_round)
		return;
	if (!s->v->sack_ok || (s->loss_round_start && b->loss_ranges >= BBR_STARTUP_FULL_LOSS_CNT &&
			       bbr_is_inflight_too_high(r->lost, r->tx_in_flight, true)))
		bbr_leave_startup_by_congestion(cc);
}

void bbr_check_startup_and_drain(struct cc *cc, const struct bbr_step *s)
{
	struct bbr *b = cc->bbr;

	if (b->state == BBR_STARTUP && b->full_bw_reached) {
		b->state = BBR_DRAIN;
		b->drain_rounds = 0;
	}
	if (b->state == BBR_DRAIN && (s->v->in_flight <= bbr_target_at(cc, bbr_bw(b)) || b->drain_rounds > DRAIN_ROUNDS))
		bbr_start_down(b, s->v);
}

/* ---- ProbeRTT ----------------------------------------------------------------------------------------------------------------
 */

static void exit_probe_rtt(struct bbr *b, const struct cc_view *v)
{
	bbr_reset_short_term_model(b);
	if (!b->full_bw_reached) {
		b->state = BBR_STARTUP;
		return;
	}
	bbr_start_down(b, v);
	b->state = BBR_PROBE_BW_CRUISE;
}

void bbr_check_probe_rtt_done(struct bbr *b, const struct cc_view *v)
{
	uint32_t now = (uint32_t)v->now;

	if (!b->probe_rtt_timing || (int32_t)(now - b->probe_rtt_done_stamp) <= 0)
		return;
	b->min_rtt_stamp = now; /* the next one is that far away */
	bbr_restore_cwnd(b);
	exit_probe_rtt(b, v);
}

void bbr_update_min_rtt(struct cc *cc, const struct bbr_step *s)
{
	struct bbr *b = cc->bbr;
	uint32_t rtt = s->a->rate.rtt_us, now = (uint32_t)s->v->now;

	b->min_rtt_expired = now - b->min_rtt_stamp > MIN_RTT_FILTER_US;
	/* From the min_rtt that is about to go, before a sample with a queue in it takes its place. */
	if (b->min_rtt_expired && b->state != BBR_PROBE_RTT)
		b->probe_rtt_cwnd = max32(bbr_bdp_multiple(cc, bbr_bw(b), BBR_PROBE_RTT_CWND_GAIN), bbr_min_pipe_cwnd(cc));
	if (rtt && (rtt < b->min_rtt_us || b->min_rtt_expired)) {
		b->min_rtt_us = rtt;
		b->min_rtt_stamp = now;
	}
}

static void enter_probe_rtt(struct bbr *b, const struct cc_view *v)
{
	b->state = BBR_PROBE_RTT;
	bbr_save_cwnd(b);
	b->probe_rtt_timing = false;
	b->ack_phase = ACKS_PROBE_STOPPING;
	bbr_start_round(b, v);
}

static void handle_probe_rtt(struct bbr *b, const struct bbr_step *s)
{
	if (!b->probe_rtt_timing && s->v->in_flight <= b->probe_rtt_cwnd) {
		b->probe_rtt_done_stamp = (uint32_t)s->v->now + PROBE_RTT_DURATION_US;
		b->probe_rtt_timing = true;
		b->probe_rtt_round_done = false;
		bbr_start_round(b, s->v);
	} else if (b->probe_rtt_timing) {
		b->probe_rtt_round_done |= s->round_start;
		if (b->probe_rtt_round_done)
			bbr_check_probe_rtt_done(b, s->v);
	}
}

void bbr_check_probe_rtt(struct bbr *b, const struct bbr_step *s)
{
	if (b->state != BBR_PROBE_RTT && b->min_rtt_expired && !b->idle_restart)
		enter_probe_rtt(b, s->v);
	if (b->state == BBR_PROBE_RTT)
		handle_probe_rtt(b, s);
	if (s->a->rate.has_data)
		b->idle_restart = false;
}
