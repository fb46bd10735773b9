/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc.h - congestion control behind a table.  An algorithm sees its own state and what an ACK said, nothing else; detection and
 * repair of loss are recovery.c's, when a packet leaves is pace.c's.  Windows are in bytes.  State holds no pointers (it is
 * shared across fork): algorithms go by index.
 *
 * There are two kinds.  One that controls a window is asked by recovery.c: on_ack() to grow, on_loss() and on_ece() to shrink.
 * One that models the path has control(), which is told every ACK after recovery.c is done with it and sets cwnd and pacing_rate
 * itself, in recovery too.
 *
 * Congestion window validation is Linux's: growth only while the window was the limit of the flight (RFC 7661 4.3 in spirit), and
 * a window that an idle RTO has outdated decays by half for each (RFC 2861, tcp_slow_start_after_idle).
 */
#ifndef ENGINE_CC_H
#define ENGINE_CC_H

#include "engine/engine.h"

union tcp_cc_info;

/*
 * The delivery rate sample that an ACK completes (draft-ietf-ccwg-bbr, "Delivery Rate Samples"): of the packet sent last among
 * those that it delivers.  Bytes and us; counters are modulo 2^32.
 */
struct rate {
	uint32_t interval_us;			/* 0: no reliable sample */
	uint32_t delivered;			/* in that time */
	uint32_t prior_delivered, tx_in_flight; /* when that packet was sent: delivered so far; in flight, itself included */
	uint32_t lost;				/* marked lost since then */
	uint32_t rtt_us;			/* of that packet; 0: unknown or ambiguous */
	bool has_data;				/* the ACK delivers something: the fields but interval_us count */
	bool app_limited;			/* there was not enough to send: the rate says little */
};

/* Where the connection stands; bytes. */
struct cc_view {
	usec_t now;
	uint32_t delivered, in_flight; /* delivered so far, modulo 2^32 */
	uint32_t srtt_us;	       /* 0: none yet */
	uint32_t random;
	bool in_recovery; /* fast recovery */
	bool in_loss;	  /* after a timeout */
	bool sack_ok;
	bool ecn_ok; /* negotiated */
};

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
	bool ece;	    /* and ECN is in use */
	usec_t now;
	/* For control() alone: */
	struct rate rate;
	struct cc_view view;
};

