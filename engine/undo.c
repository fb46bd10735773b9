/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * undo.c - repair that was not needed: what shows it, and taking back what it did to the window.  Three witnesses: every segment
 * sent again is reported as a duplicate (RFC 2883, RFC 3708); the ACK echoes a timestamp from before the first retransmission
 * (Eifel, RFC 3522); or data that was sent once only is acknowledged after a timeout (F-RTO, RFC 5682).
 *
 * The answer is Linux's, not RFC 4015's to the letter: both windows are what they were, the round-trip estimate is left alone.
 */
#include "engine/tcp_input.h"

#define COUNTED_MAX 256

/*
 * Segments sent again that are still in flight.  No more than so many are counted one by one; the rest count as many as they can
 * be, which only means that duplicates will not undo the episode.
 */
static int count_retransmissions(const struct conn *c)
{
	uint32_t rest = c->retrans_out;
	int n = 0;

	for (struct rte_mbuf *m = c->repair->rtx_list.head; m && n < COUNTED_MAX; m = pkt(m)->list_next, n++)
		rest -= pkt(m)->len;
	return n + (int)rest;
}

void undo_begin(struct conn *c)
{
	c->undo_armed = true;
	c->repair->undo_marker = c->snd_una;
	c->repair->undo_retrans = count_retransmissions(c);
	if (!c->repair->undo_retrans) {
		c->repair->undo_retrans = -1;
		c->retrans_stamped = false;
	}
	if (cc_ops(c->cc.algo)->keep)
		cc_ops(c->cc.algo)->keep(&c->cc, &c->repair->prior_stage);
	c->repair->prior_cwnd = c->cc.cwnd;
	c->repair->prior_ssthresh = c->cc.ssthresh;
}

void undo_retransmitted(const struct engine *e, struct conn *c)
{
	if (!c->retrans_stamped) {
		c->retrans_stamped = true;
		c->repair->retrans_stamp = tcp_ts_now(e, c->ts_offset);
	}
	if (c->undo_armed)
		c->repair->undo_retrans = c->repair->undo_retrans < 0 ? 1 : c->repair->undo_retrans + 1;
}

void undo_duplicate(struct conn *c, const struct sack_block *b, uint32_t segs)
{
	if (!c->undo_armed || c->repair->undo_retrans <= 0 || seq_leq(b->end, c->repair->undo_marker))
		return;
	c->repair->undo_retrans = (uint32_t)c->repair->undo_retrans > segs ? c->repair->undo_retrans - (int)segs : 0;
}

/* RFC 3522 section 3, step 4. */
static bool original_echoed(const struct input *in)
{
	return in->c->retrans_stamped && tcp_echoes_before(in, in->c->repair->retrans_stamp);
}

static bool all_duplicates(const struct conn *c)
{
	return c->undo_armed && !c->repair->undo_retrans;
}

static bool may_undo(const struct input *in)
{
	return all_duplicates(in->c) || (in->c->undo_armed && original_echoed(in));
}

/* Nothing was lost: what is LOST and waits is in the network. */
static void unmark(struct conn *c)
{
	struct rte_mbuf *m;

	while ((m = c->repair->lost_list.head))
		recovery_unmark_lost(c, m);
}

static void restore(struct conn *c)
{
	const struct cc_ops *ops = cc_ops(c->cc.algo);

	if (c->cc.cwnd < c->repair->prior_cwnd)
		c->cc.cwnd = c->repair->prior_cwnd;
	if (c->cc.ssthresh < c->repair->prior_ssthresh)
		c->cc.ssthresh = c->repair->prior_ssthresh;
	if (ops->undo)
		ops->undo(&c->cc, &c->repair->prior_stage);
	c->undo_armed = false;
}

bool undo_recovery(struct input *in)
{
	struct conn *c = in->c;

	if (!may_undo(in))
		return false;
	if (c->ca_state == CA_LOSS)
		in->e->stats.loss_undo++;
	else
		in->e->stats.full_undo++;
	restore(c);
	return true;
}

/* A partial ACK of the delayed original: the hole was reordering.  Retransmissions still out may be duplicates: wait for them. */
bool undo_partial(struct input *in, seq_t una)
{
	struct conn *c = in->c;

	if (!c->undo_armed || !original_echoed(in))
		return false;
	if (c->sack_ok && seq_gt(in->fack, una))
		rack_reordering(in->e, c, in->fack - una);
	if (c->retrans_out)
		return false;
	unmark(c);
	restore(c);
	in->e->stats.partial_undo++;
	return true;
}

bool undo_by_dsack(struct input *in)
{
	struct conn *c = in->c;

	if (!all_duplicates(c))
		return false;
	restore(c);
	in->e->stats.dsack_undo++;
	return true;
}

/* frto: RFC 5682 has found the timeout to be spurious. */
bool undo_loss(struct input *in, bool frto)
{
	struct conn *c = in->c;

	if (!c->undo_armed || (!frto && !may_undo(in)))
		return false;
	unmark(c);
	restore(c);
	in->e->stats.loss_undo++;
	in->e->stats.spurious_rtos += frto;
	return true;
}
