/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conn.h - the transmission control block, hot fields first, and the small TIME-WAIT
 * entry. One writer: whoever is inside the engine.  No pointer here leads out of the engine's region but those to mbufs.
 */
#ifndef ENGINE_CONN_H
#define ENGINE_CONN_H

#include "engine/cc.h"
#include "engine/list.h"
#include "engine/ofoq.h"
#include "engine/pkt.h"
#include "engine/seq.h"
#include "engine/wheel.h"
#include "engine/wire.h"

/* RFC 9293 3.3.2, numbered as Linux numbers them in tcp_info. */
enum tcp_state {
	ESTABLISHED = 1,
	SYN_SENT,
	SYN_RECEIVED,
	FIN_WAIT_1,
	FIN_WAIT_2,
	TIME_WAIT,
	CLOSED,
	CLOSE_WAIT,
	LAST_ACK,
	LISTEN,
	CLOSING,
};
/* F-RTO after a timeout (RFC 5682): not in use; the first lost segment is out; new data is tried before all that is LOST. */
enum frto { FRTO_OFF, FRTO_HEAD_SENT, FRTO_TRY_NEW };

#define SACK_HINTS 3 /* as many SACK blocks as fit beside timestamps */

#define STATE_BIT(s) (1u << (s))
/* States in which a peer is known and both sequence spaces are. */
#define SYNCHRONIZED                                                                                                           \
	(STATE_BIT(ESTABLISHED) | STATE_BIT(FIN_WAIT_1) | STATE_BIT(FIN_WAIT_2) | STATE_BIT(CLOSE_WAIT) | STATE_BIT(CLOSING) | \
	 STATE_BIT(LAST_ACK) | STATE_BIT(TIME_WAIT))

/* The states of recovery, as tcp_info's tcpi_ca_state. */
enum ca_state { CA_OPEN, CA_DISORDER, CA_CWR, CA_RECOVERY, CA_LOSS };

/* What limits the sender, as Linux's tcp_chrono; kept by chrono.c. */
enum chrono { CHRONO_BUSY, CHRONO_RWND, CHRONO_SNDBUF, CHRONO_NONE };

enum flow_kind { FLOW_CONN, FLOW_TIMEWAIT };

/* What the tables know: the flow table by tuple, the port table by local port. */
struct flow {
	struct flow *hash_next;
	struct tuple t;
	uint32_t hash;
	uint8_t kind; /* enum flow_kind */
	bool hashed;  /* in the flow table */
	bool reuse_addr, reuse_port;
	struct list port_link; /* on the chain of t.lport; last: a search does not look at it */
};

/* TIME-WAIT (RFC 9293 3.6.1): all that is needed to answer old segments and to let a new incarnation in (RFC 6191). */
struct timewait {
	struct flow f;
	struct list fifo; /* all wait equally long, so the oldest is first */
	usec_t expires;
	seq_t snd_nxt, rcv_nxt;
	uint32_t rcv_wnd;
	uint32_t ts_recent;
	usec_t ts_recent_at; /* when it was taken, for RFC 6191 and PAWS's 24 days */
	uint32_t ts_offset;
	uint32_t last_oow_ack_ms; /* rate limit of answers */
	uint8_t rcv_wscale;
	bool ts_ok;
	uint16_t neigh;
};

enum conn_timer {
	TIMER_LOSS,
	TIMER_RTX,
	TIMER_DELACK,
	TIMER_PACE,
	SHORT_TIMERS,
	TIMER_KEEPALIVE = SHORT_TIMERS,
	TIMER_LIFE,
	TIMERS
};
#define SHORT_TIMER_MAX_US 120000000u /* the largest RTO */
/*
 * TIMER_LOSS: the tail loss probe, or the end of the reordering window (RFC 8985); looked at before TIMER_RTX, which a probe puts
 * off. TIMER_RTX: retransmission or persist (never both: persist when snd_una == snd_nxt and the window is closed). TIMER_LIFE:
 * end of SYN-RECEIVED, FIN-WAIT-2 of an orphan, deferred accept, whichever the state has. TIMER_PACE: the next quantum may leave.
 *
 * Short timers end within SHORT_TIMER_MAX_US, so the low half of the clock says when: what lies further ahead lies in the past.
 * (A process that was stopped for 71 minutes may find one late by up to that much.)
 */

