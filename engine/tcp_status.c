/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_status.c - STATUS (RFC 9293 section 3.10.6) in small: the state, the ends, the pending error and what is queued, as
 * getsockname(), SO_ERROR and the SIOC* requests ask for them.  TCP_INFO is in tcp_info.c.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "engine/stack.h"

int engine_error(struct conn *c)
{
	int err = c->error;

	c->error = 0;
	__atomic_and_fetch(&c->ready, ~(uint32_t)EPOLLERR, __ATOMIC_RELEASE);
	if (!err) {
		err = c->soft_error;
		c->soft_error = 0;
	}
	return err;
}

int engine_state(const struct conn *c)
{
	return c->state;
}

int engine_sockname(const struct conn *c, struct endpoint *local)
{
	*local = (struct endpoint){c->f.t.laddr, c->f.t.lport};
	return 0;
}

int engine_peername(const struct conn *c, struct endpoint *remote)
{
	if (STATE_BIT(c->state) & (STATE_BIT(CLOSED) | STATE_BIT(SYN_SENT) | STATE_BIT(LISTEN)))
		return -ENOTCONN;
	*remote = (struct endpoint){c->f.t.raddr, c->f.t.rport};
	return 0;
}

unsigned engine_inq(const struct conn *c)
{
	uint32_t avail = c->rcv_nxt - c->fin_received - c->copied_seq;

	if (c->state == LISTEN)
		return 0;
	/* Linux's tcp_inq(): up to the mark, unless the urgent byte is part of the stream. */
	if (c->urg_valid && !c->oob_inline && seq_geq(conn_extra(c)->rcv_up, c->copied_seq) &&
	    conn_extra(c)->rcv_up - c->copied_seq < avail)
		return conn_extra(c)->rcv_up - c->copied_seq;
	return avail;
}

unsigned engine_outq(const struct conn *c)
{
	return STATE_BIT(c->state) & (SYNCHRONIZED) ? c->snd_end - seq_min(c->snd_una, c->snd_end) : 0;
}

unsigned engine_outq_unsent(const struct conn *c)
{
	return c->snd_new ? c->snd_end - pkt(c->snd_new)->seq : 0;
}

bool engine_at_mark(const struct conn *c)
{
	return c->urg_valid && conn_extra(c)->rcv_up == c->copied_seq;
}
