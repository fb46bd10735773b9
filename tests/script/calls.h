/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls.h - the application of a script: its descriptors and the socket calls it makes.  A call that has to wait stays pending
 * and is tried again when the engine reports an event for its socket, as a program asleep in the kernel would be: a wake-up that
 * the engine forgets is found here.
 */
#ifndef CALLS_H
#define CALLS_H

#include "tests/script/flow.h"
#include "tests/script/host.h"

#define FDS_MAX 64
/* As engine_state() gives them. */
#define STATE_SYN_SENT 2
#define STATE_SYN_RECV 3
/* A call's result while it waits. */
#define CALL_WAITS INT64_MIN

struct fd {
	struct conn *c; /* NULL: the number is free */
	bool nonblock;
	bool connecting;   /* connect() waits for its end */
	uint64_t got, put; /* bytes of the stream read and written so far */
	uint32_t edges;	   /* events since the pending call was last tried */
};

/* A call under way. */
struct pending {
	const struct call *call; /* NULL: none */
	int line;
	usec_t began, end; /* end: when it must return */
	uint64_t done;	   /* bytes transferred so far by a call that transfers all */
};

struct app {
	struct host *host;
	struct flows *flows;
	struct script_error *err;
	struct fd fd[FDS_MAX];
	int last; /* descriptor of the connection made last: what %{ }% speaks of; -1 none */
	struct pending pending;
	int64_t tolerance;
};

/* Start a call now; it returns at once, or is pending afterwards if the script says that it blocks until `end`. */
void app_call(struct app *a, const struct call *call, int line, usec_t end);
/* Take the engine's events; if the pending call's socket has one, try the call again.  Fails if it returned late, early or
 * wrongly. */
void app_wake(struct app *a);
/* Has the pending call a time-out of its own that is due before `next`?  Lowers *next to it. */
void app_deadline(const struct app *a, usec_t *next);
/* Abort every open descriptor. */
void app_abort_all(struct app *a);

/* For the files of calls: */

/* An argument that must be a number. */
int64_t arg_int(struct app *a, unsigned i);
/* The descriptor given as argument i; NULL if not open (EBADF). */
struct fd *arg_fd(struct app *a, unsigned i);
/* The item of a struct value by its field name, NULL if absent. */
const struct value *value_field(const struct value *v, const char *field);
/* Would the call wait rather than return -EAGAIN?  flags: MSG_DONTWAIT counts. */
bool call_waits(const struct app *a, const struct fd *f, int flags);
/* Fail at the line of the call under way. */
#define call_fail(a, ...) script_fail((a)->err, (a)->pending.line, __VA_ARGS__)

/* The calls by name, in calls_sock.c, calls_data.c and calls_opt.c: result, -errno or CALL_WAITS. */
struct call_row {
	const char *name;
	unsigned min_args;
	int64_t (*run)(struct app *a);
};
extern const struct call_row calls_sock[], calls_data[], calls_opt[];

#endif
