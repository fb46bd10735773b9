/* SPDX-License-Identifier: BSD-3-Clause */
/* test_rtt.c - engine/rtt.c: the formulas of RFC 6298 with Linux's bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "engine/stack.h"

static struct conn c;

static int init(void **state)
{
	memset(&c, 0, sizeof(c));
	rtt_init(&c);
	return 0;
}

static void nothing_measured_waits_a_second(void **state)
{
	assert_int_equal(c.rto_us, 1000000);
	assert_int_equal(rtt_rto(&c), 1000000);
	assert_false(c.rtt_measured);
}

/* RFC 6298 2.2, then Linux's floor of 200 ms under the variance term. */
static void first_sample_sets_all(void **state)
{
	static const struct {
		usec_t rtt;
		uint32_t srtt, rttvar, rto;
	} rows[] = {
	    {UINT64_MAX, 120000000, 60000000, 120000000}, /* a nonsense of a sample saturates */
	    {UINT32_MAX, 120000000, 60000000, 120000000},
	    {0, 1, 0, 200001},
	    {1, 1, 0, 200001},
	    {30, 30, 15, 200030},
	    {40000, 40000, 20000, 240000},
	    {100000, 100000, 50000, 300000},
	    {100002, 100002, 50001, 300006},
	    {1000000, 1000000, 500000, 3000000},
	    {60000000, 60000000, 30000000, 120000000},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		init(NULL);
		rtt_sample(NULL, &c, rows[i].rtt);
		assert_true(c.rtt_measured);
		assert_int_equal(c.srtt_us, rows[i].srtt);
		assert_int_equal(c.rttvar_us, rows[i].rttvar);
		assert_int_equal(c.rto_us, rows[i].rto);
	}
}

/* RFC 6298 2.3: the variance uses the old mean. */
static void second_sample_is_weighed(void **state)
{
	rtt_sample(NULL, &c, 800000);
	rtt_sample(NULL, &c, 1600000);
	assert_int_equal(c.rttvar_us, (3 * 400000 + 800000) / 4);
	assert_int_equal(c.srtt_us, 900000);
	assert_int_equal(c.rto_us, 900000 + 4 * 500000);
	rtt_sample(NULL, &c, 100000);
	assert_int_equal(c.rttvar_us, 500000 + (800000 - 500000) / 4);
	assert_int_equal(c.srtt_us, 800000);
}

/* Small differences must not be lost to rounding: a few microseconds are all there is over shared memory. */
static void mean_reaches_a_steady_sample(void **state)
{
	static const usec_t steady[] = {1, 7, 100, 50000};

	for (size_t i = 0; i < sizeof(steady) / sizeof(steady[0]); i++) {
		init(NULL);
		rtt_sample(NULL, &c, 20);
		for (unsigned n = 0; n < 200; n++)
			rtt_sample(NULL, &c, steady[i]);
		assert_int_equal(c.srtt_us, steady[i]);
		assert_int_equal(c.rttvar_us, 0);
		assert_int_equal(c.rto_us, steady[i] + 200000);
	}
}

static void least_sample_is_kept(void **state)
{
	rtt_sample(NULL, &c, 500);
	rtt_sample(NULL, &c, 300);
	rtt_sample(NULL, &c, 900);
	assert_int_equal(c.min_rtt_us, 300);
}

static void backoff_doubles_to_two_minutes(void **state)
{
	static const struct {
		uint8_t backoff;
		usec_t rto;
	} rows[] = {
	    {255, 120000000}, {64, 120000000}, {63, 120000000}, {32, 120000000}, {31, 120000000},
	    {0, 300000},      {1, 600000},     {2, 1200000},	{8, 76800000},	 {9, 120000000},
	};

	rtt_sample(NULL, &c, 100000);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		c.backoff = rows[i].backoff;
		assert_true(rtt_rto(&c) == rows[i].rto);
	}
	c.rto_us = 120000000;
	c.backoff = 1;
	assert_true(rtt_rto(&c) == 120000000);
}

static void sample_ends_the_backing_off(void **state)
{
	rtt_sample(NULL, &c, 100000);
	c.backoff = 5;
	rtt_sample(NULL, &c, 100000);
	assert_int_equal(c.backoff, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(nothing_measured_waits_a_second, init),
	    cmocka_unit_test_setup(first_sample_sets_all, init),
	    cmocka_unit_test_setup(second_sample_is_weighed, init),
	    cmocka_unit_test_setup(mean_reaches_a_steady_sample, init),
	    cmocka_unit_test_setup(least_sample_is_kept, init),
	    cmocka_unit_test_setup(backoff_doubles_to_two_minutes, init),
	    cmocka_unit_test_setup(sample_ends_the_backing_off, init),
	};

	return cmocka_run_group_tests_name("rtt", tests, NULL, NULL);
}
