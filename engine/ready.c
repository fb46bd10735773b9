/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ready.c - readiness: what poll() would say of a socket, by the rules of Linux's tcp_poll(), and the events that edge-triggered
 * waiters need.  The level is one atomic word that any thread may read; events queue up until engine_next_event() takes them.
 */
#include <sys/epoll.h>

#include "engine/stack.h"

#define READABLE (EPOLLIN | EPOLLRDNORM)
#define WRITABLE (EPOLLOUT | EPOLLWRNORM)

/* Bytes that make a socket readable: SO_RCVLOWAT, and one more while the next byte is an urgent one that recv() leaves out. */
static bool stream_readable(const struct conn *c)
{
	uint32_t want = c->rcvlowat ? c->rcvlowat : 1;

	if (want > c->rcvbuf / 2)
		want = c->rcvbuf / 2;
	if (c->urg_valid && conn_extra(c)->rcv_up == c->copied_seq && !c->oob_inline)
		want++;
	return c->rcv_nxt - c->fin_received - c->copied_seq >= want;
}

/*
 * Linux's sk_stream_is_writeable(): a third of the buffer must be free, and less than half of what may wait unsent be waiting, so
 * that a writer is not woken for every packet.
 */
static bool stream_writable(const struct engine *e, const struct conn *c)
{
	if (c->starved || c->snd_queued + (c->snd_queued >> 1) > c->sndbuf)
		return false;
	return 2 * (uint64_t)conn_unsent(c) < tcp_notsent_lowat(e, c);
}

static uint32_t level_of(const struct engine *e, const struct conn *c)
{
	uint32_t ev = 0;

	if (c->state == LISTEN)
		return (c->naccept ? READABLE : 0) | (c->notices ? ENGINE_NOTICES : 0);
	if (c->state == CLOSED || (c->rcv_shutdown && c->snd_shutdown))
		ev |= EPOLLHUP;
	if (c->rcv_shutdown)
		ev |= READABLE | EPOLLRDHUP;
	/* A write makes the SYN go (as tcp_poll()). */
	if (c->fo_deferred)
		ev |= WRITABLE;
	if (c->state != SYN_SENT && (c->state != SYN_RECEIVED || c->fo_child)) {
		if (stream_readable(c))
			ev |= READABLE;
		if (c->snd_shutdown || stream_writable(e, c))
			ev |= WRITABLE;
		if (c->urg_valid && c->urg_seen && !c->urg_taken)
			ev |= EPOLLPRI;
	}
	return ev | (c->error ? EPOLLERR : 0) | (c->notices || c->icmp_told ? ENGINE_NOTICES : 0);
}

/* The same of a connection that goes both ways, of which there is nothing else to say. */
static inline uint32_t level_established(const struct engine *e, const struct conn *c)
{
	return (stream_readable(c) ? READABLE : 0) | (stream_writable(e, c) ? WRITABLE : 0);
}

/* Nothing in the way of data either way, nothing to say but what the queues hold. */
static inline bool is_plain(const struct conn *c)
{
	return c->state == ESTABLISHED &&
	       !(c->rcv_shutdown || c->snd_shutdown || c->urg_valid || c->fo_deferred || c->notices || c->icmp_told || c->error);
}

/* What rose. */
static inline uint32_t set_level(const struct engine *e, struct conn *c)
{
	uint32_t level = is_plain(c) ? level_established(e, c) : level_of(e, c), rose = level & ~c->ready;

	if (level & EPOLLOUT)
		c->nospace = false;
	__atomic_store_n(&c->ready, level, __ATOMIC_RELEASE);
	return rose;
}

static inline void fire(struct engine *e, struct conn *c, uint32_t edges)
{
	c->edges |= edges;
	if (!list_linked(&c->event_link))
		list_add_tail(&e->events, &c->event_link);
}

/* Nobody looks any more, or yet. */
static inline bool unseen(const struct conn *c)
{
	return c->orphan || c->unaccepted;
}

void ready_update(struct engine *e, struct conn *c, uint32_t edges)
{
	if (unseen(c))
		return;
	edges |= set_level(e, c);
	if (edges)
		fire(e, c, edges);
}

void ready_received(struct engine *e, struct conn *c)
{
	if (c->urg_valid || unseen(c)) {
		ready_update(e, c, READABLE);
		return;
	}
	if (!(c->ready & EPOLLIN) && stream_readable(c))
		__atomic_store_n(&c->ready, c->ready | READABLE, __ATOMIC_RELEASE);
	fire(e, c, READABLE);
}

void ready_acked(struct engine *e, struct conn *c)
{
	if (!(c->ready & EPOLLOUT) || c->nospace)
		ready_update(e, c, 0);
}

/* Who has it now looks at its level first: there are no edges. */
void ready_accepted(struct engine *e, struct conn *c)
{
	c->unaccepted = false;
	set_level(e, c);
}

/* Part of the level ended: no edge can come of it. */
static void fall(struct conn *c, uint32_t what)
{
	__atomic_store_n(&c->ready, c->ready & ~what, __ATOMIC_RELEASE);
}

void ready_queued(struct engine *e, struct conn *c)
{
	/* A mark that moved on took EPOLLPRI with it. */
	if (c->urg_valid)
		ready_update(e, c, 0);
	else if ((c->ready & EPOLLOUT) && !stream_writable(e, c))
		fall(c, WRITABLE);
}

void ready_taken(struct conn *c)
{
	if (c->rcv_shutdown)
		return;
	if ((c->ready & EPOLLIN) && !stream_readable(c))
		fall(c, READABLE);
}

uint32_t engine_ready(const struct conn *c)
{
	return __atomic_load_n(&c->ready, __ATOMIC_ACQUIRE);
}

unsigned engine_unaccepted(const struct conn *c)
{
	return c->state == LISTEN ? c->naccept : 0;
}

struct conn *engine_next_event(struct engine *e, uint32_t *edges)
{
	struct list *l = list_pop(&e->events);
	struct conn *c;

	if (!l)
		return NULL;
	c = container_of(l, struct conn, event_link);
	*edges = c->edges;
	c->edges = 0;
	return c;
}
