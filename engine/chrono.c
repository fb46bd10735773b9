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

void chrono_update(const struct engine *e, struct conn *c)
{
	enum chrono now = limit_of(c);

	if (now == c->chrono)
		return;
	if (c->chrono != CHRONO_NONE)
		c->chrono_ms[c->chrono] += clock_ms(e) - c->chrono_since_ms;
	c->chrono = now;
	c->chrono_since_ms = clock_ms(e);
}

uint64_t chrono_us(const struct engine *e, const struct conn *c, enum chrono which)
{
	uint64_t ms = c->chrono_ms[which];

	if (which != CHRONO_NONE && c->chrono == which)
		ms += clock_ms(e) - c->chrono_since_ms;
	return ms * 1000;
}
