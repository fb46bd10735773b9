/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_fatpipe.c - engine/autotune.c and all that a single connection needs to fill a long fat pipe: 10 Gbit/s, 100 ms.  The
 * bandwidth-delay product is 125 MB, so that both buffers must grow a thousandfold by themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "tests/common/pipe.h"
#include "tests/common/testpool.h"

#define RATE_BPS 10000000000ull
#define ONE_WAY_US 50000
#define PRODUCT (RATE_BPS / 8 * 2 * ONE_WAY_US / PIPE_SECOND)
#define STEP_US 20
#define EAL_MB 1600

static struct pipe p;

/*
 * The link is full in the second that begins after warm_up.  The buffers may grow as far as an administrator who knows the
 * product would allow: the window to 1.3 times of it, so that slow start ends by the window and not by loss; the router holds one
 * more.
 */
static void fat_pipe(unsigned mtu, unsigned mbufs, usec_t warm_up)
{
	static const char *big[][2] = {{"net.ipv4.tcp_rmem", "4096 131072 330000000"},
				       {"net.ipv4.tcp_wmem", "4096 16384 1073741824"},
				       {"net.core.rmem_max", "1073741824"},
				       {NULL, NULL}};
	struct pipe_config cfg = {.mtu = mtu,
				  .settings = big,
				  .rate_bps = RATE_BPS,
				  .queue_bytes = PRODUCT,
				  .one_way_us = ONE_WAY_US,
				  .step_us = STEP_US};
	uint64_t got, could = RATE_BPS / 8 * (mtu - 52) / (mtu + 14);
	struct conn *c[2];
	char name[16];

	for (unsigned i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "pipe%u_%u", i, mtu);
		cfg.pool[i] = testpool_create(name, i ? mbufs / 4 : mbufs, mtu);
		assert_non_null(cfg.pool[i]);
	}
	pipe_open(&p, &cfg);
	pipe_connect(&p, c);
	pipe_transfer(&p, c, warm_up);
	got = pipe_transfer(&p, c, PIPE_SECOND);
	print_message("MTU %u: %.3f Gbit/s of %.3f\n", mtu, (double)got * 8 / 1e9, (double)could * 8 / 1e9);
	assert_true(got >= could / 100 * 98);
	assert_int_equal(p.end[0].out.overflowed, 0);
	/* What TCP_INFO says of it: the window is the limit, of the link's own product and more. */
	assert_int_equal(pipe_info(&p, c, 0).tcpi_snd_wscale, 14);
	assert_true(pipe_info(&p, c, 0).tcpi_snd_wnd > PRODUCT);
	assert_true(pipe_info(&p, c, 0).tcpi_rwnd_limited > PIPE_SECOND / 2);
	assert_in_range(pipe_info(&p, c, 1).tcpi_rcv_rtt, 2 * ONE_WAY_US, 4 * ONE_WAY_US);
	assert_true(pipe_info(&p, c, 1).tcpi_rcv_space > PRODUCT);
	engine_abort(p.end[0].e, c[0], p.now);
	engine_abort(p.end[1].e, c[1], p.now);
	pipe_close(&p);
	rte_mempool_free(cfg.pool[0]);
	rte_mempool_free(cfg.pool[1]);
}

static void fills_with_jumbo_frames(void **state)
{
	fat_pipe(9000, 65535, 1600000);
}

static void fills_with_usual_frames(void **state)
{
	fat_pipe(1500, 262143, 1600000);
}

static int start(void **state)
{
	return testpool_start(EAL_MB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(fills_with_jumbo_frames), cmocka_unit_test(fills_with_usual_frames)};

	return cmocka_run_group_tests(tests, start, NULL);
}
