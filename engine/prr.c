/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prr.c - proportional rate reduction (RFC 9937, which replaces RFC 6937): how fast to send while the window is being reduced.
 * What leaves the network lets ssthresh / RecoverFS of it back in, so that the flight comes down to ssthresh in one round trip;
 * once it is below, by losses or a pause of the sender, it grows back no faster than by what is delivered (PRR-CRB), or as in
 * slow start when the ACK shows that repair makes progress (PRR-SSRB).
 */
#include "engine/stack.h"

/* Section 6.1.  What the ACK at hand delivered counts as part of the flight still. */
void prr_begin(struct conn *c, uint32_t acked, uint32_t sacked)
{
	uint32_t before = c->sacked_out > sacked ? c->sacked_out - sacked : 0;

	c->repair->prr_delivered = c->repair->prr_out = 0;
	c->repair->prr_recover_fs = conn_flight(c) - before + acked;
	if (!c->repair->prr_recover_fs)
		c->repair->prr_recover_fs = c->mss;
}

/*
 * Deviation: what a tail loss probe shows to be lost was sent two round trips ago and more, and nothing but the probe since.  If
 * that was all, the network holds nothing of ours: a sender idle for so long may begin with an initial window (RFC 5681 4.1, RFC
 * 6928), and RFC 6675 section 5 (C) would send ssthresh at once.  So an initial window, and no more than ssthresh, counts as
 * delivered; SSRB alone would send one segment, two, four.
 */
void prr_after_silence(struct conn *c)
{
	uint32_t window = CC_INIT_CWND_SEGS * c->mss;

	if (recovery_pipe(c))
		return;
	c->repair->prr_delivered = window < c->cc.ssthresh ? window : c->cc.ssthresh;
}

/* Section 6.2. */
void prr_update(struct conn *c, uint32_t delivered, bool safe)
{
	uint32_t pipe = recovery_pipe(c), ssthresh = c->cc.ssthresh;
	int64_t sndcnt, most;

	c->repair->prr_delivered += delivered;
	sndcnt = (int64_t)c->repair->prr_delivered - c->repair->prr_out;
	if (pipe > ssthresh) {
		uint64_t share = (uint64_t)c->repair->prr_delivered * ssthresh + c->repair->prr_recover_fs - 1;

		sndcnt = (int64_t)(share / c->repair->prr_recover_fs) - c->repair->prr_out;
	} else {
		most = (int64_t)ssthresh - pipe;
		if (sndcnt < delivered)
			sndcnt = delivered;
		if (safe)
			sndcnt += c->mss;
		if (sndcnt > most)
			sndcnt = most;
	}
	/* The first retransmission goes out whatever the count says; after a mark there is none. */
	if (c->ca_state == CA_RECOVERY && !c->repair->prr_out && sndcnt < c->mss)
		sndcnt = c->mss;
	c->cc.cwnd = pipe + (sndcnt > 0 ? (uint32_t)sndcnt : 0);
}
