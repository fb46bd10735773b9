/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wire.c - bytes to host-order structures and back.  Nothing else in the engine but wire_put.h knows an offset within a header.
 * Every byte that is looked at was first checked to be there; a loop over options advances by at least one byte or ends.
 */
#include "engine/wire_put.h"

#define PROTO_TCP 6
#define V4_LOOPBACK 127
#define IPV4_FRAGMENT 0x3fff /* more fragments, and the offset */
#define IPV4_OFFSET 0x1fff
#define QUOTED_TCP 8 /* what RFC 792 promises of the transport header */
#define ETHERTYPE_IPV4 0x0800
#define ARP_HTYPE_ETHERNET 1
#define WSCALE_MAX 14 /* RFC 7323 section 2.3 */

/* Kinds and lengths of TCP options. */
enum {
	KIND_END,
	KIND_NOP,
	KIND_MSS,
	KIND_WSCALE,
	KIND_SACK_PERMITTED,
	KIND_SACK,
	KIND_TS = 8,
	KIND_FASTOPEN = 34,
	KIND_EXP = 254
};
enum { LEN_MSS = 4, LEN_WSCALE = 3, LEN_SACK_PERMITTED = 2, LEN_TS = 10, LEN_SACK_BLOCK = 8 };
#define EXP_FASTOPEN 0xf989 /* RFC 6994's ExID of Fast Open before it had a kind of its own */

static inline uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, 2);
	return ntohs(v);
}

static inline uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return ntohl(v);
}

static inline struct ip_addr get_v4(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return ip_from_v4(v);
}

/* ---- Ethernet and ARP ------------------------------------------------------------------------------------------------------ */

enum wire_error wire_parse_eth(const uint8_t *p, size_t len, struct eth_fields *f)
{
	if (len < ETH_HDR)
		return WIRE_RUNT;
	f->dst = p;
	f->src = p + 6;
	f->type = get16(p + 12);
	return WIRE_OK;
}

void wire_write_eth(uint8_t *p, const uint8_t dst[6], const uint8_t src[6], uint16_t type)
{
	put_eth(p, dst, src, type);
}

static bool mac_is_zero(const uint8_t mac[6])
{
	return !(mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]);
}

enum wire_error wire_parse_arp(const uint8_t *p, size_t len, struct arp_fields *f)
{
	if (len < ARP_LEN)
		return WIRE_RUNT;
	if (get16(p) != ARP_HTYPE_ETHERNET || get16(p + 2) != ETHERTYPE_IPV4 || p[4] != 6 || p[5] != 4)
		return WIRE_BAD_HEADER;
	f->op = get16(p + 6);
	memcpy(f->sha, p + 8, 6);
	f->spa = get_v4(p + 14);
	memcpy(f->tha, p + 18, 6);
	f->tpa = get_v4(p + 24);
	if (f->op != ARP_REQUEST && f->op != ARP_REPLY)
		return WIRE_BAD_HEADER;
	/* A group address can't be a sender (RFC 1812 3.3.2: such a reply must not be believed); nor can class D, E. */
	if ((f->sha[0] & 1) || mac_is_zero(f->sha) || p[14] >= 224)
		return WIRE_BAD_ADDR;
	return WIRE_OK;
}

void wire_write_arp(uint8_t *p, const struct arp_fields *f)
{
	put16(p, ARP_HTYPE_ETHERNET);
	put16(p + 2, ETHERTYPE_IPV4);
	p[4] = 6;
	p[5] = 4;
	put16(p + 6, f->op);
	memcpy(p + 8, f->sha, 6);
	put_v4(p + 14, &f->spa);
	memcpy(p + 18, f->tha, 6);
	put_v4(p + 24, &f->tpa);
}

/* ---- IPv4 and ICMP --------------------------------------------------------------------------------------------------------- */

/* RFC 1122 3.2.1.3: zero, a group, class E and the limited broadcast are no sources; first octets 224 to 255 cover all but zero.
 */
static bool v4_can_be_source(const uint8_t *p)
{
	return p[0] < 224 && get32(p) != 0;
}

/* Nearly all are of one length, for which the sum is a handful of additions. */
static inline uint64_t header_sum(const uint8_t *p, size_t len)
{
	return len == IPV4_HDR ? csum_short(p, IPV4_HDR) : csum_sum(p, len);
}

