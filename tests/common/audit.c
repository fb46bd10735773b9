/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * audit.c - the engine's books, added up anew; see audit.h.  Knows the control block's queues and sums (conn.h), not how they
 * come about.
 */
#include "engine/stack.h"
#include "tests/common/audit.h"

/* What the packets of one queue amount to. */
struct sums {
	uint32_t packets, truesize, bytes;
	uint32_t sacked, lost, retrans;
	const char *fault;
};

static void add(struct sums *s, struct rte_mbuf *m)
{
	const struct pkt *p = pkt(m);

	s->packets++;
	s->truesize += pkt_truesize(m);
	s->bytes += p->len;
	s->sacked += p->flags & PKT_SACKED ? p->len : 0;
	s->lost += p->flags & PKT_LOST ? p->len : 0;
	s->retrans += p->flags & PKT_RETRANS ? p->len : 0;
	if (__builtin_popcount(p->flags & (PKT_SACKED | PKT_LOST | PKT_RETRANS)) > 1)
		s->fault = "a packet in two conditions of the scoreboard at once";
	if (!p->len)
		s->fault = "an empty packet in a queue";
	else if (p->off + p->len > m->buf_len)
		s->fault = "a packet's payload lies outside of its buffer";
}

/* holes: may there be room between two packets?  Never an overlap. */
static struct sums sum_queue(const struct pktq *q, bool holes)
{
	struct sums s = {0};
	struct rte_mbuf *last = NULL;

	for (struct rte_mbuf *m = q->head; m && !s.fault; last = m, m = pkt(m)->next) {
		add(&s, m);
		if (last && (holes ? seq_lt(pkt(m)->seq, pkt_end(last)) : pkt(m)->seq != pkt_end(last)))
			s.fault = holes ? "packets overlap in the out-of-order queue" : "a queue with a gap or an overlap";
	}
	if (!s.fault && last != q->tail)
		s.fault = "a queue's tail is not its last packet";
	return s;
}

static const char *audit_send(const struct conn *c, const struct sums *s)
{
	if (s->fault)
		return s->fault;
	if (s->truesize != c->snd_queued)
		return "snd_queued is not what the send queue holds";
	/* Without SACK it counts duplicate ACKs instead (RFC 5681). */
	if (c->sack_ok && s->sacked != c->sacked_out)
		return "sacked_out is not what the packets say";
	if (s->lost != c->lost_out)
		return "lost_out is not what the packets say";
	if (s->retrans != c->retrans_out)
		return "retrans_out is not what the packets say";
	if (seq_gt(c->snd_una, c->snd_nxt))
		return "snd_una is beyond snd_nxt";
	if (c->sndq.head && seq_geq(c->snd_una, pkt_end(c->sndq.head)))
		return "an acknowledged packet is still queued";
	if (c->sndq.tail && pkt_end(c->sndq.tail) != c->snd_end)
		return "snd_end is not the end of the send queue";
	return NULL;
}

static const char *audit_receive(const struct conn *c, const struct sums *in_order, const struct sums *ofo)
{
	if (in_order->fault)
		return in_order->fault;
	if (ofo->fault)
		return ofo->fault;
	if (in_order->truesize + ofo->truesize != c->rcv_queued)
		return "rcv_queued is not what the receive queues hold";
	if (conn_has_hole(c) && seq_leq(pkt(c->repair->ofoq.head)->seq, c->rcv_nxt))
		return "the out-of-order queue holds what is in order";
	if (c->rcvq.head && seq_gt(pkt(c->rcvq.head)->seq, c->copied_seq))
		return "the receive queue begins behind what the user is to read next";
	return NULL;
}

/* What repair.c promises: it is there while something needs it, and not for longer than until the connection had its turn. */
static const char *audit_repair(const struct conn *c)
{
	bool open = c->state != CLOSED && c->state != LISTEN;
	bool amiss = c->ca_state != CA_OPEN || c->sacked_out || c->lost_out || c->retrans_out || c->tlp_out || c->undo_armed ||
		     c->nofo_recent || c->dsack_pending || conn_has_hole(c);

	if (!c->repair)
		return open && amiss ? "something is amiss, and the control block has nothing to repair it with" : NULL;
	if (!open || (!amiss && !list_linked(&c->out_link)))
		return "a control block holds on to what repairs it";
	return NULL;
}

struct audit {
	uint64_t unread;
	const char *fault;
	uint32_t packets, nunread, extras, repairs, models;
};

static void audit_conn(struct conn *c, void *arg)
{
	struct audit *a = arg;
	const struct pktq later =
	    c->repair ? (struct pktq){c->repair->ofoq.head, c->repair->ofoq.tail} : (struct pktq){NULL, NULL};
	struct sums snd = sum_queue(&c->sndq, false), rcv = sum_queue(&c->rcvq, false), ofo = sum_queue(&later, true);

	a->packets += snd.packets + rcv.packets + ofo.packets + !!conn_extra(c)->fo_keys + !!conn_extra(c)->saved_syn;
	if (!a->fault)
		a->fault = audit_send(c, &snd);
	if (!a->fault)
		a->fault = audit_receive(c, &rcv, &ofo);
	if (!a->fault)
		a->fault = audit_repair(c);
	a->unread += c->rcv_queued;
	a->nunread += c->rcv_queued != 0;
	a->repairs += c->repair != NULL;
	a->extras += c->extra != NULL;
	a->models += cc_ops(c->cc.algo)->has_model;
}

const char *audit_engine(struct engine *e)
{
	struct audit a = {0};

	engine_each(e, audit_conn, &a);
	if (!a.fault && a.packets != e->held)
		a.fault = "the engine's count of held packets is not what the queues hold";
	if (!a.fault && (a.unread != e->unread || a.nunread != e->nunread))
		a.fault = "the engine's count of what is unread is not what the queues hold";
	if (!a.fault && a.models != e->models.used)
		a.fault = "the engine's count of models is not what the control blocks hold";
	if (!a.fault && a.extras != e->extras.used)
		a.fault = "the engine's count of extras is not what the control blocks hold";
	if (!a.fault && a.repairs != e->repairs.used)
		a.fault = "the engine's count of repairs is not what the control blocks hold";
	return a.fault;
}

uint32_t audit_send_seq(const struct conn *c)
{
	return c->snd_end;
}

uint32_t audit_recv_seq(const struct conn *c)
{
	return c->copied_seq;
}

uint32_t audit_waiting(const struct engine *e)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < NEIGH_MAX; i++)
		n += e->neighs[i].nqueue;
	return n;
}
