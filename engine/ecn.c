/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ecn.c - explicit congestion notification (RFC 3168 section 6.1): negotiation, which packets are ECN-capable, the receiver's
 * echo and the sender's answer to it, the CWR state.  For DCTCP (RFC 8257) the echo follows each segment instead, and everything
 * is ECN-capable, as on Linux.
 *
 * AccECN's values of tcp_ecn mean what they fall back to where the peer does not speak it.
 */
#include "engine/tcp_input.h"

#define NOT_ECT 0
#define ECT_0 2
#define CE 3
#define CODEPOINT 3 /* of the type of service */
#define ECN_SETUP (TH_ECE | TH_CWR)
#define QUICK_ACKS 2

static bool needs_ecn(const struct conn *c)
{
	return cc_ops(c->cc.algo)->needs_ecn;
}

/* ---- negotiation (6.1.1) ---- */

static bool wanted(const struct engine *e, const struct conn *c)
{
	int64_t v = e->cfg.tcp.ecn;

	return v == 1 || v == 3 || v == 4 || needs_ecn(c);
}

uint8_t ecn_syn_flags(const struct engine *e, struct conn *c)
{
	if (c->state != SYN_SENT)
		return c->ecn_ok ? TH_ECE : 0;
	/* 6.1.1.1: a network that drops such SYNs must not keep the connection from opening. */
	if (!wanted(e, c) || (c->retransmits && e->cfg.tcp.ecn_fallback))
		return 0;
	c->ecn_asked = true;
	return ECN_SETUP;
}

uint8_t ecn_syn_codepoint(const struct conn *c, uint8_t flags)
{
	return needs_ecn(c) && (flags & TH_ECE) ? ECT_0 : NOT_ECT;
}

void ecn_learn_syn(const struct engine *e, struct conn *c, const struct seg *s)
{
	bool setup = (s->flags & ECN_SETUP) == ECN_SETUP, capable = s->tos & CODEPOINT;

	if (s->flags & TH_ACK)
		c->ecn_ok = c->ecn_asked && (s->flags & ECN_SETUP) == TH_ECE;
	else if (c->state == SYN_SENT)
		c->ecn_ok = c->ecn_asked && setup;
	else
		/* A SYN must not be ECN-capable; one that is comes from DCTCP, or from a network that writes into the field. */
		c->ecn_ok = setup && ((e->cfg.tcp.ecn && !capable) || needs_ecn(c));
}

/* ---- what we send ---- */

/* 6.1.4 to 6.1.6: only data that goes for the first time: no pure ACK, no retransmission, no window probe. */
uint8_t ecn_codepoint(const struct conn *c, bool new_data)
{
	return c->ecn_ok && (new_data || needs_ecn(c)) ? ECT_0 : NOT_ECT;
}

uint8_t ecn_flags(struct conn *c, bool new_data)
{
	uint8_t flags = c->ecn_ok && c->ecn_echo ? TH_ECE : 0;

	if (!c->ecn_ok || !new_data || !c->ecn_queue_cwr)
		return flags;
	c->ecn_queue_cwr = false;
	return flags | TH_CWR;
}

/* ---- the receiver (6.1.3) ---- */

/* RFC 8257 3.2: the echo is that of the segments it acknowledges; where it changes, those before the change have an ACK of their
 * own, the one thing that input sends: at the end of the burst it would be too late. */
static void follow_marks(struct engine *e, struct conn *c, bool marked)
{
	if (marked == c->cc.ce_state)
		return;
	if (c->rcv_nxt != c->rcv_wup)
		tcp_send_ack(e, c);
	c->cc.ce_state = c->ecn_echo = marked;
	c->ack_now = true;
	tcp_want_output(e, c);
}

/* The sender's window may be small now: ACKs must not wait (as Linux). */
static void ack_quickly(struct conn *c)
{
	if (c->quickacks < QUICK_ACKS)
		c->quickacks = QUICK_ACKS;
	c->pingpong = false;
}

void ecn_data_received(struct engine *e, struct conn *c, const struct seg *s)
{
	uint8_t codepoint = s->tos & CODEPOINT;

	if (codepoint)
		c->ecn_seen = true;
	if (needs_ecn(c)) {
		follow_marks(e, c, codepoint == CE);
		return;
	}
	if (s->flags & TH_CWR) {
		c->ecn_echo = false;
		c->ack_now = true;
		tcp_want_output(e, c);
	}
	if (codepoint == CE && !c->ecn_echo) {
		c->ecn_echo = true;
		ack_quickly(c);
	}
}

/* ---- the sender (6.1.2) ---- */

void ecn_window_reduced(struct conn *c)
{
	c->ecn_queue_cwr = c->ecn_ok;
}

/* As to loss, but nothing is to be sent again, and there is nothing to undo. */
void ecn_enter_cwr(struct engine *e, struct conn *c, const struct ack *a)
{
	c->cc.ssthresh = cc_ops(c->cc.algo)->on_ece(&c->cc, e->now);
	prr_begin(c, a->acked, a->sacked);
	c->undo_armed = false;
	c->recovery_point = c->snd_nxt;
	c->ca_state = CA_CWR;
	ecn_window_reduced(c);
}
