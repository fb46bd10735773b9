/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * record.h - one connection of a world written down as a packet script (tests/script), seen from one of its ends: what arrived
 * there, what it sent and what its application did, to be cut down to a regression test.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdio.h>

#include "engine/engine.h"

struct packet;
struct world;
struct session;

struct record {
	FILE *out;
	unsigned session, who; /* whose end */
	uint32_t isn[2];       /* of the end itself, of its peer */
	bool isn_known[2];
};

/* Write what a script begins with: the settings that differ from the defaults, and what kind of script it is. */
void record_begin(struct world *w);
/* A packet leaves a host or arrives there: a line if it belongs to the connection. */
void record_packet(struct world *w, unsigned host, bool out, const struct packet *p);
/* The application at this end called something. */
void record_call(struct world *w, const struct session *s, unsigned who, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
