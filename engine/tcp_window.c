/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_window.c - sizes: the window we advertise (RFC 9293 3.8.6, RFC 7323 section 2), segment sizes (RFC 9293 3.7), timestamps'
 * clock, and buffers that grow with the flow.
 */
#include "engine/stack.h"

#define WSCALE_MAX 14	      /* RFC 7323 2.3 */
#define TS_OPTION 12	      /* with its padding */
#define TS_ECHO_MAX_MS 200000 /* a SYN is not retried for longer */

/* RFC 7323 5.4: a millisecond per tick. */
uint32_t tcp_ts_now(const struct engine *e, uint32_t offset)
{
	return (uint32_t)(e->now / 1000) + offset;
}

bool tcp_ts_plausible(const struct engine *e, const struct conn *c, uint32_t tsecr)
{
	return tcp_ts_now(e, c->ts_offset) - tsecr <= TS_ECHO_MAX_MS;
}

/* ---- the receive window ---- */

/* Bytes of payload that a buffer of this size is good for: Linux's tcp_adv_win_scale. */
static uint32_t window_of_space(const struct engine *e, uint32_t space)
{
	int64_t s = e->cfg.tcp.adv_win_scale;

	return s <= 0 ? space >> -s : space - (space >> s);
}

/* Of a receiver that avoids silly windows (RFC 9293 3.8.6.2.2) by Linux's measure: nothing below a segment or a sixteenth of the
 * buffer. */
uint32_t tcp_window_offer(const struct engine *e, const struct conn *c)
{
	uint32_t space = c->rcvbuf > c->rcv_queued ? c->rcvbuf - c->rcv_queued : 0;
	uint32_t full = window_of_space(e, c->rcvbuf), offer = window_of_space(e, space);
	uint32_t mss = c->rcv_mss < full ? c->rcv_mss : full;

	if (offer < full / 2 && (offer < full / 16 || offer < mss))
		return 0;
	if (c->window_clamp > 0 && offer > (uint32_t)c->window_clamp)
		offer = c->window_clamp;
	if (offer > 65535u << c->rcv_wscale)
		offer = 65535u << c->rcv_wscale;
	return c->rcv_wscale ? offer >> c->rcv_wscale << c->rcv_wscale : offer;
}

uint32_t tcp_syn_window(const struct engine *e, const struct conn *c)
{
	uint32_t w = window_of_space(e, c->rcvbuf);

	if (c->window_clamp > 0 && w > (uint32_t)c->window_clamp)
		w = c->window_clamp;
	return w < 65535 ? w : 65535;
}

/* The right edge never moves left (RFC 9293 3.8.6: "shrinking the window"). */
uint32_t tcp_window(struct engine *e, struct conn *c)
{
	uint32_t current = seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0, offer = tcp_window_offer(e, c);
	uint32_t unit = 1u << c->rcv_wscale;

	if (offer < current)
		offer = (current + unit - 1) / unit * unit;
	if (!offer && current == 0 && c->rcv_adv == c->rcv_nxt && !c->zero_window)
		e->stats.to_zero_window++;
	if (offer && c->zero_window)
		e->stats.from_zero_window++;
	c->zero_window = !offer;
	c->rcv_adv = c->rcv_nxt + offer;
	return offer;
}

/* The scale that lets the window grow as far as the buffer may (RFC 7323 2.2). */
void tcp_choose_wscale(const struct engine *e, struct conn *c)
{
	const struct tcp_settings *t = &e->cfg.tcp;
	int64_t most = c->rcvbuf_locked ? c->rcvbuf : t->rmem[2];

	if (!c->rcvbuf_locked && t->rmem_max > most)
		most = t->rmem_max;
	if (c->window_clamp > 0 && most > c->window_clamp)
		most = c->window_clamp;
	c->rcv_wscale = 0;
	if (!t->window_scaling)
		return;
	while (most > 65535 && c->rcv_wscale < WSCALE_MAX) {
		most >>= 1;
		c->rcv_wscale++;
	}
}

/*
 * The user took bytes: if he takes more in a round trip than ever before, give the sender room for twice that, so that the window
 * never is the limit (dynamic right-sizing, as Linux's tcp_rcv_space_adjust()).
 */
void tcp_grow_rcvbuf(const struct engine *e, struct conn *c, uint32_t taken)
{
	const struct tcp_settings *t = &e->cfg.tcp;
	uint64_t want;

	c->rcv_tune_copied += taken;
	if (e->now - c->rcv_tune_at < c->srtt_us)
		return;
	if (c->rcv_tune_copied > c->rcv_space) {
		c->rcv_space = c->rcv_tune_copied;
		/* Twice for slow start, and again for what the packets occupy beyond their payload. */
		want = 4ull * c->rcv_space + 32ull * c->rcv_mss;
		if (want > (uint64_t)t->rmem[2])
			want = t->rmem[2];
		if (t->moderate_rcvbuf && !c->rcvbuf_locked && want > c->rcvbuf)
			c->rcvbuf = want;
	}
	c->rcv_tune_at = e->now;
	c->rcv_tune_copied = 0;
}

/* ---- sending ---- */

void tcp_grow_sndbuf(const struct engine *e, struct conn *c)
{
	uint32_t per_segment = e->mbuf_truesize;
	uint64_t segments = c->cc.cwnd / c->mss + 1, want;

	if (c->sndbuf_locked)
		return;
	if (segments < CC_INIT_CWND_SEGS)
		segments = CC_INIT_CWND_SEGS;
	want = 2 * segments * per_segment;
	if (want > (uint64_t)e->cfg.tcp.wmem[2])
		want = e->cfg.tcp.wmem[2];
	if (want > c->sndbuf)
		c->sndbuf = want;
}

static unsigned ip_header_len(const struct conn *c)
{
	return ip_is_v4(&c->f.t.raddr) ? 20 : 40;
}

uint16_t tcp_advertised_mss(const struct engine *e, const struct conn *c)
{
	unsigned mss = e->cfg.mtu - ip_header_len(c) - TCP_HDR;

	return c->user_mss && c->user_mss < mss ? c->user_mss : mss;
}

/* Eff.snd.MSS of RFC 9293 3.7.1. */
void tcp_sync_mss(struct engine *e, struct conn *c)
{
	unsigned mss = c->pmtu - ip_header_len(c) - TCP_HDR;

	if (c->peer_mss && c->peer_mss < mss)
		mss = c->peer_mss;
	if (c->user_mss && c->user_mss < mss)
		mss = c->user_mss;
	if (mss < e->cfg.tcp.min_snd_mss)
		mss = e->cfg.tcp.min_snd_mss;
	if (c->ts_ok)
		mss -= TS_OPTION;
	if (mss > e->payload_room)
		mss = e->payload_room;
	c->mss = c->cc.mss = mss;
}
