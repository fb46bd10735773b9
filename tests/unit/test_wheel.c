/* SPDX-License-Identifier: BSD-3-Clause */
/* test_wheel.c - engine/wheel.c: order, exactness at every level's boundary, and a long random run against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "engine/wheel.h"

#define RANDOM_TIMERS 300

static struct wheel w;
static struct wheel_entry entries[RANDOM_TIMERS];

/* A timer alone fires at its time, not a microsecond before. */
static void one_timer_fires_exactly(void **state)
{
	static const struct {
		usec_t now, at;
	} rows[] = {
	    /* Times around the last microsecond there is, then digits of every level about to carry. */
	    {WHEEL_TIME_MAX - 10, WHEEL_TIME_MAX - 1},
	    {1, WHEEL_TIME_MAX - 1},
	    {(1ull << 50) - 1, 1ull << 50},
	    {(1ull << 48) - 1, 1ull << 48},
	    {(1ull << 48) - 2, (1ull << 48) + 5},
	    {(1ull << 36) - 1, (1ull << 36) + 63},
	    {4095, 4096},
	    {4095, 8191},
	    {63, 64},
	    {62, 63},
	    {1, 2},
	    {1, 63},
	    {1, 64},
	    {1, 65},
	    {100, 40 * 1000 + 100},
	    {7, 200 * 1000 + 7},
	    {1700000000000000ull, 1700000000000000ull + 7200ull * 1000000},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wheel_timer t = {0};

		wheel_init(&w, entries, RANDOM_TIMERS, rows[i].now);
		wheel_arm(&w, &t, rows[i].at);
		assert_true(wheel_armed(&t));
		assert_true(wheel_next(&w) == rows[i].at);
		assert_null(wheel_pop(&w, rows[i].at - 1));
		assert_true(wheel_next(&w) == rows[i].at);
		assert_ptr_equal(wheel_pop(&w, rows[i].at), &t);
		assert_false(wheel_armed(&t));
		assert_null(wheel_pop(&w, rows[i].at));
		assert_true(wheel_next(&w) == USEC_NEVER);
		assert_int_equal(w.entries.used, 0);
	}
}

static void past_deadline_fires_at_next_pop(void **state)
{
	struct wheel_timer past = {0}, now = {0};

	wheel_init(&w, entries, RANDOM_TIMERS, 5000);
	wheel_arm(&w, &past, 17);
	wheel_arm(&w, &now, 5000);
	assert_true(wheel_next(&w) <= 5000);
	assert_ptr_equal(wheel_pop(&w, 5000), &past);
	assert_ptr_equal(wheel_pop(&w, 5000), &now);
	assert_null(wheel_pop(&w, 5000));
}

static void arm_again_moves(void **state)
{
	struct wheel_timer t = {0};

	wheel_init(&w, entries, RANDOM_TIMERS, 1000);
	wheel_arm(&w, &t, 2000);
	wheel_arm(&w, &t, 500000);
	assert_int_equal(w.entries.used, 1);
	assert_null(wheel_pop(&w, 499999));
	wheel_arm(&w, &t, 500010);
	assert_true(wheel_next(&w) == 500010);
	assert_ptr_equal(wheel_pop(&w, 600000), &t);
}

static void disarm_forgets_and_is_harmless_twice(void **state)
{
	struct wheel_timer a = {0}, b = {0};

	wheel_init(&w, entries, RANDOM_TIMERS, 1);
	wheel_disarm(&w, &a);
	wheel_arm(&w, &a, 100);
	wheel_arm(&w, &b, 100);
	wheel_disarm(&w, &a);
	wheel_disarm(&w, &a);
	assert_int_equal(w.entries.used, 1);
	assert_true(wheel_next(&w) == 100);
	assert_ptr_equal(wheel_pop(&w, 1000), &b);
	assert_null(wheel_pop(&w, 1000));
}

static void time_standing_still_or_going_back_is_harmless(void **state)
{
	struct wheel_timer t = {0};

	wheel_init(&w, entries, RANDOM_TIMERS, 10000);
	assert_null(wheel_pop(&w, 20000));
	assert_null(wheel_pop(&w, 15000));
	wheel_arm(&w, &t, 20001);
	assert_null(wheel_pop(&w, 15000));
	assert_null(wheel_pop(&w, 20000));
	assert_ptr_equal(wheel_pop(&w, 20001), &t);
	wheel_arm(&w, &t, 20003);
	assert_null(wheel_pop(&w, 15000));
	assert_null(wheel_pop(&w, 20002));
	assert_ptr_equal(wheel_pop(&w, 20003), &t);
}

/* Many in one slot: the next deadline may be given early, never late, and following it always arrives. */
static void crowded_slot_next_is_never_late(void **state)
{
	struct wheel_timer t[100] = {0};
	unsigned fired = 0, steps = 0;

	wheel_init(&w, entries, RANDOM_TIMERS, 1);
	for (unsigned i = 0; i < 100; i++)
		wheel_arm(&w, &t[i], 70000 + 7 * i);
	while (fired < 100) {
		usec_t next = wheel_next(&w);
		struct wheel_timer *due;

		assert_true(next <= 70000 + 7 * fired);
		while ((due = wheel_pop(&w, next))) {
			assert_ptr_equal(due, &t[fired]);
			fired++;
		}
		assert_true(++steps < 300);
	}
}

