/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_info.c - STATUS (RFC 9293 3.10.6) as Linux's TCP_INFO: packets where Linux counts packets, its units, its idea of what a
 * listener has.  tcpi_fackets and tcpi_last_ack_sent are zero as on Linux.
 */
#include <linux/tcp.h>
#include <stddef.h>
#include <string.h>

#include "engine/stack.h"
#include "engine/tcp_sockopt.h"

_Static_assert(offsetof(struct engine_info, tcpi_pmtu) == offsetof(struct tcp_info, tcpi_pmtu) &&
		   offsetof(struct engine_info, tcpi_pacing_rate) == offsetof(struct tcp_info, tcpi_pacing_rate) &&
		   offsetof(struct engine_info, tcpi_delivered) == offsetof(struct tcp_info, tcpi_delivered) &&
		   offsetof(struct engine_info, tcpi_snd_wnd) == offsetof(struct tcp_info, tcpi_snd_wnd),
	       "the layout is Linux's");

#define RTTVAR_UNKNOWN_US 250000 /* what Linux says before the first sample */

static uint32_t packets(uint32_t bytes, uint32_t mss)
{
	return (bytes + mss - 1) / mss;
}

static uint32_t ms_since(const struct engine *e, usec_t t)
{
	return t ? (e->now - t) / 1000 : 0;
}

static void fill_sizes(struct engine *e, const struct conn *c, struct engine_info *i)
{
	uint32_t mss = c->mss ? c->mss : 536;

	i->tcpi_snd_mss = mss;
	i->tcpi_rcv_mss = c->rcv_mss;
	/* Linux leaves the timestamps out of what it calls advmss. */
	i->tcpi_advmss = tcp_advertised_mss(e, c) - (c->ts_ok ? TS_OPTION : 0);
	i->tcpi_pmtu = c->pmtu;
	i->tcpi_snd_ssthresh = c->cc.ssthresh == UINT32_MAX ? 0x7fffffff : c->cc.ssthresh / mss;
	i->tcpi_unacked = packets(conn_flight(c), mss);
	i->tcpi_sacked = !c->sack_ok ? packets(c->sacked_out, mss) : c->repair ? c->repair->sacked_pkts : 0;
	i->tcpi_lost = packets(c->lost_out, mss);
	i->tcpi_retrans = packets(c->retrans_out, mss);
	i->tcpi_rcv_ssthresh = c->rcv_ssthresh;
	i->tcpi_rcv_space = c->rcv_space;
	i->tcpi_rcv_wnd = seq_gt(c->rcv_adv, c->rcv_wup) ? c->rcv_adv - c->rcv_wup : 0;
	i->tcpi_notsent_bytes = engine_outq_unsent(c);
	i->tcpi_reord_seen = conn_extra(c)->reord_seen;
}

static void fill_times(struct engine *e, const struct conn *c, struct engine_info *i)
{
	i->tcpi_rto = rtt_rto(c);
	i->tcpi_ato = c->data_segs_in ? DELACK_US : 0;
	i->tcpi_rtt = c->srtt_us;
	i->tcpi_rttvar = c->rtt_measured ? c->rttvar_us : RTTVAR_UNKNOWN_US;
	i->tcpi_min_rtt = c->rtt_measured ? c->min_rtt_us : UINT32_MAX;
	i->tcpi_rcv_rtt = c->rcv_rtt_us;
	i->tcpi_last_data_sent = ms_since(e, c->last_snd_at);
	i->tcpi_last_data_recv = c->last_data_ms ? (uint32_t)(e->now / 1000) - c->last_data_ms : 0;
	i->tcpi_last_ack_recv = ms_since(e, c->last_rcv_at);
	i->tcpi_rwnd_limited = chrono_us(e, c, CHRONO_RWND);
	i->tcpi_sndbuf_limited = chrono_us(e, c, CHRONO_SNDBUF);
	/* A sender that is held up is busy too. */
	i->tcpi_busy_time = chrono_us(e, c, CHRONO_BUSY) + i->tcpi_rwnd_limited + i->tcpi_sndbuf_limited;
}

static void fill_counts(const struct conn *c, struct engine_info *i)
{
	i->tcpi_retransmits = c->retransmits;
	i->tcpi_probes = c->probes;
	i->tcpi_backoff = c->backoff;
	i->tcpi_total_retrans = conn_extra(c)->total_retrans;
	i->tcpi_bytes_acked = c->bytes_acked;
	i->tcpi_bytes_received = c->bytes_received;
	i->tcpi_bytes_sent = c->bytes_sent + conn_extra(c)->bytes_retrans;
	i->tcpi_bytes_retrans = conn_extra(c)->bytes_retrans;
	i->tcpi_segs_out = c->segs_out;
	i->tcpi_segs_in = c->segs_in;
	i->tcpi_data_segs_in = c->data_segs_in;
	i->tcpi_data_segs_out = c->data_segs_out;
	i->tcpi_dsack_dups = conn_extra(c)->dsack_dups;
	i->tcpi_rcv_ooopack = conn_extra(c)->rcv_ooopack;
	i->tcpi_snd_wnd = c->snd_wnd;
	i->tcpi_delivered = c->delivered_pkts;
	i->tcpi_delivered_ce = conn_extra(c)->delivered_ce;
}

static void fill_rates(const struct engine *e, const struct conn *c, struct engine_info *i)
{
	i->tcpi_delivery_rate = c->rate_us ? (uint64_t)c->rate_bytes * 1000000 / c->rate_us : 0;
	i->tcpi_delivery_rate_app_limited = c->rate_app_limited;
	i->tcpi_pacing_rate = pace_rate(e, c);
}

void tcp_info_fill(struct engine *e, const struct conn *c, struct engine_info *i)
{
	memset(i, 0, sizeof(*i));
	i->tcpi_state = c->state;
	i->tcpi_reordering = c->reordering;
	i->tcpi_snd_cwnd = c->mss ? c->cc.cwnd / c->mss : CC_INIT_CWND_SEGS;
	i->tcpi_max_pacing_rate = conn_extra(c)->max_pacing_rate;
	if (c->state == LISTEN) {
		i->tcpi_unacked = c->naccept;
		i->tcpi_sacked = c->backlog;
		return;
	}
	i->tcpi_ca_state = c->ca_state;
	i->tcpi_options = (c->ts_ok ? TCPI_OPT_TIMESTAMPS : 0) | (c->sack_ok ? TCPI_OPT_SACK : 0) |
			  (c->wscale_ok ? TCPI_OPT_WSCALE : 0) | (c->ecn_ok ? TCPI_OPT_ECN : 0) |
			  (c->ecn_seen ? TCPI_OPT_ECN_SEEN : 0);
	i->tcpi_options |= c->fo_data_acked ? TCPI_OPT_SYN_DATA : 0;
	i->tcpi_fastopen_client_fail = c->fo_fail;
	i->tcpi_snd_wscale = c->snd_wscale;
	i->tcpi_rcv_wscale = c->rcv_wscale;
	fill_sizes(e, c, i);
	if (c->state == CLOSED)
		i->tcpi_unacked = 0;
	fill_times(e, c, i);
	fill_counts(c, i);
	fill_rates(e, c, i);
}
