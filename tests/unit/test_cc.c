/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_cc.c - engine/cc*.c.  CUBIC is compared with RFC 9438's formulas in floating point: by itself, and over whole epochs of a
 * path with a fixed round-trip time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "engine/cc.h"

#define MSS 1460u
#define START 1000000u /* now at the beginning of a test, us */

static struct cc cc;

static void set(const char *name, uint32_t cwnd, uint32_t ssthresh)
{
	memset(&cc, 0xa5, sizeof(cc));
	cc.cwnd = cwnd;
	cc.ssthresh = ssthresh;
	cc.mss = MSS;
	cc_set(&cc, cc_find(name), &(struct cc_view){.now = START, .ecn_ok = true});
}

static void ack(uint32_t bytes, usec_t now, usec_t rtt)
{
	struct ack a = {.acked = bytes, .delivered = bytes, .rtt = rtt, .cwnd_limited = true, .now = now};

	cc_ops(cc.algo)->on_ack(&cc, &a);
}

/* Acknowledge a whole window, two segments at a time, within one round trip from now on. */
static usec_t ack_window(usec_t now, usec_t rtt)
{
	uint32_t flight = cc.cwnd, left = flight;

	while (left) {
		uint32_t n = left < 2 * MSS ? left : 2 * MSS;

		left -= n;
		ack(n, now + rtt - rtt * left / flight, rtt);
	}
	return now + rtt;
}

static void lose(usec_t now)
{
	cc.ssthresh = cc_ops(cc.algo)->on_loss(&cc, now);
	cc.cwnd = cc.ssthresh;
}

/* ---- the table and slow start ---- */

static void table_finds_by_name(void **state)
{
	assert_int_equal(cc_find("cubic"), 0);
	assert_int_equal(cc_find("reno"), 1);
	assert_int_equal(cc_find("bbr"), 2);
	assert_int_equal(cc_find("dctcp"), 3);
	assert_int_equal(cc_find("dctcp-reno"), -ENOENT);
	assert_int_equal(cc_find(""), -ENOENT);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(cc_find(cc_ops(i)->name), i);
	assert_string_equal(cc_ops(4)->name, "dctcp-reno");
	assert_null(cc_ops(5));
	assert_null(cc_ops(UINT32_MAX));
}

static void slow_start_counts_bytes_up_to_ssthresh(void **state)
{
	static const struct {
		uint32_t cwnd, ssthresh, acked, after, left;
	} rows[] = {
	    {CC_CWND_MAX, UINT32_MAX, 10, CC_CWND_MAX, 0},
	    {CC_CWND_MAX, UINT32_MAX, UINT32_MAX, CC_CWND_MAX, 1u << 30},
	    {CC_CWND_MAX - 5, UINT32_MAX, 10, CC_CWND_MAX, 0},
	    {14600, UINT32_MAX, 0, 14600, 0},
	    {14600, UINT32_MAX, 1, 14601, 0},
	    {14600, UINT32_MAX, 14600, 29200, 0},
	    {14600, 20000, 5400, 20000, 0},
	    {14600, 20000, 5401, 20000, 1},
	    {14600, 20000, 65535, 20000, 60135},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		set("reno", rows[i].cwnd, rows[i].ssthresh);
		assert_true(cc_in_slow_start(&cc));
		assert_int_equal(cc_slow_start(&cc, rows[i].acked), rows[i].left);
		assert_int_equal(cc.cwnd, rows[i].after);
	}
}

static void both_double_per_round_trip_in_slow_start(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		usec_t now = START;

		set(cc_ops(i)->name, 10 * MSS, UINT32_MAX);
		for (unsigned round = 1; round <= 5; round++) {
			now = ack_window(now, 20000);
			assert_int_equal(cc.cwnd, (10 * MSS) << round);
		}
	}
}

/* RFC 7661, RFC 9438 5.8: what the application did not use says nothing of the path. */
static void both_stay_when_the_window_was_not_used(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned slow = 0; slow < 2; slow++) {
			struct ack a = {.acked = 10 * MSS, .rtt = 1000, .now = START};

			set(cc_ops(i)->name, 10 * MSS, slow ? UINT32_MAX : 5 * MSS);
			for (unsigned n = 0; n < 100; n++)
				cc_ops(i)->on_ack(&cc, &a);
			assert_int_equal(cc.cwnd, 10 * MSS);
		}
	}
}

