/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc_bbr_model.c - BBR's estimates: bandwidth, bandwidth-delay product, how much may be in flight, and what a loss episode must
 * be able to give back.
 */
#include "engine/cc_bbr.h"

#define MIN_PIPE_CWND_SEGS 4
#define HEADROOM 15

uint32_t bbr_max_bw(const struct bbr *b)
{
	return max32(b->max_bw[0], b->max_bw[1]);
}

/* BoundBWForModel() */
uint32_t bbr_bw(const struct bbr *b)
{
	return min32(bbr_max_bw(b), b->bw_shortterm);
}

uint32_t bbr_min_pipe_cwnd(const struct cc *cc)
{
	return MIN_PIPE_CWND_SEGS * cc->mss;
}

uint32_t bbr_bdp_multiple(const struct cc *cc, uint32_t rate, unsigned gain)
{
	uint64_t bdp;

	if (cc->bbr->min_rtt_us == BBR_INFINITE)
		return CC_INIT_CWND_SEGS * cc->mss;
	bdp = (uint64_t)rate * cc->bbr->min_rtt_us / BBR_BW_SCALE;
	return bdp < CC_CWND_MAX ? add_capped(0, bdp * gain / 100) : CC_CWND_MAX;
}

uint32_t bbr_quantization_budget(const struct cc *cc, uint32_t cap)
{
	cap = max32(cap, 3 * cc_quantum(cc->pacing_rate, cc->mss));
	cap = max32(cap, bbr_min_pipe_cwnd(cc));
	return cc->bbr->state == BBR_PROBE_BW_UP ? add_capped(cap, 2 * cc->mss) : cap;
}

/* Inflight() */
uint32_t bbr_target_at(const struct cc *cc, uint32_t rate)
{
	return bbr_quantization_budget(cc, bbr_bdp_multiple(cc, rate, 100));
}

uint32_t bbr_target_inflight(const struct cc *cc)
{
	return min32(bbr_bdp_multiple(cc, bbr_bw(cc->bbr), 100), cc->bbr->cwnd);
}

uint32_t bbr_inflight_with_headroom(const struct cc *cc)
{
	uint32_t longterm = cc->bbr->inflight_longterm, headroom;

	if (longterm == BBR_INFINITE)
		return BBR_INFINITE;
	headroom = max32(cc->mss, percent(longterm, HEADROOM));
	return max32(longterm > headroom ? longterm - headroom : 0, bbr_min_pipe_cwnd(cc));
}

bool bbr_in_probe_bw(const struct bbr *b)
{
	return b->state >= BBR_PROBE_BW_DOWN && b->state <= BBR_PROBE_BW_UP;
}

bool bbr_is_inflight_too_high(uint32_t lost, uint32_t tx_in_flight, bool sack_ok)
{
	return (uint64_t)lost * BBR_LOSS_THRESH_INVERSE > tx_in_flight || (lost && !sack_ok);
}

void bbr_reset_congestion_signals(struct bbr *b)
{
	b->is_loss_in_round = false;
	b->bw_latest = b->inflight_latest = 0;
}

void bbr_reset_short_term_model(struct bbr *b)
{
	b->bw_shortterm = b->inflight_shortterm = BBR_INFINITE;
}

void bbr_reset_full_bw(struct bbr *b)
{
	b->full_bw = 0;
	b->full_bw_count = 0;
	b->full_bw_now = false;
}

void bbr_start_round(struct bbr *b, const struct cc_view *v)
{
	b->next_round_delivered = v->delivered;
}

void bbr_save_cwnd(struct bbr *b)
{
	if (!b->was_in_recovery && b->state != BBR_PROBE_RTT)
		b->prior_cwnd = b->cwnd;
	else
		b->prior_cwnd = max32(b->prior_cwnd, b->cwnd);
}

void bbr_restore_cwnd(struct bbr *b)
{
	b->cwnd = max32(b->cwnd, b->prior_cwnd);
}

void bbr_save_state_upon_loss(struct bbr *b)
{
	bbr_save_cwnd(b);
	b->undo_state = BBR_NO_STATE;
	b->undo_bw_shortterm = b->bw_shortterm;
	b->undo_inflight_shortterm = b->inflight_shortterm;
	b->undo_inflight_longterm = b->inflight_longterm;
}

void bbr_note_loss(struct bbr *b, uint32_t delivered)
{
	if (!b->is_loss_in_round) {
		b->loss_round_delivered = delivered;
		bbr_save_state_upon_loss(b);
	}
	b->is_loss_in_round = true;
}
