/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * codel.c - RFC 8289 section 5; see codel.h.
 */
#include <math.h>

#include "tests/sim/codel.h"

/* RFC 8289 4.3, 4.4. */
#define TARGET_US 5000
#define INTERVAL_US 100000
#define MAXPACKET 1514

static usec_t control_law(usec_t from, unsigned count)
{
	return from + (usec_t)(INTERVAL_US / sqrt(count));
}

/* RFC 8289 5.5: above target for a whole interval, and more than one packet in the queue. */
static bool above_target(struct codel *q, usec_t sojourn, unsigned bytes, usec_t now)
{
	if (sojourn < TARGET_US || bytes <= MAXPACKET) {
		q->first_above = 0;
		return false;
	}
	if (!q->first_above) {
		q->first_above = now + INTERVAL_US;
		return false;
	}
	return now >= q->first_above;
}

/* RFC 8289 5.4: where a former dropping state ended not long ago, its rate is the one to begin with. */
static void begin_dropping(struct codel *q, usec_t now)
{
	unsigned delta = q->count - q->last_count;

	q->dropping = true;
	q->count = delta > 1 && now - q->next < 16 * INTERVAL_US ? delta : 1;
	q->last_count = q->count;
	q->next = control_law(now, q->count);
}

bool codel_judge(struct codel *q, usec_t sojourn, unsigned bytes, usec_t now)
{
	bool above = above_target(q, sojourn, bytes, now);

	if (!q->dropping) {
		if (above)
			begin_dropping(q, now);
		return above;
	}
	q->dropping = above;
	if (!above || now < q->next)
		return false;
	q->count++;
	q->next = control_law(q->next, q->count);
	return true;
}