static void both_keep_two_segments_after_any_loss(void **state)
{
	static const uint32_t windows[] = {1, MSS, 2 * MSS, 2 * MSS + 1};

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned w = 0; w < 4; w++) {
			set(cc_ops(i)->name, windows[w], UINT32_MAX);
			assert_int_equal(cc_ops(i)->on_loss(&cc, START), 2 * MSS);
			assert_int_equal(cc.cwnd, windows[w]);
		}
	}
}

/* ---- HyStart++ ---- */

/* RFC 9406 section 4: on a path with a deep queue slow start ends soon after the queue begins to fill, without a loss. */
static void hystart_ends_when_the_delay_rises(void **state)
{
	const uint32_t bdp = 100 * MSS;
	const usec_t base = 50000;
	usec_t now = START;
	unsigned rounds = 0;

	set("cubic", 10 * MSS, UINT32_MAX);
	while (cc.ssthresh == UINT32_MAX) {
		usec_t rtt = cc.cwnd > bdp ? base * cc.cwnd / bdp : base;

		now = ack_window(now, rtt);
		assert_true(++rounds < 20);
	}
	assert_in_range(cc.cwnd, bdp, 6 * bdp);
	assert_int_equal(cc.ssthresh, cc.cwnd);
	assert_false(cc_in_slow_start(&cc));
}

/* Section 4.2: a quarter of slow start's growth while in doubt, five rounds at most. */
static void hystart_goes_slower_before_it_ends(void **state)
{
	usec_t now = START;

	set("cubic", 20 * MSS, UINT32_MAX);
	now = ack_window(now, 20000);
	for (unsigned round = 0; round < 5; round++) {
		uint32_t before = cc.cwnd;

		assert_int_equal(cc.ssthresh, UINT32_MAX);
		now = ack_window(now, 30000);
		/* The first samples of the first of these rounds still double. */
		assert_in_range(cc.cwnd, before * 5 / 4, before * 5 / 4 + (round ? MSS : before / 2));
	}
	assert_int_equal(cc.ssthresh, cc.cwnd);
}

/* A delay that passes was no queue: back to doubling. */
static void hystart_resumes_when_the_delay_goes(void **state)
{
	uint32_t before;
	usec_t now = START;

	set("cubic", 20 * MSS, UINT32_MAX);
	now = ack_window(now, 20000);
	now = ack_window(now, 40000);
	assert_true(cc.cubic.hystart.css_rtt_us != 0);
	now = ack_window(now, 20000);
	assert_true(cc.cubic.hystart.css_rtt_us == 0);
	before = cc.cwnd;
	now = ack_window(now, 20000);
	assert_int_equal(cc.cwnd, 2 * before);
	assert_int_equal(cc.ssthresh, UINT32_MAX);
	/* The next doubt has its five rounds again. */
	for (unsigned round = 0; round < 5; round++) {
		assert_int_equal(cc.ssthresh, UINT32_MAX);
		now = ack_window(now, 40000);
	}
	assert_int_equal(cc.ssthresh, cc.cwnd);
}

/* Which rises matter: an eighth of the round-trip time, but at least 4 and at most 16 ms; and never on fewer than eight samples.
 */
static void hystart_thresholds(void **state)
{
	static const struct {
		usec_t rtt, then;
		uint32_t segs;
		bool noticed;
	} rows[] = {
	    {100, 4099, 20, false},	 {100, 4100, 20, true},	     {64000, 71999, 20, false},	  {64000, 72000, 20, true},
	    {400000, 415999, 20, false}, {400000, 416000, 20, true}, {20000, 2000000, 14, false}, {20000, 2000000, 16, true},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		set("cubic", rows[i].segs / 2 * MSS, UINT32_MAX);
		ack_window(START, rows[i].rtt);
		assert_int_equal(cc.cwnd, rows[i].segs * MSS);
		for (uint32_t n = 0; n < rows[i].segs / 2; n++)
			ack(2 * MSS, START + 1000000, rows[i].then);
		assert_int_equal(cc.cubic.hystart.css_rtt_us != 0, rows[i].noticed);
	}
}

