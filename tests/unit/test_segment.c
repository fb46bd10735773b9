/* SPDX-License-Identifier: BSD-3-Clause */
/* test_segment.c - engine/tcp_segment.c: the short way writes what the layers write one by one, and is taken where it leads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "engine/csum.h"
#include "engine/tcp_segment.h"
#include "tests/common/onestack.h"

#define FAR_IP "192.0.2.7" /* behind the gateway */
#define BOTH_CSUM (ENGINE_TX_IP_CSUM | ENGINE_TX_TCP_CSUM)

static const uint8_t gateway_mac[6] = {2, 0, 0, 0, 0, 9};
static struct onestack s;
static uint8_t frame[FRAME_MAX];

static void open_stack(unsigned caps)
{
	struct engine_config cfg = onestack_config();

	cfg.caps = caps;
	cfg.loopback = true;
	onestack_open(&s, &cfg);
}

/* A neighbour is asked for by a packet to it, and answers. */
static void learn(const char *ip, const uint8_t mac[6])
{
	struct ip_addr dst = v4(ip);
	struct ip_send how = {.src = &s.e->cfg.addrs[0].addr, .dst = &dst, .ttl = 64};

	ip_output(s.e, engine_mbuf(s.e), &how);
	onestack_in(&s, frame, build_arp(frame, our_mac, ARP_REPLY, mac, ip, our_mac, OUR_IP));
	while (onestack_out(&s, frame))
		;
}

/* As if there were a connection. */
static struct conn *connected_to(const char *ip)
{
	struct conn *c = engine_socket(s.e);

	assert_non_null(c);
	c->f.t = (struct tuple){.laddr = v4(OUR_IP), .raddr = v4(ip), .lport = 40001, .rport = 80};
	c->rcv_nxt = c->rcv_adv = c->copied_seq = 0xfffffffe;
	c->rcv_ssthresh = 30000;
	c->ttl = 61;
	c->ts_recent = 0xfedcba98;
	return c;
}

/* The frame of a segment with this payload; hint: where the last one went. */
static size_t frame_of(struct conn *c, const char *payload, const struct outgoing *what, uint16_t hint)
{
	struct rte_mbuf *m = engine_mbuf(s.e);
	struct outgoing o = *what;
	size_t len = strlen(payload);

	memcpy(rte_pktmbuf_append(m, len), payload, len);
	if (!(s.e->cfg.caps & ENGINE_TX_TCP_CSUM))
		o.payload_sum = csum_partial(payload, len);
	s.e->ip_id = 77;
	c->neigh = hint;
	tcp_segment(s.e, c, m, &o);
	return onestack_out(&s, frame);
}

static void short_way_writes_what_the_layers_write(void **state)
{
	static const struct {
		unsigned caps;
		bool ts;
		const char *payload;
		uint8_t flags, tos, pmtudisc;
	} rows[] = {
	    {0, false, "", 0, 0, IP_PMTUDISC_WANT},
	    {0, true, "", TH_FIN, 0x10, IP_PMTUDISC_DO},
	    {0, true, "odd", TH_PSH, 0, IP_PMTUDISC_DONT},
	    {0, false, "even", TH_PSH | TH_FIN, 0xfc, IP_PMTUDISC_WANT},
	    {BOTH_CSUM, true, "odd", TH_PSH, 0, IP_PMTUDISC_WANT},
	    {BOTH_CSUM, false, "", 0, 0, IP_PMTUDISC_WANT},
	    {ENGINE_TX_IP_CSUM, true, "even", 0, 0, IP_PMTUDISC_WANT},
	    {ENGINE_TX_TCP_CSUM, false, "odd", 0, 8, IP_PMTUDISC_DONT},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outgoing o = {.seq = 0x89abcdef + i, .flags = rows[i].flags, .room = TCP_OPT_MAX};
		uint8_t by_layers[128];
		struct conn *c;
		size_t len;

		open_stack(rows[i].caps);
		learn(PEER_IP, peer_mac);
		c = connected_to(PEER_IP);
		c->ts_ok = rows[i].ts;
		c->tos = rows[i].tos;
		c->pmtudisc = rows[i].pmtudisc;
		len = frame_of(c, rows[i].payload, &o, NEIGH_NONE);
		assert_true(len && len <= sizeof(by_layers));
		memcpy(by_layers, frame, len);
		assert_non_null(neigh_ready(s.e, c->neigh, &c->f.t.raddr));
		assert_int_equal(frame_of(c, rows[i].payload, &o, c->neigh), len);
		assert_memory_equal(frame, by_layers, len);
		engine_close(s.e, c, s.now);
		onestack_close(&s);
	}
}

