/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parse_call.c - a socket call with its arguments and what it must return.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "tests/script/scan.h"
#include "tests/script/symbols.h"

static struct value *parse_value(struct scan *s);

/* Items up to the closing bracket, linked in order. */
static struct value *parse_items(struct scan *s, const char *close)
{
	struct value *first = NULL, **tail = &first;

	scan_space(s);
	while (!scan_take(s, close)) {
		*tail = parse_value(s);
		tail = &(*tail)->next;
		scan_space(s);
		if (!scan_take(s, ",") && !scan_sees(s, close))
			scan_fail(s, "\"%s\" expected before \"%.20s\"", close, s->p);
		scan_space(s);
	}
	return first;
}

static void parse_string(struct scan *s, struct value *v)
{
	const char *end = strchr(s->p, '"');

	if (!end)
		scan_fail(s, "string without an end");
	v->type = VALUE_STRING;
	v->text = scan_copy(s, s->p, (size_t)(end - s->p));
	s->p = end + 1;
}

/* htons(N), htonl(N): numbers stay in host order inside the runner; inet_addr("a.b.c.d"): network order. */
static bool parse_conversion(struct scan *s, const char *word, struct value *v)
{
	struct in_addr a;

	if (!strcmp(word, "htons") || !strcmp(word, "htonl")) {
		struct value *arg;

		scan_expect(s, "(");
		arg = parse_value(s);
		scan_expect(s, ")");
		*v = *arg;
		return true;
	}
	if (strcmp(word, "inet_addr"))
		return false;
	scan_expect(s, "(");
	scan_expect(s, "\"");
	parse_string(s, v);
	scan_expect(s, ")");
	if (inet_pton(AF_INET, v->text, &a) != 1)
		scan_fail(s, "\"%s\" is no IPv4 address", v->text);
	v->type = VALUE_INT;
	v->num = a.s_addr;
	return true;
}

/* One operand of "|": a number or a constant's name. */
static int64_t parse_operand(struct scan *s)
{
	char word[64];
	int64_t v;

	scan_blank(s);
	if (isdigit((unsigned char)*s->p) || *s->p == '-')
		return scan_number(s);
	scan_word(s, word, sizeof(word));
	if (!symbol_find(word, &v))
		scan_fail(s, "\"%s\" is not known", word);
	return v;
}

/* "name=value" or "name(N)=value" within a struct, or a constant. */
static void parse_named(struct scan *s, struct value *v)
{
	const char *start = s->p;
	char word[64];
	struct value *inner;

	scan_word(s, word, sizeof(word));
	if (parse_conversion(s, word, v))
		return;
	if (scan_take(s, "(")) {
		parse_value(s);
		scan_expect(s, ")");
	}
	if (scan_sees(s, "=") && !scan_sees(s, "==")) {
		scan_expect(s, "=");
		inner = parse_value(s);
		*v = *inner;
		v->field = scan_copy(s, word, strlen(word));
		return;
	}
	s->p = start;
	v->type = VALUE_INT;
	v->num = parse_operand(s);
}

static struct value *parse_value(struct scan *s)
{
	struct value *v = script_alloc(s->script, sizeof(*v));

	scan_space(s);
	if (scan_take(s, "...")) {
		v->type = VALUE_ANY;
	} else if (scan_take(s, "\"")) {
		parse_string(s, v);
	} else if (scan_take(s, "[")) {
		v->type = VALUE_LIST;
		v->items = parse_items(s, "]");
	} else if (scan_take(s, "{")) {
		v->type = VALUE_STRUCT;
		v->items = parse_items(s, "}");
	} else if (isdigit((unsigned char)*s->p) || *s->p == '-') {
		v->type = VALUE_INT;
		v->num = scan_number(s);
	} else {
		parse_named(s, v);
	}
	while (v->type == VALUE_INT && scan_take(s, "|"))
		v->num |= parse_operand(s);
	return v;
}

/* "= 4", "= ...", "= -1 EAGAIN (words)" */
static void parse_result(struct scan *s, struct call *c)
{
	char word[32];
	int64_t error;

	scan_expect(s, "=");
	c->result = parse_value(s);
	scan_blank(s);
	if (c->result->type == VALUE_INT && c->result->num == -1) {
		scan_word(s, word, sizeof(word));
		if (!symbol_find(word, &error))
			scan_fail(s, "\"%s\" is no error known here", word);
		c->error = (int)error;
	}
	if (scan_take(s, "(")) {
		s->p += strcspn(s->p, ")\n");
		scan_expect(s, ")");
	}
}

struct call *parse_call(struct scan *s)
{
	struct call *c = script_alloc(s->script, sizeof(*c));
	struct value *args;
	char word[32];

	scan_word(s, word, sizeof(word));
	c->name = scan_copy(s, word, strlen(word));
	scan_expect(s, "(");
	for (args = parse_items(s, ")"); args; args = args->next) {
		if (c->nargs == CALL_ARGS_MAX)
			scan_fail(s, "too many arguments");
		c->args[c->nargs++] = args;
	}
	parse_result(s, c);
	return c;
}
