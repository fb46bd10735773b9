/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stack.h - inside an engine: what its files share.  struct engine lies at the start of the region, its tables behind it.
 */
#ifndef ENGINE_STACK_H
#define ENGINE_STACK_H

#include "engine/conn.h"

#define PORT_CHAINS 1024
#define NEIGH_MAX 512
#define NEIGH_WAITING 1024 /* packets that wait for the addresses of all neighbours together */
#define FRAME_RING 1024	   /* a power of two */
#define SPENT_MAX 64
/* Where the packets of a connection go: index of a neighbour, and whether it is asked to pass them on; or not known yet. */
#define NEIGH_INDEX 0x7fff
#define NEIGH_BY_GATEWAY 0x8000
#define NEIGH_NONE UINT16_MAX
#define RTO_MIN_US 200000u    /* Linux's */
#define RTO_MAX_US 120000000u /* Linux's TCP_RTO_MAX; RFC 6298 2.5 wants 60 s or more */
#define OUTPUT_TURN 64	      /* most segments that one connection may send before the next has its turn */
/* rte_mbuf.port of frames that no device received: an ARP frame passed round by a sibling stack; one that we sent to ourselves;
 * and of packets that the engine made, by which io/sweep.c tells them from a driver's. */
#define PORT_RELAYED 0xfffe
#define PORT_LOOP 0xfffd
#define PORT_OWN 0xfffc

/* First in, first out of whole frames. */
struct frame_ring {
	uint32_t head, tail; /* free-running */
	struct rte_mbuf *frames[FRAME_RING];
};

static inline uint32_t ring_count(const struct frame_ring *r)
{
	return r->tail - r->head;
}
static inline uint32_t ring_room(const struct frame_ring *r)
{
	return FRAME_RING - ring_count(r);
}
/* False: full, the frame stays the caller's. */
static inline bool ring_push(struct frame_ring *r, struct rte_mbuf *m)
{
	if (!ring_room(r))
		return false;
	r->frames[r->tail++ & (FRAME_RING - 1)] = m;
	return true;
}
static inline struct rte_mbuf *ring_pop(struct frame_ring *r)
{
	return ring_count(r) ? r->frames[r->head++ & (FRAME_RING - 1)] : NULL;
}

/* RFC 826 with the states of RFC 4861 section 7.3.2. */
enum neigh_state { NEIGH_FREE, NEIGH_INCOMPLETE, NEIGH_REACHABLE, NEIGH_STALE, NEIGH_PROBE, NEIGH_FAILED };

struct neigh {
	struct ip_addr addr;
	uint8_t mac[6];
	uint8_t state; /* enum neigh_state */
	uint8_t probes;
	/* IP packets that wait, without Ethernet header: places in engine.neigh_places, 0 is none. */
	uint16_t nqueue, queue_first, queue_last;
	uint32_t queue_bytes; /* truesize */
	usec_t confirmed_at, used_at;
	struct wheel_timer timer;
};

struct neigh_place {
	struct rte_mbuf *m;
	uint16_t next; /* place behind it in the queue, or in the list of the free */
};

#define TS_OPTION 12	/* with its padding */
#define DELACK_US 40000 /* Linux's TCP_DELACK_MIN; RFC 9293 3.8.6.3 allows up to 500 ms */

/* What a client knows of a Fast Open server (RFC 7413 4.1.3.2). */
#define FO_CACHE_SETS 64
#define FO_CACHE_WAYS 4
struct fo_peer {
	struct ip_addr addr;
	usec_t used_at; /* 0: free */
	struct fo_cookie cookie;
	uint16_t mss;
	uint8_t try_exp; /* 1: the peer did not know the option, try the experimental one; 2: nor that */
};

/* pmtu.c: the MTU of the path to one destination. */
struct pmtu_entry {
	struct ip_addr dst;
	usec_t expires; /* 0: free */
	uint16_t mtu;
	bool locked; /* smaller than mtu in truth: packets must be allowed to be fragmented */
};
#define PMTU_ENTRIES 256
#define PMTU_WAYS 4 /* entries that one destination may be in */

/* What a wheel_timer is embedded in (wheel_timer.kind). */
enum timer_kind { TK_CONN, TK_NEIGH, TK_TIMEWAIT, TK_LOST };

