/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ip.c - IPv4 in and out (RFC 791, RFC 1122 section 3): which packets are for us, and where ours go next.  A host, not a router:
 * nothing is forwarded, fragments are neither made nor put together (TCP keeps to the path MTU).  Routes are
 * the prefixes of our own addresses and one gateway.
 */
#include <endian.h>
#include <errno.h>

#include "engine/csum.h"
#include "engine/stack.h"

#define PROTO_ICMP 1
#define PROTO_TCP 6
#define ETHERTYPE_IPV4 0x0800
/* IP and TCP headers at their longest: what the first segment of a packet must hold. */
#define HEADERS_MAX (IPV4_HDR_MAX + TCP_HDR + TCP_OPT_MAX)

static void drop(struct rte_mbuf *m, uint64_t *counter)
{
	(*counter)++;
	rte_pktmbuf_free(m);
}

/* ---- addresses and routes -------------------------------------------------------------------------------------------------- */

/* The first n of 64 bits, in network order. */
static uint64_t leading_bits(unsigned n)
{
	return n ? htobe64(~0ull << (64 - n)) : 0;
}

/* The address bits that differ from the prefix's network; all zero: within it. */
static struct ip_addr prefix_differs(const struct ip_prefix *p, const struct ip_addr *a)
{
	struct ip_addr d;

	d.d[0] = (p->addr.d[0] ^ a->d[0]) & leading_bits(p->len < 64 ? p->len : 64);
	d.d[1] = (p->addr.d[1] ^ a->d[1]) & leading_bits(p->len < 64 ? 0 : p->len - 64);
	return d;
}

static bool prefix_holds(const struct ip_prefix *p, const struct ip_addr *a)
{
	struct ip_addr d = prefix_differs(p, a);

	return !(d.d[0] | d.d[1]);
}

/* The host part all ones: the subnet's broadcast address (RFC 1122 3.2.1.3); a /31 or /32 has none (RFC 3021). */
static bool is_subnet_broadcast(const struct ip_prefix *p, const struct ip_addr *a)
{
	return ip_is_v4(a) && p->len >= 96 && p->len < 127 && !(~a->d[1] & ~leading_bits(p->len - 64));
}

/* 224.0.0.0 and above: multicast, class E, limited broadcast. */
static bool is_group(const struct ip_addr *a)
{
	return ip_is_v4(a) && a->b[12] >= 224;
}

/* The prefix of ours that holds a, or NULL. */
static const struct ip_prefix *on_link(const struct engine *e, const struct ip_addr *a)
{
	for (unsigned i = 0; i < e->cfg.naddrs; i++) {
		if (prefix_holds(&e->cfg.addrs[i], a))
			return &e->cfg.addrs[i];
	}
	return NULL;
}

/* The next hop towards dst, NULL if there is none.  TCP has no business with groups and broadcasts (RFC 1122 4.2.3.10). */
static const struct ip_addr *next_hop(const struct engine *e, const struct ip_addr *dst)
{
	const struct ip_prefix *p;

	if (is_group(dst) || ip_is_loopback(dst) || ip_is_any(dst))
		return NULL;
	p = on_link(e, dst);
	if (p)
		return is_subnet_broadcast(p, dst) ? NULL : dst;
	return ip_is_any(&e->cfg.gateway) ? NULL : &e->cfg.gateway;
}

bool ip_reachable(const struct engine *e, const struct ip_addr *dst)
{
	return engine_is_local(e, dst) || next_hop(e, dst);
}

const struct ip_addr *ip_source_for(const struct engine *e, const struct ip_addr *dst)
{
	static const struct ip_addr lo = {.b = {[10] = 0xff, 0xff, 127, 0, 0, 1}};
	const struct ip_prefix *p;

	for (unsigned i = 0; i < e->cfg.naddrs; i++) {
		if (ip_equal(&e->cfg.addrs[i].addr, dst))
			return &e->cfg.addrs[i].addr;
	}
	if (e->cfg.loopback && ip_is_loopback(dst))
		return &lo;
	p = on_link(e, dst);
	if (!p)
		p = on_link(e, &e->cfg.gateway);
	for (unsigned i = 0; !p && i < e->cfg.naddrs; i++) {
		if (ip_is_v4(&e->cfg.addrs[i].addr))
			p = &e->cfg.addrs[i];
	}
	return p ? &p->addr : &e->cfg.addrs[0].addr;
}