/* A packet that was marked lost. */
struct cc_lost {
	uint32_t seq, bytes;
	uint32_t tx_in_flight; /* when it was sent, itself included */
	uint32_t lost;	       /* marked lost since then, itself included */
	uint32_t delivered;    /* in all, modulo 2^32 */
	bool app_limited, sack_ok;
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

/* CUBIC's congestion avoidance stage: what a loss changes and an undo restores (RFC 9438 4.9). */
struct cubic_stage {
	usec_t epoch_at;     /* its start; 0: not begun */
	uint32_t w_max;	     /* bytes; 0: none known */
	uint32_t w_est;	     /* bytes (RFC 9438 4.3) */
	uint32_t cwnd_prior; /* bytes: cwnd when it was last reduced */
	uint32_t k_us;	     /* time to w_max, us */
};

/* BBR (cc_bbr.c); names as in the draft.  Bandwidths are in units of 16 bytes per second, times the low 32 bits of us. */
struct bbr {
	uint32_t max_bw[2]; /* most of the last bandwidth probing cycle and of this one */
	uint32_t bw_latest, bw_shortterm, full_bw;
	uint32_t inflight_latest, inflight_shortterm, inflight_longterm;
	uint32_t undo_bw_shortterm, undo_inflight_shortterm, undo_inflight_longterm;
	uint32_t cwnd, prior_cwnd, probe_rtt_cwnd;
	uint32_t min_rtt_us, min_rtt_stamp, probe_rtt_done_stamp, cycle_stamp;
	uint32_t next_round_delivered, loss_round_delivered;
	uint32_t extra_acked[2], extra_acked_stamp, extra_acked_delivered;
	uint32_t probe_up_acked_per_inc, bw_probe_up_acked;
	uint32_t lost_end; /* one past the last byte marked lost */
	uint16_t bw_probe_wait_ms;
	uint8_t state : 3, undo_state : 3, full_bw_count : 2;
	uint8_t rounds_since_probe_up, drain_rounds;
	uint8_t bw_probe_up_rounds : 5, ack_phase : 3;
	uint8_t extra_acked_rounds : 5, loss_ranges : 3; /* in this window; in this round */
	bool full_bw_now : 1, full_bw_reached : 1, is_loss_in_round : 1, idle_restart : 1;
	bool is_bw_probe_sample : 1, prev_probe_too_high : 1, prev_probe_precautionary : 1;
	bool probe_rtt_timing : 1, probe_rtt_round_done : 1; /* probe_rtt_done_stamp is set; a round has passed since */
	bool min_rtt_expired : 1, has_rtt : 1, was_in_recovery : 1;
	/* To be done at the next ACK: begin DOWN, for a probe met loss; respond to congestion experienced; undo. */
	bool down_due : 1, ece_due : 1, undo_due : 1;
};

/* DCTCP (RFC 8257). */
struct dctcp {
	uint32_t next_delivered;  /* the observation window ends when this much was delivered before a packet was sent */
	uint32_t bytes, bytes_ce; /* acknowledged in this window; with ECE */
	uint16_t alpha;		  /* of DCTCP_ALPHA_ONE */
};
#define DCTCP_ALPHA_ONE 1024

struct cc {
	uint32_t cwnd, ssthresh;  /* bytes; ssthresh starts at UINT32_MAX */
	uint16_t mss;		  /* SMSS; kept up to date by the connection */
	uint8_t algo;		  /* index into the table */
	bool ce_state : 1;	  /* as a receiver: the last segment had met congestion (DCTCP.CE, RFC 8257 3.2) */
	bool sees_every_ack : 1;  /* the algorithm has control(): asked for each ACK, so kept at hand */
	bool slow_on_purpose : 1; /* rate samples say nothing of the bandwidth: mark them as application-limited */
	uint32_t acked;		  /* what was acknowledged and has not made cwnd grow yet (RFC 3465 2.1) */
	uint64_t pacing_rate;	  /* bytes per second; 0: the algorithm does not ask for pacing */
	union {
		struct {
			/* What every ACK touches comes first. */
			uint32_t acked_at;	  /* the last ACK; low half of us */
			uint32_t srtt_us;	  /* smoothed from the samples in struct ack; 0: none yet */
			struct cubic_stage stage; /* with epoch_at first */
			uint32_t est_acked;	  /* bytes counted towards the next growth of w_est */
			struct hystart hystart;
		} cubic;
		struct dctcp dctcp;
		struct bbr *bbr; /* has_model: its own, from before init() on */
	};
};

struct cc_ops {
	const char *name; /* as in TCP_CONGESTION */
	bool has_model;	  /* its state is too large for struct cc, which has a pointer to it */
	bool needs_ecn;	  /* offers ECN whatever tcp_ecn says, and sends everything ECN-capable (RFC 8257 3.1) */
	void (*init)(struct cc *cc, const struct cc_view *v);
	/* Grow: called for each ACK that is not part of recovery.  NULL: control() does it. */
	void (*on_ack)(struct cc *cc, const struct ack *a);
	/* A loss event: returns the new ssthresh (multiplicative decrease), changes neither window. */
	uint32_t (*on_loss)(struct cc *cc, usec_t now);
	/* The same for an echo of congestion experienced (RFC 3168 6.1.2), at most once per round trip. */
	uint32_t (*on_ece)(struct cc *cc, usec_t now);
	/* A timeout: on_loss() was called before; forget the epoch. */
	void (*on_timeout)(struct cc *cc, usec_t now);
	/* Before a reduction that may be for nothing: what undo() is to be given of the state.  May be NULL. */
	void (*keep)(const struct cc *cc, struct cubic_stage *kept);
	/* It was: cwnd and ssthresh are restored by the caller, this restores the rest.  May be NULL. */
	void (*undo)(struct cc *cc, const struct cubic_stage *kept);
	/* The application was idle or limited for so long: time in which nothing was sent does not count. */
	void (*on_idle)(struct cc *cc, usec_t idle_us);

