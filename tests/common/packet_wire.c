/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet_wire.c - packets to and from the bytes of an Ethernet frame.  Written apart from the engine's wire.c on purpose: a
 * mistake in one is not hidden by the same mistake in the other.
 */
#include <arpa/inet.h>
#include <string.h>

#include "tests/common/packet.h"

#define ETH_LEN 14
#define IP_LEN 20
#define TCP_LEN 20
#define ICMP_LEN 8
#define ARP_LEN 28
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP_ 0x0806
#define IP_DF 0x4000
#define IP_MF 0x2000

/* Bytes written or read so far; a read past the end sets failed. */
struct cursor {
	uint8_t *p;
	size_t n, size;
	bool failed;
};

uint8_t packet_pattern(uint64_t offset)
{
	return (uint8_t)(offset * 167 + (offset >> 8) * 13 + 7);
}

static void put(struct cursor *c, uint64_t v, unsigned bytes)
{
	if (c->n + bytes > c->size) {
		c->failed = true;
		return;
	}
	while (bytes--)
		c->p[c->n++] = (uint8_t)(v >> (8 * bytes));
}

static void put_bytes(struct cursor *c, const void *from, size_t n)
{
	if (c->n + n > c->size) {
		c->failed = true;
		return;
	}
	memcpy(c->p + c->n, from, n);
	c->n += n;
}

static uint32_t get(struct cursor *c, unsigned bytes)
{
	uint32_t v = 0;

	if (c->n + bytes > c->size) {
		c->failed = true;
		return 0;
	}
	while (bytes--)
		v = v << 8 | c->p[c->n++];
	return v;
}

static uint32_t sum16(const uint8_t *p, size_t n, uint32_t sum)
{
	for (; n > 1; n -= 2, p += 2)
		sum += (uint32_t)(p[0] << 8 | p[1]);
	return n ? sum + (uint32_t)(p[0] << 8) : sum;
}

