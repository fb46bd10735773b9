/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_output.c - what may be sent, and sending it: retransmissions first, then new data by congestion window, peer's window,
 * Nagle and silly window avoidance (RFC 9293 3.8.6.2.1, RFC 5681, RFC 896), then FIN, then a bare ACK if none of these carried
 * it.  Idempotent: run twice, the second run sends nothing.  Packets stay in the send queue with a second reference; a
 * retransmission reuses them.
 */
#include <string.h>

#include "engine/csum.h"
#include "engine/fastopen.h"
#include "engine/tcp_segment.h"

#define MAY_SEND \
	(STATE_BIT(ESTABLISHED) | STATE_BIT(CLOSE_WAIT) | STATE_BIT(FIN_WAIT_1) | STATE_BIT(CLOSING) | STATE_BIT(LAST_ACK))
#define PINGPONG_MS 40 /* an answer within the delayed-ACK time makes a flow interactive */

void tcp_want_output(struct engine *e, struct conn *c)
{
	if (list_linked(&c->out_link)) {
		if (!c->ack_waits)
			return;
		list_del(&c->out_link);
	}
	c->ack_waits = false;
	list_add_tail(&e->out, &c->out_link);
}

void tcp_want_ack(struct engine *e, struct conn *c)
{
	if (list_linked(&c->out_link))
		return;
	c->ack_waits = true;
	list_add_tail(&e->acks, &c->out_link);
}

/* An ACK went out. One that was to carry SACK blocks and could not still owes them. */
static void ack_sent(struct engine *e, struct conn *c, bool sack_owed)
{
	c->rcv_wup = c->rcv_nxt;
	c->ack_pending = false;
	if (!sack_owed)
		c->ack_now = false;
	timer_ack_sent(e, c);
}

/* A segment without payload; false: no memory. */
static bool send_bare(struct engine *e, struct conn *c, seq_t seq, uint8_t flags)
{
	struct rte_mbuf *m = engine_mbuf(e);

	if (!m)
		return false;
	c->segs_out++;
	e->stats.out_segs++;
	tcp_segment(e, c, m, &(struct outgoing){.seq = seq, .flags = flags, .room = TCP_OPT_MAX});
	ack_sent(e, c, false);
	return true;
}

void tcp_send_ack(struct engine *e, struct conn *c)
{
	send_bare(e, c, c->snd_nxt, 0);
}

/* An old sequence number: whoever hears it must answer with an ACK, as out of window (RFC 9293 3.8.4, 3.8.6.1; as Linux). */
void tcp_send_probe(struct engine *e, struct conn *c, bool keepalive)
{
	if (keepalive)
		e->stats.keepalives++;
	else
		e->stats.window_probes++;
	send_bare(e, c, c->snd_una - 1, 0);
}

/* ---- without a control block ---- */

void tcp_send_control(struct engine *e, const struct tuple *t, struct tcp_fields *f, uint16_t *neigh)
{
	struct rte_mbuf *m = engine_mbuf(e);
	struct path p = {.t = t, .ttl = e->cfg.tcp.ip_default_ttl, .neigh = neigh};

	if (!m)
		return;
	f->sport = t->lport;
	f->dport = t->rport;
	e->stats.out_segs++;
	if (f->flags & TH_RST)
		e->stats.out_rsts++;
	tcp_emit(e, m, f, &p, 0);
}

/* RFC 9293 3.10.7.1. */
void tcp_send_rst_for(struct engine *e, const struct seg *s)
{
	struct tcp_fields f = {.flags = TH_RST};

	if (s->flags & TH_RST)
		return;
	if (s->flags & TH_ACK) {
		f.seq = s->ack;
	} else {
		f.flags |= TH_ACK;
		f.ack = s->seq + seg_len(s);
	}
	tcp_send_control(e, &s->t, &f, NULL);
}

void tcp_send_rst(struct engine *e, struct conn *c)
{
	struct tcp_fields f = {.flags = TH_RST | TH_ACK, .seq = c->snd_nxt, .ack = c->rcv_nxt};

	tcp_send_control(e, &c->f.t, &f, &c->neigh);
}

