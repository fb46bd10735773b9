/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_crowd.c - many connections of near peers that fill up unread: their receive buffers become small and stay so for a while,
 * those of few connections, of peers far away and of users who set a size do not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/socket.h>

#include "tests/common/pipe.h"
#include "tests/common/testpool.h"

#define EAL_MB 512
#define MBUFS 32768
#define MANY 48
#define NEAR_US 20
#define FAR_US 2000
#define FIRST_RCVBUF 131072 /* net.ipv4.tcp_rmem */
#define SMALL (64u << 10)
#define ROUNDS 8

static struct pipe p;
static struct conn *c[MANY][2];
static unsigned n;
static struct rte_mempool *pool[2];

static void crowd_open(unsigned conns, usec_t one_way_us, const char *(*settings)[2])
{
	struct pipe_config cfg = {.mtu = 1500,
				  .conns = MANY + 1,
				  .pool = {pool[0], pool[1]},
				  .rate_bps = 10000000000ull,
				  .queue_bytes = 100000000,
				  .one_way_us = one_way_us,
				  .step_us = one_way_us,
				  .settings = settings};

	pipe_open(&p, &cfg);
	for (n = 0; n < conns; n++)
		pipe_connect(&p, c[n]);
}

static void crowd_close(void)
{
	for (unsigned i = 0; i < n; i++) {
		engine_abort(p.end[0].e, c[i][0], p.now);
		engine_abort(p.end[1].e, c[i][1], p.now);
	}
	pipe_close(&p);
}

/* What goes through all of them, which nobody reads. */
static void fill(void)
{
	static char data[65536];
	struct iovec iov = {data, sizeof(data)};

	for (unsigned steps = 0; steps < 200; steps++) {
		for (unsigned i = 0; i < n; i++)
			while (engine_send(p.end[0].e, c[i][0], &iov, 1, 0, p.now) > 0)
				;
		pipe_step(&p);
	}
}

/* All of it, one connection after the other, while more comes. */
static void read_by_turns(void)
{
	static char data[65536];
	struct iovec iov = {data, sizeof(data)};

	for (unsigned i = 0; i < n; i++) {
		while (engine_recv(p.end[1].e, c[i][1], &iov, 1, 0, p.now) > 0)
			;
		pipe_step(&p);
	}
}

static void go_round(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		fill();
		read_by_turns();
	}
	fill();
}

static void assert_buffers(uint32_t least)
{
	for (unsigned i = 0; i < n; i++)
		assert_true(c[i][1]->rcvbuf >= least);
}

static const char *defaults[][2] = {{NULL}};

static void buffers_of_a_crowd_are_small(void **state)
{
	crowd_open(MANY, NEAR_US, defaults);
	go_round();
	/* Windows are counted in bytes, not in what packets occupy: a little more than the buffer. */
	for (unsigned i = 0; i < n; i++)
		assert_in_range(c[i][1]->rcv_queued, SMALL / 2, SMALL * 5 / 4);
	crowd_close();
}

static void they_are_as_before_when_the_crowd_is_gone(void **state)
{
	crowd_open(MANY, NEAR_US, defaults);
	go_round();
	/* What the senders still have comes, and is read. */
	for (unsigned i = 0; i < 100; i++)
		read_by_turns();
	assert_int_equal(p.end[1].e->unread, 0);
	p.now += 2 * PIPE_SECOND;
	assert_true(pipe_transfer(&p, c[0], 100000) > 0);
	assert_true(c[0][1]->rcvbuf >= FIRST_RCVBUF);
	assert_true(c[1][1]->rcvbuf <= SMALL);
	crowd_close();
}

static void few_keep_theirs(void **state)
{
	static const char *large[][2] = {{"net.ipv4.tcp_rmem", "4096 4194304 6291456"}, {NULL}};

	crowd_open(3, NEAR_US, large);
	go_round();
	assert_buffers(4194304);
	assert_true(p.end[1].e->unread > 2u << 20);
	crowd_close();
}

static void far_peers_keep_theirs(void **state)
{
	static const char *bounded[][2] = {{"net.ipv4.tcp_rmem", "4096 131072 131072"}, {NULL}};

	crowd_open(MANY, FAR_US, bounded);
	go_round();
	assert_buffers(FIRST_RCVBUF);
	crowd_close();
}

static void what_users_set_stays(void **state)
{
	int size = 100000;

	crowd_open(MANY, NEAR_US, defaults);
	assert_int_equal(engine_setsockopt(p.end[1].e, c[0][1], SOL_SOCKET, SO_RCVBUF, &size, sizeof(size), p.now), 0);
	go_round();
	assert_int_equal(c[0][1]->rcvbuf, 2 * size);
	assert_true(c[1][1]->rcvbuf <= SMALL);
	crowd_close();
}

static void no_tuning_is_none(void **state)
{
	static const char *fixed[][2] = {{"net.ipv4.tcp_moderate_rcvbuf", "0"}, {NULL}};

	crowd_open(MANY, NEAR_US, fixed);
	go_round();
	assert_buffers(FIRST_RCVBUF);
	crowd_close();
}

static int start(void **state)
{
	if (testpool_start(EAL_MB))
		return -1;
	for (unsigned i = 0; i < 2; i++)
		if (!(pool[i] = testpool_create(i ? "crowd1" : "crowd0", MBUFS, 1500)))
			return -1;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(buffers_of_a_crowd_are_small),
	    cmocka_unit_test(they_are_as_before_when_the_crowd_is_gone),
	    cmocka_unit_test(few_keep_theirs),
	    cmocka_unit_test(far_peers_keep_theirs),
	    cmocka_unit_test(what_users_set_stays),
	    cmocka_unit_test(no_tuning_is_none),
	};

	return cmocka_run_group_tests_name("crowd", tests, start, NULL);
}
