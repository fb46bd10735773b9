/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wire.h - bytes to host-order structures and back: the only place that casts to a protocol header.  No length in a packet is
 * trusted: each is checked against the bytes that are there.  Ethernet II, IPv4 (RFC 791), ICMP (RFC 792), TCP (RFC 9293 3.1,
 * options of RFC 7323 and RFC 2018).
 */
#ifndef ENGINE_WIRE_H
#define ENGINE_WIRE_H

#include "engine/engine.h"
#include "engine/seq.h"

#define ETH_HDR 14
#define IPV4_HDR 20
#define IPV4_HDR_MAX 60
#define ICMP_HDR 8
#define ARP_LEN 28
#define TCP_HDR 20
#define TCP_OPT_MAX 40
#define SACK_BLOCKS_MAX 4
#define FO_COOKIE_MIN 4 /* RFC 7413 4.1.1 */
#define FO_COOKIE_MAX 16

enum tcp_flag {
	TH_FIN = 0x01,
	TH_SYN = 0x02,
	TH_RST = 0x04,
	TH_PSH = 0x08,
	TH_ACK = 0x10,
	TH_URG = 0x20,
	TH_ECE = 0x40,
	TH_CWR = 0x80
};
enum tcp_opt { OPT_MSS = 1, OPT_WSCALE = 2, OPT_SACK_PERMITTED = 4, OPT_TS = 8, OPT_SACK = 16 };

struct sack_block {
	seq_t start, end; /* end is one past the last */
};

/* The Fast Open option (RFC 7413 4.1.1): a cookie, or the request for one. */
struct fo_cookie {
	int8_t len; /* 0: a request; -1: no option, or one that makes no sense */
	bool exp;   /* in the shared experimental option of RFC 6994, as before RFC 7413 */
	uint8_t val[FO_COOKIE_MAX];
};

/* The ends of a flow as this host sees it: local is the destination of what arrives. */
struct tuple {
	struct ip_addr laddr, raddr;
	uint16_t lport, rport; /* host order */
};

/* A received TCP segment, in host order. */
struct seg {
	struct tuple t;
	seq_t seq, ack;
	uint32_t len; /* payload bytes, SYN and FIN not counted */
	uint16_t wnd; /* as on the wire, unscaled */
	uint16_t up;
	uint8_t flags; /* TH_* */
	uint8_t opts;  /* OPT_* that were present and well-formed */
	uint8_t wscale;
	uint8_t nsack;
	uint8_t tos;
	uint16_t mss;
	uint32_t tsval, tsecr;
	struct sack_block sack[SACK_BLOCKS_MAX];
	struct fo_cookie fo;  /* of a SYN */
	uint16_t payload_off; /* from the start of the TCP header */
	uint32_t hash;	      /* of the tuple; set by the input path */
};

/* RFC 9293 3.10.7.4: SEG.LEN counts SYN and FIN. */
static inline uint32_t seg_len(const struct seg *s)
{
	return s->len + !!(s->flags & TH_SYN) + !!(s->flags & TH_FIN);
}

enum wire_error { WIRE_OK = 0, WIRE_RUNT, WIRE_BAD_HEADER, WIRE_BAD_CSUM, WIRE_FRAGMENT, WIRE_BAD_OPTIONS, WIRE_BAD_ADDR };

struct eth_fields {
	const uint8_t *dst, *src; /* in the frame */
	uint16_t type;		  /* host order */
};
struct ipv4_fields {
	struct ip_addr saddr, daddr;
	uint16_t total_len, hdr_len, id;
	uint8_t proto, ttl, tos;
	bool dont_fragment;
	bool loopback; /* one of the addresses is of 127.0.0.0/8; set by the parser */
};

struct arp_fields {
	uint16_t op; /* ARP_* */
	uint8_t sha[6], tha[6];
	struct ip_addr spa, tpa;
};
enum arp_op { ARP_REQUEST = 1, ARP_REPLY = 2 };
/* The start of a packet of ours that an ICMP error quotes: t as this host sees the flow. */
struct quote {
	struct tuple t;
	seq_t seq;
	uint16_t total_len; /* by its IP header */
	uint16_t hdr_len;   /* of that */
};
struct icmp_fields {
	uint8_t type, code;
	uint16_t mtu; /* RFC 1191 section 4; of "fragmentation needed" only */
};

