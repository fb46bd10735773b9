/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * idle.c - what a pause of the sender means for its window: nothing in flight brings no ACKs, and the old window says less and
 * less about the path (RFC 5681 4.1; halved per RTO as RFC 2861 and Linux have it, net.ipv4.tcp_slow_start_after_idle).
 */
#include "engine/stack.h"

/* The window of an algorithm that leaves restarts to us. */
static void decay_window(struct engine *e, struct conn *c, usec_t idle)
{
	uint32_t floor = CC_INIT_CWND_SEGS * c->mss;

	if (cc_sets_window(&c->cc) || !e->cfg.tcp.slow_start_after_idle || c->cc.cwnd <= floor)
		return;
	if (c->cc.ssthresh < c->cc.cwnd / 4 * 3)
		c->cc.ssthresh = c->cc.cwnd / 4 * 3;
	for (; idle > c->rto_us && c->cc.cwnd > floor; idle -= c->rto_us)
		c->cc.cwnd /= 2;
	if (c->cc.cwnd < floor)
		c->cc.cwnd = floor;
}

/* An algorithm that models the path wants to know that nothing was in flight because there was nothing to send. */
static void tell_restart(struct engine *e, struct conn *c)
{
	const struct cc_ops *cc = cc_ops(c->cc.algo);
	struct cc_view v;

	if (!cc->on_restart || !c->app_limited)
		return;
	v = rate_view(e, c);
	cc->on_restart(&c->cc, &v);
}

void idle_restart(struct engine *e, struct conn *c)
{
	usec_t idle = e->now - c->last_snd_at;

	if (conn_flight(c))
		return;
	if (idle > c->rto_us) {
		cc_ops(c->cc.algo)->on_idle(&c->cc, idle);
		decay_window(e, c, idle);
	}
	tell_restart(e, c);
}
