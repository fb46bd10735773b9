/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_user.c - the user's calls (RFC 9293 section 3.9.1 and 3.10.1-3.10.5) with POSIX's results: OPEN is bind, listen, connect
 * and accept; RECEIVE, CLOSE and ABORT the rest.  SEND is in tcp_send.c, STATUS in tcp_status.c.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "engine/fastopen.h"
#include "engine/notice.h"

struct conn *engine_socket(struct engine *e)
{
	return conn_new(e);
}

void engine_set_user(struct conn *c, uint64_t user)
{
	c->user = user;
}

uint64_t engine_user(const struct conn *c)
{
	return c->user;
}

/* ---- OPEN ---- */

static void take_port(struct engine *e, struct conn *c, const struct ip_addr *addr, uint16_t port)
{
	c->f.t.laddr = *addr;
	c->f.t.lport = port;
	c->bound = true;
	port_remove(&c->f);
	port_add(e, &c->f);
}

int engine_bind(struct engine *e, struct conn *c, const struct endpoint *local)
{
	uint16_t port = local->port;

	if (c->state != CLOSED || c->bound)
		return -EINVAL;
	if (!ip_is_any(&local->addr) && !engine_is_local(e, &local->addr))
		return -EADDRNOTAVAIL;
	if (port ? !port_bindable(e, c, &local->addr, port) : !(port = port_pick_bind(e, c, &local->addr)))
		return -EADDRINUSE;
	take_port(e, c, &local->addr, port);
	c->bound_addr = !ip_is_any(&local->addr);
	c->bound_port = local->port != 0;
	return 0;
}

static uint32_t clamp_backlog(const struct engine *e, int backlog)
{
	/* As Linux: compared unsigned, so that negative means the most. */
	return (uint32_t)backlog > e->cfg.tcp.somaxconn ? (uint32_t)e->cfg.tcp.somaxconn : (uint32_t)backlog;
}

/* Two listeners may share an address and port only if both said SO_REUSEPORT. */
static bool listen_conflict(struct engine *e, struct conn *c)
{
	struct conn *other = listener_find(e, &c->f.t, 0);

	return other && other != c && ip_equal(&other->f.t.laddr, &c->f.t.laddr) && !(other->f.reuse_port && c->f.reuse_port);
}

int engine_listen(struct engine *e, struct conn *c, int backlog, usec_t now)
{
	struct endpoint any = {.port = 0};
	int rc;

	set_now(e, now);
	if (c->state != LISTEN) {
		if (c->state != CLOSED)
			return -EINVAL;
		rc = c->bound ? 0 : engine_bind(e, c, &any);
		if (rc < 0)
			return rc;
		if (listen_conflict(e, c))
			return -EADDRINUSE;
		notice_forget_icmp(e, c);
		list_init(&c->accept_queue);
		list_init(&c->syn_queue);
		c->naccept = c->nsyn = c->syn_flood = 0;
		c->backlog = clamp_backlog(e, backlog);
		fastopen_listen(e, c);
		c->rcv_shutdown = c->snd_shutdown = false;
		port_remove(&c->f);
		port_add(e, &c->f);
		conn_set_state(e, c, LISTEN);
	}
	c->backlog = clamp_backlog(e, backlog);
	return 0;
}

struct conn *engine_accept(struct engine *e, struct conn *c, int *err)
{
	struct conn *child;
	struct list *l;

	if (c->state != LISTEN) {
		*err = -EINVAL;
		return NULL;
	}
	l = list_pop(&c->accept_queue);
	if (!l) {
		*err = -EAGAIN;
		return NULL;
	}
	child = container_of(l, struct conn, accept_link);
	child->in_accept_queue = false;
	if (!child->fo_child)
		child->parent = NULL;
	ready_accepted(e, child);
	c->naccept--;
	ready_update(e, c, 0);
	return child;
}

/* ---- RECEIVE ---- */

/* How far the user is from the urgent byte; kept out of the way of those who have none. */
static __attribute__((noinline)) uint32_t distance_to_mark(const struct conn *c)
{
	return conn_extra(c)->rcv_up - c->copied_seq;
}

/* Where recv() must stop: at the urgent byte, which is not part of the stream unless SO_OOBINLINE. */
static uint32_t readable_before_mark(const struct conn *c, uint32_t avail)
{
	uint32_t to_mark;

	if (!c->urg_valid)
		return avail;
	to_mark = distance_to_mark(c);
	return to_mark && to_mark < avail ? to_mark : avail;
}

