/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pace.c - when a packet may leave (draft-ietf-ccwg-bbr, "Pacing Rate"): frames get departure times, their length over the rate
 * apart.  So that this costs little a quantum leaves at once, up to a millisecond's worth, 64 KiB or two segments, and then one
 * timer waits for its time to be over.  Applies where the algorithm asks for it (cc.pacing_rate) and where SO_MAX_PACING_RATE is
 * set; then an algorithm that only knows a window is paced at Linux's multiple of cwnd / srtt (tcp_pacing_ss_ratio,
 * tcp_pacing_ca_ratio).  As on Linux the first ten segments of a connection are not paced.
 */
#include "engine/stack.h"

#undef NS_PER_S /* DPDK has one, not of 64 bits */
#define NS_PER_S 1000000000ull
#define NS_PER_US 1000
/* A timer that fired late is made up for, by no more than this. */
#define CREDIT_NS (CC_QUANTUM_US * NS_PER_US)

typedef unsigned __int128 wide;

/* Linux's tcp_update_pacing_rate(): twice the rate of the window while it doubles, 1.2 times later. */
static uint64_t window_rate(const struct engine *e, const struct conn *c)
{
	const struct tcp_settings *t = &e->cfg.tcp;
	int64_t ratio = c->cc.cwnd < c->cc.ssthresh / 2 ? t->pacing_ss_ratio : t->pacing_ca_ratio;

	if (!c->rtt_measured || !c->srtt_us)
		return UINT64_MAX;
	return (uint64_t)c->cc.cwnd * 1000000 / 100 * ratio / c->srtt_us;
}

uint64_t pace_rate(const struct engine *e, const struct conn *c)
{
	uint64_t rate = c->cc.pacing_rate ? c->cc.pacing_rate : window_rate(e, c);

	return rate < conn_extra(c)->max_pacing_rate ? rate : conn_extra(c)->max_pacing_rate;
}

void pace_update(struct conn *c)
{
	c->paced = c->cc.pacing_rate || conn_extra(c)->max_pacing_rate != UINT64_MAX;
	c->pace_waiting = false;
}

/* Linux lets these go: ten segments are what a path takes in one burst anyway (RFC 6928). */
static bool exempt(const struct conn *c, uint64_t rate)
{
	return c->data_segs_out < CC_INIT_CWND_SEGS || !rate || rate == UINT64_MAX;
}

bool pace_blocks(struct engine *e, struct conn *c)
{
	uint64_t now_ns = e->now * NS_PER_US, rate = pace_rate(e, c), late_ns;
	struct extra *x;

	if (exempt(c, rate))
		return false;
	x = extra_of(e, c);
	if (x->pace_ns <= now_ns) {
		/* Time in which nothing was to be sent is not saved up; that in which the timer was late is. */
		late_ns = c->pace_waiting ? now_ns - x->pace_ns : 0;
		x->pace_ns = now_ns - (late_ns < CREDIT_NS ? late_ns : CREDIT_NS);
		return false;
	}
	if (c->pace_waiting)
		return true;
	/* Is as much time spent ahead as a quantum takes?  That the timer counts whole microseconds must not add a segment. */
	if ((wide)(x->pace_ns - now_ns + NS_PER_US - 1) * rate < (wide)cc_quantum(rate, c->mss) * NS_PER_S)
		return false;
	c->pace_waiting = true;
	timer_pace(e, c, (x->pace_ns + NS_PER_US - 1) / NS_PER_US);
	return true;
}

void pace_sent(struct engine *e, struct conn *c, uint32_t bytes)
{
	uint64_t rate = pace_rate(e, c);

	if (exempt(c, rate))
		return;
	/* Rounded up: a quantum must not look unfinished. */
	extra_of(e, c)->pace_ns += (bytes * NS_PER_S + rate - 1) / rate;
	if (c->extra->pace_ns >= e->now * NS_PER_US)
		c->pace_waiting = false;
}

void pace_reset(struct conn *c)
{
	if (c->extra)
		c->extra->pace_ns = 0;
}