enum wire_error wire_parse_ipv4(const uint8_t *p, size_t len, bool csum_ok, struct ipv4_fields *f)
{
	uint16_t frag;

	if (len < IPV4_HDR)
		return WIRE_RUNT;
	f->hdr_len = (p[0] & 0x0f) * 4;
	f->total_len = get16(p + 2);
	if (p[0] >> 4 != IPV4_VERSION || f->hdr_len < IPV4_HDR || f->total_len < f->hdr_len || f->total_len > len)
		return WIRE_BAD_HEADER;
	if (!csum_ok && !csum_good(header_sum(p, f->hdr_len)))
		return WIRE_BAD_CSUM;
	frag = get16(p + 6);
	if (frag & IPV4_FRAGMENT)
		return WIRE_FRAGMENT;
	if (!v4_can_be_source(p + 12) || get32(p + 16) == 0)
		return WIRE_BAD_ADDR;
	f->tos = p[1];
	f->id = get16(p + 4);
	f->dont_fragment = frag & IPV4_FLAG_DF;
	f->ttl = p[8];
	f->proto = p[9];
	f->loopback = p[12] == V4_LOOPBACK || p[16] == V4_LOOPBACK;
	f->saddr = get_v4(p + 12);
	f->daddr = get_v4(p + 16);
	return WIRE_OK;
}

void wire_write_ipv4(uint8_t *p, const struct ipv4_fields *f, bool csum_offload)
{
	put_ipv4(p, f, csum_offload);
}

enum wire_error wire_parse_icmp(const uint8_t *p, size_t len, struct icmp_fields *f)
{
	if (len < ICMP_HDR)
		return WIRE_RUNT;
	f->type = p[0];
	f->code = p[1];
	f->mtu = get16(p + 6);
	return WIRE_OK;
}

void wire_echo_reply(uint8_t *p)
{
	uint16_t sum;
	uint8_t was[2] = {p[0], p[1]}, is[2] = {0, p[1]};

	/* RFC 1624: HC' = ~(~HC + ~m + m'). */
	memcpy(&sum, p + 2, 2);
	sum = ~csum_fold((uint64_t)(uint16_t)~sum + (uint16_t)~csum_partial(was, 2) + csum_partial(is, 2));
	/* Both zeros mean the same, but a message of nothing but zeros is verified with this one only. */
	if (!sum)
		sum = 0xffff;
	memcpy(p + 2, &sum, 2);
	p[0] = is[0];
}

enum wire_error wire_parse_quote(const uint8_t *p, size_t len, struct quote *q)
{
	size_t hdr_len;

	if (len < IPV4_HDR)
		return WIRE_RUNT;
	hdr_len = (p[0] & 0x0f) * 4;
	if (p[0] >> 4 != IPV4_VERSION || hdr_len < IPV4_HDR || p[9] != PROTO_TCP || (get16(p + 6) & IPV4_OFFSET))
		return WIRE_BAD_HEADER;
	if (len < hdr_len + QUOTED_TCP)
		return WIRE_RUNT;
	q->total_len = get16(p + 2);
	q->hdr_len = (uint16_t)hdr_len;
	q->t.laddr = get_v4(p + 12);
	q->t.raddr = get_v4(p + 16);
	p += hdr_len;
	q->t.lport = get16(p);
	q->t.rport = get16(p + 2);
	q->seq = get32(p + 4);
	return WIRE_OK;
}

/* ---- TCP ------------------------------------------------------------------------------------------------------------------- */

uint32_t wire_pseudo_sum(const struct ip_addr *saddr, const struct ip_addr *daddr, uint8_t proto, uint32_t len)
{
	uint64_t sum = (uint64_t)htonl(proto) + htonl(len);

	if (ip_is_v4(daddr)) {
		sum += (uint64_t)saddr->w[3] + daddr->w[3];
	} else {
		for (unsigned i = 0; i < 4; i++)
			sum += (uint64_t)saddr->w[i] + daddr->w[i];
	}
	return csum_fold(sum);
}

