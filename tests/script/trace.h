/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace.h - the packets of a run, kept to be printed if it fails.
 */
#ifndef TRACE_H
#define TRACE_H

#include "tests/script/script.h"

#define TRACE_MAX 512

struct trace_entry {
	usec_t at; /* since the script began */
	bool inbound;
	struct packet packet;
};

/* The last TRACE_MAX packets in the script's numbers. */
struct trace {
	unsigned n;
	struct trace_entry entry[TRACE_MAX];
};

void trace_add(struct trace *t, usec_t at, bool inbound, const struct packet *p);
/* Print one entry without a line end. */
void trace_print_entry(const struct trace_entry *e, char *buf, size_t size);
/* Append all entries, one a line, oldest first, to the string in buf. */
void trace_print(const struct trace *t, char *buf, size_t size);

#endif
