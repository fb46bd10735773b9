/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_route.c - rules and routes: who serves an address.  The kernel's part of the answer comes from this machine's loopback
 * interface.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

#include "shim/route.h"

enum role { C = ROUTE_ROLE_CONNECT, L = ROUTE_ROLE_LISTEN };

/* 203.0.113.0/24 and 198.51.100.0/24 are documentation prefixes (RFC 5737): no host has them. */
static struct config config_of(const char *rules)
{
	struct config cfg = {.enabled = true, .naddrs = 2};
	char err[128];
	int n;

	inet_pton(AF_INET6, "::ffff:203.0.113.5", &cfg.addrs[0].addr);
	cfg.addrs[0].len = 96 + 24;
	inet_pton(AF_INET6, "::ffff:198.51.100.1", &cfg.addrs[1].addr);
	cfg.addrs[1].len = 96 + 25;
	n = route_rules_parse(rules, cfg.rules, CONFIG_RULES_MAX, err, sizeof(err));
	if (n < 0)
		fail_msg("%s: %s", rules, err);
	cfg.nrules = (unsigned)n;
	return cfg;
}

static struct route_addr addr_of(const char *text, uint16_t port)
{
	bool v6 = strchr(text, ':') != NULL;
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct route_addr a;

	assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, text, v6 ? (void *)&in6.sin6_addr : (void *)&in.sin_addr), 1);
	assert_true(v6 ? route_addr_parse(AF_INET6, (void *)&in6, sizeof(in6), &a)
		       : route_addr_parse(AF_INET, (void *)&in, sizeof(in), &a));
	return a;
}

static enum route ask(const struct config *cfg, enum role role, const char *addr, uint16_t port)
{
	struct route_addr a = addr_of(addr, port);

	return role == C ? route_connect(cfg, &a) : route_listen(cfg, &a);
}

struct row {
	const char *rules;
	enum role role;
	const char *addr;
	uint16_t port;
	enum route expect;
};

static void check_rows(const struct row *rows, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct config cfg = config_of(rows[i].rules);
		enum route got = ask(&cfg, rows[i].role, rows[i].addr, rows[i].port);

		if (got != rows[i].expect)
			fail_msg("row %u: '%s' %s %s:%u is %d, not %d", i, rows[i].rules,
				 rows[i].role == C ? "connect" : "listen", rows[i].addr, rows[i].port, got, rows[i].expect);
	}
}
#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))

static void without_rules_reach_decides(void **state)
{
	static const struct row rows[] = {
	    {"", C, "203.0.113.9", 80, ROUTE_ENGINE},
	    {"", C, "::ffff:203.0.113.9", 80, ROUTE_ENGINE},
	    {"", C, "203.0.114.9", 80, ROUTE_KERNEL},
	    {"", C, "198.51.100.127", 80, ROUTE_ENGINE},
	    {"", C, "198.51.100.128", 80, ROUTE_KERNEL},
	    {"", C, "203.0.113.9", 53, ROUTE_KERNEL},
	    {"", C, "127.0.0.1", 80, ROUTE_KERNEL},
	    {"", C, "0.0.0.0", 80, ROUTE_KERNEL},
	    {"", C, "::", 80, ROUTE_KERNEL},
	    {"", C, "::1", 80, ROUTE_KERNEL},
	    {"", C, "2001:db8::1", 80, ROUTE_KERNEL},
	    {"", C, "224.0.0.1", 80, ROUTE_KERNEL},
	    {"", C, "255.255.255.255", 80, ROUTE_KERNEL},
	    {"", L, "0.0.0.0", 80, ROUTE_BOTH},
	    {"", L, "::", 80, ROUTE_BOTH},
	    {"", L, "::ffff:0.0.0.0", 80, ROUTE_BOTH},
	    {"", L, "0.0.0.0", 53, ROUTE_KERNEL},
	    {"", L, "203.0.113.5", 80, ROUTE_ENGINE},
	    {"", L, "::ffff:203.0.113.5", 80, ROUTE_ENGINE},
	    {"", L, "203.0.113.6", 80, ROUTE_KERNEL},
	    {"", L, "127.0.0.1", 80, ROUTE_KERNEL},
	    {"", L, "::1", 80, ROUTE_KERNEL},
	};

	CHECK(rows);
}

