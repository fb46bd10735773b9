/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * world.h - hosts with engines, links and switches between them, one clock, the applications, and what goes wrong on the way.
 * Everything that happens follows from the configuration and the seed.
 */
#ifndef WORLD_H
#define WORLD_H

#include <setjmp.h>
#include <stdio.h>

#include "tests/common/referee.h"
#include "tests/sim/link.h"

struct rte_mempool;
struct record;

/* The clock begins above zero, as engine.h asks. */
#define CLOCK_START 1000000
#define SESSIONS_MAX 16
#define STACKS_MAX 2
#define HOSTS_MAX 8
#define SWITCHES_MAX 2
#define LINKS_MAX (2 * HOSTS_MAX + 2)
#define FAULTS_MAX 16
#define LISTEN_PORT 7000
#define OPEN_PORT 9000 /* local ports of sessions that choose theirs */

/* ---- connections ---- */

/* How a connection ends. */
enum session_mode {
	SESSION_CLEAN,	/* both sides send all, half-close, read to the end, close */
	SESSION_CLOSE,	/* the only sender closes instead of half-closing */
	SESSION_ABORT,	/* one side aborts on the way */
	SESSION_UNREAD, /* one side closes on the way, whatever is unread */
	SESSION_LINGER, /* ... with SO_LINGER of zero */
	SESSION_SHUT,	/* one side shuts down both directions on the way */
	SESSION_MODES
};

/* One end of a connection: an application's plan and how far it is. */
struct side {
	struct conn *c;
	unsigned host, stack; /* that c belongs to */
	bool connecting, runnable, shut, eof, done;
	bool accepted;	 /* c was here once */
	bool lost;	 /* its host vanished */
	bool quit;	 /* it reset the connection, or may have */
	uint32_t offset; /* of its bytes in the pattern */
	uint64_t to_send, sent, received;
	unsigned write_max, read_max;  /* bytes of one call at most */
	unsigned pause_ppm;	       /* chance to pause after a call */
	usec_t pause_us, paused_until; /* how long at most; 0: not paused */
	unsigned option_ppm;	       /* chance to change an option after a call */
	unsigned urgent_ppm;	       /* chance that a write is urgent */
	uint64_t quit_at;	       /* end by mode after so many bytes in both directions; UINT64_MAX: never */
	usec_t progress_at;	       /* when it last sent or received */
	usec_t paused_us;	       /* all pauses so far */
	int error;
};

struct session {
	enum session_mode mode;
	bool simultaneous;     /* both sides connect */
	uint16_t port;	       /* of side 0, once it connects; with again or simultaneous chosen, not 0, before */
	struct session *after; /* begin when this one is over, between the same ends */
	usec_t begin;
	bool begun;
	uint32_t iss;	     /* of the opener: tells which of several connections from one port was accepted */
	struct side side[2]; /* 0 opens, 1 accepts */
};

/* ---- hosts ---- */

struct host_config {
	uint16_t mtu;
	unsigned caps;
	unsigned tso_parts; /* 0: any number */
	unsigned nstacks;   /* engines that share the host's address */
	unsigned max_conns, max_repairs;
	bool spread;	/* frames arrive at any stack's queue, else all at the first one's: both are wrong for most */
	int backlog;	/* of its listeners */
	usec_t lazy_us; /* accept() waits so long at most */
	usec_t clock;	/* how far its clock is ahead of the world's */
	struct tcp_settings tcp;
	struct rte_mempool *pool[STACKS_MAX];
};

/* One engine of a host. */
struct stack {
	struct engine *e;
	struct rte_mempool *pool; /* its own, as design section 3 has it */
	unsigned pool_full;
	struct conn *listener;
	usec_t accept_at; /* 0: nothing waits */
};

struct host {
	struct stack stack[STACKS_MAX];
	struct host_config cfg;
	unsigned out; /* its link */
	uint8_t mac[6];
	unsigned boots;	       /* how often it came to life */
	unsigned deaf;	       /* how often its listeners were closed */
	bool gone, touched;    /* it has vanished; it may have work */
	usec_t deadline;       /* of its engines, on the world's clock */
	uint64_t failed_opens; /* counters of engines that are gone: dropped SYNs */
};

/* ---- the network ---- */

/* An end of a link: a host by its number, a switch by END_SWITCH and more. */
#define END_SWITCH HOSTS_MAX

struct wire {
	struct link link;
	unsigned from, to, back; /* back: the link of the other direction */
};

enum topology { TOPOLOGY_DIRECT, TOPOLOGY_STAR, TOPOLOGY_DUMBBELL };

enum fault_kind {
	FAULT_DOWN, /* link a and its way back carry nothing */
	FAULT_UP,
	FAULT_MTU,    /* link a: at most b bytes */
	FAULT_HOLE,   /* the same, without a word */
	FAULT_VANISH, /* host a loses its memory */
	FAULT_RETURN,
	FAULT_DEAF, /* host a closes its listeners */
	FAULT_LISTEN,
	FAULT_HEAL /* all links are good from now on */
};

struct fault {
	usec_t at;
	enum fault_kind kind;
	unsigned a, b;
};

/* What explains errors. */
struct history {
	usec_t dark_us;	   /* the longest time that a link is down, or a hole, by plan */
	bool loss, hasty;  /* some frames are lost; settings or options make connections give up early */
	bool spells, tiny; /* loss comes in bursts; packet memory is scarce */
	bool vanished;	   /* some host does */
};

