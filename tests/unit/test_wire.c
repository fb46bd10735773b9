/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_wire.c - engine/wire.c: each length and each field that can be wrong, options in every order, and what is written can be
 * read.  Packets are parsed from heap blocks of their exact size, so that a sanitizer sees a byte too far.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "engine/csum.h"
#include "engine/wire.h"

#define PROTO_TCP 6

static struct ip_addr v4(const char *text)
{
	return ip_from_v4(inet_addr(text));
}

/* A copy that ends where the packet ends. */
static uint8_t *exact(const uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, p, len);
	return copy;
}

/* ---- Ethernet, ARP ---- */

static void eth_reads_what_it_wrote(void **state)
{
	static const uint8_t dst[6] = {1, 2, 3, 4, 5, 6}, src[6] = {7, 8, 9, 10, 11, 12};
	struct eth_fields f;
	uint8_t p[ETH_HDR];

	wire_write_eth(p, dst, src, 0x0806);
	assert_int_equal(wire_parse_eth(p, ETH_HDR - 1, &f), WIRE_RUNT);
	assert_int_equal(wire_parse_eth(p, ETH_HDR, &f), WIRE_OK);
	assert_memory_equal(f.dst, dst, 6);
	assert_memory_equal(f.src, src, 6);
	assert_int_equal(f.type, 0x0806);
}

static const struct arp_fields arp = {.op = ARP_REPLY, .sha = {2, 0, 0, 0, 0, 1}, .tha = {2, 0, 0, 0, 0, 2}};

static void arp_reads_what_it_wrote(void **state)
{
	struct arp_fields f = arp, got;
	uint8_t p[ARP_LEN];

	f.spa = v4("10.0.0.1");
	f.tpa = v4("10.0.0.2");
	wire_write_arp(p, &f);
	assert_int_equal(wire_parse_arp(p, ARP_LEN, &got), WIRE_OK);
	assert_int_equal(got.op, ARP_REPLY);
	assert_memory_equal(got.sha, f.sha, 6);
	assert_memory_equal(got.tha, f.tha, 6);
	assert_true(ip_equal(&got.spa, &f.spa));
	assert_true(ip_equal(&got.tpa, &f.tpa));
}

static void arp_refuses_what_rfc_826_does_not_say(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
		enum wire_error err;
	} rows[] = {
	    {1, 6, WIRE_BAD_HEADER},							   /* hardware type: not Ethernet */
	    {2, 0x86, WIRE_BAD_HEADER},							   /* protocol type */
	    {4, 8, WIRE_BAD_HEADER},							   /* hardware address length */
	    {5, 16, WIRE_BAD_HEADER},							   /* protocol address length */
	    {7, 0, WIRE_BAD_HEADER},							   /* operation */
	    {7, 3, WIRE_BAD_HEADER},	{6, 1, WIRE_BAD_HEADER}, {8, 0x03, WIRE_BAD_ADDR}, /* a group MAC address as sender */
	    {14, 224, WIRE_BAD_ADDR},							   /* a group IP address as sender */
	    {14, 255, WIRE_BAD_ADDR},	{14, 0, WIRE_OK},
	};
	struct arp_fields f = arp, got;
	uint8_t good[ARP_LEN], p[ARP_LEN];

	f.spa = v4("10.0.0.1");
	wire_write_arp(good, &f);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(p, good, sizeof(p));
		p[rows[i].at] = rows[i].value;
		assert_int_equal(wire_parse_arp(p, sizeof(p), &got), rows[i].err);
	}
	memcpy(p, good, sizeof(p));
	memset(p + 8, 0, 6);
	assert_int_equal(wire_parse_arp(p, sizeof(p), &got), WIRE_BAD_ADDR);
	assert_int_equal(wire_parse_arp(good, ARP_LEN - 1, &got), WIRE_RUNT);
}

/* ---- IPv4 ---- */

/* A header of hdr_len bytes with its checksum, in a packet of total bytes. */
static void make_ipv4(uint8_t *p, unsigned hdr_len, unsigned total)
{
	static const uint8_t head[20] = {0x45, 0x10, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};

	memset(p, 1, hdr_len); /* options: NOP */
	memcpy(p, head, 20);
	p[0] = 0x40 | hdr_len / 4;
	p[2] = total >> 8;
	p[3] = total & 0xff;
}

