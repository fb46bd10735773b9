/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_cc_path.c - congestion control and pacing over a path: how much of it flows use, how they share it, how long its queue is.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/unit/dumbbell.h"

#define SECOND 1000000ull
#define BDP(rate_bps, rtt_us) ((rate_bps) / 8 * (rtt_us) / 1000000)
#define POOL_MBUFS 40959
#define EAL_MB 320

static const struct bottleneck gigabit = {.rate_bps = 1000000000, .rtt_us = 50000, .queue_bytes = 3 * BDP(1000000000ull, 50000)};
static const struct bottleneck dsl = {.rate_bps = 50000000, .rtt_us = 20000, .queue_bytes = 2 * BDP(50000000ull, 20000)};
static const struct bottleneck bloated = {.rate_bps = 50000000, .rtt_us = 20000, .queue_bytes = 16 * BDP(50000000ull, 20000)};
static const struct bottleneck marking = {.rate_bps = 50000000,
					  .rtt_us = 20000,
					  .queue_bytes = 4 * BDP(50000000ull, 20000),
					  .mark_bytes = BDP(50000000ull, 20000) / 2,
					  .mark_pause_us = 100000};
/* RFC 8257 5: marks above a seventh of the bandwidth-delay product. */
static const struct bottleneck data_center = {.rate_bps = 1000000000,
					      .rtt_us = 500,
					      .queue_bytes = 16 * BDP(1000000000ull, 500),
					      .mark_bytes = BDP(1000000000ull, 500) / 2};

static void report(const char *what, usec_t us)
{
	struct tcp_info ti;
	socklen_t len = sizeof(ti);

	if (!getenv("VERBOSE"))
		return;
	printf("%-30s", what);
	for (unsigned i = 0; i < net.nflows; i++) {
		engine_getsockopt(net.e[0], net.flow[i].out, IPPROTO_TCP, TCP_INFO, &ti, &len, net.now);
		printf(" %u", net_share(i, us));
		printf("(cwnd %u, %llu kB/s paced, %u resent, min %u us)", ti.tcpi_snd_cwnd, ti.tcpi_pacing_rate / 1000,
		       ti.tcpi_total_retrans, ti.tcpi_min_rtt);
	}
	printf(" permille; %llu sent, %llu dropped, %llu marked, queue %u us\n", (unsigned long long)net.sent,
	       (unsigned long long)net.dropped, (unsigned long long)net.marked, net_mean_delay_us());
}

/* Let the flows find their way, then measure for so long. */
static void run_and_measure(const char *what, usec_t settle, usec_t us)
{
	net_run(settle);
	net_measure();
	net_run(us);
	report(what, us);
}

static void bbr_fills_a_gigabit_at_50_ms(void **state)
{
	net_init(&gigabit, "0");
	net_flow("bbr");
	run_and_measure("bbr, gigabit", 2 * SECOND, 2 * SECOND);
	assert_true(net_share(0, 2 * SECOND) >= 950);
	assert_true(net_mean_delay_us() < 12500);
	net_end();
}

static void cubic_fills_a_gigabit_at_50_ms(void **state)
{
	struct bottleneck link = gigabit;

	/* Without loss: the queue says by marks when it is long. */
	link.mark_bytes = link.queue_bytes / 3;
	link.mark_pause_us = 100000;
	net_init(&link, "1");
	net_flow("cubic");
	run_and_measure("cubic, gigabit, ECN", 2 * SECOND, 2 * SECOND);
	assert_true(net_share(0, 2 * SECOND) >= 950);
	assert_int_equal(net.dropped, 0);
	net_end();
}

