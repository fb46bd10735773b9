/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_listen.c - LISTEN (RFC 9293 section 3.10.7.2): children, the SYN queue and the accept queue, both bounded.
 */
#include <sys/epoll.h>

#include "engine/tcp_input.h"

/* What a child inherits from its listener, as on Linux. */
static void inherit(struct conn *child, const struct conn *l)
{
	child->f.reuse_addr = l->f.reuse_addr;
	child->f.reuse_port = l->f.reuse_port;
	child->nodelay = l->nodelay;
	child->cork = l->cork;
	child->keepalive = l->keepalive;
	child->oob_inline = l->oob_inline;
	child->sndbuf = l->sndbuf;
	child->rcvbuf = l->rcvbuf;
	child->sndbuf_locked = l->sndbuf_locked;
	child->rcvbuf_locked = l->rcvbuf_locked;
	child->user_mss = l->user_mss;
	child->keepidle_s = l->keepidle_s;
	child->keepintvl_s = l->keepintvl_s;
	child->keepcnt = l->keepcnt;
	child->user_timeout_ms = l->user_timeout_ms;
	child->linger_on = l->linger_on;
	child->linger_s = l->linger_s;
	child->linger2_s = l->linger2_s;
	child->syn_retries = l->syn_retries;
	child->rcvlowat = l->rcvlowat;
	child->notsent_lowat = l->notsent_lowat;
	child->window_clamp = l->window_clamp;
	child->tos = l->tos;
	child->ttl = l->ttl;
	child->cc.algo = l->cc.algo;
}

static bool accept_queue_full(const struct conn *l)
{
	return l->naccept > l->backlog; /* one more than the backlog, as on Linux */
}

/* Not bounded by the backlog: a small one must not make clients that arrive together wait for each other's round trips. */
static bool syn_queue_full(const struct engine *e, const struct conn *l)
{
	return l->nsyn >= e->cfg.tcp.max_syn_backlog;
}

static bool may_open(struct engine *e, struct conn *l)
{
	if (accept_queue_full(l)) {
		e->stats.listen_overflows++;
		return false;
	}
	if (syn_queue_full(e, l)) {
		e->stats.syn_queue_full++;
		return false;
	}
	return true;
}

static void open_child(struct input *in, struct conn *l, struct conn *child)
{
	inherit(child, l);
	child->f.t = in->seg.t;
	child->iss = conn_choose_iss(in->e, &child->f.t);
	child->ts_offset = conn_ts_offset(in->e, &child->f.t);
	child->snd_una = child->iss;
	child->snd_nxt = child->snd_end = child->snd_up = child->snd_sml = child->iss + 1;
	child->cwnd_limited_seq = child->iss;
	tcp_choose_wscale(in->e, child);
	in->c = child;
	input_learn_syn(in);
	flow_insert(in->e, &child->f);
	child->parent = l;
	list_add_tail(&l->syn_queue, &child->accept_link);
	l->nsyn++;
	conn_set_state(in->e, child, SYN_RECEIVED);
	child->syn_due = true;
	tcp_want_output(in->e, child);
}

static void listen_syn(struct input *in)
{
	struct conn *l = in->c, *child;

	if (!may_open(in->e, l)) {
		in->e->stats.listen_drops++;
		return;
	}
	child = conn_new(in->e);
	if (!child) {
		in->e->stats.no_conn++;
		in->e->stats.listen_drops++;
		return;
	}
	open_child(in, l, child);
}

/* RST: ignored. ACK: of nothing we know. SYN: a new connection; with FIN or RST it is no SYN that a peer means. */
void listener_segment(struct input *in)
{
	uint8_t flags = in->seg.flags;

	if (flags & TH_RST)
		return;
	if (flags & TH_ACK) {
		tcp_send_rst_for(in->e, &in->seg);
		return;
	}
	if ((flags & TH_SYN) && !(flags & TH_FIN))
		listen_syn(in);
}

/* The accept queue filled up meanwhile: the client's ACK is ignored and our SYN,ACK will be sent again. */
bool listener_has_room(struct input *in)
{
	struct conn *child = in->c;

	if (!accept_queue_full(child->parent))
		return true;
	in->e->stats.listen_overflows++;
	in->e->stats.listen_drops++;
	if (in->e->cfg.tcp.abort_on_overflow) {
		tcp_send_rst(in->e, child);
		conn_closed(in->e, child);
	}
	return false;
}

static void to_accept_queue(struct engine *e, struct conn *child)
{
	struct conn *l = child->parent;

	list_del(&child->accept_link);
	l->nsyn--;
	list_add_tail(&l->accept_queue, &child->accept_link);
	child->in_accept_queue = true;
	l->naccept++;
	e->stats.passive_opens++;
	ready_update(e, l, EPOLLIN | EPOLLRDNORM);
}

void listener_child_ready(struct input *in)
{
	struct conn *child = in->c;
	int defer_s = child->parent->defer_accept_s;

	if (defer_s && !in->seg.len && !(in->seg.flags & TH_FIN))
		timer_life(in->e, child, in->e->now + (usec_t)defer_s * 1000000);
	else
		to_accept_queue(in->e, child);
}

void listener_child_data(struct engine *e, struct conn *child)
{
	if (!list_linked(&child->accept_link) || child->in_accept_queue)
		return;
	timer_life(e, child, 0);
	to_accept_queue(e, child);
}