/* A callback that arms a timer for now or the near future, in the middle of a run. */
static void arming_between_pops_keeps_order(void **state)
{
	struct wheel_timer a = {0}, b = {0}, c = {0};

	wheel_init(&w, entries, RANDOM_TIMERS, 1);
	wheel_arm(&w, &a, 100);
	wheel_arm(&w, &c, 300);
	assert_ptr_equal(wheel_pop(&w, 1000), &a);
	wheel_arm(&w, &b, 200);
	assert_ptr_equal(wheel_pop(&w, 1000), &b);
	wheel_arm(&w, &a, 50);
	assert_ptr_equal(wheel_pop(&w, 1000), &a);
	assert_ptr_equal(wheel_pop(&w, 1000), &c);
	assert_null(wheel_pop(&w, 1000));
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* What the wheel should do, by looking at all timers; at: when each fires, or did last. */
static usec_t earliest(const struct wheel_timer *t, const usec_t *at)
{
	usec_t min = USEC_NEVER;

	for (unsigned i = 0; i < RANDOM_TIMERS; i++) {
		if (!wheel_armed(&t[i]))
			continue;
		assert_true(wheel_at(&w, &t[i]) == at[i]);
		if (at[i] < min)
			min = at[i];
	}
	return min;
}

static void pop_all(struct wheel_timer *t, const usec_t *at, usec_t now)
{
	struct wheel_timer *due;
	usec_t min = earliest(t, at), last = 0;

	while ((due = wheel_pop(&w, now))) {
		assert_true(at[due - t] <= now);
		assert_true(at[due - t] == min);
		assert_true(at[due - t] >= last);
		last = at[due - t];
		min = earliest(t, at);
	}
	assert_true(min > now);
}

static void random_run_agrees_with_a_scan(void **state)
{
	static struct wheel_timer t[RANDOM_TIMERS];
	static usec_t at[RANDOM_TIMERS];
	uint64_t x = 88172645463325252ull;
	usec_t now = (1ull << 42) - 12345;

	memset(t, 0, sizeof(t));
	wheel_init(&w, entries, RANDOM_TIMERS, now);
	for (unsigned step = 0; step < 20000; step++) {
		unsigned one = next_random(&x) % RANDOM_TIMERS;
		usec_t delay = 1 + (next_random(&x) & ((1ull << (next_random(&x) % 40)) - 1));

		if (next_random(&x) % 4)
			wheel_arm(&w, &t[one], at[one] = now + delay);
		else
			wheel_disarm(&w, &t[one]);
		assert_true(wheel_next(&w) <= earliest(t, at));
		if (next_random(&x) % 8)
			continue;
		now += next_random(&x) & ((1ull << (next_random(&x) % 36)) - 1);
		pop_all(t, at, now);
	}
}

/* As many timers as there are entries, over and over. */
static void entries_are_used_again(void **state)
{
	static struct wheel_timer t[RANDOM_TIMERS];

	memset(t, 0, sizeof(t));
	wheel_init(&w, entries, RANDOM_TIMERS, 1);
	for (usec_t now = 1; now < 4000; now += 1000) {
		for (unsigned i = 0; i < RANDOM_TIMERS; i++)
			wheel_arm(&w, &t[i], now + 1 + i);
		for (unsigned i = 0; i < RANDOM_TIMERS; i += 2)
			wheel_disarm(&w, &t[i]);
		for (unsigned i = 1; i < RANDOM_TIMERS; i += 2)
			assert_ptr_equal(wheel_pop(&w, now + RANDOM_TIMERS), &t[i]);
		assert_null(wheel_pop(&w, now + RANDOM_TIMERS));
		assert_int_equal(w.entries.used, 0);
	}
}

/* What is peeked at is what comes then, as far as it is due soon; what lies further ahead is not seen. */
static void peek_guesses_what_pop_hands_out(void **state)
{
	static const usec_t at[] = {1034, 1027, 1274, 1027, 1124};
	static const unsigned order[] = {1, 3, 0, 4, 2};
	struct wheel_timer t[7] = {0};

	wheel_init(&w, entries, RANDOM_TIMERS, 1000);
	assert_null(wheel_peek(&w, 0));
	wheel_arm(&w, &t[5], 1000 + 1000000);
	assert_null(wheel_peek(&w, 0));
	for (unsigned i = 0; i < 5; i++)
		wheel_arm(&w, &t[i], at[i]);
	/* From 1024 on all five are in the lowest level. */
	wheel_arm(&w, &t[6], 1024);
	assert_ptr_equal(wheel_pop(&w, 1024), &t[6]);
	for (unsigned n = 0; n < 5; n++) {
		for (unsigned others = 0; n + others < 5; others++)
			assert_ptr_equal(wheel_peek(&w, others), &t[order[n + others]]);
		assert_null(wheel_peek(&w, 5 - n));
		assert_ptr_equal(wheel_pop(&w, at[order[n]]), &t[order[n]]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_timer_fires_exactly),
	    cmocka_unit_test(past_deadline_fires_at_next_pop),
	    cmocka_unit_test(arm_again_moves),
	    cmocka_unit_test(disarm_forgets_and_is_harmless_twice),
	    cmocka_unit_test(time_standing_still_or_going_back_is_harmless),
	    cmocka_unit_test(crowded_slot_next_is_never_late),
	    cmocka_unit_test(arming_between_pops_keeps_order),
	    cmocka_unit_test(random_run_agrees_with_a_scan),
	    cmocka_unit_test(entries_are_used_again),
	    cmocka_unit_test(peek_guesses_what_pop_hands_out),
	};

	return cmocka_run_group_tests_name("wheel", tests, NULL, NULL);
}
