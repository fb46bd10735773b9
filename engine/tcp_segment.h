/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_segment.h - what tcp_output.c decides to send becomes a segment.
 */
#ifndef ENGINE_TCP_SEGMENT_H
#define ENGINE_TCP_SEGMENT_H

#include "engine/stack.h"

/* Where a segment goes and what IP needs to know. */
struct path {
	const struct tuple *t;
	uint8_t ttl, tos;
	bool may_fragment;
	uint16_t *neigh;
};
struct path tcp_path(struct conn *c);
/* Put the header in front of m's payload (whose partial sum is given) and hand it to IP; owns m. */
void tcp_emit(struct engine *e, struct rte_mbuf *m, const struct tcp_fields *f, const struct path *p, uint16_t payload_sum);

/* What a segment in a synchronized state is to say; the rest is as the control block stands. */
struct outgoing {
	seq_t seq;
	uint8_t flags;	      /* ACK goes without saying */
	bool new_data;	      /* it carries data that was not sent before */
	uint16_t room;	      /* bytes that options beyond the usual may take */
	uint16_t payload_sum; /* partial sum of its payload, if the port does not compute it */
};
/* Put the headers in front of m's payload and send it; owns m. */
void tcp_segment(struct engine *e, struct conn *c, struct rte_mbuf *m, const struct outgoing *o);

#endif
