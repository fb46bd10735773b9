/* SPDX-License-Identifier: BSD-3-Clause */
/* test_icmp.c - engine/icmp.c: echo, and errors that reach the connection they are about, and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "engine/csum.h"
#include "tests/common/onestack.h"

#define PROTO_ICMP 1
#define PROTO_TCP 6
#define ROUTER_IP "10.0.0.9"
#define ICMP_AT (ETH_HDR + IPV4_HDR)

static struct onestack s;
static uint8_t frame[FRAME_MAX], reply[FRAME_MAX];

/* The peer is a known neighbour: what is sent to it comes out at once. */
static void know_peer(void)
{
	uint8_t p[ETH_HDR + ARP_LEN];

	onestack_in(&s, p, build_arp(p, broadcast_mac, ARP_REQUEST, peer_mac, PEER_IP, our_mac, OUR_IP));
	assert_true(onestack_out(&s, reply) > 0);
}

static void open_with(const struct engine_config *cfg)
{
	onestack_open(&s, cfg);
	know_peer();
}

static int setup(void **state)
{
	struct engine_config cfg = onestack_config();

	open_with(&cfg);
	return 0;
}

static int teardown(void **state)
{
	onestack_close(&s);
	return 0;
}

static void seal_icmp(uint8_t *p, size_t len)
{
	uint16_t sum;

	p[2] = p[3] = 0;
	sum = ~csum_partial(p, len);
	memcpy(p + 2, &sum, 2);
}

/* An echo request with n bytes of data: the frame's length. */
static size_t build_echo(const char *to, size_t n)
{
	static uint8_t msg[66000];

	msg[0] = 8;
	msg[1] = 0;
	for (size_t i = 4; i < ICMP_HDR + n; i++)
		msg[i] = i * 7;
	seal_icmp(msg, ICMP_HDR + n);
	return build_ip(frame, PEER_IP, to, PROTO_ICMP, msg, ICMP_HDR + n);
}

/* The reply to the request in frame has come out: right addresses, same bytes, true checksums. */
static void expect_echo_reply(size_t n)
{
	size_t len = onestack_out(&s, reply);
	struct ip_addr us = v4(OUR_IP), peer = v4(PEER_IP);
	struct ipv4_fields ip;

	assert_int_equal(len, ICMP_AT + ICMP_HDR + n);
	assert_memory_equal(reply, peer_mac, 6);
	assert_memory_equal(reply + 6, our_mac, 6);
	assert_int_equal(wire_parse_ipv4(reply + ETH_HDR, len - ETH_HDR, false, &ip), WIRE_OK);
	assert_true(ip_equal(&ip.saddr, &us) && ip_equal(&ip.daddr, &peer));
	assert_int_equal(ip.proto, PROTO_ICMP);
	assert_int_equal(ip.ttl, 64);
	assert_int_equal(reply[ICMP_AT], 0);
	assert_int_equal(csum_partial(reply + ICMP_AT, ICMP_HDR + n), 0xffff);
	assert_memory_equal(reply + ICMP_AT + 4, frame + ICMP_AT + 4, 4 + n);
}

/* ---- echo ---- */

static void echo_of_any_length_up_to_the_mtu(void **state)
{
	static const size_t lens[] = {0, 1, 2, 3, 17, 56, 57, 1471, 1472};

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		onestack_in(&s, frame, build_echo(OUR_IP, lens[i]));
		expect_echo_reply(lens[i]);
	}
	assert_int_equal(engine_stats(s.e)->icmp_in_echos, 9);
	assert_int_equal(engine_stats(s.e)->icmp_out_echo_reps, 9);
}

/* Ethernet's padding is not part of the message. */
static void echo_leaves_padding_behind(void **state)
{
	size_t len = build_echo(OUR_IP, 5);

	memset(frame + len, 0xee, 60 - len);
	onestack_in(&s, frame, 60);
	expect_echo_reply(5);
}