static void seal(uint8_t *p)
{
	unsigned hdr_len = (p[0] & 15) * 4;
	uint16_t sum;

	p[10] = p[11] = 0;
	sum = ~csum_partial(p, hdr_len);
	memcpy(p + 10, &sum, 2);
}

static enum wire_error parse_ipv4(const uint8_t *p, size_t len, struct ipv4_fields *f)
{
	uint8_t *copy = exact(p, len);
	enum wire_error err = wire_parse_ipv4(copy, len, false, f);

	free(copy);
	return err;
}

static void ipv4_fields_are_read(void **state)
{
	struct ip_addr from = v4("10.0.0.1"), to = v4("10.0.0.2");
	uint8_t p[100] = {0};
	struct ipv4_fields f;

	for (unsigned hdr_len = 20; hdr_len <= 60; hdr_len += 4) {
		make_ipv4(p, hdr_len, 80);
		seal(p);
		assert_int_equal(parse_ipv4(p, 100, &f), WIRE_OK); /* 20 bytes of padding */
		assert_int_equal(f.hdr_len, hdr_len);
		assert_int_equal(f.total_len, 80);
		assert_int_equal(f.id, 0x1234);
		assert_int_equal(f.proto, PROTO_TCP);
		assert_int_equal(f.ttl, 64);
		assert_int_equal(f.tos, 0x10);
		assert_true(f.dont_fragment);
		assert_true(ip_equal(&f.saddr, &from) && ip_equal(&f.daddr, &to));
	}
}

static void ipv4_lengths_are_checked(void **state)
{
	static const struct {
		unsigned version_ihl, total, len;
		enum wire_error err;
	} rows[] = {
	    {0x45, 40, 0, WIRE_RUNT},		{0x45, 40, 19, WIRE_RUNT},
	    {0x45, 40, 20, WIRE_BAD_HEADER}, /* total length beyond what is there */
	    {0x45, 40, 39, WIRE_BAD_HEADER},	{0x45, 40, 40, WIRE_OK},
	    {0x45, 65535, 40, WIRE_BAD_HEADER}, {0x45, 19, 40, WIRE_BAD_HEADER}, /* shorter than its header */
	    {0x45, 0, 40, WIRE_BAD_HEADER},	{0x45, 20, 40, WIRE_OK},
	    {0x44, 40, 40, WIRE_BAD_HEADER}, /* header length below 20 */
	    {0x40, 40, 40, WIRE_BAD_HEADER},	{0x46, 40, 40, WIRE_OK},
	    {0x4b, 40, 40, WIRE_BAD_HEADER},					 /* 44 bytes of header in 40 */
	    {0x4f, 40, 40, WIRE_BAD_HEADER},	{0x65, 40, 40, WIRE_BAD_HEADER}, /* not version 4 */
	    {0x05, 40, 40, WIRE_BAD_HEADER},
	};
	struct ipv4_fields f;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t p[64] = {0};

		make_ipv4(p, 20, rows[i].total);
		p[0] = rows[i].version_ihl;
		seal(p);
		assert_int_equal(parse_ipv4(p, rows[i].len, &f), rows[i].err);
	}
}

static void ipv4_checksum_is_verified_unless_the_port_did(void **state)
{
	struct ipv4_fields f;
	uint8_t p[40] = {0};

	make_ipv4(p, 20, 40);
	seal(p);
	for (unsigned bit = 0; bit < 160; bit++) {
		enum wire_error err;

		p[bit / 8] ^= 1 << bit % 8;
		err = parse_ipv4(p, 40, &f);
		assert_true(err == WIRE_BAD_CSUM || err == WIRE_BAD_HEADER);
		p[bit / 8] ^= 1 << bit % 8;
	}
	p[10] ^= 1;
	assert_int_equal(wire_parse_ipv4(p, 40, true, &f), WIRE_OK);
}

