/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * script.h - a packet script as parsed: settings, then a list of events, each with a time.  The language is packetdrill's; what
 * this runner adds to it is marked "own" here and described in tests/script/README.md.
 *
 * Everything that belongs to a script is allocated from its arena and lives until script_free().
 */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "tests/common/packet.h"

/* When an event is to happen, microseconds. */
struct when {
	bool relative;	  /* to the event before it, else to the start of the script */
	bool any;	  /* "*": whenever it comes (outbound packets only) */
	int64_t from, to; /* from == to unless a range was given */
};

enum value_type { VALUE_ANY, VALUE_INT, VALUE_STRING, VALUE_LIST, VALUE_STRUCT };

/* An argument of a call: "..." is VALUE_ANY; lists and structs hold their items in order. */
struct value {
	struct value *next;
	enum value_type type;
	const char *field; /* name within a struct, or NULL */
	int64_t num;
	const char *text;
	struct value *items;
};

#define CALL_ARGS_MAX 8

struct call {
	const char *name;
	struct value *args[CALL_ARGS_MAX];
	unsigned nargs;
	bool blocks;	      /* an end time was given: the call blocks until then */
	int64_t end;	      /* microseconds, on the same base as the event's time */
	struct value *result; /* VALUE_ANY or VALUE_INT */
	int error;	      /* errno expected with a result of -1, or 0 */
};

enum event_type { EVENT_CALL, EVENT_INBOUND, EVENT_OUTBOUND, EVENT_CODE };

struct event {
	struct event *next;
	int line;
	struct when when;
	enum event_type type;
	union {
		struct call *call;
		struct packet *packet;
		const char *code;
	};
};

/* What the option lines (--name=value) and `sysctl` lines set. */
struct script_settings {
	struct tcp_settings tcp;
	uint16_t mtu;
	unsigned prefix_len;			  /* of the local network, of 32 */
	uint32_t local_ip, remote_ip, gateway_ip; /* network order */
	uint16_t bind_port, connect_port;
	int64_t tolerance_usecs;
	int64_t ts_tick_usecs; /* 1000: timestamps are checked to the millisecond; 0: mapped value by value, not checked */
	unsigned max_conns, max_repairs, max_timewait; /* own */
	bool manual_arp;			       /* own: --arp=script; the script answers for the neighbours itself */
	bool bursts;				       /* own: packets that arrive at one time do so before the engine sends */
	bool auto_close;			       /* own: after the script, abort all sockets and see that nothing is left */
};

struct arena_block;

struct script {
	const char *path;
	struct script_settings set;
	struct event *events;
	struct arena_block *blocks;
};

/* Where a script went wrong: line and sentence; parser and runner jump there. */
struct script_error {
	jmp_buf where;
	int line;
	char text[1024];
};

/* Format the sentence and jump to err->where. */
void script_fail(struct script_error *err, int line, const char *fmt, ...) __attribute__((noreturn, format(printf, 3, 4)));
/* Zeroed memory that lives as long as the script. */
void *script_alloc(struct script *s, size_t size);
/* Parse a file into *s (which the caller zeroed); jumps to err->where on any error. */
void script_parse(struct script *s, const char *path, struct script_error *err);
void script_free(struct script *s);

#endif
