/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * referee.c - rules for every packet of a connection; see referee.h.  Resets are free of them, and so are connections whose SYNs
 * were not seen.
 */
#include <string.h>

#include "engine/engine.h"
#include "tests/common/packet.h"
#include "tests/common/referee.h"

#define MSS_DEFAULT 536
#define WSCALE_MAX 14

static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

/* The connection of this packet, and which of its ends sends it; NULL: not known. */
static struct referee_conn *find(struct referee *r, const struct packet *p, unsigned *from)
{
	for (unsigned i = 0; i < r->next && i < REFEREE_CONNS_MAX; i++) {
		struct referee_conn *c = &r->conn[i];

		for (unsigned k = 0; k < 2; k++) {
			if (c->port[k] != p->src_port || c->port[!k] != p->dst_port || c->addr[k] != p->ip.src ||
			    c->addr[!k] != p->ip.dst)
				continue;
			*from = k;
			return c;
		}
	}
	*from = 0;
	return NULL;
}

static const struct tcp_opt *option(const struct tcp_part *t, uint16_t kind)
{
	for (unsigned i = 0; i < t->nopts; i++)
		if (t->opt[i].kind == kind)
			return &t->opt[i];
	return NULL;
}

static unsigned options_len(const struct tcp_part *t)
{
	unsigned len = 0;

	for (unsigned i = 0; i < t->nopts; i++) {
		switch (t->opt[i].kind) {
		case OPT_EOL:
		case OPT_NOP:
			len += 1;
			break;
		case OPT_TS:
			len += 10;
			break;
		case OPT_SACK:
			len += 2 + 8 * t->opt[i].nsacks;
			break;
		case OPT_FO:
			len += 2u + t->opt[i].nraw;
			break;
		case OPT_EXP:
			len += 4u + t->opt[i].nraw;
			break;
		default:
			len += 4;
		}
	}
	return len;
}

/* Of a simultaneous open: a SYN,ACK has seen our SYN; the bare one before it, which we answered, may have been anybody's. */
static bool outdoes(const struct referee_conn *c, unsigned from, const struct tcp_part *t)
{
	const struct referee_end *other = &c->end[!from];

	return t->flags & FLAG_ACK && other->answered && other->snd_max == other->isn + 1 && t->ack == other->snd_max;
}

/* Is this an acknowledgment of the end's last SYN, and of nothing that it never sent? */
static bool acknowledges(const struct referee_end *e, uint32_t ack)
{
	return ack - e->isn - 1 <= e->snd_max - e->isn - 1;
}

/* A SYN begins the numbering of its direction, and a whole connection if it is the first or another one. */
static struct referee_conn *learn_syn(struct referee *r, struct referee_conn *c, unsigned from, const struct packet *p)
{
	const struct tcp_opt *mss = option(&p->tcp, OPT_MSS), *ws = option(&p->tcp, OPT_WSCALE), *ts = option(&p->tcp, OPT_TS);
	struct referee_end *e;

	/* In answer to another SYN than the last: a connection that its peer has forgotten. */
	if (c && p->tcp.flags & FLAG_ACK && c->end[!from].syn_seen && !acknowledges(&c->end[!from], p->tcp.ack))
		return NULL;
	if (!c || c->over || (c->end[from].syn_seen && c->end[from].isn != p->tcp.seq && !(p->tcp.flags & FLAG_ACK))) {
		if (!c)
			c = &r->conn[r->next++ % REFEREE_CONNS_MAX];
		memset(c, 0, sizeof(*c));
		c->port[from] = p->src_port;
		c->port[!from] = p->dst_port;
		c->addr[from] = p->ip.src;
		c->addr[!from] = p->ip.dst;
	}
	e = &c->end[from];
	/*
	 * Another boot of the peer, an attempt to confuse, or another SYN cookie, and not one that has seen what we sent: which
	 * one holds is not known from here, unless it was acknowledged.
	 */
	if (e->syn_seen && e->isn != p->tcp.seq && c->end[!from].syn_seen && !outdoes(c, from, &p->tcp)) {
		c->over |= !c->end[!from].acked;
		return NULL;
	}
	if (!e->syn_seen || e->isn != p->tcp.seq) {
		memset(e, 0, sizeof(*e));
		c->end[!from].acked = c->end[!from].offered = false;
		e->syn_seen = true;
		e->isn = p->tcp.seq;
		e->snd_max = p->tcp.seq + 1;
	}
	e->mss = mss ? mss->a : MSS_DEFAULT;
	e->has_wscale = ws;
	e->wscale = ws && ws->a < WSCALE_MAX ? ws->a : ws ? WSCALE_MAX : 0;
	if (ts && !e->has_ts)
		e->ts_last = ts->a;
	e->has_ts = ts;
	e->answered |= (p->tcp.flags & FLAG_ACK) != 0;
	e->has_sack = option(&p->tcp, OPT_SACKOK);
	return c;
}

