/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * repair.c - the part of a control block that only a connection has with which something is amiss (struct repair): taken when it
 * is first needed, given back when all is well again, so that an idle connection does not pay for it.
 *
 * There is one for every fourth control block, or, if that is less, for every packet: who needs one holds a packet, in flight or
 * behind a hole, or did so a moment ago.  When there is none, a connection does without as if the news had been lost on its way:
 * SACK blocks and duplicate ACKs are not followed up, what comes out of order is dropped, duplicates are not reported, no probe
 * is sent, and a timeout sends the first packet again and no more.  All of that TCP makes good; none of it is lost for good.
 */
#include <string.h>

#include "engine/tcp_input.h"

bool repair_begin(struct engine *e, struct conn *c)
{
	if (c->repair)
		return true;
	c->repair = slab_get(&e->repairs);
	if (!c->repair) {
		e->stats.repair_overflow++;
		return false;
	}
	memset(c->repair, 0, sizeof(*c->repair));
	return true;
}

void repair_end(struct engine *e, struct conn *c)
{
	c->tlp_out = c->probe_due = false;
	if (!c->repair)
		return;
	slab_put(&e->repairs, c->repair);
	c->repair = NULL;
	c->undo_armed = c->retrans_stamped = c->dsack_pending = false;
}

/*
 * A duplicate that would undo the last episode (RFC 2883) is reported before the segment that was sent last would have timed out,
 * or not at all.
 */
void repair_settle(struct engine *e, struct conn *c)
{
	usec_t until = c->last_snd_at + rtt_rto(c);

	if (!c->repair || !recovery_idle(c) || c->repair->ofoq.head || c->nofo_recent || c->dsack_pending)
		return;
	if (c->undo_armed && conn_flight(c))
		return;
	if (c->undo_armed && until > e->now)
		timer_repair(e, c, until);
	else
		repair_end(e, c);
}
