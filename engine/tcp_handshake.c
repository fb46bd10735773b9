/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_handshake.c - how a connection comes to be ESTABLISHED: SYN-SENT (RFC 9293 3.10.7.3) and the end of SYN-RECEIVED (3.10.7.4,
 * fifth), with data in SYNs (RFC 7413) and what strangers send in between.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "engine/fastopen.h"

/* ---- SYN-RECEIVED ---- */

/* Our SYN, and what it carried or some of it. */
static bool acks_syn(const struct input *in)
{
	return seq_gt(in->seg.ack, in->c->iss) && seq_leq(in->seg.ack, in->c->snd_nxt);
}

/* As Linux's tcp_check_req(): who ends a handshake saw the timestamp of its SYN,ACK. */
static bool echo_plausible(struct input *in)
{
	struct conn *c = in->c;

	if (!c->ts_ok || !(in->seg.opts & OPT_TS) || !in->seg.tsecr || tcp_ts_plausible(in->e, c, in->seg.tsecr))
		return true;
	in->e->stats.tsecr_rejected++;
	return false;
}

static void active_open_done(struct input *in)
{
	fastopen_synack(in);
	ready_update(in->e, in->c, EPOLLOUT | EPOLLWRNORM);
}

/* RFC 7413 4.2.2: the connection was there before; only now is it certain that the client is. */
static bool complete_fastopen(struct input *in)
{
	struct conn *c = in->c;

	if (!acks_syn(in)) {
		if (c->state == SYN_RECEIVED)
			tcp_send_rst_for(in->e, &in->seg);
		else
			input_challenge_ack(in);
		return false;
	}
	if (!echo_plausible(in))
		return false;
	fastopen_settled(in->e, c, false);
	c->syn_due = false;
	c->retransmits = c->backoff = 0;
	c->rtx_started_ms = 0;
	if (!c->data_segs_out)
		input_syn_acked(in);
	c->snd_wl1 = in->seg.seq - 1; /* the SYN's window was not scaled: this one counts whatever was sent since */
	c->snd_wnd = c->snd_wnd_max = input_window(in);
	if (c->state == SYN_RECEIVED)
		conn_set_state(in->e, c, ESTABLISHED);
	timer_acked(in->e, c, true);
	ready_update(in->e, c, EPOLLOUT | EPOLLWRNORM);
	return true;
}

/* SYN-RECEIVED: the handshake ends here. False: the segment is not the end of it. */
bool handshake_complete(struct input *in)
{
	struct conn *c = in->c;

	if (c->fo_child)
		return complete_fastopen(in);
	if (!acks_syn(in)) {
		tcp_send_rst_for(in->e, &in->seg);
		return false;
	}
	if (!echo_plausible(in))
		return false;
	if (c->parent && !listener_has_room(in))
		return false;
	c->snd_una = c->iss + 1;
	c->syn_due = false;
	c->snd_wnd = c->snd_wnd_max = input_window(in);
	c->snd_wl1 = in->seg.seq;
	input_syn_acked(in);
	conn_init_transfer(in->e, c);
	conn_set_state(in->e, c, ESTABLISHED);
	if (c->parent)
		listener_child_ready(in);
	else
		active_open_done(in);
	return true;
}

/*
 * A bare SYN that meets our own proves nothing: whoever guesses the ports can send one and have us take his numbers for the
 * peer's. A SYN,ACK that acknowledges our SYN comes from who has seen it; it wins, whatever the other said.
 */
void handshake_outdo_bare_syn(struct input *in)
{
	struct conn *c = in->c;
	bool active_open = c->state == SYN_RECEIVED && !c->parent && !c->fo_child;

	if (!active_open || (in->seg.flags & (TH_SYN | TH_ACK | TH_RST)) != (TH_SYN | TH_ACK) || in->seg.seq == c->irs ||
	    !acks_syn(in))
		return;
	input_learn_syn(in);
	input_ack_now(in);
}

