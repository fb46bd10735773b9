/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_icmp.c - ICMP errors that are about our segments (RFC 9293 section 3.9.2.2, RFC 5927 section 4): checked against what is
 * in flight, so that a stranger who does not see the connection cannot harm it.  Those about the path MTU go on to pmtu.c.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "engine/notice.h"

/*
 * A connection that is not established yet fails at once, as on Linux, and the user may read the whole story; afterwards an error
 * is only kept as the reason, should the connection time out (RFC 5927 5.2: hard errors count as soft ones), unless the user
 * asked to be told (IP_RECVERR, ip(7)).
 */
static void unreachable(struct engine *e, struct conn *c, const struct icmp_report *r)
{
	if (c->state == SYN_SENT) {
		notice_icmp(e, c, r);
		conn_fail(e, c, r->err);
	} else if (c->state != SYN_RECEIVED && c->recverr) {
		c->error = (uint8_t)r->err;
		ready_update(e, c, EPOLLERR);
	} else if (c->state != SYN_RECEIVED) {
		c->soft_error = (uint8_t)r->err;
	}
}

bool tcp_icmp(struct engine *e, const struct icmp_report *r)
{
	struct flow *f = flow_find(e, &r->q.t, flow_hash(e, &r->q.t));
	seq_t seq = r->q.seq;
	struct conn *c;

	if (!f || f->kind != FLOW_CONN)
		return false;
	c = container_of(f, struct conn, f);
	if (seq_lt(seq, c->snd_una) || seq_gt(seq, c->snd_nxt))
		return false;
	if (r->kind == ICMP_KIND_FRAG_NEEDED)
		pmtu_claimed(e, c, seq, r->mtu);
	else
		unreachable(e, c, r);
	return true;
}
