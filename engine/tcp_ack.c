/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_ack.c - what an ACK means (RFC 9293 3.10.7.4, fifth; RFC 5681; RFC 6298): gather the facts once into a struct ack, move
 * snd_una and the window, and let recovery, congestion control and timers know.
 */
#include <stddef.h>
#include <string.h>

#include "engine/tcp_input.h"

/*
 * RFC 9293 3.10.7.4: only a newer segment may change the window.  One that acknowledges more is newer whatever its number:
 * retransmitted data has an old one, and were its window ignored, SND.UNA would move on and carry the old window beyond what the
 * peer offers (as Linux).  One with the same numbers and no new data may be a duplicate of an old one: it may open the window or
 * close it, but not take part of it back.
 */
static bool window_is_news(const struct input *in, uint32_t wnd)
{
	const struct conn *c = in->c;

	if (seq_gt(in->seg.ack, c->snd_una))
		return true;
	if (in->seg.seq != c->snd_wl1)
		return seq_gt(in->seg.seq, c->snd_wl1);
	return wnd > c->snd_wnd || !wnd || seq_gt(in->seg.seq + seg_len(&in->seg), c->rcv_nxt);
}

/* True: it changed. */
static bool update_window(struct input *in)
{
	struct conn *c = in->c;
	uint32_t wnd = input_window(in);
	bool changed = wnd != c->snd_wnd;

	if (!window_is_news(in, wnd))
		return false;
	c->snd_wl1 = in->seg.seq;
	c->snd_wnd = wnd;
	/* The window that was probed for has opened: what is sent now has its own time. */
	if (changed && wnd && !conn_flight(c)) {
		c->backoff = 0;
		c->rtx_started_ms = 0;
	}
	if (wnd > c->snd_wnd_max)
		c->snd_wnd_max = wnd;
	return changed;
}

static void delivered_whole(struct input *in, struct rte_mbuf *m)
{
	rack_delivered(in, m);
	in->rate.packets++;
	if (pkt(m)->len > in->c->max_acked)
		in->c->max_acked = pkt(m)->len;
}

/* The facts that one packet adds when bytes of it, from its start, are acknowledged. */
static void account(struct input *in, struct rte_mbuf *m, uint32_t bytes, struct ack *a)
{
	struct pkt *p = pkt(m);
	bool whole = bytes == p->len;

	a->acked += bytes;
	if (!(p->flags & PKT_SACKED)) {
		if (whole)
			delivered_whole(in, m);
		a->delivered += bytes;
		rate_delivered(&in->rate, m);
	}
	if (p->flags & PKT_EVER_RETRANS)
		a->acked_retrans = true;
	else if (!a->rtt && !(p->flags & PKT_SACKED))
		a->rtt = (uint32_t)in->e->now - p->sent_at;
	if (p->flags & (PKT_SACKED | PKT_LOST | PKT_RETRANS))
		recovery_forget(in->c, m, bytes);
}

static void trim_head(struct conn *c, struct rte_mbuf *m, uint32_t bytes)
{
	struct pkt *p = pkt(m);

	p->seq += bytes;
	p->off += bytes;
	p->len -= bytes;
	p->csum_valid = false;
}

/* Packets that are acknowledged whole, off the queue. */
static void take_acked(struct input *in, struct ack *a)
{
	struct conn *c = in->c;
	struct rte_mbuf *m = c->sndq.head, *last = NULL;

	for (; m && m != c->snd_new && seq_leq(pkt_end(m), in->seg.ack); m = pkt(m)->next) {
		account(in, m, pkt(m)->len, a);
		c->snd_queued -= pkt_truesize(m);
		in->e->held--;
		last = m;
	}
	if (!last)
		return;
	pkt(last)->next = NULL;
	in->acked = c->sndq.head;
	c->sndq.head = m;
	if (!m)
		c->sndq.tail = NULL;
}

static void free_acked(struct input *in)
{
	for (struct rte_mbuf *m = in->acked, *next; m; m = next) {
		next = pkt(m)->next;
		engine_free(in->e, m);
	}
}

/* Take what is acknowledged off the queue. */
static void clean_queue(struct input *in, struct ack *a)
{
	struct conn *c = in->c;
	struct rte_mbuf *m;

	take_acked(in, a);
	m = c->sndq.head;
	if (m && m != c->snd_new && seq_lt(pkt(m)->seq, in->seg.ack)) {
		uint32_t bytes = in->seg.ack - pkt(m)->seq;

		account(in, m, bytes, a);
		trim_head(c, m, bytes);
	}
	if (c->fin_sent && !c->fin_acked && in->seg.ack == c->snd_end + 1) {
		c->fin_acked = true;
		c->fin_due = false;
		a->delivered++;
	}
}

/* RFC 7323 4: an echoed timestamp measures also what was retransmitted; in its own unit of a millisecond. */
static usec_t timestamp_rtt(const struct input *in)
{
	uint32_t ms;

	if (!in->c->ts_ok || !(in->seg.opts & OPT_TS) || !in->seg.tsecr)
		return 0;
	ms = tcp_ts_now(in->e, in->c->ts_offset) - in->seg.tsecr;
	if (ms > 3600 * 1000)
		return 0;
	return ms ? ms * 1000 : 1000;
}