/* Parse len contiguous bytes at p. */
enum wire_error wire_parse_eth(const uint8_t *p, size_t len, struct eth_fields *f);
/*
 * Version, header length, total length <= len, header checksum (unless csum_ok), source and destination that may stand there (no
 * broadcast or multicast or class E source, no zero).  Fragments: WIRE_FRAGMENT.  Of a packet in several segments len may count
 * them all if the first holds IPV4_HDR_MAX bytes.
 */
enum wire_error wire_parse_ipv4(const uint8_t *p, size_t len, bool csum_ok, struct ipv4_fields *f);
/*
 * tot_len is the length of the whole segment by the IP header, len the contiguous bytes (at least the TCP header with options
 * must lie in them). Fills all of seg but hash; the checksum is not looked at.  A malformed option list is WIRE_BAD_OPTIONS (RFC
 * 9293 3.1: an option length that makes no sense ends parsing; what came before it stands), and the caller may still use the
 * segment.
 */
enum wire_error wire_parse_tcp(const uint8_t *p, size_t len, size_t tot_len, const struct ip_addr *saddr,
			       const struct ip_addr *daddr, struct seg *seg);
/* RFC 826 for Ethernet and IPv4: types, lengths, operation, and a sender that may be one (no group address). */
enum wire_error wire_parse_arp(const uint8_t *p, size_t len, struct arp_fields *f);
enum wire_error wire_parse_icmp(const uint8_t *p, size_t len, struct icmp_fields *f);
/*
 * An IPv4 header and at least 8 bytes of TCP, as an ICMP error quotes them: cut short, so lengths and checksums are not judged.
 * WIRE_BAD_HEADER: not the start of a TCP segment.
 */
enum wire_error wire_parse_quote(const uint8_t *p, size_t len, struct quote *q);
/* Pseudo-header's partial sum for either family (RFC 9293 3.1). */
uint32_t wire_pseudo_sum(const struct ip_addr *saddr, const struct ip_addr *daddr, uint8_t proto, uint32_t len);

/* Fields of a TCP header to be written. */
struct tcp_fields {
	uint16_t sport, dport;
	seq_t seq, ack;
	uint16_t wnd, up;
	uint8_t flags;
	uint8_t optlen; /* multiple of 4 */
	uint8_t opts[TCP_OPT_MAX];
};
/* Write header and options (checksum zero) at p: TCP_HDR + optlen bytes. Returns that length. */
unsigned wire_write_tcp(uint8_t *p, const struct tcp_fields *f);
void wire_set_tcp_csum(uint8_t *tcp, uint16_t folded_sum); /* stores the complement */
/* Options in Linux's order and padding, appended to f. */
void wire_opt_syn(struct tcp_fields *f, uint16_t mss, bool sack_permitted, bool ts, uint32_t tsval, uint32_t tsecr,
		  int wscale /* <0: none */);
void wire_opt_ts(struct tcp_fields *f, uint32_t tsval, uint32_t tsecr);
/* Appended with its padding if there is room; len -1: nothing. */
void wire_opt_fastopen(struct tcp_fields *f, const struct fo_cookie *fo);
/* As many of the n blocks as fit behind what is there. */
void wire_opt_sack(struct tcp_fields *f, const struct sack_block *b, unsigned n);
/* A 20-byte IPv4 header with DF set; checksum filled in unless offloaded. */
void wire_write_ipv4(uint8_t *p, const struct ipv4_fields *f, bool csum_offload);
/* ARP_LEN bytes. */
void wire_write_arp(uint8_t *p, const struct arp_fields *f);
/* Make an echo reply of the echo request at p: type and checksum (RFC 1624). */
void wire_echo_reply(uint8_t *p);
void wire_write_eth(uint8_t *p, const uint8_t dst[6], const uint8_t src[6], uint16_t type);

#endif
