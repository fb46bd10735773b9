/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_conn.c - the life of a control block: creation, the one function that writes the state, the ways to CLOSED, and TIME-WAIT
 * as a small entry of its own (RFC 9293 3.3.2, 3.6.1; RFC 6528; RFC 7323 5.4).
 */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

#include "engine/fastopen.h"
#include "engine/notice.h"

#define TIMEWAIT_US (60ull * 1000000) /* Linux's TCP_TIMEWAIT_LEN, for 2 MSL */

/* The legal edges of RFC 9293 figure 5, with the resets and the deletion of a TCB that lead to CLOSED from everywhere. */
static const uint16_t may_follow[] = {
    [CLOSED] = STATE_BIT(LISTEN) | STATE_BIT(SYN_SENT) | STATE_BIT(SYN_RECEIVED),
    [LISTEN] = STATE_BIT(SYN_SENT),
    [SYN_SENT] = STATE_BIT(SYN_RECEIVED) | STATE_BIT(ESTABLISHED),
    [SYN_RECEIVED] = STATE_BIT(ESTABLISHED) | STATE_BIT(FIN_WAIT_1) | STATE_BIT(CLOSE_WAIT),
    [ESTABLISHED] = STATE_BIT(FIN_WAIT_1) | STATE_BIT(CLOSE_WAIT),
    [FIN_WAIT_1] = STATE_BIT(FIN_WAIT_2) | STATE_BIT(CLOSING),
    [FIN_WAIT_2] = 0,
    [CLOSE_WAIT] = STATE_BIT(LAST_ACK),
    [CLOSING] = 0,
    [LAST_ACK] = 0,
};

static bool counts_as_established(enum tcp_state s)
{
	return s == ESTABLISHED || s == CLOSE_WAIT;
}

void conn_move(struct engine *e, struct conn *c, enum tcp_state s, uint32_t edges)
{
	assert(s == CLOSED || (may_follow[c->state] & STATE_BIT(s)));
	e->stats.curr_estab += counts_as_established(s) - counts_as_established(c->state);
	e->nhalf_open += (s == SYN_RECEIVED) - (c->state == SYN_RECEIVED);
	c->state = s;
	if (s == SYN_SENT)
		rate_start(c);
	ready_update(e, c, edges);
}

void conn_set_state(struct engine *e, struct conn *c, enum tcp_state s)
{
	conn_move(e, c, s, 0);
}

/* The size is kept from the compiler: of one that it knows it makes a slow `rep stos`. */
static void zero(void *at, size_t n)
{
	__asm__("" : "+r"(n));
	memset(at, 0, n);
}

/* All but the level: a thread that still looks for the block's last user may be reading it. */
static void conn_clear(struct conn *c)
{
	const size_t level = offsetof(struct conn, ready), after = level + sizeof(c->ready);

	zero(c, level);
	zero((char *)c + after, sizeof(*c) - after);
}

struct conn *conn_new(struct engine *e)
{
	const struct tcp_settings *t = &e->cfg.tcp;
	struct conn *c = slab_get(&e->conns);

	if (!c)
		return NULL;
	conn_clear(c);
	c->in_use = true;
	c->state = CLOSED;
	c->wheel.kind = TK_CONN;
	c->f.kind = FLOW_CONN;
	c->neigh = NEIGH_NONE;
	c->pmtu = e->cfg.mtu;
	c->pmtudisc = t->ip_no_pmtu_disc ? IP_PMTUDISC_DONT : IP_PMTUDISC_WANT;
	c->sndbuf = t->wmem[1];
	c->rcvbuf = t->rmem[1];
	c->ttl = t->ip_default_ttl;
	c->keepcnt = t->keepalive_probes;
	c->rcvlowat = 1;
	conn_choose_cc(e, c, e->default_cc);
	c->cc.ssthresh = UINT32_MAX;
	c->chrono = CHRONO_NONE;
	/* Nothing is known of the path yet, as Linux puts it. */
	c->rate_app_limited = true;
	rtt_init(c);
	recovery_init(e, c);
	/* The level of CLOSED, as tcp_poll() has it; no news to who asks for a socket. */
	__atomic_store_n(&c->ready, EPOLLHUP | EPOLLOUT | EPOLLWRNORM, __ATOMIC_RELEASE);
	return c;
}

