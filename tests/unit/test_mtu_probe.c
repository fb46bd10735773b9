/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_mtu_probe.c - engine/mtu_probe.c over a path that swallows large packets without a word (RFC 4821, RFC 2923 2.1): whole
 * connections, from the full segment size into the hole, out of it, and back when the path is mended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/common/pipe.h"
#include "tests/common/testpool.h"

#define POOL_MBUFS 8191
#define HOLE 1300 /* the largest packet that gets through */
#define TIMESTAMPS 12

static struct pipe p;
static struct rte_mempool *pools[2];

static void open_pipe(const char *settings[][2])
{
	struct pipe_config cfg = {.mtu = 1500,
				  .pool = {pools[0], pools[1]},
				  .settings = settings,
				  .rate_bps = 50000000,
				  .queue_bytes = 1000000,
				  .one_way_us = 10000,
				  .step_us = 100};

	pipe_open(&p, &cfg);
}

static void close_pipe(struct conn *c[2])
{
	engine_abort(p.end[0].e, c[0], p.now);
	engine_abort(p.end[1].e, c[1], p.now);
	pipe_close(&p);
}

/* Segments of the path's size, found to within the threshold of tcp_probe_threshold. */
static void assert_found(struct conn *c[2], unsigned mtu)
{
	unsigned mss = pipe_info(&p, c, 0).tcpi_snd_mss;

	assert_in_range(mss, mtu - IPV4_HDR - TCP_HDR - TIMESTAMPS - 8, mtu - IPV4_HDR - TCP_HDR - TIMESTAMPS);
}

/* tcp_mtu_probing=1: full segments until timeouts show the hole; then the search finds what gets through. */
static void black_hole_is_survived(void **state)
{
	static const char *settings[][2] = {
	    {"net.ipv4.tcp_mtu_probing", "1"}, {"net.ipv4.tcp_probe_interval", "60"}, {NULL, NULL}};
	struct conn *c[2];

	open_pipe(settings);
	pipe_connect(&p, c);
	assert_true(pipe_transfer(&p, c, PIPE_SECOND) > 1000000);
	assert_found(c, 1500);
	p.end[0].out.largest = HOLE;
	pipe_transfer(&p, c, 10 * PIPE_SECOND);
	assert_found(c, HOLE);
	assert_true(pipe_transfer(&p, c, PIPE_SECOND) > 3000000);
	/* Mended: nothing tells, but after the interval the search begins anew. */
	p.end[0].out.largest = 0;
	pipe_transfer(&p, c, 70 * PIPE_SECOND);
	assert_found(c, 1500);
	close_pipe(c);
}

/* tcp_mtu_probing=0, the default of Linux: nothing gets through but the handshake. */
static void black_hole_without_probing(void **state)
{
	static const char *settings[][2] = {{NULL, NULL}};
	struct conn *c[2];

	open_pipe(settings);
	p.end[0].out.largest = HOLE;
	pipe_connect(&p, c);
	assert_int_equal(pipe_transfer(&p, c, 20 * PIPE_SECOND), 0);
	close_pipe(c);
}

/* tcp_mtu_probing=2: from the base upwards; the lost probes cost no timeout and not the window. */
static void search_finds_the_path(void **state)
{
	/* A window that the link's queue can hold: no loss but the probes'. */
	static const char *settings[][2] = {
	    {"net.ipv4.tcp_mtu_probing", "2"}, {"net.ipv4.tcp_rmem", "4096 131072 1000000"}, {NULL, NULL}};
	const struct engine_stats *st;
	struct conn *c[2];

	open_pipe(settings);
	p.end[0].out.largest = HOLE;
	pipe_connect(&p, c);
	st = engine_stats(p.end[0].e);
	pipe_transfer(&p, c, 3 * PIPE_SECOND);
	assert_found(c, HOLE);
	assert_true(st->mtu_probe_success >= 2 && st->mtu_probe_fail >= 3);
	assert_int_equal(st->mtu_probes, st->mtu_probe_success + st->mtu_probe_fail);
	assert_int_equal(st->timeouts, 0);
	assert_int_equal(p.end[0].out.vanished, st->mtu_probe_fail);
	assert_int_equal(st->sack_recovery, 0);
	close_pipe(c);
}

static int start(void **state)
{
	if (testpool_start(96))
		return -1;
	pools[0] = testpool_create("left", POOL_MBUFS, 1500);
	pools[1] = testpool_create("right", POOL_MBUFS, 1500);
	return pools[0] && pools[1] ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(black_hole_is_survived), cmocka_unit_test(black_hole_without_probing),
					   cmocka_unit_test(search_finds_the_path)};

	return cmocka_run_group_tests_name("MTU probing", tests, start, NULL);
}