/* ---- input ----------------------------------------------------------------------------------------------------------------- */

/* Cut a packet to its first len bytes: Ethernet pads short ones, and padding may fill whole segments. */
static void trim_to(struct rte_mbuf *m, uint32_t len)
{
	struct rte_mbuf *s = m;
	uint32_t before = 0;
	uint16_t segs = 1;

	if (m->pkt_len <= len)
		return;
	while (before + s->data_len < len) {
		before += s->data_len;
		s = s->next;
		segs++;
	}
	s->data_len = len - before;
	if (s->next)
		rte_pktmbuf_free(s->next);
	s->next = NULL;
	m->nb_segs = segs;
	m->pkt_len = len;
}

/* Headers are parsed in place: they must lie in the first segment. */
static bool headers_contiguous(struct rte_mbuf *m)
{
	uint32_t want = m->pkt_len < HEADERS_MAX ? m->pkt_len : HEADERS_MAX;

	return m->data_len >= want || rte_pktmbuf_linearize(m) == 0;
}

/* The port's verdict on the header checksum, where it gives one: 1 good, 0 bad, -1 none. */
static int csum_verdict(const struct engine *e, const struct rte_mbuf *m)
{
	uint64_t flag = m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;

	if (!(e->cfg.caps & ENGINE_RX_CSUM))
		return -1;
	if (flag == RTE_MBUF_F_RX_IP_CKSUM_GOOD)
		return 1;
	return flag == RTE_MBUF_F_RX_IP_CKSUM_BAD ? 0 : -1;
}

static uint64_t *error_counter(struct engine *e, enum wire_error err)
{
	switch (err) {
	case WIRE_RUNT:
		return &e->stats.in_runts;
	case WIRE_BAD_CSUM:
		return &e->stats.ip_in_csum_errors;
	case WIRE_FRAGMENT:
		return &e->stats.ip_reasm_fails;
	case WIRE_BAD_ADDR:
		return &e->stats.ip_in_addr_errors;
	default:
		return &e->stats.ip_in_hdr_errors;
	}
}

/*
 * Ours by destination, and possible by source: from a wire no packet can come from our own address or from 127.0.0.0/8 (RFC 1122
 * 3.2.1.3), only by our own loop, whose packets no device received.
 */
static bool addresses_fit(const struct engine *e, const struct rte_mbuf *m, const struct ipv4_fields *ip)
{
	bool from_device = m->port != PORT_LOOP;

	return engine_is_local(e, &ip->daddr) && !(from_device && (ip->loopback || engine_is_local(e, &ip->saddr)));
}

void ip_hand_over(struct engine *e, struct rte_mbuf *m, const struct ipv4_fields *ip, unsigned owner)
{
	e->stats.foreign++;
	rte_pktmbuf_prepend(m, ip->hdr_len + ETH_HDR);
	e->foreign_stack[e->foreign.tail & (FRAME_RING - 1)] = owner;
	if (!ring_push(&e->foreign, m))
		rte_pktmbuf_free(m);
}

void ip_input(struct engine *e, struct rte_mbuf *m)
{
	struct ipv4_fields ip;
	enum wire_error err;
	int verdict = csum_verdict(e, m);

	e->stats.ip_in_receives++;
	if (!verdict)
		return drop(m, &e->stats.ip_in_csum_errors);
	if (!headers_contiguous(m))
		return drop(m, &e->stats.in_runts);
	err = wire_parse_ipv4(rte_pktmbuf_mtod(m, const uint8_t *), m->pkt_len, verdict > 0, &ip);
	if (err != WIRE_OK)
		return drop(m, error_counter(e, err));
	if (!addresses_fit(e, m, &ip))
		return drop(m, &e->stats.ip_in_addr_errors);
	if (ip.proto != PROTO_TCP && ip.proto != PROTO_ICMP)
		return drop(m, &e->stats.ip_in_unknown_protos);
	(&e->stats.ip_in_no_ect)[ip.tos & 3]++;
	trim_to(m, ip.total_len);
	rte_pktmbuf_adj(m, ip.hdr_len);
	e->stats.ip_in_delivers++;
	if (ip.proto == PROTO_TCP)
		tcp_input(e, m, &ip);
	else
		icmp_input(e, m, &ip);
}

