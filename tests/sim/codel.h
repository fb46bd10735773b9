/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * codel.h - the queue discipline of RFC 8289: packets that wait longer than a target for a whole interval are dropped, or marked,
 * at a rate that grows with the square root of their number.
 */
#ifndef CODEL_H
#define CODEL_H

#include "engine/engine.h"

struct codel {
	usec_t first_above; /* when the time in the queue will have been above target for an interval; 0: it is below */
	usec_t next;	    /* of the next drop */
	unsigned count, last_count;
	bool dropping;
};

/*
 * A packet that waited so long leaves a queue that still holds so many bytes: true if it is to be dropped or marked.  Asked again
 * for the packet behind one that was dropped.
 */
bool codel_judge(struct codel *q, usec_t sojourn, unsigned bytes, usec_t now);

#endif
