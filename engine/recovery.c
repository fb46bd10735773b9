/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * recovery.c - what is lost and when to send it again: the scoreboard, and the states of repair (RFC 5681, RFC 6675; RFC 6582
 * without SACK).  It joins the parts: sack.c (what the peer holds), rack.c and tlp.c (what is lost), prr.c (how fast to send
 * while the window is reduced), undo.c (repair that was not needed).  Knows nothing of how a window grows: that is cc's.
 *
 * Each packet in flight is in one of four conditions: sent once, SACKED, LOST and waiting to be sent again (on conn.lost_list),
 * or sent again (RETRANS, on conn.rtx_list). pipe = flight - sacked - lost.  Without SACK every duplicate ACK stands for one
 * segment that left the network.
 *
 * As on Linux, the loss of a retransmission in fast recovery does not reduce the window a second time (RFC 5681 4.3 has the
 * timeout in mind that it used to mean); after a timeout it does.
 */
#include "engine/tcp_input.h"

#define RENEGED_MIN_US 10000 /* Linux's least pause before reneging is believed */
#define LOST_STEPS_MAX 256   /* with tcp_recovery off: packets passed over per ACK */

/* ---- scoreboard ---- */

uint32_t recovery_pipe(const struct conn *c)
{
	uint32_t gone = c->sacked_out + c->lost_out, flight = conn_flight(c) - (c->fin_sent && !c->fin_acked);

	return flight > gone ? flight - gone : 0;
}

void recovery_forget(struct conn *c, struct rte_mbuf *m, uint32_t bytes)
{
	struct pkt *p = pkt(m);
	bool whole = bytes == p->len;

	if (p->flags & PKT_SACKED) {
		c->sacked_out -= bytes;
		c->repair->sacked_pkts -= whole;
	}
	if (p->flags & PKT_LOST) {
		c->lost_out -= bytes;
		if (whole)
			pkt_list_del(&c->repair->lost_list, m);
	}
	if (p->flags & PKT_RETRANS) {
		c->retrans_out -= bytes;
		if (whole)
			pkt_list_del(&c->repair->rtx_list, m);
	}
}

/* The lowest first: it holds up what the peer may read. */
void recovery_mark_lost(struct conn *c, struct rte_mbuf *m)
{
	struct pkt *p = pkt(m);
	bool lowest = !c->repair->lost_list.head || seq_lt(p->seq, pkt(c->repair->lost_list.head)->seq);

	if (p->flags & (PKT_LOST | PKT_SACKED))
		return;
	recovery_forget(c, m, p->len);
	p->flags = (p->flags & ~PKT_RETRANS) | PKT_LOST;
	c->lost_out += p->len;
	c->newly_lost = true;
	rate_lost(c, m);
	pkt_list_insert(&c->repair->lost_list, m, lowest ? NULL : c->repair->lost_list.tail);
}

static void put_to_rtx(struct conn *c, struct rte_mbuf *m)
{
	recovery_forget(c, m, pkt(m)->len);
	pkt(m)->flags = (pkt(m)->flags & ~PKT_LOST) | PKT_RETRANS;
	c->retrans_out += pkt(m)->len;
	pkt_list_insert(&c->repair->rtx_list, m, c->repair->rtx_list.tail);
}

void recovery_unmark_lost(struct conn *c, struct rte_mbuf *m)
{
	if (pkt(m)->flags & PKT_EVER_RETRANS) {
		put_to_rtx(c, m);
		return;
	}
	recovery_forget(c, m, pkt(m)->len);
	pkt(m)->flags &= ~PKT_LOST;
	c->repair->rack_passed = NULL;
}

struct rte_mbuf *recovery_next_lost(struct conn *c)
{
	return c->frto == FRTO_TRY_NEW || !c->repair ? NULL : c->repair->lost_list.head;
}

void recovery_split_lost(struct conn *c, struct rte_mbuf *m, struct rte_mbuf *rest)
{
	pkt_list_insert(&c->repair->lost_list, rest, m);
}

void recovery_retransmitted(struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	put_to_rtx(c, m);
	pkt(m)->flags |= PKT_EVER_RETRANS;
	c->repair->prr_out += pkt(m)->len;
	undo_retransmitted(e, c);
}

static void mark_head_lost(struct conn *c)
{
	struct rte_mbuf *m = c->sndq.head;

	if (m && m != c->snd_new && !(pkt(m)->flags & PKT_RETRANS))
		recovery_mark_lost(c, m);
}