/* Cut anywhere: each segment length, padding in segments of its own. */
static void echo_in_segments(void **state)
{
	static const size_t segs[] = {200, 301, 512, 1000};

	for (unsigned multi = 0; multi < 2; multi++) {
		for (size_t i = 0; i < sizeof(segs) / sizeof(segs[0]); i++) {
			struct engine_config cfg = onestack_config();
			struct rte_mbuf *m;
			size_t len;

			onestack_close(&s);
			cfg.caps = multi ? ENGINE_TX_MULTI_SEG : 0;
			open_with(&cfg);
			len = build_echo(OUR_IP, 777);
			memset(frame + len, 0xee, 600);
			m = onestack_frame(&s, frame, len + 600, segs[i]);
			engine_input(s.e, &m, 1, s.now);
			expect_echo_reply(777);
		}
	}
}

/* A first segment too short for the headers: joined if there is room, never misread. */
static void echo_with_headers_cut(void **state)
{
	for (size_t seg = 15; seg < 120; seg++) {
		size_t len = build_echo(OUR_IP, 100);
		struct rte_mbuf *m = onestack_frame(&s, frame, len, seg);

		engine_input(s.e, &m, 1, s.now);
		expect_echo_reply(100);
	}
}

static void echo_longer_than_the_mtu_is_not_answered(void **state)
{
	struct rte_mbuf *m = onestack_frame(&s, frame, build_echo(OUR_IP, 1473), 0);

	engine_input(s.e, &m, 1, s.now);
	assert_int_equal(onestack_out(&s, reply), 0);
	assert_int_equal(engine_stats(s.e)->icmp_out_echo_reps, 0);
}

static void echo_to_a_broadcast_is_not_answered(void **state)
{
	static const char *const to[] = {"255.255.255.255", "10.0.0.255", "224.0.0.1"};

	for (unsigned i = 0; i < 3; i++) {
		size_t len = build_echo(to[i], 8);

		memcpy(frame, broadcast_mac, 6);
		onestack_in(&s, frame, len);
		assert_int_equal(onestack_out(&s, reply), 0);
	}
	assert_int_equal(engine_stats(s.e)->ip_in_addr_errors, 3);
}

static void echo_ignored_on_request(void **state)
{
	struct engine_config cfg = onestack_config();

	onestack_close(&s);
	cfg.tcp.icmp_echo_ignore_all = 1;
	open_with(&cfg);
	onestack_in(&s, frame, build_echo(OUR_IP, 8));
	assert_int_equal(onestack_out(&s, reply), 0);
	assert_int_equal(engine_stats(s.e)->icmp_in_echos, 1);
}

static void bad_messages_are_counted(void **state)
{
	size_t len = build_echo(OUR_IP, 8);

	frame[ICMP_AT + 9] ^= 1;
	onestack_in(&s, frame, len);
	assert_int_equal(engine_stats(s.e)->icmp_in_csum_errors, 1);
	frame[ICMP_AT + 9] ^= 1;
	/* Cut off by the IP header's own length: seven bytes, with a true checksum. */
	seal_icmp(frame + ICMP_AT, 7);
	frame[ETH_HDR + 3] = IPV4_HDR + 7;
	seal_ip(frame);
	onestack_in(&s, frame, len);
	assert_int_equal(engine_stats(s.e)->icmp_in_errors, 2);
	assert_int_equal(onestack_out(&s, reply), 0);
}

/* Replies to pings we never sent, timestamps, redirects: no answer, no harm. */
static void other_types_are_ignored(void **state)
{
	static const uint8_t types[] = {0, 1, 2, 4, 5, 9, 10, 13, 14, 15, 17, 30, 40, 255};

	for (unsigned i = 0; i < sizeof(types); i++) {
		size_t len = build_echo(OUR_IP, 20);

		frame[ICMP_AT] = types[i];
		seal_icmp(frame + ICMP_AT, ICMP_HDR + 20);
		onestack_in(&s, frame, len);
	}
	assert_int_equal(engine_stats(s.e)->icmp_in_msgs, sizeof(types));
	assert_int_equal(engine_stats(s.e)->icmp_in_errors, 0);
	assert_int_equal(onestack_out(&s, reply), 0);
}

