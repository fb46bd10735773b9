/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet.h - a packet as scripts speak of it, and its two other forms: bytes of an Ethernet frame and a line of text.
 *
 * The same struct holds an expectation (with "not checked" marks), a packet to be injected and a decoded packet of the engine's.
 * Sequence numbers are as in the script or as on the wire, depending on which side of flow.h the packet is.
 */
#ifndef TEST_PACKET_H
#define TEST_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum packet_kind { PACKET_TCP, PACKET_ICMP, PACKET_ARP };

#define FLAG_FIN 0x01
#define FLAG_SYN 0x02
#define FLAG_RST 0x04
#define FLAG_PSH 0x08
#define FLAG_ACK 0x10
#define FLAG_URG 0x20
#define FLAG_ECE 0x40
#define FLAG_CWR 0x80

enum {
	OPT_EOL = 0,
	OPT_NOP = 1,
	OPT_MSS = 2,
	OPT_WSCALE = 3,
	OPT_SACKOK = 4,
	OPT_SACK = 5,
	OPT_TS = 8,
	OPT_FO = 34,
	OPT_EXP = 254,
	OPT_RAW = 256
};
/* RFC 6994's ExID of Fast Open, which OPT_EXP stands for here. */
#define EXP_FASTOPEN 0xf989

#define PACKET_OPTS_MAX 40
#define PACKET_SACKS_MAX 4

/* One TCP option. */
struct tcp_opt {
	uint16_t kind;	/* OPT_* */
	uint8_t nsacks; /* blocks of OPT_SACK */
	uint8_t nraw;	/* bytes of OPT_RAW, or of the cookie of OPT_FO and OPT_EXP */
	bool cookie;	/* the engine's cookie: learned when it is sent, given back when it is to be received */
	uint32_t a, b;	/* MSS; shift; timestamp value and echo */
	uint32_t sack[PACKET_SACKS_MAX][2];
	uint8_t raw[PACKET_OPTS_MAX];
};

struct tcp_part {
	uint8_t flags; /* FLAG_* */
	bool psh_any;  /* "p": PSH is not checked (own) */
	uint32_t seq, ack, len;
	int32_t win;   /* as in the header, -1 not given */
	int32_t urg;   /* urgent pointer, -1 not given */
	bool opts_any; /* "<...>" */
	unsigned nopts;
	struct tcp_opt opt[PACKET_OPTS_MAX];
};

struct icmp_part {
	uint8_t type, code;
	uint16_t mtu; /* fragmentation needed */
	bool quotes;  /* a TCP header is quoted: its sequence range follows */
	uint32_t seq, len;
	uint16_t id, echo_seq; /* echo */
	uint32_t payload;      /* echo: bytes behind the header */
};

struct arp_part {
	uint16_t op;	   /* 1 request, 2 reply */
	uint32_t spa, tpa; /* sender and target, network order */
	uint8_t sha[6];	   /* of a reply */
};

/* IP header details; -1 where not given. */
struct ip_part {
	uint32_t src, dst; /* network order */
	int ecn, ttl;
	bool bad_sum;	      /* wrong IP header checksum */
	bool bad_payload_sum; /* wrong TCP or ICMP checksum */
	bool more_fragments;
	bool may_fragment; /* DF off; compared in TCP packets */
};

struct packet {
	enum packet_kind kind;
	unsigned flow;	    /* which connection, from 1 ("@2" in scripts) */
	uint16_t flow_port; /* local port of a flow that a packet of ours begins, 0 the default */
	uint16_t src_port, dst_port;
	struct ip_part ip;
	union {
		struct tcp_part tcp;
		struct icmp_part icmp;
		struct arp_part arp;
	};
};

/* The byte at this offset of a stream, in both directions: lets every payload be checked without being written down. */
uint8_t packet_pattern(uint64_t offset);

/*
 * Build an Ethernet frame from p (wire form, payload taken from the pattern at payload_offset on); returns its length, 0 if size
 * is too small.
 */
size_t packet_build(const struct packet *p, const uint8_t dst_mac[6], const uint8_t src_mac[6], uint64_t payload_offset,
		    uint8_t *frame, size_t size);
/*
 * Decode and verify a frame that the engine sent: lengths, checksums, constant fields.  NULL, or what is wrong with it.  *payload
 * points into the frame.
 */
const char *packet_decode(const uint8_t *frame, size_t len, struct packet *p, const uint8_t **payload);
/* Print in the notation of scripts into buf. */
void packet_print(const struct packet *p, char *buf, size_t size);
/* Does got meet what want asks for?  NULL, or the name of the first field that does not. */
const char *packet_mismatch(const struct packet *want, const struct packet *got);

#endif