void tcp_send_rst_to(struct engine *e, const struct tuple *t, seq_t seq, seq_t ack)
{
	struct tcp_fields f = {.flags = TH_RST | TH_ACK, .seq = seq, .ack = ack};

	tcp_send_control(e, t, &f, NULL);
}

void tcp_send_timewait_ack(struct engine *e, struct timewait *tw)
{
	struct tcp_fields f = {.flags = TH_ACK, .seq = tw->snd_nxt, .ack = tw->rcv_nxt, .wnd = tw->rcv_wnd >> tw->rcv_wscale};

	if (tw->ts_ok)
		wire_opt_ts(&f, tcp_ts_now(e, tw->ts_offset), tw->ts_recent);
	tcp_send_control(e, &tw->f.t, &f, &tw->neigh);
}

/* ---- data ---- */

/*
 * A packet is too large for what may be sent: its second part becomes a packet of its own.  False: no memory; the last of the
 * pool is left for what is to be received, or no ACK would ever free any.
 */
static bool split(struct engine *e, struct conn *c, struct rte_mbuf *m, uint32_t at)
{
	struct rte_mbuf *rest = e->held < e->held_max + e->held_max / 8 ? engine_mbuf(e) : NULL;
	struct pkt *p = pkt(m), *r;

	if (!rest)
		return false;
	r = pkt(rest);
	*r = *p;
	r->off = rest->data_off;
	r->seq = p->seq + at;
	r->len = p->len - at;
	r->csum_valid = p->csum_valid = false;
	memcpy(pkt_data(rest), pkt_data(m) + at, r->len);
	p->len = at;
	p->flags &= ~PKT_PUSH;
	p->next = rest;
	if (c->sndq.tail == m)
		c->sndq.tail = rest;
	if (p->flags & PKT_LOST)
		recovery_split_lost(c, m, rest);
	e->held++;
	c->snd_queued += pkt_truesize(rest);
	return true;
}

/* Of a packet that is a segment; where the port takes the sum nobody asks. */
static uint16_t payload_sum(const struct engine *e, struct rte_mbuf *m)
{
	struct pkt *p = pkt(m);

	if (e->cfg.caps & ENGINE_TX_TCP_CSUM)
		return 0;
	if (!p->csum_valid) {
		p->csum = csum_partial(pkt_data(m), p->len);
		p->csum_valid = true;
	}
	return p->csum;
}

/*
 * The packet as an mbuf that may be given away: itself with one more reference, or a copy while the driver still holds an earlier
 * transmission of it, whose headers must not change under it.
 */
static struct rte_mbuf *borrow(struct engine *e, struct rte_mbuf *m)
{
	struct pkt *p = pkt(m);
	struct rte_mbuf *f = m;

	if (rte_mbuf_refcnt_read(m) > 1) {
		f = engine_mbuf(e);
		if (!f)
			return NULL;
		memcpy(rte_pktmbuf_mtod(f, void *), pkt_data(m), p->len);
	} else {
		m->next = NULL;
		m->nb_segs = 1;
		m->ol_flags = 0;
		m->data_off = p->off;
		rte_mbuf_refcnt_update(m, 1);
	}
	f->data_len = f->pkt_len = p->len;
	return f;
}

static void note_sent(struct engine *e, struct conn *c, struct rte_mbuf *m, uint32_t in_flight)
{
	struct pkt *p = pkt(m);

	rate_sent(e, c, m, in_flight);
	p->sent_at = e->now;
	c->data_segs_out++;
	c->segs_out++;
	if (p->flags & PKT_SENT) {
		e->stats.retrans_segs++;
		extra_of(e, c)->total_retrans++;
		c->extra->bytes_retrans += p->len;
		c->retrans_seen = true;
	} else {
		e->stats.out_segs++;
		c->bytes_sent += p->len;
	}
	p->flags |= PKT_SENT;
}

/* The FIN rides on the last packet of the queue. */
static uint8_t data_flags(struct conn *c, struct rte_mbuf *last)
{
	uint8_t flags = pkt(last)->flags & PKT_PUSH ? TH_PSH : 0;

	if (c->fin_queued && last == c->sndq.tail)
		flags |= TH_FIN;
	return flags;
}

