/* SPDX-License-Identifier: BSD-3-Clause */
/* test_ip.c - engine/ip.c: what is let in and what is counted, routes, headers and offload flags of what goes out, the local
 * loop. */
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

#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_TEST 253 /* RFC 3692: for experiments */

static struct onestack s;
static uint8_t frame[FRAME_MAX], out[FRAME_MAX];

static int setup(void **state)
{
	struct engine_config cfg = onestack_config();

	onestack_open(&s, &cfg);
	return 0;
}

static int teardown(void **state)
{
	onestack_close(&s);
	return 0;
}

static void reopen(const struct engine_config *cfg)
{
	onestack_close(&s);
	onestack_open(&s, cfg);
}

static struct engine_config with_caps(unsigned caps)
{
	struct engine_config cfg = onestack_config();

	cfg.caps = caps;
	return cfg;
}

/* The host is a known neighbour at the peer's MAC address. */
static void know(const char *host)
{
	uint8_t p[ETH_HDR + ARP_LEN];

	onestack_in(&s, p, build_arp(p, broadcast_mac, ARP_REQUEST, peer_mac, host, our_mac, OUR_IP));
	assert_true(onestack_out(&s, out) > 0);
}

/* A segment without payload to a port where nobody listens: the frame's length. */
static size_t build_tcp(const char *from, const char *to)
{
	struct tcp_fields f = {.sport = 1000, .dport = 2000, .seq = 1, .flags = TH_SYN, .wnd = 1000};
	struct ip_addr a = v4(from), b = v4(to);
	uint8_t tcp[60];
	unsigned len = wire_write_tcp(tcp, &f);

	wire_set_tcp_csum(tcp, csum_fold((uint64_t)wire_pseudo_sum(&a, &b, PROTO_TCP, len) + csum_partial(tcp, len)));
	return build_ip(frame, from, to, PROTO_TCP, tcp, len);
}

/* ---- input ---- */

#define COUNTER(field) (offsetof(struct engine_stats, field) / sizeof(uint64_t))

static uint64_t count(unsigned counter)
{
	return ((const uint64_t *)engine_stats(s.e))[counter];
}

/* One byte or one address changed in a good segment: which counter moves, and no other that means delivery. */
static void every_reason_has_its_counter(void **state)
{
	static const struct {
		unsigned at; /* in the IP header */
		uint8_t value;
		bool seal;
		unsigned counter;
	} rows[] = {
	    {8, 64, true, COUNTER(ip_in_delivers)},
	    {0, 0x65, true, COUNTER(ip_in_hdr_errors)},
	    {0, 0x44, true, COUNTER(ip_in_hdr_errors)},
	    {0, 0x4f, false, COUNTER(ip_in_hdr_errors)},
	    {3, 19, true, COUNTER(ip_in_hdr_errors)},
	    {3, 41, true, COUNTER(ip_in_hdr_errors)},
	    {2, 0xff, true, COUNTER(ip_in_hdr_errors)},
	    {11, 0x12, false, COUNTER(ip_in_csum_errors)},
	    {6, 0x20, true, COUNTER(ip_reasm_fails)},
	    {7, 0x01, true, COUNTER(ip_reasm_fails)},
	    {9, PROTO_UDP, true, COUNTER(ip_in_unknown_protos)},
	    {9, 0, true, COUNTER(ip_in_unknown_protos)},
	    {12, 240, true, COUNTER(ip_in_addr_errors)},
	    {12, 224, true, COUNTER(ip_in_addr_errors)},
	    {19, 3, true, COUNTER(ip_in_addr_errors)},	 /* to another host */
	    {19, 255, true, COUNTER(ip_in_addr_errors)}, /* to the subnet's broadcast */
	    {15, 1, true, COUNTER(ip_in_addr_errors)},	 /* from ourselves, over a wire */
	    {12, 127, true, COUNTER(ip_in_addr_errors)}, /* from the loopback network, over a wire */
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = build_tcp(PEER_IP, OUR_IP);
		uint64_t before = count(rows[i].counter), delivered = count(COUNTER(ip_in_delivers));

		frame[ETH_HDR + rows[i].at] = rows[i].value;
		if (rows[i].seal)
			seal_ip(frame);
		onestack_in(&s, frame, len);
		assert_int_equal(count(rows[i].counter), before + 1);
		if (i)
			assert_int_equal(count(COUNTER(ip_in_delivers)), delivered);
		assert_int_equal(engine_stats(s.e)->ip_in_receives, i + 1);
		while (onestack_out(&s, out))
			;
	}
}

