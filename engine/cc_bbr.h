/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc_bbr.h - inside BBR: what cc_bbr.c (each ACK, control parameters, congestion), cc_bbr_phases.c (the state machine) and
 * cc_bbr_model.c (estimates of the path) share.  Names are the draft's; gains are in per cent.
 */
#ifndef ENGINE_CC_BBR_H
#define ENGINE_CC_BBR_H

#include "engine/cc.h"

enum bbr_state {
	BBR_STARTUP,
	BBR_DRAIN,
	BBR_PROBE_BW_DOWN,
	BBR_PROBE_BW_CRUISE,
	BBR_PROBE_BW_REFILL,
	BBR_PROBE_BW_UP,
	BBR_PROBE_RTT,
	BBR_NO_STATE
};

#define BBR_BETA 70
#define BBR_LOSS_THRESH_INVERSE 50 /* LossThresh: 2 % */
#define BBR_STARTUP_FULL_LOSS_CNT 6
#define BBR_PROBE_RTT_CWND_GAIN 50

#define BBR_INFINITE UINT32_MAX
/* Bandwidth is in units of 16 bytes per second: bytes = bw * us / this. */
#define BBR_BW_UNIT 16
#define BBR_BW_SCALE (1000000 / BBR_BW_UNIT)

/* What is known while one ACK is worked through. */
struct bbr_step {
	const struct ack *a;
	const struct cc_view *v;
	uint32_t bw; /* RS.delivery_rate; 0: no sample */
	bool round_start, loss_round_start;
};

static inline uint32_t max32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}
static inline uint32_t min32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}
static inline uint32_t percent(uint32_t v, unsigned p)
{
	return (uint64_t)v * p / 100;
}
static inline uint32_t add_capped(uint32_t v, uint64_t more)
{
	return v + more < CC_CWND_MAX ? v + more : CC_CWND_MAX;
}

/* ---- cc_bbr_model.c ---- */
uint32_t bbr_max_bw(const struct bbr *b);
uint32_t bbr_bw(const struct bbr *b); /* within the short-term bound */
uint32_t bbr_min_pipe_cwnd(const struct cc *cc);
uint32_t bbr_bdp_multiple(const struct cc *cc, uint32_t rate, unsigned gain);
uint32_t bbr_quantization_budget(const struct cc *cc, uint32_t cap);
uint32_t bbr_target_at(const struct cc *cc, uint32_t rate); /* Inflight() */
uint32_t bbr_target_inflight(const struct cc *cc);
uint32_t bbr_inflight_with_headroom(const struct cc *cc);
bool bbr_in_probe_bw(const struct bbr *b);
bool bbr_is_inflight_too_high(uint32_t lost, uint32_t tx_in_flight, bool sack_ok);
void bbr_reset_congestion_signals(struct bbr *b);
void bbr_reset_short_term_model(struct bbr *b);
void bbr_reset_full_bw(struct bbr *b);
void bbr_start_round(struct bbr *b, const struct cc_view *v);
void bbr_save_cwnd(struct bbr *b);
void bbr_restore_cwnd(struct bbr *b);
void bbr_save_state_upon_loss(struct bbr *b);
void bbr_note_loss(struct bbr *b, uint32_t delivered);

/* ---- cc_bbr_phases.c ---- */
void bbr_start_down(struct bbr *b, const struct cc_view *v);
void bbr_start_refill(struct bbr *b, const struct cc_view *v);
void bbr_update_cycle_phase(struct cc *cc, const struct bbr_step *s);
void bbr_check_full_bw_reached(struct bbr *b, const struct bbr_step *s);
void bbr_leave_startup_by_congestion(struct cc *cc);
void bbr_check_startup_high_loss(struct cc *cc, const struct bbr_step *s);
void bbr_check_startup_and_drain(struct cc *cc, const struct bbr_step *s);
void bbr_check_probe_rtt_done(struct bbr *b, const struct cc_view *v);
void bbr_update_min_rtt(struct cc *cc, const struct bbr_step *s);
void bbr_check_probe_rtt(struct bbr *b, const struct bbr_step *s);

#endif