/* The Internet checksum (RFC 1071) over what sum already holds and these bytes. */
static uint16_t checksum(const uint8_t *p, size_t n, uint32_t sum)
{
	sum = sum16(p, n, sum);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t pseudo_sum(uint32_t src, uint32_t dst, uint8_t proto, size_t len)
{
	uint32_t sum = sum16((uint8_t *)&src, 4, 0);

	return sum16((uint8_t *)&dst, 4, sum) + proto + (uint32_t)len;
}

static void poke16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void build_option(struct cursor *c, const struct tcp_opt *o)
{
	switch (o->kind) {
	case OPT_EOL:
	case OPT_NOP:
		put(c, o->kind, 1);
		break;
	case OPT_MSS:
		put(c, OPT_MSS << 24 | 4 << 16 | o->a, 4);
		break;
	case OPT_WSCALE:
		put(c, OPT_WSCALE << 16 | 3 << 8 | o->a, 3);
		break;
	case OPT_SACKOK:
		put(c, OPT_SACKOK << 8 | 2, 2);
		break;
	case OPT_SACK:
		put(c, OPT_SACK << 8 | (2u + 8u * o->nsacks), 2);
		for (unsigned i = 0; i < o->nsacks; i++)
			put(c, (uint64_t)o->sack[i][0] << 32 | o->sack[i][1], 8);
		break;
	case OPT_TS:
		put(c, OPT_TS << 8 | 10, 2);
		put(c, (uint64_t)o->a << 32 | o->b, 8);
		break;
	case OPT_FO:
		put(c, OPT_FO << 8 | (2u + o->nraw), 2);
		put_bytes(c, o->raw, o->nraw);
		break;
	case OPT_EXP:
		put(c, OPT_EXP << 8 | (4u + o->nraw), 2);
		put(c, EXP_FASTOPEN, 2);
		put_bytes(c, o->raw, o->nraw);
		break;
	default:
		put_bytes(c, o->raw, o->nraw);
	}
}

static void build_pattern(struct cursor *c, uint64_t offset, uint32_t len)
{
	for (uint32_t i = 0; i < len && !c->failed; i++)
		put(c, packet_pattern(offset + i), 1);
}

static void build_tcp(struct cursor *c, const struct packet *p, uint64_t payload_offset)
{
	const struct tcp_part *t = &p->tcp;
	size_t start = c->n;

	put(c, p->src_port, 2);
	put(c, p->dst_port, 2);
	put(c, t->seq, 4);
	put(c, t->ack, 4);
	put(c, (uint64_t)t->flags, 2);
	put(c, t->win < 0 ? 0 : (uint64_t)t->win, 2);
	put(c, 0, 2);
	put(c, t->urg < 0 ? 0 : (uint64_t)t->urg, 2);
	for (unsigned i = 0; i < t->nopts; i++)
		build_option(c, &t->opt[i]);
	while ((c->n - start) % 4)
		put(c, OPT_EOL, 1);
	if (c->n - start > 60)
		c->failed = true;
	c->p[start + 12] = (uint8_t)((c->n - start) / 4 << 4);
	build_pattern(c, payload_offset, t->len);
}

/* What an ICMP error quotes: the IP header and the first eight bytes of the TCP header of a packet that went the other way (RFC
 * 792). */
static void build_quote(struct cursor *c, const struct packet *p)
{
	uint8_t *ip = c->p + c->n;

	put(c, 0x4500, 2);
	put(c, IP_LEN + TCP_LEN + p->icmp.len, 2);
	put(c, IP_DF, 4);
	put(c, 64 << 8 | IPPROTO_TCP, 2);
	put(c, 0, 2);
	put_bytes(c, &p->ip.dst, 4);
	put_bytes(c, &p->ip.src, 4);
	if (!c->failed)
		poke16(ip + 10, checksum(ip, IP_LEN, 0));
	put(c, p->dst_port, 2);
	put(c, p->src_port, 2);
	put(c, p->icmp.seq, 4);
}

static void build_icmp(struct cursor *c, const struct packet *p, uint64_t payload_offset)
{
	const struct icmp_part *i = &p->icmp;
	bool echo = i->type == 8 || i->type == 0;

	put(c, i->type, 1);
	put(c, i->code, 1);
	put(c, 0, 2);
	put(c, echo ? i->id : 0, 2);
	put(c, echo ? i->echo_seq : i->mtu, 2);
	if (i->quotes)
		build_quote(c, p);
	build_pattern(c, payload_offset, i->payload);
}

/* Checksums last, over what was built; a packet may ask for wrong ones. */
static void finish_ip(struct cursor *c, const struct packet *p, uint8_t proto)
{
	uint8_t *ip = c->p + ETH_LEN, *l4 = ip + IP_LEN;
	size_t len = c->n - ETH_LEN - IP_LEN;
	uint16_t sum;

	poke16(ip + 2, (uint16_t)(c->n - ETH_LEN));
	poke16(ip + 10, (uint16_t)(checksum(ip, IP_LEN, 0) ^ (p->ip.bad_sum ? 0x0100 : 0)));
	if (proto == IPPROTO_TCP)
		sum = checksum(l4, len, pseudo_sum(p->ip.src, p->ip.dst, proto, len));
	else
		sum = checksum(l4, len, 0);
	poke16(l4 + (proto == IPPROTO_TCP ? 16 : 2), (uint16_t)(sum ^ (p->ip.bad_payload_sum ? 0x0100 : 0)));
}

static void build_arp(struct cursor *c, const struct packet *p, const uint8_t src_mac[6], const uint8_t dst_mac[6])
{
	static const uint8_t unknown[6];

	put(c, 0x00010800, 4);
	put(c, 0x0604, 2);
	put(c, p->arp.op, 2);
	put_bytes(c, p->arp.op == 2 ? p->arp.sha : src_mac, 6);
	put_bytes(c, &p->arp.spa, 4);
	put_bytes(c, p->arp.op == 2 ? dst_mac : unknown, 6);
	put_bytes(c, &p->arp.tpa, 4);
}

size_t packet_build(const struct packet *p, const uint8_t dst_mac[6], const uint8_t src_mac[6], uint64_t payload_offset,
		    uint8_t *frame, size_t size)
{
	struct cursor c = {.p = frame, .size = size};
	uint8_t proto = p->kind == PACKET_TCP ? IPPROTO_TCP : IPPROTO_ICMP;

	put_bytes(&c, dst_mac, 6);
	put_bytes(&c, src_mac, 6);
	put(&c, p->kind == PACKET_ARP ? ETHERTYPE_ARP_ : ETHERTYPE_IPV4, 2);
	if (p->kind == PACKET_ARP) {
		build_arp(&c, p, src_mac, dst_mac);
		return c.failed ? 0 : c.n;
	}
	put(&c, 0x4500 | (p->ip.ecn > 0 ? (unsigned)p->ip.ecn : 0), 2);
	put(&c, 0, 4);
	put(&c, p->ip.more_fragments ? IP_MF : IP_DF, 2);
	put(&c, p->ip.ttl < 0 ? 64 : (uint64_t)p->ip.ttl, 1);
	put(&c, proto, 1);
	put(&c, 0, 2);
	put_bytes(&c, &p->ip.src, 4);
	put_bytes(&c, &p->ip.dst, 4);
	if (p->kind == PACKET_TCP)
		build_tcp(&c, p, payload_offset);
	else
		build_icmp(&c, p, payload_offset);
	if (c.failed)
		return 0;
	finish_ip(&c, p, proto);
	return c.n;
}

static void decode_cookie(struct cursor *c, struct tcp_opt *o, unsigned len)
{
	for (o->nraw = 0; o->nraw < len && !c->failed; o->nraw++)
		o->raw[o->nraw] = (uint8_t)get(c, 1);
}

static bool decode_option(struct cursor *c, struct tcp_opt *o)
{
	unsigned len;

	o->kind = (uint16_t)get(c, 1);
	if (o->kind == OPT_EOL || o->kind == OPT_NOP)
		return !c->failed;
	len = get(c, 1);
	if (o->kind == OPT_MSS && len == 4) {
		o->a = get(c, 2);
	} else if (o->kind == OPT_WSCALE && len == 3) {
		o->a = get(c, 1);
	} else if (o->kind == OPT_TS && len == 10) {
		o->a = get(c, 4);
		o->b = get(c, 4);
	} else if (o->kind == OPT_SACK && len >= 10 && len <= 34 && len % 8 == 2) {
		for (o->nsacks = 0; o->nsacks < len / 8; o->nsacks++) {
			o->sack[o->nsacks][0] = get(c, 4);
			o->sack[o->nsacks][1] = get(c, 4);
		}
	} else if (o->kind == OPT_FO && len >= 2 && len <= 18) {
		decode_cookie(c, o, len - 2);
	} else if (o->kind == OPT_EXP && len >= 4 && len <= 20) {
		if (get(c, 2) != EXP_FASTOPEN)
			return false;
		decode_cookie(c, o, len - 4);
	} else if (o->kind != OPT_SACKOK || len != 2) {
		return false;
	}
	return !c->failed;
}

static const char *decode_tcp(struct cursor *c, struct packet *p, const uint8_t **payload)
{
	struct tcp_part *t = &p->tcp;
	uint8_t *start = c->p + c->n;
	size_t len = c->size - c->n, end;
	uint32_t word;

	p->kind = PACKET_TCP;
	p->src_port = (uint16_t)get(c, 2);
	p->dst_port = (uint16_t)get(c, 2);
	t->seq = get(c, 4);
	t->ack = get(c, 4);
	word = get(c, 4);
	get(c, 2);
	t->urg = (int32_t)get(c, 2);
	end = c->n - TCP_LEN + (word >> 28) * 4;
	if (c->failed || word >> 28 < 5 || end > c->size)
		return "TCP header with a wrong length";
	if (checksum(start, len, pseudo_sum(p->ip.src, p->ip.dst, IPPROTO_TCP, len)))
		return "wrong TCP checksum";
	if (word >> 24 & 0x0f)
		return "reserved TCP bits set";
	t->flags = (uint8_t)(word >> 16);
	t->win = (int32_t)(word & 0xffff);
	t->len = (uint32_t)(c->size - end);
	*payload = c->p + end;
	while (c->n < end) {
		struct cursor opts = {.p = c->p, .n = c->n, .size = end};

		if (!decode_option(&opts, &t->opt[t->nopts++]))
			return "malformed TCP option";
		c->n = opts.n;
	}
	return NULL;
}

static const char *decode_icmp(struct cursor *c, struct packet *p, const uint8_t **payload)
{
	struct icmp_part *i = &p->icmp;

	p->kind = PACKET_ICMP;
	if (checksum(c->p + c->n, c->size - c->n, 0))
		return "wrong ICMP checksum";
	i->type = (uint8_t)get(c, 1);
	i->code = (uint8_t)get(c, 1);
	get(c, 2);
	i->id = (uint16_t)get(c, 2);
	i->echo_seq = (uint16_t)get(c, 2);
	if (c->failed)
		return "ICMP header with a wrong length";
	i->payload = (uint32_t)(c->size - c->n);
	*payload = c->p + c->n;
	return NULL;
}

static const char *decode_arp(struct cursor *c, struct packet *p)
{
	uint32_t hw = get(c, 4), sizes = get(c, 2);
	const uint8_t *rest;

	p->kind = PACKET_ARP;
	p->arp.op = (uint16_t)get(c, 2);
	if (c->failed || c->size < ETH_LEN + ARP_LEN || hw != 0x00010800 || sizes != 0x0604)
		return "malformed ARP packet";
	rest = c->p + c->n;
	memcpy(p->arp.sha, rest, 6);
	memcpy(&p->arp.spa, rest + 6, 4);
	memcpy(&p->arp.tpa, rest + 16, 4);
	if (memcmp(p->arp.sha, c->p + 6, 6))
		return "ARP sender differs from the Ethernet source";
	return NULL;
}

const char *packet_decode(const uint8_t *frame, size_t len, struct packet *p, const uint8_t **payload)
{
	struct cursor c = {.p = (uint8_t *)(uintptr_t)frame, .n = 12, .size = len};
	uint32_t type = get(&c, 2), word, total, proto;

	memset(p, 0, sizeof(*p));
	*payload = NULL;
	if (type == ETHERTYPE_ARP_)
		return decode_arp(&c, p);
	word = get(&c, 2);
	total = get(&c, 2);
	if (c.failed || type != ETHERTYPE_IPV4 || word >> 8 != 0x45 || total < IP_LEN || total + ETH_LEN > len)
		return "not an IPv4 packet of 20 header bytes and the length it says";
	if (checksum(frame + ETH_LEN, IP_LEN, 0))
		return "wrong IP header checksum";
	c.size = ETH_LEN + total;
	p->ip.ecn = word & 3;
	get(&c, 2);
	word = get(&c, 2);
	if (word & ~(uint32_t)IP_DF)
		return "an IP fragment";
	p->ip.may_fragment = !(word & IP_DF);
	p->ip.ttl = (int)get(&c, 1);
	proto = get(&c, 1);
	get(&c, 2);
	memcpy(&p->ip.src, frame + c.n, 4);
	memcpy(&p->ip.dst, frame + c.n + 4, 4);
	c.n += 8;
	if (proto == IPPROTO_TCP)
		return decode_tcp(&c, p, payload);
	return proto == IPPROTO_ICMP ? decode_icmp(&c, p, payload) : "neither TCP nor ICMP";
}