static void ipv4_fragments_and_addresses(void **state)
{
	static const struct {
		unsigned frag;
		const char *from, *to;
		enum wire_error err;
	} rows[] = {
	    {0x4000, "10.0.0.1", "10.0.0.2", WIRE_OK},
	    {0x0000, "10.0.0.1", "10.0.0.2", WIRE_OK},
	    {0x8000, "10.0.0.1", "10.0.0.2", WIRE_OK}, /* the reserved bit is nobody's business */
	    {0x2000, "10.0.0.1", "10.0.0.2", WIRE_FRAGMENT},
	    {0x0001, "10.0.0.1", "10.0.0.2", WIRE_FRAGMENT},
	    {0x1fff, "10.0.0.1", "10.0.0.2", WIRE_FRAGMENT},
	    {0, "0.0.0.0", "10.0.0.2", WIRE_BAD_ADDR},
	    {0, "223.255.255.255", "10.0.0.2", WIRE_OK},
	    {0, "224.0.0.1", "10.0.0.2", WIRE_BAD_ADDR},
	    {0, "240.0.0.1", "10.0.0.2", WIRE_BAD_ADDR},
	    {0, "255.255.255.255", "10.0.0.2", WIRE_BAD_ADDR},
	    {0, "10.0.0.1", "0.0.0.0", WIRE_BAD_ADDR},
	    {0, "127.0.0.1", "127.0.0.1", WIRE_OK}, /* which interface it came by is ip.c's knowledge */
	};
	struct ipv4_fields f;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t from = inet_addr(rows[i].from), to = inet_addr(rows[i].to);
		uint8_t p[40] = {0};

		make_ipv4(p, 20, 40);
		p[6] = rows[i].frag >> 8;
		p[7] = rows[i].frag & 0xff;
		memcpy(p + 12, &from, 4);
		memcpy(p + 16, &to, 4);
		seal(p);
		assert_int_equal(parse_ipv4(p, 40, &f), rows[i].err);
	}
}

static void ipv4_reads_what_it_wrote(void **state)
{
	struct ipv4_fields f = {.total_len = 1500, .id = 0xffff, .proto = 1, .ttl = 3, .tos = 0xb8, .dont_fragment = true}, got;
	uint8_t p[1500] = {0};

	f.saddr = v4("192.0.2.1");
	f.daddr = v4("198.51.100.255");
	wire_write_ipv4(p, &f, false);
	assert_int_equal(wire_parse_ipv4(p, sizeof(p), false, &got), WIRE_OK);
	assert_true(got.dont_fragment && got.hdr_len == 20 && got.total_len == 1500 && got.id == 0xffff);
	f.dont_fragment = false;
	assert_true(got.proto == 1 && got.ttl == 3 && got.tos == 0xb8);
	assert_true(ip_equal(&f.saddr, &got.saddr) && ip_equal(&f.daddr, &got.daddr));
	wire_write_ipv4(p, &f, true);
	assert_int_equal(p[10] | p[11], 0); /* left to the port, which wants a zero there */
	assert_int_equal(wire_parse_ipv4(p, sizeof(p), false, &got), WIRE_BAD_CSUM);
	wire_write_ipv4(p, &f, false);
	assert_int_equal(wire_parse_ipv4(p, sizeof(p), false, &got), WIRE_OK);
	assert_false(got.dont_fragment);
}

/* ---- ICMP ---- */

static void echo_reply_has_a_true_checksum(void **state)
{
	uint8_t p[64];
	uint16_t sum;

	for (unsigned seed = 0; seed < 70000; seed++) {
		memset(p, 0, sizeof(p));
		p[0] = 8;
		memcpy(p + 4, &seed, sizeof(seed));
		sum = ~csum_partial(p, sizeof(p));
		memcpy(p + 2, &sum, 2);
		wire_echo_reply(p);
		assert_int_equal(p[0], 0);
		assert_int_equal(csum_partial(p, sizeof(p)), 0xffff);
	}
}

