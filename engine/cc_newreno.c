/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc_newreno.c - the standard's congestion control (RFC 5681 section 3.1) with appropriate byte counting (RFC 3465 section 2.1).
 * Recovery itself (RFC 6582, RFC 6675) is recovery.c's.
 */
#include "engine/cc.h"

static void newreno_init(struct cc *cc, const struct cc_view *v)
{
	cc->acked = 0;
}

/* Congestion avoidance: one SMSS for each window's worth of bytes acknowledged. */
static void newreno_on_ack(struct cc *cc, const struct ack *a)
{
	uint32_t acked = cc_countable(a);
	uint64_t counted;

	/* RFC 2861, RFC 7661: a window that did not limit the flight was not tested by it. */
	if (!a->cwnd_limited || !acked)
		return;
	if (cc_in_slow_start(cc))
		acked = cc_slow_start(cc, acked);
	counted = (uint64_t)cc->acked + acked;
	while (counted >= cc->cwnd) {
		counted -= cc->cwnd;
		cc_grow(cc, cc->mss);
	}
	cc->acked = (uint32_t)counted;
}

/* RFC 5681 equation 4, with cwnd for the flight as Linux does: growth is withheld while cwnd is not the limit, so they differ
 * little. */
static uint32_t newreno_on_loss(struct cc *cc, usec_t now)
{
	cc->acked = 0;
	return cc_floor(cc, cc->cwnd / 2);
}

static void newreno_on_timeout(struct cc *cc, usec_t now)
{
	cc->acked = 0;
}

static void newreno_on_idle(struct cc *cc, usec_t idle_us)
{
	/* Counts bytes, not time: nothing to shift. */
}

const struct cc_ops cc_newreno = {
    .name = "reno",
    .init = newreno_init,
    .on_ack = newreno_on_ack,
    .on_loss = newreno_on_loss,
    .on_ece = newreno_on_loss,
    .on_timeout = newreno_on_timeout,
    .on_idle = newreno_on_idle,
};

/* What DCTCP becomes where the peer does not speak ECN (RFC 8257 3.5, named as on Linux). */
const struct cc_ops cc_dctcp_reno = {
    .name = "dctcp-reno",
    .init = newreno_init,
    .on_ack = newreno_on_ack,
    .on_loss = newreno_on_loss,
    .on_ece = newreno_on_loss,
    .on_timeout = newreno_on_timeout,
    .on_idle = newreno_on_idle,
};
