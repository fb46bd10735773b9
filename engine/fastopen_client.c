/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fastopen_client.c - the client's half of TCP Fast Open (RFC 7413 4.1.3, 4.2.1): cookies by destination in a cache of fixed
 * size, data in the SYN, what a SYN,ACK that does not acknowledge it means, and the pause after a path has swallowed Fast Open
 * (Linux's tcp_fastopen_blackhole_timeout_sec).
 */
#include <errno.h>
#include <linux/tcp.h>
#include <string.h>

#include "engine/fastopen.h"

#define SYN_ROOM TCP_OPT_MAX /* left free in a SYN with data, for options that a middlebox may add; as Linux */
#define PAUSE_DOUBLINGS 6
#define FIN_AHEAD(c) ((c)->peer_fin_known && !(c)->fin_received && !conn_has_hole(c))

/* ---- the cache ---- */

/* A destination may lie in any of the FO_CACHE_WAYS entries of its set. */
static struct fo_peer *set_of(struct engine *e, const struct ip_addr *addr)
{
	return &e->fo_peers[engine_hash(e, addr, sizeof(*addr)) % FO_CACHE_SETS * FO_CACHE_WAYS];
}

static struct fo_peer *find_peer(struct engine *e, const struct ip_addr *addr)
{
	struct fo_peer *set = set_of(e, addr);

	for (unsigned i = 0; i < FO_CACHE_WAYS; i++)
		if (set[i].used_at && ip_equal(&set[i].addr, addr))
			return &set[i];
	return NULL;
}

/* The entry for addr; if there is none, in the place of the one that was used longest ago. */
static struct fo_peer *get_peer(struct engine *e, const struct ip_addr *addr)
{
	struct fo_peer *p = find_peer(e, addr), *set = set_of(e, addr);

	if (!p) {
		p = set;
		for (unsigned i = 1; i < FO_CACHE_WAYS; i++)
			if (set[i].used_at < p->used_at)
				p = &set[i];
		*p = (struct fo_peer){.addr = *addr, .cookie.len = 0};
	}
	p->used_at = e->now;
	return p;
}

/* ---- the pause ---- */

static void pause_fastopen(struct engine *e)
{
	e->fo_paused_at = e->now;
	e->fo_pauses++;
	e->stats.fastopen_blackhole++;
}

static bool paused(const struct engine *e)
{
	uint32_t doublings = e->fo_pauses > PAUSE_DOUBLINGS ? PAUSE_DOUBLINGS : e->fo_pauses - 1;

	return e->cfg.tcp.fastopen_blackhole_s && e->fo_pauses &&
	       e->now - e->fo_paused_at < (usec_t)e->cfg.tcp.fastopen_blackhole_s * 1000000 << doublings;
}

/* The third timeout, or the last if that comes earlier: the handshake or what follows it does not get through. */
void fastopen_timeout(struct engine *e, struct conn *c, bool given_up)
{
	if (e->cfg.tcp.fastopen_blackhole_s && c->fo_syn_data && (c->retransmits == 2 || (c->retransmits < 2 && given_up)))
		pause_fastopen(e);
}

/* A FIN and nothing before it: what came between was swallowed.  Data that came shows that the path is sound again. */
void fastopen_ended(struct engine *e, const struct conn *c)
{
	if (!c->fo_option || !e->cfg.tcp.fastopen_blackhole_s)
		return;
	if (!c->data_segs_in && FIN_AHEAD(c))
		pause_fastopen(e);
	else if (c->data_segs_in && c->fo_checked)
		e->fo_pauses = 0;
}

/* ---- before the SYN ---- */

/* What the SYN to this peer carries; true: data too. */
static bool may_send_data(struct engine *e, struct conn *c, struct fo_cookie *fo)
{
	struct fo_peer *p = find_peer(e, &c->f.t.raddr);

	*fo = (struct fo_cookie){.len = 0};
	if (p) {
		*fo = p->cookie;
		fo->exp |= p->cookie.len <= 0 && p->try_exp == 1;
		c->peer_mss = p->mss;
	}
	if (paused(e)) {
		fo->len = -1;
		return false;
	}
	c->fo_checked = e->fo_pauses > 0;
	if ((e->cfg.tcp.fastopen & FO_CLIENT_NO_COOKIE) || c->fo_no_cookie) {
		fo->len = -1;
		return true;
	}
	if (fo->len > 0)
		return true;
	c->fo_fail = TFO_COOKIE_UNAVAILABLE;
	return false;
}

/* Until the peer has said its own, the segment size is what it said last time. */
static bool prepare(struct engine *e, struct conn *c, struct fo_cookie *fo)
{
	bool data = may_send_data(e, c, fo);

	c->fo_option = fo->len >= 0;
	c->fo_option_exp = fo->exp;
	tcp_sync_mss(e, c);
	return data;
}

bool fastopen_defer(struct engine *e, struct conn *c)
{
	struct fo_cookie fo;

	c->fo_deferred = (e->cfg.tcp.fastopen & FO_CLIENT) && c->fo_connect && prepare(e, c, &fo);
	return c->fo_deferred;
}

/* The data that a SYN carries is one packet: the path must take it whole, with any options. */
static uint32_t queue_for_syn(struct engine *e, struct conn *c, const struct iovec *iov, int iovcnt)
{
	uint32_t room = c->mss > SYN_ROOM ? c->mss - SYN_ROOM : 0, done = 0;

	for (int i = 0; i < iovcnt && done < room; i++) {
		struct iovec part = {iov[i].iov_base, iov[i].iov_len < room - done ? iov[i].iov_len : room - done};
		ssize_t n = send_queue_iov(e, c, &part, 1);

		done += (uint32_t)n;
		if ((size_t)n < part.iov_len)
			break;
	}
	if (done)
		pkt(c->sndq.head)->flags |= PKT_PUSH;
	return done;
}

ssize_t fastopen_fire(struct engine *e, struct conn *c, const struct iovec *iov, int iovcnt)
{
	struct fo_cookie fo;
	uint32_t n = 0;

	c->fo_deferred = false;
	if (prepare(e, c, &fo))
		n = queue_for_syn(e, c, iov, iovcnt);
	c->fo_syn_data = n > 0;
	c->syn_due = true;
	tcp_want_output(e, c);
	ready_update(e, c, 0);
	return n ? (ssize_t)n : -EINPROGRESS;
}

void fastopen_option(struct engine *e, struct conn *c, struct fo_cookie *fo)
{
	fo->len = -1;
	if (c->fo_option && !c->retransmits)
		may_send_data(e, c, fo);
}

/* ---- the SYN,ACK ---- */

/* What to learn from the SYN,ACK for the next connection. */
static void remember(struct input *in)
{
	const struct fo_cookie *got = &in->seg.fo;
	struct conn *c = in->c;
	struct fo_peer *p = get_peer(in->e, &c->f.t.raddr);
	uint8_t try_exp = 0;

	/* A server that knows the option answers a request; one that does not may know the experimental form, and the reverse. */
	if (!conn_extra(c)->total_retrans && got->len < 0 && !c->fo_syn_data)
		try_exp = c->fo_option_exp ? 2 : 1;
	p->mss = in->seg.opts & OPT_MSS ? in->seg.mss : p->mss;
	if (got->len > 0)
		p->cookie = *got;
	else if (try_exp > p->try_exp && p->cookie.len <= 0 && !p->cookie.exp)
		p->try_exp = try_exp;
}

void fastopen_synack(struct input *in)
{
	struct rte_mbuf *head = in->c->sndq.head;
	struct conn *c = in->c;
	bool lost = c->fo_syn_data && head && head != c->snd_new && seq_lt(in->seg.ack, pkt_end(head));

	if (c->fo_option)
		remember(in);
	if (!c->fo_syn_data)
		return;
	if (!lost) {
		c->fo_data_acked = true;
		in->e->stats.fastopen_active++;
		return;
	}
	/* RFC 7413 4.2.1: it goes again at once, as it was refused, not lost to congestion. */
	c->fo_fail = conn_extra(c)->total_retrans ? TFO_SYN_RETRANSMITTED : TFO_DATA_NOT_ACKED;
	in->e->stats.fastopen_active_fail++;
	recovery_syn_data_refused(in->e, c);
}