static void quote_takes_the_start_of_a_segment_only(void **state)
{
	static const struct {
		unsigned at, value, len;
		enum wire_error err;
	} rows[] = {
	    {0, 0x45, 28, WIRE_OK},	  {0, 0x45, 27, WIRE_RUNT}, /* RFC 792: 8 bytes of the transport header */
	    {0, 0x45, 19, WIRE_RUNT},	  {0, 0x45, 0, WIRE_RUNT},	  {0, 0x46, 31, WIRE_RUNT},
	    {0, 0x4f, 67, WIRE_RUNT},	  {0, 0x44, 28, WIRE_BAD_HEADER}, {0, 0x65, 28, WIRE_BAD_HEADER},
	    {9, 17, 28, WIRE_BAD_HEADER}, /* UDP */
	    {7, 1, 28, WIRE_BAD_HEADER},  /* a later fragment has no ports */
	    {6, 0x20, 28, WIRE_OK},	  /* the first fragment has */
	    {10, 0x77, 28, WIRE_OK},	  /* routers change the checksum and the TTL */
	    {2, 0xff, 28, WIRE_OK},	  /* total length beyond the quotation */
	};
	uint8_t p[68], *copy;
	struct quote q;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		make_ipv4(p, 60, 1500);
		p[0] = 0x45;
		p[rows[i].at] = rows[i].value;
		copy = exact(p, rows[i].len);
		assert_int_equal(wire_parse_quote(copy, rows[i].len, &q), rows[i].err);
		free(copy);
	}
}

static void quote_is_seen_from_the_sender(void **state)
{
	static const uint8_t tcp[8] = {0x80, 0x01, 0x00, 0x50, 0xde, 0xad, 0xbe, 0xef};
	struct ip_addr local = v4("10.0.0.1"), remote = v4("10.0.0.2");
	struct quote q;
	uint8_t p[32];

	make_ipv4(p, 24, 1400);
	memcpy(p + 24, tcp, 8);
	assert_int_equal(wire_parse_quote(p, 32, &q), WIRE_OK);
	assert_true(ip_equal(&q.t.laddr, &local) && ip_equal(&q.t.raddr, &remote));
	assert_int_equal(q.t.lport, 0x8001);
	assert_int_equal(q.t.rport, 80);
	assert_int_equal(q.seq, 0xdeadbeef);
	assert_int_equal(q.total_len, 1400);
}

/* ---- TCP ---- */

static const uint8_t tcp_head[20] = {0x30, 0x39, 0x00, 0x50, 0xff, 0xff, 0xff, 0xfe, 0x00, 0x00,
				     0x00, 0x02, 0x50, 0x18, 0x80, 0x00, 0xab, 0xcd, 0x00, 0x07};

/* A header with these options, padded with zeros to four bytes, and payload bytes behind. */
static unsigned make_tcp(uint8_t *p, uint8_t flags, const uint8_t *opts, unsigned n, unsigned payload)
{
	unsigned padded = (n + 3) / 4 * 4;

	memcpy(p, tcp_head, 20);
	memset(p + 20, 0, padded + payload);
	memcpy(p + 20, opts, n);
	p[12] = (20 + padded) / 4 << 4;
	p[13] = flags;
	return 20 + padded + payload;
}

static enum wire_error parse_tcp(const uint8_t *p, size_t len, size_t tot_len, struct seg *s)
{
	struct ip_addr from = v4("10.0.0.1"), to = v4("10.0.0.2");
	uint8_t *copy = exact(p, len);
	enum wire_error err;

	memset(s, 0xa5, sizeof(*s));
	err = wire_parse_tcp(copy, len, tot_len, &from, &to, s);
	free(copy);
	return err;
}

static void tcp_fields_are_read(void **state)
{
	struct ip_addr from = v4("10.0.0.1"), to = v4("10.0.0.2");
	uint8_t p[100];
	struct seg s;
	unsigned len = make_tcp(p, TH_PSH | TH_ACK | TH_CWR, p, 0, 5);

	assert_int_equal(parse_tcp(p, len, len, &s), WIRE_OK);
	assert_true(ip_equal(&s.t.raddr, &from) && ip_equal(&s.t.laddr, &to));
	assert_int_equal(s.t.rport, 12345);
	assert_int_equal(s.t.lport, 80);
	assert_int_equal(s.seq, 0xfffffffe);
	assert_int_equal(s.ack, 2);
	assert_int_equal(s.flags, TH_PSH | TH_ACK | TH_CWR);
	assert_int_equal(s.wnd, 0x8000);
	assert_int_equal(s.up, 7);
	assert_int_equal(s.len, 5);
	assert_int_equal(s.payload_off, 20);
	assert_true(s.opts == 0 && s.nsack == 0 && s.mss == 0 && s.wscale == 0 && s.tsval == 0);
	assert_int_equal(seg_len(&s), 5);
	s.flags = TH_SYN | TH_FIN;
	assert_int_equal(seg_len(&s), 7);
}

