/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peer.c - the other end, as far as it goes by the book: it learns from what the engine sends, and brings it into any state of
 * RFC 9293 3.3.2 and into what else changes how a segment is taken (loss recovery, a closed window, a full buffer).
 */
#include <errno.h>
#include <string.h>

#include <rte_byteorder.h>

#include "tests/fuzz/world.h"

#define WINDOW 0xffff
/* A new connection's numbers are far from those of the one before. */
#define ISN_STEP 0x01234567

static bool after(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) > 0;
}

static const struct tcp_opt *option(const struct tcp_part *t, uint16_t kind)
{
	for (unsigned i = 0; i < t->nopts; i++)
		if (t->opt[i].kind == kind)
			return &t->opt[i];
	return NULL;
}

/* ---- what the engine says ---- */

static void learn_syn(struct world *w, struct flow_view *f, const struct packet *p)
{
	const struct tcp_opt *ws = option(&p->tcp, OPT_WSCALE);
	bool known = f->answered && f->our_port == p->src_port && f->irs == p->tcp.seq;

	if (known)
		return;
	if (p->tcp.flags & FLAG_ACK) {
		/* Numbers that can't be told from those of a connection that was seen to end. */
		f->lawless |= f->answered;
	} else {
		f->isn += ISN_STEP;
		f->snd_nxt = f->isn;
	}
	f->our_port = p->src_port;
	f->answered = true;
	f->spoken = false;
	f->irs = f->una = p->tcp.seq;
	f->rcv_nxt = f->irs + 1;
	f->acked = f->edge = f->isn;
	f->shift = ws && w->temper.wscale ? ws->a : 0;
	f->engine_ts = option(&p->tcp, OPT_TS);
}

static void learn_ack(struct flow_view *f, const struct tcp_part *t)
{
	uint32_t edge = t->ack + ((uint32_t)t->win << (t->flags & FLAG_SYN ? 0 : f->shift));

	if (after(t->ack, f->acked))
		f->acked = t->ack;
	if (after(edge, f->edge))
		f->edge = edge;
}

static void check_payload(const struct tcp_part *t, const uint8_t *payload)
{
	for (uint32_t i = 0; i < t->len; i++)
		if (payload[i] != packet_pattern((uint32_t)(t->seq + i)))
			world_fault("the engine sent a wrong byte at sequence number %u", t->seq + i);
}

/*
 * A SYN cookie may begin a connection anew that was aborted, if its reset was lost or never sent for want of a packet: with other
 * windows and acknowledgments than the first.  Which of those that were begun it is can't be seen.
 */
static void learn_cookies(struct world *w)
{
	const struct engine_stats *stats = engine_stats(w->e);

	for (unsigned i = 0; i < FLOWS && stats->syncookies_recv != w->cookies; i++)
		w->flow[i].lawless |= w->flow[i].spoken;
	w->cookies = stats->syncookies_recv;
}

void peer_learn(struct world *w, const struct packet *p, const uint8_t *payload)
{
	const struct tcp_part *t = &p->tcp;
	const struct tcp_opt *ts = option(t, OPT_TS);
	uint32_t end = t->seq + t->len + !!(t->flags & FLAG_SYN) + !!(t->flags & FLAG_FIN);
	struct flow_view *f = &w->flow[(p->dst_port - PEER_PORT) % FLOWS];
	const char *fault;

	if (w->sent_known)
		check_payload(t, payload);
	if (p->dst_port < PEER_PORT || p->dst_port >= PEER_PORT + FLOWS)
		return;
	if (t->flags & FLAG_RST) {
		/* What is sent on a connection that was reset may revive it by its SYN cookie, with options read from a wrong
		 * echo. */
		f->lawless = true;
		return;
	}
	referee_excuse(&w->referee, engine_stats(w->e));
	learn_cookies(w);
	if (t->flags & FLAG_SYN)
		learn_syn(w, f, p);
	else
		f->spoken = true;
	fault = f->lawless ? NULL : referee_watch(&w->referee, p, true);
	if (fault)
		world_fault("flow %u: %s", p->dst_port - PEER_PORT, fault);
	if (p->src_port != f->our_port)
		return;
	if (after(end, f->rcv_nxt))
		f->rcv_nxt = end;
	if (t->flags & FLAG_ACK)
		learn_ack(f, t);
	if (ts) {
		f->tsval = ts->a;
		f->tsecr = ts->b;
	}
}

/* ---- what the peer says ---- */

static void add_option(struct tcp_part *t, struct tcp_opt o)
{
	t->opt[t->nopts++] = o;
}

static void syn_options(const struct world *w, struct tcp_part *t, uint32_t now_ms, uint32_t echo)
{
	add_option(t, (struct tcp_opt){.kind = OPT_MSS, .a = w->temper.mss});
	if (w->temper.sack)
		add_option(t, (struct tcp_opt){.kind = OPT_SACKOK});
	if (w->temper.ts)
		add_option(t, (struct tcp_opt){.kind = OPT_TS, .a = now_ms, .b = echo});
	if (w->temper.wscale)
		add_option(t, (struct tcp_opt){.kind = OPT_WSCALE, .a = w->temper.shift});
}

