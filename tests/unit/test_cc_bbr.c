/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_cc_bbr.c - BBR's state machine (draft-ietf-ccwg-bbr, with the test cases of its appendix), DCTCP's alpha (RFC 8257), and
 * what CUBIC gives back after a loss that was none (RFC 9438 4.9).  Each ACK here stands for a whole round trip.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <linux/inet_diag.h>
#include <string.h>

#include "engine/cc_bbr.h"

#define MSS 1000u
#define RTT 20000u
#define BW 10000000u /* bytes per second */
#define BDP (BW / 50)
#define WAIT_MAX_ROUNDS 200

static struct cc cc;
static struct bbr model;
static struct ack ack;
static usec_t now;
static uint32_t delivered;

static void start(const char *name)
{
	memset(&cc, 0, sizeof(cc));
	memset(&ack, 0, sizeof(ack));
	now = 1000000;
	delivered = 0;
	cc.bbr = &model;
	cc.mss = MSS;
	cc.cwnd = CC_INIT_CWND_SEGS * MSS;
	cc.ssthresh = UINT32_MAX;
	ack.cwnd_limited = true;
	ack.view = (struct cc_view){.now = now, .srtt_us = RTT, .sack_ok = true, .ecn_ok = true};
	cc_set(&cc, cc_find(name), &ack.view);
}

/* A round trip in which bytes were delivered at this rate; what else the ACK says is left in ack by the caller. */
static void round_at(uint32_t rate, usec_t rtt, uint32_t in_flight)
{
	uint32_t bytes = (uint64_t)rate * rtt / 1000000;

	now += rtt;
	ack.now = now;
	ack.acked = ack.delivered = bytes;
	ack.rate.has_data = bytes != 0;
	ack.rate.interval_us = rtt;
	ack.rate.delivered = bytes;
	ack.rate.prior_delivered = delivered;
	ack.rate.tx_in_flight = in_flight;
	ack.rate.rtt_us = rtt;
	delivered += bytes;
	ack.view.now = now;
	ack.view.delivered = delivered;
	ack.view.in_flight = in_flight;
	cc_ops(cc.algo)->control(&cc, &ack);
}

static void lose(uint32_t bytes, uint32_t tx_in_flight, uint32_t lost)
{
	static uint32_t seq;
	struct cc_lost l = {.seq = seq += 10 * MSS,
			    .bytes = bytes,
			    .tx_in_flight = tx_in_flight,
			    .lost = lost,
			    .delivered = delivered,
			    .sack_ok = true};

	cc_ops(cc.algo)->on_lost(&cc, &l);
}

/* Startup, and Drain, until the pipe is known to be full. */
static void fill_pipe(void)
{
	start("bbr");
	for (unsigned i = 0; i < 4; i++)
		round_at(BW, RTT, BDP);
}

static void go_to(unsigned state, uint32_t rate)
{
	for (unsigned i = 0; cc.bbr->state != state; i++) {
		assert_true(i < WAIT_MAX_ROUNDS);
		round_at(rate, RTT, rate / 50);
	}
}

static void startup_ends_on_a_plateau(void **state)
{
	start("bbr");
	assert_int_equal(cc.pacing_rate, 10ull * MSS * 1000000 / RTT * 277 / 100);
	for (unsigned i = 0; i < 3; i++) {
		round_at(BW, RTT, 2 * BDP);
		assert_int_equal(cc.bbr->state, BBR_STARTUP);
	}
	round_at(BW, RTT, 2 * BDP);
	assert_true(cc.bbr->full_bw_reached);
	assert_int_equal(cc.bbr->state, BBR_DRAIN);
	assert_int_equal(cc.pacing_rate, (uint64_t)BW * 50 / 100 * 99 / 100);
}

static void startup_goes_on_while_the_rate_grows(void **state)
{
	start("bbr");
	for (unsigned i = 0; i < 12; i++)
		round_at(1000000u << (i / 2), RTT, BDP);
	assert_int_equal(cc.bbr->state, BBR_STARTUP);
	for (unsigned i = 0; i < 20; i++) {
		ack.rate.app_limited = true;
		round_at(BW / 10, RTT, BDP);
	}
	assert_int_equal(cc.bbr->state, BBR_STARTUP);
}

static void startup_ends_on_high_loss(void **state)
{
	start("bbr");
	round_at(BW, RTT, BDP);
	ack.view.in_recovery = true;
	for (unsigned i = 0; i < 5; i++)
		lose(MSS, BDP, 3 * BDP / 100);
	ack.rate.lost = 3 * BDP / 100;
	round_at(2 * BW, RTT, BDP);
	assert_false(cc.bbr->full_bw_reached); /* five ranges are not enough */
	for (unsigned i = 0; i < 6; i++)
		lose(MSS, BDP, 3 * BDP / 100);
	round_at(4 * BW, RTT, BDP);
	assert_true(cc.bbr->full_bw_reached);
	assert_int_equal(cc.bbr->inflight_longterm, 4 * BDP);
}