/* Section 4.3: for the first slow start only; the next one knows its end. */
static void hystart_leaves_later_slow_starts_alone(void **state)
{
	usec_t now = START;

	set("cubic", 20 * MSS, 1000 * MSS);
	now = ack_window(now, 20000);
	now = ack_window(now, 90000);
	assert_int_equal(cc.cwnd, 80 * MSS);
}

/* ---- NewReno ---- */

static void reno_grows_a_segment_per_window(void **state)
{
	usec_t now = START;

	set("reno", 20 * MSS, 10 * MSS);
	for (unsigned round = 1; round <= 10; round++) {
		now = ack_window(now, 1000);
		/* Bytes that a window in whole segments leaves over are carried along: never more than one segment behind. */
		assert_int_equal(cc.cwnd, (20 + round) * MSS);
	}
}

static void reno_counts_what_slow_start_left_over(void **state)
{
	set("reno", 10 * MSS, 11 * MSS);
	ack(12 * MSS, START, 1000);
	assert_int_equal(cc.cwnd, 12 * MSS); /* one segment to ssthresh, 11 are a window */
	assert_int_equal(cc.acked, 0);
}

static void reno_halves(void **state)
{
	set("reno", 100 * MSS, UINT32_MAX);
	assert_int_equal(cc_ops(1)->on_loss(&cc, START), 50 * MSS);
}

/* ---- CUBIC ---- */

/* RFC 9438 equation 2, in us. */
static double k_us(double w_max, double cwnd)
{
	return cbrt((w_max - cwnd) / MSS / 0.4) * 1e6;
}

/* RFC 9438 equation 1, in bytes. */
static double w_cubic(double t_us, double k, double w_max)
{
	return 0.4 * pow((t_us - k) / 1e6, 3) * MSS + w_max;
}

static void cubic_reduces_to_seven_tenths(void **state)
{
	set("cubic", 100 * MSS, UINT32_MAX);
	assert_int_equal(cc_ops(0)->on_loss(&cc, START), 70 * MSS);
	assert_int_equal(cc.cubic.stage.w_max, 100 * MSS);
	set("cubic", CC_CWND_MAX, UINT32_MAX);
	assert_int_equal(cc_ops(0)->on_loss(&cc, START), (uint32_t)(CC_CWND_MAX * 7ull / 10));
}

/* RFC 9438 4.7. */
static void cubic_fast_convergence_gives_way(void **state)
{
	set("cubic", 100 * MSS, UINT32_MAX);
	lose(START);
	lose(START + 1); /* at 70 segments, below W_max of 100 */
	assert_int_equal(cc.cubic.stage.w_max, 70 * MSS * 17 / 20);
	assert_int_equal(cc.cwnd, 49 * MSS);
}

/* K for windows from two segments to 1 GB: right to the microsecond. */
static void cubic_time_to_w_max_is_exact(void **state)
{
	static const uint32_t windows[] = {3 * MSS, 10 * MSS, 1000 * MSS, 10000000, 123456789, CC_CWND_MAX};

	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		double k;

		set("cubic", windows[i], UINT32_MAX);
		lose(START);
		k = k_us(windows[i], cc.cwnd);
		ack(1, START, 1000);
		assert_true(fabs(cc.cubic.stage.k_us - k) <= 1.0 + k * 1e-9);
	}
}

/*
 * A long fat path: after a loss at W_max cwnd must follow the curve through K to beyond, a round trip ahead of the clock and
 * never by more than half a window per round trip.
 */
static void cubic_follows_the_curve_through_k(void **state)
{
	const double w_max = 5000.0 * MSS;
	const usec_t rtt = 100000;
	usec_t now = START;
	double k;

	set("cubic", 5000 * MSS, UINT32_MAX);
	lose(now);
	k = k_us(w_max, cc.cwnd);
	assert_true(k > 15e6 && k < 16e6);
	while (now - START < 20000000) {
		double want;

		now = ack_window(now, rtt);
		want = w_cubic(now - START, k, w_max);
		assert_true(fabs(cc.cwnd - want) < 0.003 * want);
	}
	assert_true(cc.cwnd > 5000 * MSS);
}

