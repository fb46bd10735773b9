/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parse.c - a script file: option lines, `sysctl` lines, then events; and the memory of parsed scripts.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/scan.h"

#define ARENA_BLOCK 16384
#define SCRIPT_SIZE_MAX (1 << 20)

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	max_align_t mem[];
};

void script_fail(struct script_error *err, int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	err->line = line;
	longjmp(err->where, 1);
}

void *script_alloc(struct script *s, size_t size)
{
	struct arena_block *b = s->blocks;
	void *mem;

	size = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
	if (!b || b->size - b->used < size) {
		size_t room = size > ARENA_BLOCK ? size : ARENA_BLOCK;

		b = calloc(1, sizeof(*b) + room);
		if (!b)
			abort();
		b->size = room;
		b->next = s->blocks;
		s->blocks = b;
	}
	mem = (char *)b->mem + b->used;
	b->used += size;
	return mem;
}

void script_free(struct script *s)
{
	for (struct arena_block *b = s->blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	s->blocks = NULL;
}

/* The whole file as a string in the arena. */
static const char *read_file(struct script *s, const char *path, struct script_error *err)
{
	FILE *f = fopen(path, "r");
	char *text = script_alloc(s, SCRIPT_SIZE_MAX + 1);
	size_t n;

	if (!f)
		script_fail(err, 0, "cannot be opened");
	n = fread(text, 1, SCRIPT_SIZE_MAX, f);
	fclose(f);
	if (n == SCRIPT_SIZE_MAX)
		script_fail(err, 0, "longer than %d bytes", SCRIPT_SIZE_MAX);
	return text;
}

/* "0.1", "+.1", "0.1~0.2", "+.1~+.2", "*"; nothing at all is "+0". */
static void parse_when(struct scan *s, struct when *w)
{
	if (scan_take(s, "*")) {
		w->any = true;
		return;
	}
	w->relative = scan_take(s, "+");
	if (!w->relative && !isdigit((unsigned char)*s->p) && *s->p != '.') {
		w->relative = true;
		return;
	}
	w->from = w->to = scan_time(s);
	if (!scan_take(s, "~"))
		return;
	if (w->relative)
		scan_expect(s, "+");
	w->to = scan_time(s);
	if (w->to < w->from)
		scan_fail(s, "a range of time that ends before it begins");
}

/* The text up to the end mark, which is taken too. */
static const char *parse_until(struct scan *s, const char *mark)
{
	const char *start = s->p, *end = strstr(start, mark);

	if (!end)
		scan_fail(s, "no %s", mark);
	for (; s->p < end; s->p++)
		if (*s->p == '\n')
			s->line++;
	s->p += strlen(mark);
	return scan_copy(s, start, (size_t)(end - start));
}

static void parse_event(struct scan *s, struct event *ev)
{
	bool blocks;
	int64_t end = 0;

	ev->line = s->line;
	parse_when(s, &ev->when);
	blocks = scan_take(s, "...");
	if (blocks)
		end = scan_time(s);
	if (scan_take(s, "<")) {
		ev->type = EVENT_INBOUND;
		ev->packet = parse_packet(s, true);
	} else if (scan_take(s, ">")) {
		ev->type = EVENT_OUTBOUND;
		ev->packet = parse_packet(s, false);
	} else if (scan_take(s, "%{")) {
		ev->type = EVENT_CODE;
		ev->code = parse_until(s, "}%");
	} else {
		ev->type = EVENT_CALL;
		ev->call = parse_call(s);
		ev->call->blocks = blocks;
		ev->call->end = end;
		return;
	}
	if (blocks || ((ev->when.any || ev->when.from != ev->when.to) && ev->type != EVENT_OUTBOUND))
		scan_fail(s, "that kind of time does not fit this event");
}

void script_parse(struct script *s, const char *path, struct script_error *err)
{
	struct scan scan = {.line = 1, .script = s, .err = err};
	struct event **tail = &s->events;

	s->path = path;
	scan.p = read_file(s, path, err);
	settings_parse(&scan);
	for (scan_space(&scan); *scan.p; scan_space(&scan)) {
		*tail = script_alloc(s, sizeof(**tail));
		parse_event(&scan, *tail);
		tail = &(*tail)->next;
		scan_blank(&scan);
		if (*scan.p && !strchr("\n#/", *scan.p))
			scan_fail(&scan, "end of the line expected before \"%.20s\"", scan.p);
	}
	if (!s->events)
		scan_fail(&scan, "a script without events");
}