struct engine {
	/* What every call of the user's touches. */
	usec_t now;
	struct list out;	 /* conns with something to send */
	struct list acks;	 /* conns with an ACK to send that may wait for what their users do next */
	struct list events;	 /* conns with news for the user */
	struct list starved;	 /* conns that wait for packet memory */
	uint32_t held, held_max; /* mbufs in queues; most that sockets may hold together */
	uint64_t unread;	 /* truesize of what is in receive queues, */
	uint32_t nunread;	 /* ... of so many conns */
	struct engine_spoken spoken;
	usec_t crowded_until; /* autotune.c: until then no receive buffer of a near peer grows */
	/* usercopy.c: whose bytes are being copied from or to the user's memory, which need not be there; NULL: nobody's. */
	struct conn *volatile copying;
	volatile uint32_t copy_whole; /* receiving: bytes of packets copied whole; sending: snd_end before */
	uint32_t peek_from;	      /* within engine_peek(); else 0 */
	bool announce;
	uint32_t nto_self; /* conns with to_self */
	usec_t recv_at;	   /* engine_recv_at() */

	struct engine_config cfg;
	struct engine_stats stats;
	struct wheel wheel;

	struct frame_ring tx;	   /* complete frames, to be sent */
	struct frame_ring loop;	   /* frames to ourselves */
	struct frame_ring foreign; /* received for another stack; owner in foreign_stack */
	uint8_t foreign_stack[FRAME_RING];

	struct slab conns, extras, repairs, models, timewaits; /* models: of congestion control, where it has one */
	struct flow **buckets;
	uint32_t bucket_mask;
	uint64_t flow_key[2];		/* of flow_hash() */
	struct list ports[PORT_CHAINS]; /* by local port: bound and connected sockets, TIME-WAIT too */
	struct list tw_fifo;
	struct wheel_timer tw_timer, lost_timer;

	struct neigh neighs[NEIGH_MAX];
	uint32_t nneighs;
	uint16_t neigh_waiting, neigh_place_free, neigh_places_virgin; /* neigh_queue.c; virgin: the first that were used */
	struct neigh_place neigh_places[NEIGH_WAITING];

	struct pmtu_entry pmtus[PMTU_ENTRIES];
	usec_t pmtu_expires;   /* the first that does */
	uint16_t pmtu_changes; /* counts what was learned and what has aged */

	/* While a burst is taken in: packets of the pool that are done with, from spent_room on; they go back together. */
	unsigned spent_room;
	struct rte_mbuf *spent[SPENT_MAX];

	uint32_t mbuf_truesize, payload_room; /* of the pool's packets */
	uint32_t held_high, held_low;	      /* memory pressure begins above and ends at */
	bool pressure;
	uint32_t nhalf_open;
	uint16_t ip_id;
	uint32_t port_counter; /* RFC 6056 */
	unsigned default_cc;   /* cfg.tcp.congestion_control's index */
	/* The last keyed hashes of those that many connections share: of a pair of hosts, of a pair and a port. */
	struct tuple ts_of, ports_of;
	uint32_t ts_offset, ports_offset;
	/* The peer that the last SYN or SYN,ACK went to, and the way it took. */
	struct ip_addr syn_to;
	uint16_t syn_neigh;
	usec_t challenge_second;
	uint32_t challenges_left;
	uint32_t norphans;   /* connections that no user holds, TIME-WAIT not counted */
	uint32_t fo_pauses;  /* of Fast Open, in a row */
	usec_t fo_paused_at; /* the last of them */
	struct fo_peer fo_peers[FO_CACHE_SETS * FO_CACHE_WAYS];
	uint64_t rng;
};

/* ---- stack.c ---- */
/* Done with a packet of one segment, which others may hold as well: at the end of the burst it is free, or at once. */
static inline void engine_free(struct engine *e, struct rte_mbuf *m)
{
	m = rte_pktmbuf_prefree_seg(m);
	if (!m)
		return;
	if (e->spent_room && m->pool == e->cfg.pool)
		e->spent[--e->spent_room] = m;
	else
		rte_mbuf_raw_free(m);
}
uint64_t engine_random(struct engine *e); /* for spreading only, not for secrets */
/* SipHash-2-4 of len bytes under a key, under the engine's secret. */
uint64_t siphash(const uint64_t key[2], const void *data, size_t len);
uint64_t engine_hash(const struct engine *e, const void *data, size_t len);
bool engine_is_local(const struct engine *e, const struct ip_addr *a);