static void rules_first_match_wins(void **state)
{
	static const struct row rows[] = {
	    {"kernel:*", C, "203.0.113.9", 80, ROUTE_KERNEL},
	    {"kernel:*", L, "0.0.0.0", 80, ROUTE_KERNEL},
	    {"kernel:*", L, "203.0.113.5", 80, ROUTE_KERNEL},
	    {"engine:*;kernel:*", C, "203.0.113.9", 80, ROUTE_ENGINE},
	    {"kernel:*;engine:*", C, "203.0.113.9", 80, ROUTE_KERNEL},
	    /* Never wider than the engine's reach, but over the exception for DNS. */
	    {"engine:*", C, "192.0.2.1", 80, ROUTE_KERNEL},
	    {"engine:*", C, "127.0.0.1", 80, ROUTE_KERNEL},
	    {"engine:*", C, "203.0.113.9", 53, ROUTE_ENGINE},
	    {"engine:*", L, "0.0.0.0", 53, ROUTE_BOTH},
	    /* Roles. */
	    {"kernel:connect:*", C, "203.0.113.9", 80, ROUTE_KERNEL},
	    {"kernel:connect:*", L, "203.0.113.5", 80, ROUTE_ENGINE},
	    {"kernel:listen:*", L, "0.0.0.0", 80, ROUTE_KERNEL},
	    {"kernel:listen:*", C, "203.0.113.9", 80, ROUTE_ENGINE},
	    /* Ports, with both ends of a range. */
	    {"kernel:*:22", C, "203.0.113.9", 22, ROUTE_KERNEL},
	    {"kernel:*:22", C, "203.0.113.9", 23, ROUTE_ENGINE},
	    {"engine:tcp:203.0.113.0/24:5000-6000; kernel:*", C, "203.0.113.1", 4999, ROUTE_KERNEL},
	    {"engine:tcp:203.0.113.0/24:5000-6000; kernel:*", C, "203.0.113.1", 5000, ROUTE_ENGINE},
	    {"engine:tcp:203.0.113.0/24:5000-6000; kernel:*", C, "203.0.113.1", 6000, ROUTE_ENGINE},
	    {"engine:tcp:203.0.113.0/24:5000-6000; kernel:*", C, "203.0.113.1", 6001, ROUTE_KERNEL},
	    {"kernel:80", C, "203.0.113.1", 80, ROUTE_KERNEL},
	    /* Addresses. */
	    {"kernel:203.0.113.128/25", C, "203.0.113.127", 80, ROUTE_ENGINE},
	    {"kernel:203.0.113.128/25", C, "203.0.113.128", 80, ROUTE_KERNEL},
	    {"kernel:203.0.113.9", C, "203.0.113.9", 80, ROUTE_KERNEL},
	    {"kernel:203.0.113.9", C, "203.0.113.8", 80, ROUTE_ENGINE},
	    {"kernel:[::ffff:203.0.113.9]", C, "203.0.113.9", 80, ROUTE_KERNEL},
	    {"kernel:[2001:db8::]/32:80", C, "203.0.113.9", 80, ROUTE_ENGINE},
	    /* A listener on any address against rules with one. */
	    {"engine:listen:203.0.113.5:80; kernel:*", L, "0.0.0.0", 80, ROUTE_BOTH},
	    {"engine:listen:192.0.2.0/24:80; kernel:*", L, "0.0.0.0", 80, ROUTE_KERNEL},
	    {"kernel:203.0.113.0/24", L, "0.0.0.0", 80, ROUTE_BOTH},
	    {"kernel:192.0.0.0/2", L, "0.0.0.0", 80, ROUTE_KERNEL},
	    {"engine-only:listen:*:80", L, "0.0.0.0", 80, ROUTE_ENGINE},
	    {"engine-only:listen:*:80", L, "0.0.0.0", 81, ROUTE_BOTH},
	    /* Programs. */
	    {"kernel:prog=test_route", C, "203.0.113.9", 80, ROUTE_KERNEL},
	    {"kernel:prog=test_*", C, "203.0.113.9", 80, ROUTE_KERNEL},
	    {"kernel:prog=test", C, "203.0.113.9", 80, ROUTE_ENGINE},
	    {"kernel:prog=sshd:connect:*:22", C, "203.0.113.9", 22, ROUTE_ENGINE},
	    /* Blank rules and newlines. */
	    {" ; \n kernel : connect : * : 22 ;;", C, "203.0.113.9", 22, ROUTE_KERNEL},
	};

	CHECK(rows);
}