static void runts_of_every_length_are_counted(void **state)
{
	size_t len = build_tcp(PEER_IP, OUR_IP);
	uint64_t bad;

	for (size_t n = 0; n < len; n++)
		onestack_in(&s, frame, n);
	bad = engine_stats(s.e)->in_runts + engine_stats(s.e)->ip_in_hdr_errors;
	assert_int_equal(bad, len);
	assert_int_equal(engine_stats(s.e)->ip_in_delivers, 0);
}

/* The port's verdict is believed only where the port has the capability. */
static void port_judges_the_header_checksum(void **state)
{
	static const struct {
		unsigned caps;
		uint64_t flag;
		bool good_sum, delivered;
	} rows[] = {
	    {0, 0, true, true},
	    {0, 0, false, false},
	    {0, RTE_MBUF_F_RX_IP_CKSUM_GOOD, false, false},
	    {0, RTE_MBUF_F_RX_IP_CKSUM_BAD, true, true},
	    {ENGINE_RX_CSUM, 0, true, true},
	    {ENGINE_RX_CSUM, 0, false, false},
	    {ENGINE_RX_CSUM, RTE_MBUF_F_RX_IP_CKSUM_GOOD, false, true},
	    {ENGINE_RX_CSUM, RTE_MBUF_F_RX_IP_CKSUM_BAD, true, false},
	    {ENGINE_RX_CSUM, RTE_MBUF_F_RX_IP_CKSUM_NONE, true, true},
	    {ENGINE_RX_CSUM, RTE_MBUF_F_RX_IP_CKSUM_NONE, false, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct engine_config cfg = with_caps(rows[i].caps);
		size_t len = build_tcp(PEER_IP, OUR_IP);
		struct rte_mbuf *m;

		reopen(&cfg);
		if (!rows[i].good_sum)
			frame[ETH_HDR + 10] ^= 0x55;
		m = onestack_frame(&s, frame, len, 0);
		m->ol_flags |= rows[i].flag;
		engine_input(s.e, &m, 1, s.now);
		assert_int_equal(engine_stats(s.e)->ip_in_delivers, rows[i].delivered);
		assert_int_equal(engine_stats(s.e)->ip_in_csum_errors, !rows[i].delivered);
	}
}

/* A first segment that has no room for the rest of the headers: dropped, not read beyond. */
static void headers_that_cannot_be_joined_are_dropped(void **state)
{
	size_t len = build_tcp(PEER_IP, OUR_IP);
	struct rte_mbuf *m = onestack_frame(&s, frame, len, 30);

	m->data_off = m->buf_len - m->data_len; /* no tailroom */
	memcpy(rte_pktmbuf_mtod(m, void *), frame, m->data_len);
	engine_input(s.e, &m, 1, s.now);
	assert_int_equal(engine_stats(s.e)->in_runts, 1);
	assert_int_equal(engine_stats(s.e)->ip_in_delivers, 0);
}

/* Bytes at random, and good packets with bytes changed at random: nothing but counters (the sanitizers watch). */
static void noise_is_survived(void **state)
{
	uint64_t x = 88172645463325252ull;

	for (unsigned round = 0; round < 30000; round++) {
		size_t len = build_tcp(PEER_IP, OUR_IP);

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		if (round % 2)
			len += x % 30;
		for (unsigned i = 0; i < (x >> 8 & 7); i++)
			frame[ETH_HDR + (x >> (8 + 6 * i)) % (len - ETH_HDR)] = x >> (3 * i);
		if (round % 3)
			seal_ip(frame);
		struct rte_mbuf *m = onestack_frame(&s, frame, len, round % 5 ? 0 : 14 + (x >> 5 & 63));

		engine_input(s.e, &m, 1, s.now);
		while (onestack_out(&s, out))
			;
	}
	assert_true(engine_stats(s.e)->ip_in_delivers > 1000);
	assert_true(engine_stats(s.e)->ip_in_hdr_errors > 100);
}

/* ---- routes ---- */

static void routes_row_by_row(void **state)
{
	static const struct {
		const char *dst, *hop, *source; /* hop: NULL unreachable, "" local */
	} rows[] = {
	    {"255.255.255.255", NULL, "10.0.0.1"},
	    {"224.0.0.5", NULL, "10.0.0.1"},
	    {"0.0.0.0", NULL, "10.0.0.1"},
	    {"127.0.0.1", NULL, "10.0.0.1"},
	    {"10.0.0.1", "", "10.0.0.1"},
	    {"10.0.0.2", "10.0.0.2", "10.0.0.1"},
	    {"10.0.0.255", NULL, "10.0.0.1"},
	    {"10.0.0.0", "10.0.0.0",
	     "10.0.0.1"}, /* the all-zeros host is a host (RFC 1122 3.3.6 made it a broadcast; Linux no longer) */
	    {"10.0.1.2", "10.0.0.254", "10.0.0.1"},
	    {"172.16.5.9", "172.16.5.9", "172.16.0.1"},
	    {"172.16.255.255", NULL, "172.16.0.1"},
	    {"172.16.0.1", "", "172.16.0.1"},
	    {"192.0.2.1", "192.0.2.1", "192.0.2.0"}, /* a /31 has no broadcast (RFC 3021) */
	    {"198.51.100.7", "", "198.51.100.7"},
	    {"198.51.100.8", "10.0.0.254", "10.0.0.1"},
	    {"8.8.8.8", "10.0.0.254", "10.0.0.1"},
	};
	struct engine_config cfg = onestack_config();

	/* The gateway's subnet is not the first. */
	cfg.addrs[0] = (struct ip_prefix){v4("172.16.0.1"), 96 + 16};
	cfg.addrs[1] = (struct ip_prefix){v4("10.0.0.1"), 96 + 24};
	cfg.addrs[2] = (struct ip_prefix){v4("192.0.2.0"), 127};
	cfg.addrs[3] = (struct ip_prefix){v4("198.51.100.7"), 128};
	cfg.naddrs = 4;
	reopen(&cfg);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip_addr dst = v4(rows[i].dst), source = v4(rows[i].source), any = {0};
		struct ip_send how = {.src = &source, .dst = &dst, .proto = PROTO_TEST, .ttl = 1};
		struct rte_mbuf *m = engine_mbuf(s.e);
		int rc;

		assert_int_equal(ip_reachable(s.e, &dst), rows[i].hop != NULL);
		if (!ip_equal(&dst, &any))
			assert_true(ip_equal(ip_source_for(s.e, &dst), &source));
		rc = ip_output(s.e, m, &how);
		assert_int_equal(rc, rows[i].hop ? 0 : -ENETUNREACH);
		if (rows[i].hop && *rows[i].hop) {
			size_t len = onestack_out(&s, out);
			struct arp_fields f;
			struct ip_addr hop = v4(rows[i].hop);

			assert_int_equal(wire_parse_arp(out + ETH_HDR, len - ETH_HDR, &f), WIRE_OK);
			assert_true(ip_equal(&f.tpa, &hop));
			onestack_run(&s, 4000000); /* nobody answers */
			while (onestack_out(&s, out))
				onestack_run(&s, 1000000);
		}
	}
	assert_int_equal(engine_stats(s.e)->ip_out_no_routes, 6);
}