/* ---- ip.c: IPv4 in and out ---- */
/* An IP packet (after the Ethernet header); owns m. */
void ip_input(struct engine *e, struct rte_mbuf *m);
/* Give the whole frame back, as it came, for the stack that owns the flow; m is behind the IP header; owns m. */
void ip_hand_over(struct engine *e, struct rte_mbuf *m, const struct ipv4_fields *ip, unsigned owner);
/* What TCP and ICMP give to ip_output(): m starts at the transport header. */
struct ip_send {
	const struct ip_addr *src, *dst;
	uint8_t proto, ttl, tos;
	uint16_t *neigh;   /* the caller's hint: where packets to dst went, NEIGH_NONE at first; NULL: none kept */
	bool may_fragment; /* DF off */
};
/*
 * Prepend IP and Ethernet headers (m has headroom) and queue the frame for sending, or with its neighbour, or to ourselves; owns
 * m.  Offload flags that the caller set in m->ol_flags stay, l2_len and l3_len are filled in.  0, or -ENETUNREACH (m is freed all
 * the same).
 */
int ip_output(struct engine *e, struct rte_mbuf *m, const struct ip_send *s);
/* Is there a way to dst: on link or by the gateway? */
bool ip_reachable(const struct engine *e, const struct ip_addr *dst);
/* The address we use towards dst. */
const struct ip_addr *ip_source_for(const struct engine *e, const struct ip_addr *dst);
/* A new mbuf with ENGINE_HEADROOM and more in front; NULL is counted. */
struct rte_mbuf *engine_mbuf(struct engine *e);
/* Of the region, what lies before the connections. */
size_t engine_head_size(const struct engine_config *cfg);

/* ---- arp.c ---- */
void arp_input(struct engine *e, struct rte_mbuf *m); /* m at the ARP header; owns m */
/* Send an IP packet to next_hop on the link: prepend Ethernet now or wait for the answer; owns m. */
void neigh_output(struct engine *e, struct rte_mbuf *m, const struct ip_addr *next_hop, uint16_t *hint);
/* The neighbour that packets to dst go to by the hint that neigh_output() left, if it is known to be there: else NULL. */
struct neigh *neigh_ready(struct engine *e, uint16_t hint, const struct ip_addr *dst);
void neigh_timer(struct engine *e, struct neigh *n);
/* The transport made progress with this neighbour, or has doubts about it. */
void neigh_confirm(struct engine *e, uint16_t hint);
void neigh_doubt(struct engine *e, uint16_t hint);
void arp_announce(struct engine *e); /* gratuitous ARP for each address */
/* What was known of a neighbour before: to be asked when it is used. */
void neigh_recall(struct engine *e, const struct ip_addr *a, const uint8_t mac[6]);
void neigh_flush(struct engine *e); /* free all that waits, for engine_destroy() */

/* ---- renew.c ---- */
/* Resets to the peers of lost connections whose time has come. */
void lost_timer(struct engine *e);

/* ---- neigh_queue.c ---- */
void neigh_queue_push(struct engine *e, struct neigh *n,
		      struct rte_mbuf *m);			     /* owns m; what is too much is dropped, oldest first */
struct rte_mbuf *neigh_queue_pop(struct engine *e, struct neigh *n); /* the oldest; NULL: none */

/* ---- icmp.c ---- */
void icmp_input(struct engine *e, struct rte_mbuf *m, const struct ipv4_fields *ip); /* m at the ICMP header; owns m */