/* A cursor over the caller's buffers. */
struct sink {
	const struct iovec *iov;
	int iovcnt;
	size_t off;
	bool discard; /* MSG_TRUNC */
};

static void sink_put(struct sink *s, const uint8_t *src, uint32_t len)
{
	while (len) {
		size_t n = s->iov->iov_len - s->off;

		if (!n) {
			s->iov++;
			s->off = 0;
			continue;
		}
		if (n > len)
			n = len;
		if (!s->discard)
			memcpy((char *)s->iov->iov_base + s->off, src, n);
		s->off += n;
		src += n;
		len -= n;
	}
}

/* Copy n bytes from the head of the queue, skipping the first `skip`; nothing is taken off. */
static void copy_out(struct engine *e, struct conn *c, struct sink *s, uint32_t skip, uint32_t n)
{
	e->copy_whole = 0;
	e->copying = c;
	for (struct rte_mbuf *m = c->rcvq.head; n; m = pkt(m)->next) {
		uint32_t len = pkt(m)->len;

		if (skip >= len) {
			skip -= len;
			continue;
		}
		len -= skip;
		if (len > n)
			len = n;
		if (len < n)
			pkt_fetch_ahead(pkt(m)->next, 0);
		sink_put(s, pkt_data(m) + skip, len);
		skip = 0;
		n -= len;
		/* A single packet is whole or nothing. */
		if (n)
			e->copy_whole += len;
	}
	e->copying = NULL;
}

/* Take n bytes off the queue.  True if a packet's room came free by that. */
static inline __attribute__((always_inline)) bool consume(struct engine *e, struct conn *c, uint32_t n)
{
	bool freed = false;

	c->copied_seq += n;
	while (n) {
		struct rte_mbuf *m = c->rcvq.head;

		if (pkt(m)->len > n) {
			pkt(m)->off += n;
			pkt(m)->seq += n;
			pkt(m)->len -= n;
			return freed;
		}
		n -= pkt(m)->len;
		pktq_pop(&c->rcvq);
		conn_uncharge_rcv(e, c, m);
		engine_free(e, m);
		freed = true;
	}
	return freed;
}

/* RFC 9293 3.8.6.2.2: tell the sender about room only when there is much of it: twice what he knows of, as Linux. */
static bool worth_telling(const struct conn *c, uint32_t known, uint32_t offer)
{
	return offer > known && (offer >= 2 * known || offer - known >= c->rcvbuf / 2);
}

static void maybe_update_window(struct engine *e, struct conn *c)
{
	uint32_t known = seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0;

	/* No offer is larger than rcv_ssthresh: mostly that is not worth telling. */
	if (!worth_telling(c, known, c->rcv_ssthresh))
		return;
	if (!(STATE_BIT(c->state) & (STATE_BIT(ESTABLISHED) | STATE_BIT(FIN_WAIT_1) | STATE_BIT(FIN_WAIT_2))) || c->rcv_shutdown)
		return;
	if (worth_telling(c, known, tcp_window_offer(e, c))) {
		c->ack_now = true;
		tcp_want_output(e, c);
	}
}

/* Pass over the urgent byte when the reader stands on it. */
static uint32_t skip_urgent(struct conn *c, uint32_t avail)
{
	if (!c->urg_valid || c->oob_inline || distance_to_mark(c) || !avail)
		return 0;
	return 1;
}

static ssize_t recv_urgent(struct engine *e, struct conn *c, const struct iovec *iov, int iovcnt, int flags)
{
	if (c->oob_inline || !c->urg_valid || c->urg_taken)
		return -EINVAL;
	if (c->state == CLOSED && !c->urg_seen)
		return -ENOTCONN;
	if (!c->urg_seen)
		return c->rcv_shutdown ? 0 : -EAGAIN;
	if (!(flags & MSG_PEEK)) {
		c->urg_taken = true;
		ready_update(e, c, 0);
	}
	if (!iov_length(iov, iovcnt))
		return 0;
	if (flags & MSG_TRUNC)
		return 1;
	e->copy_whole = 0;
	e->copying = c;
	*(volatile uint8_t *)iov->iov_base = conn_extra(c)->urg_byte;
	e->copying = NULL;
	return 1;
}

/* The urgent byte is all there is, and the user has passed over it. */
static __attribute__((noinline)) void pass_mark(struct engine *e, struct conn *c)
{
	consume(e, c, 1);
	c->urg_valid = c->urg_taken = false;
	ready_update(e, c, 0);
}