const struct extra extra_none = {.max_pacing_rate = UINT64_MAX};

struct extra *extra_of(struct engine *e, struct conn *c)
{
	if (!c->extra) {
		c->extra = slab_get(&e->extras);
		*c->extra = extra_none;
		c->extra->conn = c;
	}
	return c->extra;
}

static void purge_queue(struct engine *e, struct pktq *q)
{
	while (q->head)
		conn_free_pkt(e, pktq_pop(q));
}

void conn_free_pkt(struct engine *e, struct rte_mbuf *m)
{
	e->held--;
	engine_free(e, m);
}

static void purge_send_queue(struct engine *e, struct conn *c)
{
	purge_queue(e, &c->sndq);
	c->snd_new = NULL;
	c->snd_queued = 0;
	recovery_reset(c);
	chrono_update(e, c);
}

void conn_purge_queues(struct engine *e, struct conn *c)
{
	purge_send_queue(e, c);
	purge_queue(e, &c->rcvq);
	reasm_purge(e, c);
	repair_end(e, c);
	e->unread -= c->rcv_queued;
	e->nunread -= c->rcv_queued != 0;
	c->rcv_queued = 0;
}

static void leave_parent(struct engine *e, struct conn *c)
{
	struct conn *p = c->parent;

	if (!p)
		return;
	list_del(&c->accept_link);
	if (c->in_accept_queue)
		p->naccept--;
	else
		p->nsyn--;
	c->unaccepted = c->in_accept_queue = false;
	ready_update(e, p, 0);
}

/* A packet that holds something else than payload. */
static void free_aside(struct engine *e, struct rte_mbuf **m)
{
	if (*m)
		conn_free_pkt(e, *m);
	*m = NULL;
}

static void stop_starving(struct conn *c)
{
	if (c->starved)
		list_del(&c->extra->starved_link);
	c->starved = false;
}

static void free_extra(struct engine *e, struct conn *c)
{
	if (!c->extra)
		return;
	notice_forget_icmp(e, c);
	free_aside(e, &c->extra->saved_syn);
	free_aside(e, &c->extra->fo_keys);
	slab_put(&e->extras, c->extra);
	c->extra = NULL;
}

static void end_to_self(struct engine *e, struct conn *c)
{
	e->nto_self -= c->to_self;
	c->to_self = false;
}

static void conn_free(struct engine *e, struct conn *c)
{
	if (c->state != LISTEN)
		leave_parent(e, c);
	timer_stop_all(e, c);
	flow_remove(e, &c->f);
	port_remove(&c->f);
	conn_purge_queues(e, c);
	e->norphans -= c->orphan_counted;
	end_to_self(e, c);
	list_del(&c->out_link);
	list_del(&c->event_link);
	stop_starving(c);
	free_extra(e, c);
	conn_choose_cc(e, c, 0);
	c->in_use = false;
	slab_put(&e->conns, c);
}

/* Off the network: nothing is sent or received for it any more; what was received can still be read. */
static void detach(struct engine *e, struct conn *c)
{
	timer_stop_all(e, c);
	flow_remove(e, &c->f);
	if (!c->bound_port || c->orphan)
		port_remove(&c->f);
	else if (list_linked(&c->f.port_link)) {
		port_remove(&c->f);
		port_add(e, &c->f);
	}
	purge_send_queue(e, c);
	reasm_purge(e, c);
	repair_end(e, c);
	end_to_self(e, c);
	list_del(&c->out_link);
	stop_starving(c);
	c->rcv_shutdown = c->snd_shutdown = true;
	c->ack_now = c->ack_pending = c->syn_due = c->force_probe = c->fo_deferred = false;
}

