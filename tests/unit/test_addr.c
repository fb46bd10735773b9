/* SPDX-License-Identifier: BSD-3-Clause */
/* test_addr.c - engine/addr.c and the serial arithmetic of engine/seq.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/seq.h"

static struct ip_addr parse(const char *text)
{
	struct ip_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, a.b), 1);
	return a;
}

static void from_v4_is_v4_mapped(void **state)
{
	static const char *const rows[][2] = {
	    {"255.255.255.255", "::ffff:255.255.255.255"},
	    {"10.9.0.1", "::ffff:10.9.0.1"},
	    {"0.0.0.1", "::ffff:0.0.0.1"},
	    {"127.0.0.1", "::ffff:127.0.0.1"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip_addr want = parse(rows[i][1]), got = ip_from_v4(inet_addr(rows[i][0]));

		assert_memory_equal(&got, &want, sizeof(got));
		assert_true(ip_is_v4(&got));
		assert_true(ip_equal(&got, &want));
		assert_int_equal(ip_to_v4(&got), inet_addr(rows[i][0]));
	}
}

/* One form of "any" inside, whichever family asked. */
static void any_has_one_form(void **state)
{
	struct ip_addr from_v4 = ip_from_v4(INADDR_ANY), v6 = parse("::");

	assert_true(ip_equal(&from_v4, &v6));
	assert_int_equal(ip_to_v4(&from_v4), INADDR_ANY);
}

static void predicates_tell_families_apart(void **state)
{
	static const struct {
		const char *text;
		bool v4, any;
	} rows[] = {
	    {"::", false, true},
	    {"::ffff:0.0.0.0", true, true},
	    {"::1", false, false},
	    {"::ffff:1.2.3.4", true, false},
	    {"::1.2.3.4", false, false},
	    {"::fffe:1.2.3.4", false, false},
	    {"1::ffff:1.2.3.4", false, false},
	    {"::1:ffff:1.2.3.4", false, false},
	    {"1::", false, false},
	    {"0:0:0:1::", false, false},
	    {"fe80::1", false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip_addr a = parse(rows[i].text);

		assert_int_equal(ip_is_v4(&a), rows[i].v4);
		assert_int_equal(ip_is_any(&a), rows[i].any);
	}
}

static void equal_looks_at_every_byte(void **state)
{
	const struct ip_addr a = parse("2001:db8:1:2:3:4:5:6");

	for (unsigned i = 0; i < 16; i++) {
		struct ip_addr b = a;

		assert_true(ip_equal(&a, &b));
		b.b[i] ^= 0x80;
		assert_false(ip_equal(&a, &b));
	}
}

static void seq_compares_across_the_wrap(void **state)
{
	static const struct {
		seq_t a, b;
		bool lt, leq;
	} rows[] = {
	    {0xffffffff, 0, true, true},
	    {0, 0xffffffff, false, false},
	    {0xfffffff0, 0x10, true, true},
	    {0x7fffffff, 0x80000000, true, true},
	    {0, 0x7fffffff, true, true},
	    {0x80000001, 0, true, true},
	    {0, 0, false, true},
	    {1, 0, false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		seq_t a = rows[i].a, b = rows[i].b;

		assert_int_equal(seq_lt(a, b), rows[i].lt);
		assert_int_equal(seq_leq(a, b), rows[i].leq);
		assert_int_equal(seq_gt(a, b), !rows[i].leq);
		assert_int_equal(seq_geq(a, b), !rows[i].lt);
		assert_int_equal(seq_max(a, b), rows[i].lt ? b : a);
		assert_int_equal(seq_min(a, b), rows[i].leq ? a : b);
	}
}

/* The tables made from stats.def: an end, and no name twice. */
static void stat_names_are_complete_and_unique(void **state)
{
	unsigned n = 0;

	while (engine_stat_name(n)) {
		assert_non_null(engine_stat_text(n));
		for (unsigned i = 0; i < n; i++)
			assert_string_not_equal(engine_stat_name(i), engine_stat_name(n));
		n++;
	}
	assert_int_equal(n, sizeof(struct engine_stats) / sizeof(uint64_t));
	assert_null(engine_stat_text(n));
	assert_string_equal(engine_stat_name(offsetof(struct engine_stats, ip_in_receives) / 8), "IpInReceives");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(from_v4_is_v4_mapped),	      cmocka_unit_test(any_has_one_form),
	    cmocka_unit_test(predicates_tell_families_apart), cmocka_unit_test(equal_looks_at_every_byte),
	    cmocka_unit_test(seq_compares_across_the_wrap),   cmocka_unit_test(stat_names_are_complete_and_unique),
	};

	return cmocka_run_group_tests_name("addr", tests, NULL, NULL);
}
