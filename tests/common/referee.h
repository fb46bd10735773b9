/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * referee.h - watches the packets of TCP connections as they leave and names the first that breaks a rule that holds on every
 * wire, whatever the scenario: acknowledgments that go back, windows that shrink, data beyond the peer's window or MSS, holes,
 * missing timestamps, impossible SACK blocks.  Knows packets, and of the engines what their counters excuse.
 */
#ifndef REFEREE_H
#define REFEREE_H

#include <stdbool.h>
#include <stdint.h>

struct engine_stats;
struct packet;

#define REFEREE_CONNS_MAX 128

/* What one end has said so far; sequence numbers are the wire's. */
struct referee_end {
	bool syn_seen, acked, fin_sent, has_wscale, has_ts, has_sack;
	bool answered; /* its SYN was a SYN,ACK, or became one */
	uint32_t isn;
	uint32_t snd_max;    /* beyond everything sent, SYN and FIN counted */
	uint32_t fin;	     /* number of the FIN */
	uint32_t ack_max;    /* highest acknowledgment sent */
	uint32_t right_edge; /* highest ack + window offered */
	bool offered;	     /* right_edge is valid */
	uint32_t mss, ts_last;
	unsigned wscale;
};

struct referee_conn {
	uint32_t addr[2]; /* network order */
	uint16_t port[2];
	bool over; /* reset, or its numbers are not known */
	struct referee_end end[2];
};

struct referee {
	struct referee_conn conn[REFEREE_CONNS_MAX]; /* oldest first; a new one takes the oldest's place when all are used */
	unsigned next;				     /* how many there were */
	bool cookies;	  /* a SYN,ACK may be a SYN cookie, whose sender does not know later what window it offered */
	bool local_drops; /* packets may be lost before they are seen here: holes are no fault */
};

/*
 * A TCP packet (wire numbers) leaves the host that it names as its source.  judge: say what is wrong with it; else only learn
 * from it.  Returns NULL, or the rule that is broken.
 */
const char *referee_watch(struct referee *r, const struct packet *p, bool judge);
/* Before its packets: what an engine says of SYN cookies, and of packets that waited for a neighbour's address in vain or were
 * one too many. */
void referee_excuse(struct referee *r, const struct engine_stats *stats);

#endif
