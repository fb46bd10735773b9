/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * autotune.c - how large the buffers of a connection are.  The receive buffer follows what the user takes per round trip (dynamic
 * right-sizing, Linux's tcp_rcv_space_adjust()), with the round trip as a receiver sees it; the window that is offered follows
 * segment by segment, so that a peer whose packets occupy more than they carry can't overrun memory (rcv_ssthresh); the send
 * buffer follows cwnd.  All of it within tcp_rmem and tcp_wmem, not where the user set a size, and not when the engine as a whole
 * is short of packets (tcp_mem, and the pool).
 */
#include "engine/tcp_input.h"

#define PAGE_BYTES 4096 /* the unit of tcp_mem */
/*
 * A crowd: so much is unread that it does not stay in a core's share of the last-level cache, by at least so many connections.
 * So much is left to each of them, and for so long.
 */
#define CROWD_BYTES (2u << 20)
#define CROWD_LEAST 4
#define CROWD_RCVBUF (64u << 10)
#define CROWD_US 1000000
#define FILLS_TO_GROW 3 /* windows in a row that were filled and emptied */
/* The initial send buffer of Linux's loopback: 2 * 10 segments of 64 KB, each in 128 KB of memory. */
#define LOOPBACK_SNDBUF (2 * CC_INIT_CWND_SEGS * 131072u)

/* ---- the engine as a whole ---- */

static uint32_t packets_in(const struct engine *e, int64_t pages, uint32_t most)
{
	uint64_t n = (uint64_t)pages * PAGE_BYTES / e->mbuf_truesize;

	return n < most ? n : most;
}

void tune_engine_init(struct engine *e)
{
	const int64_t *mem = e->cfg.tcp.mem;

	/* The rest of the pool is for what is on its way: port rings, control segments, packets just received. */
	e->held_max = packets_in(e, mem[2], e->cfg.pool->size / 4 * 3);
	e->held_high = packets_in(e, mem[1], e->held_max / 4 * 3);
	e->held_low = packets_in(e, mem[0], e->held_max / 2);
}

bool tune_pressure(struct engine *e)
{
	if (!e->pressure && e->held > e->held_high) {
		e->pressure = true;
		e->stats.memory_pressures++;
	} else if (e->pressure && e->held <= e->held_low) {
		e->pressure = false;
	}
	return e->pressure;
}

/* ---- the round trip as a receiver sees it ---- */

/*
 * From timestamps: an echo of ours comes back with the data that our ACK let go; smoothed.  From windows: what we offered came in
 * full, which takes a round trip or, with a sender that has little to say, longer: only less is believed.  Less is believed at
 * once from either: too long a round trip makes the buffer too large for good, and a large one does not stay in the cache.
 */
static void rtt_update(struct conn *c, uint32_t sample_us, bool from_window)
{
	/* The handshake's round trip is a better guess than a window's that began before the peer had anything to say. */
	if (!c->rcv_rtt_us)
		c->rcv_rtt_us = c->min_rtt_us ? c->min_rtt_us : sample_us;
	if (sample_us < c->rcv_rtt_us)
		c->rcv_rtt_us = sample_us;
	else if (!from_window)
		c->rcv_rtt_us += (sample_us - c->rcv_rtt_us) / 8;
}

static void measure_by_timestamp(struct input *in)
{
	struct conn *c = in->c;
	uint32_t ms;

	if (!c->ts_ok || !(in->seg.opts & OPT_TS) || in->seg.tsecr == c->rcv_rtt_tsecr)
		return;
	c->rcv_rtt_tsecr = in->seg.tsecr;
	/* A small segment may have waited for its writer. */
	if (in->seg.len < c->rcv_mss || !tcp_ts_plausible(in->e, c, in->seg.tsecr))
		return;
	/* One tick may be as little as none: then it says nothing, and windows do. */
	ms = tcp_ts_now(in->e, c->ts_offset) - in->seg.tsecr;
	if (ms > 1)
		rtt_update(c, ms * 1000, false);
}

static void measure_by_window(struct input *in)
{
	struct conn *c = in->c;
	uint32_t now = in->e->now;

	if (c->rcv_rtt_at && seq_lt(c->rcv_nxt, c->rcv_rtt_seq))
		return;
	if (c->rcv_rtt_at)
		rtt_update(c, now != c->rcv_rtt_at ? now - c->rcv_rtt_at : 1, true);
	c->rcv_rtt_seq = c->rcv_adv;
	c->rcv_rtt_at = now ? now : 1;
}

/* ---- the window ---- */

/*
 * May the window grow although this segment occupies more than the share that tcp_adv_win_scale allows?  While it is small
 * against the most that the buffer may become (Linux's __tcp_grow_window()).
 */
static bool affordable(const struct engine *e, const struct conn *c, uint32_t len, uint32_t truesize)
{
	uint32_t occupies = tcp_window_of_space(e, truesize);
	uint32_t most = tcp_window_of_space(e, c->rcvbuf_locked ? c->rcvbuf : (uint32_t)e->cfg.tcp.rmem[2]);

	for (; occupies > len && c->rcv_ssthresh <= most / 2; most /= 2)
		occupies /= 2;
	return occupies <= len;
}

static void grow_window(struct input *in, uint32_t len, uint32_t truesize)
{
	struct conn *c = in->c;
	struct engine *e = in->e;
	uint32_t space = c->rcvbuf > c->rcv_queued ? tcp_window_of_space(e, c->rcvbuf - c->rcv_queued) : 0;
	uint32_t step = 2 * (uint32_t)tcp_advertised_mss(e, c);

	if (c->window_clamp > 0 && space > (uint32_t)c->window_clamp)
		space = c->window_clamp;
	if (c->rcv_ssthresh >= space || tune_pressure(e) || !affordable(e, c, len, truesize))
		return;
	if (step < 2 * len)
		step = 2 * len;
	c->rcv_ssthresh += step < space - c->rcv_ssthresh ? step : space - c->rcv_ssthresh;
}

/*
 * Linux's tcp_clamp_window(): more is queued than the buffer is meant to hold, which grows if it may.  Packets that carry less
 * than half of what they occupy make it up to twice the buffer without any harm meant; beyond, the window closes.
 */
static void clamp_window(struct engine *e, struct conn *c)
{
	uint32_t mss = tcp_advertised_mss(e, c), most = e->cfg.tcp.rmem[2];

	if (tune_pressure(e)) {
		if (c->rcv_ssthresh > 4 * mss)
			c->rcv_ssthresh = 4 * mss;
		return;
	}
	if (c->rcv_queued <= c->rcvbuf)
		return;
	if (!c->rcvbuf_locked && c->rcvbuf < most)
		c->rcvbuf = c->rcv_queued < most ? c->rcv_queued : most;
	if (c->rcv_queued / 2 > c->rcvbuf && c->rcv_ssthresh > 2 * mss)
		c->rcv_ssthresh = 2 * mss;
}

static uint32_t tuned_window(const struct engine *e, const struct conn *c)
{
	uint32_t window = tcp_window_of_space(e, c->rcvbuf);

	return window < c->rcv_ssthresh ? window : c->rcv_ssthresh;
}

/* The peer went as far as it may: was it the window that stopped it? */
static void note_filled_window(const struct engine *e, struct conn *c)
{
	if (c->peer_fin_known || c->rcv_adv - c->rcv_nxt >= c->rcv_mss + (1u << c->rcv_wscale))
		return;
	if (c->rcv_nxt - c->rcv_filled_seq > 2 * tuned_window(e, c))
		c->rcv_fills = 0;
	c->rcv_filled = true;
	c->rcv_filled_seq = c->rcv_nxt;
}

static bool is_near(const struct engine *e, const struct conn *c)
{
	return c->min_rtt_us && c->min_rtt_us < (uint32_t)e->cfg.tcp.rcvbuf_low_rtt;
}

/*
 * A program that reads from many connections by turns leaves the others' windows to fill up, and where the peer is near they do
 * at once: what it reads has left the cache long ago, which costs more than the copy.  So much is unread, and by so many, that
 * their buffers become small again: a near peer is told soon enough to go on.
 */
static void disperse(struct engine *e, struct conn *c)
{
	const struct tcp_settings *t = &e->cfg.tcp;
	uint32_t least = t->rmem[0] > CROWD_RCVBUF ? t->rmem[0] : CROWD_RCVBUF;

	e->crowded_until = e->now + CROWD_US;
	if (t->moderate_rcvbuf && !c->rcvbuf_locked && is_near(e, c) && c->rcvbuf > least)
		c->rcvbuf = least;
}

/* The crowd is gone: as large as at first. */
static void gather(const struct engine *e, struct conn *c)
{
	if (c->rcvbuf < (uint32_t)e->cfg.tcp.rmem[1] && e->now >= e->crowded_until && !c->rcvbuf_locked)
		c->rcvbuf = e->cfg.tcp.rmem[1];
}

static bool crowd_lately(const struct engine *e, const struct conn *c)
{
	return e->now < e->crowded_until && is_near(e, c);
}

void tune_received(struct input *in, uint32_t len, uint32_t truesize)
{
	if (in->e->unread > CROWD_BYTES && in->e->nunread >= CROWD_LEAST)
		disperse(in->e, in->c);
	measure_by_timestamp(in);
	measure_by_window(in);
	note_filled_window(in->e, in->c);
	/* Segments of a few bytes say nothing about what large ones would occupy. */
	if (len >= 128)
		grow_window(in, len, truesize);
	clamp_window(in->e, in->c);
}

/* ---- the receive buffer ---- */

/* What a buffer must be for the window to be so many bytes of payload in packets of the peer's size. */
static uint64_t space_for(const struct engine *e, const struct conn *c, uint64_t window)
{
	uint32_t mss = c->rcv_mss > 536 ? c->rcv_mss : 536, per_packet = e->mbuf_truesize;

	/* A share so small that no packet's room is a segment's worth (tcp_adv_win_scale below -12) must not hold us up. */
	while (tcp_window_of_space(e, per_packet) < mss && per_packet < (uint32_t)e->cfg.tcp.rmem[2])
		per_packet += 128;
	return window / mss * per_packet;
}

static void grow_rcvbuf(struct engine *e, struct conn *c, uint64_t window)
{
	const struct tcp_settings *t = &e->cfg.tcp;
	uint64_t space;

	if (!t->moderate_rcvbuf || c->rcvbuf_locked || tune_pressure(e) || crowd_lately(e, c))
		return;
	space = space_for(e, c, window);
	if (space > (uint64_t)t->rmem[2])
		space = t->rmem[2];
	if (space > c->rcvbuf)
		c->rcvbuf = space;
}

/*
 * The user took more in a round trip than ever before: make room for twice that, which slow start may send in the next, and more
 * as the amount itself grows.
 */
static void follow_reader(struct engine *e, struct conn *c, uint32_t taken)
{
	uint64_t window = 2 * (uint64_t)taken + 16 * c->rcv_mss;

	if (c->rcv_space)
		window += 2 * (window * (taken - c->rcv_space) / c->rcv_space);
	grow_rcvbuf(e, c, window);
}

/*
 * Where round trips are shorter than tcp_rcvbuf_low_rtt, what is taken in one says more about how long a read is than about the
 * path, and a buffer larger than it must be costs more than it gives: its packets have left the cache before they are read.  It
 * is too small if time and again the peer fills the window and the user has read it all before half as much came in again; once
 * is only somebody's pause.
 */
static void follow_filled_window(struct engine *e, struct conn *c)
{
	uint32_t window = tuned_window(e, c);

	if (!c->rcv_filled || c->rcv_nxt != c->copied_seq)
		return;
	c->rcv_filled = false;
	if (c->rcv_nxt - c->rcv_filled_seq > window / 2 || ++c->rcv_fills < FILLS_TO_GROW)
		return;
	c->rcv_fills = 0;
	grow_rcvbuf(e, c, 2 * (uint64_t)window);
}

void tune_copied(struct engine *e, struct conn *c)
{
	uint32_t taken = c->copied_seq - c->rcv_space_seq, unread = c->rcv_nxt - c->copied_seq;
	bool short_path = c->rcv_rtt_us < (uint32_t)e->cfg.tcp.rcvbuf_low_rtt;

	gather(e, c);
	if (!c->rcv_rtt_us)
		return;
	if (short_path)
		follow_filled_window(e, c);
	if ((uint32_t)e->now - c->rcv_space_at < c->rcv_rtt_us)
		return;
	/* A reader that leaves data lying needs no larger buffer. */
	taken -= unread < taken ? unread : taken;
	if (taken > c->rcv_space) {
		if (!short_path)
			follow_reader(e, c, taken);
		c->rcv_space = taken;
	}
	c->rcv_space_seq = c->copied_seq;
	c->rcv_space_at = e->now;
}

/* ---- the send buffer ---- */

/* Linux's sk_stream_moderate_sndbuf(): what is queued stays, and half of it must be acknowledged before more is taken. */
void tune_sndbuf_starved(const struct engine *e, struct conn *c)
{
	uint32_t half = c->snd_queued / 2, least = e->cfg.tcp.wmem[0];

	if (c->sndbuf_locked)
		return;
	if (half < least)
		half = least;
	if (half < c->sndbuf)
		c->sndbuf = half;
}

/*
 * Twice the window: one in flight, one to follow when it is acknowledged (Linux's tcp_sndbuf_expand()).  Programs that write to
 * themselves before they read know Linux's loopback, whose initial window is of segments of 64 KB.
 */
void tune_sndbuf(struct engine *e, struct conn *c)
{
	uint64_t segments = c->cc.cwnd / c->mss + 1, want;

	if (c->sndbuf_locked || tune_pressure(e))
		return;
	if (segments < CC_INIT_CWND_SEGS)
		segments = CC_INIT_CWND_SEGS;
	want = 2 * segments * e->mbuf_truesize;
	if (want < LOOPBACK_SNDBUF && engine_is_local(e, &c->f.t.raddr))
		want = LOOPBACK_SNDBUF;
	if (want > (uint64_t)e->cfg.tcp.wmem[2])
		want = e->cfg.tcp.wmem[2];
	if (want > c->sndbuf)
		c->sndbuf = want;
}

/* ---- the start of a connection ---- */

void tune_init(struct engine *e, struct conn *c)
{
	uint32_t first = CC_INIT_CWND_SEGS * tcp_advertised_mss(e, c);

	c->rcv_ssthresh = tcp_syn_window(e, c);
	c->rcv_space = first < c->rcv_ssthresh ? first : c->rcv_ssthresh;
	c->rcv_space_seq = c->copied_seq;
	c->rcv_space_at = e->now;
	c->rcv_rtt_us = c->rcv_rtt_at = c->rcv_rtt_tsecr = 0;
	c->rcv_filled = false;
	c->rcv_fills = 0;
	tune_sndbuf(e, c);
}