/* ---- flow.c: tables and ports ---- */
uint32_t flow_rss_hash(const struct engine *e, const struct tuple *t);
/* Folded from a product, in the middle of which each bit depends on nearly all of both factors. */
static inline uint32_t flow_hash(const struct engine *e, const struct tuple *t)
{
	uint64_t remote = t->raddr.d[1] ^ t->raddr.d[0], local = t->laddr.d[1] ^ t->laddr.d[0];
	uint32_t ports = (uint32_t)t->lport << 16 | t->rport;
	unsigned __int128 product;

	if (e->cfg.caps & ENGINE_RX_RSS)
		return flow_rss_hash(e, t);
	product = (unsigned __int128)(remote ^ e->flow_key[0]) * (local ^ ports ^ e->flow_key[1]);
	return (uint32_t)(product >> 64) ^ (uint32_t)(product >> 32);
}
/* The same of a packet that t was read from: by the port, where it has computed it. */
static inline uint32_t flow_packet_hash(const struct engine *e, const struct rte_mbuf *m, const struct tuple *t)
{
	if ((e->cfg.caps & ENGINE_RX_RSS) && (m->ol_flags & RTE_MBUF_F_RX_RSS_HASH))
		return m->hash.rss;
	return flow_hash(e, t);
}
static inline struct flow **flow_bucket(const struct engine *e, uint32_t hash)
{
	return &e->buckets[hash & e->bucket_mask];
}
/* The stack that this tuple belongs to; hash: the port's, where it gives one. */
unsigned flow_owner_of_many(const struct engine *e, const struct tuple *t, uint32_t hash);
static inline unsigned flow_owner(const struct engine *e, const struct tuple *t, uint32_t hash)
{
	return e->cfg.nstacks == 1 ? 0 : flow_owner_of_many(e, t, hash);
}
/* It will be looked for: fetch what the search begins with. */
void flow_prefetch(struct engine *e, const struct tuple *t);
static inline bool tuple_equal(const struct tuple *a, const struct tuple *b)
{
	return a->lport == b->lport && a->rport == b->rport && ip_equal(&a->raddr, &b->raddr) && ip_equal(&a->laddr, &b->laddr);
}
static inline struct flow *flow_find(struct engine *e, const struct tuple *t, uint32_t hash)
{
	struct flow *f = *flow_bucket(e, hash);

	while (f && !(f->hash == hash && tuple_equal(&f->t, t)))
		f = f->hash_next;
	return f;
}
void flow_insert(struct engine *e, struct flow *f); /* f->t set; computes f->hash */
void flow_remove(struct engine *e, struct flow *f);
struct list *port_chain(struct engine *e, uint16_t port); /* flows of this local port, among others */
void port_add(struct engine *e, struct flow *f);
void port_remove(struct flow *f);
struct conn *listener_find(struct engine *e, const struct tuple *t, uint32_t hash);
/* Is binding c to this address and port allowed now? Linux's rules for SO_REUSEADDR and SO_REUSEPORT. */
bool port_bindable(struct engine *e, const struct conn *c, const struct ip_addr *addr, uint16_t port);
/* A free port for bind(0), or 0. */
uint16_t port_pick_bind(struct engine *e, const struct conn *c, const struct ip_addr *addr);
/*
 * A port for connecting t (lport is filled in) whose tuple is free and belongs to this stack; 0 or -EADDRNOTAVAIL.  *tw: a
 * TIME-WAIT entry of that tuple that must be recycled (tcp_tw_reuse), else NULL.
 */
int port_pick_connect(struct engine *e, struct tuple *t, struct timewait **tw);
/* May connect() take the tuple over from this TIME-WAIT entry? (tcp_tw_reuse, RFC 6191) */
bool timewait_reusable(const struct engine *e, const struct timewait *tw);

/* ---- tcp_input.c ---- */
/* A TCP segment, m at the TCP header with pkt_len its length; owns m. */
void tcp_input(struct engine *e, struct rte_mbuf *m, const struct ipv4_fields *ip);
/* ---- tcp_icmp.c ---- */
enum icmp_kind { ICMP_KIND_UNREACH_HARD, ICMP_KIND_UNREACH_SOFT, ICMP_KIND_FRAG_NEEDED, ICMP_KIND_TIME_EXCEEDED };
/* An ICMP error about a segment that we sent. */
struct icmp_report {
	enum icmp_kind kind;
	int err;			/* errno for the user */
	unsigned mtu;			/* of FRAG_NEEDED */
	uint8_t type, code, info;	/* info: the pointer of a parameter problem */
	const struct ip_addr *offender; /* whose word it is */
	struct quote q;
	const uint8_t *tcp; /* what is quoted, tcp_len bytes from the TCP header on */
	size_t tcp_len;
};
/* False: about no connection, or nothing that it has in flight. */
bool tcp_icmp(struct engine *e, const struct icmp_report *r);

