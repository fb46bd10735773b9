/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rules.c - the text of MTCPSHIM_RULES into struct config_rule; the syntax is in route.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RULE_TEXT_MAX 256

/* Where a rule stands while its fields are read: address before port. */
struct rule_state {
	struct config_rule *rule;
	bool has_addr, has_port;
};

static bool parse_number(const char *s, unsigned max, unsigned *out)
{
	unsigned long v = 0;

	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		v = v * 10 + (unsigned long)(*s - '0');
		if (v > max)
			return false;
	}
	*out = (unsigned)v;
	return true;
}

static bool parse_addr(char *s, struct config_rule *r)
{
	char *slash = strchr(s, '/');
	size_t len;
	unsigned bits;

	if (slash)
		*slash++ = '\0';
	len = strlen(s);
	if (s[0] == '[' && s[len - 1] == ']') {
		s[len - 1] = '\0';
		if (inet_pton(AF_INET6, s + 1, &r->addr) != 1)
			return false;
		bits = 128;
		if (slash && !parse_number(slash, 128, &bits))
			return false;
		r->len = bits;
		return true;
	}
	memset(&r->addr, 0, sizeof(r->addr));
	r->addr.s6_addr[10] = r->addr.s6_addr[11] = 0xff;
	if (inet_pton(AF_INET, s, &r->addr.s6_addr[12]) != 1)
		return false;
	bits = 32;
	if (slash && !parse_number(slash, 32, &bits))
		return false;
	r->len = 96 + bits;
	return true;
}

static bool parse_ports(char *s, struct config_rule *r)
{
	char *dash = strchr(s, '-');
	unsigned lo, hi;

	if (dash)
		*dash++ = '\0';
	if (!parse_number(s, 65535, &lo) || !parse_number(dash ? dash : s, 65535, &hi) || lo > hi)
		return false;
	r->port_lo = (uint16_t)lo;
	r->port_hi = (uint16_t)hi;
	return true;
}

static const char *parse_star(struct rule_state *st)
{
	if (!st->has_addr)
		st->has_addr = true;
	else if (!st->has_port)
		st->has_port = true;
	else
		return "one '*' too many";
	return NULL;
}

/* NULL, or what is wrong with the field. */
static const char *parse_field(struct rule_state *st, char *s)
{
	struct config_rule *r = st->rule;

	if (!strncmp(s, "prog=", 5)) {
		if (!s[5] || strlen(s + 5) >= sizeof(r->program))
			return "a program name of 1 to 63 characters is needed after prog=";
		strcpy(r->program, s + 5);
		return NULL;
	}
	if (!strcmp(s, "connect") || !strcmp(s, "listen")) {
		r->role = s[0] == 'c' ? ROUTE_ROLE_CONNECT : ROUTE_ROLE_LISTEN;
		return NULL;
	}
	if (!strcmp(s, "tcp")) {
		r->protocol = IPPROTO_TCP;
		return NULL;
	}
	if (!strcmp(s, "*"))
		return parse_star(st);
	if (s[0] == '[' || strchr(s, '.')) {
		if (st->has_addr || st->has_port)
			return "one address is allowed, before the port";
		st->has_addr = true;
		return parse_addr(s, r) ? NULL : "not an address or prefix";
	}
	if (s[0] >= '0' && s[0] <= '9') {
		if (st->has_port)
			return "one port or range is allowed";
		st->has_port = true;
		return parse_ports(s, r) ? NULL : "not a port or range";
	}
	return "prog=NAME, connect, listen, tcp, an address or a port is allowed";
}

static bool parse_verb(const char *s, struct config_rule *r)
{
	r->engine = !strcmp(s, "engine") || !strcmp(s, "engine-only");
	r->exclusive = !strcmp(s, "engine-only");
	return r->engine || !strcmp(s, "kernel");
}

/* Cut at the next ':' outside brackets; NULL at the end. */
static char *next_field(char **rest)
{
	char *start = *rest;
	int depth = 0;

	if (!start)
		return NULL;
	for (char *p = start; *p; p++) {
		depth += *p == '[' ? 1 : *p == ']' ? -1 : 0;
		if (*p == ':' && depth == 0) {
			*p = '\0';
			*rest = p + 1;
			return start;
		}
	}
	*rest = NULL;
	return start;
}

static char *trim(char *s)
{
	char *end = s + strlen(s);

	while (*s == ' ' || *s == '\t')
		s++;
	while (end > s && strchr(" \t\r", end[-1]))
		*--end = '\0';
	return s;
}

static const char *parse_rule(char *text, struct config_rule *r)
{
	struct rule_state st = {.rule = r};
	char *rest = text, *field;

	memset(r, 0, sizeof(*r));
	r->port_hi = 65535;
	if (!parse_verb(trim(next_field(&rest)), r))
		return "it begins with kernel, engine or engine-only";
	while ((field = next_field(&rest))) {
		const char *wrong = parse_field(&st, trim(field));

		if (wrong)
			return wrong;
	}
	return NULL;
}

int route_rules_parse(const char *text, struct config_rule *rules, unsigned max, char *err, size_t size)
{
	unsigned n = 0;

	while (*text) {
		size_t len = strcspn(text, ";\n");
		char copy[RULE_TEXT_MAX];
		const char *wrong = NULL;

		snprintf(copy, sizeof(copy), "%.*s", (int)len, text);
		text += len + (text[len] != '\0');
		if (!*trim(copy))
			continue;
		if (len >= sizeof(copy))
			wrong = "it is too long";
		else if (n == max)
			wrong = "there are too many rules";
		else
			wrong = parse_rule(copy, &rules[n]);
		if (wrong) {
			snprintf(err, size, "rule %u: %s", n + 1, wrong);
			return -EINVAL;
		}
		n++;
	}
	return (int)n;
}

bool route_program_match(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (len && pattern[len - 1] == '*')
		return !strncmp(pattern, name, len - 1);
	return !strcmp(pattern, name);
}