/* A SYN with all options that one of ours can have; the frame's length. */
static size_t syn_frame(struct conn *c, uint16_t hint)
{
	struct tcp_fields f = {.sport = 40001, .dport = 80, .seq = 0xfffffff0, .flags = TH_SYN, .wnd = 0xffff};
	const struct fo_cookie cookie = {.len = 8, .val = {1, 2, 3, 4, 5, 6, 7, 255}};
	struct path p = tcp_path(c);

	wire_opt_syn(&f, 1460, true, true, 0xfedcba98, 0, 7);
	wire_opt_fastopen(&f, &cookie);
	s.e->ip_id = 77;
	c->neigh = hint;
	tcp_emit(s.e, engine_mbuf(s.e), &f, &p, 0);
	return onestack_out(&s, frame);
}

static void short_way_writes_options_as_the_layers_do(void **state)
{
	static const unsigned caps[] = {0, BOTH_CSUM};

	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		uint8_t by_layers[128];
		struct conn *c;
		size_t len;

		open_stack(caps[i]);
		learn(PEER_IP, peer_mac);
		c = connected_to(PEER_IP);
		len = syn_frame(c, NEIGH_NONE);
		assert_true(len > ETH_HDR + IPV4_HDR + TCP_HDR && len <= sizeof(by_layers));
		memcpy(by_layers, frame, len);
		assert_int_equal(syn_frame(c, c->neigh), len);
		assert_memory_equal(frame, by_layers, len);
		engine_close(s.e, c, s.now);
		onestack_close(&s);
	}
}

static void expect_to(struct conn *c, const uint8_t mac[6], uint16_t hint)
{
	struct outgoing o = {.seq = 1};

	assert_true(frame_of(c, "x", &o, hint) > 0);
	assert_memory_equal(frame, mac, 6);
}

static void gateway_is_not_taken_for_a_neighbour(void **state)
{
	struct conn *far, *near;
	uint16_t by_gateway, direct;

	open_stack(0);
	learn(GATEWAY_IP, gateway_mac);
	learn(PEER_IP, peer_mac);
	far = connected_to(FAR_IP);
	near = connected_to(PEER_IP);
	expect_to(far, gateway_mac, NEIGH_NONE);
	by_gateway = far->neigh;
	expect_to(near, peer_mac, NEIGH_NONE);
	direct = near->neigh;
	expect_to(far, gateway_mac, by_gateway);
	expect_to(near, peer_mac, direct);
	/* A slot that has become another's does not mislead: the gateway's is now the peer's, and the other way round. */
	expect_to(far, gateway_mac, direct | NEIGH_BY_GATEWAY);
	expect_to(near, peer_mac, by_gateway & NEIGH_INDEX);
	engine_close(s.e, far, s.now);
	engine_close(s.e, near, s.now);
	onestack_close(&s);
}

/* Not confirmed for too long, or doubted: the layers, which ask the neighbour. */
static void silent_neighbour_is_asked(void **state)
{
	struct conn *c;

	open_stack(0);
	learn(PEER_IP, peer_mac);
	c = connected_to(PEER_IP);
	expect_to(c, peer_mac, NEIGH_NONE);
	onestack_run(&s, 31000000);
	assert_null(neigh_ready(s.e, c->neigh, &c->f.t.raddr));
	expect_to(c, peer_mac, c->neigh);
	onestack_run(&s, 5000001);
	assert_true(frame_is_arp(frame, onestack_out(&s, frame), peer_mac, ARP_REQUEST, OUR_IP, PEER_IP));
	engine_close(s.e, c, s.now);
	onestack_run(&s, 10000000);
	while (onestack_out(&s, frame))
		;
	onestack_close(&s);
}

