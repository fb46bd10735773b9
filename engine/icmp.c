/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * icmp.c - ICMP (RFC 792): echo is answered, errors about segments of ours are handed to TCP (RFC 1122 3.2.2 and 4.2.3.9), all
 * other messages are counted and ignored.  Nothing is sent in answer to anything but an echo request.
 */
#include <errno.h>

#include "engine/csum.h"
#include "engine/stack.h"

#define PROTO_ICMP 1

enum icmp_type { TYPE_DEST_UNREACH = 3, TYPE_ECHO = 8, TYPE_TIME_EXCEEDED = 11, TYPE_PARAMETER_PROBLEM = 12 };
#define CODE_FRAG_NEEDED 4
#define PARAMETER_POINTER 4 /* offset (RFC 792) */

/* What an error means for its connection. */
struct meaning {
	int err;
	enum icmp_kind kind;
};

#define SOFT ICMP_KIND_UNREACH_SOFT
#define HARD ICMP_KIND_UNREACH_HARD

/* Destination unreachable by code: RFC 1122 3.2.2.1, RFC 1812 5.2.7.1, with the errors that Linux reports for them. */
static const struct meaning unreach[] = {
    {ENETUNREACH, SOFT},	       /* 0 net */
    {EHOSTUNREACH, SOFT},	       /* 1 host */
    {ENOPROTOOPT, HARD},	       /* 2 protocol */
    {ECONNREFUSED, HARD},	       /* 3 port */
    {EMSGSIZE, ICMP_KIND_FRAG_NEEDED}, /* 4 fragmentation needed and DF set */
    {EOPNOTSUPP, SOFT},		       /* 5 source route failed */
    {ENETUNREACH, HARD},	       /* 6 net unknown */
    {EHOSTDOWN, HARD},		       /* 7 host unknown */
    {ENONET, HARD},		       /* 8 source host isolated */
    {ENETUNREACH, HARD},	       /* 9 net prohibited */
    {EHOSTUNREACH, HARD},	       /* 10 host prohibited */
    {ENETUNREACH, SOFT},	       /* 11 net, for this type of service */
    {EHOSTUNREACH, SOFT},	       /* 12 host, for this type of service */
    {EHOSTUNREACH, HARD},	       /* 13 administratively prohibited */
    {EHOSTUNREACH, HARD},	       /* 14 precedence violation */
    {EHOSTUNREACH, HARD},	       /* 15 precedence cut off */
};

/* RFC 1191 section 7.1, table 7-1: what to guess when the router does not say. */
static const uint16_t plateaus[] = {32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68};
#define MTU_MIN 68 /* RFC 791 section 3.2 */

static unsigned next_plateau(unsigned total_len)
{
	for (unsigned i = 0; i < sizeof(plateaus) / sizeof(plateaus[0]); i++) {
		if (plateaus[i] < total_len)
			return plateaus[i];
	}
	return MTU_MIN;
}

static void echo(struct engine *e, struct rte_mbuf *m, const struct ipv4_fields *ip)
{
	struct ip_send s = {.src = &ip->daddr, .dst = &ip->saddr, .proto = PROTO_ICMP, .tos = ip->tos, .may_fragment = true};

	e->stats.icmp_in_echos++;
	if (e->cfg.tcp.icmp_echo_ignore_all ||
	    (m->nb_segs > 1 && !(e->cfg.caps & ENGINE_TX_MULTI_SEG) && rte_pktmbuf_linearize(m))) {
		rte_pktmbuf_free(m);
		return;
	}
	wire_echo_reply(rte_pktmbuf_mtod(m, uint8_t *));
	/* What the port said of the request is not to be read as orders for the reply. */
	m->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
	s.ttl = e->cfg.tcp.ip_default_ttl;
	if (ip_output(e, m, &s) == 0)
		e->stats.icmp_out_echo_reps++;
}

/* Which error this is; false: one that TCP does not hear of. */
static bool meaning_of(struct engine *e, const struct icmp_fields *f, struct meaning *what)
{
	switch (f->type) {
	case TYPE_DEST_UNREACH:
		e->stats.icmp_in_dest_unreachs++;
		if (f->code >= sizeof(unreach) / sizeof(unreach[0]))
			return false;
		*what = unreach[f->code];
		return true;
	case TYPE_TIME_EXCEEDED:
		e->stats.icmp_in_time_excds++;
		*what = (struct meaning){EHOSTUNREACH, ICMP_KIND_TIME_EXCEEDED};
		return true;
	default: /* TYPE_PARAMETER_PROBLEM */
		*what = (struct meaning){EPROTO, SOFT};
		return true;
	}
}

/* False: malformed, not about a packet of ours, or about no connection. */
static bool error_taken(struct engine *e, const struct rte_mbuf *m, const struct icmp_fields *f, const struct ip_addr *from)
{
	const uint8_t *icmp = rte_pktmbuf_mtod(m, const uint8_t *), *quoted = icmp + ICMP_HDR;
	struct icmp_report r = {.type = f->type, .code = f->code, .offender = from};
	struct meaning what;

	if (!meaning_of(e, f, &what) || wire_parse_quote(quoted, m->data_len - ICMP_HDR, &r.q) != WIRE_OK)
		return false;
	if (!engine_is_local(e, &r.q.t.laddr))
		return false;
	r.kind = what.kind;
	r.err = what.err;
	r.info = f->type == TYPE_PARAMETER_PROBLEM ? icmp[PARAMETER_POINTER] : 0;
	r.tcp = quoted + r.q.hdr_len;
	r.tcp_len = m->data_len - ICMP_HDR - r.q.hdr_len;
	if (what.kind == ICMP_KIND_FRAG_NEEDED) {
		r.mtu = f->mtu ? f->mtu : next_plateau(r.q.total_len);
		/* RFC 1191 section 3: a limit below 68 can't be, and one that the packet met is no reason. */
		if (r.mtu < MTU_MIN || r.mtu >= r.q.total_len)
			return false;
	}
	return tcp_icmp(e, &r);
}

/* Several stacks share the address, and the error came to the wrong one's queue: it is for the stack that sent what it quotes. */
static bool is_foreign(struct engine *e, const struct rte_mbuf *m, unsigned *owner)
{
	struct quote q;

	if (e->cfg.nstacks == 1 ||
	    wire_parse_quote(rte_pktmbuf_mtod_offset(m, const uint8_t *, ICMP_HDR), m->data_len - ICMP_HDR, &q) != WIRE_OK)
		return false;
	*owner = flow_owner(e, &q.t, flow_hash(e, &q.t));
	return *owner != e->cfg.stack;
}

void icmp_input(struct engine *e, struct rte_mbuf *m, const struct ipv4_fields *ip)
{
	struct icmp_fields f;
	unsigned owner;

	e->stats.icmp_in_msgs++;
	if (csum_fold(csum_mbuf(m)) != 0xffff) {
		e->stats.icmp_in_csum_errors++;
		e->stats.icmp_in_errors++;
	} else if (wire_parse_icmp(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &f) != WIRE_OK) {
		e->stats.icmp_in_errors++;
	} else if (f.type == TYPE_ECHO && f.code == 0) {
		echo(e, m, ip);
		return;
	} else if (f.type == TYPE_DEST_UNREACH || f.type == TYPE_TIME_EXCEEDED || f.type == TYPE_PARAMETER_PROBLEM) {
		if (is_foreign(e, m, &owner)) {
			ip_hand_over(e, m, ip, owner);
			return;
		}
		if (!error_taken(e, m, &f, &ip->saddr))
			e->stats.icmp_in_errors++;
	}
	rte_pktmbuf_free(m);
}