static void parse_sack(const uint8_t *p, unsigned len, struct seg *s)
{
	if (len % LEN_SACK_BLOCK || !len || len > SACK_BLOCKS_MAX * LEN_SACK_BLOCK)
		return;
	s->nsack = len / LEN_SACK_BLOCK;
	s->opts |= OPT_SACK;
	for (unsigned i = 0; i < s->nsack; i++, p += LEN_SACK_BLOCK) {
		s->sack[i].start = get32(p);
		s->sack[i].end = get32(p + 4);
	}
}

static void parse_ts(const uint8_t *p, struct seg *s)
{
	s->tsval = get32(p);
	s->tsecr = get32(p + 4);
	s->opts |= OPT_TS;
}

/* len bytes of cookie at p.  One of an impossible length is as good as none (RFC 7413 4.1.1: even, 4 to 16). */
static void parse_fastopen(const uint8_t *p, unsigned len, bool exp, struct seg *s)
{
	bool possible = !len || (len >= FO_COOKIE_MIN && len <= FO_COOKIE_MAX && len % 2 == 0);

	if (len % 2)
		return;
	s->fo.len = possible ? (int8_t)len : -1;
	s->fo.exp = exp;
	if (possible)
		memcpy(s->fo.val, p, len);
}

/* Options that mean something on a SYN only (RFC 9293 3.7.1, RFC 7323 2.2, RFC 2018 2). */
static void parse_syn_option(const uint8_t *p, unsigned kind, unsigned len, struct seg *s)
{
	if (kind == KIND_MSS && len == LEN_MSS && get16(p + 2)) {
		s->mss = get16(p + 2);
		s->opts |= OPT_MSS;
	} else if (kind == KIND_WSCALE && len == LEN_WSCALE) {
		s->wscale = p[2] > WSCALE_MAX ? WSCALE_MAX : p[2];
		s->opts |= OPT_WSCALE;
	} else if (kind == KIND_SACK_PERMITTED && len == LEN_SACK_PERMITTED) {
		s->opts |= OPT_SACK_PERMITTED;
	} else if (kind == KIND_FASTOPEN) {
		parse_fastopen(p + 2, len - 2, false, s);
	} else if (kind == KIND_EXP && len >= 4 && get16(p + 2) == EXP_FASTOPEN) {
		parse_fastopen(p + 4, len - 4, true, s);
	}
}

/* One option of len >= 2 bytes at p, all there.  A known kind with another length than its own is passed over, as an unknown one.
 */
static void parse_option(const uint8_t *p, unsigned kind, unsigned len, struct seg *s)
{
	if (kind == KIND_TS && len == LEN_TS)
		parse_ts(p + 2, s);
	else if (kind == KIND_SACK)
		parse_sack(p + 2, len - 2, s);
	else if (s->flags & TH_SYN)
		parse_syn_option(p, kind, len, s);
}

static enum wire_error parse_options(const uint8_t *p, size_t len, struct seg *s)
{
	if (len >= TS_ALIGNED_LEN && get32(p) == TS_ALIGNED) {
		parse_ts(p + 4, s);
		p += TS_ALIGNED_LEN;
		len -= TS_ALIGNED_LEN;
	}
	while (len && *p != KIND_END) {
		unsigned n;

		if (*p == KIND_NOP) {
			p++;
			len--;
			continue;
		}
		n = len < 2 ? 0 : p[1];
		if (n < 2 || n > len)
			return WIRE_BAD_OPTIONS;
		parse_option(p, *p, n, s);
		p += n;
		len -= n;
	}
	return WIRE_OK;
}

enum wire_error wire_parse_tcp(const uint8_t *p, size_t len, size_t tot_len, const struct ip_addr *saddr,
			       const struct ip_addr *daddr, struct seg *seg)
{
	size_t hdr_len;

	if (len < TCP_HDR || tot_len < TCP_HDR)
		return WIRE_RUNT;
	hdr_len = (p[12] >> 4) * 4;
	if (hdr_len < TCP_HDR || hdr_len > tot_len)
		return WIRE_BAD_HEADER;
	if (hdr_len > len)
		return WIRE_RUNT;
	seg->t.laddr = *daddr;
	seg->t.raddr = *saddr;
	seg->t.rport = get16(p);
	seg->t.lport = get16(p + 2);
	/* RFC 6335 section 6: port 0 is reserved, nobody can be there. */
	if (!seg->t.rport || !seg->t.lport)
		return WIRE_BAD_HEADER;
	seg->seq = get32(p + 4);
	seg->ack = get32(p + 8);
	seg->flags = p[13];
	seg->wnd = get16(p + 14);
	seg->up = get16(p + 18);
	seg->payload_off = hdr_len;
	seg->len = tot_len - hdr_len;
	seg->opts = seg->nsack = seg->wscale = seg->tos = 0;
	seg->mss = 0;
	seg->fo.len = -1;
	seg->fo.exp = false;
	seg->tsval = seg->tsecr = 0;
	return parse_options(p + TCP_HDR, hdr_len - TCP_HDR, seg);
}

