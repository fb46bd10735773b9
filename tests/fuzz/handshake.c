/* SPDX-License-Identifier: BSD-3-Clause */
/* handshake.c - a connection begins with any options; see handshake.h. */
#include "tests/fuzz/handshake.h"
#include "tests/fuzz/world.h"

void world_handshake(struct input_bytes *in, bool active)
{
	const struct temper t = {.ts = true, .sack = true, .wscale = true, .shift = 7, .mss = 1460, .exact = true};
	static struct world w;
	struct packet p;
	struct tcp_opt raw = {.kind = OPT_RAW};
	int err;

	world_open(&w, &t, NULL, NULL);
	if (!peer_reach(&w, 0, active ? SIT_SYN_SENT : SIT_LISTEN))
		world_fault("no beginning");
	p = peer_template(&w, 0);
	p.tcp.flags = FLAG_SYN | (active ? FLAG_ACK : 0);
	raw.nraw = (uint8_t)in_bytes(in, raw.raw, sizeof(raw.raw));
	p.tcp.opt[0] = raw;
	p.tcp.nopts = 1;
	w.flow[0].lawless = true;
	peer_send(&w, 0, &p);
	peer_segment(&w, 0, FLAG_ACK, 0, 100);
	if (!active)
		w.sock[1] = engine_accept(w.e, w.sock[0], &err);
	if (w.sock[1]) {
		program_send(&w, w.sock[1], 20000, 0);
		program_recv(&w, w.sock[1], 20000, 0);
		peer_segment(&w, 0, FLAG_ACK, 0, 200);
		world_advance(&w, 3000000);
		program_recv(&w, w.sock[1], 20000, 0);
	}
	world_close(&w);
}
