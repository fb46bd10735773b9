/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * world.h - two engines, two links, one clock, and the connections between them.  Everything that happens follows from the
 * configuration and the seed.
 */
#ifndef WORLD_H
#define WORLD_H

#include <setjmp.h>
#include <stdio.h>

#include "tests/common/referee.h"
#include "tests/sim/link.h"

struct rte_mempool;

/* The clock begins above zero, as engine.h asks. */
#define CLOCK_START 1000000
#define SESSIONS_MAX 16
#define STACKS_MAX 2
#define LISTEN_PORT 7000

/* How a connection ends. */
enum session_mode {
	SESSION_CLEAN,	/* both sides send all, half-close, read to the end, close */
	SESSION_CLOSE,	/* the only sender closes instead of half-closing */
	SESSION_ABORT,	/* one side aborts on the way */
	SESSION_UNREAD, /* one side closes on the way, whatever is unread */
	SESSION_MODES
};

/* One end of a connection: an application's plan and how far it is. */
struct side {
	struct conn *c;
	unsigned stack; /* of the node, that c belongs to */
	bool connecting, runnable, shut, eof, done;
	uint64_t to_send, sent, received;
	unsigned write_max, read_max;  /* bytes of one call at most */
	unsigned pause_ppm;	       /* chance to pause after a call */
	usec_t pause_us, paused_until; /* how long at most; 0: not paused */
	uint64_t quit_at;	       /* abort or close after so many bytes in both directions; UINT64_MAX: never */
	int error;
};

struct session {
	enum session_mode mode;
	unsigned initiator; /* node that connects */
	uint16_t port;	    /* its port, once it connects */
	usec_t begin;
	bool begun;
	uint8_t salt;	     /* makes streams of different connections different */
	struct side side[2]; /* by node */
};

struct node_config {
	uint16_t mtu;
	unsigned caps;
	unsigned nstacks; /* engines that share the node's address */
	bool spread;	  /* frames arrive at any stack's queue, else all at the first one's: both are wrong for most */
	struct tcp_settings tcp;
};

/* One engine of a node. */
struct stack {
	struct engine *e;
	void *region;
	struct rte_mempool *pool; /* its own, as design section 3 has it */
	unsigned pool_full;
	struct conn *listener;
};

struct node {
	struct stack stack[STACKS_MAX];
	struct node_config cfg;
	struct link *out;
	uint8_t mac[6];
};

struct world {
	uint64_t seed;
	struct rng rng;
	usec_t now, end; /* end: virtual time at which everything must be over */
	struct node node[2];
	struct link link[2]; /* from node 0, from node 1 */
	struct session session[SESSIONS_MAX];
	unsigned nsessions;
	uint64_t steps, steps_second; /* rounds of the loop: in all, since the second began */
	usec_t second;
	uint64_t starved; /* frames lost because a pool was empty */
	struct referee referee;
	uint64_t bytes; /* delivered to applications */
	bool trace;
	jmp_buf failed;
	char reason[256];
};

/* Record why and jump to w->failed. */
void world_fail(struct world *w, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));
/* Make both engines and their links; sessions are the caller's to fill in before world_run(). */
void world_init(struct world *w, const struct node_config nodes[2], const struct link_config links[2],
		struct rte_mempool *const pools[2][STACKS_MAX]);
/* Run until every session is over and has delivered what it must. */
void world_transfer(struct world *w);
/* The same, then run until both engines hold nothing; destroy them and count mbufs. */
void world_run(struct world *w);
/* The address of a node. */
struct ip_addr node_addr(unsigned node);
/* Free everything, whatever the state. */
void world_drop(struct world *w);

/* node.c: engines and their wires. */

void node_init(struct world *w, unsigned i, const struct node_config *cfg, struct rte_mempool *const pools[STACKS_MAX]);
/* Run due timers, send, collect events, hand foreign frames over; true if anything happened. */
bool node_work(struct world *w, unsigned i);
/* Hand a node what its link has delivered by now, in bursts. */
void node_receive(struct world *w, unsigned i);
/* The earliest deadline of its engines. */
usec_t node_deadline(const struct world *w, unsigned i);
/* Sum of what its engines hold. */
void node_usage(const struct world *w, unsigned i, struct engine_usage *u);
/* Destroy its engines; how many mbufs did not come back. */
int node_end(struct world *w, unsigned i);

/* session.c: the applications. */

/* Begin the sessions whose time has come; true if one began. */
bool sessions_begin(struct world *w);
/* Let every side that can go on do so; true if one did. */
bool sessions_run(struct world *w);
/* Take one of a stack's socket events. */
void sessions_event(struct world *w, unsigned node, unsigned stack, struct conn *c);
/* When a session begins or a pause ends next. */
usec_t sessions_next(const struct world *w);
bool sessions_done(const struct world *w);
/* Every clean session must have delivered all. */
void sessions_check(struct world *w);

#endif
