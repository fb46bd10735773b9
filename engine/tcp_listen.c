/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_listen.c - LISTEN (RFC 9293 section 3.10.7.2): children, the SYN queue and the accept queue, both bounded.  Beyond the
 * bound of the SYN queue, syncookie.c; data in the SYN, fastopen.c.
 */
#include <string.h>
#include <sys/epoll.h>

#include "engine/fastopen.h"

/* What a child inherits from its listener, as on Linux. */
static void inherit(struct conn *child, const struct conn *l)
{
	child->f.reuse_addr = l->f.reuse_addr;
	child->f.reuse_port = l->f.reuse_port;
	child->nodelay = l->nodelay;
	child->cork = l->cork;
	child->keepalive = l->keepalive;
	child->oob_inline = l->oob_inline;
	child->rx_stamp = l->rx_stamp;
	child->recverr = l->recverr;
	child->sndbuf = l->sndbuf;
	child->rcvbuf = l->rcvbuf;
	child->sndbuf_locked = l->sndbuf_locked;
	child->rcvbuf_locked = l->rcvbuf_locked;
	child->user_mss = l->user_mss;
	child->keepcnt = l->keepcnt;
	child->linger_on = l->linger_on;
	child->syn_retries = l->syn_retries;
	child->rcvlowat = l->rcvlowat;
	child->notsent_lowat = l->notsent_lowat;
	child->pmtudisc = l->pmtudisc;
	child->window_clamp = l->window_clamp;
	child->tos = l->tos;
	child->ttl = l->ttl;
	child->fo_no_cookie = l->fo_no_cookie;
	child->cc.algo = l->cc.algo;
}

/* Those that few have. */
static void inherit_extra(struct engine *e, struct conn *child, const struct conn *l)
{
	const struct extra *from = conn_extra(l);
	struct extra *to;

	if (!from->linger_s && !from->linger2_s && !from->keepidle_s && !from->keepintvl_s && !from->user_timeout_ms &&
	    from->max_pacing_rate == UINT64_MAX)
		return;
	to = extra_of(e, child);
	to->linger_s = from->linger_s;
	to->linger2_s = from->linger2_s;
	to->keepidle_s = from->keepidle_s;
	to->keepintvl_s = from->keepintvl_s;
	to->user_timeout_ms = from->user_timeout_ms;
	to->max_pacing_rate = from->max_pacing_rate;
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

bool listener_is_full(struct engine *e, const struct conn *l)
{
	if (!accept_queue_full(l))
		return false;
	e->stats.listen_overflows++;
	e->stats.listen_drops++;
	return true;
}

void listener_shape(struct input *in, const struct conn *l, struct conn *child)
{
	inherit(child, l);
	child->f.t = in->seg.t;
	child->ts_offset = conn_ts_offset(in->e, &child->f.t);
	tcp_choose_wscale(in->e, child);
	in->c = child;
	input_learn_syn(in);
}

struct conn *listener_spawn(struct input *in, struct conn *l, seq_t iss)
{
	struct conn *child = conn_new(in->e);

	if (!child) {
		in->e->stats.no_conn++;
		in->e->stats.listen_drops++;
		return NULL;
	}
	conn_choose_cc(in->e, child, l->cc.algo);
	listener_shape(in, l, child);
	inherit_extra(in->e, child, l);
	child->iss = child->snd_una = child->cwnd_limited_seq = iss;
	child->snd_nxt = child->snd_end = child->snd_sml = iss + 1;
	flow_insert(in->e, &child->f);
	child->parent = l;
	child->unaccepted = true;
	list_add_tail(&l->syn_queue, &child->accept_link);
	l->nsyn++;
	conn_set_state(in->e, child, SYN_RECEIVED);
	return child;
}

/* TCP_SAVE_SYN: the headers, from IP's on or, with 2, from Ethernet's. Without memory the connection does without. */
static void save_syn(struct input *in, const struct conn *l, struct conn *child)
{
	uint32_t front = in->ip_hdr_len + (l->save_syn == 2 ? ETH_HDR : 0), len = front + in->seg.payload_off;
	struct rte_mbuf *m = l->save_syn && in->e->held < in->e->held_max ? engine_mbuf(in->e) : NULL;

	if (!m)
		return;
	*pkt(m) = (struct pkt){.off = m->data_off, .len = len};
	memcpy(pkt_data(m), rte_pktmbuf_mtod(in->m, uint8_t *) - front, len);
	in->e->held++;
	extra_of(in->e, child)->saved_syn = m;
}

static void listen_syn(struct input *in)
{
	struct engine *e = in->e;
	struct conn *l = in->c, *child;

	if (listener_is_full(e, l))
		return;
	if (syn_queue_full(e, l) && !e->cfg.tcp.syncookies) {
		e->stats.syn_queue_full++;
		e->stats.listen_drops++;
		return;
	}
	if (syn_queue_full(e, l) || e->cfg.tcp.syncookies == 2) {
		syncookie_answer(in);
		return;
	}
	child = listener_spawn(in, l, conn_choose_iss(e, &in->seg.t));
	if (!child)
		return;
	save_syn(in, l, child);
	child->syn_due = true;
	tcp_want_output(e, child);
	fastopen_syn(in, l);
}

/* RST: ignored. ACK: of a SYN cookie, or of nothing we know. SYN: a new connection; with FIN or RST it is no SYN that a peer
 * means. */
void listener_segment(struct input *in)
{
	uint8_t flags = in->seg.flags;

	if (flags & TH_RST)
		return;
	if (flags & TH_ACK) {
		if ((flags & TH_SYN) || !syncookie_ack(in))
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

	if (!listener_is_full(in->e, child->parent))
		return true;
	if (in->e->cfg.tcp.abort_on_overflow) {
		tcp_send_rst(in->e, child);
		conn_closed(in->e, child);
	}
	return false;
}

void listener_to_accept_queue(struct engine *e, struct conn *child)
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
	int defer_s = conn_extra(child->parent)->defer_accept_s;

	if (defer_s && !in->seg.len && !(in->seg.flags & TH_FIN))
		timer_life(in->e, child, in->e->now + (usec_t)defer_s * 1000000);
	else
		listener_to_accept_queue(in->e, child);
}

void listener_child_data(struct engine *e, struct conn *child)
{
	if (!child->parent || child->in_accept_queue)
		return;
	timer_life(e, child, 0);
	listener_to_accept_queue(e, child);
}