struct world {
	uint64_t seed;
	struct rng rng;
	usec_t now, end; /* end: virtual time at which everything must be over */
	usec_t healed;	 /* when the network is good for ever; USEC_NEVER: not yet */
	struct host host[HOSTS_MAX];
	unsigned nhosts;
	struct wire wire[LINKS_MAX];
	unsigned nwires, nswitches;
	uint8_t route[SWITCHES_MAX][HOSTS_MAX]; /* the link from a switch towards a host */
	struct session session[SESSIONS_MAX];
	unsigned nsessions;
	struct fault fault[FAULTS_MAX]; /* by time */
	unsigned nfaults, next_fault;
	struct history history;
	uint64_t steps, steps_second; /* rounds of the loop: in all, since the second began */
	usec_t second;
	unsigned look_steps; /* between two looks into the engines */
	uint64_t starved;    /* frames lost because a pool was empty */
	struct referee referee;
	uint64_t bytes;		       /* delivered to applications */
	const struct session *suspect; /* whose connection broke a rule */
	unsigned suspect_side;
	struct record *record; /* NULL: nothing is recorded */
	jmp_buf failed;
	char reason[256];
};

/* ---- world.c ---- */

/* Record why and jump to w->failed. */
void world_fail(struct world *w, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));
/* Let time begin. */
void world_begin(struct world *w);
/* Run until every session is over and has delivered what it must. */
void world_transfer(struct world *w);
/* Run until a time of the world's clock. */
void world_run_until(struct world *w, usec_t at);
/* world_transfer(), then run until all engines hold nothing; destroy them and count mbufs. */
void world_run(struct world *w);
/* Free everything, whatever the state. */
void world_drop(struct world *w);

/* describe.c: what it is made of, and how far it is. */
void world_describe(const struct world *w, FILE *out);

/* ---- net.c: links and switches ---- */

/* Lay the links of nhosts hosts, without configuration yet; hosts of a dumbbell's first half are left. */
void net_build(struct world *w, enum topology t, unsigned nhosts);
/* The links in question when two hosts talk: the first one's own, both ways. */
bool net_touches(const struct world *w, unsigned link, unsigned a, unsigned b);
/* A frame leaves a host. */
void net_send(struct world *w, unsigned host, const uint8_t *data, size_t len);
/* Hand what arrived to hosts and switches. */
void net_run(struct world *w);
usec_t net_next(const struct world *w);
void net_clear(struct world *w);

/* ---- host.c: engines and their wires ---- */

struct ip_addr host_addr(unsigned host);
/* The engine's clock. */
static inline usec_t host_clock(const struct world *w, unsigned host)
{
	return w->now + w->host[host].cfg.clock;
}
/* cfg is filled in: make its engines and listen. */
void host_boot(struct world *w, unsigned host);
/* Its engines are gone; how many mbufs did not come back. */
int host_end(struct world *w, unsigned host);
/* Run due timers, send, collect events, hand foreign frames over; true if anything happened. */
bool host_work(struct world *w, unsigned host);
/* A frame arrives. */
void host_receive(struct world *w, unsigned host, const uint8_t *data, size_t len);
usec_t host_next(const struct world *w, unsigned host);
/* Open or close its listeners. */
void host_listen(struct world *w, unsigned host);
void host_deafen(struct world *w, unsigned host);
/* A counter of its engines by its MIB name; 0: there is none such. */
uint64_t host_counter(const struct world *w, unsigned host, const char *mib);
/* SYNs that it dropped for whatever lack. */
uint64_t host_dropped_syns(const struct world *w, unsigned host);

/* ---- session.c, opening.c: the applications ---- */

/* Begin the sessions whose time has come; true if one began. */
bool sessions_begin(struct world *w);
/* Let every side that can go on do so; true if one did. */
bool sessions_run(struct world *w);
/* Take one of a stack's socket events. */
void sessions_event(struct world *w, unsigned host, unsigned stack, struct conn *c);
/* Accept what waits, where its time has come; true if something did. */
bool sessions_accept(struct world *w);
/* When a session begins or a pause ends next. */
usec_t sessions_next(const struct world *w);
bool sessions_done(const struct world *w);
/* Every clean session must have delivered all. */
void sessions_check(struct world *w);
/* A host vanishes: its sides are over. */
void sessions_lose(struct world *w, unsigned host);
/* Reset what is left of a host's. */
void sessions_close(struct world *w, unsigned host);
struct engine *session_engine(const struct world *w, const struct side *me);
/* c is the side's from now on. */
void session_attach(struct world *w, struct session *s, unsigned who, struct conn *c);
/* An error ends the side, or its attempt to connect; the history must explain it. */
void session_error(struct world *w, struct session *s, unsigned who, int error);
/* The side lets go of its socket. */
void session_finish(struct world *w, struct session *s, unsigned who, bool abort);
/* Change an option of a socket, by chance. */
void session_change_option(struct world *w, struct side *me);
/* Fail for a session. */
void session_fail(struct world *w, const struct session *s, const char *fmt, ...) __attribute__((noreturn, format(printf, 3, 4)));

/* ---- history.c ---- */

/* Does what happened explain that this side sees the error? */
bool history_explains(const struct world *w, const struct session *s, unsigned who, int error);

/* ... that the acceptor never came to be? */
bool history_lost_child(const struct world *w, const struct session *s);

/* ---- fault.c ---- */

/* Let happen what is due; true if something was. */
bool faults_run(struct world *w);
usec_t faults_next(const struct world *w);

/* ---- invariant.c ---- */

/* The numbers that a connection began with, ours and the peer's. */
uint32_t look_iss(const struct conn *c);
uint32_t look_irs(const struct conn *c);
/* Look into every engine: what must hold at any time. */
void invariants_check(struct world *w);
/* No session waits for what will not come. */
void invariants_progress(struct world *w);
/* Everything was closed and is over. */
void invariants_empty(struct world *w, unsigned host);

#endif