static void fin_sent(struct conn *c)
{
	if (!c->fin_sent)
		c->snd_nxt = c->snd_end + 1;
	c->fin_sent = true;
	c->fin_due = false;
}

/* Chain n packets behind the first for the port to cut up again. False: no memory. */
static bool chain_for_tso(struct engine *e, const struct conn *c, struct rte_mbuf *f, struct rte_mbuf *first, unsigned n)
{
	struct rte_mbuf *last = f, *m = first;

	f->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	f->tso_segsz = c->mss;

	for (unsigned i = 1; i < n; i++) {
		struct rte_mbuf *part;

		m = pkt(m)->next;
		part = borrow(e, m);
		if (!part)
			return false;
		last->next = part;
		last = part;
		f->nb_segs++;
		f->pkt_len += part->data_len;
	}
	return true;
}

/* Transmit n packets that follow each other in the queue as one frame; n > 1 needs TSO. */
static bool send_packets(struct engine *e, struct conn *c, struct rte_mbuf *m, unsigned n)
{
	struct rte_mbuf *f = borrow(e, m), *last = m;
	struct outgoing o = {.seq = pkt(m)->seq, .new_data = !(pkt(m)->flags & PKT_SENT)};
	uint32_t in_flight = recovery_pipe(c) + pkt(m)->len;

	if (!f || (n > 1 && !chain_for_tso(e, c, f, m, n))) {
		rte_pktmbuf_free(f);
		return false;
	}
	note_sent(e, c, m, in_flight);
	for (unsigned i = 1; i < n; i++) {
		last = pkt(last)->next;
		in_flight += pkt(last)->len;
		note_sent(e, c, last, in_flight);
	}
	o.flags = data_flags(c, last);
	if (n == 1) {
		o.room = pkt(m)->len >= c->mss ? 0 : c->mss - pkt(m)->len;
		o.payload_sum = payload_sum(e, m);
	}
	timer_data_sent(e, c);
	if (o.flags & TH_FIN)
		fin_sent(c);
	tcp_segment(e, c, f, &o);
	ack_sent(e, c, c->nofo_recent || c->dsack_pending);
	c->last_snd_at = e->now;
	if (c->paced)
		pace_sent(e, c, pkt_end(last) - pkt(m)->seq);
	return true;
}

/* ---- retransmission ---- */

static bool cwnd_allows(const struct conn *c, uint32_t len)
{
	return recovery_pipe(c) + len <= c->cc.cwnd;
}

/*
 * False: something that was lost waits.  Then no new data goes out (RFC 6675 NextSeg(), rule 1 before rule 2): small segments
 * would take every room that opens before there is enough for a large one.
 */
static bool output_lost(struct engine *e, struct conn *c, unsigned *turn)
{
	struct rte_mbuf *m;

	while (*turn && (m = recovery_next_lost(c))) {
		uint32_t len = pkt(m)->len < c->mss ? pkt(m)->len : c->mss;

		if (!c->fast_retransmit && !cwnd_allows(c, len) && recovery_pipe(c))
			return false;
		if (c->paced && !c->fast_retransmit && pace_blocks(e, c))
			return false;
		if (pkt(m)->len > c->mss) {
			c->probe_size = 0; /* it goes in parts: their arrival would prove nothing */
			if (!split(e, c, m, c->mss))
				return false;
		}
		if (!send_packets(e, c, m, 1))
			return false;
		if (c->ca_state == CA_LOSS)
			e->stats.slow_start_retrans++;
		else
			e->stats.fast_retrans++;
		if (m == c->sndq.head)
			timer_head_resent(e, c);
		recovery_retransmitted(e, c, m);
		c->fast_retransmit = false;
		--*turn;
	}
	return true;
}

/* ---- new data ---- */

/*
 * May a segment that is not full wait for more? Nagle as amended by Minshall: only if a small one is unacknowledged; TCP_CORK and
 * MSG_MORE always (RFC 896, RFC 9293 3.7.4).
 */