/* ---- tcp_output.c ---- */
void tcp_want_output(struct engine *e, struct conn *c); /* put on the out list */
/* On the list of ACKs, for ack_now, unless there is more to send: the others go first. */
void tcp_want_ack(struct engine *e, struct conn *c);
/* Send what may be sent, at most turn segments and as far as e->tx has room; what is left stays on the out list. */
void tcp_output(struct engine *e, struct conn *c, unsigned turn);
void tcp_send_rst_for(struct engine *e, const struct seg *s); /* RFC 9293 3.10.7.1: for a segment without a connection */
/* A segment without payload whose ports are t's; neigh may be NULL. */
void tcp_send_control(struct engine *e, const struct tuple *t, struct tcp_fields *f, uint16_t *neigh);
void tcp_send_rst(struct engine *e, struct conn *c);
void tcp_send_rst_to(struct engine *e, const struct tuple *t, seq_t seq, seq_t ack); /* for a connection that is no more */
void tcp_send_ack(struct engine *e, struct conn *c);
void tcp_send_timewait_ack(struct engine *e, struct timewait *tw);
void tcp_send_probe(struct engine *e, struct conn *c,
		    bool keepalive); /* a segment that must be answered: window or keep-alive probe */

/* ---- idle.c ---- */
void idle_restart(struct engine *e, struct conn *c); /* before new data goes out */

/* ---- tcp_window.c ---- */
uint32_t tcp_window(struct engine *e, struct conn *c); /* what to advertise, unscaled bytes; moves rcv_adv */
/* Bytes of payload that a buffer of this size is good for: Linux's tcp_adv_win_scale. */
uint32_t tcp_window_of_space(const struct engine *e, uint32_t space);
uint32_t tcp_window_offer(const struct engine *e, const struct conn *c); /* what could be advertised now */
uint32_t tcp_syn_window(const struct engine *e, const struct conn *c);	 /* unscaled, for SYN segments */
void tcp_choose_wscale(const struct engine *e, struct conn *c);		 /* as its buffer may grow */
uint8_t tcp_wscale_of_any(const struct engine *e);			 /* as any buffer may, whatever a socket's options are */
void tcp_sync_mss(struct engine *e, struct conn *c);
uint16_t tcp_advertised_mss(const struct engine *e, const struct conn *c);
unsigned tcp_mss_to_mtu(const struct conn *c, unsigned mss); /* the IP packet that carries so much */
uint32_t tcp_ts_now(const struct engine *e, uint32_t offset);
uint32_t tcp_ts_at(usec_t at, uint32_t offset); /* the timestamp clock at that time */
/* Could we have sent this timestamp? */
bool tcp_ts_plausible(const struct engine *e, const struct conn *c, uint32_t tsecr);

/* ---- tcp_user.c, tcp_send.c ---- */
static inline void set_now(struct engine *e, usec_t now)
{
	if (now > e->now)
		e->now = now;
}
static inline size_t iov_length(const struct iovec *iov, int iovcnt)
{
	size_t n = 0;

	for (int i = 0; i < iovcnt; i++)
		n += iov[i].iov_len;
	return n;
}
/* Copy data to the end of the send queue: how much. */
ssize_t send_queue_iov(struct engine *e, struct conn *c, const struct iovec *iov, int iovcnt);
/* These n bytes, not none, were: let them go, as the flags of send() say. */
void send_queued(struct engine *e, struct conn *c, uint32_t n, int flags);

/* ---- tcp_timer.c: events in, deadlines out ---- */
void timer_data_sent(struct engine *e, struct conn *c); /* data, SYN or FIN goes out; before it counts as in flight */
void timer_all_sent(struct engine *e, struct conn *c);	/* after timer_data_sent(), and timer_tail() where it has a say */
void timer_acked(struct engine *e, struct conn *c, bool advanced); /* the window changed; advanced: snd_una moved */
/* The tail loss probe: restart, because data went out or the ACK advanced; or only stop it if it is not wanted any more. */
void timer_tail(struct engine *e, struct conn *c, bool restart);
void timer_reordering(struct engine *e, struct conn *c, usec_t us); /* a packet may be lost in so long; 0: none may */
void timer_repair(struct engine *e, struct conn *c, usec_t at);	    /* settle the repair then, if nothing is in flight */
void timer_reneged(struct engine *e, struct conn *c, usec_t us);    /* time out so soon, unless an ACK advances before */
void timer_head_resent(struct engine *e, struct conn *c);	    /* the first unacknowledged packet went out again */
void timer_ack_delayed(struct engine *e, struct conn *c);	    /* an ACK is owed */
void timer_ack_sent(struct engine *e, struct conn *c);
void timer_established(struct engine *e, struct conn *c);
void timer_keepalive_changed(struct engine *e, struct conn *c);
usec_t fin_wait_2_time(const struct engine *e,
		       const struct conn *c);		      /* how long an orphan stays there; tcp_fin_timeout, TCP_LINGER2 */