static void without_gateway_only_the_link_is_reached(void **state)
{
	struct engine_config cfg = onestack_config();
	struct ip_addr near = v4("10.0.0.77"), far = v4("10.0.1.77");

	cfg.gateway = (struct ip_addr){0};
	reopen(&cfg);
	assert_true(ip_reachable(s.e, &near));
	assert_false(ip_reachable(s.e, &far));
}

/* ---- output ---- */

static void header_is_complete_by_software_or_left_to_the_port(void **state)
{
	for (unsigned offload = 0; offload < 2; offload++) {
		struct engine_config cfg = with_caps(offload ? ENGINE_TX_IP_CSUM : 0);
		struct ip_addr dst = v4(PEER_IP);
		struct ip_send how = {.src = &cfg.addrs[0].addr, .dst = &dst, .proto = PROTO_TEST, .ttl = 33, .tos = 0x88};
		struct ipv4_fields ip;
		struct rte_mbuf *m;

		reopen(&cfg);
		know(PEER_IP);
		m = engine_mbuf(s.e);
		memcpy(rte_pktmbuf_append(m, 5), "hello", 5);
		assert_int_equal(ip_output(s.e, m, &how), 0);
		assert_int_equal(engine_output(s.e, &m, 1, s.now), 1);
		assert_int_equal(m->pkt_len, ETH_HDR + IPV4_HDR + 5);
		assert_int_equal(!!(m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM), offload);
		assert_int_equal(!!(m->ol_flags & RTE_MBUF_F_TX_IPV4), offload);
		assert_int_equal(m->l2_len, ETH_HDR);
		assert_int_equal(m->l3_len, IPV4_HDR);
		assert_int_equal(wire_parse_ipv4(rte_pktmbuf_mtod_offset(m, uint8_t *, ETH_HDR), IPV4_HDR + 5, offload, &ip),
				 WIRE_OK);
		assert_true(ip.ttl == 33 && ip.tos == 0x88 && ip.proto == PROTO_TEST && ip.dont_fragment);
		assert_true(ip.total_len == IPV4_HDR + 5 && ip_equal(&ip.daddr, &dst) && ip_equal(&ip.saddr, how.src));
		assert_memory_equal(rte_pktmbuf_mtod_offset(m, uint8_t *, ETH_HDR + IPV4_HDR), "hello", 5);
		rte_pktmbuf_free(m);
	}
}