static void bbr_keeps_a_deep_queue_short(void **state)
{
	net_init(&bloated, "0");
	net_flow("bbr");
	run_and_measure("bbr, bloated", 2 * SECOND, 6 * SECOND);
	assert_true(net_share(0, 6 * SECOND) >= 950);
	assert_true(net_mean_delay_us() < 10000);
	net_end();
	/* It is deep: who knows only loss fills it. */
	net_init(&bloated, "0");
	net_flow("cubic");
	run_and_measure("cubic, bloated", 2 * SECOND, 6 * SECOND);
	assert_true(net_mean_delay_us() > 100000);
	net_end();
}

static void two_bbr_flows_share(void **state)
{
	net_init(&dsl, "0");
	net_flow("bbr");
	net_run(2 * SECOND);
	net_flow("bbr");
	run_and_measure("bbr + bbr", 4 * SECOND, 12 * SECOND);
	assert_true(net_share(0, 12 * SECOND) >= 250 && net_share(1, 12 * SECOND) >= 250);
	assert_true(net_share(0, 12 * SECOND) + net_share(1, 12 * SECOND) >= 950);
	net_end();
}

static void bbr_and_cubic_share(void **state)
{
	net_init(&dsl, "0");
	net_flow("bbr");
	net_flow("cubic");
	run_and_measure("bbr + cubic", 4 * SECOND, 12 * SECOND);
	assert_true(net_share(0, 12 * SECOND) >= 150 && net_share(1, 12 * SECOND) >= 150);
	assert_true(net_share(0, 12 * SECOND) + net_share(1, 12 * SECOND) >= 950);
	net_end();
}

static void bbr_survives_loss(void **state)
{
	struct bottleneck link = dsl;

	link.loss_ppm = 10000;
	net_init(&link, "0");
	net_flow("bbr");
	run_and_measure("bbr, 1 % loss", 2 * SECOND, 8 * SECOND);
	assert_true(net_share(0, 8 * SECOND) >= 700);
	net_end();
}

static void ecn_spares_cubic_all_loss(void **state)
{
	net_init(&marking, "1");
	net_flow("cubic");
	run_and_measure("cubic, ECN", 2 * SECOND, 6 * SECOND);
	assert_true(net_share(0, 6 * SECOND) >= 950);
	assert_true(net.marked && !net.dropped);
	net_end();
}

static void bbr_heeds_marks(void **state)
{
	net_init(&marking, "1");
	net_flow("bbr");
	run_and_measure("bbr, ECN", 2 * SECOND, 6 * SECOND);
	assert_true(net_share(0, 6 * SECOND) >= 900);
	assert_int_equal(net.dropped, 0);
	net_end();
}

static void dctcp_keeps_the_queue_at_the_mark(void **state)
{
	net_init(&data_center, "1");
	net_flow("dctcp");
	net_flow("dctcp");
	run_and_measure("dctcp + dctcp", SECOND / 2, SECOND / 2);
	assert_true(net_share(0, SECOND / 2) >= 400 && net_share(1, SECOND / 2) >= 400);
	assert_true(net_share(0, SECOND / 2) + net_share(1, SECOND / 2) >= 950);
	assert_true(net_mean_delay_us() < 500);
	assert_int_equal(net.dropped, 0);
	net_end();
}

static int setup(void **state)
{
	int rc = testpool_start(EAL_MB);

	if (rc < 0)
		return rc;
	pool = testpool_create("path", POOL_MBUFS, 1500);
	return pool ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bbr_fills_a_gigabit_at_50_ms),
	    cmocka_unit_test(cubic_fills_a_gigabit_at_50_ms),
	    cmocka_unit_test(bbr_keeps_a_deep_queue_short),
	    cmocka_unit_test(two_bbr_flows_share),
	    cmocka_unit_test(bbr_and_cubic_share),
	    cmocka_unit_test(bbr_survives_loss),
	    cmocka_unit_test(ecn_spares_cubic_all_loss),
	    cmocka_unit_test(bbr_heeds_marks),
	    cmocka_unit_test(dctcp_keeps_the_queue_at_the_mark),
	};

	return cmocka_run_group_tests_name("cc over a path", tests, setup, NULL);
}
