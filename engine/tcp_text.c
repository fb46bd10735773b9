/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_text.c - segment text (RFC 9293 3.10.7.4, seventh): trim it to the window, queue it in or out of order, and decide when its
 * acknowledgment is due (RFC 5681 4.2, RFC 9293 3.8.6.3).  The receive buffer grows with the flow, as Linux's does.
 */
#include <string.h>
#include <sys/epoll.h>

#include "engine/notice.h"
#include "engine/tcp_input.h"

/* A segment's bytes that the receive queue may take. */
struct text {
	seq_t seq;
	uint32_t skip; /* bytes of the mbuf chain before them */
	uint32_t len;
};

/* Cut off what was received before and what lies beyond the window. False: nothing is left. */
static bool trim(struct input *in, struct text *t)
{
	struct conn *c = in->c;

	*t = (struct text){in->seg.seq, in->seg.payload_off, in->seg.len};
	if (seq_lt(t->seq, c->rcv_nxt)) {
		uint32_t old = c->rcv_nxt - t->seq;

		reasm_duplicate(in->e, c, t->seq, seq_min(t->seq + t->len, c->rcv_nxt));
		input_ack_now(in);
		if (old >= t->len)
			return false;
		t->seq += old;
		t->skip += old;
		t->len -= old;
	}
	if (seq_geq(t->seq, c->rcv_adv)) {
		in->e->stats.zero_window_drop++;
		input_ack_now(in);
		return false;
	}
	if (seq_gt(t->seq + t->len, c->rcv_adv))
		t->len = c->rcv_adv - t->seq;
	return true;
}

/* Take the next single-segment mbuf with payload off the chain; what holds headers only is freed. */
static struct rte_mbuf *next_part(struct rte_mbuf **chain, struct text *t)
{
	while (*chain) {
		struct rte_mbuf *m = *chain;
		uint32_t have = m->data_len;

		*chain = m->next;
		m->next = NULL;
		m->nb_segs = 1;
		if (t->skip >= have || !t->len) {
			t->skip -= t->skip < have ? t->skip : have;
			rte_pktmbuf_free_seg(m);
			continue;
		}
		*pkt(m) = (struct pkt){.seq = t->seq, .off = m->data_off + t->skip, .len = have - t->skip};
		if (pkt(m)->len > t->len)
			pkt(m)->len = t->len;
		t->skip = 0;
		t->seq += pkt(m)->len;
		t->len -= pkt(m)->len;
		return m;
	}
	return NULL;
}

/*
 * Is there memory for the segment?  What is next in order was promised by the window and is taken whatever its packets occupy
 * (RFC 9293 3.8.6); what is out of order only within the buffer and while a quarter of the pool is left, lest holes that are
 * never filled starve all other connections.  In order, data is refused only when the engine as a whole runs out.
 */
static bool room_for(struct input *in, bool in_order)
{
	struct conn *c = in->c;
	struct engine *e = in->e;

	if (in_order ? e->held < e->held_max : e->held < e->held_max / 4 * 3 && c->rcv_queued <= c->rcvbuf)
		return true;
	if (in_order && conn_has_hole(c)) {
		reasm_purge(e, c);
		repair_settle(e, c);
		e->stats.rcv_pruned++;
	}
	if (in_order && e->held < e->held_max + e->held_max / 8)
		return true;
	e->stats.rcvq_drop++;
	return false;
}

/* Linux's tcp_measure_rcv_mss(): what the peer uses as full size, to count two of them per ACK. */
static void measure_rcv_mss(struct conn *c, uint32_t len)
{
	if (len > c->rcv_mss)
		c->rcv_mss = len < c->mss ? len : c->mss;
}

void input_schedule_ack(struct input *in)
{
	struct conn *c = in->c;

	c->ack_pending = true;
	if (conn_has_hole(c) || c->rcv_nxt - c->rcv_wup > c->rcv_mss) {
		input_ack_now(in);
	} else if (c->ack_now) {
		return;
	} else if (c->quickacks && !c->pingpong) {
		c->quickacks--;
		c->ack_now = true;
	} else {
		timer_ack_delayed(in->e, c);
	}
}

/* Text in one mbuf, as nearly all is: where it is small it needs none of its own. */
static void queue_single(struct input *in, const struct text *t)
{
	struct conn *c = in->c;
	struct rte_mbuf *m = in->m;

	c->rcv_nxt += t->len;
	if (rcvq_copy(in->e, c, m, t->seq, rte_pktmbuf_mtod_offset(m, const void *, t->skip), t->len))
		return;
	in->m = NULL;
	*pkt(m) = (struct pkt){.seq = t->seq, .off = m->data_off + t->skip, .len = t->len};
	rcvq_push(in->e, c, m);
}

static void queue_chain(struct input *in, struct text *t)
{
	struct conn *c = in->c;
	struct rte_mbuf *chain = in->m, *m;

	in->m = NULL;
	while ((m = next_part(&chain, t))) {
		c->rcv_nxt += pkt(m)->len;
		if (c->rx_stamp)
			notice_arrival(in->e, m);
		rcvq_append(in->e, c, m);
	}
}

static void queue_in_order(struct input *in, struct text *t)
{
	struct conn *c = in->c;
	bool filled_gap = conn_has_hole(c);

	if (in->m->next || c->rx_stamp)
		queue_chain(in, t);
	else
		queue_single(in, t);
	if (filled_gap) {
		reasm_merge(in->e, c);
		input_ack_now(in); /* RFC 5681 4.2: at once when a gap is filled, wholly or in part */
	}
}

static void queue_out_of_order(struct input *in, struct text *t)
{
	struct rte_mbuf *chain = in->m, *m;

	in->m = NULL;
	in->e->stats.ofo_queue++;
	extra_of(in->e, in->c)->rcv_ooopack++;
	in->c->quickacks = in->c->quickacks < 2 ? 2 : in->c->quickacks;
	while ((m = next_part(&chain, t))) {
		if (in->c->rx_stamp)
			notice_arrival(in->e, m);
		reasm_insert(in->e, in->c, m);
	}
	input_ack_now(in);
}

/* What the segment added to the queues; nothing where it was copied into the tail of another. */
static uint32_t occupied(const struct conn *c, uint32_t before, uint32_t len)
{
	return c->rcv_queued > before ? c->rcv_queued - before : len;
}

void input_queue_text(struct input *in)
{
	struct conn *c = in->c;
	uint32_t before = c->rcv_queued, len;
	struct text t;

	c->data_segs_in++;
	c->last_data_ms = (uint32_t)(in->e->now / 1000);
	measure_rcv_mss(c, in->seg.len);
	if (!trim(in, &t))
		return;
	if (c->ecn_ok)
		ecn_data_received(in->e, c, &in->seg);
	if (!room_for(in, t.seq == c->rcv_nxt)) {
		input_ack_now(in);
		return;
	}
	len = t.len;
	c->bytes_received += len;
	if (t.seq != c->rcv_nxt) {
		queue_out_of_order(in, &t);
		tune_received(in, len, occupied(c, before, len));
		return;
	}
	queue_in_order(in, &t);
	tune_received(in, len, occupied(c, before, len));
	in->ack_due = true;
	listener_child_data(in->e, c);
	/* After SHUT_RD the bytes are taken and forgotten, as on Linux the reader sees end of stream. */
	ready_received(in->e, c);
}