	/* For those that see every ACK; each may be NULL. */
	void (*control)(struct cc *cc, const struct ack *a);
	void (*on_lost)(struct cc *cc, const struct cc_lost *l);
	/* Data goes out after the application had none and nothing was in flight. */
	void (*on_restart)(struct cc *cc, const struct cc_view *v);
	/* TCP_CC_INFO: bytes written. */
	socklen_t (*info)(const struct cc *cc, union tcp_cc_info *info);
};

#define CC_INIT_CWND_SEGS 10   /* RFC 6928 */
#define CC_CWND_MAX (1u << 30) /* the largest window that window scaling can express (RFC 7323 2.3) */

#define CC_QUANTUM_US 1000   /* a paced burst lasts no longer, unless two segments do */
#define CC_QUANTUM_MAX 65536 /* ... and is no larger */

extern const struct cc_ops cc_cubic, cc_newreno, cc_bbr, cc_dctcp, cc_dctcp_reno;

/* The i-th algorithm, NULL past the last: 0 cubic, 1 reno, 2 bbr, 3 dctcp, 4 what dctcp is without ECN. */
const struct cc_ops *cc_ops(unsigned i);
/* Index by name, or -ENOENT: also for what is not for users to choose. */
int cc_find(const char *name);
/* Choose an algorithm for a new or a running connection; cwnd and ssthresh stay what they are (set first by the caller). */
void cc_set(struct cc *cc, unsigned algo, const struct cc_view *v);
/* Slow start by RFC 5681 3.1, counting bytes (RFC 3465): returns the bytes of acked left over beyond ssthresh. */
uint32_t cc_slow_start(struct cc *cc, uint32_t acked);
/* The same for the first slow start of a connection, which ends when the round-trip time begins to rise (RFC 9406). */
uint32_t cc_hystart(struct cc *cc, struct hystart *h, const struct ack *a);
/* The least ssthresh after a loss (RFC 5681 equation 4, RFC 9438 4.6): at least two segments. */
static inline uint32_t cc_floor(const struct cc *cc, uint32_t window)
{
	return window > 2 * cc->mss ? window : 2 * cc->mss;
}
/*
 * How much of what an ACK acknowledges may make a window grow: no more than what newly left the network.  After a loss one ACK
 * may cover a whole window that was delivered, and counted, long before; RFC 3465 2.3 bounds that case by L = 1 SMSS.
 */
static inline uint32_t cc_countable(const struct ack *a)
{
	return a->acked < a->delivered ? a->acked : a->delivered;
}
/* Add to cwnd, within CC_CWND_MAX. */
static inline void cc_grow(struct cc *cc, uint64_t bytes)
{
	cc->cwnd = cc->cwnd + bytes < CC_CWND_MAX ? cc->cwnd + bytes : CC_CWND_MAX;
}
/* How much leaves at once at this rate (draft-ietf-ccwg-bbr, "Send Quantum"). */
static inline uint32_t cc_quantum(uint64_t rate, uint32_t mss)
{
	uint64_t bytes = rate / (1000000 / CC_QUANTUM_US);

	if (bytes > CC_QUANTUM_MAX)
		bytes = CC_QUANTUM_MAX;
	return bytes > 2 * mss ? bytes : 2 * mss;
}
/* Does the algorithm set cwnd itself, at each ACK, also while loss is repaired? */
static inline bool cc_sets_window(const struct cc *cc)
{
	return !cc_ops(cc->algo)->on_ack;
}
static inline bool cc_in_slow_start(const struct cc *cc)
{
	return cc->cwnd < cc->ssthresh;
}

#endif