void timer_life(struct engine *e, struct conn *c, usec_t at); /* 0: off */
void timer_expired(struct engine *e, struct conn *c);
void timer_stop_all(struct engine *e, struct conn *c);
void timer_pace(struct engine *e, struct conn *c, usec_t at);
void timer_window_closed(struct engine *e, struct conn *c); /* nothing in flight, data waits, the window is closed */

/* ---- tcp_conn.c: life of a control block ---- */
struct conn *conn_new(struct engine *e);
struct extra *extra_of(struct engine *e, struct conn *c); /* to be written: never NULL */
void conn_set_state(struct engine *e, struct conn *c, enum tcp_state s);
/* The same, and these edges fired. */
void conn_move(struct engine *e, struct conn *c, enum tcp_state s, uint32_t edges);
void conn_fail(struct engine *e, struct conn *c, int err); /* to CLOSED with a pending error */
void conn_closed(struct engine *e, struct conn *c);	   /* to CLOSED, quietly; frees an orphan */
void conn_to_timewait(struct engine *e, struct conn *c);
/* A packet comes into a receive queue, or leaves it. */
static inline void conn_charge_rcv(struct engine *e, struct conn *c, const struct rte_mbuf *m)
{
	e->held++;
	e->nunread += !c->rcv_queued;
	e->unread += pkt_truesize(m);
	c->rcv_queued += pkt_truesize(m);
}
static inline void conn_uncharge_rcv(struct engine *e, struct conn *c, const struct rte_mbuf *m)
{
	e->held--;
	e->unread -= pkt_truesize(m);
	c->rcv_queued -= pkt_truesize(m);
	e->nunread -= !c->rcv_queued;
}
void conn_free_pkt(struct engine *e, struct rte_mbuf *m); /* out of a queue: uncharge the engine and drop our reference */
void conn_purge_queues(struct engine *e, struct conn *c);
void timewait_expire(struct engine *e);
void timewait_free(struct engine *e, struct timewait *tw);
void timewait_restart(struct engine *e, struct timewait *tw);
seq_t conn_choose_iss(const struct engine *e, const struct tuple *t); /* RFC 6528 */
uint32_t conn_ts_offset(struct engine *e, const struct tuple *t);
/* The algorithm that is to be used once data can flow; gives it room for its state. */
void conn_choose_cc(struct engine *e, struct conn *c, unsigned algo);
void conn_set_cc(struct engine *e, struct conn *c, unsigned algo); /* cwnd and ssthresh stay what they are */
void conn_init_transfer(struct engine *e, struct conn *c);	   /* on entering ESTABLISHED */

/* ---- repair.c: c->repair ---- */
bool repair_begin(struct engine *e, struct conn *c);  /* have one; false: there is none left, counted */
void repair_settle(struct engine *e, struct conn *c); /* something was put right: give it back when nothing needs it any more */
void repair_end(struct engine *e, struct conn *c);    /* give it back: its lists and queues are empty, or those of nobody */