static void drain_ends_by_flight_or_by_time(void **state)
{
	fill_pipe();
	/* DOWN has nothing to do where no more than a BDP is in flight. */
	assert_int_equal(cc.bbr->state, BBR_PROBE_BW_CRUISE);
	start("bbr");
	for (unsigned i = 0; i < 4; i++)
		round_at(BW, RTT, 3 * BDP);
	for (unsigned i = 0; i < 3; i++) {
		round_at(BW, RTT, 3 * BDP);
		assert_int_equal(cc.bbr->state, BBR_DRAIN);
	}
	round_at(BW, RTT, 3 * BDP);
	assert_int_equal(cc.bbr->state, BBR_PROBE_BW_DOWN);
}

static void probe_bw_cycles(void **state)
{
	fill_pipe();
	go_to(BBR_PROBE_BW_CRUISE, BW);
	assert_int_equal(cc.pacing_rate, (uint64_t)BW * 99 / 100);
	/* 63 rounds at most: as often as Reno would probe. */
	go_to(BBR_PROBE_BW_REFILL, BW);
	round_at(BW, RTT, BDP);
	assert_int_equal(cc.bbr->state, BBR_PROBE_BW_UP);
	assert_int_equal(cc.pacing_rate, (uint64_t)BW * 125 / 100 * 99 / 100);
	/* Three rounds without growth: the pipe is full. */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(cc.bbr->state, BBR_PROBE_BW_UP);
		round_at(BW, RTT, 5 * BDP / 4);
	}
	assert_int_equal(cc.bbr->state, BBR_PROBE_BW_DOWN);
	assert_int_equal(cc.pacing_rate, (uint64_t)BW * 90 / 100 * 99 / 100);
}

static void more_bandwidth_is_found(void **state)
{
	fill_pipe();
	go_to(BBR_PROBE_BW_UP, BW);
	for (unsigned i = 0; i < 4; i++)
		round_at(BW * (2 << i), RTT, BDP * (2 << i));
	assert_int_equal(cc.bbr->state, BBR_PROBE_BW_UP);
	assert_int_equal(bbr_max_bw(cc.bbr), 16ull * BW / BBR_BW_UNIT);
}

static void less_bandwidth_is_learned_in_two_cycles(void **state)
{
	fill_pipe();
	for (unsigned i = 0; i < 2; i++) {
		go_to(BBR_PROBE_BW_UP, BW / 10);
		assert_int_equal(bbr_max_bw(cc.bbr), i ? BW / 10 / BBR_BW_UNIT : BW / BBR_BW_UNIT);
		go_to(BBR_PROBE_BW_CRUISE, BW / 10);
	}
	/* The feedback of the second probe has all come in. */
	round_at(BW / 10, RTT, BDP / 10);
	assert_int_equal(bbr_max_bw(cc.bbr), BW / 10 / BBR_BW_UNIT);
}

static void loss_ends_a_probe_and_undo_brings_it_back(void **state)
{
	fill_pipe();
	go_to(BBR_PROBE_BW_UP, BW);
	cc_ops(cc.algo)->on_loss(&cc, now);
	ack.view.in_recovery = true;
	/* 2 % of a BDP and a half is lost before this packet. */
	lose(MSS, 3 * BDP / 2, 10 * MSS);
	assert_in_range(cc.bbr->inflight_longterm, BDP, 3 * BDP / 2);
	round_at(BW, RTT, 2 * BDP);
	assert_int_equal(cc.bbr->state, BBR_PROBE_BW_DOWN);
	assert_true(cc.bbr->prev_probe_too_high);
	cc_ops(cc.algo)->undo(&cc, NULL);
	ack.view.in_recovery = false;
	round_at(BW, RTT, BDP);
	assert_int_equal(cc.bbr->inflight_longterm, BBR_INFINITE);
	assert_int_equal(cc.bbr->state, BBR_PROBE_BW_REFILL);
	assert_true(cc.cwnd >= 2 * BDP);
	round_at(BW, RTT, BDP);
	assert_int_equal(cc.bbr->state, BBR_PROBE_BW_UP);
}