static void tcp_lengths_and_ports_are_checked(void **state)
{
	static const struct {
		unsigned at, value, len, tot_len;
		enum wire_error err;
	} rows[] = {
	    {12, 0x50, 0, 0, WIRE_RUNT},	 {12, 0x50, 19, 19, WIRE_RUNT},
	    {12, 0x50, 20, 19, WIRE_RUNT},	 {12, 0x50, 19, 20, WIRE_RUNT},
	    {12, 0x50, 20, 20, WIRE_OK},	 {12, 0x50, 20, 1000, WIRE_OK}, /* payload in later segments */
	    {12, 0x40, 40, 40, WIRE_BAD_HEADER}, {12, 0x00, 40, 40, WIRE_BAD_HEADER},
	    {12, 0x60, 20, 20, WIRE_BAD_HEADER},				/* 24 bytes of header in 20 */
	    {12, 0xf0, 59, 59, WIRE_BAD_HEADER}, {12, 0xf0, 40, 60, WIRE_RUNT}, /* header not within the first segment */
	    {12, 0xf0, 60, 60, WIRE_OK},	 {12, 0x5f, 20, 20, WIRE_OK},	/* reserved bits are ignored (RFC 9293 3.1) */
	};
	uint8_t p[64];
	struct seg s;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memset(p, 0, sizeof(p));
		memcpy(p, tcp_head, 20);
		p[rows[i].at] = rows[i].value;
		assert_int_equal(parse_tcp(p, rows[i].len, rows[i].tot_len, &s), rows[i].err);
	}
	for (unsigned at = 0; at <= 2; at += 2) {
		memcpy(p, tcp_head, 20);
		p[at] = p[at + 1] = 0;
		assert_int_equal(parse_tcp(p, 20, 20, &s), WIRE_BAD_HEADER);
	}
}

struct opt_row {
	const char *what;
	uint8_t bytes[40];
	unsigned n;
	bool syn;
	enum wire_error err;
	unsigned opts;
	uint16_t mss;
	uint8_t wscale, nsack;
	uint32_t tsval, tsecr;
};