void peer_options(struct world *w, unsigned flow, struct tcp_part *t)
{
	struct flow_view *f = &w->flow[flow];
	uint32_t now_ms = (uint32_t)(w->now / 1000);

	if (t->flags & FLAG_SYN) {
		syn_options(w, t, now_ms, t->flags & FLAG_ACK ? f->tsval : 0);
	} else if (w->temper.ts && f->engine_ts) {
		add_option(t, (struct tcp_opt){.kind = OPT_NOP});
		add_option(t, (struct tcp_opt){.kind = OPT_NOP});
		add_option(t, (struct tcp_opt){.kind = OPT_TS, .a = now_ms, .b = f->tsval});
	}
}

struct packet peer_template(struct world *w, unsigned flow)
{
	struct flow_view *f = &w->flow[flow];
	struct packet p = {.kind = PACKET_TCP, .src_port = (uint16_t)(PEER_PORT + flow)};

	p.dst_port = f->our_port ? f->our_port : OUR_PORT;
	p.ip = (struct ip_part){.src = rte_cpu_to_be_32(0x0a000002), .dst = rte_cpu_to_be_32(0x0a000001), .ttl = -1};
	p.tcp.seq = f->snd_nxt;
	p.tcp.ack = f->rcv_nxt;
	p.tcp.win = WINDOW;
	p.tcp.urg = -1;
	return p;
}

void peer_send(struct world *w, unsigned flow, const struct packet *p)
{
	static const uint8_t to[6] = {2, 0, 0, 0, 0, 1}, from[6] = {2, 0, 0, 0, 0, 2};
	struct flow_view *f = &w->flow[flow];
	uint32_t end = p->tcp.seq + p->tcp.len + !!(p->tcp.flags & FLAG_SYN) + !!(p->tcp.flags & FLAG_FIN);
	uint8_t frame[MTU + 100];

	world_trace_packet(w, p, false);
	if (!p->ip.bad_sum && !p->ip.bad_payload_sum && !p->ip.more_fragments) {
		if (!f->lawless)
			referee_watch(&w->referee, p, false);
		if (after(end, f->snd_nxt) && end - f->snd_nxt < 1 << 20)
			f->snd_nxt = end;
		if (after(p->tcp.ack, f->una) && !after(p->tcp.ack, f->rcv_nxt))
			f->una = p->tcp.ack;
	}
	world_frame(w, frame, packet_build(p, to, from, p->tcp.seq + !!(p->tcp.flags & FLAG_SYN), frame, sizeof(frame)));
}

void peer_segment(struct world *w, unsigned flow, uint8_t flags, int32_t ahead, uint32_t len)
{
	struct packet p = peer_template(w, flow);

	p.tcp.flags = flags;
	p.tcp.seq += (uint32_t)ahead;
	p.tcp.len = len;
	peer_options(w, flow, &p.tcp);
	peer_send(w, flow, &p);
}

/* ---- the situations ---- */

static void begin(struct world *w, unsigned flow)
{
	struct flow_view *f = &w->flow[flow];
	uint32_t isn = f->isn + ISN_STEP * (flow + 1);

	/* What the peer began with a SYN from nowhere may go on half open. */
	*f = (struct flow_view){
	    .isn = isn, .snd_nxt = isn, .acked = isn, .edge = isn, .our_port = OUR_PORT, .lawless = f->lawless};
}

/* The program's connection to the peer's port: its slot, or -1. */
static int open_active(struct world *w, unsigned flow)
{
	struct endpoint to = {ip_from_v4(rte_cpu_to_be_32(0x0a000002)), (uint16_t)(PEER_PORT + flow)};
	int slot = world_sock_slot(w), rc;

	if (slot < 0 || !(w->sock[slot] = engine_socket(w->e)))
		return -1;
	begin(w, flow);
	rc = engine_connect(w->e, w->sock[slot], &to, w->now);
	if (rc != -EINPROGRESS)
		return -1;
	world_settle(w);
	return w->flow[flow].answered ? slot : -1;
}

static int open_passive(struct world *w, unsigned flow)
{
	int slot = world_sock_slot(w), err;

	begin(w, flow);
	peer_segment(w, flow, FLAG_SYN, 0, 0);
	if (!w->flow[flow].answered)
		return -1;
	peer_segment(w, flow, FLAG_ACK, 0, 0);
	if (slot < 0 || !w->sock[0])
		return -1;
	w->sock[slot] = engine_accept(w->e, w->sock[0], &err);
	return w->sock[slot] ? slot : -1;
}

/* Duplicate ACKs, with SACK if it was agreed on, for the first segments of several in flight. */
static void lose_first(struct world *w, unsigned flow)
{
	struct flow_view *f = &w->flow[flow];
	uint32_t una = f->una + (f->una == f->irs);

	for (unsigned i = 2; i <= 4; i++) {
		struct packet p = peer_template(w, flow);

		p.tcp.flags = FLAG_ACK;
		p.tcp.ack = una;
		peer_options(w, flow, &p.tcp);
		if (w->temper.sack)
			add_option(&p.tcp,
				   (struct tcp_opt){.kind = OPT_SACK, .nsacks = 1, .sack = {{una + 1448, una + 1448 * i}}});
		peer_send(w, flow, &p);
	}
}

