/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc.h - congestion control behind a table.  An algorithm sees its own state and what an ACK said, nothing else; detection and
 * repair of loss are recovery.c's.  Windows are in bytes.  State holds no pointers (it is shared across fork): algorithms go by
 * index.
 */
#ifndef ENGINE_CC_H
#define ENGINE_CC_H

#include "engine/engine.h"

/* What one ACK, or one burst of them, said. Gathered once by tcp_input, read by recovery and cc. */
struct ack {
	uint32_t acked;	    /* bytes newly acknowledged cumulatively */
	uint32_t sacked;    /* bytes newly SACKed */
	uint32_t delivered; /* bytes that newly left the network: acked that were not SACKed before, plus sacked */
	usec_t rtt;	    /* sample, us; 0: none */
	bool is_dup;	    /* duplicate ACK by RFC 5681 section 2 */
	bool acked_retrans; /* acknowledges a packet that was retransmitted */
	bool cwnd_limited;  /* the window was the limit when this flight was sent (RFC 7661 in spirit) */
	bool dsack;	    /* carried a D-SACK (RFC 2883) */
	bool ece;
	usec_t now;
};

/* HyStart++ (RFC 9406): what the round trips of slow start have shown.  Times in us, 0: none. */
struct hystart {
	uint32_t round_left;  /* bytes to be acknowledged until this round ends; 0: no round begun */
	uint32_t last_rtt_us; /* least sample of the round before */
	uint32_t rtt_us;      /* ... of this round */
	uint32_t css_rtt_us;  /* ... of the round in which conservative slow start began; 0: not in it */
	uint8_t samples;      /* in this round, counted no further than needed */
	uint8_t css_rounds;   /* rounds of conservative slow start done */
};

struct cc {
	uint32_t cwnd, ssthresh; /* bytes; ssthresh starts at UINT32_MAX */
	uint32_t mss;		 /* SMSS; kept up to date by the connection */
	uint8_t algo;		 /* index into the table */
	uint32_t acked;		 /* what was acknowledged and has not made cwnd grow yet (RFC 3465 2.1) */
	union {
		struct {
			usec_t epoch_at;     /* start of this congestion avoidance stage; 0: not begun */
			uint32_t w_max;	     /* bytes; 0: none known */
			uint32_t w_est;	     /* bytes (RFC 9438 4.3) */
			uint32_t est_acked;  /* bytes counted towards the next growth of w_est */
			uint32_t cwnd_prior; /* bytes: cwnd when it was last reduced */
			uint32_t k_us;	     /* time to w_max, us */
			uint32_t srtt_us;    /* smoothed from the samples in struct ack; 0: none yet */
			struct hystart hystart;
		} cubic;
	};
};

struct cc_ops {
	const char *name; /* as in TCP_CONGESTION */
	void (*init)(struct cc *cc);
	/* Grow: called for each ACK that is not part of recovery. */
	void (*on_ack)(struct cc *cc, const struct ack *a);
	/* A loss event: returns the new ssthresh (multiplicative decrease), changes neither window; remembers what it needs of
	 * the old one. */
	uint32_t (*on_loss)(struct cc *cc, usec_t now);
	/* A timeout: on_loss() was called before; forget the epoch. */
	void (*on_timeout)(struct cc *cc, usec_t now);
	/* The application was idle or limited for so long: time in which nothing was sent does not count. */
	void (*on_idle)(struct cc *cc, usec_t idle_us);
};

#define CC_INIT_CWND_SEGS 10   /* RFC 6928 */
#define CC_CWND_MAX (1u << 30) /* the largest window that window scaling can express (RFC 7323 2.3) */

extern const struct cc_ops cc_cubic, cc_newreno;

/* The i-th algorithm, NULL past the last: 0 cubic, 1 reno. */
const struct cc_ops *cc_ops(unsigned i);
/* Index by name, or -ENOENT. */
int cc_find(const char *name);
/* Choose an algorithm for a new or a running connection; cwnd and ssthresh stay what they are (set first by the caller). */
void cc_set(struct cc *cc, unsigned algo);
/* Slow start by RFC 5681 3.1, counting bytes (RFC 3465): returns the bytes of acked left over beyond ssthresh. */
uint32_t cc_slow_start(struct cc *cc, uint32_t acked);
/* The same for the first slow start of a connection, which ends when the round-trip time begins to rise (RFC 9406). */
uint32_t cc_hystart(struct cc *cc, struct hystart *h, const struct ack *a);
/* The least ssthresh after a loss (RFC 5681 equation 4, RFC 9438 4.6): at least two segments. */
static inline uint32_t cc_floor(const struct cc *cc, uint32_t window)
{
	return window > 2 * cc->mss ? window : 2 * cc->mss;
}
/* Add to cwnd, within CC_CWND_MAX. */
static inline void cc_grow(struct cc *cc, uint64_t bytes)
{
	cc->cwnd = cc->cwnd + bytes < CC_CWND_MAX ? cc->cwnd + bytes : CC_CWND_MAX;
}
static inline bool cc_in_slow_start(const struct cc *cc)
{
	return cc->cwnd < cc->ssthresh;
}

#endif
