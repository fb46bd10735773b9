/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cc_dctcp.c - Data Center TCP (RFC 8257): alpha estimates the fraction of bytes that met congestion, once per window, and an
 * echo of it reduces cwnd by alpha / 2 instead of a half.  Growth and the answer to loss are Reno's (section 3.5).  The
 * receiver's side, which segments are echoed, is ecn.c's.
 */
#include <linux/inet_diag.h>

#include "engine/cc.h"

#define GAIN_SHIFT 4 /* section 4.2: g = 1/16 */

static void dctcp_init(struct cc *cc, const struct cc_view *v)
{
	/* Section 3.3: alpha SHOULD start at 1: until it is known how much congestion there is, the answer is Reno's. */
	cc->dctcp = (struct dctcp){.alpha = DCTCP_ALPHA_ONE, .next_delivered = v->delivered};
}

/* Section 3.3, (7) to (10): at the end of each observation window. */
static void update_alpha(struct dctcp *d)
{
	uint32_t step = d->alpha >> GAIN_SHIFT;
	uint64_t marked = d->bytes ? ((uint64_t)d->bytes_ce * DCTCP_ALPHA_ONE >> GAIN_SHIFT) / d->bytes : 0;

	/* What no step can halve any more is nothing: without congestion alpha reaches 0. */
	d->alpha -= step ? step : d->alpha;
	d->alpha = d->alpha + marked < DCTCP_ALPHA_ONE ? d->alpha + marked : DCTCP_ALPHA_ONE;
}

/* Section 3.3, (1) to (6): every ACK counts, in recovery too. */
static void dctcp_control(struct cc *cc, const struct ack *a)
{
	struct dctcp *d = &cc->dctcp;

	d->bytes += a->delivered;
	if (a->ece)
		d->bytes_ce += a->delivered;
	if (!a->rate.has_data || (int32_t)(a->rate.prior_delivered - d->next_delivered) < 0)
		return;
	update_alpha(d);
	d->next_delivered = a->view.delivered;
	d->bytes = d->bytes_ce = 0;
}

static void dctcp_on_ack(struct cc *cc, const struct ack *a)
{
	cc_newreno.on_ack(cc, a);
}

static uint32_t dctcp_on_loss(struct cc *cc, usec_t now)
{
	return cc_newreno.on_loss(cc, now);
}

/* Section 3.3: cwnd = cwnd * (1 - DCTCP.Alpha / 2). */
static uint32_t dctcp_on_ece(struct cc *cc, usec_t now)
{
	cc->acked = 0;
	return cc_floor(cc, cc->cwnd - (uint32_t)((uint64_t)cc->cwnd * cc->dctcp.alpha / (2 * DCTCP_ALPHA_ONE)));
}

static void dctcp_on_timeout(struct cc *cc, usec_t now)
{
	cc_newreno.on_timeout(cc, now);
}

static void dctcp_on_idle(struct cc *cc, usec_t idle_us)
{
	/* Counts bytes, not time: nothing to shift. */
}

static socklen_t dctcp_info(const struct cc *cc, union tcp_cc_info *info)
{
	const struct dctcp *d = &cc->dctcp;

	info->dctcp = (struct tcp_dctcp_info){.dctcp_enabled = 1,
					      .dctcp_ce_state = cc->ce_state,
					      .dctcp_alpha = d->alpha,
					      .dctcp_ab_ecn = d->bytes_ce,
					      .dctcp_ab_tot = d->bytes};
	return sizeof(info->dctcp);
}

const struct cc_ops cc_dctcp = {
    .name = "dctcp",
    .needs_ecn = true,
    .init = dctcp_init,
    .on_ack = dctcp_on_ack,
    .on_loss = dctcp_on_loss,
    .on_ece = dctcp_on_ece,
    .on_timeout = dctcp_on_timeout,
    .on_idle = dctcp_on_idle,
    .control = dctcp_control,
    .info = dctcp_info,
};
