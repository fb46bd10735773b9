/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * offload.c - a network card's work in software; see offload.h.  The rules are those of rte_mbuf_core.h: header lengths given,
 * TCP checksum preset to the pseudo header's sum, without the length when segmentation is asked for.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>

#include "engine/engine.h"
#include "tests/common/offload.h"

#define ETH_LEN 14
#define FRAME_MAX (65535 + ETH_LEN)

struct job {
	uint8_t frame[FRAME_MAX]; /* the whole packet in one piece */
	uint8_t cut[FRAME_MAX];	  /* one segment of it */
	size_t len;
};

/* One thread, one packet at a time: too large for a stack. */
static struct job job;

static const char *gather(const struct rte_mbuf *m, const struct offload_card *card)
{
	unsigned segs = 0;

	job.len = 0;
	for (const struct rte_mbuf *s = m; s; s = s->next, segs++) {
		if (job.len + s->data_len > FRAME_MAX)
			return "longer than any packet";
		memcpy(job.frame + job.len, rte_pktmbuf_mtod(s, void *), s->data_len);
		job.len += s->data_len;
	}
	if (segs != m->nb_segs || job.len != m->pkt_len)
		return "nb_segs or pkt_len does not fit the chain";
	if (card->parts && segs > card->parts)
		return "scattered over more mbufs than the port takes";
	if (segs > 1 && !(card->caps & ENGINE_TX_MULTI_SEG))
		return "scattered over several mbufs without ENGINE_TX_MULTI_SEG";
	return job.len < ETH_LEN ? "shorter than an Ethernet header" : NULL;
}

static const char *check_request(const struct rte_mbuf *m, unsigned caps)
{
	uint64_t flags = m->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK;

	if (flags & RTE_MBUF_F_TX_IP_CKSUM && !(caps & ENGINE_TX_IP_CSUM))
		return "IP checksum offload that the port cannot do";
	if (flags & RTE_MBUF_F_TX_TCP_SEG && !(caps & ENGINE_TX_TSO))
		return "segmentation that the port cannot do";
	if ((flags & RTE_MBUF_F_TX_L4_MASK) && !(caps & ENGINE_TX_TCP_CSUM))
		return "TCP checksum offload that the port cannot do";
	if (flags && !(flags & RTE_MBUF_F_TX_IPV4))
		return "offload without RTE_MBUF_F_TX_IPV4";
	if (flags && (m->l2_len != ETH_LEN || m->l3_len != sizeof(struct rte_ipv4_hdr)))
		return "offload with wrong l2_len or l3_len";
	if (flags & RTE_MBUF_F_TX_TCP_SEG && (!m->tso_segsz || m->l4_len < sizeof(struct rte_tcp_hdr)))
		return "segmentation with wrong l4_len or tso_segsz";
	if (flags & RTE_MBUF_F_TX_TCP_SEG && !(flags & RTE_MBUF_F_TX_IP_CKSUM))
		return "segmentation without RTE_MBUF_F_TX_IP_CKSUM";
	return NULL;
}

/* Fill in the checksums that were asked for. */
static void fill_checksums(uint8_t *frame, uint64_t flags)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(frame + ETH_LEN);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(ip + 1);

	if (flags & RTE_MBUF_F_TX_IP_CKSUM) {
		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	}
	if (flags & (RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG)) {
		tcp->cksum = 0;
		tcp->cksum = rte_ipv4_udptcp_cksum(ip, tcp);
	}
}

/* Is the checksum field preset as the card expects it? */
static bool preset_right(uint64_t flags)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(job.frame + ETH_LEN);
	const struct rte_tcp_hdr *tcp = (const struct rte_tcp_hdr *)(ip + 1);

	if (!(flags & (RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG)))
		return true;
	return tcp->cksum == rte_ipv4_phdr_cksum(ip, flags);
}

/* The piece of the payload from `at`, n bytes, as a packet of its own: numbering and flags as every card does it. */
static size_t cut_segment(const struct rte_mbuf *m, size_t head, size_t at, size_t n, unsigned index)
{
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(job.cut + ETH_LEN);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(ip + 1);

	memcpy(job.cut, job.frame, head);
	memcpy(job.cut + head, job.frame + head + at, n);
	ip->total_length = rte_cpu_to_be_16((uint16_t)(head - ETH_LEN + n));
	ip->packet_id = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->packet_id) + index));
	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + (uint32_t)at);
	if (head + at + n < job.len)
		tcp->tcp_flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	if (index)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
	fill_checksums(job.cut, m->ol_flags);
	return head + n;
}

static const char *segment(const struct rte_mbuf *m, unsigned mtu, void (*sink)(void *, const uint8_t *, size_t), void *arg)
{
	size_t head = m->l2_len + m->l3_len + m->l4_len, at = 0, n;

	if (head > job.len)
		return "shorter than its headers";
	if (head - ETH_LEN + m->tso_segsz > mtu)
		return "segments of tso_segsz do not fit the MTU";
	for (unsigned i = 0; at == 0 || head + at < job.len; i++, at += n) {
		n = job.len - head - at < m->tso_segsz ? job.len - head - at : m->tso_segsz;
		sink(arg, job.cut, cut_segment(m, head, at, n, i));
		if (!n)
			break;
	}
	return NULL;
}

const char *offload_finish(const struct rte_mbuf *m, const struct offload_card *card,
			   void (*sink)(void *arg, const uint8_t *frame, size_t len), void *arg)
{
	const char *fault = gather(m, card);

	if (!fault)
		fault = check_request(m, card->caps);
	if (!fault && !preset_right(m->ol_flags))
		fault = "TCP checksum is not preset to the pseudo header's";
	if (fault)
		return fault;
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		return segment(m, card->mtu, sink, arg);
	if (job.len > card->mtu + ETH_LEN)
		return "longer than the MTU";
	fill_checksums(job.frame, m->ol_flags);
	sink(arg, job.frame, job.len);
	return NULL;
}

static bool is_tcp(const struct rte_mbuf *m)
{
	const uint8_t *f = rte_pktmbuf_mtod(m, const uint8_t *);

	return m->data_len >= ETH_LEN + sizeof(struct rte_ipv4_hdr) && f[12] == 0x08 && f[13] == 0x00 && f[14] == 0x45 &&
	       f[ETH_LEN + 9] == IPPROTO_TCP;
}

void offload_mark_received(struct rte_mbuf *m)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, ETH_LEN);
	bool ip_good, tcp_good;

	if (!is_tcp(m) || m->nb_segs > 1 || rte_be_to_cpu_16(ip->total_length) + ETH_LEN > m->data_len)
		return;
	ip_good = rte_ipv4_cksum(ip) == 0;
	tcp_good = rte_ipv4_udptcp_cksum_verify(ip, ip + 1) == 0;
	m->ol_flags |= ip_good ? RTE_MBUF_F_RX_IP_CKSUM_GOOD : RTE_MBUF_F_RX_IP_CKSUM_BAD;
	m->ol_flags |= tcp_good ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : RTE_MBUF_F_RX_L4_CKSUM_BAD;
}