/* ---- errors about our segments ---- */

/* The next packet that is not ARP, in reply: the frame's length, 0 for none.  The peer answers when it is asked. */
static size_t next_packet(void)
{
	uint8_t p[ETH_HDR + ARP_LEN];
	size_t len;

	while ((len = onestack_out(&s, reply))) {
		struct eth_fields eth;

		wire_parse_eth(reply, len, &eth);
		if (eth.type == 0x0800)
			return len;
		onestack_in(&s, p, build_arp(p, our_mac, ARP_REPLY, peer_mac, PEER_IP, our_mac, OUR_IP));
	}
	return 0;
}

/* Start a connection to the peer; its SYN is left in reply. */
static struct conn *connect_peer(size_t *syn_len)
{
	struct conn *c = engine_socket(s.e);
	struct endpoint to = {v4(PEER_IP), 80};

	assert_int_equal(engine_connect(s.e, c, &to, s.now), -EINPROGRESS);
	*syn_len = next_packet() - ETH_HDR;
	assert_int_equal(reply[ETH_HDR + 9], PROTO_TCP);
	return c;
}

/* A router's error with the start of the packet in reply, quoted bytes of it. */
static size_t build_error(uint8_t type, uint8_t code, uint16_t mtu, size_t quoted)
{
	uint8_t msg[ICMP_HDR + 1500] = {type, code};

	msg[6] = mtu >> 8;
	msg[7] = mtu & 255;
	memcpy(msg + ICMP_HDR, reply + ETH_HDR, quoted);
	seal_icmp(msg, ICMP_HDR + quoted);
	return build_ip(frame, ROUTER_IP, OUR_IP, PROTO_ICMP, msg, ICMP_HDR + quoted);
}

/* Linux's icmp_err_convert, seen by a connect() under way. */
static void error_ends_a_connect_with_its_errno(void **state)
{
	static const struct {
		uint8_t type, code;
		int err; /* 0: the attempt goes on */
	} rows[] = {
	    {3, 0, ENETUNREACH},
	    {3, 1, EHOSTUNREACH},
	    {3, 2, ENOPROTOOPT},
	    {3, 3, ECONNREFUSED},
	    {3, 5, EOPNOTSUPP},
	    {3, 6, ENETUNREACH},
	    {3, 7, EHOSTDOWN},
	    {3, 8, ENONET},
	    {3, 9, ENETUNREACH},
	    {3, 10, EHOSTUNREACH},
	    {3, 11, ENETUNREACH},
	    {3, 12, EHOSTUNREACH},
	    {3, 13, EHOSTUNREACH},
	    {3, 14, EHOSTUNREACH},
	    {3, 15, EHOSTUNREACH},
	    {11, 0, EHOSTUNREACH},
	    {11, 1, EHOSTUNREACH},
	    {12, 0, EPROTO},
	    {3, 16, 0},
	    {3, 255, 0},
	    {4, 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t syn;
		struct conn *c = connect_peer(&syn);

		onestack_in(&s, frame, build_error(rows[i].type, rows[i].code, 0, IPV4_HDR + 8));
		assert_int_equal(!!(engine_ready(c) & EPOLLERR), rows[i].err != 0);
		assert_int_equal(engine_error(c), rows[i].err);
		engine_abort(s.e, c, s.now);
		while (next_packet())
			;
	}
	assert_int_equal(engine_stats(s.e)->icmp_in_dest_unreachs, 17);
	assert_int_equal(engine_stats(s.e)->icmp_in_time_excds, 2);
	assert_int_equal(engine_stats(s.e)->icmp_in_errors, 2);
}

/* What does not fit the connection in every respect does nothing to it. */
static void error_about_something_else_is_refused(void **state)
{
	static const struct {
		unsigned at; /* in the quotation */
		uint8_t flip;
	} rows[] = {
	    {0, 0x10},		  /* not IPv4 */
	    {0, 0x08},		  /* header length */
	    {7, 0x01},		  /* a later fragment */
	    {9, 0x01},		  /* not TCP */
	    {15, 0x02},		  /* not from our address */
	    {19, 0x01},		  /* to another host */
	    {IPV4_HDR + 1, 1},	  /* from another port */
	    {IPV4_HDR + 3, 1},	  /* to another port */
	    {IPV4_HDR + 4, 0x40}, /* a sequence number not in flight */
	};
	size_t syn;
	struct conn *c = connect_peer(&syn);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		reply[ETH_HDR + rows[i].at] ^= rows[i].flip;
		onestack_in(&s, frame, build_error(3, 1, 0, IPV4_HDR + 8));
		reply[ETH_HDR + rows[i].at] ^= rows[i].flip;
		assert_int_equal(engine_stats(s.e)->icmp_in_errors, i + 1);
		assert_int_equal(engine_ready(c) & EPOLLERR, 0);
	}
	for (size_t quoted = 0; quoted < IPV4_HDR + 8; quoted++)
		onestack_in(&s, frame, build_error(3, 1, 0, quoted));
	assert_int_equal(engine_ready(c) & EPOLLERR, 0);
	onestack_in(&s, frame, build_error(3, 1, 0, syn));
	assert_int_equal(engine_error(c), EHOSTUNREACH);
	engine_close(s.e, c, s.now);
}