/* ---- recovery.c, tlp.c: loss and repair; more in tcp_input.h ---- */
void recovery_init(const struct engine *e, struct conn *c); /* c->iss is known */
void recovery_reset(struct conn *c);			    /* the send queue is empty */
void recovery_on_timeout(struct engine *e, struct conn *c);
void recovery_on_reordering_timeout(struct engine *e, struct conn *c);
void recovery_mtu_lowered(struct engine *e, struct conn *c);
void recovery_syn_data_refused(struct engine *e, struct conn *c);
void recovery_mark_lost(struct conn *c, struct rte_mbuf *m);
void recovery_forget(struct conn *c, struct rte_mbuf *m, uint32_t bytes); /* bytes of m leave the scoreboard */
struct rte_mbuf *recovery_next_lost(struct conn *c);
void recovery_split_lost(struct conn *c, struct rte_mbuf *m, struct rte_mbuf *rest); /* rest was the second part of m */
void recovery_retransmitted(struct engine *e, struct conn *c, struct rte_mbuf *m);
uint32_t recovery_pipe(const struct conn *c);
/* Does prr.c set cwnd now? */
static inline bool recovery_reducing(const struct conn *c)
{
	return c->ca_state == CA_CWR || c->ca_state == CA_RECOVERY;
}
bool tlp_wanted(const struct engine *e, const struct conn *c);	   /* may a probe be sent, when its time comes? */
usec_t tlp_deadline(const struct engine *e, const struct conn *c); /* its time, if nothing happens until then */
struct rte_mbuf *tlp_last_sent(const struct conn *c);		   /* NULL: no data is in flight */
void tlp_sent(struct engine *e, struct conn *c, bool retransmission);

/* ---- rate.c ---- */
/* The sample that an ACK completes. */
struct rate_sample {
	const struct pkt *newest; /* the packet sent last among those it delivers, as it was when that was sent; NULL: none */
	uint32_t packets;	  /* delivered by this ACK */
};
void rate_start(struct conn *c); /* a connection begins; the control block may have been a listener's */
void rate_sent(struct engine *e, struct conn *c, struct rte_mbuf *m, uint32_t in_flight); /* in_flight: with m */
void rate_out_of_data(struct conn *c);							  /* nothing is left to send */
void rate_delivered(struct rate_sample *rs, struct rte_mbuf *m);
void rate_lost(struct conn *c, struct rte_mbuf *m); /* m was in the network and is marked lost now */
void rate_acked(struct engine *e, struct conn *c, const struct rate_sample *rs, const struct ack *a);
/* The last word on an ACK: to an algorithm that models the path. */
void rate_control(struct engine *e, struct conn *c, const struct rate_sample *rs, struct ack *a);
struct cc_view rate_view(struct engine *e, const struct conn *c);

/* ---- pace.c ---- */
uint64_t pace_rate(const struct engine *e, const struct conn *c); /* bytes per second; UINT64_MAX: not known */
void pace_update(struct conn *c);				  /* the algorithm or SO_MAX_PACING_RATE changed */
bool pace_blocks(struct engine *e, struct conn *c); /* it is too early for the next frame; a timer says when it is time */
void pace_sent(struct engine *e, struct conn *c, uint32_t bytes);
void pace_reset(struct conn *c); /* another connection begins */

/* ---- autotune.c ---- */
void tune_engine_init(struct engine *e);
/* The engine's sockets together hold so much that none may grow, by tcp_mem and the pool; counted when it begins. */
bool tune_pressure(struct engine *e);
void tune_init(struct engine *e, struct conn *c);		  /* the connection is established: the first sizes */
void tune_copied(struct engine *e, struct conn *c);		  /* the user took bytes: the receive buffer follows */
void tune_sndbuf(struct engine *e, struct conn *c);		  /* cwnd may have grown: the send buffer follows */
void tune_sndbuf_starved(const struct engine *e, struct conn *c); /* there was no packet for the user's bytes */

/* ---- pmtu.c ---- */
bool pmtu_may_fragment(const struct conn *c);	  /* DF off, as Linux's ip_dont_fragment() */
void pmtu_init(struct engine *e, struct conn *c); /* a connection begins */
void pmtu_look_again(struct engine *e, struct conn *c);
/* Take over what is known of the path now: learned by another connection, or aged. Cheap when nothing changed. */
void pmtu_sync(struct engine *e, struct conn *c);
/* ICMP says that the packet at seq was too large, and mtu would not be. */
void pmtu_claimed(struct engine *e, struct conn *c, seq_t seq, unsigned mtu);
void pmtu_timed_out(struct engine *e, struct conn *c); /* what is in flight: a claim about it is believed now */

/* ---- mtu_probe.c ---- */
void mtu_probe_init(struct engine *e, struct conn *c);
/* The largest segment while the path is being probed: what is known to get through (at most mss). */
unsigned mtu_probe_bound(const struct conn *c, unsigned mss);
/*
 * New data may be sent now: the first unsent packet is made a probe if it is time for one.  True: it is, send it whatever the
 * segment size is, and say mtu_probe_sent().
 */