/* The SYN,ACK that answers the SYN in frame. */
static void answer_syn(void)
{
	struct tcp_fields f = {.sport = 80, .flags = TH_SYN | TH_ACK, .seq = 1000, .wnd = 1000};
	struct ip_addr us = v4(OUR_IP), peer = v4(PEER_IP);
	uint8_t tcp[TCP_HDR], *syn = frame + ETH_HDR + IPV4_HDR;
	struct seg seg;

	assert_int_equal(wire_parse_tcp(syn, (syn[12] >> 4) * 4, (syn[12] >> 4) * 4, &us, &peer, &seg), WIRE_OK);
	f.dport = seg.t.rport;
	f.ack = seg.seq + 1;
	wire_write_tcp(tcp, &f);
	wire_set_tcp_csum(tcp,
			  csum_fold((uint64_t)wire_pseudo_sum(&peer, &us, IPPROTO_TCP, TCP_HDR) + csum_partial(tcp, TCP_HDR)));
	onestack_in(&s, frame, build_ip(frame, PEER_IP, OUR_IP, IPPROTO_TCP, tcp, TCP_HDR));
}

/* Who acknowledges our SYN is there (RFC 4861 7.3.1). */
static void handshake_confirms_the_neighbour(void **state)
{
	struct endpoint peer = {.addr = v4(PEER_IP), .port = 80};
	struct conn *c;

	open_stack(0);
	learn(PEER_IP, peer_mac);
	onestack_run(&s, 31000000);
	c = engine_socket(s.e);
	engine_connect(s.e, c, &peer, s.now);
	assert_true(onestack_out(&s, frame) > 0);
	assert_null(neigh_ready(s.e, c->neigh, &peer.addr));
	answer_syn();
	assert_int_equal(c->state, ESTABLISHED);
	assert_non_null(neigh_ready(s.e, c->neigh, &peer.addr));
	engine_abort(s.e, c, s.now);
	while (onestack_out(&s, frame))
		;
	onestack_close(&s);
}

/* A SYN begins with the way of the one before, if that went to the same host. */
static void syn_finds_its_own_way(void **state)
{
	static const struct {
		const char *to;
		const uint8_t *mac;
	} rows[] = {
	    {FAR_IP, gateway_mac}, {FAR_IP, gateway_mac}, {PEER_IP, peer_mac}, {PEER_IP, peer_mac}, {FAR_IP, gateway_mac}};

	open_stack(0);
	learn(GATEWAY_IP, gateway_mac);
	learn(PEER_IP, peer_mac);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct endpoint to = {.addr = v4(rows[i].to), .port = 80};
		struct conn *c = engine_socket(s.e);

		engine_connect(s.e, c, &to, s.now);
		assert_true(onestack_out(&s, frame) > 0);
		assert_memory_equal(frame, rows[i].mac, 6);
		engine_abort(s.e, c, s.now);
	}
	onestack_close(&s);
}

/* The next connection of a socket, to this host, must not take the way of the one before. */
static void second_connection_finds_its_own_way(void **state)
{
	struct endpoint far = {.addr = v4(FAR_IP), .port = 80}, here = {.addr = v4(OUR_IP), .port = 4000};
	struct iovec iov = {"x", 1};
	struct conn *c, *listener;

	open_stack(0);
	learn(GATEWAY_IP, gateway_mac);
	listener = engine_socket(s.e);
	assert_int_equal(engine_bind(s.e, listener, &here), 0);
	assert_int_equal(engine_listen(s.e, listener, 1, s.now), 0);
	c = engine_socket(s.e);
	engine_connect(s.e, c, &far, s.now);
	assert_true(onestack_out(&s, frame) > 0);
	engine_disconnect(s.e, c, s.now);
	engine_connect(s.e, c, &here, s.now);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(onestack_out(&s, frame), 0);
		onestack_run(&s, 1);
	}
	assert_int_equal(c->state, ESTABLISHED);
	assert_int_equal(engine_send(s.e, c, &iov, 1, 0, s.now), 1);
	assert_int_equal(onestack_out(&s, frame), 0);
	engine_abort(s.e, c, s.now);
	engine_abort(s.e, listener, s.now);
	onestack_run(&s, 1);
	onestack_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(short_way_writes_what_the_layers_write), cmocka_unit_test(short_way_writes_options_as_the_layers_do),
	    cmocka_unit_test(gateway_is_not_taken_for_a_neighbour),   cmocka_unit_test(silent_neighbour_is_asked),
	    cmocka_unit_test(handshake_confirms_the_neighbour),	      cmocka_unit_test(syn_finds_its_own_way),
	    cmocka_unit_test(second_connection_finds_its_own_way),
	};

	return cmocka_run_group_tests_name("segment", tests, onestack_eal, NULL);
}