/* ---- output ---------------------------------------------------------------------------------------------------------------- */

/* False: no headroom, or longer than an IP packet can be or the link takes. */
static bool push_header(struct engine *e, struct rte_mbuf *m, const struct ip_send *s, bool csum_offload)
{
	bool segmented = m->ol_flags & RTE_MBUF_F_TX_TCP_SEG;
	uint32_t total = m->pkt_len + IPV4_HDR;
	uint8_t *p;

	if (total > UINT16_MAX || (total > e->cfg.mtu && !segmented))
		return false;
	p = (uint8_t *)rte_pktmbuf_prepend(m, IPV4_HDR);
	if (!p)
		return false;
	/* RFC 6864 4.1: with DF set the identification means nothing; counting helps who reads a trace. */
	wire_write_ipv4(p,
			&(struct ipv4_fields){.saddr = *s->src,
					      .daddr = *s->dst,
					      .total_len = total,
					      .id = e->ip_id++,
					      .proto = s->proto,
					      .ttl = s->ttl,
					      .tos = s->tos,
					      .dont_fragment = !s->may_fragment},
			csum_offload);
	return true;
}

static void set_offload(struct rte_mbuf *m, bool ip_csum)
{
	m->l2_len = ETH_HDR;
	m->l3_len = IPV4_HDR;
	if (ip_csum)
		m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	if (m->ol_flags & (RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG))
		m->ol_flags |= RTE_MBUF_F_TX_IPV4;
}

/*
 * No device will compute what was left to one: the field holds the pseudo-header's sum, without the length if the packet was to
 * be segmented (DPDK's convention).
 */
static void finish_tcp_csum(struct rte_mbuf *m)
{
	uint64_t sum;

	if (!(m->ol_flags & (RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG)))
		return;
	sum = csum_mbuf(m);
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		sum = csum_plus(sum, htobe16(m->pkt_len));
	wire_set_tcp_csum(rte_pktmbuf_mtod(m, uint8_t *), csum_fold(sum));
}

/* To ourselves: a copy, for a sent mbuf's private area belongs to the sending socket's queue. */
static int output_local(struct engine *e, struct rte_mbuf *m, const struct ip_send *s)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, e->cfg.pool, 0, UINT32_MAX);
	bool fits;
	uint8_t *eth;

	rte_pktmbuf_free(m);
	if (!copy) {
		e->stats.no_mbuf++;
		return 0; /* lost on the way, as on any link */
	}
	finish_tcp_csum(copy);
	fits = push_header(e, copy, s, false);
	copy->ol_flags = 0;
	copy->port = PORT_LOOP;
	eth = fits ? (uint8_t *)rte_pktmbuf_prepend(copy, ETH_HDR) : NULL;
	if (eth)
		wire_write_eth(eth, e->cfg.mac, e->cfg.mac, ETHERTYPE_IPV4);
	if (!eth || !ring_push(&e->loop, copy))
		rte_pktmbuf_free(copy);
	return fits ? 0 : -EMSGSIZE;
}

int ip_output(struct engine *e, struct rte_mbuf *m, const struct ip_send *s)
{
	bool offload = e->cfg.caps & ENGINE_TX_IP_CSUM;
	const struct ip_addr *hop;

	e->stats.ip_out_requests++;
	if (engine_is_local(e, s->dst))
		return output_local(e, m, s);
	hop = next_hop(e, s->dst);
	if (!hop) {
		drop(m, &e->stats.ip_out_no_routes);
		return -ENETUNREACH;
	}
	if (!push_header(e, m, s, offload)) {
		rte_pktmbuf_free(m);
		return -EMSGSIZE;
	}
	set_offload(m, offload);
	neigh_output(e, m, hop, s->neigh);
	return 0;
}