/* RFC 6675 section 4, IsLost(), with tcp_recovery off: more than (DupThresh - 1) * SMSS bytes above it have been SACKed. */
static void mark_lost_by_sack(struct conn *c)
{
	uint32_t above = c->sacked_out, enough = (c->reordering - 1) * c->mss;
	unsigned steps = LOST_STEPS_MAX;

	for (struct rte_mbuf *m = c->sndq.head; m && m != c->snd_new && above > enough && steps; m = pkt(m)->next) {
		if (pkt(m)->flags & PKT_SACKED) {
			seq_t begin = pkt(m)->seq;

			m = sack_run_last(m, &steps);
			above -= pkt_end(m) - begin;
		} else if (!(pkt(m)->flags & (PKT_RETRANS | PKT_LOST))) {
			recovery_mark_lost(c, m);
		} else {
			steps--;
		}
	}
}

void recovery_forget_below(struct conn *c, seq_t ack)
{
	if (c->repair) {
		sack_forget_below(c, ack);
		if (c->repair->rack_passed && seq_lt(pkt(c->repair->rack_passed)->seq, ack))
			c->repair->rack_passed = NULL;
	}
	if (seq_lt(c->high_sacked, ack))
		c->high_sacked = ack;
}

/* ---- without SACK: duplicate ACKs (RFC 5681 3.2, RFC 6582) ---- */

/* Each duplicate ACK is a segment that left the network; never more than what is outstanding behind the first hole. */
static void count_reno_dupack(struct conn *c)
{
	uint32_t flight = conn_flight(c), most;

	most = flight > c->mss + c->lost_out ? flight - c->mss - c->lost_out : 0;
	c->sacked_out += c->mss;
	if (c->sacked_out > most)
		c->sacked_out = most;
}

static void uncount_reno(struct conn *c, uint32_t acked)
{
	uint32_t beyond = acked > c->mss ? acked - c->mss : 0;

	c->sacked_out = c->sacked_out > beyond ? c->sacked_out - beyond : 0;
}

static void forget_reno(struct conn *c)
{
	c->dupacks = 0;
	if (!c->sack_ok)
		c->sacked_out = 0;
}

/* Bytes that this ACK says have left the network (RFC 9937 5: one segment for a duplicate, taken off the ACK that covers them).
 */
static uint32_t reno_delivered(struct conn *c, const struct ack *a)
{
	uint32_t before = c->sacked_out, counted;

	if (a->acked) {
		if (c->ca_state == CA_RECOVERY)
			uncount_reno(c, a->acked);
		else
			forget_reno(c);
		counted = before - c->sacked_out;
		return a->acked > counted ? a->acked - counted : 0;
	}
	/* After a timeout only those that new data brings count. */
	if (!a->is_dup || (c->ca_state == CA_LOSS && seq_leq(c->snd_nxt, c->recovery_point)))
		return 0;
	count_reno_dupack(c);
	return c->sacked_out - before;
}

static void count_dupack(struct conn *c, const struct ack *a)
{
	if (a->acked && c->ca_state < CA_RECOVERY)
		c->dupacks = 0;
	if ((c->sack_ok ? a->sacked > 0 : a->is_dup) && c->dupacks < UINT8_MAX)
		c->dupacks++;
}

/* ---- states ---- */

void recovery_reset(struct conn *c)
{
	c->sacked_out = c->lost_out = c->retrans_out = 0;
	if (!c->repair)
		return;
	c->repair->sacked_pkts = 0;
	c->repair->lost_list = c->repair->rtx_list = (struct pkt_list){NULL, NULL};
	c->repair->rack_passed = NULL;
	sack_forget_all(c);
}

void recovery_init(const struct engine *e, struct conn *c)
{
	c->reordering = e->cfg.tcp.reordering;
	c->reo_wnd_mult = 1;
	c->high_sacked = c->recovery_point = c->iss;
}

/* RFC 5681 3.2 step 2, RFC 6675 section 5 (4). */
static void enter_recovery(struct engine *e, struct conn *c, uint32_t acked, uint32_t sacked)
{
	undo_begin(c);
	if (c->ca_state != CA_CWR) {
		c->cc.ssthresh = cc_ops(c->cc.algo)->on_loss(&c->cc, e->now);
		prr_begin(c, acked, sacked);
		if (c->tlp_out)
			prr_after_silence(c);
	}
	ecn_window_reduced(c);
	c->recovery_point = c->snd_nxt;
	c->ca_state = CA_RECOVERY;
	c->fast_retransmit = true;
	c->tlp_out = false;
	c->frto = FRTO_OFF;
	if (c->sack_ok)
		e->stats.sack_recovery++;
	else
		e->stats.reno_recovery++;
}