/*
 * What a connection has only while something is amiss, from a slab of its own (repair.c): sent packets that are SACKed, lost or
 * sent again, received ones that wait behind a hole, a probe that is out, an episode of repair that may yet be undone.
 */
struct repair {
	/* The scoreboard's places. */
	struct rte_mbuf *sack_hint[SACK_HINTS]; /* where recent SACK blocks began, latest first; NULL: none */
	struct pkt_list lost_list;		/* LOST, to be sent again; empty before the connection is established */
	struct pkt_list rtx_list;		/* RETRANS, in order of transmission */
	struct rte_mbuf *rack_passed;	/* no packet sent once only, up to this one, has its fate open; NULL: from the head */
	struct cubic_stage prior_stage; /* for undo.c, as what is below */
	uint32_t sacked_pkts;
	seq_t tlp_end_seq; /* snd_nxt after the probe (tlp.c) */

	struct ofoq ofoq;			       /* received out of order, not overlapping */
	struct sack_block ofo_recent[SACK_BLOCKS_MAX]; /* blocks to report, latest first (RFC 2018 4) */
	struct sack_block dsack;		       /* a duplicate to report (RFC 2883), when dsack_pending */

	uint32_t prr_recover_fs, prr_delivered, prr_out; /* proportional rate reduction (prr.c), bytes */
	/* What an undo needs (undo.c). */
	uint32_t prior_cwnd, prior_ssthresh;
	seq_t undo_marker;	/* snd_una when the episode began */
	int undo_retrans;	/* segments sent again in it and not reported as duplicates; -1: none sent again yet */
	uint32_t retrans_stamp; /* timestamp clock at the first retransmission, when retrans_stamped */
};
_Static_assert(sizeof(struct repair) <= 200, "there is one for every fourth connection");

/*
 * What few connections need, for as long as they last, from a slab of its own of which there are as many as connections: options
 * that are seldom set, and counts of what seldom happens.
 */
struct extra {
	uint64_t max_pacing_rate; /* SO_MAX_PACING_RATE, bytes per second; UINT64_MAX: none */
	uint64_t pace_ns;	  /* departure time of the next frame (pace.c) */
	uint32_t linger_s;
	int priority;
	uint16_t defer_accept_s;
	int8_t linger2_s; /* 0: as the setting says */
	uint8_t urg_byte;
	uint16_t keepidle_s, keepintvl_s; /* 0: likewise */
	usec_t keepalive_at;		  /* deadline of TIMER_KEEPALIVE, 0: off */
	seq_t snd_up, rcv_up;		  /* with snd_urgent, urg_valid: numbers of the urgent bytes */
	uint32_t fo_max;		  /* TCP_FASTOPEN */
	uint32_t user_timeout_ms;
	struct rte_mbuf *fo_keys; /* TCP_FASTOPEN_KEY, of a listener to be too; NULL: the engine's */
	/* Probing the path MTU (mtu_probe.c): sizes of IP packets. */
	uint16_t probe_low, probe_high; /* known to get through; thought to be the most */
	seq_t probe_seq;
	uint32_t probe_at_s; /* when the search for more began, seconds */
	/* For TCP_INFO. */
	uint32_t total_retrans, dsack_dups, rcv_ooopack;
	uint64_t bytes_retrans;
	uint32_t rwnd_ms, sndbuf_ms; /* limited by the peer's window, by the send buffer (chrono.c) */
	uint32_t delivered_ce;	     /* packets that the peer got with a congestion mark */
	uint32_t reord_seen;	     /* for rack.c too */
	seq_t rack_dsack_round;
	seq_t pmtu_claim_seq;	  /* of the packet that the claim quotes */
	uint32_t last_oow_ack_ms; /* rate limit of answers to invalid segments, 0: none yet */
	/* What nobody has read yet. */
	union {
		struct rte_mbuf *saved_syn;   /* child: the headers for TCP_SAVED_SYN */
		struct rte_mbuf *icmp_errors; /* when icmp_told: errors of attempts to connect (notice.h) */
	};
	struct conn *conn; /* whose it is */
	struct list starved_link;
};
extern const struct extra extra_none;

