/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chrono.c - what keeps a sender from sending more (Linux's tcp_chrono, for TCP_INFO): while there is data that is not
 * acknowledged the connection is busy, and then it is limited by the peer's window, by its own send buffer, or by neither.  At
 * any moment one clock runs.
 */
#include "engine/stack.h"

static enum chrono limit_of(const struct conn *c)
{
	if (!c->sndq.head)
		return CHRONO_NONE;
	if (c->snd_new)
		return c->rwnd_blocked ? CHRONO_RWND : CHRONO_BUSY;
	return c->nospace ? CHRONO_SNDBUF : CHRONO_BUSY;
}

static uint32_t clock_ms(const struct engine *e)
{
	return e->now / 1000;
}

static void gather(struct engine *e, struct conn *c, uint32_t ms)
{
	if (c->chrono == CHRONO_BUSY)
		c->busy_ms += ms;
	else if (c->chrono == CHRONO_RWND)
		extra_of(e, c)->rwnd_ms += ms;
	else
		extra_of(e, c)->sndbuf_ms += ms;
}

void chrono_update(struct engine *e, struct conn *c)
{
	enum chrono now = limit_of(c);

	if (now == c->chrono)
		return;
	if (c->chrono != CHRONO_NONE && clock_ms(e) != c->chrono_since_ms)
		gather(e, c, clock_ms(e) - c->chrono_since_ms);
	c->chrono = now;
	c->chrono_since_ms = clock_ms(e);
}

uint64_t chrono_us(const struct engine *e, const struct conn *c, enum chrono which)
{
	const struct extra *x = conn_extra(c);
	uint64_t ms = which == CHRONO_BUSY ? c->busy_ms : which == CHRONO_RWND ? x->rwnd_ms : x->sndbuf_ms;

	if (c->chrono == which)
		ms += clock_ms(e) - c->chrono_since_ms;
	return ms * 1000;
}