/* Equation 1 by itself at hours from the epoch: no overflow, the window stops at its limit. */
static void cubic_survives_hours_in_one_epoch(void **state)
{
	usec_t now = START;

	set("cubic", 1000000, 500000);
	ack(MSS, now, 100);
	/* A time whose square is 2^64. */
	ack(cc.cwnd, now + (1ull << 32), 100);
	assert_true(cc.cwnd > 1400000);
	now += 10ull * 3600 * 1000000;
	for (unsigned i = 0; i < 200000; i++) {
		uint32_t before = cc.cwnd;

		ack(65535, now + i, 100);
		assert_true(cc.cwnd >= before && cc.cwnd <= CC_CWND_MAX);
	}
	assert_true(cc.cwnd > CC_CWND_MAX - 10 * MSS);
}

/* RFC 9438 4.5: target is at most 1.5 cwnd, so one window of ACKs grows cwnd by no more than half. */
static void cubic_growth_is_at_most_half_per_window(void **state)
{
	uint32_t before;

	set("cubic", 100 * MSS, 50 * MSS);
	ack(MSS, START, 1000);
	before = cc.cwnd;
	ack(before, START + 3600ull * 1000000, 1000);
	assert_true(cc.cwnd <= before + before / 2);
	assert_true(cc.cwnd >= before + before / 2 - MSS);
}

/* RFC 9438 4.3: on a short path Reno would be faster than the curve, so the window grows as alpha_cubic says: 9/17 segments per
 * round trip. */
static void cubic_is_reno_friendly_on_a_short_path(void **state)
{
	usec_t now = START;
	double want;

	set("cubic", 40 * MSS, UINT32_MAX);
	lose(now);
	want = cc.cwnd;
	for (unsigned round = 0; round < 20; round++) {
		now = ack_window(now, 5000);
		want += 9.0 / 17 * MSS;
		assert_true(fabs(cc.cwnd - want) <= 1.5 * MSS);
	}
}

/* Within the first tick of Linux's clock (4 ms) by a whole segment a round trip, and then as above. */
static void cubic_grows_as_linux_does_within_a_tick(void **state)
{
	usec_t now = START;
	double want;

	set("cubic", 100 * MSS, UINT32_MAX);
	lose(now);
	want = cc.cwnd;
	for (unsigned round = 0; round < 38; round++) {
		now = ack_window(now, 200);
		want += now - START < 4000 ? MSS : 9.0 / 17 * MSS;
		assert_true(fabs(cc.cwnd - want) <= 2.5 * MSS);
	}
}

/* ... and by a whole segment once the old window is reached again. */
static void cubic_is_as_fast_as_reno_beyond_the_old_window(void **state)
{
	usec_t now = START;
	uint32_t before;

	set("cubic", 40 * MSS, UINT32_MAX);
	lose(now);
	while (cc.cubic.stage.w_est < cc.cubic.stage.cwnd_prior)
		now = ack_window(now, 1000);
	before = cc.cwnd;
	for (unsigned round = 0; round < 10; round++)
		now = ack_window(now, 1000);
	assert_in_range(cc.cwnd - before, 9 * MSS, 11 * MSS);
}

/* RFC 9438 4.8: the stage after a timeout starts with W_max = cwnd and K = 0. */
static void cubic_after_timeout_forgets_the_old_window(void **state)
{
	set("cubic", 100 * MSS, UINT32_MAX);
	cc.ssthresh = cc_ops(0)->on_loss(&cc, START);
	cc_ops(0)->on_timeout(&cc, START);
	cc.cwnd = MSS;
	assert_int_equal(cc.ssthresh, 70 * MSS);
	ack(200 * MSS, START + 1000000, 1000); /* slow start to ssthresh, and beyond it a new stage */
	assert_int_equal(cc.cubic.stage.w_max, 70 * MSS);
	assert_int_equal(cc.cubic.stage.k_us, 0);
}