/*
 * The order is that of use: what one event touches lies together, in as few cache lines as may be, since among many connections
 * each line is a miss.  The first CONN_HOT_LINES lines are what segments that come and go in order touch, and send() and recv().
 */
struct conn {
	struct flow f;

	/* ---- Of any event: segment in or out, send(), recv(). ---- */

	uint8_t state; /* enum tcp_state; written by set_state() alone */
	uint8_t ca_state;
	uint8_t snd_wscale, rcv_wscale;
	/* Send sequence variables. */
	seq_t snd_una, snd_nxt;
	seq_t snd_end;	  /* one past the last byte queued; the FIN, once queued, has this number */
	uint32_t snd_wnd; /* scaled */
	/* Receive sequence variables. */
	seq_t rcv_nxt;
	seq_t rcv_adv;	  /* right edge last advertised: never moves left (RFC 9293 3.8.6) */
	seq_t copied_seq; /* next byte for the user */

	bool ts_ok : 1, sack_ok : 1, wscale_ok : 1;
	bool rcv_shutdown : 1, snd_shutdown : 1; /* as Linux's sk_shutdown: by the user, by FIN, by the end of the connection */
	bool fin_queued : 1;			 /* the user closed the sending side */
	bool syn_due : 1;			 /* a SYN or SYN,ACK is to be sent */
	bool fin_sent : 1, fin_acked : 1;
	bool fin_due : 1; /* the FIN was lost: again */
	bool fin_received : 1;
	bool peer_fin_known : 1;	   /* a FIN came ahead of data that is missing */
	bool fast_retransmit : 1;	   /* the first lost packet goes out whatever the window says (RFC 6675 5 (4.3)) */
	bool ack_now : 1, ack_pending : 1; /* pending: waits for the delayed-ACK timer */
	bool pingpong : 1;		   /* an interactive flow: delay ACKs in the hope of data to ride on */
	bool orphan : 1;		   /* the user has let go: freed when CLOSED */
	bool urg_valid : 1, urg_seen : 1, urg_taken : 1; /* an urgent byte is announced; has arrived; was read with MSG_OOB */
	bool snd_urgent : 1;				 /* snd_up is ahead of snd_una */
	bool rtt_measured : 1;
	bool rcvbuf_locked : 1, sndbuf_locked : 1;	/* set by the user: no auto-tuning */
	bool bound : 1, bound_addr : 1, bound_port : 1; /* by the user */
	bool nodelay : 1, cork : 1, keepalive : 1, oob_inline : 1;
	bool in_use : 1; /* the control block is handed out */
	bool in_accept_queue : 1, starved : 1;
	bool force_probe : 1;	/* send one segment whatever the window says */
	bool dsack_pending : 1; /* repair->dsack is to be reported */
	bool zero_window : 1;	/* the last window we advertised was closed */
	bool more : 1;		/* MSG_MORE on the last write */
	bool rcv_filled : 1;	/* the peer filled the window (autotune.c) */
	bool retrans_seen : 1;	/* something was retransmitted since the last RTO-free ACK */
	uint8_t chrono : 2;	/* enum chrono: which clock of chrono.c runs */
	uint8_t pmtudisc : 3;	/* IP_MTU_DISCOVER */
	bool pmtu_locked : 1;	/* the path takes less than we care to send: DF is off */
	bool probing : 1;	/* mtu_probe.c searches for the path MTU */
	bool rwnd_blocked : 1;	/* data waits for the peer's window */
	bool nospace : 1;	/* the user found the send buffer full and waits for room */
	bool orphan_counted : 1;
	bool linger_on : 1;
	bool rate_app_limited : 1;	  /* the last rate sample */
	bool paced : 1, pace_waiting : 1; /* pace.c; waiting: for the timer, whose delay may be made up for */
	/* Explicit congestion notification (ecn.c): negotiated; an ECN-capable packet has come. */
	bool ecn_ok : 1, ecn_seen : 1;
	bool ecn_echo : 1, ecn_queue_cwr : 1, ecn_asked : 1; /* ECE until CWR comes; CWR is due; our SYN had asked */

