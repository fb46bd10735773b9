/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pair.h - two engines in one process, 10.0.0.1 (the client, end 0) and 10.0.0.2 (the server, end 1), joined by nothing but
 * copies of packets: what the engine itself costs, with no device, no system call and no other thread.  Time is virtual.
 */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

#include "engine/stack.h"

#define PAIR_PORT 5000 /* the first that the server listens on */
#define PAIR_BURST 32
#define PAIR_PORT_SHARE 50000 /* connections to each of the server's ports, of the 64,000 that its client's address has */

struct pair {
	struct engine *end[2];
	struct rte_mempool *pool;
	struct conn **listeners;
	unsigned nlisteners;
	size_t region; /* bytes of each engine */
	usec_t now;
};

/* caps: ENGINE_* of both ends.  Room for conns connections.  Ends the program with a message if memory is short. */
void pair_open(struct pair *p, unsigned conns, unsigned caps);
void pair_close(struct pair *p);
/* Up to PAIR_BURST frames that this end sends, as the other's device delivers them; the caller's to give to engine_input(). */
unsigned pair_take(struct pair *p, unsigned from, struct rte_mbuf **frames);
/* Frames to and fro until neither end has any. */
void pair_exchange(struct pair *p);
/* n established connections (PAIR_BURST at most): the client's ends, and the server's in the order of being accepted. */
void pair_connect(struct pair *p, struct conn **client, struct conn **server, unsigned n);
/* Send or receive all of n bytes; ends the program if the engine does not take or have them. */
void pair_send(struct pair *p, unsigned end, struct conn *c, const void *buf, size_t n);
void pair_recv(struct pair *p, unsigned end, struct conn *c, void *buf, size_t n);
/* Take and drop what is on the ready list of this end. */
void pair_drop_events(struct pair *p, unsigned end);

#endif