void conn_closed(struct engine *e, struct conn *c)
{
	bool unaccepted;

	fastopen_settled(e, c, false);
	fastopen_ended(e, c);
	/* Nobody will ever see a child that was not ready for accept() yet. */
	unaccepted = c->state != LISTEN && c->parent && !c->in_accept_queue;

	if (c->orphan || unaccepted) {
		conn_set_state(e, c, CLOSED);
		conn_free(e, c);
		return;
	}
	detach(e, c);
	conn_set_state(e, c, CLOSED);
}

void conn_fail(struct engine *e, struct conn *c, int err)
{
	if (STATE_BIT(c->state) & (STATE_BIT(SYN_SENT) | STATE_BIT(SYN_RECEIVED)))
		e->stats.attempt_fails++;
	else if (counts_as_established(c->state))
		e->stats.estab_resets++;
	c->error = err;
	conn_closed(e, c);
}

/* There are as many models as control blocks: one for each that is handed out. */
void conn_choose_cc(struct engine *e, struct conn *c, unsigned algo)
{
	bool had = cc_ops(c->cc.algo)->has_model, has = cc_ops(algo)->has_model;

	if (had && !has) {
		slab_put(&e->models, c->cc.bbr);
		memset(&c->cc.cubic, 0, sizeof(c->cc.cubic));
	} else if (has && !had) {
		c->cc.bbr = slab_get(&e->models);
		*c->cc.bbr = (struct bbr){0};
	}
	c->cc.algo = algo;
}

void conn_set_cc(struct engine *e, struct conn *c, unsigned algo)
{
	struct cc_view v = rate_view(e, c);

	conn_choose_cc(e, c, algo);
	cc_set(&c->cc, algo, &v);
	pace_update(c);
}

void conn_init_transfer(struct engine *e, struct conn *c)
{
	pmtu_init(e, c);
	mtu_probe_init(e, c);
	tcp_sync_mss(e, c);
	c->cc.cwnd = CC_INIT_CWND_SEGS * c->mss;
	/* RFC 5681 3.1: a lost SYN or SYN,ACK means a window of one segment. */
	if (c->retrans_seen)
		c->cc.cwnd = c->mss;
	c->retrans_seen = false;
	c->delivered_pkts = 1; /* the SYN */
	/* Linux counts from a child's birth: its SYN, and what ended the handshake; not the SYN,ACK. */
	if (c->state == SYN_RECEIVED && c->parent) {
		c->segs_in = c->fo_child ? 1 : 2;
		c->segs_out = 0;
	}
	conn_set_cc(e, c, c->cc.algo);
	recovery_reset(c);
	recovery_init(e, c);
	c->quickacks = 16;
	c->rcv_mss = c->mss < 536 ? c->mss : 536;
	c->copied_seq = c->rcv_nxt;
	tune_init(e, c);
	c->last_snd_at = c->last_rcv_at = e->now;
	c->retransmits = c->backoff = 0;
	timer_established(e, c);
}

/* F(tuple, secret) of RFC 6528.  Not of the tuple as it lies in memory, which ends with padding. */
static uint64_t iss_hash(const struct engine *e, const struct tuple *t)
{
	const uint32_t ports = (uint32_t)t->lport << 16 | t->rport;
	const uint32_t v4[3] = {ip_to_v4(&t->laddr), ip_to_v4(&t->raddr), ports};
	const struct {
		struct ip_addr laddr, raddr;
		uint64_t ports;
	} v6 = {t->laddr, t->raddr, ports};

	return ip_is_v4(&t->raddr) ? engine_hash(e, v4, sizeof(v4)) : engine_hash(e, &v6, sizeof(v6));
}

/* RFC 6528: ISN = M + F, M a clock of 4 us. */
seq_t conn_choose_iss(const struct engine *e, const struct tuple *t)
{
	return (seq_t)(e->now / 4) + (seq_t)iss_hash(e, t);
}

