/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace.c - the packets of a run; see trace.h.
 */
#include <string.h>

#include "tests/script/trace.h"

void trace_add(struct trace *t, usec_t at, bool inbound, const struct packet *p)
{
	t->entry[t->n++ % TRACE_MAX] = (struct trace_entry){.at = at, .inbound = inbound, .packet = *p};
}

void trace_print_entry(const struct trace_entry *e, char *buf, size_t size)
{
	int n = snprintf(buf, size, "%.6f %c ", (double)e->at / 1e6, e->inbound ? '<' : '>');

	packet_print(&e->packet, buf + n, size - (size_t)n);
}

void trace_print(const struct trace *t, char *buf, size_t size)
{
	unsigned first = t->n > TRACE_MAX ? t->n - TRACE_MAX : 0;
	char line[512];

	for (unsigned i = first; i < t->n; i++) {
		size_t used = strlen(buf);

		trace_print_entry(&t->entry[i % TRACE_MAX], line, sizeof(line));
		snprintf(buf + used, size - used, "    %s\n", line);
	}
}
