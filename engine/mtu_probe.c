/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mtu_probe.c - packetization layer path MTU discovery (RFC 4821, RFC 8899 section 5.3) by the settings of Linux's
 * tcp_mtu_probing. The search goes between the size that is known to get through and the one that is thought to be the most, by
 * halves: a probe is one segment of the size in the middle, made of data that waits to be sent, with enough behind it for its
 * loss to be seen by fast retransmit; that loss is no sign of congestion (RFC 4821 7.3).  A path that swallows full segments
 * without a word (a black hole) shows by timeouts in a row: then segments shrink to tcp_base_mss, and the search begins there.
 *
 * A probe is built in the buffer of the first unsent packet, so that the send queue stays one buffer per packet.
 */
#include <string.h>

#include "engine/stack.h"

#define PROBE_CWND_SEGS 11 /* Linux's least window for a probe: its loss must be found by what follows */

/* Of an IP packet with this much payload, and back. */
static unsigned headers_of(const struct conn *c)
{
	return tcp_mss_to_mtu(c, 0);
}

static uint32_t clock_s(const struct engine *e)
{
	return e->now / 1000000;
}

/* What is thought to be the most: the path as ICMP and the link know it, and what the peer takes. */
static unsigned most_of(const struct conn *c)
{
	unsigned mss = c->user_mss && c->user_mss < c->peer_mss ? c->user_mss : c->peer_mss;
	unsigned peer = tcp_mss_to_mtu(c, mss) - (c->ts_ok ? TS_OPTION : 0);

	return peer < c->pmtu ? peer : c->pmtu;
}

static void begin_search(struct engine *e, struct conn *c, unsigned low_mss)
{
	struct extra *x = extra_of(e, c);

	c->probing = true;
	c->probe_size = 0;
	x->probe_high = most_of(c);
	x->probe_low = tcp_mss_to_mtu(c, low_mss);
	if (x->probe_low > x->probe_high)
		x->probe_low = x->probe_high;
	x->probe_at_s = clock_s(e);
}

void mtu_probe_init(struct engine *e, struct conn *c)
{
	c->probing = false;
	c->probe_size = 0;
	if (e->cfg.tcp.mtu_probing == 2)
		begin_search(e, c, e->cfg.tcp.base_mss);
}

unsigned mtu_probe_bound(const struct conn *c, unsigned mss)
{
	unsigned low = conn_extra(c)->probe_low - headers_of(c);

	return c->probing && low < mss ? low : mss;
}

/* ---- sending one ---- */

/* The search has ended: begin anew when the path may have changed (RFC 4821 7.8; tcp_probe_interval). */
static void search_again(struct engine *e, struct conn *c)
{
	if (clock_s(e) - conn_extra(c)->probe_at_s >= e->cfg.tcp.probe_interval)
		begin_search(e, c, c->mss);
}

/* The payload of the next probe; 0: none now. */
static uint32_t next_size(struct engine *e, struct conn *c)
{
	unsigned high = conn_extra(c)->probe_high < most_of(c) ? conn_extra(c)->probe_high : most_of(c);
	int gap = (int)high - conn_extra(c)->probe_low, enough = e->cfg.tcp.probe_threshold > 1 ? e->cfg.tcp.probe_threshold : 1;

	if (gap < enough) {
		search_again(e, c);
		return 0;
	}
	return (high + conn_extra(c)->probe_low) / 2 - headers_of(c);
}

static bool calm(const struct conn *c)
{
	return !c->probe_size && c->ca_state == CA_OPEN && !c->sacked_out && !c->lost_out && !c->dsack_pending &&
	       !c->nofo_recent && c->cc.cwnd >= PROBE_CWND_SEGS * c->mss;
}

/* There must be data behind the probe, and windows for it, or its loss could only show by a timeout. */
static bool enough_behind(const struct engine *e, const struct conn *c, uint32_t size)
{
	uint32_t need = size + (e->cfg.tcp.reordering + 1) * c->mss;

	return conn_unsent(c) >= need && seq_leq(c->snd_nxt + need, c->snd_una + c->snd_wnd) &&
	       recovery_pipe(c) + 2 * c->mss <= c->cc.cwnd;
}

/* Move payload of the packets behind m into m until it has so much. False: it can't have. */
static bool gather(struct engine *e, struct conn *c, struct rte_mbuf *m, uint32_t size)
{
	struct pkt *p = pkt(m);

	if (p->len >= size || size - p->len > pkt_tailroom(m))
		return false;
	p->csum_valid = false;
	while (p->len < size && p->next) {
		struct rte_mbuf *from = p->next;
		struct pkt *f = pkt(from);
		uint32_t n = f->len < size - p->len ? f->len : size - p->len;

		memcpy(pkt_data(m) + p->len, pkt_data(from), n);
		p->len += n;
		f->seq += n;
		f->off += n;
		f->len -= n;
		f->csum_valid = false;
		if (f->len)
			continue;
		p->flags |= f->flags & PKT_PUSH;
		p->next = f->next;
		if (c->sndq.tail == from)
			c->sndq.tail = m;
		c->snd_queued -= pkt_truesize(from);
		conn_free_pkt(e, from);
	}
	return true;
}

bool mtu_probe_ready(struct engine *e, struct conn *c)
{
	uint32_t size;

	if (!c->probing || !c->snd_new || !calm(c))
		return false;
	size = next_size(e, c);
	return size > c->mss && enough_behind(e, c, size) && gather(e, c, c->snd_new, size);
}

void mtu_probe_sent(struct engine *e, struct conn *c, struct rte_mbuf *m)
{
	e->stats.mtu_probes++;
	extra_of(e, c)->probe_seq = pkt(m)->seq;
	c->probe_size = tcp_mss_to_mtu(c, pkt(m)->len);
	/* It counts as two: should it be lost, it was one too many (RFC 4821 7.5). */
	c->cc.cwnd -= c->mss;
}

/* ---- what became of it ---- */

void mtu_probe_acked(struct engine *e, struct conn *c)
{
	uint32_t old = c->mss;

	if (!c->probe_size || seq_lt(c->snd_una, conn_extra(c)->probe_seq + c->probe_size - headers_of(c)))
		return;
	e->stats.mtu_probe_success++;
	extra_of(e, c)->probe_low = c->probe_size;
	c->probe_size = 0;
	tcp_sync_mss(e, c);
	/* The window is bytes and stays; what the probe was charged comes back. */
	c->cc.cwnd += old;
}

bool mtu_probe_lost(struct engine *e, struct conn *c)
{
	if (!c->probe_size || c->snd_una != conn_extra(c)->probe_seq || c->ca_state > CA_DISORDER ||
	    c->lost_out > c->probe_size - headers_of(c))
		return false;
	e->stats.mtu_probe_fail++;
	extra_of(e, c)->probe_high = c->probe_size - 1;
	c->probe_size = 0;
	c->cc.cwnd += c->mss;
	return true;
}

void mtu_probe_black_hole(struct engine *e, struct conn *c)
{
	const struct tcp_settings *t = &e->cfg.tcp;
	int64_t mss;

	if (!t->mtu_probing)
		return;
	if (!c->probing) {
		begin_search(e, c, t->base_mss);
	} else {
		mss = (conn_extra(c)->probe_low - headers_of(c)) / 2;
		mss = mss < t->base_mss ? mss : t->base_mss;
		mss = mss > t->mtu_probe_floor ? mss : t->mtu_probe_floor;
		mss = mss > t->min_snd_mss ? mss : t->min_snd_mss;
		begin_search(e, c, mss);
	}
	tcp_sync_mss(e, c);
}