/* Something is lost, but not by congestion: it goes again, and the window stays (RFC 1191 6.5, RFC 4821 7.3). */
static void repair_only(struct conn *c)
{
	c->undo_armed = c->tlp_out = false;
	c->recovery_point = c->snd_nxt;
	c->ca_state = CA_LOSS;
	c->frto = FRTO_OFF;
	c->fast_retransmit = true;
}

/* Out of whatever it was: what is SACKed beyond the episode keeps it in disorder. */
static void open_up(struct conn *c)
{
	c->ca_state = CA_OPEN;
	c->frto = FRTO_OFF;
	c->fast_retransmit = false;
	forget_reno(c);
}

/* All that was outstanding when the episode began is acknowledged. */
static void leave_episode(struct input *in)
{
	struct conn *c = in->c;
	bool reducing = recovery_reducing(c) && !cc_sets_window(&c->cc);

	if (undo_recovery(in))
		reducing = false;
	else
		rack_recovered(c);
	if (reducing)
		c->cc.cwnd = c->cc.ssthresh;
	open_up(c);
}

/*
 * RFC 5682 3.1, and 2.1 without SACK.  Step 2: the retransmission is acknowledged, and not all that was outstanding: try new
 * data. Step 3: what was sent once arrives: the timeout was spurious; or a duplicate ACK comes: it was not.  Stricter than Linux,
 * which takes step 3's answer already in step 2, where an ACK may as well tell of a head that was lost in truth.
 */
static void find_spurious_timeout(struct input *in, const struct ack *a, bool done)
{
	struct conn *c = in->c;

	if (c->frto == FRTO_TRY_NEW) {
		if (in->original_acked && undo_loss(in, true))
			open_up(c);
		else if (a->sacked || a->is_dup)
			c->frto = FRTO_OFF;
	} else if (a->acked && !done && c->snd_new && seq_lt(c->snd_nxt, c->snd_una + c->snd_wnd)) {
		c->recovery_point = c->snd_nxt;
		c->frto = FRTO_TRY_NEW;
	} else if (a->acked || (a->is_dup && !c->sack_ok)) {
		c->frto = FRTO_OFF;
	}
}

static void on_ack_in_loss(struct input *in, const struct ack *a, bool done)
{
	struct conn *c = in->c;

	if (a->acked && undo_loss(in, false)) {
		if (c->sack_ok)
			open_up(c);
	} else if (c->frto) {
		find_spurious_timeout(in, a, done);
	}
	if (c->ca_state == CA_LOSS && done)
		leave_episode(in);
}

static void on_ack_in_recovery(struct input *in, const struct ack *a, bool done)
{
	struct conn *c = in->c;

	if (done)
		leave_episode(in);
	else if ((a->acked && undo_partial(in, c->snd_una - a->acked)) || undo_by_dsack(in))
		open_up(c);
}

/* What the ACK shows to be lost, by the detector in use. */
static void look_for_loss(struct engine *e, struct conn *c, const struct ack *a)
{
	bool partial = c->ca_state == CA_RECOVERY && a->acked;

	if (rack_on(e, c)) {
		rack_detect(e, c);
		return;
	}
	if (c->ca_state == CA_LOSS)
		return;
	if (c->sack_ok)
		mark_lost_by_sack(c);
	/* RFC 6582 3.2: a partial ACK names the next hole itself; and step 2: ACKs of what the last episode sent again are no
	 * sign. */
	if (partial || (c->dupacks >= c->reordering && (c->sack_ok || seq_gt(c->snd_una, c->recovery_point))))
		mark_head_lost(c);
	if (partial && c->lost_out)
		c->fast_retransmit = true;
}

/* The peer let go of what it had SACKed (RFC 2018 8), or its next ACK is on the way: wait a little, then believe the ACK. */
static void suspect_reneging(struct engine *e, struct conn *c)
{
	struct rte_mbuf *head = c->sndq.head;
	usec_t pause = c->srtt_us / 2 > RENEGED_MIN_US ? c->srtt_us / 2 : RENEGED_MIN_US;

	if (head && (pkt(head)->flags & PKT_SACKED))
		timer_reneged(e, c, pause);
}