static const struct opt_row opt_rows[] = {
    {"none", {0}, 0, true, WIRE_OK, .opts = 0},
    {"end of list first", {0, 2, 4, 5, 0xb4}, 5, true, WIRE_OK, .opts = 0},
    {"padding only", {1, 1, 1, 1, 1}, 5, true, WIRE_OK, .opts = 0},
    {"MSS", {2, 4, 5, 0xb4}, 4, true, WIRE_OK, .opts = OPT_MSS, .mss = 1460},
    {"MSS not on a SYN", {2, 4, 5, 0xb4}, 4, false, WIRE_OK, .opts = 0},
    {"MSS of 0", {2, 4, 0, 0}, 4, true, WIRE_OK, .opts = 0},
    {"MSS of 65535", {2, 4, 0xff, 0xff}, 4, true, WIRE_OK, .opts = OPT_MSS, .mss = 65535},
    {"MSS of length 3, then scale", {2, 3, 5, 3, 3, 7}, 6, true, WIRE_OK, .opts = OPT_WSCALE, .wscale = 7},
    {"MSS of length 5", {2, 5, 5, 0xb4, 1}, 5, true, WIRE_OK, .opts = 0},
    {"scale 0", {3, 3, 0}, 3, true, WIRE_OK, .opts = OPT_WSCALE},
    {"scale 14", {3, 3, 14}, 3, true, WIRE_OK, .opts = OPT_WSCALE, .wscale = 14},
    {"scale 15 is 14", {3, 3, 15}, 3, true, WIRE_OK, .opts = OPT_WSCALE, .wscale = 14},
    {"scale 255 is 14", {3, 3, 255}, 3, true, WIRE_OK, .opts = OPT_WSCALE, .wscale = 14},
    {"SACK permitted", {4, 2}, 2, true, WIRE_OK, .opts = OPT_SACK_PERMITTED},
    {"SACK permitted not on a SYN", {4, 2}, 2, false, WIRE_OK, .opts = 0},
    {"SACK permitted of length 3", {4, 3, 0}, 3, true, WIRE_OK, .opts = 0},
    {"timestamps, aligned",
     {1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8},
     12,
     false,
     WIRE_OK,
     .opts = OPT_TS,
     .tsval = 0x01020304,
     .tsecr = 0x05060708},
    {"timestamps, first",
     {8, 10, 1, 2, 3, 4, 5, 6, 7, 8},
     10,
     false,
     WIRE_OK,
     .opts = OPT_TS,
     .tsval = 0x01020304,
     .tsecr = 0x05060708},
    {"timestamps of length 9", {8, 9, 1, 2, 3, 4, 5, 6, 7}, 9, false, WIRE_OK, .opts = 0},
    {"one SACK block", {1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2}, 12, false, WIRE_OK, .opts = OPT_SACK, .nsack = 1},
    {"SACK of no block", {5, 2, 1, 1}, 4, false, WIRE_OK, .opts = 0},
    {"SACK of a block and a half", {5, 14, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}, 14, false, WIRE_OK, .opts = 0},
    {"four SACK blocks",
     {5, 34, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 8},
     34,
     false,
     WIRE_OK,
     .opts = OPT_SACK,
     .nsack = 4},
    {"timestamps and three SACK blocks",
     {1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8, 1, 1, 5, 26, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6},
     40,
     false,
     WIRE_OK,
     .opts = OPT_TS | OPT_SACK,
     .nsack = 3,
     .tsval = 9,
     .tsecr = 8},
    {"as Linux sends a SYN",
     {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7},
     20,
     true,
     WIRE_OK,
     .opts = OPT_MSS | OPT_SACK_PERMITTED | OPT_TS | OPT_WSCALE,
     .mss = 1460,
     .wscale = 7,
     .tsval = 1},
    {"unknown kinds are passed over", {254, 4, 0xf9, 0x89, 30, 2, 3, 3, 5}, 9, true, WIRE_OK, .opts = OPT_WSCALE, .wscale = 5},
    {"an unknown kind that fills the room", {77, 40}, 40, true, WIRE_OK, .opts = 0},
    {"length 0", {2, 0, 5, 0xb4}, 4, true, WIRE_BAD_OPTIONS, .opts = 0},
    {"unknown of length 0", {77, 0, 1, 1}, 4, true, WIRE_BAD_OPTIONS, .opts = 0},
    {"length 1", {77, 1, 1, 1}, 4, true, WIRE_BAD_OPTIONS, .opts = 0},
    {"kind without length at the end", {1, 1, 1, 2}, 4, true, WIRE_BAD_OPTIONS, .opts = 0},
    {"beyond the end", {1, 2, 4, 5}, 4, true, WIRE_BAD_OPTIONS, .opts = 0},
    {"far beyond the end", {2, 255, 5, 0xb4}, 4, true, WIRE_BAD_OPTIONS, .opts = 0},
    {"what came before stands",
     {2, 4, 5, 0xb4, 3, 3, 7, 99},
     8,
     true,
     WIRE_BAD_OPTIONS,
     .opts = OPT_MSS | OPT_WSCALE,
     .mss = 1460,
     .wscale = 7},
};