static void close_window(struct world *w, unsigned flow, struct conn *c)
{
	struct packet p = peer_template(w, flow);

	p.tcp.flags = FLAG_ACK;
	p.tcp.win = 0;
	peer_options(w, flow, &p.tcp);
	peer_send(w, flow, &p);
	program_send(w, c, 5000, 0);
	world_advance(w, 1000000);
}

static void fill_buffer(struct world *w, unsigned flow)
{
	struct flow_view *f = &w->flow[flow];

	for (unsigned n = 0; n < 100 && after(f->edge, f->snd_nxt); n++) {
		uint32_t room = f->edge - f->snd_nxt;

		peer_segment(w, flow, FLAG_ACK, 0, room < 1400 ? room : 1400);
	}
}

static void send_urgent(struct world *w, unsigned flow)
{
	struct packet p = peer_template(w, flow);

	p.tcp.flags = FLAG_ACK | FLAG_URG;
	p.tcp.urg = 50;
	p.tcp.len = 100;
	peer_options(w, flow, &p.tcp);
	w->unread_known = false;
	peer_send(w, flow, &p);
}

/* The peer's FIN that does not acknowledge ours. */
static void cross_fins(struct world *w, unsigned flow)
{
	struct packet p = peer_template(w, flow);

	p.tcp.flags = FLAG_ACK | FLAG_FIN;
	p.tcp.ack--;
	peer_options(w, flow, &p.tcp);
	peer_send(w, flow, &p);
}

/* From ESTABLISHED on to the ends of a connection. */
static void finish(struct world *w, unsigned flow, int slot, enum situation s)
{
	bool peer_first = s == SIT_CLOSE_WAIT || s == SIT_LAST_ACK;

	if (peer_first)
		peer_segment(w, flow, FLAG_ACK | FLAG_FIN, 0, 0);
	if (s == SIT_CLOSE_WAIT)
		return;
	if (s == SIT_ORPHAN) {
		engine_close(w->e, w->sock[slot], w->now);
		w->sock[slot] = NULL;
	} else {
		engine_shutdown(w->e, w->sock[slot], SHUT_WR, w->now);
	}
	world_settle(w);
	if (s == SIT_FIN_WAIT_2 || s == SIT_ORPHAN || s == SIT_TIME_WAIT)
		peer_segment(w, flow, FLAG_ACK, 0, 0);
	if (s == SIT_CLOSING)
		cross_fins(w, flow);
	if (s == SIT_TIME_WAIT)
		peer_segment(w, flow, FLAG_ACK | FLAG_FIN, 0, 0);
}

static void go_on(struct world *w, unsigned flow, int slot, enum situation s)
{
	struct conn *c = w->sock[slot];

	if (s == SIT_IN_FLIGHT || s == SIT_RECOVERY || s == SIT_LOSS)
		program_send(w, c, 20000, 0);
	switch (s) {
	case SIT_RECOVERY:
		lose_first(w, flow);
		break;
	case SIT_LOSS:
		world_advance(w, 1500000);
		break;
	case SIT_OUT_OF_ORDER:
		peer_segment(w, flow, FLAG_ACK, 1000, 500);
		peer_segment(w, flow, FLAG_ACK, 1500, 500);
		w->flow[flow].snd_nxt = w->flow[flow].acked;
		break;
	case SIT_WINDOW_CLOSED:
		close_window(w, flow, c);
		break;
	case SIT_BUFFER_FULL:
		fill_buffer(w, flow);
		break;
	case SIT_URGENT:
		send_urgent(w, flow);
		break;
	default:
		if (s >= SIT_FIN_WAIT_1)
			finish(w, flow, slot, s);
	}
}

bool peer_reach(struct world *w, unsigned flow, enum situation s)
{
	int slot, small = 4096;

	switch (s) {
	case SIT_NONE:
	case SIT_LISTEN:
		begin(w, flow);
		w->flow[flow].our_port = s == SIT_NONE ? OUR_PORT + 1 : OUR_PORT;
		return true;
	case SIT_SYN_SENT:
		return open_active(w, flow) >= 0;
	case SIT_SYN_RECEIVED:
		begin(w, flow);
		peer_segment(w, flow, FLAG_SYN, 0, 0);
		return w->flow[flow].answered;
	case SIT_SIMULTANEOUS:
		slot = open_active(w, flow);
		if (slot >= 0)
			peer_segment(w, flow, FLAG_SYN, 0, 0);
		return slot >= 0;
	case SIT_ACTIVE:
		slot = open_active(w, flow);
		if (slot >= 0)
			peer_segment(w, flow, FLAG_SYN | FLAG_ACK, 0, 0);
		return slot >= 0;
	default:
		if (s == SIT_BUFFER_FULL && w->sock[0])
			engine_setsockopt(w->e, w->sock[0], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small), w->now);
		slot = open_passive(w, flow);
		if (slot < 0)
			return false;
		go_on(w, flow, slot, s);
		return true;
	}
}
