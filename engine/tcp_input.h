/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_input.h - one segment on its way through tcp_input.c (the steps of the RFC), tcp_listen.c (LISTEN), tcp_ack.c (what an ACK
 * means) and tcp_text.c (payload).
 */
#ifndef ENGINE_TCP_INPUT_H
#define ENGINE_TCP_INPUT_H

#include "engine/stack.h"

struct input {
	struct engine *e;
	struct conn *c;
	struct rte_mbuf *m; /* at the TCP header; NULL once a queue has taken it */
	struct seg seg;
	struct rate_sample rate;
};

/* ---- tcp_input.c ---- */
void input_ack_now(struct input *in);
void input_learn_syn(struct input *in); /* the options and numbers of the peer's SYN */

/* ---- tcp_listen.c: c is a listener, or the child of one ---- */
void listener_segment(struct input *in);
bool listener_has_room(struct input *in);    /* may this child be accepted now? */
void listener_child_ready(struct input *in); /* established: to the accept queue, or wait for data (TCP_DEFER_ACCEPT) */
void listener_child_data(struct engine *e, struct conn *c); /* data came for a deferred child */

/* ---- tcp_ack.c ---- */
void input_handshake_rtt(struct input *in);
void input_process_ack(struct input *in);

/* ---- autotune.c ---- */
void tune_received(struct input *in, uint32_t len,
		   uint32_t truesize); /* len bytes of text came in packets that occupy truesize */

/* ---- tcp_text.c ---- */
void input_queue_text(struct input *in);

#endif
