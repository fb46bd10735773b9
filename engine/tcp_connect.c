/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_connect.c - active OPEN (RFC 9293 3.10.1): the ends of the connection, its first sequence number, the SYN; with RFC 7413
 * data in the SYN, or a SYN that waits for data.
 */
#include <errno.h>

#include "engine/fastopen.h"

/* What TCP_INFO counts is the new connection's (Linux's tcp_disconnect()). */
static void reset_counts(struct conn *c)
{
	c->bytes_acked = c->bytes_received = c->bytes_sent = 0;
	c->segs_in = c->segs_out = c->data_segs_in = c->data_segs_out = 0;
	c->delivered_pkts = 0;
	c->busy_ms = 0;
	if (!c->extra)
		return;
	c->extra->total_retrans = c->extra->dsack_dups = c->extra->rcv_ooopack = c->extra->delivered_ce = 0;
	c->extra->bytes_retrans = 0;
	c->extra->rwnd_ms = c->extra->sndbuf_ms = 0;
}

/* A socket that was connected before, or tried to be, begins anew. */
static void reset_for_connect(struct engine *e, struct conn *c)
{
	conn_purge_queues(e, c);
	rtt_init(c);
	reset_counts(c);
	c->rcv_shutdown = c->snd_shutdown = c->fin_queued = c->fin_sent = c->fin_acked = c->fin_due = false;
	c->fin_received = c->peer_fin_known = c->urg_valid = c->snd_urgent = c->retrans_seen = false;
	c->backoff = c->retransmits = c->probes = c->dupacks = 0;
	c->ca_state = CA_OPEN;
	c->head_due = false;
	c->rtx_started_ms = 0;
	c->soft_error = c->error = 0;
	c->peer_mss = 0;
	c->snd_wnd = c->snd_wnd_max = 0;
	c->fo_option = c->fo_option_exp = c->fo_syn_data = c->fo_data_acked = c->fo_checked = false;
	c->fo_fail = 0;
}

static int choose_ends(struct engine *e, struct conn *c, const struct endpoint *remote, struct timewait **tw)
{
	struct tuple t = {
	    .laddr = c->f.t.laddr, .raddr = remote->addr, .lport = c->bound ? c->f.t.lport : 0, .rport = remote->port};

	*tw = NULL;
	if (!c->bound_addr)
		t.laddr = *ip_source_for(e, &remote->addr);
	else if (ip_is_loopback(&t.laddr) && !engine_is_local(e, &t.raddr))
		return -EINVAL; /* RFC 1122 3.2.1.3: not on a wire */
	if (!c->bound) {
		int rc = port_pick_connect(e, &t, tw);

		if (rc < 0)
			return rc;
	} else {
		struct flow *f = flow_find(e, &t, flow_hash(e, &t));

		if (f && (f->kind != FLOW_TIMEWAIT || !timewait_reusable(e, container_of(f, struct timewait, f))))
			return -EADDRNOTAVAIL;
		*tw = f ? container_of(f, struct timewait, f) : NULL;
	}
	c->f.t = t;
	return 0;
}

/* To SYN-SENT, without the SYN. */
static void enter_syn_sent(struct engine *e, struct conn *c, struct timewait *tw)
{
	c->iss = conn_choose_iss(e, &c->f.t);
	c->ts_offset = conn_ts_offset(e, &c->f.t);
	if (tw) {
		/* RFC 6191 and 7323: beyond anything that the old incarnation can have sent. */
		c->iss = tw->snd_nxt + 65537;
		timewait_free(e, tw);
	}
	c->snd_una = c->cwnd_limited_seq = c->iss;
	c->snd_nxt = c->snd_end = c->snd_sml = c->iss + 1;
	c->rcv_nxt = c->rcv_wup = c->rcv_adv = c->copied_seq = 0;
	c->peer_mss = 0;
	tcp_choose_wscale(e, c);
	tcp_sync_mss(e, c);
	c->to_self = engine_is_local(e, &c->f.t.raddr);
	e->nto_self += c->to_self;
	flow_insert(e, &c->f);
	conn_set_state(e, c, SYN_SENT);
	e->stats.active_opens++;
}

/* All of OPEN but the SYN: 0 or -errno. */
static int start(struct engine *e, struct conn *c, const struct endpoint *remote)
{
	struct timewait *tw;
	int rc;

	if (c->fo_deferred)
		return -EISCONN;
	if (STATE_BIT(c->state) & (STATE_BIT(SYN_SENT) | STATE_BIT(SYN_RECEIVED)))
		return -EALREADY;
	if (c->state != CLOSED)
		return -EISCONN;
	if (!remote->port || ip_is_any(&remote->addr))
		return -ECONNREFUSED;
	if (!ip_reachable(e, &remote->addr) && !engine_is_local(e, &remote->addr))
		return -ENETUNREACH;
	reset_for_connect(e, c);
	rc = choose_ends(e, c, remote, &tw);
	if (rc < 0)
		return rc;
	enter_syn_sent(e, c, tw);
	return 0;
}

int engine_connect(struct engine *e, struct conn *c, const struct endpoint *remote, usec_t now)
{
	int rc;

	if (now > e->now)
		e->now = now;
	rc = start(e, c, remote);
	if (rc < 0)
		return rc;
	if (fastopen_defer(e, c)) {
		ready_update(e, c, 0);
		return 0;
	}
	c->syn_due = true;
	tcp_want_output(e, c);
	return -EINPROGRESS;
}

ssize_t engine_fastopen(struct engine *e, struct conn *c, const struct endpoint *remote, const struct iovec *iov, int iovcnt,
			usec_t now)
{
	int rc = 0;

	if (now > e->now)
		e->now = now;
	if (!(e->cfg.tcp.fastopen & FO_CLIENT))
		return -EOPNOTSUPP;
	if (!c->fo_deferred)
		rc = start(e, c, remote);
	return rc < 0 ? rc : fastopen_fire(e, c, iov, iovcnt);
}