static bool small_must_wait(const struct conn *c, struct rte_mbuf *m)
{
	if (pkt(m)->len >= c->mss || pkt(m)->next || c->fin_queued || c->force_probe)
		return false;
	if (c->cork || c->more)
		return true;
	return !c->nodelay && seq_gt(c->snd_sml, c->snd_una);
}

static bool window_allows(const struct conn *c, struct rte_mbuf *m)
{
	return seq_leq(pkt_end(m), c->snd_una + c->snd_wnd);
}

/*
 * A window too small for the packet is filled if it is half of the largest that the peer ever offered, or when the persist timer
 * says so (RFC 9293 3.8.6.2.1, (3) and (4)). False: wait.
 */
static bool fit_to_window(struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	uint32_t room = c->snd_una + c->snd_wnd - pkt(m)->seq;

	if (window_allows(c, m))
		return true;
	if (seq_geq(pkt(m)->seq, c->snd_una + c->snd_wnd) || (room < c->snd_wnd_max / 2 && !c->force_probe))
		return false;
	return split(e, c, m, room);
}

/* How many packets from m on, all of them sendable, make one TSO frame. */
static unsigned tso_count(const struct engine *e, const struct conn *c, struct rte_mbuf *m)
{
	uint32_t len = pkt(m)->len, most = e->cfg.tso_max - 120;
	unsigned n = 1;

	if (c->paced && cc_quantum(pace_rate(e, c), c->mss) < most)
		most = cc_quantum(pace_rate(e, c), c->mss);

	if ((e->cfg.caps & (ENGINE_TX_TSO | ENGINE_TX_MULTI_SEG)) != (ENGINE_TX_TSO | ENGINE_TX_MULTI_SEG) ||
	    pkt(m)->len < c->mss || c->ecn_queue_cwr /* which is to be on one segment alone */)
		return 1;
	while (n < e->cfg.tso_parts && (m = pkt(m)->next) && len + pkt(m)->len <= most && window_allows(c, m) &&
	       cwnd_allows(c, len + pkt(m)->len) && pkt(m)->len <= c->mss && !small_must_wait(c, m)) {
		len += pkt(m)->len;
		n++;
	}
	return n;
}

static void sent_new(struct conn *c, struct rte_mbuf *m, unsigned n)
{
	while (n--) {
		if (pkt(m)->len < c->mss)
			c->snd_sml = pkt_end(m);
		if (c->repair)
			c->repair->prr_out += pkt(m)->len;
		if (seq_gt(pkt_end(m), c->snd_nxt))
			c->snd_nxt = pkt_end(m);
		m = pkt(m)->next;
	}
	c->snd_new = m;
}

static void output_new(struct engine *e, struct conn *c, unsigned *turn)
{
	struct rte_mbuf *m;

	c->rwnd_blocked = false;
	if (c->snd_new)
		idle_restart(e, c);
	while (*turn && (m = c->snd_new)) {
		unsigned n;
		bool probe;

		if (pkt(m)->len > c->mss && !split(e, c, m, c->mss))
			break;
		c->rwnd_blocked = !fit_to_window(e, c, m);
		if (c->rwnd_blocked || small_must_wait(c, m))
			break;
		/* A window is never less than a segment (RFC 5681 3.1), though segments have grown since it was set. */
		if ((!cwnd_allows(c, pkt(m)->len) && recovery_pipe(c)) || (c->paced && pace_blocks(e, c)))
			break;
		probe = mtu_probe_ready(e, c);
		n = probe ? 1 : tso_count(e, c, m);
		pkt_fetch_ahead(pkt(m)->next, -(int)RTE_CACHE_LINE_SIZE);
		if (!send_packets(e, c, m, n))
			break;
		if (probe)
			mtu_probe_sent(e, c, m);
		sent_new(c, m, n);
		c->force_probe = false;
		if (c->data_segs_in && (uint32_t)(e->now / 1000) - c->last_data_ms < PINGPONG_MS)
			c->pingpong = true;
		--*turn;
	}
}

/* ---- SYN and SYN,ACK ---- */