static uint32_t offered_edge(const struct referee_end *me, const struct referee_end *peer, const struct tcp_part *t)
{
	unsigned shift = t->flags & FLAG_SYN || !me->has_wscale || !peer->has_wscale ? 0 : me->wscale;

	return t->ack + ((uint32_t)t->win << shift);
}

static const char *judge_ack(const struct referee_end *me, const struct referee_end *peer, const struct tcp_part *t)
{
	unsigned grain = me->has_wscale && peer->has_wscale ? (1u << me->wscale) - 1 : 0;

	if (!(t->flags & FLAG_ACK))
		return t->flags & FLAG_SYN ? NULL : "a segment without ACK (RFC 9293 3.10.7.4)";
	if (!peer->syn_seen)
		return "an ACK for a peer that sent nothing";
	if (me->acked && before(t->ack, me->ack_max))
		return "an acknowledgment goes back";
	if (before(peer->snd_max, t->ack))
		return "an acknowledgment of what was never sent";
	/* After the peer's FIN there is nothing more to be offered. */
	if (peer->fin_sent && before(peer->fin, t->ack))
		return NULL;
	if (me->offered && before(offered_edge(me, peer, t) + grain, me->right_edge))
		return "the offered window shrinks (RFC 9293 3.8.6, SHLD-14)";
	return NULL;
}

static const char *judge_data(const struct referee_end *me, const struct referee_end *peer, const struct tcp_part *t)
{
	uint32_t end = t->seq + t->len;

	if (!t->len)
		return NULL;
	/* RFC 7413: what a SYN carries comes before the peer has said anything. */
	if (t->flags & FLAG_SYN && !peer->syn_seen)
		return NULL;
	if (!peer->syn_seen)
		return "data before the peer's SYN";
	if (t->len + options_len(t) > peer->mss)
		return "a segment above the peer's MSS (RFC 9293 3.7.1, MUST-16)";
	if (peer->offered && before(peer->right_edge, end))
		return "data beyond the peer's window (RFC 9293 3.8.6)";
	if (me->fin_sent && before(me->fin, end))
		return "data behind the FIN";
	return NULL;
}

static const char *judge_sack(const struct referee_end *me, const struct referee_end *peer, const struct tcp_part *t)
{
	const struct tcp_opt *o = option(t, OPT_SACK);

	if (!o)
		return NULL;
	if (!me->has_sack || !peer->has_sack)
		return "SACK blocks that were not agreed on (RFC 2018 2)";
	for (unsigned i = 0; i < o->nsacks; i++) {
		if (!before(o->sack[i][0], o->sack[i][1]))
			return "an empty or reversed SACK block";
		if (before(peer->snd_max, o->sack[i][1]))
			return "a SACK block of what was never sent";
		/* Only the first may be below the ACK: a duplicate's report (RFC 2883 4). */
		if (i && before(o->sack[i][0], t->ack))
			return "a SACK block below the ACK";
	}
	return NULL;
}

static const char *judge_timestamps(const struct referee_end *me, const struct referee_end *peer, const struct tcp_part *t)
{
	const struct tcp_opt *o = option(t, OPT_TS);

	if (t->flags & FLAG_SYN)
		return NULL;
	if (!me->has_ts || !peer->has_ts)
		return o ? "a timestamp that was not agreed on" : NULL;
	if (!o)
		return "a segment without the timestamp agreed on (RFC 7323 3.2)";
	if (before(o->a, me->ts_last))
		return "a timestamp goes back";
	return before(peer->ts_last, o->b) ? "an echo of a timestamp never sent" : NULL;
}

