/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * usercopy.c - the user's memory was not there, and a copy broke off (engine_copying()): the queues are put in order.  Receiving
 * copies first and takes off the queue afterwards; sending copies behind the end of the queue and moves the end afterwards.
 */
#include <errno.h>

#include "engine/stack.h"

bool engine_copying(const struct engine *e)
{
	return e->copying;
}

/*
 * The user's memory ended: what this call (from `start` on) has put into the last packet is taken back, as Linux sends nothing of
 * a piece that it could not copy whole; packets that were filled stay.
 */
static void take_back(struct engine *e, struct conn *c, seq_t start)
{
	struct rte_mbuf *m = c->sndq.tail, **link = &c->sndq.head, *before = NULL;
	uint32_t n;

	if (!m)
		return;
	n = c->snd_end - seq_max(pkt(m)->seq, start);
	pkt(m)->len -= n;
	pkt(m)->csum_valid = pkt(m)->csum_valid && !n;
	c->snd_end -= n;
	if (pkt(m)->len)
		return;
	for (; *link != m; link = &pkt(*link)->next)
		before = *link;
	*link = NULL;
	c->sndq.tail = before;
	if (c->snd_new == m)
		c->snd_new = NULL;
	c->snd_queued -= pkt_truesize(m);
	conn_free_pkt(e, m);
}

ssize_t engine_send_broke(struct engine *e)
{
	struct conn *c = e->copying;
	seq_t start = e->copy_whole;

	e->copying = NULL;
	take_back(e, c, start);
	if (c->snd_end == start)
		return -EFAULT;
	send_queued(e, c, c->snd_end - start, 0);
	return c->snd_end - start;
}

size_t engine_recv_broke(struct engine *e)
{
	e->copying = NULL;
	e->peek_from = 0;
	return e->copy_whole;
}
