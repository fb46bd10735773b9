/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_timewait.c - a segment for a TIME-WAIT entry (RFC 9293 3.10.7.4, RFC 1337, RFC 6191): is it an old one to be answered, or a
 * SYN that may begin a new incarnation?
 */
#include "engine/tcp_input.h"

/* RFC 6191, and RFC 1122 4.2.2.13 (a) without timestamps: may this SYN begin a new incarnation? */
static bool timewait_lets_in(const struct timewait *tw, const struct seg *s)
{
	if ((s->flags & (TH_SYN | TH_RST | TH_ACK)) != TH_SYN)
		return false;
	if (seq_gt(s->seq, tw->rcv_nxt))
		return true;
	return tw->ts_ok && (s->opts & OPT_TS) && (int32_t)(s->tsval - tw->ts_recent) > 0;
}

/* As for a connection: segments without data are not answered more often than tcp_invalid_ratelimit has it (RFC 5961 7). */
static bool answer_allowed(struct engine *e, struct timewait *tw, const struct seg *s)
{
	uint32_t now_ms = (uint32_t)(e->now / 1000);

	if ((s->len && !(s->flags & TH_SYN)) || s->flags & TH_FIN)
		return true;
	if (tw->last_oow_ack_ms && now_ms - tw->last_oow_ack_ms < e->cfg.tcp.invalid_ratelimit) {
		e->stats.ack_skipped++;
		return false;
	}
	tw->last_oow_ack_ms = now_ms;
	return true;
}

bool timewait_segment(struct engine *e, struct timewait *tw, const struct seg *s)
{
	bool paws = tw->ts_ok && (s->opts & OPT_TS) && (int32_t)(s->tsval - tw->ts_recent) < 0;

	if (s->flags & TH_RST) {
		/* RFC 1337: a reset must not end TIME-WAIT early, where the administrator wants it so. */
		if (s->seq == tw->rcv_nxt && !e->cfg.tcp.rfc1337)
			timewait_free(e, tw);
		return false;
	}
	if (!paws && timewait_lets_in(tw, s)) {
		e->stats.tw_recycled++;
		timewait_free(e, tw);
		return true;
	}
	if (paws)
		e->stats.paws_estab++;
	/* 3.10.7.4, eighth: a retransmitted FIN is acknowledged and the wait starts anew; all else is out of window. */
	if (seg_len(s) || (s->flags & TH_ACK && s->seq != tw->rcv_nxt) || paws) {
		if (s->flags & TH_FIN && !paws) {
			timewait_restart(e, tw);
			if (s->opts & OPT_TS)
				tw->ts_recent = s->tsval;
		}
		if (answer_allowed(e, tw, s))
			tcp_send_timewait_ack(e, tw);
	}
	return false;
}