bool tcp_echoes_before(const struct input *in, uint32_t ts)
{
	return in->c->ts_ok && (in->seg.opts & OPT_TS) && in->seg.tsecr && (int32_t)(in->seg.tsecr - ts) < 0;
}

void input_syn_acked(struct input *in)
{
	struct conn *c = in->c;

	neigh_confirm(in->e, c->neigh);
	if (!c->retrans_seen && c->last_snd_at)
		rtt_sample(in->e, c, in->e->now - c->last_snd_at);
	else if (timestamp_rtt(in))
		rtt_sample(in->e, c, timestamp_rtt(in));
}

/* RFC 5681 section 2: no data, no new acknowledgment, no window change, and something is outstanding. */
static bool is_duplicate(const struct input *in, seq_t una, bool window_changed)
{
	return in->seg.ack == una && !in->seg.len && !(in->seg.flags & (TH_SYN | TH_FIN)) && !window_changed &&
	       in->c->snd_nxt != una;
}

/* The acknowledgment number moved on. */
static void advance(struct input *in, struct ack *a)
{
	struct conn *c = in->c;

	recovery_forget_below(c, in->seg.ack);
	clean_queue(in, a);
	c->snd_una = in->seg.ack;
	c->bytes_acked += a->acked;
	c->retransmits = c->backoff = c->probes = 0;
	c->rtx_started_ms = 0;
	if (c->snd_urgent && seq_leq(conn_extra(c)->snd_up, c->snd_una))
		c->snd_urgent = false;
	if (seq_lt(c->snd_sml, c->snd_una))
		c->snd_sml = c->snd_una;
	if (c->pmtu_claim && seq_gt(c->snd_una, conn_extra(c)->pmtu_claim_seq))
		c->pmtu_claim = 0; /* what a router calls too large has arrived (RFC 5927 7.2) */
	mtu_probe_acked(in->e, c);
	neigh_confirm(in->e, c->neigh);
}

static void sample_rtt(struct input *in, struct ack *a)
{
	/* Karn's rule for the whole of an ACK, as Linux has it: what lay behind a hole waited for its repair. */
	if (a->acked_retrans)
		a->rtt = 0;
	if (!a->rtt && a->acked)
		a->rtt = timestamp_rtt(in);
	if (a->rtt)
		rtt_sample(in->e, in->c, a->rtt);
}

/* What the SACK blocks add, and what all that has arrived says of the path. */
static void learn_delivery(struct input *in, struct ack *a)
{
	if (in->seg.opts & OPT_SACK)
		sack_blocks(in, a);
	sample_rtt(in, a);
	rate_acked(in->e, in->c, &in->rate, a);
}

static void process_new_ack(struct input *in)
{
	struct conn *c = in->c;
	seq_t una = c->snd_una;
	struct ack a;
	bool window_changed;

	memset(&a, 0, offsetof(struct ack, rate)); /* what follows is filled in for those who ask for it */
	a.now = in->e->now;
	a.cwnd_limited = seq_geq(c->cwnd_limited_seq, una);
	a.ece = c->ecn_ok && (in->seg.flags & TH_ECE);
	in->fack = c->high_sacked;
	/* An old ACK says nothing new; its SACK blocks may. */
	if (seq_lt(in->seg.ack, una)) {
		if (in->seg.opts & OPT_SACK) {
			learn_delivery(in, &a);
			recovery_on_ack(in, &a);
		}
		return;
	}
	window_changed = update_window(in);
	if (!a.cwnd_limited)
		c->cwnd_limited_seq = una - 1; /* keep it near, lest it come to lie ahead when the numbers wrap */
	c->probes = 0;
	if (in->seg.ack != una)
		advance(in, &a);
	a.is_dup = is_duplicate(in, una, window_changed);
	learn_delivery(in, &a);
	if (in->seg.ack != una || window_changed)
		timer_acked(in->e, c, in->seg.ack != una);
	recovery_on_ack(in, &a);
	if (c->cc.sees_every_ack)
		rate_control(in->e, c, &in->rate, &a);
	timer_tail(in->e, c, in->seg.ack != una);
	if (in->seg.ack != una || window_changed) {
		tune_sndbuf(in->e, c);
		ready_acked(in->e, c);
		chrono_update(in->e, c);
	}
	if (c->snd_new || c->lost_out)
		tcp_want_output(in->e, c);
	free_acked(in);
}

/* Data that comes with an ACK and a window that are known already: all that is below would leave all as it is. */
static bool repeats_ack(const struct input *in)
{
	const struct conn *c = in->c;

	return in->seg.len && in->seg.ack == c->snd_una && input_window(in) == c->snd_wnd && !(in->seg.opts & OPT_SACK) &&
	       !(in->seg.flags & TH_ECE) && recovery_idle(c) && !c->cc.sees_every_ack;
}

static void take_repeated_ack(struct input *in)
{
	struct conn *c = in->c;

	c->probes = 0;
	if (window_is_news(in, c->snd_wnd))
		c->snd_wl1 = in->seg.seq;
	if (c->snd_new)
		tcp_want_output(in->e, c);
}

void input_process_ack(struct input *in)
{
	if (repeats_ack(in))
		take_repeated_ack(in);
	else
		process_new_ack(in);
	if (in->c->repair)
		repair_settle(in->e, in->c);
}