/*
 * RFC 7323 5.4: an offset per pair of hosts hides the uptime and keeps one host's clock monotonic to each peer: also from one
 * program to the next, or else a port that the last one used is closed to it while the peer is in TIME-WAIT (RFC 6191).
 */
uint32_t conn_ts_offset(struct engine *e, const struct tuple *t)
{
	struct ip_addr pair[2] = {t->laddr, t->raddr};

	if (e->cfg.tcp.timestamps == 2)
		return 0;
	if (!ip_equal(&e->ts_of.laddr, &t->laddr) || !ip_equal(&e->ts_of.raddr, &t->raddr)) {
		e->ts_offset = (uint32_t)siphash(e->cfg.host, pair, sizeof(pair));
		e->ts_of = *t;
	}
	return e->ts_offset;
}

/* ---- TIME-WAIT ---- */

/* The timer fires when the oldest ends or before: that one ends early, or begins anew, is no reason to move it. */
static void timewait_schedule(struct engine *e)
{
	if (!list_empty(&e->tw_fifo) && !wheel_armed(&e->tw_timer))
		wheel_arm(&e->wheel, &e->tw_timer, container_of(e->tw_fifo.next, struct timewait, fifo)->expires);
}

static void timewait_fill(const struct engine *e, struct timewait *tw, const struct conn *c)
{
	memset(tw, 0, sizeof(*tw));
	tw->f.kind = FLOW_TIMEWAIT;
	tw->f.t = c->f.t;
	tw->f.reuse_addr = c->f.reuse_addr;
	tw->f.reuse_port = c->f.reuse_port;
	tw->snd_nxt = c->snd_nxt;
	tw->rcv_nxt = c->rcv_nxt;
	tw->rcv_wnd = c->rcv_adv - c->rcv_nxt;
	tw->ts_ok = c->ts_ok;
	tw->ts_recent = c->ts_recent;
	tw->ts_recent_at = c->ts_recent_at;
	tw->ts_offset = c->ts_offset;
	tw->rcv_wscale = c->rcv_wscale;
	tw->neigh = c->neigh;
	tw->expires = e->now + TIMEWAIT_US;
}

void conn_to_timewait(struct engine *e, struct conn *c)
{
	struct timewait *tw = e->timewaits.used < e->cfg.tcp.max_tw_buckets ? slab_get(&e->timewaits) : NULL;

	/* A last ACK may be owed: it must go out before the queues are let go. */
	if (c->ack_now || c->ack_pending)
		tcp_send_ack(e, c);
	if (!tw) {
		e->stats.tw_overflow++;
		conn_closed(e, c);
		return;
	}
	e->stats.time_waits++;
	timewait_fill(e, tw, c);
	flow_remove(e, &c->f);
	flow_insert(e, &tw->f);
	list_add_tail(&e->tw_fifo, &tw->fifo);
	timewait_schedule(e);
	conn_closed(e, c);
}

void timewait_free(struct engine *e, struct timewait *tw)
{
	flow_remove(e, &tw->f);
	port_remove(&tw->f);
	list_del(&tw->fifo);
	slab_put(&e->timewaits, tw);
	if (list_empty(&e->tw_fifo))
		wheel_disarm(&e->wheel, &e->tw_timer);
}

void timewait_restart(struct engine *e, struct timewait *tw)
{
	tw->expires = e->now + TIMEWAIT_US;
	list_del(&tw->fifo);
	list_add_tail(&e->tw_fifo, &tw->fifo);
}

void timewait_expire(struct engine *e)
{
	while (!list_empty(&e->tw_fifo)) {
		struct timewait *tw = container_of(e->tw_fifo.next, struct timewait, fifo);

		if (tw->expires > e->now)
			break;
		timewait_free(e, tw);
	}
	timewait_schedule(e);
}
