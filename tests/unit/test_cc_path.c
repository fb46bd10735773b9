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

static void fills_gigabit(const char *cc)
{
	net_init(&gigabit);
	net_flow(cc);
	net_run(4 * SECOND);
	report(cc, 4 * SECOND);
	net_measure();
	net_run(4 * SECOND);
	report(cc, 4 * SECOND);
	assert_true(net_share(0, 4 * SECOND) >= 950);
	net_end();
}

static void bbr_fills_a_gigabit_at_50_ms(void **state)
{
	fills_gigabit("bbr");
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
	};

	return cmocka_run_group_tests_name("cc over a path", tests, setup, NULL);
}
