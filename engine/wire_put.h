/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wire_put.h - the writers of wire.h, to be compiled into the one path that writes the headers of nearly every segment.  The sums
 * of what they write are taken from the registers that hold it.
 */
#ifndef ENGINE_WIRE_PUT_H
#define ENGINE_WIRE_PUT_H

#include <arpa/inet.h>
#include <string.h>

#include "engine/csum.h"
#include "engine/wire.h"

#define IPV4_VERSION 4
#define IPV4_FLAG_DF 0x4000
/* NOP, NOP, timestamps: how RFC 7323 appendix A advises to lay it out, and nearly every segment begins so. */
#define TS_ALIGNED 0x0101080a
#define TS_ALIGNED_LEN 12

static inline void put16(uint8_t *p, uint16_t v)
{
	v = htons(v);
	memcpy(p, &v, 2);
}

/* What lies in memory now, for the checksum. */
static inline uint32_t put32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, 4);
	return v;
}

static inline uint32_t put_v4(uint8_t *p, const struct ip_addr *a)
{
	memcpy(p, &a->w[3], 4);
	return a->w[3];
}

static inline void put_eth(uint8_t *p, const uint8_t dst[6], const uint8_t src[6], uint16_t type)
{
	memcpy(p, dst, 6);
	memcpy(p + 6, src, 6);
	put16(p + 12, type);
}

static inline void put_ipv4(uint8_t *p, const struct ipv4_fields *f, bool csum_offload)
{
	uint64_t sum = put32(p, (uint32_t)(IPV4_VERSION << 4 | IPV4_HDR / 4) << 24 | (uint32_t)f->tos << 16 | f->total_len);
	uint16_t csum;

	sum += put32(p + 4, (uint32_t)f->id << 16 | (f->dont_fragment ? IPV4_FLAG_DF : 0));
	sum += put32(p + 8, (uint32_t)f->ttl << 24 | (uint32_t)f->proto << 16);
	sum += put_v4(p + 12, &f->saddr);
	sum += put_v4(p + 16, &f->daddr);
	if (csum_offload)
		return;
	csum = ~csum_fold(sum);
	memcpy(p + 10, &csum, 2);
}

/* The header but for the options, checksum zero; its sum. */
static inline uint64_t put_tcp(uint8_t *p, const struct tcp_fields *f)
{
	uint64_t sum = put32(p, (uint32_t)f->sport << 16 | f->dport);

	sum += put32(p + 4, f->seq);
	sum += put32(p + 8, f->ack);
	sum += put32(p + 12, (uint32_t)(TCP_HDR + f->optlen) / 4 << 28 | (uint32_t)f->flags << 16 | f->wnd);
	return sum + put32(p + 16, f->up);
}

/* The options behind the header; their sum. */
static inline uint64_t put_options(uint8_t *p, const struct tcp_fields *f)
{
	uint64_t sum = 0;
	uint32_t word;

	for (unsigned i = 0; i < f->optlen; i += sizeof(word)) {
		memcpy(&word, f->opts + i, sizeof(word));
		memcpy(p + i, &word, sizeof(word));
		sum += word;
	}
	return sum;
}

/* The timestamps option with its padding; its sum. */
static inline uint64_t put_ts(uint8_t *p, uint32_t tsval, uint32_t tsecr)
{
	uint64_t sum = put32(p, TS_ALIGNED);

	sum += put32(p + 4, tsval);
	return sum + put32(p + 8, tsecr);
}

static inline void put_tcp_csum(uint8_t *tcp, uint16_t folded_sum)
{
	folded_sum = ~folded_sum;
	memcpy(tcp + 16, &folded_sum, 2);
}

#endif