/* Fast Open: the first packet of the queue goes with the first SYN. */
static struct rte_mbuf *syn_data(struct conn *c)
{
	return c->fo_syn_data && !c->retransmits ? c->snd_new : NULL;
}

/* What an active open offers, and what a passive one agrees to. */
static void add_syn_options(struct engine *e, struct conn *c, struct tcp_fields *f)
{
	const struct tcp_settings *t = &e->cfg.tcp;
	bool passive = c->state != SYN_SENT;
	bool ts = passive ? c->ts_ok : t->timestamps, sack = passive ? c->sack_ok : t->sack,
	     ws = passive ? c->wscale_ok : t->window_scaling;
	struct fo_cookie fo = {.len = -1};

	wire_opt_syn(f, tcp_advertised_mss(e, c), sack, ts, tcp_ts_now(e, c->ts_offset), passive ? c->ts_recent : 0,
		     ws ? c->rcv_wscale : -1);
	if (passive)
		fastopen_give(e, c, &fo);
	else
		fastopen_option(e, c, &fo);
	wire_opt_fastopen(f, &fo);
}

static void send_syn(struct engine *e, struct conn *c)
{
	struct tcp_fields f = {.sport = c->f.t.lport, .dport = c->f.t.rport, .seq = c->iss, .flags = TH_SYN};
	struct rte_mbuf *data = syn_data(c), *m = data ? borrow(e, data) : engine_mbuf(e);
	struct path p = tcp_path(c);

	timer_data_sent(e, c);
	timer_all_sent(e, c);
	if (!m) {
		c->fo_syn_data = false; /* it goes when the connection is there */
		return;			/* the timer tries again */
	}
	f.wnd = tcp_syn_window(e, c);
	if (c->state != SYN_SENT) {
		f.flags |= TH_ACK;
		f.ack = c->rcv_nxt;
		c->rcv_adv = seq_max(c->rcv_adv, c->rcv_nxt + f.wnd);
		ack_sent(e, c, false);
	}
	add_syn_options(e, c, &f);
	f.flags |= ecn_syn_flags(e, c);
	p.tos |= ecn_syn_codepoint(c, f.flags);
	c->syn_due = false;
	c->neigh = ip_equal(&e->syn_to, &c->f.t.raddr) ? e->syn_neigh : NEIGH_NONE;
	c->last_snd_at = e->now;
	if (data) {
		note_sent(e, c, data, pkt(data)->len);
		sent_new(c, data, 1);
	} else {
		c->segs_out++;
		e->stats.out_segs++;
	}
	tcp_emit(e, m, &f, &p, data ? payload_sum(e, data) : 0);
	e->syn_to = c->f.t.raddr;
	e->syn_neigh = c->neigh;
}

/* ---- tail loss probe ---- */

/* False: nothing to send again, or no memory. */
static bool probe_again(struct engine *e, struct conn *c)
{
	struct rte_mbuf *m = tlp_last_sent(c);

	if (!m) {
		c->fin_due = c->fin_sent && !c->fin_acked;
		return c->fin_due;
	}
	if (pkt(m)->len > c->mss || !send_packets(e, c, m, 1))
		return false;
	recovery_retransmitted(e, c, m);
	return true;
}

/* RFC 8985 7.3: a new segment if the peer's window takes it, whatever cwnd says, or the last one again. */
static void output_probe(struct engine *e, struct conn *c)
{
	struct rte_mbuf *m = c->snd_new;

	if (!c->probe_due)
		return;
	c->probe_due = false;
	/* What came between the timer and now may have answered it: a SACKed packet in particular is not to go again. */
	if (!tlp_wanted(e, c) || !repair_begin(e, c))
		return;
	if (m && (pkt(m)->len <= c->mss || split(e, c, m, c->mss)) && window_allows(c, m)) {
		if (!send_packets(e, c, m, 1))
			return;
		sent_new(c, m, 1);
		tlp_sent(e, c, false);
	} else if (probe_again(e, c)) {
		tlp_sent(e, c, true);
	}
}

/* ---- a timeout without a scoreboard (repair.c) ---- */