static void loss_while_cruising_lowers_the_short_term_bounds(void **state)
{
	fill_pipe();
	go_to(BBR_PROBE_BW_CRUISE, BW);
	for (unsigned i = 0; i < 2; i++) {
		lose(MSS, BDP, MSS);
		round_at(BW / 2, RTT, BDP);
	}
	/* Seven tenths of the model, for what was delivered is less. */
	assert_int_equal(cc.bbr->bw_shortterm, (uint64_t)BW / BBR_BW_UNIT * 70 / 100);
	go_to(BBR_PROBE_BW_REFILL, BW);
	assert_int_equal(cc.bbr->bw_shortterm, BBR_INFINITE);
	assert_int_equal(cc.bbr->inflight_shortterm, BBR_INFINITE);
}

/* The target is of the round trip that was, not of the one with a queue in it that takes its place. */
static void probe_rtt_drains_to_half_a_bdp(void **state)
{
	fill_pipe();
	while (cc.bbr->state != BBR_PROBE_RTT) {
		round_at(BW, 2 * RTT, 2 * BDP);
		assert_true(now < 13000000);
	}
	assert_true(now > 11000000);
	assert_int_equal(cc.cwnd, BDP / 2);
	assert_true(cc.slow_on_purpose);
	for (unsigned i = 0; i < 11; i++) {
		round_at(BW / 2, RTT, BDP / 2);
		assert_int_equal(cc.bbr->state, BBR_PROBE_RTT);
	}
	round_at(BW / 2, RTT, BDP / 2);
	assert_int_equal(cc.bbr->state, BBR_PROBE_BW_CRUISE);
	assert_int_equal(cc.bbr->min_rtt_us, RTT);
	assert_true(cc.cwnd > BDP / 2);
	assert_false(cc.slow_on_purpose);
}

static void idle_restart_skips_probe_rtt(void **state)
{
	fill_pipe();
	go_to(BBR_PROBE_BW_CRUISE, BW);
	now += 30000000;
	ack.view.now = now;
	ack.view.in_flight = 0;
	cc_ops(cc.algo)->on_restart(&cc, &ack.view);
	assert_int_equal(cc.pacing_rate, (uint64_t)BW * 99 / 100);
	round_at(BW, RTT, BDP);
	assert_int_not_equal(cc.bbr->state, BBR_PROBE_RTT);
}

static void window_never_falls_below_four_segments(void **state)
{
	start("bbr");
	for (unsigned i = 0; i < 40; i++)
		round_at(50000, RTT, MSS); /* one segment a round trip */
	assert_true(cc.cwnd >= 4 * MSS);
	cc_ops(cc.algo)->on_timeout(&cc, now);
	assert_int_equal(cc.bbr->cwnd, MSS);
	round_at(50000, RTT, MSS);
	assert_true(cc.cwnd >= 4 * MSS);
}

static void echo_of_congestion_ends_startup(void **state)
{
	start("bbr");
	round_at(BW, RTT, BDP);
	assert_int_equal(cc_ops(cc.algo)->on_ece(&cc, now), cc.cwnd);
	round_at(2 * BW, RTT, 2 * BDP);
	assert_true(cc.bbr->full_bw_reached);
	assert_int_not_equal(cc.bbr->state, BBR_STARTUP);
}

/* ---- DCTCP ---- */

static void dctcp_alpha_follows_the_marks(void **state)
{
	start("dctcp");
	assert_int_equal(cc.dctcp.alpha, 1024);
	for (unsigned i = 0; i < 400; i++)
		round_at(BW, RTT, BDP);
	assert_int_equal(cc.dctcp.alpha, 0);
	ack.ece = true;
	round_at(BW, RTT, BDP);
	assert_int_equal(cc.dctcp.alpha, 64); /* g = 1/16 of a window that was all marked */
	for (unsigned i = 0; i < 400; i++)
		round_at(BW, RTT, BDP);
	assert_in_range(cc.dctcp.alpha, 1009, 1024);
}

static void dctcp_reduces_by_half_of_alpha(void **state)
{
	start("dctcp");
	cc.cwnd = 100 * MSS;
	cc.dctcp.alpha = 1024;
	assert_int_equal(cc_ops(cc.algo)->on_ece(&cc, now), 50 * MSS);
	cc.dctcp.alpha = 256;
	assert_int_equal(cc_ops(cc.algo)->on_ece(&cc, now), 87500);
	cc.dctcp.alpha = 0;
	assert_int_equal(cc_ops(cc.algo)->on_ece(&cc, now), 100 * MSS);
	assert_int_equal(cc_ops(cc.algo)->on_loss(&cc, now), 50 * MSS);
	cc.cwnd = 3 * MSS;
	cc.dctcp.alpha = 1024;
	assert_int_equal(cc_ops(cc.algo)->on_ece(&cc, now), 2 * MSS);
}

