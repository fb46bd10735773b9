/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_state.c - a packet or a few into every state: the state is reached by the book, then comes what the input says, then time
 * passes, the program reads and writes, and everything must come to its end.
 *
 * Input: two bytes of temper (world.h), one for the situation, then packets (packets.c).
 */
#include <netinet/tcp.h>

#include "tests/fuzz/world.h"

#define PACKETS_MAX 4

/* The state that each situation is in, numbered as Linux does; 0: not looked at. */
static const uint8_t state_of[SITUATIONS] = {
    [SIT_SYN_SENT] = TCP_SYN_SENT,	  [SIT_ACTIVE] = TCP_ESTABLISHED,	 [SIT_ESTABLISHED] = TCP_ESTABLISHED,
    [SIT_IN_FLIGHT] = TCP_ESTABLISHED,	  [SIT_RECOVERY] = TCP_ESTABLISHED,	 [SIT_LOSS] = TCP_ESTABLISHED,
    [SIT_OUT_OF_ORDER] = TCP_ESTABLISHED, [SIT_WINDOW_CLOSED] = TCP_ESTABLISHED, [SIT_BUFFER_FULL] = TCP_ESTABLISHED,
    [SIT_URGENT] = TCP_ESTABLISHED,	  [SIT_FIN_WAIT_1] = TCP_FIN_WAIT1,	 [SIT_FIN_WAIT_2] = TCP_FIN_WAIT2,
    [SIT_CLOSE_WAIT] = TCP_CLOSE_WAIT,	  [SIT_CLOSING] = TCP_CLOSING,		 [SIT_LAST_ACK] = TCP_LAST_ACK,
    [SIT_SIMULTANEOUS] = TCP_SYN_RECV,
};

static void check_situation(const struct temper *t, enum situation s)
{
	static struct world w;
	struct engine_usage u;

	world_open(&w, t, NULL, NULL);
	if (!peer_reach(&w, 0, s))
		world_fault("situation %d cannot be reached", s);
	if (state_of[s] && engine_state(w.sock[1]) != state_of[s])
		world_fault("situation %d is state %d, not %d", s, engine_state(w.sock[1]), state_of[s]);
	engine_usage(w.e, &u);
	if (u.timewaits != (s == SIT_TIME_WAIT) || u.half_open != (s == SIT_SYN_RECEIVED || s == SIT_SIMULTANEOUS))
		world_fault("situation %d: %u TIME-WAIT, %u half open", s, u.timewaits, u.half_open);
	world_close(&w);
}

/* A fuzzer that does not reach its states would find nothing, and not say so. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct temper plain = {.ts = true, .sack = true, .wscale = true, .shift = 7, .mss = 1460, .exact = true};
	const struct temper bare = {.mss = 536, .offload = true};

	world_start();
	for (unsigned s = 0; s < SITUATIONS; s++) {
		check_situation(&plain, s);
		check_situation(&bare, s);
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct input_bytes in = {data, size};
	struct temper t = temper_read(&in);
	enum situation s = in_u8(&in) % SITUATIONS;

	world_open(&w, &t, NULL, NULL);
	peer_reach(&w, 0, s);
	for (unsigned n = 0; n < PACKETS_MAX && in_more(&in); n++)
		peer_packet(&w, &in);
	world_advance(&w, 50000);
	for (unsigned i = 1; i < SOCKS; i++) {
		if (!w.sock[i])
			continue;
		program_recv(&w, w.sock[i], 30000, 0);
		program_send(&w, w.sock[i], 3000, 0);
	}
	world_advance(&w, 3000000);
	world_close(&w);
	return 0;
}