static void output_head(struct engine *e, struct conn *c)
{
	struct rte_mbuf *m = c->sndq.head;

	if (!c->head_due)
		return;
	c->head_due = false;
	if (!m || m == c->snd_new || c->lost_out || (pkt(m)->len > c->mss && !split(e, c, m, c->mss)) ||
	    !send_packets(e, c, m, 1))
		return;
	pkt(m)->flags |= PKT_EVER_RETRANS;
}

/* ---- all of it ---- */

static void output_fin(struct engine *e, struct conn *c)
{
	bool first = c->fin_queued && !c->fin_sent && !c->snd_new;

	if (!first && !c->fin_due)
		return;
	/* Lost together with data: it rides on the last packet again. */
	if (c->fin_due && c->sndq.tail && (pkt(c->sndq.tail)->flags & PKT_LOST))
		return;
	if (!send_bare(e, c, c->snd_end, TH_FIN))
		return;
	if (c->fin_due)
		e->stats.retrans_segs++;
	timer_data_sent(e, c);
	fin_sent(c);
	c->last_snd_at = e->now;
}

/* Data or a FIN waits, nothing is in flight: no ACK will come to set it going again, nor the time to send the next quantum. */
static bool stalled(const struct conn *c)
{
	return (c->snd_new || (c->fin_queued && !c->fin_sent)) && !conn_flight(c) && !c->deadline[TIMER_PACE];
}

/* No more frames in a turn than make tcp_limit_output_bytes, but one. */
static unsigned limit_turn(const struct engine *e, const struct conn *c, unsigned turn)
{
	uint64_t frame = e->cfg.caps & ENGINE_TX_TSO ? e->cfg.tso_max : c->mss, limit = e->cfg.tcp.limit_output_bytes;

	if (turn * frame <= limit)
		return turn;
	return limit > frame ? limit / frame : 1;
}

/* Neither has it anything to send nor waits for an ACK, and rate.c knows: nothing but ACKs can leave. */
static bool merely_receives(const struct conn *c)
{
	return !c->snd_new && !conn_flight(c) && c->app_limited && !(c->fin_queued && !c->fin_sent);
}

/* At most turn segments; false: more may be sent, in another turn. */
static bool output_stream(struct engine *e, struct conn *c, unsigned turn)
{
	uint32_t rtx = c->deadline[TIMER_RTX];
	seq_t nxt = c->snd_nxt;

	turn = limit_turn(e, c, turn);
	output_head(e, c);
	output_probe(e, c);
	if (output_lost(e, c, &turn))
		output_new(e, c, &turn);
	output_fin(e, c);
	if (c->snd_nxt != nxt)
		timer_tail(e, c, true);
	if (c->deadline[TIMER_RTX] != rtx)
		timer_all_sent(e, c);
	/* The window is in full use: only then may it grow (RFC 7661, RFC 9438 5.8). */
	if (!cwnd_allows(c, c->mss))
		c->cwnd_limited_seq = c->snd_nxt;
	chrono_update(e, c);
	if (stalled(c))
		timer_window_closed(e, c);
	if (!c->snd_new && !c->lost_out) {
		rate_out_of_data(c);
		c->pace_waiting = false;
	}
	return turn;
}

void tcp_output(struct engine *e, struct conn *c, unsigned turn)
{
	uint32_t room = ring_room(&e->tx);
	bool all = true;

	if (room < 4) {
		tcp_want_output(e, c);
		return;
	}
	if (STATE_BIT(c->state) & SYNCHRONIZED)
		pmtu_sync(e, c);
	if (c->syn_due)
		send_syn(e, c);
	if (((STATE_BIT(c->state) & MAY_SEND) || c->fo_child) && !merely_receives(c))
		all = output_stream(e, c, turn > room - 3 ? room - 3 : turn);
	if (c->ack_now && (STATE_BIT(c->state) & SYNCHRONIZED))
		tcp_send_ack(e, c);
	if (c->repair)
		repair_settle(e, c);
	if (!all)
		tcp_want_output(e, c);
	/* What left may have made room for a writer who is to keep little waiting. */
	if (tcp_notsent_lowat(e, c) != UINT32_MAX)
		ready_update(e, c, 0);
}
