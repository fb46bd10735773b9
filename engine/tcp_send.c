/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_send.c - SEND (RFC 9293 3.10.2): the user's bytes become packets of the send queue.
 */
#include <errno.h>

#include "engine/csum.h"
#include "engine/fastopen.h"

#define MSS_DEFAULT 536
#define DATA_LINES 2 /* of a packet: from there on the processor fetches by itself */

/* One more packet for this socket? Up to tcp_wmem's least even when sockets together hold all that they should, as on Linux. */
static bool packet_allowed(const struct engine *e, const struct conn *c)
{
	if (e->held < e->held_max)
		return true;
	return c->snd_queued < (uint64_t)e->cfg.tcp.wmem[0] && e->held < e->held_max + e->held_max / 8;
}

/*
 * Bytes that a packet is filled with: a segment; of small ones as many as make the default one (RFC 9293 3.7.1), which are cut
 * when they are sent.  A packet takes a whole buffer of the send buffer's room: with one for each 48 bytes a path MTU black hole
 * would leave a small buffer two segments a round trip.  And a search that is to lead out of it needs data for a probe.
 */
static uint32_t fill_of(const struct engine *e, const struct conn *c)
{
	/* What a SYN carries goes as it is. */
	if (c->mss >= MSS_DEFAULT || !(STATE_BIT(c->state) & SYNCHRONIZED))
		return c->mss;
	return (c->probing ? e->payload_room : MSS_DEFAULT) / c->mss * c->mss;
}

/* How much more m takes: nothing once it was sent. */
static uint32_t room_in(const struct engine *e, const struct conn *c, struct rte_mbuf *m)
{
	uint32_t fill = fill_of(e, c), len = pkt(m)->len, room = pkt_tailroom(m);

	if ((pkt(m)->flags & PKT_SENT) || len >= fill)
		return 0;
	return room < fill - len ? room : fill - len;
}

/* An empty packet at the end of the queue.  NULL: there may be none, or no memory. */
static struct rte_mbuf *new_tail(struct engine *e, struct conn *c)
{
	struct rte_mbuf *m;

	if (c->snd_queued >= c->sndbuf || conn_unsent(c) >= tcp_notsent_lowat(e, c) || !packet_allowed(e, c))
		return NULL;
	m = engine_mbuf(e);
	if (!m)
		return NULL;
	*pkt(m) = (struct pkt){.seq = c->snd_end, .off = m->data_off, .csum_valid = true};
	e->held++;
	c->snd_queued += pkt_truesize(m);
	pktq_push(&c->sndq, m);
	if (!c->snd_new)
		c->snd_new = m;
	return m;
}

/*
 * Copy n bytes behind the payload of m, which has room for them.  Long runs are summed on their way; a packet made of short ones
 * is summed as a whole, once, when it goes out.
 */
static void append(struct engine *e, struct conn *c, struct rte_mbuf *m, const void *src, uint32_t n)
{
	struct pkt *p = pkt(m);

	if (n >= CSUM_LONG && p->csum_valid && !(e->cfg.caps & ENGINE_TX_TCP_CSUM)) {
		uint16_t sum = csum_copy(pkt_data(m) + p->len, src, n);

		p->csum = csum_fold(csum_add(p->csum, sum, p->len));
	} else {
		memcpy(pkt_data(m) + p->len, src, n);
		p->csum_valid = false;
	}
	p->len += n;
	c->snd_end += n;
}

/* The packet that the pool hands out next: with queues of some depth it has left the cache long ago. */
static inline void fetch_next_free(const struct engine *e)
{
	const struct rte_mempool_cache *cache = rte_mempool_default_cache(e->cfg.pool, rte_lcore_id());
	struct rte_mbuf *m;

	if (!cache || !cache->len)
		return;
	m = cache->objs[cache->len - 1];
	rte_prefetch0(m);
	rte_mbuf_prefetch_part2(m);
	rte_prefetch0(pkt(m));
	for (unsigned line = 0; line < DATA_LINES; line++)
		rte_prefetch0((const char *)(m + 1) + ENGINE_MBUF_PRIV + RTE_PKTMBUF_HEADROOM + line * RTE_CACHE_LINE_SIZE);
}

