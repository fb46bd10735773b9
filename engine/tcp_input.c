/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_input.c - SEGMENT ARRIVES, RFC 9293 section 3.10.7: one function per step, in the order of the RFC.  Input never transmits
 * (a reset for a segment without a connection excepted): it marks, and tcp_output sends when the whole burst has been taken in.
 *
 * Each step returns true to go on with the next, false when the segment is done with.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "engine/csum.h"
#include "engine/stack.h"
#include "engine/fastopen.h"

#define PROTO_TCP 6

/* ---- the answer to what is not acceptable ---- */

/* RFC 5961 section 7 and Linux's tcp_invalid_ratelimit: answers to segments without data are rationed per connection. */
bool input_answer_allowed(struct input *in)
{
	struct conn *c = in->c;
	uint32_t now_ms = (uint32_t)(in->e->now / 1000), last_ms = conn_extra(c)->last_oow_ack_ms;

	if (in->seg.len && !(in->seg.flags & TH_SYN))
		return true;
	if (last_ms && now_ms - last_ms < in->e->cfg.tcp.invalid_ratelimit) {
		in->e->stats.ack_skipped++;
		return false;
	}
	extra_of(in->e, c)->last_oow_ack_ms = now_ms ? now_ms : 1;
	return true;
}

/* <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, at the next output. */
void input_ack_now(struct input *in)
{
	in->c->ack_now = true;
	tcp_want_output(in->e, in->c);
}

/*
 * RFC 5961 section 7: the host-wide ration of challenge ACKs, tcp_challenge_ack_limit per second give or take a random half: who
 * counts the answers of his own connection must not learn how many another one got (CVE-2016-5696).
 */
static bool challenge_rationed(struct engine *e)
{
	uint32_t limit = e->cfg.tcp.challenge_ack_limit, half = (limit + 1) / 2;

	if (limit == INT32_MAX)
		return true;
	if (e->now - e->challenge_second >= 1000000) {
		e->challenge_second = e->now;
		e->challenges_left = limit ? half + engine_random(e) % limit : 0;
	}
	if (!e->challenges_left)
		return false;
	e->challenges_left--;
	return true;
}

/* At most as often as the ration, and the connection's own limit, allow. */
void input_challenge_ack(struct input *in)
{
	struct engine *e = in->e;

	if (!input_answer_allowed(in))
		return;
	if (!challenge_rationed(e))
		return;
	e->stats.challenge_acks++;
	input_ack_now(in);
}

/* ---- 3.10.7.4 step 1: sequence number, with PAWS (RFC 7323 5.3) ahead of it ---- */

#define PAWS_MAX_AGE_US (24ull * 24 * 3600 * 1000000)

/*
 * A segment without timestamps is let pass where they were negotiated: RFC 7323 3.2 says SHOULD drop, Linux does not, and a
 * middlebox that strips the option would stall the connection.
 */
static bool paws_rejects(const struct input *in)
{
	const struct conn *c = in->c;

	return c->ts_ok && (in->seg.opts & OPT_TS) && (int32_t)(in->seg.tsval - c->ts_recent) < 0 &&
	       in->e->now - c->ts_recent_at < PAWS_MAX_AGE_US;
}

/* A duplicate of what was taken already: tell the sender which (RFC 2883 section 4). */
static void note_duplicate(struct input *in)
{
	struct conn *c = in->c;

	if (in->seg.len && seq_lt(in->seg.seq, c->rcv_nxt))
		reasm_duplicate(in->e, c, in->seg.seq, seq_min(in->seg.seq + in->seg.len, c->rcv_nxt));
}

static bool not_acceptable(struct input *in)
{
	if (in->seg.flags & TH_RST)
		return false;
	if (in->seg.flags & TH_SYN) {
		in->e->stats.syn_challenge++;
		input_challenge_ack(in);
		return false;
	}
	if (input_answer_allowed(in)) {
		note_duplicate(in);
		input_ack_now(in);
	}
	return false;
}

/*
 * The window of RFC 9293 3.4 with two of Linux's extensions: what lies between the last ACK sent and rcv_nxt is old but its ACK
 * field still counts, and so does a segment that begins exactly at the right edge (a probe of our closed window).
 */