static void tcp_options_row_by_row(void **state)
{
	for (size_t i = 0; i < sizeof(opt_rows) / sizeof(opt_rows[0]); i++) {
		const struct opt_row *r = &opt_rows[i];
		uint8_t p[60];
		struct seg s;
		unsigned len = make_tcp(p, r->syn ? TH_SYN : TH_ACK, r->bytes, r->n, 0);
		enum wire_error err = parse_tcp(p, len, len, &s);

		if (err != r->err || s.opts != r->opts || s.mss != r->mss || s.wscale != r->wscale || s.nsack != r->nsack ||
		    s.tsval != r->tsval || s.tsecr != r->tsecr)
			fail_msg("%s: error %d options %#x mss %u scale %u blocks %u ts %#x %#x", r->what, err, s.opts, s.mss,
				 s.wscale, s.nsack, s.tsval, s.tsecr);
		assert_int_equal(s.payload_off, len);
		for (unsigned b = 0; b < s.nsack; b++) {
			assert_int_equal(s.sack[b].start, 2 * b + 1);
			assert_int_equal(s.sack[b].end, 2 * b + 2);
		}
	}
}

/* Whatever the bytes: an end, no byte too far (the sanitizers watch), no length that is not there. */
static void tcp_random_bytes_are_survived(void **state)
{
	uint32_t x = 1;
	uint8_t p[60];
	struct seg s;

	for (unsigned round = 0; round < 100000; round++) {
		unsigned len = round % 41 + 20;

		for (unsigned i = 0; i < len; i++) {
			x = x * 1664525 + 1013904223;
			p[i] = (x >> 30) ? x >> 24 : (x >> 24) % 12;
		}
		if (parse_tcp(p, len, len, &s) == WIRE_OK) {
			assert_int_equal(s.payload_off + s.len, len);
			assert_true(s.nsack <= SACK_BLOCKS_MAX && s.wscale <= 14);
		}
	}
}

static void syn_options_in_linux_order(void **state)
{
	static const struct {
		bool sack, ts;
		int wscale;
		unsigned len;
		uint8_t bytes[40];
	} rows[] = {
	    {false, false, -1, 4, {2, 4, 5, 0xb4}},
	    {true, false, -1, 8, {2, 4, 5, 0xb4, 1, 1, 4, 2}},
	    {false, false, 7, 8, {2, 4, 5, 0xb4, 1, 3, 3, 7}},
	    {true, false, 0, 12, {2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 0}},
	    {false, true, 7, 20, {2, 4, 5, 0xb4, 1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 5, 1, 3, 3, 7}},
	    {true, true, 7, 20, {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 5, 1, 3, 3, 7}},
	    {true, true, -1, 16, {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 5}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tcp_fields f = {0};

		wire_opt_syn(&f, 1460, rows[i].sack, rows[i].ts, 9, 5, rows[i].wscale);
		assert_int_equal(f.optlen, rows[i].len);
		assert_memory_equal(f.opts, rows[i].bytes, rows[i].len);
	}
}

static void sack_blocks_fill_the_room_that_is_left(void **state)
{
	static const struct sack_block b[5] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}};
	static const struct {
		bool ts;
		unsigned n, want, optlen;
	} rows[] = {
	    {false, 0, 0, 0}, {false, 1, 1, 12}, {false, 4, 4, 36}, {false, 5, 4, 36},
	    {true, 1, 1, 24}, {true, 3, 3, 40},	 {true, 4, 3, 40},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tcp_fields f = {.sport = 1, .dport = 2, .flags = TH_ACK};
		uint8_t p[60];
		struct seg s;
		unsigned len;

		if (rows[i].ts)
			wire_opt_ts(&f, 77, 88);
		wire_opt_sack(&f, b, rows[i].n);
		assert_int_equal(f.optlen, rows[i].optlen);
		len = wire_write_tcp(p, &f);
		assert_int_equal(parse_tcp(p, len, len, &s), WIRE_OK);
		assert_int_equal(s.nsack, rows[i].want);
		assert_memory_equal(s.sack, b, rows[i].want * sizeof(b[0]));
		assert_int_equal(s.tsval, rows[i].ts ? 77 : 0);
	}
}

static void options_beyond_the_room_are_left_out(void **state)
{
	static const struct sack_block b = {1, 2};
	struct tcp_fields f = {0};

	for (unsigned i = 0; i < 10; i++)
		wire_opt_syn(&f, 1460, true, true, 1, 2, 3);
	wire_opt_sack(&f, &b, 1);
	wire_opt_ts(&f, 1, 2);
	assert_true(f.optlen <= TCP_OPT_MAX);
}