static void transport_offload_flags_stay_and_gain_ipv4(void **state)
{
	struct ip_addr dst = v4(PEER_IP);
	struct ip_send how = {.src = &s.e->cfg.addrs[0].addr, .dst = &dst, .proto = PROTO_TCP, .ttl = 64};
	struct rte_mbuf *m;

	know(PEER_IP);
	m = engine_mbuf(s.e);
	rte_pktmbuf_append(m, 20);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
	m->l4_len = 20;
	assert_int_equal(ip_output(s.e, m, &how), 0);
	assert_int_equal(engine_output(s.e, &m, 1, s.now), 1);
	assert_true((m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_TCP_CKSUM);
	assert_true(m->ol_flags & RTE_MBUF_F_TX_IPV4);
	assert_false(m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM);
	assert_int_equal(m->l4_len, 20);
	rte_pktmbuf_free(m);
}

/* Longer than the link takes: refused, unless the port is to cut it up. */
static void mtu_is_kept(void **state)
{
	static const struct {
		unsigned payload;
		bool tso;
		int rc;
	} rows[] = {
	    {1480, false, 0}, {1481, false, -EMSGSIZE}, {1481, true, 0}, {65515, true, 0}, {65516, true, -EMSGSIZE},
	};
	struct engine_config cfg = with_caps(ENGINE_TX_MULTI_SEG | ENGINE_TX_TSO);
	struct ip_addr dst = v4(PEER_IP);
	struct ip_send how = {.src = &cfg.addrs[0].addr, .dst = &dst, .proto = PROTO_TCP, .ttl = 64};

	reopen(&cfg);
	know(PEER_IP);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rte_mbuf *m = engine_mbuf(s.e);

		for (unsigned left = rows[i].payload; left;) {
			struct rte_mbuf *next = left == rows[i].payload ? m : rte_pktmbuf_alloc(s.pool);
			unsigned n = left < 1400 ? left : 1400;

			rte_pktmbuf_append(next, n);
			if (next != m)
				assert_int_equal(rte_pktmbuf_chain(m, next), 0);
			left -= n;
		}
		if (rows[i].tso)
			m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
		assert_int_equal(ip_output(s.e, m, &how), rows[i].rc);
		assert_int_equal(onestack_out(&s, out) > 0, rows[i].rc == 0);
	}
}