unsigned wire_write_tcp(uint8_t *p, const struct tcp_fields *f)
{
	put_tcp(p, f);
	memcpy(p + TCP_HDR, f->opts, f->optlen);
	return TCP_HDR + f->optlen;
}

void wire_set_tcp_csum(uint8_t *tcp, uint16_t folded_sum)
{
	put_tcp_csum(tcp, folded_sum);
}

/* Room for n more bytes of options; the caller's mistake otherwise, and then nothing is added. */
static uint8_t *opt_room(struct tcp_fields *f, unsigned n)
{
	uint8_t *p = f->opts + f->optlen;

	if (f->optlen + n > TCP_OPT_MAX)
		return NULL;
	f->optlen += n;
	return p;
}

static void opt_word(struct tcp_fields *f, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	const uint8_t word[4] = {a, b, c, d};
	uint8_t *p = opt_room(f, sizeof(word));

	if (p)
		memcpy(p, word, sizeof(word));
}

static void opt_pair(struct tcp_fields *f, uint32_t a, uint32_t b)
{
	uint8_t *p = opt_room(f, 8);

	if (!p)
		return;
	put32(p, a);
	put32(p + 4, b);
}

void wire_opt_syn(struct tcp_fields *f, uint16_t mss, bool sack_permitted, bool ts, uint32_t tsval, uint32_t tsecr, int wscale)
{
	opt_word(f, KIND_MSS, LEN_MSS, mss >> 8, mss & 0xff);
	if (ts && sack_permitted)
		opt_word(f, KIND_SACK_PERMITTED, LEN_SACK_PERMITTED, KIND_TS, LEN_TS);
	else if (ts)
		opt_word(f, KIND_NOP, KIND_NOP, KIND_TS, LEN_TS);
	else if (sack_permitted)
		opt_word(f, KIND_NOP, KIND_NOP, KIND_SACK_PERMITTED, LEN_SACK_PERMITTED);
	if (ts)
		opt_pair(f, tsval, tsecr);
	if (wscale >= 0)
		opt_word(f, KIND_NOP, KIND_WSCALE, LEN_WSCALE, wscale);
}

void wire_opt_ts(struct tcp_fields *f, uint32_t tsval, uint32_t tsecr)
{
	uint8_t *p = opt_room(f, TS_ALIGNED_LEN);

	if (p)
		put_ts(p, tsval, tsecr);
}

void wire_opt_fastopen(struct tcp_fields *f, const struct fo_cookie *fo)
{
	unsigned base, len, padded;
	uint8_t *p;

	if (fo->len < 0)
		return; /* no option: the rest says nothing */
	base = fo->exp ? 4 : 2;
	len = base + (unsigned)fo->len;
	padded = (len + 3) / 4 * 4;
	p = opt_room(f, padded);
	if (!p)
		return;
	memset(p, KIND_NOP, padded);
	p[0] = fo->exp ? KIND_EXP : KIND_FASTOPEN;
	p[1] = (uint8_t)len;
	if (fo->exp)
		put16(p + 2, EXP_FASTOPEN);
	memcpy(p + base, fo->val, (size_t)fo->len);
}

void wire_opt_sack(struct tcp_fields *f, const struct sack_block *b, unsigned n)
{
	unsigned fit = f->optlen + 4 > TCP_OPT_MAX ? 0 : (TCP_OPT_MAX - f->optlen - 4u) / LEN_SACK_BLOCK;

	if (n > fit)
		n = fit;
	if (!n)
		return;
	opt_word(f, KIND_NOP, KIND_NOP, KIND_SACK, 2 + n * LEN_SACK_BLOCK);
	for (unsigned i = 0; i < n; i++)
		opt_pair(f, b[i].start, b[i].end);
}
