/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * world.h - what the fuzzers of the engine share: one engine, and a peer that can bring it into any state by the book and then
 * send it what the fuzzer's input says.  After every step the books are audited, every packet that leaves is decoded and judged,
 * and what the program reads is compared; the end checks that nothing was left behind.
 *
 * The payload byte with sequence number s is packet_pattern(s) in both directions, whatever the connection: so a byte in a wrong
 * place is seen at once.  Received frames lie in buffers of exactly their size, for AddressSanitizer's sake.
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "engine/engine.h"
#include "tests/common/packet.h"
#include "tests/common/referee.h"
#include "tests/fuzz/input.h"

#define FLOWS 6
#define SOCKS 12
#define PEER_PORT 40000 /* of flow 0 */
#define OUR_PORT 8080
#define MTU 1500

/* What the peer knows of one connection; sequence numbers are the wire's. */
struct flow_view {
	uint16_t our_port;     /* 0: none seen yet */
	uint32_t isn, snd_nxt; /* the peer's own */
	uint32_t irs, rcv_nxt; /* the engine's ISN, and one past all that it sent */
	uint32_t una;	       /* the highest of these that the peer acknowledged */
	uint32_t acked, edge;  /* what the engine acknowledged, and the right edge of its window */
	uint32_t tsval, tsecr; /* the engine's latest */
	unsigned shift;	       /* of the engine's window */
	bool lawless;	       /* the peer said things after which the rules for the engine's answers do not hold */
	bool answered;	       /* the engine's SYN was seen */
	bool engine_ts;	       /* ... and had timestamps */
	bool spoken;	       /* the engine has sent more than that */
};

/* How the peer behaves: from the first bytes of an input. */
struct temper {
	bool ts, sack, wscale;
	bool offload; /* the engine may leave checksums and segmentation to the card */
	bool exact;   /* frames in buffers of their own size, else in those of the pool */
	bool small_pool;
	uint8_t shift;
	uint16_t mss;
};

struct world {
	struct engine *e;
	struct rte_mempool *pool;
	unsigned pool_full, taken;
	struct rte_mbuf *hoard[64]; /* packets withheld from the engine */
	usec_t now;
	struct temper temper;
	struct flow_view flow[FLOWS];
	struct conn *sock[SOCKS]; /* 0 is the listener's */
	bool unread_known;	  /* what is read may be compared with the pattern */
	bool sent_known;	  /* what the engine sends may be */
	struct referee referee;
	uint64_t cookies; /* that the engine took for good ones, when last looked at */
	bool mute;	  /* the peer does not answer ARP */
};

/* The states that an engine is brought into by the book. */
enum situation {
	SIT_NONE,
	SIT_LISTEN,
	SIT_SYN_SENT,
	SIT_SYN_RECEIVED,
	SIT_SIMULTANEOUS,
	SIT_ESTABLISHED,
	SIT_ACTIVE,
	SIT_IN_FLIGHT,
	SIT_RECOVERY,
	SIT_LOSS,
	SIT_OUT_OF_ORDER,
	SIT_WINDOW_CLOSED,
	SIT_BUFFER_FULL,
	SIT_URGENT,
	SIT_FIN_WAIT_1,
	SIT_FIN_WAIT_2,
	SIT_ORPHAN,
	SIT_CLOSE_WAIT,
	SIT_CLOSING,
	SIT_LAST_ACK,
	SIT_TIME_WAIT,
	SITUATIONS
};

/* Once per process: memory for packets. */
void world_start(void);
/* tune: change the settings that the engine is to have; may be NULL. */
void world_open(struct world *w, const struct temper *t, void (*tune)(struct tcp_settings *s, void *arg), void *arg);
/* Abort all sockets, wait until everything that may take time is over, and check that nothing is left. */
void world_close(struct world *w);
/* Read a temper from an input. */
struct temper temper_read(struct input_bytes *in);

/* Take what the engine sends, judge and learn from it; audit. */
void world_settle(struct world *w);
/* Let so much time pass, deadline by deadline (at most a bounded number of them). */
void world_advance(struct world *w, usec_t us);
/* Give a frame to the engine, and settle. */
void world_frame(struct world *w, const uint8_t *frame, size_t len);
/* With FUZZ_TRACE set: one line on standard error with the time. */
void world_trace(const struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void world_trace_packet(struct world *w, const struct packet *p, bool ours);
/* Something is wrong: say so and abort. */
void world_fault(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* ---- peer.c ---- */
/* Flow f comes to the situation; false: the engine's memory did not allow it.  Status of the state is checked by the caller. */
bool peer_reach(struct world *w, unsigned f, enum situation s);
/* A segment by the book: flags, a number relative to the next one, payload. */
void peer_segment(struct world *w, unsigned f, uint8_t flags, int32_t ahead, uint32_t len);
/* A packet as the input says: TCP for a flow, ICMP, ARP, IP with options or fragments, or bytes. */
void peer_packet(struct world *w, struct input_bytes *in);
/* A packet of the engine's, decoded. */
void peer_learn(struct world *w, const struct packet *p, const uint8_t *payload);
/* The first free place for a socket, or -1. */
int world_sock_slot(struct world *w);
/* The options that a segment of this flow has by the book. */
void peer_options(struct world *w, unsigned f, struct tcp_part *t);
struct packet peer_template(struct world *w, unsigned f);
/* Build p, let the referee see it, send it. */
void peer_send(struct world *w, unsigned f, const struct packet *p);

/* ---- program.c: the program's side ---- */
/* One call on one of the sockets, as the input says. */
void program_call(struct world *w, struct input_bytes *in);
/* Queue n bytes of the pattern. */
ssize_t program_send(struct world *w, struct conn *c, size_t n, int flags);
/* Read up to n bytes and compare. */
ssize_t program_recv(struct world *w, struct conn *c, size_t n, int flags);

#endif