	/* Fast Open (fastopen.c, fastopen_client.c). */
	bool fo_child : 1;			 /* passive: the SYN's data was taken, our SYN,ACK is not acknowledged yet */
	bool fo_give : 1, fo_give_exp : 1;	 /* the next SYN,ACK carries a cookie; in the experimental option */
	bool fo_connect : 1, fo_no_cookie : 1;	 /* TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_NO_COOKIE */
	bool fo_deferred : 1;			 /* connect() has returned: the SYN goes with the first data */
	bool fo_option : 1, fo_option_exp : 1;	 /* our SYN carries the option */
	bool fo_syn_data : 1, fo_data_acked : 1; /* a SYN carried data; the SYN,ACK acknowledged it */
	bool fo_checked : 1;			 /* opened after a pause: its success ends the doubling of pauses */
	uint8_t fo_fail : 2;			 /* tcpi_fastopen_client_fail */
	uint8_t save_syn : 2;			 /* TCP_SAVE_SYN */
	/* Loss detection and repair: see rack.c, tlp.c, undo.c. */
	bool newly_lost : 1;		      /* the event at hand showed a loss */
	bool newly_lost_again : 1;	      /* ... of a retransmission */
	bool rack_valid : 1;		      /* rack_xmit_at and its like say something of this flight */
	bool rack_dsack_seen : 1;	      /* until snd_una reaches rack_dsack_round */
	bool loss_is_reordering : 1;	      /* TIMER_LOSS ends the reordering window; else it sends a probe */
	bool head_due : 1;		      /* the first in flight is to be sent again, without a scoreboard (repair.c) */
	bool probe_due : 1;		      /* a tail loss probe is to be sent */
	bool tlp_out : 1, tlp_is_retrans : 1; /* a probe is unanswered; it was a retransmission */
	bool undo_armed : 1, retrans_stamped : 1;
	bool to_self : 1;      /* it was opened from here to a socket of this engine */
	uint8_t frto : 2;      /* enum frto */
	uint8_t rcv_fills : 2; /* windows in a row that the peer filled and the user emptied (autotune.c) */
	uint8_t dupacks;
	uint8_t quickacks : 7;	 /* ACKs still to be sent at once */
	bool ack_waits : 1;	 /* out_link is, or was, on the list of ACKs */
	uint8_t nofo_recent : 7; /* of ofo_recent[] */
	bool rx_stamp : 1;	 /* arrival times are kept (notice.c) */
	uint8_t tos, ttl;

	uint16_t mss;		   /* what we may send: payload bytes with the usual options taken off */
	uint16_t rcv_mss;	   /* estimate of what the peer sends, for delayed ACKs */
	uint8_t error, soft_error; /* errno: pending; the reason if it times out (ICMP) */
	/* Options of the user. */
	uint8_t keepcnt : 7;
	bool recverr : 1;	 /* IP_RECVERR */
	uint8_t syn_retries : 7; /* 0: as the setting says */
	bool notices : 1;	 /* the user's queue of notices is not empty */

	uint32_t sndbuf, rcvbuf;	 /* bytes as SO_SNDBUF, SO_RCVBUF say them */
	uint32_t snd_queued, rcv_queued; /* charged: truesize */
	uint32_t rcv_ssthresh;		 /* the window is not to be larger now */
	int window_clamp;		 /* TCP_WINDOW_CLAMP; 0: none */
	/* What the user is told. */
	uint32_t ready; /* EPOLL* now; atomic, read by any thread */
	uint32_t edges; /* EPOLL* that fired since the last engine_next_event() */
	uint32_t rcvlowat, notsent_lowat;
	struct wheel_timer wheel; /* of the timers below: one for all, at or before the earliest deadline */