static void gateway_reaches_the_rest(void **state)
{
	struct config cfg = config_of("");

	inet_pton(AF_INET6, "::ffff:203.0.113.254", &cfg.gw);
	assert_int_equal(ask(&cfg, C, "8.8.4.4", 80), ROUTE_ENGINE);
	assert_int_equal(ask(&cfg, C, "127.1.2.3", 80), ROUTE_KERNEL);
	assert_int_equal(ask(&cfg, C, "239.0.0.1", 80), ROUTE_KERNEL);
	assert_int_equal(ask(&cfg, C, "2001:db8::1", 80), ROUTE_KERNEL);
}

static void loopback_setting_takes_loopback(void **state)
{
	struct config cfg = config_of("");

	cfg.loopback = true;
	assert_int_equal(ask(&cfg, C, "127.0.0.1", 80), ROUTE_ENGINE);
	assert_int_equal(ask(&cfg, L, "127.0.0.1", 80), ROUTE_BOTH);
	assert_int_equal(ask(&cfg, C, "::1", 80), ROUTE_KERNEL);
}

static void bad_rules_are_explained(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
	    {"allow:*", "rule 1: it begins with kernel, engine or engine-only"},
	    {"kernel:*;engine:1.2.3", "rule 2: not an address or prefix"},
	    {"kernel:1.2.3.4/33", "not an address or prefix"},
	    {"kernel:[::1", "not an address or prefix"},
	    {"kernel:[]", "not an address or prefix"},
	    {"kernel:1.2.3.4:5:6", "one port or range"},
	    {"kernel:1.2.3.4:1.2.3.4", "one address"},
	    {"kernel:*:65536", "not a port or range"},
	    {"kernel:*:20-10", "not a port or range"},
	    {"kernel:*:1-", "not a port or range"},
	    {"kernel:*:*:*", "one '*' too many"},
	    {"kernel:prog=", "a program name"},
	    {"kernel:udp:*", "prog=NAME, connect"},
	    {"kernel:", "prog=NAME, connect"},
	    {":", "it begins with"},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct config_rule rules[4];
		char err[160] = "";
		int n = route_rules_parse(rows[i].text, rules, 4, err, sizeof(err));

		if (n >= 0 || !strstr(err, rows[i].says))
			fail_msg("'%s' gives %d: %s", rows[i].text, n, err);
	}
}

static void more_rules_than_fit_are_refused(void **state)
{
	struct config_rule rules[2];
	char err[160];

	assert_int_equal(route_rules_parse("kernel:1;kernel:2;", rules, 2, err, sizeof(err)), 2);
	assert_true(route_rules_parse("kernel:1;kernel:2;kernel:3", rules, 2, err, sizeof(err)) < 0);
}

static void addresses_the_kernel_refuses_are_left_to_it(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct route_addr a;

	assert_false(route_addr_parse(AF_INET, NULL, 0, &a));
	assert_false(route_addr_parse(AF_INET, (void *)&in, 1, &a));
	assert_false(route_addr_parse(AF_INET, (void *)&in, sizeof(in) - 1, &a));
	assert_false(route_addr_parse(AF_INET6, (void *)&in, sizeof(in), &a));
	assert_false(route_addr_parse(AF_INET6, (void *)&in6, 23, &a));
	assert_true(route_addr_parse(AF_INET6, (void *)&in6, 24, &a));
	in.sin_family = AF_UNSPEC;
	assert_false(route_addr_parse(AF_INET, (void *)&in, sizeof(in), &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(without_rules_reach_decides),
	    cmocka_unit_test(rules_first_match_wins),
	    cmocka_unit_test(gateway_reaches_the_rest),
	    cmocka_unit_test(loopback_setting_takes_loopback),
	    cmocka_unit_test(bad_rules_are_explained),
	    cmocka_unit_test(more_rules_than_fit_are_refused),
	    cmocka_unit_test(addresses_the_kernel_refuses_are_left_to_it),
	};

	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
