/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_input.h - one segment on its way through tcp_input.c (the steps of the RFC), tcp_handshake.c, tcp_listen.c (LISTEN),
 * tcp_ack.c (what an ACK means) and tcp_text.c (payload).
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
	struct rte_mbuf *acked; /* packets that it acknowledges, off the queue: freed when all is learned from them */
	/* What an ACK says of repair. */
	seq_t fack;	     /* high_sacked before it */
	seq_t reordered_seq; /* the lowest it delivers out of order, if reordered */
	bool reordered;	     /* delivers what was sent once, after something that had been sent later (RFC 8985 6.2 step 3) */
	bool original_acked; /* delivers what was sent once, before recovery_point (RFC 5682) */
	bool tlp_duplicate;  /* the tail loss probe arrived twice */
	bool ack_due;	     /* it took rcv_nxt further: that is to be acknowledged, now or later */
};

/* The window that the segment offers: that of a SYN is never scaled (RFC 7323 2.2). */
static inline uint32_t input_window(const struct input *in)
{
	return in->seg.flags & TH_SYN ? in->seg.wnd : (uint32_t)in->seg.wnd << in->c->snd_wscale;
}

/* ---- tcp_input.c ---- */
void input_ack_now(struct input *in);
/* May a segment that is not acceptable be answered now?  False is counted. */
bool input_answer_allowed(struct input *in);
void input_challenge_ack(struct input *in); /* RFC 5961, as often as is allowed */
void input_segment(struct input *in);	    /* for c, which is no listener */

/* ---- tcp_handshake.c ---- */
void input_behind_syn(struct input *in); /* what else the segment of a SYN carries comes next */
void input_learn_syn(struct input *in);	 /* the options and numbers of the peer's SYN */
/* A segment in SYN-SENT; true: go on with its text and its FIN. */
bool handshake_syn_sent(struct input *in);
/* The ACK of a segment in SYN-RECEIVED, or of a Fast Open that is not confirmed: false unless it ends the handshake. */
bool handshake_complete(struct input *in);
/* The SYN that made a Fast Open child, again: answered, and true. */
bool handshake_syn_again(struct input *in);
/* A SYN,ACK in SYN-RECEIVED may be of another peer than the bare SYN was that took us there. */
void handshake_outdo_bare_syn(struct input *in);

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
void input_syn_acked(struct input *in); /* our SYN: a round trip to measure, and the neighbour is there */
void input_process_ack(struct input *in);

/* ---- autotune.c ---- */
void tune_received(struct input *in, uint32_t len,
		   uint32_t truesize); /* len bytes of text came in packets that occupy truesize */
/* Does it echo a timestamp from before ts? */
bool tcp_echoes_before(const struct input *in, uint32_t ts);

/* ---- recovery.c: see there for how the parts belong together ---- */
/* Nothing is missing, nothing hints at it, and no probe is on its way. */
static inline bool recovery_idle(const struct conn *c)
{
	return c->ca_state == CA_OPEN && !(c->sacked_out | c->lost_out | c->retrans_out) && !c->tlp_out;
}
void recovery_on_ack(struct input *in, struct ack *a);
void recovery_unmark_lost(struct conn *c, struct rte_mbuf *m); /* it was not lost after all */
void recovery_forget_below(struct conn *c, seq_t ack);	       /* before packets below ack are let go */

/* ---- sack.c ---- */
void sack_blocks(struct input *in, struct ack *a); /* the SACK blocks of a segment */
void sack_forget_below(struct conn *c, seq_t ack);
void sack_forget_all(struct conn *c);
/* The last of the SACKed packets that follow m, itself SACKED, without a hole; each step taken counts down *steps, at 0 it ends.
 */
struct rte_mbuf *sack_run_last(struct rte_mbuf *m, unsigned *steps);

/* ---- rack.c ---- */
bool rack_on(const struct engine *e, const struct conn *c);
void rack_delivered(struct input *in, struct rte_mbuf *m); /* m, whole, is acknowledged or SACKed for the first time */
void rack_on_ack(struct input *in, const struct ack *a);
void rack_detect(struct engine *e, struct conn *c); /* mark what is lost, arm the timer for what may be */
bool rack_timed_out(const struct engine *e, struct conn *c, struct rte_mbuf *m);
void rack_reordering(struct engine *e, struct conn *c, uint32_t distance); /* seen, by so many bytes */
void rack_recovered(struct conn *c);					   /* an episode ended without undo */

/* ---- tlp.c ---- */
/* Nothing is left in flight, nothing was lost: if it was one segment, that is how long the peer keeps an ACK. */
void tlp_learn_ack_delay(struct conn *c, const struct ack *a);
void tlp_on_ack(struct input *in, const struct ack *a);

/* ---- prr.c ---- */
/* The window is to be reduced to cc.ssthresh; what the ACK at hand acknowledged and SACKed, bytes. */
void prr_begin(struct conn *c, uint32_t acked, uint32_t sacked);
void prr_after_silence(struct conn *c); /* right after: what began it is the answer to a tail loss probe */
/* Set cwnd; safe: the ACK advances and shows no loss. */
void prr_update(struct conn *c, uint32_t delivered, bool safe);

/* ---- undo.c: true if it undid ---- */
void undo_begin(struct conn *c); /* an episode of repair begins: before the windows change */
void undo_retransmitted(const struct engine *e, struct conn *c);
void undo_duplicate(struct conn *c, const struct sack_block *b, uint32_t segs); /* reported by a D-SACK */
bool undo_recovery(struct input *in);						/* at the end of the episode */
bool undo_partial(struct input *in, seq_t una);					/* fast recovery, amid it; una: before this ACK */
bool undo_by_dsack(struct input *in);
bool undo_loss(struct input *in, bool frto); /* after a timeout, amid the episode; frto: RFC 5682 says that it was spurious */

/* ---- tcp_text.c ---- */
void input_queue_text(struct input *in);
/* ack_due, when all of the segment was taken: mark the ACK, or arm the timer that does. */
void input_schedule_ack(struct input *in);

#endif