static bool check_seq(struct input *in)
{
	struct conn *c = in->c;
	seq_t end = in->seg.seq + seg_len(&in->seg);

	if (paws_rejects(in) && !(in->seg.flags & TH_RST)) {
		in->e->stats.paws_estab++;
		return not_acceptable(in);
	}
	if (seq_lt(end, c->rcv_wup) || seq_gt(in->seg.seq, c->rcv_adv)) {
		in->e->stats.out_of_window++;
		return not_acceptable(in);
	}
	return true;
}

/* ---- step 2: RST (RFC 5961 section 3.2) ---- */

static int reset_error(const struct conn *c)
{
	switch (c->state) {
	case SYN_SENT:
		return ECONNREFUSED;
	case CLOSE_WAIT:
		return EPIPE;
	default:
		return ECONNRESET;
	}
}

static bool check_rst(struct input *in)
{
	struct conn *c = in->c;
	bool was_fo_child = c->fo_child;

	if (!(in->seg.flags & TH_RST))
		return true;
	if (in->seg.seq != c->rcv_nxt) {
		input_challenge_ack(in);
		return false;
	}
	fastopen_settled(in->e, c, true);
	/* A passive open goes back to LISTEN: the child disappears (3.10.7.4); an active one was refused. */
	if (c->state == SYN_RECEIVED && !was_fo_child)
		conn_fail(in->e, c, ECONNREFUSED);
	else
		conn_fail(in->e, c, reset_error(c));
	return false;
}

/* ---- step 4: SYN (RFC 5961 section 4.2) ---- */

static bool check_syn(struct input *in)
{
	struct conn *c = in->c;

	if (!(in->seg.flags & TH_SYN))
		return true;
	/* The SYN again: our SYN,ACK was lost. */
	if (c->state == SYN_RECEIVED && in->seg.seq == c->irs) {
		if (in->seg.flags & TH_ACK)
			return true; /* simultaneous open: the peer's SYN,ACK acknowledges our SYN */
		if (input_answer_allowed(in)) {
			c->syn_due = true;
			tcp_want_output(in->e, c);
		}
		return false;
	}
	in->e->stats.syn_challenge++;
	input_challenge_ack(in);
	return false;
}

/* ---- step 5: ACK ---- */

/* RFC 5961 section 5.2 narrows what RFC 9293 accepts: SND.UNA - MAX.SND.WND =< SEG.ACK =< SND.NXT. */
static bool ack_plausible(struct input *in)
{
	struct conn *c = in->c;

	if (seq_gt(in->seg.ack, c->snd_nxt)) {
		in->e->stats.ack_unsent++;
		if (input_answer_allowed(in))
			input_ack_now(in);
		return false;
	}
	if (seq_lt(in->seg.ack, c->snd_una - c->snd_wnd_max)) {
		in->e->stats.ack_too_old++;
		input_challenge_ack(in);
		return false;
	}
	return true;
}

static bool check_ack(struct input *in)
{
	struct conn *c = in->c;

	if (!(in->seg.flags & TH_ACK))
		return false;
	if (c->state == SYN_RECEIVED || c->fo_child)
		return handshake_complete(in);
	return ack_plausible(in);
}

/* Our FIN is acknowledged: the sending half of the state machine moves. True: the connection goes on. */
static bool fin_acknowledged(struct input *in)
{
	struct conn *c = in->c;

	switch (c->state) {
	case FIN_WAIT_1:
		conn_set_state(in->e, c, FIN_WAIT_2);
		if (c->orphan)
			timer_life(in->e, c, in->e->now + fin_wait_2_time(in->e, c));
		return true;
	case CLOSING:
		conn_to_timewait(in->e, c);
		return false;
	case LAST_ACK:
		conn_closed(in->e, c);
		return false;
	default:
		return true;
	}
}

static bool process_ack(struct input *in)
{
	struct conn *c = in->c;
	bool fin_was_acked = c->fin_acked;

	input_process_ack(in);
	if (c->fin_acked && !fin_was_acked)
		return fin_acknowledged(in);
	return true;
}

