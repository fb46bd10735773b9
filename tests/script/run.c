/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * run.c - the interpreter: takes a script's events in order, moves the clock to each, and judges what the engine sends.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/common/referee.h"
#include "tests/script/code.h"
#include "tests/script/run.h"
#include "tests/script/trace.h"

/* How long "*" waits for a packet, and how long everything may take to disappear after the end: virtual seconds. */
#define ANY_TIME_LIMIT 100000000000
#define CLEANUP_LIMIT 100000000000
#define FRAME_MAX (65535 + 14)

struct run {
	struct script script;
	struct script_error err;
	struct host host;
	struct flows flows;
	struct app app;
	struct trace trace;
	struct referee referee;
	bool verbose;
	int line;	      /* of the event under way */
	usec_t last;	      /* time of the event before: what "+" counts from */
	struct packet actual; /* the packet compared last, for the report */
	const struct packet *expected;
	bool has_actual;
	bool burst; /* the next packet follows before the engine acts */
	uint8_t frame[FRAME_MAX];
};

/* One script at a time; it is large. */
static struct run run;

static void note(struct run *r, bool inbound, usec_t at, const struct packet *p)
{
	char line[512];

	trace_add(&r->trace, at - r->host.started, inbound, p);
	if (!r->verbose)
		return;
	trace_print_entry(&r->trace.entry[(r->trace.n - 1) % TRACE_MAX], line, sizeof(line));
	printf("%4d  %s\n", r->line, line);
}

/* Let the engine act at the current time, the application too, until both are quiet. */
static void settle(struct run *r)
{
	const struct call *pending;

	do {
		host_settle(&r->host);
		pending = r->app.pending.call;
		app_wake(&r->app);
	} while (pending != r->app.pending.call || engine_has_output(r->host.e));
}

/* Move the clock to `until`, or only until the first frame is sent if stop is set. */
static void advance(struct run *r, usec_t until, bool stop)
{
	usec_t next;

	while (!(stop && r->host.sent)) {
		next = until;
		app_deadline(&r->app, &next);
		if (!host_advance(&r->host, next) && next == until && r->host.now >= until) {
			settle(r);
			return;
		}
		settle(r);
	}
}

/* The event's time on the engine's clock. */
static usec_t time_of(const struct run *r, int64_t t, const struct when *w)
{
	return (w->relative || w->any ? r->last : r->host.started) + (usec_t)t;
}

/* Does this packet arrive at the time of the one above it? */
static bool arrives_with(const struct event *next)
{
	return next && next->type == EVENT_INBOUND && next->when.relative && !next->when.from;
}

static void run_inbound(struct run *r, const struct event *ev)
{
	struct packet wire;
	uint64_t offset;
	size_t len;

	flows_to_wire(&r->flows, ev->packet, ev->line, &wire, &offset);
	len = packet_build(&wire, host_mac, host_peer_mac, offset, r->frame, sizeof(r->frame));
	if (!len)
		script_fail(&r->err, ev->line, "the packet cannot be built: too long");
	note(r, true, r->host.now, ev->packet);
	if (wire.kind == PACKET_TCP)
		referee_watch(&r->referee, &wire, false);
	host_inject(&r->host, r->frame, len);
	r->burst = r->script.set.bursts && arrives_with(ev->next);
	if (!r->burst)
		settle(r);
}

static void check_payload(struct run *r, const struct packet *p, const uint8_t *payload, uint64_t offset)
{
	uint32_t len = p->kind == PACKET_TCP ? p->tcp.len : p->kind == PACKET_ICMP ? p->icmp.payload : 0;

	for (uint32_t i = 0; i < len; i++)
		if (payload[i] != packet_pattern(offset + i))
			script_fail(&r->err, r->line, "byte %u of the payload is wrong", i);
}

static void check_constants(struct run *r, const struct packet *p)
{
	if (p->kind == PACKET_ARP)
		return;
	if (p->ip.src != r->script.set.local_ip)
		script_fail(&r->err, r->line, "the source address is wrong");
	if (p->kind == PACKET_TCP && p->ip.dst != r->script.set.remote_ip)
		script_fail(&r->err, r->line, "the destination address is wrong");
}

/* Take the next sent frame and put it into the script's numbers; what is known of it is in r->actual. */
static bool take_actual(struct run *r, const struct packet *want, usec_t *at)
{
	struct frame *f = host_take(&r->host);
	const uint8_t *payload;
	struct packet wire;
	const char *fault;
	uint64_t offset;

	if (!f)
		return false;
	*at = f->at;
	memcpy(r->frame, f->data, f->len);
	fault = packet_decode(r->frame, f->len, &wire, &payload);
	free(f);
	if (fault)
		script_fail(&r->err, r->line, "the engine sent a bad packet: %s", fault);
	flows_to_script(&r->flows, &wire, want, &r->actual, &offset);
	r->has_actual = true;
	note(r, false, *at, &r->actual);
	check_constants(r, &wire);
	fault = wire.kind == PACKET_TCP ? referee_watch(&r->referee, &wire, true) : NULL;
	if (fault)
		script_fail(&r->err, r->line, "%s", fault);
	check_payload(r, &r->actual, payload, offset);
	return true;
}

