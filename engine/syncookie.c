/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * syncookie.c - SYN cookies (RFC 4987 3.6): when a listener's SYN queue is full, what has to be remembered of a SYN goes into the
 * sequence number of the SYN,ACK, and comes back with its acknowledgment.
 *
 * The number is H(tuple) + SEG.SEQ + minute * 2^24 + (H(tuple, minute, SEG.SEQ) + i) mod 2^24, with H under the engine's secret,
 * i the segment size as an index and the minute counted modulo 256: a guess is right once in 2^24 divided by sizes and minutes
 * that count.  SEG.SEQ is in the second H so that no later ACK, to which both sides have added as much, is taken for the
 * handshake's. Other options have room only in the low bits of our timestamp, as on Linux: window scale (4 bits, 15 for none),
 * SACK and ECN (1 bit each); a client without timestamps does without them.
 */
#include "engine/tcp_input.h"

#define VALUE_BITS 24
#define VALUE_MASK ((1u << VALUE_BITS) - 1)
#define MINUTE_US 60000000ull
#define MINUTES_VALID 2
#define FLOOD_S 120 /* no ACK can be of a cookie so long after the last one went out */
#define TS_BITS 6
#define TS_MASK ((1u << TS_BITS) - 1)
#define TS_WSCALE 0x0f
#define TS_SACK 0x10
#define TS_ECN 0x20

/* Sizes that are common, and jumbo frames. */
static const uint16_t sizes[] = {536, 1300, 1440, 1460, 8960};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* Of a minute and a number, or of neither (0, 0): minutes are counted from 1. */
static uint32_t hash(const struct engine *e, const struct tuple *t, uint32_t minute, seq_t seq)
{
	struct {
		struct ip_addr laddr, raddr;
		uint32_t ports, minute, seq, zero;
	} key = {t->laddr, t->raddr, (uint32_t)t->lport << 16 | t->rport, minute, seq, 0};

	return (uint32_t)engine_hash(e, &key, sizeof(key));
}

static uint32_t minute_now(const struct engine *e)
{
	return (uint32_t)(e->now / MINUTE_US);
}

static uint32_t now_s(const struct engine *e)
{
	return (uint32_t)(e->now / 1000000);
}

static seq_t make(const struct engine *e, const struct seg *s, uint16_t mss)
{
	uint32_t minute = minute_now(e), i = SIZES - 1;

	while (i && sizes[i] > mss)
		i--;
	return hash(e, &s->t, 0, 0) + s->seq + (minute << VALUE_BITS) + ((hash(e, &s->t, minute + 1, s->seq) + i) & VALUE_MASK);
}

/* The segment size of the SYN that s ends the handshake of; 0: it ends none. */
static uint16_t check(const struct engine *e, const struct seg *s)
{
	uint32_t cookie = s->ack - 1 - hash(e, &s->t, 0, 0) - (s->seq - 1);
	uint32_t minute = minute_now(e), age = (minute - (cookie >> VALUE_BITS)) & 0xff, i;

	if (age >= MINUTES_VALID)
		return 0;
	i = (cookie - hash(e, &s->t, minute - age + 1, s->seq - 1)) & VALUE_MASK;
	return i < SIZES ? sizes[i] : 0;
}

/* The latest past time whose low bits say what was agreed on. */
static uint32_t timestamp(const struct engine *e, const struct conn *c)
{
	uint32_t now = tcp_ts_now(e, 0),
		 bits = (c->wscale_ok ? c->snd_wscale : TS_WSCALE) | (c->sack_ok ? TS_SACK : 0) | (c->ecn_ok ? TS_ECN : 0);
	uint32_t ts = (now & ~TS_MASK) | bits;

	if (ts > now)
		ts -= TS_MASK + 1;
	return ts + c->ts_offset;
}

/* Ours is not in the cookie: it must be the same at the ACK, however the listener's buffer was changed in between. */
static void set_wscale(const struct engine *e, struct conn *c)
{
	if (c->wscale_ok)
		c->rcv_wscale = tcp_wscale_of_any(e);
}

void syncookie_answer(struct input *in)
{
	struct conn *l = in->c, shape = {.pmtu = in->e->cfg.mtu};
	struct tcp_fields f = {.flags = TH_SYN | TH_ACK, .ack = in->seg.seq + 1};
	struct engine *e = in->e;

	e->stats.syncookies_due++;
	e->stats.syncookies_sent++;
	l->syn_flood = now_s(e);
	if (!(in->seg.opts & OPT_TS) || !e->cfg.tcp.timestamps)
		in->seg.opts &= OPT_MSS;
	listener_shape(in, l, &shape);
	set_wscale(e, &shape);
	shape.ecn_ok &= shape.ts_ok;
	f.flags |= shape.ecn_ok ? TH_ECE : 0;
	f.seq = make(e, &in->seg, shape.peer_mss);
	f.wnd = tcp_syn_window(e, &shape);
	wire_opt_syn(&f, tcp_advertised_mss(e, &shape), shape.sack_ok, shape.ts_ok, timestamp(e, &shape), shape.ts_recent,
		     shape.wscale_ok ? shape.rcv_wscale : -1);
	tcp_send_control(e, &in->seg.t, &f, NULL);
}

/* The options that our timestamp carried, as if the SYN had them; false: none that we would have agreed to. */
static bool recall_options(struct engine *e, const struct seg *ack, struct seg *syn)
{
	const struct tcp_settings *t = &e->cfg.tcp;
	uint32_t bits = ack->tsecr - conn_ts_offset(e, &ack->t);

	if (!(ack->opts & OPT_TS))
		return true;
	if (!t->timestamps || ((bits & TS_SACK) && !t->sack))
		return false;
	if (bits & TS_ECN)
		syn->flags |= TH_ECE | TH_CWR;
	syn->opts |= OPT_TS | (bits & TS_SACK ? OPT_SACK_PERMITTED : 0);
	if ((bits & TS_WSCALE) == TS_WSCALE)
		return true;
	syn->opts |= OPT_WSCALE;
	syn->wscale = bits & TS_WSCALE;
	return t->window_scaling;
}

/* The SYN that s ends the handshake of; false: none. */
static bool recall(struct engine *e, const struct seg *s, struct seg *syn)
{
	*syn = *s;
	syn->seq--;
	syn->flags = TH_SYN;
	syn->opts = OPT_MSS;
	syn->mss = check(e, s);
	if (!syn->mss) {
		e->stats.syncookies_failed++;
		return false;
	}
	e->stats.syncookies_recv++;
	return recall_options(e, s, syn);
}

bool syncookie_ack(struct input *in)
{
	struct seg ack = in->seg, syn;
	struct engine *e = in->e;
	struct conn *l = in->c;

	if (!e->cfg.tcp.syncookies || !l->syn_flood || now_s(e) - l->syn_flood > FLOOD_S || !recall(e, &ack, &syn))
		return false;
	if (listener_is_full(e, l))
		return true;
	in->seg = syn;
	if (!listener_spawn(in, l, ack.ack - 1))
		return true;
	set_wscale(e, in->c);
	in->seg = ack;
	in->seg.tsecr = 0; /* what it echoes was not the time */
	input_segment(in);
	return true;
}