static void next_state(struct engine *e, struct conn *c, const struct ack *a)
{
	bool again = c->ca_state == CA_LOSS && c->newly_lost_again;

	if (c->newly_lost && mtu_probe_lost(e, c))
		repair_only(c);
	else if (c->newly_lost && (c->ca_state < CA_RECOVERY || again))
		enter_recovery(e, c, a->acked, c->sack_ok ? a->sacked : c->mss);
	else if (c->ca_state <= CA_DISORDER)
		c->ca_state = c->sacked_out ? CA_DISORDER : CA_OPEN;
}

/* reducing: it was, before this ACK; the one that ends a reduction leaves the window at ssthresh (RFC 5681 3.2 step 6). */
static void adjust_window(struct conn *c, const struct ack *a, uint32_t delivered, bool reducing)
{
	if (cc_sets_window(&c->cc))
		return; /* it sets its window itself, in recovery too */
	if (recovery_reducing(c)) {
		if (delivered || c->newly_lost)
			prr_update(c, delivered, a->acked && !c->newly_lost);
	} else if (a->acked && !reducing) {
		cc_ops(c->cc.algo)->on_ack(&c->cc, a);
	}
}

/* ... nor does this ACK hint at anything. */
static bool all_is_well(const struct conn *c, const struct ack *a)
{
	return recovery_idle(c) && !a->is_dup && !a->dsack && !a->ece;
}

/* What is compared with numbers and times must be near, lest it come to lie ahead when they wrap. */
static void tidy(struct conn *c)
{
	if (seq_lt(c->recovery_point, c->snd_una))
		c->recovery_point = c->snd_una - 1;
	if (!conn_flight(c))
		c->rack_valid = false;
}

static void on_ack_in_doubt(struct input *in, struct ack *a)
{
	struct conn *c = in->c;
	bool done = a->acked && seq_geq(c->snd_una, c->recovery_point);
	bool reducing = recovery_reducing(c);
	uint32_t delivered;

	if (!repair_begin(in->e, c))
		return;
	rack_on_ack(in, a);
	tlp_on_ack(in, a);
	count_dupack(c, a);
	delivered = c->sack_ok ? a->delivered : reno_delivered(c, a);
	if (c->ca_state == CA_LOSS)
		on_ack_in_loss(in, a, done);
	else if (c->ca_state == CA_RECOVERY)
		on_ack_in_recovery(in, a, done);
	else if (c->ca_state == CA_CWR && seq_gt(c->snd_una, c->recovery_point))
		leave_episode(in); /* what lies beyond shows that CWR has arrived */
	else if (a->dsack)
		undo_by_dsack(in);
	if (a->ece && c->ca_state <= CA_DISORDER)
		ecn_enter_cwr(in->e, c, a);
	/* With nothing in flight there is nothing left to reduce step by step, and silence may follow. */
	if (c->ca_state == CA_CWR && !conn_flight(c)) {
		leave_episode(in);
		reducing = true;
	}
	look_for_loss(in->e, c, a);
	next_state(in->e, c, a);
	adjust_window(c, a, delivered, reducing);
	if (a->acked)
		suspect_reneging(in->e, c);
	/* The pipe shrank: limited transmit (RFC 3042), or the retransmission. */
	tcp_want_output(in->e, c);
}

void recovery_on_ack(struct input *in, struct ack *a)
{
	struct conn *c = in->c;

	c->newly_lost = c->newly_lost_again = false;
	tidy(c);
	if (!all_is_well(c, a)) {
		on_ack_in_doubt(in, a);
		return;
	}
	if (a->acked && !cc_sets_window(&c->cc))
		cc_ops(c->cc.algo)->on_ack(&c->cc, a);
	if (a->rtt)
		tlp_learn_ack_delay(c, a);
}

/* ---- timers ---- */

/* RFC 8985 6.2: the reordering window of a packet has passed. */
void recovery_on_reordering_timeout(struct engine *e, struct conn *c)
{
	c->newly_lost = c->newly_lost_again = false;
	if (!repair_begin(e, c))
		return;
	rack_detect(e, c);
	if (!c->newly_lost)
		return;
	if (mtu_probe_lost(e, c)) {
		repair_only(c);
	} else if (c->ca_state < CA_RECOVERY || (c->ca_state == CA_LOSS && c->newly_lost_again)) {
		enter_recovery(e, c, 0, 0);
		if (!cc_sets_window(&c->cc))
			prr_update(c, 0, false);
	}
	tcp_want_output(e, c);
}