static void full_ring_loses_frames_and_nothing_else(void **state)
{
	struct ip_addr dst = v4(PEER_IP);
	struct ip_send how = {.src = &s.e->cfg.addrs[0].addr, .dst = &dst, .proto = PROTO_TEST, .ttl = 64};

	know(PEER_IP);
	for (unsigned i = 0; i < FRAME_RING + 100; i++)
		assert_int_equal(ip_output(s.e, engine_mbuf(s.e), &how), 0);
	assert_int_equal(ring_count(&s.e->tx), FRAME_RING);
}

static void no_headroom_is_no_crash(void **state)
{
	struct ip_addr dst = v4(PEER_IP);
	struct ip_send how = {.src = &s.e->cfg.addrs[0].addr, .dst = &dst, .proto = PROTO_TEST, .ttl = 64};

	know(PEER_IP);
	for (unsigned room = 0; room < IPV4_HDR + ETH_HDR; room++) {
		struct rte_mbuf *m = engine_mbuf(s.e);

		m->data_off = room;
		ip_output(s.e, m, &how);
	}
	assert_int_equal(onestack_out(&s, out), 0);
}

/* ---- the local loop ---- */

/* Run until nothing is left to do at this moment. */
static void settle(void)
{
	for (unsigned i = 0; i < 200; i++) {
		while (onestack_out(&s, out))
			;
		onestack_run(&s, 10);
	}
}

/* What was asked of the port for the way out means nothing on the way in. */
static void looped_frame_carries_no_orders(void **state)
{
	struct ip_send how = {.src = &s.e->cfg.addrs[0].addr, .dst = &s.e->cfg.addrs[0].addr, .proto = PROTO_TCP, .ttl = 64};
	struct rte_mbuf *m = engine_mbuf(s.e);

	memset(rte_pktmbuf_append(m, 20), 0, 20);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IPV4;
	m->port = 3;
	assert_int_equal(ip_output(s.e, m, &how), 0);
	m = ring_pop(&s.e->loop);
	assert_non_null(m);
	assert_true(m->ol_flags == 0);
	assert_int_equal(m->port, PORT_LOOP);
	rte_pktmbuf_free(m);
}