/* RFC 9438 5.8: an idle hour is not time on the curve. */
static void cubic_idle_time_does_not_count(void **state)
{
	const usec_t hour = 3600ull * 1000000, rtt = 50000;
	usec_t now = START;
	struct cc busy;

	set("cubic", 1000 * MSS, UINT32_MAX);
	lose(now);
	for (unsigned i = 0; i < 20; i++)
		now = ack_window(now, rtt);
	busy = cc;
	cc_ops(0)->on_idle(&cc, hour);
	ack_window(now + hour, rtt);
	{
		struct cc idle = cc;

		cc = busy;
		ack_window(now, rtt);
		assert_int_equal(cc.cwnd, idle.cwnd);
	}
}

/* Idle before any stage began is harmless. */
static void cubic_idle_without_epoch_is_harmless(void **state)
{
	set("cubic", 10 * MSS, 5 * MSS);
	cc_ops(0)->on_idle(&cc, 1000000);
	assert_true(cc.cubic.stage.epoch_at == 0);
	ack(MSS, START, 1000);
	assert_true(cc.cubic.stage.epoch_at == START);
}

/* Losses, timeouts, idle times and ACKs of any size, times and windows at their ends: invariants, and no overflow (UBSan
 * watches). */
static void cubic_and_reno_keep_their_invariants(void **state)
{
	uint64_t x = 88172645463325252ull;

	for (unsigned round = 0; round < 200000; round++) {
		static usec_t now = START;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (round % 5000 == 0) {
			set(cc_ops(round / 5000 % 2)->name, 1 + x % CC_CWND_MAX, (uint32_t)(x >> 32));
			cc.mss = 48 + x % 65448;
			cc.cwnd = cc_floor(&cc, cc.cwnd);
		}
		now += x % (x % 100 ? 100000 : 36000000000ull);
		if (x >> 8 & 31)
			ack((uint32_t)(x >> 32) >> (x >> 16 & 31), now, x >> (x >> 24 & 63));
		else if (x >> 13 & 3)
			lose(now);
		else if (x >> 15 & 1)
			cc_ops(cc.algo)->on_timeout(&cc, now);
		else
			cc_ops(cc.algo)->on_idle(&cc, x % 1000000000);
		assert_true(cc.cwnd >= 2 * cc.mss && cc.cwnd <= CC_CWND_MAX);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table_finds_by_name),
	    cmocka_unit_test(slow_start_counts_bytes_up_to_ssthresh),
	    cmocka_unit_test(both_double_per_round_trip_in_slow_start),
	    cmocka_unit_test(both_stay_when_the_window_was_not_used),
	    cmocka_unit_test(both_keep_two_segments_after_any_loss),
	    cmocka_unit_test(hystart_ends_when_the_delay_rises),
	    cmocka_unit_test(hystart_goes_slower_before_it_ends),
	    cmocka_unit_test(hystart_resumes_when_the_delay_goes),
	    cmocka_unit_test(hystart_thresholds),
	    cmocka_unit_test(hystart_leaves_later_slow_starts_alone),
	    cmocka_unit_test(reno_grows_a_segment_per_window),
	    cmocka_unit_test(reno_counts_what_slow_start_left_over),
	    cmocka_unit_test(reno_halves),
	    cmocka_unit_test(cubic_reduces_to_seven_tenths),
	    cmocka_unit_test(cubic_fast_convergence_gives_way),
	    cmocka_unit_test(cubic_time_to_w_max_is_exact),
	    cmocka_unit_test(cubic_follows_the_curve_through_k),
	    cmocka_unit_test(cubic_survives_hours_in_one_epoch),
	    cmocka_unit_test(cubic_growth_is_at_most_half_per_window),
	    cmocka_unit_test(cubic_is_reno_friendly_on_a_short_path),
	    cmocka_unit_test(cubic_grows_as_linux_does_within_a_tick),
	    cmocka_unit_test(cubic_is_as_fast_as_reno_beyond_the_old_window),
	    cmocka_unit_test(cubic_after_timeout_forgets_the_old_window),
	    cmocka_unit_test(cubic_idle_time_does_not_count),
	    cmocka_unit_test(cubic_idle_without_epoch_is_harmless),
	    cmocka_unit_test(cubic_and_reno_keep_their_invariants),
	};

	return cmocka_run_group_tests_name("cc", tests, NULL, NULL);
}