static const char *judge_all(const struct referee_end *me, const struct referee_end *peer, const struct tcp_part *t)
{
	const char *fault = judge_ack(me, peer, t);

	if (!fault)
		fault = judge_data(me, peer, t);
	if (!fault)
		fault = judge_sack(me, peer, t);
	if (!fault)
		fault = judge_timestamps(me, peer, t);
	if (!fault && t->flags & FLAG_FIN && me->fin_sent && me->fin != t->seq + t->len)
		fault = "the FIN moved";
	return fault;
}

static void learn(struct referee_end *me, const struct referee_end *peer, const struct tcp_part *t)
{
	const struct tcp_opt *ts = option(t, OPT_TS);
	uint32_t end = t->seq + t->len + !!(t->flags & FLAG_SYN) + !!(t->flags & FLAG_FIN), edge;

	if (before(me->snd_max, end))
		me->snd_max = end;
	if (t->flags & FLAG_FIN && !me->fin_sent) {
		me->fin_sent = true;
		me->fin = end - 1;
	}
	if (ts && !before(ts->a, me->ts_last))
		me->ts_last = ts->a;
	if (!(t->flags & FLAG_ACK))
		return;
	edge = offered_edge(me, peer, t);
	if (!me->acked || before(me->ack_max, t->ack))
		me->ack_max = t->ack;
	if (!me->offered || before(me->right_edge, edge))
		me->right_edge = edge;
	me->acked = me->offered = true;
}

static bool all_acked(const struct referee_end *me, const struct referee_end *peer)
{
	return me->fin_sent && peer->acked && before(me->fin, peer->ack_max);
}

/*
 * As on Linux, a late copy of a client's first data can make its connection begin anew when it has ended where it was opened by a
 * SYN cookie: for the cookie is in it, and is good for minutes.
 */
static bool may_be_revived(const struct referee *r, const struct referee_conn *c)
{
	return r->cookies && all_acked(&c->end[0], &c->end[1]) && all_acked(&c->end[1], &c->end[0]);
}

/* Of an end that has sent no SYN a reset is for the other's SYN only if it acknowledges it (RFC 9293 3.10.7.3), else for what was
 * before. */
static bool ends(const struct referee_conn *c, unsigned from, const struct tcp_part *t)
{
	return c->end[from].syn_seen || (t->flags & FLAG_ACK && acknowledges(&c->end[!from], t->ack));
}

const char *referee_watch(struct referee *r, const struct packet *p, bool judge)
{
	unsigned from;
	struct referee_conn *c = find(r, p, &from);
	const char *fault = NULL;

	/* The connection is over, or never was: what follows without a SYN is not known. */
	if (p->tcp.flags & FLAG_RST) {
		if (c && ends(c, from, &p->tcp))
			c->over = true;
		return NULL;
	}
	if (c && c->over && (p->tcp.flags & (FLAG_SYN | FLAG_ACK)) != FLAG_SYN)
		return NULL;
	if (p->tcp.flags & FLAG_SYN)
		c = learn_syn(r, c, from, p);
	if (!c || !c->end[from].syn_seen)
		return NULL;
	if (judge && !r->local_drops && before(c->end[from].snd_max, p->tcp.seq) && !(p->tcp.flags & FLAG_SYN))
		fault = "a hole is left in the stream";
	if (judge && !fault)
		fault = judge_all(&c->end[from], &c->end[!from], &p->tcp);
	learn(&c->end[from], &c->end[!from], &p->tcp);
	if (r->cookies && (p->tcp.flags & (FLAG_SYN | FLAG_ACK)) == (FLAG_SYN | FLAG_ACK))
		c->end[from].offered = false;
	if (may_be_revived(r, c))
		c->over = true;
	return fault;
}

void referee_excuse(struct referee *r, const struct engine_stats *stats)
{
	r->local_drops |= stats->arp_failed || stats->arp_queue_full;
	r->cookies |= stats->syncookies_sent > 0;
}