/* Complete the handshake of the SYN in reply, queue n bytes on the connection and leave its first segment in reply. */
static void establish_and_send(struct conn *c, size_t n)
{
	struct ip_addr us = v4(OUR_IP), peer = v4(PEER_IP);
	struct tcp_fields f = {.seq = 5000, .wnd = 65535, .flags = TH_SYN | TH_ACK};
	static uint8_t data[20000];
	struct iovec iov = {data, n};
	uint8_t tcp[60];
	struct seg syn;
	unsigned len;

	assert_int_equal(wire_parse_tcp(reply + ICMP_AT, 60, 60, &us, &peer, &syn), WIRE_OK);
	f.sport = syn.t.lport;
	f.dport = syn.t.rport;
	f.ack = syn.seq + 1;
	wire_opt_syn(&f, 1460, true, false, 0, 0, -1);
	len = wire_write_tcp(tcp, &f);
	wire_set_tcp_csum(tcp, csum_fold((uint64_t)wire_pseudo_sum(&peer, &us, PROTO_TCP, len) + csum_partial(tcp, len)));
	onestack_in(&s, frame, build_ip(frame, PEER_IP, OUR_IP, PROTO_TCP, tcp, len));
	assert_int_equal(engine_state(c), ESTABLISHED);
	assert_int_equal(engine_send(s.e, c, &iov, 1, 0, s.now), n);
	do
		len = next_packet();
	while (len && len < 1000);
	assert_int_equal(len, ETH_HDR + s.e->cfg.mtu);
}

