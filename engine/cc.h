/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc.h - congestion control behind a table.  An algorithm sees its own state and what an ACK said, nothing else; detection and repair of loss
 * are recovery.c's.  Windows are in bytes.  State holds no pointers (it is shared across fork): algorithms go by index.
 */
#ifndef ENGINE_CC_H
#define ENGINE_CC_H

#include "engine/engine.h"

/* What one ACK, or one burst of them, said. Gathered once by tcp_input, read by recovery and cc. */
struct ack {
	uint32_t acked;       /* bytes newly acknowledged cumulatively */
	uint32_t sacked;      /* bytes newly SACKed */
	uint32_t delivered;   /* bytes that newly left the network: acked that were not SACKed before, plus sacked */
	usec_t rtt;           /* sample, us; 0: none */
	bool is_dup;          /* duplicate ACK by RFC 5681 section 2 */
	bool acked_retrans;   /* acknowledges a packet that was retransmitted */
	bool cwnd_limited;    /* the window was the limit when this flight was sent (RFC 7661 in spirit) */
	bool dsack;           /* carried a D-SACK (RFC 2883) */
	bool ece;
	usec_t now;
};

struct cc {
	uint32_t cwnd, ssthresh; /* bytes; ssthresh starts at UINT32_MAX */
	uint32_t mss;            /* SMSS; kept up to date by the connection */
	uint8_t algo;            /* index into the table */
	uint32_t acked;          /* bytes counted towards the next growth (RFC 3465) */
	union {
		struct {
			usec_t epoch_at;       /* start of this congestion avoidance stage; 0: not begun */
			uint32_t w_max;        /* bytes */
			uint32_t w_est;        /* bytes (RFC 9438 4.3) */
			uint32_t cwnd_epoch;
			uint32_t prior_cwnd;
			uint32_t k_us;         /* time to W_max, us */
			uint32_t min_rtt_us, srtt_us;
			uint32_t est_acked;
		} cubic;
	};
};

struct cc_ops {
	const char *name; /* as in TCP_CONGESTION */
	void (*init)(struct cc *cc);
	/* Grow: called for each ACK that is not part of recovery. */
	void (*on_ack)(struct cc *cc, const struct ack *a);
	/* A loss event: the new ssthresh (multiplicative decrease); remembers what it needs of the old window. */
	uint32_t (*on_loss)(struct cc *cc, usec_t now);
	/* A timeout: on_loss() was called before; forget the epoch. */
	void (*on_timeout)(struct cc *cc, usec_t now);
	/* The application was idle or limited for so long: time in which nothing was sent does not count. */
	void (*on_idle)(struct cc *cc, usec_t idle_us);
};

#define CC_INIT_CWND_SEGS 10 /* RFC 6928 */

/* The i-th algorithm, NULL past the last: 0 cubic, 1 reno. */
const struct cc_ops *cc_ops(unsigned i);
/* Index by name, or -ENOENT. */
int cc_find(const char *name);
/* Choose an algorithm for a new or a running connection; cwnd and ssthresh stay what they are (set first by the caller). */
void cc_set(struct cc *cc, unsigned algo);
/* Slow start by RFC 5681 3.1 with appropriate byte counting (RFC 3465, L = 2): returns bytes of ack left over beyond ssthresh. */
uint32_t cc_slow_start(struct cc *cc, uint32_t acked);
static inline bool cc_in_slow_start(const struct cc *cc)
{
	return cc->cwnd < cc->ssthresh;
}

#endif