/* RFC 2018 8: a receiver that discards what it SACKed leaves the head SACKed but not acknowledged: nothing it said counts. */
static void forget_sacks(struct engine *e, struct conn *c)
{
	e->stats.sack_reneging++;
	for (struct rte_mbuf *m = c->sndq.head; m && m != c->snd_new; m = pkt(m)->next)
		pkt(m)->flags &= ~PKT_SACKED;
	c->sacked_out = c->repair->sacked_pkts = 0;
	sack_forget_all(c);
	c->repair->rack_passed = NULL;
}

/* RFC 8985 6.3: the first, and all whose time has passed by RACK's measure; what was sent just now is not lost yet. */
static void mark_lost_by_timeout(struct engine *e, struct conn *c)
{
	struct rte_mbuf *head = c->sndq.head;
	bool reneged = head && head != c->snd_new && (pkt(head)->flags & PKT_SACKED);

	if (reneged)
		forget_sacks(e, c);
	c->repair->lost_list = (struct pkt_list){NULL, NULL}; /* made anew, in sequence */
	for (struct rte_mbuf *m = head; m && m != c->snd_new; m = pkt(m)->next)
		if (pkt(m)->flags & PKT_LOST)
			pkt_list_insert(&c->repair->lost_list, m, c->repair->lost_list.tail);
		else if (m == head || reneged || !rack_on(e, c) || !c->rack_valid || rack_timed_out(e, c, m))
			recovery_mark_lost(c, m);
}

static void count_failure(struct engine *e, const struct conn *c)
{
	if (c->retransmits)
		return;
	if (c->ca_state == CA_LOSS)
		e->stats.loss_failures++;
	else if (c->ca_state == CA_RECOVERY && c->sack_ok)
		e->stats.sack_recovery_fail++;
	else if (c->ca_state == CA_RECOVERY)
		e->stats.reno_recovery_fail++;
}

/* RFC 5681 3.1 (4) without a scoreboard: what follows the first is sent again by its own timeout, or with the next episode. */
static void resend_head(struct engine *e, struct conn *c)
{
	if (!c->retransmits)
		c->cc.ssthresh = cc_ops(c->cc.algo)->on_loss(&c->cc, e->now);
	cc_ops(c->cc.algo)->on_timeout(&c->cc, e->now);
	ecn_window_reduced(c);
	c->cc.cwnd = c->mss;
	c->head_due = true;
}

/* RFC 5681 3.1 (4), RFC 6298 5.4-5.6, RFC 5682 step 1.  A timeout amid fast recovery is the same loss event, as on Linux. */
void recovery_on_timeout(struct engine *e, struct conn *c)
{
	bool fresh = c->ca_state < CA_RECOVERY, first = !c->retransmits;

	if (c->fin_sent && !c->fin_acked)
		c->fin_due = true;
	if (!repair_begin(e, c)) {
		resend_head(e, c);
		return;
	}
	count_failure(e, c);
	if (c->ca_state <= CA_DISORDER || seq_geq(c->snd_una, c->recovery_point) || (c->ca_state == CA_LOSS && first)) {
		undo_begin(c);
		c->cc.ssthresh = cc_ops(c->cc.algo)->on_loss(&c->cc, e->now);
	}
	cc_ops(c->cc.algo)->on_timeout(&c->cc, e->now);
	ecn_window_reduced(c);
	c->recovery_point = c->snd_nxt;
	forget_reno(c);
	mark_lost_by_timeout(e, c);
	c->ca_state = CA_LOSS;
	c->cc.cwnd = recovery_pipe(c) + c->mss;
	c->fast_retransmit = c->tlp_out = c->probe_due = false;
	c->frto = e->cfg.tcp.frto && (fresh || !first) ? FRTO_HEAD_SENT : FRTO_OFF;
}

/* RFC 7413 4.2.1: the SYN,ACK left the SYN's data out. */
void recovery_syn_data_refused(struct engine *e, struct conn *c)
{
	if (repair_begin(e, c)) {
		recovery_mark_lost(c, c->sndq.head);
		c->fast_retransmit = true;
	} else {
		c->head_due = true;
	}
	tcp_want_output(e, c);
}

/* RFC 1191 6.5: what was too large for the path is lost and goes again in smaller pieces. */
void recovery_mtu_lowered(struct engine *e, struct conn *c)
{
	if (!repair_begin(e, c))
		return;
	for (struct rte_mbuf *m = c->sndq.head; m && m != c->snd_new; m = pkt(m)->next)
		if (pkt(m)->len > c->mss)
			recovery_mark_lost(c, m);
	if (!c->lost_out) {
		repair_settle(e, c);
		return;
	}
	repair_only(c);
	tcp_want_output(e, c);
}