/* RFC 1191: the next segments fit the path; section 7.1's plateaus where an old router does not say. */
static void frag_needed_lowers_the_segment_size(void **state)
{
	static const struct {
		uint16_t said;
		unsigned packet; /* largest from then on */
		bool refused;
	} rows[] = {
	    {1499, 1499, false}, {1400, 1400, false}, {576, 576, false}, {0, 1492, false},
	    {1500, 1500, true},	 {9000, 1500, true},  {67, 1500, true},	 {68, 552, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t errors = engine_stats(s.e)->icmp_in_errors;
		unsigned largest = 0, len;
		size_t syn;
		struct conn *c = connect_peer(&syn);

		establish_and_send(c, 14600);
		onestack_in(&s, frame, build_error(3, 4, rows[i].said, IPV4_HDR + 8));
		assert_int_equal(engine_stats(s.e)->icmp_in_errors - errors, rows[i].refused);
		while (next_packet())
			;
		for (unsigned t = 0; t < 20; t++) {
			onestack_run(&s, 100000);
			while ((len = next_packet())) {
				if (len - ETH_HDR > largest)
					largest = len - ETH_HDR;
			}
		}
		assert_int_equal(largest, rows[i].packet);
		engine_abort(s.e, c, s.now);
		while (next_packet())
			;
		onestack_run(&s, 600 * 1000000ull); /* what was learned is forgotten (RFC 1191 6.3) */
	}
}

/* A link as wide as a plateau: the guess is the next one below. */
static void frag_needed_unsaid_goes_below_what_failed(void **state)
{
	struct engine_config cfg = onestack_config();
	struct conn *c;
	size_t syn;

	onestack_close(&s);
	cfg.mtu = 1492;
	open_with(&cfg);
	c = connect_peer(&syn);
	establish_and_send(c, 14600);
	onestack_in(&s, frame, build_error(3, 4, 0, IPV4_HDR + 8));
	assert_int_equal(c->pmtu, 1006);
	engine_abort(s.e, c, s.now);
}

/* RFC 5927: an established connection is not ended by any ICMP message. */
static void established_survives_hard_errors(void **state)
{
	size_t syn;
	struct conn *c = connect_peer(&syn);

	establish_and_send(c, 3000);
	for (unsigned code = 0; code < 16; code++) {
		if (code != 4)
			onestack_in(&s, frame, build_error(3, code, 0, IPV4_HDR + 8));
	}
	assert_int_equal(engine_state(c), ESTABLISHED);
	assert_int_equal(engine_ready(c) & EPOLLERR, 0);
	engine_abort(s.e, c, s.now);
}

/* With two stacks on one address the error goes, as it came, to the one whose connection it quotes. */
static void error_for_the_other_stack_is_handed_over(void **state)
{
	struct engine_config cfg = onestack_config();
	struct endpoint us = {v4(OUR_IP), 0}, peer = {v4(PEER_IP), 80};
	uint8_t *port = reply + ETH_HDR + IPV4_HDR, owner = 9;
	struct rte_mbuf *m = NULL;
	struct conn *c;
	size_t len, syn;

	onestack_close(&s);
	cfg.nstacks = 2;
	open_with(&cfg);
	while (engine_foreign(s.e, &m, &owner, 1))
		rte_pktmbuf_free(m); /* copies of ARP for the other */
	c = connect_peer(&syn);
	do {
		port[1]++;
		us.port = (uint16_t)(port[0] << 8 | port[1]);
	} while (engine_owner(s.e, &us, &peer) == 0);
	len = build_error(3, 4, 1000, IPV4_HDR + 8);
	while (engine_foreign(s.e, &m, &owner, 1))
		rte_pktmbuf_free(m);
	onestack_in(&s, frame, len);
	assert_int_equal(engine_foreign(s.e, &m, &owner, 1), 1);
	assert_int_equal(owner, 1);
	assert_int_equal(m->pkt_len, len);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), frame, len);
	assert_int_equal(engine_stats(s.e)->icmp_in_errors, 0);
	rte_pktmbuf_free(m);
	engine_abort(s.e, c, s.now);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(echo_of_any_length_up_to_the_mtu),
	    T(echo_leaves_padding_behind),
	    T(echo_in_segments),
	    T(echo_with_headers_cut),
	    T(echo_longer_than_the_mtu_is_not_answered),
	    T(echo_to_a_broadcast_is_not_answered),
	    T(echo_ignored_on_request),
	    T(bad_messages_are_counted),
	    T(other_types_are_ignored),
	    T(error_ends_a_connect_with_its_errno),
	    T(error_about_something_else_is_refused),
	    T(error_for_the_other_stack_is_handed_over),
	    T(frag_needed_lowers_the_segment_size),
	    T(frag_needed_unsaid_goes_below_what_failed),
	    T(established_survives_hard_errors),
	};

	return cmocka_run_group_tests_name("icmp", tests, onestack_eal, NULL);
}