/* An urgent byte is announced, and the user came nearer to it, or passed it. */
static void mark_nearer(struct engine *e, struct conn *c)
{
	if (seq_gt(c->copied_seq, conn_extra(c)->rcv_up))
		c->urg_valid = c->urg_taken = false;
	ready_update(e, c, 0);
}

/* Nothing to read: why. */
static ssize_t recv_nothing(struct conn *c)
{
	if (c->error)
		return -engine_error(c);
	if (c->rcv_shutdown)
		return 0;
	if (c->state == CLOSED || c->state == LISTEN)
		return -ENOTCONN;
	return -EAGAIN;
}

ssize_t engine_recv(struct engine *e, struct conn *c, const struct iovec *iov, int iovcnt, int flags, usec_t now)
{
	struct sink sink = {.iov = iov, .iovcnt = iovcnt, .discard = flags & MSG_TRUNC};
	uint32_t avail = c->rcv_nxt - c->fin_received - c->copied_seq, skip;
	size_t want = iov_length(iov, iovcnt);

	set_now(e, now);
	if (c->state == LISTEN)
		return -ENOTCONN;
	if (flags & MSG_OOB)
		return recv_urgent(e, c, iov, iovcnt, flags);
	skip = skip_urgent(c, avail);
	avail = readable_before_mark(c, avail);
	if (flags & MSG_PEEK)
		skip += e->peek_from;
	else if (avail == skip && skip && want)
		pass_mark(e, c);
	if (avail <= skip)
		return want ? recv_nothing(c) : 0;
	if (want > avail - skip)
		want = avail - skip;
	copy_out(e, c, &sink, skip, want);
	if (c->rx_stamp)
		e->recv_at = notice_arrived(e, c, skip + want);
	if (flags & MSG_PEEK)
		return want;
	/* The window is room for packets: of one that is not read to its end nothing is to be told, nor learnt. */
	if (consume(e, c, skip + want)) {
		tune_copied(e, c);
		maybe_update_window(e, c);
	}
	if (c->urg_valid)
		mark_nearer(e, c);
	else
		ready_taken(c);
	return want;
}

ssize_t engine_peek(struct engine *e, struct conn *c, const struct iovec *iov, int iovcnt, uint32_t from, int flags, usec_t now)
{
	ssize_t n;

	e->peek_from = from;
	n = engine_recv(e, c, iov, iovcnt, flags | MSG_PEEK, now);
	e->peek_from = 0;
	return n;
}

/* ---- CLOSE ---- */

/* The sending side ends behind what is queued: FIN. */
static void queue_fin(struct engine *e, struct conn *c)
{
	c->snd_shutdown = true;
	c->fin_queued = true;
	c->more = false;
	e->spoken.fins++;
	conn_set_state(e, c, c->state == CLOSE_WAIT ? LAST_ACK : FIN_WAIT_1);
	tcp_want_output(e, c);
}

/* A child that nobody accepted: established ones are reset, half-open ones forgotten (the answer to the client's ACK will be the
 * reset). */
static void drop_child(struct engine *e, struct conn *child)
{
	if (child->in_accept_queue && child->state != CLOSED)
		tcp_send_rst(e, child);
	child->orphan = true;
	conn_closed(e, child);
}

static void drop_children(struct engine *e, struct list *queue)
{
	while (!list_empty(queue))
		drop_child(e, container_of(queue->next, struct conn, accept_link));
}

static void stop_listening(struct engine *e, struct conn *c)
{
	drop_children(e, &c->accept_queue);
	drop_children(e, &c->syn_queue);
	fastopen_orphan_children(e, c);
	/* The queues' place is from now on what it is in others (conn.h). */
	c->parent = NULL;
	c->delivered = c->lost = c->delivered_at = c->first_sent_at = 0;
	c->app_limited = c->rate_bytes = c->rate_us = 0;
	c->rack_xmit_at = c->rack_rtt_us = c->rack_end_seq = 0;
	c->rack_valid = false;
	rtt_init(c);
	pace_reset(c);
	conn_closed(e, c);
}

/* States whose end the peer must be told of (RFC 9293 3.10.5, ABORT). */
#define NEEDS_RESET \
	(STATE_BIT(ESTABLISHED) | STATE_BIT(CLOSE_WAIT) | STATE_BIT(FIN_WAIT_1) | STATE_BIT(FIN_WAIT_2) | STATE_BIT(SYN_RECEIVED))