/* ---- step 6: URG (RFC 6093: the pointer names the byte after the urgent one unless tcp_stdurg) ---- */

static void check_urg(struct input *in)
{
	struct conn *c = in->c;
	seq_t at = in->seg.seq + in->seg.up - !in->e->cfg.tcp.stdurg;

	if (!(in->seg.flags & TH_URG) || !in->seg.up || c->rcv_shutdown)
		return;
	/* Old news, or what the user has passed already. */
	if (seq_lt(at, c->copied_seq) || seq_lt(at, c->rcv_nxt) || (c->urg_valid && !seq_gt(at, conn_extra(c)->rcv_up)))
		return;
	extra_of(in->e, c)->rcv_up = at;
	c->urg_valid = true;
	c->urg_seen = c->urg_taken = false;
}

/* The urgent byte itself, if it is in this segment. */
static void take_urgent_byte(struct input *in)
{
	struct conn *c = in->c;
	uint32_t at;

	if (!c->urg_valid || c->urg_seen)
		return;
	at = conn_extra(c)->rcv_up - in->seg.seq;
	if (at >= in->seg.len)
		return;
	extra_of(in->e, c)->urg_byte = *rte_pktmbuf_mtod_offset(in->m, uint8_t *, in->seg.payload_off + at);
	c->urg_seen = true;
	ready_update(in->e, c, EPOLLPRI);
}

/* ---- step 7: segment text ---- */

#define MAY_RECEIVE (STATE_BIT(ESTABLISHED) | STATE_BIT(FIN_WAIT_1) | STATE_BIT(FIN_WAIT_2))

/* RFC 9293 3.10.4 with RFC 2525 2.17: data for a socket that its user has closed is answered by a reset. */
static bool refuse_data_after_close(struct input *in)
{
	struct conn *c = in->c;

	if (!c->orphan || !in->seg.len || !seq_gt(in->seg.seq + in->seg.len, c->rcv_nxt))
		return false;
	in->e->stats.abort_on_data++;
	tcp_send_rst_for(in->e, &in->seg);
	conn_closed(in->e, c);
	return true;
}

static bool process_text(struct input *in)
{
	struct conn *c = in->c;

	if (!in->seg.len || !(STATE_BIT(c->state) & MAY_RECEIVE))
		return true;
	if (refuse_data_after_close(in))
		return false;
	check_urg(in);
	take_urgent_byte(in);
	input_queue_text(in);
	return true;
}

/* ---- step 8: FIN ---- */

#define FIN_EDGES (EPOLLIN | EPOLLRDNORM | EPOLLRDHUP)

/* Only when all before it has arrived; one that came early within the window is remembered. */
static bool fin_in_order(struct input *in)
{
	struct conn *c = in->c;
	seq_t at = in->seg.seq + in->seg.len;

	if (c->fin_received) {
		if (in->seg.flags & TH_FIN)
			input_ack_now(in);
		return false;
	}
	if ((in->seg.flags & TH_FIN) && seq_geq(at, c->rcv_nxt) && seq_leq(at, c->rcv_adv)) {
		c->peer_fin_known = true;
		c->rcv_filled = false; /* shares the place */
		c->peer_fin = at;
		if (at != c->rcv_nxt)
			input_ack_now(in);
	}
	return c->peer_fin_known && c->peer_fin == c->rcv_nxt;
}

/*
 * Whose peer has ended will most likely end as well, and one segment tells both: as Linux's tcp_fin() makes such a connection an
 * interactive one.  Like there not if nothing had come before: then how long an ACK may be delayed is not known.
 */
static void acknowledge_passive_close(struct input *in)
{
	if (in->c->data_segs_in)
		in->c->pingpong = true;
	in->ack_due = true;
}

