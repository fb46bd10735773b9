/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_segment.c - a segment is written: header, options and checksum, and it is on its way.  Nearly all go to a neighbour that is
 * known to be there: they take a short way, on which the headers of all layers are written at once.  Nearly all of an established
 * connection are alike besides, with no options but timestamps: those are written from registers.
 */
#include "engine/tcp_segment.h"
#include "engine/wire_put.h"

#define PROTO_TCP 6
#define ETHERTYPE_IPV4 0x0800

/* Set the checksum, or leave it to the port: then the field holds the pseudo-header's sum, without the length for TSO. */
static void set_csum(const struct engine *e, struct rte_mbuf *m, const struct tuple *t, unsigned hdr_len, uint16_t payload_sum)
{
	uint8_t *tcp = rte_pktmbuf_mtod(m, uint8_t *);
	bool tso = m->ol_flags & RTE_MBUF_F_TX_TCP_SEG;
	uint32_t sum = wire_pseudo_sum(&t->laddr, &t->raddr, PROTO_TCP, tso ? 0 : m->pkt_len);

	if (e->cfg.caps & ENGINE_TX_TCP_CSUM) {
		m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
		m->l4_len = hdr_len;
		wire_set_tcp_csum(tcp, ~csum_fold(sum));
		return;
	}
	wire_set_tcp_csum(tcp, csum_fold((uint64_t)sum + csum_partial(tcp, hdr_len) + payload_sum));
}

struct path tcp_path(struct conn *c)
{
	return (struct path){
	    .t = &c->f.t, .ttl = c->ttl, .tos = c->tos, .may_fragment = pmtu_may_fragment(c), .neigh = &c->neigh};
}

/* Layer by layer. */
static void send_by_layers(struct engine *e, struct rte_mbuf *m, const struct tcp_fields *f, const struct path *p,
			   uint16_t payload_sum)
{
	unsigned hdr_len = TCP_HDR + f->optlen;
	struct ip_send ip = {
	    .src = &p->t->laddr, .dst = &p->t->raddr, .proto = PROTO_TCP, .ttl = p->ttl, .tos = p->tos, .neigh = p->neigh};

	ip.may_fragment = p->may_fragment;
	wire_write_tcp((uint8_t *)rte_pktmbuf_prepend(m, hdr_len), f);
	set_csum(e, m, p->t, hdr_len, payload_sum);
	ip_output(e, m, &ip);
}

/* ---- the short way --------------------------------------------------------------------------------------------------------- */

/* The timestamps option. */
struct stamps {
	uint32_t val, ecr;
};

/* The neighbour that it goes to, if nothing about the packet is out of the ordinary; else NULL. */
static inline struct neigh *short_way(struct engine *e, const struct rte_mbuf *m, const struct path *p, unsigned tcp_hdr)
{
	if (!p->neigh || (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) || IPV4_HDR + tcp_hdr + m->pkt_len > e->cfg.mtu)
		return NULL;
	return neigh_ready(e, *p->neigh, &p->t->raddr);
}

static inline void write_ipv4(struct engine *e, const struct path *p, uint8_t *ip, uint16_t total_len)
{
	put_ipv4(ip,
		 &(struct ipv4_fields){.saddr = p->t->laddr,
				       .daddr = p->t->raddr,
				       .total_len = total_len,
				       .id = e->ip_id++,
				       .proto = PROTO_TCP,
				       .ttl = p->ttl,
				       .tos = p->tos,
				       .dont_fragment = !p->may_fragment},
		 e->cfg.caps & ENGINE_TX_IP_CSUM);
}

/* Header and options of a segment of tcp_len bytes, and as much of the checksum as is ours. */
static inline void write_tcp(const struct engine *e, const struct tcp_fields *f, const struct stamps *ts, const struct tuple *t,
			     uint8_t *tcp, uint16_t tcp_len, uint16_t payload_sum)
{
	uint64_t pseudo = (uint64_t)t->laddr.w[3] + t->raddr.w[3] + htons(PROTO_TCP) + htons(tcp_len);
	uint64_t sum = pseudo + put_tcp(tcp, f) + payload_sum;

	sum += ts ? put_ts(tcp + TCP_HDR, ts->val, ts->ecr) : put_options(tcp + TCP_HDR, f);
	put_tcp_csum(tcp, e->cfg.caps & ENGINE_TX_TCP_CSUM ? ~csum_fold(pseudo) : csum_fold(sum));
}

/* Checksums that the port is to compute. */
static inline void set_offload(struct rte_mbuf *m, unsigned caps, unsigned tcp_hdr)
{
	if (!(caps & (ENGINE_TX_IP_CSUM | ENGINE_TX_TCP_CSUM)))
		return;
	m->tx_offload = rte_mbuf_tx_offload(ETH_HDR, IPV4_HDR, tcp_hdr, 0, 0, 0, 0);
	m->ol_flags |= RTE_MBUF_F_TX_IPV4 | (caps & ENGINE_TX_IP_CSUM ? RTE_MBUF_F_TX_IP_CKSUM : 0) |
		       (caps & ENGINE_TX_TCP_CSUM ? RTE_MBUF_F_TX_TCP_CKSUM : 0);
}