void engine_disconnect(struct engine *e, struct conn *c, usec_t now)
{
	int err = STATE_BIT(c->state) & (NEEDS_RESET | STATE_BIT(SYN_SENT)) ? ECONNRESET : 0;

	set_now(e, now);
	if (STATE_BIT(c->state) & NEEDS_RESET)
		tcp_send_rst(e, c);
	if (c->state == LISTEN)
		stop_listening(e, c);
	else
		conn_closed(e, c);
	conn_purge_queues(e, c);
	c->rcv_nxt = c->copied_seq = 0;
	c->rcv_shutdown = c->snd_shutdown = c->fin_received = c->urg_valid = false;
	c->soft_error = 0;
	c->error = err;
	c->f.t.raddr = (struct ip_addr){0};
	c->f.t.rport = 0;
	c->bound = c->bound_port;
	if (!c->bound_addr)
		c->f.t.laddr = (struct ip_addr){0};
	ready_update(e, c, 0);
}

int engine_shutdown(struct engine *e, struct conn *c, int how, usec_t now)
{
	set_now(e, now);
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	if (c->state == CLOSED)
		return -ENOTCONN;
	/* As on Linux: there is nothing to be half of. */
	if (c->state == SYN_SENT || (c->state == LISTEN && how != SHUT_WR))
		engine_disconnect(e, c, now);
	if (c->state == LISTEN || c->state == CLOSED)
		return 0;
	if (how != SHUT_WR)
		c->rcv_shutdown = true;
	if (how != SHUT_RD && (STATE_BIT(c->state) & (STATE_BIT(ESTABLISHED) | STATE_BIT(SYN_RECEIVED) | STATE_BIT(CLOSE_WAIT))))
		queue_fin(e, c);
	ready_update(e, c, 0);
	return 0;
}

void engine_abort(struct engine *e, struct conn *c, usec_t now)
{
	set_now(e, now);
	c->orphan = true;
	list_del(&c->event_link);
	if (c->state == LISTEN) {
		stop_listening(e, c);
		return;
	}
	/* What was written before goes before. */
	if (list_linked(&c->out_link))
		tcp_output(e, c, OUTPUT_TURN);
	if (STATE_BIT(c->state) & (SYNCHRONIZED | STATE_BIT(SYN_RECEIVED)))
		tcp_send_rst(e, c);
	conn_closed(e, c);
}

/* Bytes received that nobody has read: closing on them is a reset (RFC 9293 3.10.4, RFC 2525 2.17). */
static bool unread_data(const struct conn *c)
{
	return c->rcv_nxt - c->fin_received != c->copied_seq;
}

static void close_gracefully(struct engine *e, struct conn *c)
{
	switch ((enum tcp_state)c->state) {
	case ESTABLISHED:
	case SYN_RECEIVED:
	case CLOSE_WAIT:
		queue_fin(e, c);
		break;
	case FIN_WAIT_2:
		timer_life(e, c, e->now + fin_wait_2_time(e, c));
		break;
	case FIN_WAIT_1:
	case CLOSING:
	case LAST_ACK:
		break;
	default:
		conn_closed(e, c);
		break;
	}
}

/* States in which closing leaves something to be done. */
static bool lives_on(const struct conn *c)
{
	return c->state != CLOSED && c->state != SYN_SENT;
}

/* As tcp_check_oom(): a peer that never lets its connections end must not keep them all. */
static bool orphan_allowed(struct engine *e)
{
	if (e->norphans < e->cfg.tcp.max_orphans)
		return true;
	e->stats.abort_on_memory++;
	return false;
}

void engine_close(struct engine *e, struct conn *c, usec_t now)
{
	bool synchronized = (STATE_BIT(c->state) & SYNCHRONIZED) || c->fo_child;

	set_now(e, now);
	if (c->state == LISTEN || (c->linger_on && !conn_extra(c)->linger_s && synchronized)) {
		engine_abort(e, c, now);
		return;
	}
	if (synchronized && unread_data(c)) {
		e->stats.abort_on_close++;
		engine_abort(e, c, now);
		return;
	}
	if (lives_on(c) && !orphan_allowed(e)) {
		engine_abort(e, c, now);
		return;
	}
	c->orphan = true;
	c->orphan_counted = true;
	e->norphans++;
	c->rcv_shutdown = true;
	list_del(&c->event_link);
	close_gracefully(e, c);
}
