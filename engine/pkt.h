/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pkt.h - what the engine keeps with each mbuf, in the mbuf's private area: its place in a socket's queue, the sequence numbers
 * it carries and its row of the scoreboard.  The payload is one contiguous run at [off, off + len) of the mbuf's buffer; queues
 * hold single-segment mbufs only.
 */
#ifndef ENGINE_PKT_H
#define ENGINE_PKT_H

#include <rte_mbuf.h>
#include "engine/engine.h"
#include "engine/seq.h"

#define OFOQ_LANES 2

enum pkt_flag {
	PKT_SACKED = 1 << 0,	   /* the peer holds it (RFC 2018) */
	PKT_LOST = 1 << 1,	   /* judged lost, not yet retransmitted since */
	PKT_RETRANS = 1 << 2,	   /* a retransmission of it is in flight */
	PKT_EVER_RETRANS = 1 << 3, /* no RTT sample from it (Karn, RFC 6298 3) */
	PKT_PUSH = 1 << 4,	   /* the end of a write: PSH goes with it */
	PKT_SENT = 1 << 5,	   /* transmitted at least once: nothing is appended any more */
	PKT_APP_LIMITED = 1 << 6,  /* rate.c: there was not enough to send when it left */
	PKT_STAMPED = 1 << 7,	   /* received: sent_at is when (notice.c) */
};

struct pkt {
	struct rte_mbuf *next; /* in the socket's queue */
	/* While LOST or RETRANS: its place in conn.lost_list or conn.rtx_list.  While SACKED: a later packet of its run, NULL:
	 * none known.  Received out of order: the next on each lane (ofoq.h).
	 */
	union {
		struct {
			struct rte_mbuf *list_prev, *list_next;
		};
		struct rte_mbuf *run;
		struct rte_mbuf *lane[OFOQ_LANES];
	};
	uint32_t sent_at;	  /* last transmission; times here are the low half of the clock, us */
	uint32_t delivered_at;	  /* rate.c: when the last delivery before it happened */
	uint32_t first_sent_at;	  /* ... when what was delivered then had been sent, */
	uint32_t delivered, lost; /* ... the bytes delivered and lost so far, */
	uint32_t tx_in_flight;	  /* ... and in flight, itself included */
	seq_t seq;		  /* of the first payload byte */
	uint32_t len;		  /* payload bytes */
	uint32_t off;		  /* of the payload from buf_addr */
	uint16_t csum;		  /* partial sum of the payload, folded */
	uint8_t flags;		  /* PKT_* */
	bool csum_valid;	  /* csum is that of the payload as it is */
};
_Static_assert(sizeof(struct pkt) <= ENGINE_MBUF_PRIV, "struct pkt must fit the private area");

static inline struct pkt *pkt(struct rte_mbuf *m)
{
	return (struct pkt *)rte_mbuf_to_priv(m);
}
static inline seq_t pkt_end(struct rte_mbuf *m)
{
	return pkt(m)->seq + pkt(m)->len;
}
static inline uint8_t *pkt_data(struct rte_mbuf *m)
{
	return (uint8_t *)m->buf_addr + pkt(m)->off;
}
/* Room behind the payload. */
static inline uint32_t pkt_tailroom(struct rte_mbuf *m)
{
	return m->buf_len - pkt(m)->off - pkt(m)->len;
}
/* What a packet really occupies: buffers are charged by this. */
static inline uint32_t pkt_truesize(const struct rte_mbuf *m)
{
	return m->buf_len + sizeof(struct rte_mbuf) + ENGINE_MBUF_PRIV;
}

/*
 * A queue of some depth has left the cache, and each packet names the next: while one is worked on, the first two lines from
 * `from` bytes behind the payload's beginning of the one after are fetched, and what lies behind that one, with all that handling
 * and freeing it will look at.
 */
static inline void pkt_fetch_ahead(struct rte_mbuf *next, int from)
{
	struct rte_mbuf *behind;

	if (!next)
		return;
	rte_prefetch0(pkt_data(next) + from);
	rte_prefetch0(pkt_data(next) + from + RTE_CACHE_LINE_SIZE);
	behind = pkt(next)->next;
	if (!behind)
		return;
	rte_prefetch0(behind);
	rte_mbuf_prefetch_part2(behind);
	rte_prefetch0(pkt(behind));
}

/* A queue of packets in sequence order. */
struct pktq {
	struct rte_mbuf *head, *tail;
};

static inline void pktq_push(struct pktq *q, struct rte_mbuf *m)
{
	pkt(m)->next = NULL;
	if (q->tail)
		pkt(q->tail)->next = m;
	else
		q->head = m;
	q->tail = m;
}
static inline struct rte_mbuf *pktq_pop(struct pktq *q)
{
	struct rte_mbuf *m = q->head;

	q->head = pkt(m)->next;
	if (!q->head)
		q->tail = NULL;
	return m;
}

/* Packets of one condition, in the order in which they came into it; each is in a queue besides. */
struct pkt_list {
	struct rte_mbuf *head, *tail;
};

/* after NULL: first. */
static inline void pkt_list_insert(struct pkt_list *l, struct rte_mbuf *m, struct rte_mbuf *after)
{
	struct rte_mbuf *next = after ? pkt(after)->list_next : l->head;

	pkt(m)->list_prev = after;
	pkt(m)->list_next = next;
	if (after)
		pkt(after)->list_next = m;
	else
		l->head = m;
	if (next)
		pkt(next)->list_prev = m;
	else
		l->tail = m;
}
static inline void pkt_list_del(struct pkt_list *l, struct rte_mbuf *m)
{
	struct rte_mbuf *prev = pkt(m)->list_prev, *next = pkt(m)->list_next;

	if (prev)
		pkt(prev)->list_next = next;
	else
		l->head = next;
	if (next)
		pkt(next)->list_prev = prev;
	else
		l->tail = prev;
}

#endif