bool mtu_probe_ready(struct engine *e, struct conn *c);
void mtu_probe_sent(struct engine *e, struct conn *c, struct rte_mbuf *m);
void mtu_probe_acked(struct engine *e, struct conn *c); /* snd_una moved */
/* Loss was found. True: the probe alone is lost, which is no sign of congestion. */
bool mtu_probe_lost(struct engine *e, struct conn *c);
void mtu_probe_black_hole(struct engine *e, struct conn *c); /* tcp_retries1 timeouts in a row: what was sent may be too large */

/* ---- chrono.c ---- */
void chrono_update(struct engine *e, struct conn *c); /* the send queue, or what it waits for, may have changed */
uint64_t chrono_us(const struct engine *e, const struct conn *c, enum chrono which); /* not of CHRONO_NONE */

/* ---- ecn.c ---- */
void ecn_learn_syn(const struct engine *e, struct conn *c, const struct seg *s); /* the peer's SYN or SYN,ACK */
uint8_t ecn_syn_flags(const struct engine *e, struct conn *c);			 /* TH_ECE, TH_CWR of ours */
uint8_t ecn_syn_codepoint(const struct conn *c, uint8_t flags);			 /* its ECN field in the IP header */
/* Of other segments: ECN field and TH_ECE, TH_CWR; new_data: they carry data that was not sent before. */
uint8_t ecn_codepoint(const struct conn *c, bool new_data);
uint8_t ecn_flags(struct conn *c, bool new_data);
/* A segment with data, where ECN was negotiated; before rcv_nxt moves. */
void ecn_data_received(struct engine *e, struct conn *c, const struct seg *s);
/* The peer echoes congestion that was experienced: reduce the window, once per round trip (CA_CWR). */
void ecn_enter_cwr(struct engine *e, struct conn *c, const struct ack *a);
void ecn_window_reduced(struct conn *c); /* for whatever reason: CWR tells the peer */

/* ---- rtt.c ---- */
void rtt_sample(struct engine *e, struct conn *c, usec_t rtt);
void rtt_init(struct conn *c);
usec_t rtt_rto(const struct conn *c); /* with backoff */

/* ---- reasm.c ---- */
/* m: a packet with pkt fields set; owned. */
void reasm_insert(struct engine *e, struct conn *c, struct rte_mbuf *m);
void reasm_merge(struct engine *e, struct conn *c); /* move what is now in order to rcvq */
void reasm_purge(struct engine *e, struct conn *c);
/* This part of a segment was received before: to be reported, if that is agreed (RFC 2883 section 4). */
void reasm_duplicate(struct engine *e, struct conn *c, seq_t start, seq_t end);
void rcvq_append(struct engine *e, struct conn *c, struct rte_mbuf *m); /* to the receive queue, one way or the other: */
void rcvq_push(struct engine *e, struct conn *c, struct rte_mbuf *m);	/* as a packet of its own */
/* The next bytes in order, which m holds: into the tail of the last packet, if that saves memory; m stays the caller's. */
bool rcvq_copy(struct engine *e, struct conn *c, struct rte_mbuf *m, seq_t seq, const void *data, uint32_t len);

/* The most that may wait to be sent for the first time: TCP_NOTSENT_LOWAT, or the setting. */
static inline uint32_t tcp_notsent_lowat(const struct engine *e, const struct conn *c)
{
	return c->notsent_lowat ? c->notsent_lowat : e->cfg.tcp.notsent_lowat;
}
static inline uint32_t conn_unsent(const struct conn *c)
{
	return c->snd_end - seq_max(c->snd_nxt, c->snd_una);
}

/* ---- ready.c ---- */
void ready_update(struct engine *e, struct conn *c, uint32_t edges); /* recompute the level; edges: what fired */
void ready_received(struct engine *e, struct conn *c);		     /* text was queued, in order */
void ready_acked(struct engine *e, struct conn *c);		     /* there may be room to write, and nothing else is new */
void ready_accepted(struct engine *e, struct conn *c);		     /* a child is its user's from now on */
/* The same where nothing but this has happened: the user queued bytes of a stream, or took some and no urgent mark was near. */
void ready_queued(struct engine *e, struct conn *c);
void ready_taken(struct conn *c);

#endif