static void run_outbound(struct run *r, const struct event *ev)
{
	usec_t tolerance = (usec_t)r->script.set.tolerance_usecs, at = 0;
	usec_t from = time_of(r, ev->when.from, &ev->when), to = time_of(r, ev->when.to, &ev->when);
	const char *field;

	if (ev->when.any)
		to = r->host.now + ANY_TIME_LIMIT;
	/* A tolerance reaches both ways; time itself does not go back. */
	advance(r, to + tolerance, true);
	r->expected = ev->packet;
	if (!take_actual(r, ev->packet, &at))
		script_fail(&r->err, ev->line, "no packet was sent by %.6f", (double)(to - r->host.started) / 1e6);
	field = packet_mismatch(ev->packet, &r->actual);
	if (field)
		script_fail(&r->err, ev->line, "%s differs", field);
	if (!ev->when.any && (at + tolerance < from || at > to + tolerance))
		script_fail(&r->err, ev->line, "sent at %.6f, expected at %.6f", (double)(at - r->host.started) / 1e6,
			    (double)(from - r->host.started) / 1e6);
	/* After an exact time the next event counts from the time written, else from what was seen. */
	r->last = ev->when.any || from != to ? at : from;
	r->expected = NULL;
	r->has_actual = false;
}

static void run_call(struct run *r, const struct event *ev)
{
	usec_t end = ev->call->blocks ? time_of(r, ev->call->end, &ev->when) : r->host.now;

	if (r->verbose)
		printf("%4d  %.6f %s()\n", ev->line, (double)(r->host.now - r->host.started) / 1e6, ev->call->name);
	app_call(&r->app, ev->call, ev->line, end);
	settle(r);
}

static void run_event(struct run *r, const struct event *ev)
{
	usec_t at = time_of(r, ev->when.from, &ev->when);
	bool joins = r->burst;

	r->line = ev->line;
	r->burst = false;
	if (ev->type == EVENT_OUTBOUND) {
		run_outbound(r, ev);
		return;
	}
	if (!ev->when.relative && at < r->last)
		script_fail(&r->err, ev->line, "the event is before the one above it");
	if (!joins)
		advance(r, at, false);
	if (ev->type == EVENT_INBOUND)
		run_inbound(r, ev);
	else if (ev->type == EVENT_CALL)
		run_call(r, ev);
	else
		code_run(&r->app, ev->code, ev->line);
	r->last = at;
}

/* After the last event nothing may be left over: no call that waits, no packet that was not expected. */
static void check_end(struct run *r)
{
	usec_t at;

	if (r->app.pending.call)
		script_fail(&r->err, r->app.pending.line, "%s() has not returned at the end of the script",
			    r->app.pending.call->name);
	if (take_actual(r, NULL, &at))
		script_fail(&r->err, r->line, "a packet that no event expects, sent at %.6f",
			    (double)(at - r->host.started) / 1e6);
}

/* Everything is closed and the peer is gone: the engine must come to hold nothing any more. */
static void check_cleanup(struct run *r)
{
	usec_t limit = r->host.now + CLEANUP_LIMIT;
	struct engine_usage u;

	r->host.discard = true;
	app_abort_all(&r->app);
	host_settle(&r->host);
	while (engine_next_deadline(r->host.e) <= limit)
		host_advance(&r->host, limit);
	engine_usage(r->host.e, &u);
	if (u.conns || u.repairs || u.timewaits || u.half_open || u.mbufs)
		script_fail(
		    &r->err, 0,
		    "left after everything was closed: %u connections, %u in repair, %u TIME-WAIT, %u half open, %u mbufs",
		    u.conns, u.repairs, u.timewaits, u.half_open, u.mbufs);
}

static void run_events(struct run *r)
{
	const struct script_settings *set = &r->script.set;

	r->flows = (struct flows){.set = set, .err = &r->err};
	r->app =
	    (struct app){.host = &r->host, .flows = &r->flows, .err = &r->err, .last = -1, .tolerance = set->tolerance_usecs};
	r->last = r->host.started;
	host_settle(&r->host);
	for (const struct event *ev = r->script.events; ev; ev = ev->next)
		run_event(r, ev);
	check_end(r);
	r->line = 0;
	if (set->auto_close)
		check_cleanup(r);
	host_fini(&r->host);
}

static void write_report(struct run *r, const char *path, char *report, size_t size)
{
	char want[512], got[512];
	int n;

	n = snprintf(report, size, "%s:%d: %s\n", path, r->err.line ? r->err.line : r->line, r->err.text);
	if (r->expected && (size_t)n < size) {
		packet_print(r->expected, want, sizeof(want));
		n += snprintf(report + n, size - (size_t)n, "  expected: %s\n", want);
	}
	if (r->has_actual && (size_t)n < size) {
		packet_print(&r->actual, got, sizeof(got));
		n += snprintf(report + n, size - (size_t)n, "  actual:   %s\n", got);
	}
	if ((size_t)n < size)
		snprintf(report + n, size - (size_t)n, "  packets so far:\n");
	trace_print(&r->trace, report, size);
}

bool run_script(const char *path, const struct run_options *opt, const struct run_pools *pools, char *report, size_t size)
{
	bool failed;

	memset(&run, 0, sizeof(run));
	run.verbose = opt->verbose;
	failed = setjmp(run.err.where) != 0;
	if (!failed) {
		script_parse(&run.script, path, &run.err);
		host_init(&run.host, &run.script.set, opt->offload, run.script.set.mtu > 1500 ? pools->jumbo : pools->usual,
			  &run.err);
		run_events(&run);
	} else {
		write_report(&run, path, report, size);
		host_drop(&run.host);
	}
	script_free(&run.script);
	return !failed;
}
