/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_window.c - sizes: the window we advertise (RFC 9293 3.8.6, RFC 7323 section 2), segment sizes (RFC 9293 3.7), and
 * timestamps' clock.
 */
#include "engine/stack.h"

#define WSCALE_MAX 14 /* RFC 7323 2.3 */
#define WINDOW_MAX 65535u
#define WINDOW_SIGNED_MAX 32767u
#define TS_ECHO_MAX_MS 200000 /* a SYN is not retried for longer */

/* RFC 7323 5.4: a millisecond per tick. */
uint32_t tcp_ts_at(usec_t at, uint32_t offset)
{
	return (uint32_t)(at / 1000) + offset;
}

uint32_t tcp_ts_now(const struct engine *e, uint32_t offset)
{
	return tcp_ts_at(e->now, offset);
}

bool tcp_ts_plausible(const struct engine *e, const struct conn *c, uint32_t tsecr)
{
	return tcp_ts_now(e, c->ts_offset) - tsecr <= TS_ECHO_MAX_MS;
}

/* ---- the receive window ---- */

uint32_t tcp_window_of_space(const struct engine *e, uint32_t space)
{
	int64_t s = e->cfg.tcp.adv_win_scale;

	return s <= 0 ? space >> -s : space - (space >> s);
}

/* What the field holds; less for peers that take it for a signed number. */
static uint32_t unscaled_most(const struct engine *e)
{
	return e->cfg.tcp.workaround_signed_windows ? WINDOW_SIGNED_MAX : WINDOW_MAX;
}

/* Of a receiver that avoids silly windows (RFC 9293 3.8.6.2.2) by Linux's measure: nothing below a segment or a sixteenth of the
 * buffer. */
uint32_t tcp_window_offer(const struct engine *e, const struct conn *c)
{
	uint32_t space = c->rcvbuf > c->rcv_queued ? c->rcvbuf - c->rcv_queued : 0;
	uint32_t full = tcp_window_of_space(e, c->rcvbuf), offer = tcp_window_of_space(e, space);
	uint32_t mss = c->rcv_mss < full ? c->rcv_mss : full, unscaled = c->rcv_wscale ? WINDOW_MAX : unscaled_most(e);

	if (offer < full / 2 && (offer < full / 16 || offer < mss))
		return 0;
	if (c->window_clamp > 0 && offer > (uint32_t)c->window_clamp)
		offer = c->window_clamp;
	if (offer > c->rcv_ssthresh)
		offer = c->rcv_ssthresh;
	if (offer > unscaled << c->rcv_wscale)
		offer = unscaled << c->rcv_wscale;
	return c->rcv_wscale ? offer >> c->rcv_wscale << c->rcv_wscale : offer;
}

uint32_t tcp_syn_window(const struct engine *e, const struct conn *c)
{
	uint32_t w = tcp_window_of_space(e, c->rcvbuf);

	if (c->window_clamp > 0 && w > (uint32_t)c->window_clamp)
		w = c->window_clamp;
	return w < unscaled_most(e) ? w : unscaled_most(e);
}

/* The right edge never moves left (RFC 9293 3.8.6: "shrinking the window"). */
uint32_t tcp_window(struct engine *e, struct conn *c)
{
	uint32_t current = seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0, offer = tcp_window_offer(e, c);
	uint32_t below_unit = (1u << c->rcv_wscale) - 1;

	if (offer < current)
		offer = (current + below_unit) & ~below_unit;
	if (!offer && current == 0 && c->rcv_adv == c->rcv_nxt && !c->zero_window)
		e->stats.to_zero_window++;
	if (offer && c->zero_window)
		e->stats.from_zero_window++;
	c->zero_window = !offer;
	c->rcv_adv = c->rcv_nxt + offer;
	return offer;
}

static int64_t most_of_any(const struct engine *e)
{
	return e->cfg.tcp.rmem[2] > e->cfg.tcp.rmem_max ? e->cfg.tcp.rmem[2] : e->cfg.tcp.rmem_max;
}

/* The scale that lets the window grow so far (RFC 7323 2.2). */
static uint8_t scale_for(const struct engine *e, int64_t most)
{
	int beyond_16_bits;

	if (!e->cfg.tcp.window_scaling || most <= WINDOW_MAX)
		return 0;
	beyond_16_bits = 64 - __builtin_clzll(most) - 16;
	return beyond_16_bits < WSCALE_MAX ? beyond_16_bits : WSCALE_MAX;
}

void tcp_choose_wscale(const struct engine *e, struct conn *c)
{
	int64_t most = c->rcvbuf_locked ? c->rcvbuf : most_of_any(e);

	if (c->window_clamp > 0 && most > c->window_clamp)
		most = c->window_clamp;
	c->rcv_wscale = scale_for(e, most);
}

uint8_t tcp_wscale_of_any(const struct engine *e)
{
	return scale_for(e, most_of_any(e));
}

/* ---- sending ---- */

static unsigned ip_header_len(const struct conn *c)
{
	return ip_is_v4(&c->f.t.raddr) ? 20 : 40;
}

unsigned tcp_mss_to_mtu(const struct conn *c, unsigned mss)
{
	return mss + ip_header_len(c) + TCP_HDR + (c->ts_ok ? TS_OPTION : 0);
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
	c->mss = c->cc.mss = mtu_probe_bound(c, mss);
}