	/* Queues, and lists of the engine. */
	struct rte_mbuf *snd_new; /* first packet not yet transmitted, NULL: none */
	struct pktq sndq;	  /* from snd_una on */
	struct pktq rcvq;	  /* in order, from copied_seq on */
	struct list out_link;
	union {
		struct list event_link;
		struct list accept_link; /* while unaccepted: on accept_queue or syn_queue of parent */
	};
	uint64_t user;

	/* ---- Of a segment in. ---- */

	seq_t snd_wl1; /* SND.WL2 is not kept: only an ACK of SND.UNA or more sets the window, and SND.WL2 is no larger */
	/* Timestamps (RFC 7323). */
	uint32_t ts_recent;
	usec_t ts_recent_at;
	usec_t last_rcv_at;    /* last valid segment in (keep-alive) */
	uint32_t last_data_ms; /* last data in (interactive flow?), low half of the clock in ms */
	/* The scoreboard (recovery.c, sack.c), bytes. */
	uint32_t sacked_out, lost_out, retrans_out;
	seq_t high_sacked;	/* RACK.fack: one past the highest byte SACKed or acknowledged */
	seq_t cwnd_limited_seq; /* snd_nxt when the window last was the limit */
	uint32_t segs_in, data_segs_in;
	uint64_t bytes_received;

	/* Timers: deadlines, 0 is off (conn_deadline() reads them). */
	uint32_t deadline[SHORT_TIMERS];
	usec_t life_deadline;	 /* that of TIMER_KEEPALIVE is elsewhere (struct extra) */
	uint32_t delivered_pkts; /* that the peer got, SYN included */
	seq_t recovery_point;	 /* snd_nxt when recovery or loss began */

	/* ---- Of a segment out. ---- */

	seq_t rcv_wup; /* rcv_nxt when the last ACK was sent */
	uint32_t ts_offset;
	uint16_t neigh;	       /* index of the neighbour in use */
	uint16_t pmtu_changes; /* the engine's, when pmtu was last looked up */
	seq_t snd_sml;	       /* end of the last small segment sent (Minshall's Nagle) */
	usec_t last_snd_at;    /* last data out */
	uint32_t segs_out, data_segs_out;
	uint64_t bytes_sent;
	uint32_t chrono_since_ms, busy_ms; /* since when; gathered while neither window nor buffer was the limit */

	/* ---- Of new data out, and of an ACK of it. ---- */

	union {
		/* Listener: its queues, and what Fast Open counts (fastopen.c). */
		struct {
			struct list accept_queue, syn_queue;
			uint32_t backlog, naccept, nsyn;
			uint32_t fo_pending;	       /* children whose SYN,ACK is not acknowledged */
			uint32_t fo_resets[2];	       /* ... that were reset in this minute and in the one before */
			uint32_t fo_minute, syn_flood; /* since when; when the last SYN cookie was sent, 0 never: seconds */
		};
		struct {
			/* Child: its listener until accept(), or until the SYN,ACK of a Fast Open is acknowledged. */
			struct conn *parent;
			/* Delivery rate (rate.c). */
			uint32_t delivered, lost;	      /* bytes, modulo 2^32 */
			uint32_t delivered_at, first_sent_at; /* of the last delivery; when that had been sent */
			uint32_t app_limited;		      /* samples are, until delivered is beyond this; 0: they are not */
			uint32_t rate_bytes, rate_us;	      /* the last sample */
			/* Round-trip time (RFC 6298), microseconds. */
			uint32_t srtt_us, rttvar_us, rto_us, min_rtt_us;
			/* RACK (rack.c): the packet sent last among those delivered, low half of the clock. */
			uint32_t rack_xmit_at, rack_rtt_us;
			seq_t rack_end_seq;
		};
	};
	/* Receive buffer tuning (autotune.c). */
	uint32_t rcv_rtt_at; /* low 32 bits of the clock when a window was offered whose end is: */
	seq_t rcv_rtt_seq;
	uint32_t rcv_rtt_tsecr; /* the last echo that was measured */
	uint32_t rcv_rtt_us;
	uint64_t bytes_acked;
	uint32_t snd_wnd_max;	 /* largest window the peer ever offered */
	uint32_t rtx_started_ms; /* first timeout of a row, for R2 and TCP_USER_TIMEOUT; low half of the clock in ms, 0: none */
	uint8_t reo_wnd_mult, reo_wnd_persist : 5;
	bool rack_resent : 1;  /* what rack_xmit_at and its like are of had been sent again */
	bool icmp_told : 1;    /* icmp_errors holds some */
	bool unaccepted : 1;   /* a child that no accept() has handed out */
	uint8_t backoff;       /* doublings of rto; also counts persist probes */
	uint8_t retransmits;   /* timeouts in a row */
	uint8_t probes;	       /* unanswered keep-alive or window probes */
	uint8_t ack_delay_ms;  /* longest that the peer kept the ACK of a lone segment (tlp.c) */
	uint16_t reordering;   /* segments; DupThresh as long as no reordering was seen */
	struct repair *repair; /* NULL: nothing is amiss (repair.c) */
	struct extra *extra;   /* NULL: as extra_none (conn_extra() reads it) */