/* RFC 7413 4.2.2: the SYN of a Fast Open again, with its data or without: our SYN,ACK was lost. */
bool handshake_syn_again(struct input *in)
{
	struct conn *c = in->c;

	if (!c->fo_child || (in->seg.flags & (TH_SYN | TH_ACK | TH_RST)) != TH_SYN || in->seg.seq != c->irs)
		return false;
	if (input_answer_allowed(in)) {
		c->syn_due = true;
		tcp_want_output(in->e, c);
	}
	return true;
}

/* ---- 3.10.7.3: SYN-SENT ---- */

static bool syn_sent_check_ack(struct input *in)
{
	if (!(in->seg.flags & TH_ACK) || acks_syn(in))
		return true;
	tcp_send_rst_for(in->e, &in->seg);
	return false;
}

/* The peer's SYN with what it offers. */
void input_learn_syn(struct input *in)
{
	struct conn *c = in->c;
	const struct seg *s = &in->seg;
	const struct tcp_settings *t = &in->e->cfg.tcp;

	c->irs = s->seq;
	c->rcv_nxt = c->rcv_wup = c->copied_seq = s->seq + 1;
	c->peer_mss = (s->opts & OPT_MSS) && s->mss ? s->mss : 536; /* RFC 9293 MUST-15 */
	c->ts_ok = (s->opts & OPT_TS) && t->timestamps;
	c->sack_ok = (s->opts & OPT_SACK_PERMITTED) && t->sack;
	c->wscale_ok = (s->opts & OPT_WSCALE) && t->window_scaling;
	c->snd_wscale = c->wscale_ok ? s->wscale : 0;
	if (!c->wscale_ok)
		c->rcv_wscale = 0;
	if (c->ts_ok) {
		c->ts_recent = s->tsval;
		c->ts_recent_at = in->e->now;
	}
	c->snd_wnd = c->snd_wnd_max = s->wnd; /* RFC 7323 2.2: never scaled in a SYN */
	c->snd_wl1 = s->seq;
	c->rcv_ssthresh = tcp_syn_window(in->e, c);
	c->rcv_adv = c->rcv_nxt + c->rcv_ssthresh;
	tcp_sync_mss(in->e, c);
	ecn_learn_syn(in->e, c, s);
}

static void syn_sent_established(struct input *in)
{
	struct conn *c = in->c;

	c->snd_una = c->iss + 1;
	c->bytes_acked = 1; /* Linux counts the SYN of an active open */
	c->syn_due = false;
	if (in->seg.ack == c->snd_una)
		input_syn_acked(in);
	conn_init_transfer(in->e, c);
	conn_set_state(in->e, c, ESTABLISHED);
	if (in->seg.ack != c->snd_una)
		input_process_ack(in);
	active_open_done(in);
	c->last_rcv_at = in->e->now;
	c->ack_now = true; /* it may go with the request that the user has ready */
}

/* SYN without ACK: simultaneous open (figure 7). */
static void syn_sent_simultaneous(struct input *in)
{
	struct conn *c = in->c;

	conn_set_state(in->e, c, SYN_RECEIVED);
	c->syn_due = true;
	tcp_want_output(in->e, c);
}

bool handshake_syn_sent(struct input *in)
{
	struct conn *c = in->c;
	const struct seg *s = &in->seg;

	if (!syn_sent_check_ack(in))
		return false;
	/* RFC 7323 3.2: an echo we never sent is of another connection. */
	if ((s->flags & TH_ACK) && (s->opts & OPT_TS) && s->tsecr && !tcp_ts_plausible(in->e, c, s->tsecr)) {
		in->e->stats.paws_active++;
		tcp_send_rst_for(in->e, s);
		return false;
	}
	if (s->flags & TH_RST) {
		if (s->flags & TH_ACK)
			conn_fail(in->e, c, ECONNREFUSED);
		return false;
	}
	if (!(s->flags & TH_SYN))
		return false;
	input_learn_syn(in);
	if (!(s->flags & TH_ACK)) {
		syn_sent_simultaneous(in);
		return false;
	}
	syn_sent_established(in);
	input_behind_syn(in);
	return true;
}