static void dctcp_without_ecn_is_reno(void **state)
{
	start("dctcp");
	ack.view.ecn_ok = false;
	cc_set(&cc, cc_find("dctcp"), &ack.view);
	assert_string_equal(cc_ops(cc.algo)->name, "dctcp-reno");
}

/* ---- CUBIC ---- */

static void cubic_undo_restores_the_curve(void **state)
{
	struct ack a = {.acked = MSS, .delivered = MSS, .rtt = RTT, .cwnd_limited = true, .now = 2000000};
	struct cubic_stage before, kept;

	start("cubic");
	cc.cwnd = 100 * MSS;
	cc.ssthresh = cc_ops(cc.algo)->on_loss(&cc, now);
	cc.cwnd = cc.ssthresh;
	cc_ops(cc.algo)->on_ack(&cc, &a);
	before = cc.cubic.stage;
	cc_ops(cc.algo)->keep(&cc, &kept);
	assert_true(before.k_us && before.w_max == 100 * MSS);
	cc_ops(cc.algo)->on_loss(&cc, now);
	cc_ops(cc.algo)->on_timeout(&cc, now);
	assert_memory_not_equal(&cc.cubic.stage, &before, sizeof(before));
	cc_ops(cc.algo)->undo(&cc, &kept);
	assert_memory_equal(&cc.cubic.stage, &before, sizeof(before));
}

/* RFC 9438 4.2, 5.8: seconds in which the application, not cwnd, held the flow back do not move it along the curve. */
static void cubic_time_that_did_not_count_is_left_out(void **state)
{
	struct ack a = {.acked = MSS, .delivered = MSS, .rtt = RTT, .cwnd_limited = true, .now = 2000000};
	usec_t epoch;

	start("cubic");
	cc.cwnd = 1000 * MSS;
	cc.ssthresh = cc.cwnd = cc_ops(cc.algo)->on_loss(&cc, now);
	cc_ops(cc.algo)->on_ack(&cc, &a);
	epoch = cc.cubic.stage.epoch_at;
	a.cwnd_limited = false;
	for (unsigned i = 0; i < 100; i++) {
		a.now += 50000;
		cc_ops(cc.algo)->on_ack(&cc, &a);
	}
	assert_int_equal(cc.cubic.stage.epoch_at, epoch + 5000000);
	a.cwnd_limited = true;
	a.now += 50000;
	cc_ops(cc.algo)->on_ack(&cc, &a);
	assert_int_equal(cc.cubic.stage.epoch_at, epoch + 5000000);
}

/* RFC 3465 2.3: an ACK that fills a hole covers what was SACKed, and counted, before. */
static void growth_is_by_what_is_newly_delivered(void **state)
{
	static const char *const names[] = {"cubic", "reno"};
	struct ack a = {.acked = 50 * MSS, .delivered = MSS, .cwnd_limited = true, .now = 2000000};

	for (unsigned i = 0; i < 2; i++) {
		start(names[i]);
		cc_ops(cc.algo)->on_ack(&cc, &a);
		assert_int_equal(cc.cwnd, 11 * MSS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(startup_ends_on_a_plateau),
	    cmocka_unit_test(startup_goes_on_while_the_rate_grows),
	    cmocka_unit_test(startup_ends_on_high_loss),
	    cmocka_unit_test(drain_ends_by_flight_or_by_time),
	    cmocka_unit_test(probe_bw_cycles),
	    cmocka_unit_test(more_bandwidth_is_found),
	    cmocka_unit_test(less_bandwidth_is_learned_in_two_cycles),
	    cmocka_unit_test(loss_ends_a_probe_and_undo_brings_it_back),
	    cmocka_unit_test(loss_while_cruising_lowers_the_short_term_bounds),
	    cmocka_unit_test(probe_rtt_drains_to_half_a_bdp),
	    cmocka_unit_test(idle_restart_skips_probe_rtt),
	    cmocka_unit_test(window_never_falls_below_four_segments),
	    cmocka_unit_test(echo_of_congestion_ends_startup),
	    cmocka_unit_test(dctcp_alpha_follows_the_marks),
	    cmocka_unit_test(dctcp_reduces_by_half_of_alpha),
	    cmocka_unit_test(dctcp_without_ecn_is_reno),
	    cmocka_unit_test(cubic_undo_restores_the_curve),
	    cmocka_unit_test(cubic_time_that_did_not_count_is_left_out),
	    cmocka_unit_test(growth_is_by_what_is_newly_delivered),
	};

	return cmocka_run_group_tests_name("bbr, dctcp", tests, NULL, NULL);
}