/* The headers of all layers at once: what the layers would write one by one.  ts: the only option, else NULL. */
static inline __attribute__((always_inline)) void send_short(struct engine *e, struct rte_mbuf *m, const struct tcp_fields *f,
							     const struct stamps *ts, const struct path *p, uint16_t payload_sum,
							     struct neigh *n)
{
	unsigned tcp_hdr = TCP_HDR + f->optlen, headers = ETH_HDR + IPV4_HDR + tcp_hdr;
	uint16_t tcp_len = tcp_hdr + m->pkt_len;
	uint8_t *at;

	m->data_off -= headers; /* ENGINE_HEADROOM is enough for them */
	m->data_len += headers;
	m->pkt_len += headers;
	at = rte_pktmbuf_mtod(m, uint8_t *);
	put_eth(at, n->mac, e->cfg.mac, ETHERTYPE_IPV4);
	write_ipv4(e, p, at + ETH_HDR, IPV4_HDR + tcp_len);
	write_tcp(e, f, ts, p->t, at + ETH_HDR + IPV4_HDR, tcp_len, payload_sum);
	set_offload(m, e->cfg.caps, tcp_hdr);
	e->stats.ip_out_requests++;
	n->used_at = e->now;
	if (!ring_push(&e->tx, m))
		rte_pktmbuf_free(m);
}

void tcp_emit(struct engine *e, struct rte_mbuf *m, const struct tcp_fields *f, const struct path *p, uint16_t payload_sum)
{
	struct neigh *n = short_way(e, m, p, TCP_HDR + f->optlen);

	if (n)
		send_short(e, m, f, NULL, p, payload_sum, n);
	else
		send_by_layers(e, m, f, p, payload_sum);
}

/* ---- of a connection ------------------------------------------------------------------------------------------------------- */

/* The header but for options. */
static inline struct tcp_fields fields_of(const struct conn *c, const struct outgoing *o, uint16_t wnd)
{
	return (struct tcp_fields){.sport = c->f.t.lport,
				   .dport = c->f.t.rport,
				   .seq = o->seq,
				   .ack = c->rcv_nxt,
				   .flags = o->flags | TH_ACK,
				   .wnd = wnd};
}

static void add_sack(struct engine *e, struct conn *c, struct tcp_fields *f, unsigned room)
{
	struct sack_block b[SACK_BLOCKS_MAX + 1];
	unsigned n = 0, fit = room < 4 + 8 ? 0 : (room - 4) / 8;

	if (c->dsack_pending)
		b[n++] = c->repair->dsack;
	memcpy(&b[n], c->repair->ofo_recent, c->nofo_recent * sizeof(b[0]));
	n += c->nofo_recent;
	if (n > fit)
		n = fit;
	if (!n)
		return;
	wire_opt_sack(f, b, n);
	e->stats.dsack_sent += c->dsack_pending;
	c->dsack_pending = false;
}

/* With what few have to say. */
static __attribute__((noinline)) void segment_any(struct engine *e, struct conn *c, struct rte_mbuf *m, const struct outgoing *o,
						  uint16_t wnd)
{
	struct tcp_fields f = fields_of(c, o, wnd);
	struct path p = tcp_path(c);
	unsigned room = o->room;

	if (c->ts_ok)
		wire_opt_ts(&f, tcp_ts_now(e, c->ts_offset), c->ts_recent);
	if (room > (unsigned)(TCP_OPT_MAX - f.optlen))
		room = TCP_OPT_MAX - f.optlen;
	if (c->sack_ok && (c->dsack_pending || c->nofo_recent))
		add_sack(e, c, &f, room);
	if (c->snd_urgent && seq_lt(o->seq, conn_extra(c)->snd_up)) {
		uint32_t ahead = conn_extra(c)->snd_up - o->seq;

		f.flags |= TH_URG;
		f.up = RTE_MIN(ahead, 0xffffu);
	}
	if (c->ecn_ok) {
		f.flags |= ecn_flags(c, o->new_data);
		p.tos |= ecn_codepoint(c, o->new_data);
	}
	tcp_emit(e, m, &f, &p, o->payload_sum);
}

/* With timestamps alone. */
static inline void segment_plain(struct engine *e, struct conn *c, struct rte_mbuf *m, const struct outgoing *o, uint16_t wnd,
				 struct neigh *n)
{
	struct tcp_fields f = fields_of(c, o, wnd);
	const struct stamps ts = {tcp_ts_now(e, c->ts_offset), c->ts_recent};
	const struct path p = tcp_path(c);

	f.optlen = TS_OPTION;
	send_short(e, m, &f, &ts, &p, o->payload_sum, n);
}

void tcp_segment(struct engine *e, struct conn *c, struct rte_mbuf *m, const struct outgoing *o)
{
	uint16_t wnd = tcp_window(e, c) >> c->rcv_wscale;
	bool plain = c->ts_ok && !(c->dsack_pending || c->nofo_recent || c->snd_urgent || c->ecn_ok);
	const struct path p = tcp_path(c);
	struct neigh *n = plain ? short_way(e, m, &p, TCP_HDR + TS_OPTION) : NULL;

	if (n)
		segment_plain(e, c, m, o, wnd, n);
	else
		segment_any(e, c, m, o, wnd);
}