/* Copy n bytes to the end of the queue: how many there was room for. */
static inline size_t send_queue(struct engine *e, struct conn *c, const char *src, size_t n)
{
	struct rte_mbuf *m = c->sndq.tail;
	uint32_t room = m ? room_in(e, c, m) : 0;
	size_t done = 0;

	while (done < n) {
		if (!room) {
			m = new_tail(e, c);
			if (!m)
				break;
			room = room_in(e, c, m);
		}
		if (room > n - done)
			room = n - done;
		else
			fetch_next_free(e);
		append(e, c, m, src + done, room);
		done += room;
		room = 0;
	}
	return done;
}

ssize_t send_queue_iov(struct engine *e, struct conn *c, const struct iovec *iov, int iovcnt)
{
	size_t total = 0;

	for (int i = 0; i < iovcnt; i++) {
		size_t n = send_queue(e, c, iov[i].iov_base, iov[i].iov_len);

		total += n;
		if (n < iov[i].iov_len)
			break;
	}
	return total;
}

/* Why nothing may be sent, in the order in which Linux's tcp_sendmsg() looks: the pending error, the shutdown, the state. */
static int may_not_send(struct conn *c)
{
	if (c->error)
		return -engine_error(c);
	if (c->snd_shutdown)
		return -EPIPE;
	/* RFC 7413 4.2.2: a server answers the data of a SYN before the handshake is complete. */
	if (c->fo_child && c->state == SYN_RECEIVED)
		return 0;
	return STATE_BIT(c->state) & (STATE_BIT(SYN_SENT) | STATE_BIT(SYN_RECEIVED)) ? -EAGAIN : -EPIPE;
}

static inline int may_send(struct conn *c)
{
	bool open = STATE_BIT(c->state) & (STATE_BIT(ESTABLISHED) | STATE_BIT(CLOSE_WAIT));

	return open && !c->error && !c->snd_shutdown ? 0 : may_not_send(c);
}

/* No room for all of it: the socket is to become ready again when acknowledgments, or other sockets, have made some. */
static __attribute__((noinline)) void await_room(struct engine *e, struct conn *c)
{
	c->nospace = true;
	if (c->snd_queued < c->sndbuf && conn_unsent(c) < tcp_notsent_lowat(e, c) && !c->starved) {
		tune_sndbuf_starved(e, c);
		c->starved = true;
		list_add_tail(&e->starved, &extra_of(e, c)->starved_link);
	}
}

static ssize_t no_room(struct engine *e, struct conn *c)
{
	await_room(e, c);
	ready_update(e, c, 0);
	chrono_update(e, c);
	return -EAGAIN;
}

/*
 * The last packet grew by all n bytes that came, and is not full yet: it waits on for what it has waited for since it was begun,
 * the acknowledgment of a smaller one (Nagle) or room in a window.  One that just grew out of the peer's window may have to be
 * cut.
 */
static bool waits_on(const struct conn *c, uint32_t n)
{
	uint32_t len = pkt(c->sndq.tail)->len;
	seq_t edge = c->snd_una + c->snd_wnd;

	return len > n && len < c->mss && seq_leq(c->snd_end, edge) == seq_leq(c->snd_end - n, edge);
}

void send_queued(struct engine *e, struct conn *c, uint32_t n, int flags)
{
	bool more = flags & MSG_MORE, waits = waits_on(c, n);

	e->spoken.data++;
	if (!more && !(pkt(c->sndq.tail)->flags & PKT_SENT))
		pkt(c->sndq.tail)->flags |= PKT_PUSH;
	if (more != c->more) {
		c->more = more;
		waits = false;
	}
	if (flags & MSG_OOB) {
		extra_of(e, c)->snd_up = c->snd_end;
		c->snd_urgent = true;
		waits = false;
	}
	if (!waits)
		tcp_want_output(e, c);
	ready_queued(e, c);
}

ssize_t engine_send(struct engine *e, struct conn *c, const struct iovec *iov, int iovcnt, int flags, usec_t now)
{
	ssize_t n;

	set_now(e, now);
	if (c->fo_deferred)
		return fastopen_fire(e, c, iov, iovcnt);
	n = may_send(c);
	if (n < 0)
		return n;
	e->copy_whole = c->snd_end;
	e->copying = c;
	n = send_queue_iov(e, c, iov, iovcnt);
	e->copying = NULL;
	if (n == 0)
		return iov_length(iov, iovcnt) ? no_room(e, c) : 0;
	if ((size_t)n < (iovcnt == 1 ? iov->iov_len : iov_length(iov, iovcnt)))
		await_room(e, c);
	send_queued(e, c, n, flags);
	return n;
}
