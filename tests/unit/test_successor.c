/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_successor.c - programs that come after each other at one address.  Each has an engine with a secret of its own, the peer
 * remembers the last one's ports in TIME-WAIT: the timestamps go on from program to program (RFC 7323 5.4), so that they open
 * (RFC 6191).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/common/pipe.h"
#include "tests/common/testpool.h"

#define MTU 1500
#define MBUFS 512
#define GENERATIONS 32
#define EAL_MB 64
#define STEP_US 10
/* More than a handshake takes, less than a repeated SYN. */
#define SOON_US 1000

static struct pipe p;

static void pass(usec_t us)
{
	for (usec_t until = p.now + us; p.now < until;)
		pipe_step(&p);
}

/* The server closes first: it is the one to wait. */
static void one_life(void)
{
	struct conn *c[2];
	usec_t start = p.now;

	pipe_connect(&p, c);
	assert_true(p.now - start < SOON_US);
	engine_close(p.end[1].e, c[1], p.now);
	pass(SOON_US);
	engine_close(p.end[0].e, c[0], p.now);
	pass(SOON_US);
}

static void successor_takes_the_port(void **state)
{
	static const char *none[][2] = {{NULL, NULL}};
	struct pipe_config cfg = {.mtu = MTU,
				  .settings = none,
				  .rate_bps = 1000000000,
				  .queue_bytes = 100000,
				  .one_way_us = STEP_US,
				  .step_us = STEP_US};

	cfg.pool[0] = testpool_create("successor0", MBUFS, MTU);
	cfg.pool[1] = testpool_create("successor1", MBUFS, MTU);
	pipe_open(&p, &cfg);
	p.client_port = 5000;
	for (unsigned i = 0; i < GENERATIONS; i++) {
		one_life();
		pipe_successor(&p, 0);
	}
	assert_int_equal(p.end[1].e->stats.tw_recycled, GENERATIONS - 1);
	pipe_close(&p);
}

static int start(void **state)
{
	return testpool_start(EAL_MB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(successor_takes_the_port)};

	return cmocka_run_group_tests(tests, start, NULL);
}
