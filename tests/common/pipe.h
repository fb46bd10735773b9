/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pipe.h - for unit tests of whole connections: two engines, 10.0.0.1 and 10.0.0.2, joined by a link with a rate, a delay, a
 * queue and a largest packet that it lets pass, in virtual time that goes in small steps.  Frames stay the sender's own mbufs
 * until they arrive, so that a flight of a hundred megabytes needs no second copy.
 */
#ifndef TEST_PIPE_H
#define TEST_PIPE_H

#include "engine/stack.h"
#include "engine/tcp_info.h"

#define PIPE_FLIGHT_MAX (1u << 18) /* frames under way in one direction */
#define PIPE_SECOND 1000000ull

struct pipe_config {
	unsigned mtu;
	unsigned conns; /* of an end, listeners too; 0: 4 */
	struct rte_mempool *pool[2];
	const char *(*settings)[2]; /* name and value, for both ends; ends with a NULL name */
	uint64_t rate_bps, queue_bytes;
	usec_t one_way_us, step_us;
};

/* One direction: frames that left, with their time of arrival. */
struct pipe_wire {
	struct rte_mbuf *frame[PIPE_FLIGHT_MAX];
	uint64_t arrival_ns[PIPE_FLIGHT_MAX];
	uint32_t head, tail;
	uint64_t busy_ns; /* the link sends until then */
	unsigned largest; /* IP packets beyond it vanish without a word; 0: none do */
	uint64_t overflowed, vanished;
};

struct pipe_end {
	struct engine *e;
	void *region;
	struct pipe_wire out;
};

struct pipe {
	struct pipe_config cfg;
	struct pipe_end end[2];
	usec_t now;
	uint16_t client_port; /* of connections; 0: any */
	unsigned births;      /* each engine has its own secret */
};

/* p is large: not on the stack.  The pools must be full. */
void pipe_open(struct pipe *p, const struct pipe_config *cfg);
/* Destroys the engines and asserts that every mbuf is back in its pool. */
void pipe_close(struct pipe *p);
/* The program at this end has ended, another one begins in its place. */
void pipe_successor(struct pipe *p, unsigned end);
/* Time passes by one step. */
void pipe_step(struct pipe *p);
/* A connection from end 0 to end 1; both ends of it. */
void pipe_connect(struct pipe *p, struct conn *c[2]);
/* Write and read as much as goes for so long: the bytes that arrived. */
uint64_t pipe_transfer(struct pipe *p, struct conn *c[2], usec_t us);
/* TCP_INFO of the connection's end. */
struct engine_info pipe_info(struct pipe *p, struct conn *c[2], unsigned end);

#endif