/* Connect to our own address and pass 100 kB, whatever the port was to compute for us; nothing of it reaches a wire. */
static void own_address_is_reached_without_the_port(void **state)
{
	static const unsigned caps[] = {0, ENGINE_TX_IP_CSUM | ENGINE_TX_TCP_CSUM,
					ENGINE_TX_IP_CSUM | ENGINE_TX_TCP_CSUM | ENGINE_TX_TSO | ENGINE_TX_MULTI_SEG |
					    ENGINE_RX_CSUM};
	static uint8_t data[100000], got[100000];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = i * 31 >> 3;
	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		struct engine_config cfg = with_caps(caps[i]);
		struct endpoint at = {v4(OUR_IP), 80};
		struct conn *listener, *client, *server;
		size_t sent = 0, received = 0;
		int err;

		reopen(&cfg);
		listener = engine_socket(s.e);
		client = engine_socket(s.e);
		assert_int_equal(engine_bind(s.e, listener, &at), 0);
		assert_int_equal(engine_listen(s.e, listener, 5, s.now), 0);
		assert_int_equal(engine_connect(s.e, client, &at, s.now), -EINPROGRESS);
		settle();
		assert_int_equal(engine_state(client), ESTABLISHED);
		server = engine_accept(s.e, listener, &err);
		assert_non_null(server);
		for (unsigned round = 0; round < 1000 && received < sizeof(data); round++) {
			struct iovec from = {data + sent, sizeof(data) - sent}, to = {got + received, sizeof(got) - received};
			ssize_t n = sent < sizeof(data) ? engine_send(s.e, client, &from, 1, 0, s.now) : 0;

			sent += n > 0 ? n : 0;
			settle();
			n = engine_recv(s.e, server, &to, 1, 0, s.now);
			received += n > 0 ? n : 0;
		}
		assert_int_equal(received, sizeof(data));
		assert_memory_equal(data, got, sizeof(data));
		assert_int_equal(engine_stats(s.e)->out_frames, 0);
		assert_int_equal(engine_stats(s.e)->in_csum_errors, 0);
		assert_int_equal(engine_stats(s.e)->retrans_segs, 0);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* ---- bursts among many connections (ahead.c) ---- */

#define BURST 90

/* A SYN to nobody, cut to each length, then one with IP options: what the engine counts. */
static struct engine_stats count_burst(unsigned sockets)
{
	static const uint8_t syn[20] = {0x10, 0, 0x20, 0, [12] = 0x50, 0x02};
	struct engine_config cfg = onestack_config();
	struct rte_mbuf *pkts[BURST];
	struct conn *conns[1200];
	struct engine_stats stats;
	size_t len;

	cfg.max_conns = 2000;
	reopen(&cfg);
	for (unsigned i = 0; i < sockets; i++)
		assert_non_null(conns[i] = engine_socket(s.e));
	len = build_ip(frame, PEER_IP, OUR_IP, PROTO_TCP, syn, sizeof(syn));
	for (unsigned i = 0; i < BURST; i++)
		pkts[i] = onestack_frame(&s, frame, i < len ? i : len, FRAME_MAX);
	rte_pktmbuf_mtod(pkts[BURST - 1], uint8_t *)[ETH_HDR] = 0x46;
	engine_input(s.e, pkts, BURST, s.now);
	stats = *engine_stats(s.e);
	for (unsigned i = 0; i < sockets; i++)
		engine_close(s.e, conns[i], s.now);
	while (onestack_out(&s, out))
		;
	return stats;
}

static void looking_ahead_changes_nothing(void **state)
{
	struct engine_stats few = count_burst(1), many = count_burst(1200);

	assert_int_equal(many.in_frames, BURST);
	assert_memory_equal(&few, &many, sizeof(few));
}

/* RFC 6528: F is of the connection, not of what lay in memory where its tuple was put. */
static void initial_number_is_of_the_tuple_alone(void **state)
{
	static const struct engine e = {.cfg.secret = {1, 2}};
	struct tuple a, b;

	memset(&a, 0, sizeof(a));
	memset(&b, 0xff, sizeof(b));
	a.laddr = b.laddr = v4("10.0.0.1");
	a.raddr = b.raddr = v4("10.0.0.2");
	a.lport = b.lport = 40000;
	a.rport = b.rport = 80;
	assert_int_equal(conn_choose_iss(&e, &a), conn_choose_iss(&e, &b));
	b.rport = 81;
	assert_int_not_equal(conn_choose_iss(&e, &a), conn_choose_iss(&e, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(initial_number_is_of_the_tuple_alone),
	    T(every_reason_has_its_counter),
	    T(runts_of_every_length_are_counted),
	    T(port_judges_the_header_checksum),
	    T(headers_that_cannot_be_joined_are_dropped),
	    T(noise_is_survived),
	    T(routes_row_by_row),
	    T(without_gateway_only_the_link_is_reached),
	    T(header_is_complete_by_software_or_left_to_the_port),
	    T(transport_offload_flags_stay_and_gain_ipv4),
	    T(mtu_is_kept),
	    T(full_ring_loses_frames_and_nothing_else),
	    T(no_headroom_is_no_crash),
	    T(looped_frame_carries_no_orders),
	    T(own_address_is_reached_without_the_port),
	    T(looking_ahead_changes_nothing),
	};

	return cmocka_run_group_tests_name("ip", tests, onestack_eal, NULL);
}
