/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notice.c - see notice.h.  A packet keeps the low half of the clock; one that waits for longer than 71 minutes tells a time that
 * is too late by that much.
 */
#include "engine/notice.h"

#include <string.h>
#include <sys/epoll.h>

void notice_arrival(const struct engine *e, struct rte_mbuf *m)
{
	pkt(m)->sent_at = (uint32_t)e->now;
	pkt(m)->flags |= PKT_STAMPED;
}

void notice_merge(struct rte_mbuf *tail, struct rte_mbuf *m)
{
	if (!(pkt(m)->flags & PKT_STAMPED))
		return;
	pkt(tail)->sent_at = pkt(m)->sent_at;
	pkt(tail)->flags |= PKT_STAMPED;
}

usec_t notice_arrived(const struct engine *e, const struct conn *c, uint32_t n)
{
	usec_t at = 0;

	for (struct rte_mbuf *m = c->rcvq.head; m && n; m = pkt(m)->next) {
		n -= pkt(m)->len < n ? pkt(m)->len : n;
		if (pkt(m)->flags & PKT_STAMPED)
			at = e->now - (uint32_t)((uint32_t)e->now - pkt(m)->sent_at);
	}
	return at;
}

usec_t engine_recv_at(const struct engine *e)
{
	return e->recv_at;
}

void engine_set_notices(struct engine *e, struct conn *c, bool any)
{
	c->notices = any;
	ready_update(e, c, any ? EPOLLERR : 0);
}

/* ---- ICMP errors of attempts to connect
 * ----------------------------------------------------------------------------------------
 */

#define ICMP_ERRORS_MAX 16

/* Where the next one goes; NULL: there are enough. */
static struct rte_mbuf **icmp_tail(struct conn *c)
{
	struct rte_mbuf **at = &c->extra->icmp_errors;
	unsigned n = 0;

	for (; *at; at = &pkt(*at)->next)
		n++;
	return n < ICMP_ERRORS_MAX ? at : NULL;
}

static void copy_report(struct engine_icmp_error *x, const struct icmp_report *r)
{
	size_t len = r->tcp_len < sizeof(x->quote) ? r->tcp_len : sizeof(x->quote);

	*x = (struct engine_icmp_error){.type = r->type,
					.code = r->code,
					.err = (uint8_t)r->err,
					.info = r->info,
					.offender = *r->offender,
					.to = {.addr = r->q.t.raddr, .port = r->q.t.rport},
					.len = (uint16_t)len};
	memcpy(x->quote, r->tcp, len);
}

void notice_icmp(struct engine *e, struct conn *c, const struct icmp_report *r)
{
	/* The place may be that of a SYN that an accepted connection saved, and that nobody has read. */
	struct rte_mbuf **at = c->icmp_told || !extra_of(e, c)->icmp_errors ? icmp_tail(c) : NULL;
	struct rte_mbuf *m = at && e->held < e->held_max ? engine_mbuf(e) : NULL;
	struct engine_icmp_error x;

	if (!m)
		return;
	copy_report(&x, r);
	*pkt(m) = (struct pkt){.off = m->data_off, .len = sizeof(x)};
	memcpy(pkt_data(m), &x, sizeof(x));
	e->held++;
	*at = m;
	c->icmp_told = true;
}

static void free_first(struct engine *e, struct conn *c)
{
	struct rte_mbuf *m = c->extra->icmp_errors;

	c->extra->icmp_errors = pkt(m)->next;
	c->icmp_told = c->extra->icmp_errors != NULL;
	conn_free_pkt(e, m);
}

void notice_forget_icmp(struct engine *e, struct conn *c)
{
	while (c->icmp_told)
		free_first(e, c);
}

void engine_drop_icmp_errors(struct engine *e, struct conn *c)
{
	notice_forget_icmp(e, c);
	ready_update(e, c, 0);
}

bool engine_take_icmp_error(struct engine *e, struct conn *c, struct engine_icmp_error *x)
{
	struct engine_icmp_error next;

	if (!c->icmp_told)
		return false;
	memcpy(x, pkt_data(c->extra->icmp_errors), sizeof(*x));
	free_first(e, c);
	c->error = 0;
	if (c->icmp_told) {
		memcpy(&next, pkt_data(c->extra->icmp_errors), sizeof(next));
		c->error = next.err;
	}
	ready_update(e, c, 0);
	return true;
}

void engine_move_notices(struct engine *e, struct conn *from, struct conn *to)
{
	if (from->icmp_told) {
		extra_of(e, to)->icmp_errors = from->extra->icmp_errors;
		from->extra->icmp_errors = NULL;
	}
	to->icmp_told = from->icmp_told;
	to->notices = from->notices;
	from->icmp_told = from->notices = false;
	ready_update(e, to, 0);
}