	/* Path MTU (pmtu.c): what is believed, and a router's claim that waits for proof. */
	uint16_t peer_mss; /* from the peer's SYN */
	uint16_t user_mss; /* TCP_MAXSEG; 0: none */
	uint16_t pmtu;
	uint16_t max_acked;  /* payload of the largest packet that got through whole */
	uint16_t pmtu_claim; /* 0: none */
	uint16_t probe_size; /* of the IP packet that probes it (mtu_probe.c), in flight; 0: none */

	/* Receive buffer tuning, once per round trip: its start, low half of the clock. */
	uint32_t rcv_space_at;

	struct cc cc;

	/* ---- What loss, reordering and the beginning and the end of a connection touch. ---- */

	seq_t iss, irs;
	union {
		seq_t peer_fin;	      /* number of the FIN, when peer_fin_known */
		seq_t rcv_filled_seq; /* rcv_nxt when it last came up to rcv_adv, when rcv_filled */
	};

	seq_t rcv_space_seq; /* copied_seq at rcv_space_at */
	uint32_t rcv_space;  /* bytes the user took in the best round trip so far */
};
_Static_assert(sizeof(struct conn) <= 640, "what an idle connection takes grew: see also bench/measure_conns.sh");
#define CONN_HOT_LINES 9
_Static_assert(offsetof(struct conn, cc.cubic.stage.w_max) <= CONN_HOT_LINES * RTE_CACHE_LINE_SIZE, "what segments touch grew");

static inline const struct extra *conn_extra(const struct conn *c)
{
	return c->extra ? c->extra : &extra_none;
}

/* When this timer expires, 0: it is off.  One that is overdue is due now. */
static inline usec_t conn_deadline(const struct conn *c, enum conn_timer t, usec_t now)
{
	uint32_t ahead;

	if (t == TIMER_KEEPALIVE)
		return conn_extra(c)->keepalive_at;
	if (t == TIMER_LIFE)
		return c->life_deadline;
	ahead = c->deadline[t] - (uint32_t)now;
	return !c->deadline[t] ? 0 : ahead <= SHORT_TIMER_MAX_US ? now + ahead : now;
}

/* The earliest of them; USEC_NEVER: none is on. */
static inline usec_t conn_next_deadline(const struct conn *c, usec_t now)
{
	usec_t first = USEC_NEVER;

	for (enum conn_timer t = 0; t < TIMERS; t++) {
		usec_t at = conn_deadline(c, t, now);

		if (at && at < first)
			first = at;
	}
	return first;
}

static inline uint32_t conn_flight(const struct conn *c)
{
	return c->snd_nxt - c->snd_una;
}

/* Has something come that waits behind a hole? */
static inline bool conn_has_hole(const struct conn *c)
{
	return c->repair && c->repair->ofoq.head;
}

#endif
