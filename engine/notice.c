/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notice.c - see notice.h.  A packet keeps the low half of the clock; one that waits for longer than 71 minutes tells a time that
 * is too late by that much.
 */
#include "engine/notice.h"

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