/* The end of the stream is reached. */
static bool take_fin(struct input *in)
{
	struct conn *c = in->c;

	c->fin_received = true;
	c->rcv_nxt++;
	/* What is said to lie behind the end of the data can't be (as Linux's tcp_fin(): dropped). */
	reasm_purge(in->e, c);
	repair_settle(in->e, c);
	c->rcv_shutdown = true;
	if (STATE_BIT(c->state) & (STATE_BIT(SYN_RECEIVED) | STATE_BIT(ESTABLISHED)))
		acknowledge_passive_close(in);
	else
		input_ack_now(in);
	switch (c->state) {
	case SYN_RECEIVED:
	case ESTABLISHED:
		conn_move(in->e, c, CLOSE_WAIT, FIN_EDGES);
		break;
	case FIN_WAIT_1:
		/* Had our FIN been acknowledged, process_ack() would have moved us to FIN-WAIT-2. */
		conn_move(in->e, c, CLOSING, FIN_EDGES);
		break;
	case FIN_WAIT_2:
		conn_to_timewait(in->e, c);
		return false;
	default:
		ready_update(in->e, c, FIN_EDGES);
		break;
	}
	return true;
}

static inline bool process_fin(struct input *in)
{
	if (!(in->seg.flags & TH_FIN) && !in->c->peer_fin_known)
		return true;
	return !fin_in_order(in) || take_fin(in);
}

/* RFC 7323 4.3: TS.Recent follows the segment that covers Last.ACK.sent; as on Linux not one whose own ACK is old. */
static void update_ts_recent(struct input *in)
{
	struct conn *c = in->c;

	if (!c->ts_ok || !(in->seg.opts & OPT_TS) || seq_gt(in->seg.seq, c->rcv_wup) || seq_lt(in->seg.ack, c->snd_una))
		return;
	if ((int32_t)(in->seg.tsval - c->ts_recent) < 0 && in->e->now - c->ts_recent_at < PAWS_MAX_AGE_US)
		return;
	c->ts_recent = in->seg.tsval;
	c->ts_recent_at = in->e->now;
}

/* "If there are other controls or text in the segment, then continue processing at the sixth step": they begin behind the SYN. */
void input_behind_syn(struct input *in)
{
	if (!(in->seg.flags & TH_SYN))
		return;
	in->seg.flags &= ~TH_SYN;
	in->seg.seq++;
}

/*
 * RFC 3042: what the first hints at a loss let out goes before the next ACK is looked at, which may have come together with them.
 * With the threshold reached in one go, a loss at the end of the flight would find the network empty: one segment would repair it
 * alone (RFC 9937 6.2), and with that lost too nothing but the timeout would tell.
 */
static void output_at_first_hint(struct input *in)
{
	if (in->c->ca_state == CA_DISORDER && list_linked(&in->c->out_link)) {
		list_del(&in->c->out_link);
		tcp_output(in->e, in->c, OUTPUT_TURN);
	}
}

/*
 * The segment that an undisturbed connection waits for (Van Jacobson's header prediction): the next in order, with no flags but
 * ACK and PSH, an ACK of what is in flight and a timestamp that is not old.  None of the checks would find anything.
 */
static inline bool is_expected(const struct input *in)
{
	const struct conn *c = in->c;
	const struct seg *s = &in->seg;

	return c->state == ESTABLISHED && !c->fo_child && (s->flags & ~TH_PSH) == TH_ACK && s->seq == c->rcv_nxt &&
	       seq_leq(s->seq, c->rcv_adv) && s->ack - c->snd_una <= conn_flight(c) && (int32_t)(s->tsval - c->ts_recent) >= 0;
}

static bool passes_checks(struct input *in)
{
	if (handshake_syn_again(in))
		return false;
	handshake_outdo_bare_syn(in);
	return check_seq(in) && check_rst(in) && check_syn(in) && check_ack(in);
}

/* The segment is taken: what has the connection to say to it, and may that wait? */
static void answer(struct input *in)
{
	struct conn *c = in->c;

	if (in->ack_due)
		input_schedule_ack(in);
	if (c->snd_new || c->lost_out || (c->fin_queued && !c->fin_sent))
		tcp_want_output(in->e, c);
	else if (c->ack_now)
		tcp_want_ack(in->e, c);
}

/* 3.10.7.4: all states but CLOSED, LISTEN and SYN-SENT. */
static void otherwise(struct input *in)
{
	if (!is_expected(in) && !passes_checks(in))
		return;
	update_ts_recent(in);
	in->c->last_rcv_at = in->e->now;
	if (!process_ack(in))
		return;
	input_behind_syn(in);
	if (!process_text(in) || !process_fin(in))
		return;
	answer(in);
	output_at_first_hint(in);
}

