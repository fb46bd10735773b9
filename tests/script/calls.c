/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls.c - finding, starting, resuming and judging the calls of a script; see calls.h.
 */
#include <string.h>
#include <sys/epoll.h>

#include "tests/script/calls.h"
#include "tests/script/symbols.h"

int64_t arg_int(struct app *a, unsigned i)
{
	const struct value *v = a->pending.call->args[i];

	/* "[1]" stands for a pointer to 1. */
	if (v->type == VALUE_LIST && v->items && !v->items->next)
		v = v->items;
	if (v->type != VALUE_INT)
		call_fail(a, "argument %u must be a number", i + 1);
	return v->num;
}

struct fd *arg_fd(struct app *a, unsigned i)
{
	int64_t fd = arg_int(a, i);

	return fd < 0 || fd >= FDS_MAX || !a->fd[fd].c ? NULL : &a->fd[fd];
}

const struct value *value_field(const struct value *v, const char *field)
{
	for (const struct value *i = v->items; i; i = i->next)
		if (i->field && !strcmp(i->field, field))
			return i;
	return NULL;
}

bool call_waits(const struct app *a, const struct fd *f, int flags)
{
	return !f->nonblock && !(flags & MSG_DONTWAIT) && a->pending.call->blocks;
}

static const struct call_row *find_call(struct app *a, const struct call *call)
{
	static const struct call_row *const tables[] = {calls_sock, calls_data, calls_opt};

	for (unsigned t = 0; t < 3; t++)
		for (const struct call_row *r = tables[t]; r->name; r++)
			if (!strcmp(r->name, call->name) && call->nargs >= r->min_args)
				return r;
	call_fail(a, "%s() with %u arguments is not known", call->name, call->nargs);
}

static void describe(int64_t result, char *buf, size_t size)
{
	if (result < 0)
		snprintf(buf, size, "-1 %s (%s)", symbol_errno((int)-result), strerror((int)-result));
	else
		snprintf(buf, size, "%lld", (long long)result);
}

static void judge(struct app *a, int64_t result)
{
	const struct call *call = a->pending.call;
	int64_t want = call->error ? -(int64_t)call->error : call->result->num;
	char got_text[96], want_text[96];

	if (call->result->type == VALUE_ANY || result == want)
		return;
	describe(result, got_text, sizeof(got_text));
	describe(want, want_text, sizeof(want_text));
	call_fail(a, "%s() returned %s, expected %s", call->name, got_text, want_text);
}

static void judge_time(struct app *a)
{
	int64_t late = (int64_t)(a->host->now - a->pending.end);

	if (late < -a->tolerance || late > a->tolerance)
		call_fail(a, "%s() returned at %.6f, expected at %.6f", a->pending.call->name,
			  (double)(a->host->now - a->host->started) / 1e6, (double)(a->pending.end - a->host->started) / 1e6);
}

/* Try the call under way; false if it still waits. */
static bool attempt(struct app *a)
{
	int64_t result = find_call(a, a->pending.call)->run(a);

	if (result == CALL_WAITS)
		return false;
	judge(a, result);
	if (a->pending.call->blocks)
		judge_time(a);
	a->pending.call = NULL;
	return true;
}

void app_call(struct app *a, const struct call *call, int line, usec_t end)
{
	if (a->pending.call)
		script_fail(a->err, line, "%s() of line %d has not returned yet", a->pending.call->name, a->pending.line);
	a->pending = (struct pending){.call = call, .line = line, .began = a->host->now, .end = end};
	for (unsigned i = 0; i < FDS_MAX; i++)
		a->fd[i].edges = 0;
	attempt(a);
}

/* Collect the engine's events into the descriptors. */
static void collect(struct app *a)
{
	struct conn *c;
	uint32_t edges;
	unsigned i;

	while ((c = engine_next_event(a->host->e, &edges))) {
		if (!edges)
			script_fail(a->err, 0, "engine_next_event() returned a socket without an event");
		for (i = 0; i < FDS_MAX && a->fd[i].c != c; i++)
			;
		/* None of ours: a connection that waits to be accepted. */
		if (i < FDS_MAX)
			a->fd[i].edges |= edges;
	}
}

/* Did an event come for a descriptor that the pending call waits on?  Takes the events. */
static bool take_events(struct app *a)
{
	const struct value *first = a->pending.call->args[0];
	bool any = false;

	for (unsigned i = 0; i < FDS_MAX; i++) {
		if (a->fd[i].edges && (first->type == VALUE_LIST || first->num == i))
			any = true;
		a->fd[i].edges = 0;
	}
	return any;
}

static bool pending_due(const struct app *a)
{
	usec_t next = USEC_NEVER;

	app_deadline(a, &next);
	return next <= a->host->now;
}

void app_wake(struct app *a)
{
	collect(a);
	if (!a->pending.call)
		return;
	if (take_events(a) || pending_due(a)) {
		attempt(a);
		return;
	}
	/* Nobody woke it: then it must not be able to go on, or the wake-up was lost. */
	if (a->host->now > a->pending.end + (usec_t)a->tolerance)
		call_fail(a, "%s() still waits, it was expected to return at %.6f", a->pending.call->name,
			  (double)(a->pending.end - a->host->started) / 1e6);
}

void app_deadline(const struct app *a, usec_t *next)
{
	const struct call *call = a->pending.call;
	usec_t due;

	if (!call || strcmp(call->name, "poll") || call->args[2]->num < 0)
		return;
	due = a->pending.began + (usec_t)call->args[2]->num * 1000;
	if (due < *next)
		*next = due;
}

void app_abort_all(struct app *a)
{
	for (unsigned i = 0; i < FDS_MAX; i++) {
		if (a->fd[i].c)
			engine_abort(a->host->e, a->fd[i].c, a->host->now);
		a->fd[i].c = NULL;
	}
}