static void tcp_reads_what_it_wrote_with_a_true_checksum(void **state)
{
	struct tcp_fields f = {
	    .sport = 65535, .dport = 1, .seq = 0x80000000, .ack = 0x7fffffff, .wnd = 0xfffe, .up = 9, .flags = TH_URG | TH_ACK};
	struct ip_addr from = v4("10.0.0.1"), to = v4("10.0.0.2");
	uint32_t pseudo;
	uint8_t p[64] = {0};
	struct seg s;
	unsigned len;

	wire_opt_ts(&f, 0xffffffff, 1);
	len = wire_write_tcp(p, &f);
	assert_int_equal(len, 32);
	memcpy(p + len, "odd", 3);
	pseudo = wire_pseudo_sum(&from, &to, PROTO_TCP, len + 3);
	wire_set_tcp_csum(p, csum_fold(csum_add(pseudo, csum_partial(p, len + 3), 0)));
	assert_int_equal(csum_fold(csum_add(pseudo, csum_partial(p, len + 3), 0)), 0xffff);
	assert_int_equal(parse_tcp(p, len + 3, len + 3, &s), WIRE_OK);
	assert_true(s.t.rport == 65535 && s.t.lport == 1 && s.seq == 0x80000000 && s.ack == 0x7fffffff);
	assert_true(s.wnd == 0xfffe && s.up == 9 && s.flags == (TH_URG | TH_ACK) && s.len == 3);
	assert_true(s.tsval == 0xffffffff && s.tsecr == 1);
}

/* The pseudo-headers of RFC 9293 3.1 and RFC 8200 8.1, written out. */
static void pseudo_sum_agrees_with_the_definition(void **state)
{
	struct ip_addr a4 = v4("192.168.255.254"), b4 = v4("10.255.0.129"), a6, b6;
	uint8_t pseudo[40] = {192, 168, 255, 254, 10, 255, 0, 129, 0, 6, 0xff, 0xff};

	assert_int_equal(csum_fold(wire_pseudo_sum(&a4, &b4, 6, 65535)), csum_partial(pseudo, 12));
	inet_pton(AF_INET6, "2001:db8:ffff:ffff:1:2:3:4", a6.b);
	inet_pton(AF_INET6, "fe80::ffff:1.2.3.4", b6.b);
	memset(pseudo, 0, sizeof(pseudo));
	memcpy(pseudo, a6.b, 16);
	memcpy(pseudo + 16, b6.b, 16);
	pseudo[33] = 1; /* RFC 8200 8.1: a 32-bit length, 65536 + 20 */
	pseudo[35] = 20;
	pseudo[39] = 6;
	assert_int_equal(csum_fold(wire_pseudo_sum(&a6, &b6, 6, 65556)), csum_partial(pseudo, 40));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tcp_options_row_by_row),
	    cmocka_unit_test(tcp_fields_are_read),
	    cmocka_unit_test(tcp_lengths_and_ports_are_checked),
	    cmocka_unit_test(tcp_random_bytes_are_survived),
	    cmocka_unit_test(tcp_reads_what_it_wrote_with_a_true_checksum),
	    cmocka_unit_test(syn_options_in_linux_order),
	    cmocka_unit_test(sack_blocks_fill_the_room_that_is_left),
	    cmocka_unit_test(options_beyond_the_room_are_left_out),
	    cmocka_unit_test(pseudo_sum_agrees_with_the_definition),
	    cmocka_unit_test(ipv4_fields_are_read),
	    cmocka_unit_test(ipv4_lengths_are_checked),
	    cmocka_unit_test(ipv4_checksum_is_verified_unless_the_port_did),
	    cmocka_unit_test(ipv4_fragments_and_addresses),
	    cmocka_unit_test(ipv4_reads_what_it_wrote),
	    cmocka_unit_test(echo_reply_has_a_true_checksum),
	    cmocka_unit_test(quote_takes_the_start_of_a_segment_only),
	    cmocka_unit_test(quote_is_seen_from_the_sender),
	    cmocka_unit_test(eth_reads_what_it_wrote),
	    cmocka_unit_test(arp_reads_what_it_wrote),
	    cmocka_unit_test(arp_refuses_what_rfc_826_does_not_say),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