/* ---- 3.10.7.1 CLOSED ---- */

static void no_connection(struct engine *e, const struct seg *s)
{
	e->stats.no_socket++;
	if (!(s->flags & TH_RST))
		tcp_send_rst_for(e, s);
}

/* ---- entry ---- */

static bool csum_ok(const struct engine *e, struct rte_mbuf *m, const struct ipv4_fields *ip)
{
	uint64_t sum;

	if (e->cfg.caps & ENGINE_RX_CSUM) {
		uint64_t l4 = m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK;

		if (l4 == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
			return true;
		if (l4 == RTE_MBUF_F_RX_L4_CKSUM_BAD)
			return false;
	}
	sum = wire_pseudo_sum(&ip->saddr, &ip->daddr, PROTO_TCP, m->pkt_len);
	return csum_good(csum_plus(sum, csum_mbuf(m)));
}

/* Parse and verify; false: dropped and counted. */
static bool parse(struct engine *e, struct rte_mbuf *m, const struct ipv4_fields *ip, struct seg *s)
{
	enum wire_error err = wire_parse_tcp(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, m->pkt_len, &ip->saddr, &ip->daddr, s);

	e->stats.in_segs++;
	if (err != WIRE_OK && err != WIRE_BAD_OPTIONS) {
		e->stats.in_errs++;
		return false;
	}
	if (!csum_ok(e, m, ip)) {
		e->stats.in_csum_errors++;
		e->stats.in_errs++;
		return false;
	}
	s->tos = ip->tos;
	s->hash = flow_packet_hash(e, m, &s->t);
	return true;
}

void input_segment(struct input *in)
{
	in->c->segs_in++;
	if (in->c->state != SYN_SENT)
		otherwise(in);
	else if (handshake_syn_sent(in) && process_text(in) && process_fin(in))
		answer(in);
}

/* To the listener; nobody there: a reset. */
static void to_listener(struct input *in)
{
	in->c = listener_find(in->e, &in->seg.t, in->seg.hash);
	if (in->c)
		listener_segment(in);
	else
		no_connection(in->e, &in->seg);
}

/* To the connection or the TIME-WAIT entry; nobody has it here: to the stack that would. */
static void demultiplex(struct input *in, const struct ipv4_fields *ip)
{
	struct flow *f = flow_find(in->e, &in->seg.t, in->seg.hash);
	unsigned owner;

	if (f && f->kind == FLOW_CONN) {
		in->c = container_of(f, struct conn, f);
		input_segment(in);
		return;
	}
	if (f) {
		if (timewait_segment(in->e, container_of(f, struct timewait, f), &in->seg))
			to_listener(in);
		return;
	}
	owner = flow_owner(in->e, &in->seg.t, in->seg.hash);
	if (owner == in->e->cfg.stack || in->e->cfg.nstacks == 1) {
		to_listener(in);
		return;
	}
	ip_hand_over(in->e, in->m, ip, owner);
	in->m = NULL;
}

/* All but what parse() fills in, which is most of it. */
static void input_begin(struct input *in, struct engine *e, struct rte_mbuf *m, uint16_t ip_hdr_len)
{
	in->e = e;
	in->c = NULL;
	in->m = m;
	in->ip_hdr_len = ip_hdr_len;
	in->rate = (struct rate_sample){0};
	in->acked = NULL;
	in->fack = in->reordered_seq = 0;
	in->reordered = in->original_acked = in->tlp_duplicate = in->ack_due = false;
}

void tcp_input(struct engine *e, struct rte_mbuf *m, const struct ipv4_fields *ip)
{
	struct input in;

	input_begin(&in, e, m, ip->hdr_len);
	if (!parse(e, m, ip, &in.seg)) {
		rte_pktmbuf_free(m);
		return;
	}
	demultiplex(&in, ip);
	if (in.m && in.m->next)
		rte_pktmbuf_free(in.m);
	else if (in.m)
		engine_free(e, in.m);
}
