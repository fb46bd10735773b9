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
	struct rte_mbuf *m; /* at the TCP header, IP's in front of it; NULL once a queue has taken it */
	uint16_t ip_hdr_len;
	struct seg seg;
	struct rate_sample rate;
};

/* The window that the segment offers: that of a SYN is never scaled (RFC 7323 2.2). */
static inline uint32_t input_window(const struct input *in)
{
	return in->seg.flags & TH_SYN ? in->seg.wnd : (uint32_t)in->seg.wnd << in->c->snd_wscale;
}

/* ---- tcp_input.c ---- */
void input_ack_now(struct input *in);
void input_segment(struct input *in);	/* for c, which is no listener */
void input_learn_syn(struct input *in); /* the options and numbers of the peer's SYN */

/* ---- tcp_timewait.c ---- */
/* True: the entry is gone and the segment is a SYN for a listener, if there is one. */
bool timewait_segment(struct engine *e, struct timewait *tw, const struct seg *s);

/* ---- tcp_listen.c: c is a listener, or the child of one ---- */
void listener_segment(struct input *in);
/* What a child that the segment's SYN makes begins with: writes nothing but *child, which is zeroed or new, and makes it in->c.
 */
void listener_shape(struct input *in, const struct conn *l, struct conn *child);
/* A child in SYN-RECEIVED on the SYN queue, with this number of its own; NULL: no control block, counted. */
struct conn *listener_spawn(struct input *in, struct conn *l, seq_t iss);
bool listener_is_full(struct engine *e, const struct conn *l); /* its accept queue; counted */
void listener_to_accept_queue(struct engine *e, struct conn *child);
bool listener_has_room(struct input *in);    /* may this child be accepted now? */
void listener_child_ready(struct input *in); /* established: to the accept queue, or wait for data (TCP_DEFER_ACCEPT) */
void listener_child_data(struct engine *e, struct conn *c); /* data came for a deferred child */

/* ---- syncookie.c ---- */
void syncookie_answer(struct input *in); /* a SYN for listener c: by a SYN,ACK of which nothing is remembered */
/* An ACK for listener c: false unless it ends such a handshake; else it was dealt with, and made a connection if there is room.
 */
bool syncookie_ack(struct input *in);

/* ---- tcp_ack.c ---- */
void input_handshake_rtt(struct input *in);
void input_process_ack(struct input *in);

/* ---- autotune.c ---- */
void tune_received(struct input *in, uint32_t len,
		   uint32_t truesize); /* len bytes of text came in packets that occupy truesize */

/* ---- tcp_text.c ---- */
void input_queue_text(struct input *in);

#endif
