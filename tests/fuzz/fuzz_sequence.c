/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_sequence.c - a sequence of packets, socket calls and time: several connections at once, packet memory that runs out,
 * settings that change what is allowed.
 *
 * Input: two bytes of temper (world.h), two of settings, then steps: a byte that says which, and what it needs.
 */
#include <rte_mbuf.h>

#include "tests/fuzz/world.h"

#define STEPS_MAX 300

/* Of switches.b: when SYN cookies are sent. */
#define COOKIES_ALWAYS 4
#define SMALL_BACKLOG 8
#define COOKIES (COOKIES_ALWAYS | SMALL_BACKLOG)

struct switches {
	uint8_t a, b;
};

static void tune(struct tcp_settings *s, void *arg)
{
	static const char *const algorithms[4] = {"cubic", "reno", "bbr", "dctcp"};
	const struct switches *sw = arg;

	s->sack = !(sw->a & 1);
	s->timestamps = !(sw->a & 2);
	s->window_scaling = !(sw->a & 4);
	s->abort_on_overflow = sw->a & 8 ? 1 : 0;
	s->tw_reuse = sw->a & 16 ? 1 : 2;
	s->rfc1337 = sw->a & 32 ? 1 : 0;
	if (sw->a & 64)
		tcp_settings_set(s, "net.ipv4.tcp_rmem", "4096 4096 8192");
	if (sw->a & 128)
		tcp_settings_set(s, "net.ipv4.tcp_wmem", "4096 4096 8192");
	s->fastopen = sw->b & 2 ? 0x407 : 1;
	s->syncookies = sw->b & COOKIES_ALWAYS ? 2 : 1;
	if (sw->b & SMALL_BACKLOG)
		tcp_settings_set(s, "net.ipv4.tcp_max_syn_backlog", "1");
	/* One that there is not leaves the default. */
	tcp_settings_set(s, "net.ipv4.tcp_congestion_control", algorithms[sw->b >> 4 & 3]);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	world_start();
	return 0;
}

/* Microseconds to minutes: 2^0 to 2^27, and a part of that. */
static usec_t duration(struct input_bytes *in)
{
	uint8_t v = in_u8(in);

	return ((usec_t)1 << (v >> 3)) / 8 * (8 + (v & 7));
}

/* Take packets away from the engine, or give them all back. */
static void hoard(struct world *w, struct input_bytes *in)
{
	unsigned n = in_u8(in) % 65;

	if (!n) {
		while (w->taken)
			rte_pktmbuf_free(w->hoard[--w->taken]);
	}
	while (w->taken < n && (w->hoard[w->taken] = rte_pktmbuf_alloc(w->pool)))
		w->taken++;
	world_settle(w);
}

static void step(struct world *w, struct input_bytes *in)
{
	uint8_t what = in_u8(in), more;

	switch (what & 7) {
	case 0:
	case 1:
		peer_packet(w, in);
		break;
	case 2:
	case 3:
		program_call(w, in);
		break;
	case 4:
		world_advance(w, duration(in));
		break;
	case 5:
		peer_reach(w, (what >> 3) % FLOWS, in_u8(in) % SITUATIONS);
		break;
	case 6:
		/* Acknowledge, or send, by the book. */
		more = in_u8(in);
		peer_segment(w, (what >> 3) % FLOWS, FLAG_ACK | (more & 128 ? FLAG_FIN : 0), 0, (more & 127) * 11);
		break;
	default:
		if (what & 128)
			engine_announce(w->e, w->now);
		hoard(w, in);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct input_bytes in = {data, size};
	struct temper t = temper_read(&in);
	struct switches sw = {in_u8(&in), in_u8(&in)};

	/* A SYN cookie has no room for an MSS below the default (RFC 9293 3.7.1), as on Linux. */
	if (sw.b & COOKIES && t.mss < 536)
		t.mss = 536;
	world_open(&w, &t, tune, &sw);
	for (unsigned n = 0; n < STEPS_MAX && in_more(&in); n++)
		step(&w, &in);
	world_close(&w);
	return 0;
}
