/* SPDX-License-Identifier: BSD-3-Clause */
/* test_arp.c - engine/arp.c: what is learnt and what is not, waiting packets, and the life of a neighbour. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "tests/common/onestack.h"

#define SECOND 1000000u
#define PROTO_TEST 253 /* RFC 3692: for experiments */
#define NOBODY "0.0.0.0"

static const uint8_t zero_mac[6], other_mac[6] = {2, 0, 0, 0, 0, 3};
static struct onestack s;
static uint8_t frame[FRAME_MAX];

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

/* Send one byte to a host; the byte tells packets apart. */
static void send_to(const char *host, uint8_t tag, uint16_t *hint)
{
	struct ip_addr dst = v4(host);
	struct ip_send how = {.src = &s.e->cfg.addrs[0].addr, .dst = &dst, .proto = PROTO_TEST, .ttl = 64, .neigh = hint};
	struct rte_mbuf *m = engine_mbuf(s.e);

	assert_non_null(m);
	*(uint8_t *)rte_pktmbuf_append(m, 1) = tag;
	assert_int_equal(ip_output(s.e, m, &how), 0);
}

/* The next frame is the packet with this tag, to this MAC address. */
static void expect_packet(const uint8_t mac[6], uint8_t tag)
{
	size_t len = onestack_out(&s, frame);

	assert_int_equal(len, ETH_HDR + IPV4_HDR + 1);
	assert_memory_equal(frame, mac, 6);
	assert_int_equal(frame[len - 1], tag);
}

static void expect_request(const uint8_t dst[6], const char *tpa)
{
	size_t len = onestack_out(&s, frame);

	assert_true(frame_is_arp(frame, len, dst, ARP_REQUEST, OUR_IP, tpa));
}

static void expect_nothing(void)
{
	assert_int_equal(onestack_out(&s, frame), 0);
}

static void arp_in(uint16_t op, const uint8_t sha[6], const char *spa, const char *tpa)
{
	uint8_t p[ETH_HDR + ARP_LEN];
	const uint8_t *dst = op == ARP_REPLY ? our_mac : broadcast_mac;

	onestack_in(&s, p, build_arp(p, dst, op, sha, spa, op == ARP_REPLY ? our_mac : zero_mac, tpa));
}

static unsigned neighbours(void)
{
	struct engine_usage u;

	engine_usage(s.e, &u);
	return u.neighbours;
}

/* Make the peer a REACHABLE neighbour. */
static void meet_peer(void)
{
	send_to(PEER_IP, 0, NULL);
	expect_request(broadcast_mac, PEER_IP);
	arp_in(ARP_REPLY, peer_mac, PEER_IP, OUR_IP);
	expect_packet(peer_mac, 0);
	expect_nothing();
}

/* The neighbour's index, by sending it a packet. */
static uint16_t find_hint(const char *host)
{
	uint16_t hint = NEIGH_NONE;

	send_to(host, 0, &hint);
	assert_true(onestack_out(&s, frame) > 0);
	return hint;
}

/* ---- what a packet teaches ---- */

static void request_for_us_is_answered_and_learnt(void **state)
{
	size_t len;

	arp_in(ARP_REQUEST, peer_mac, PEER_IP, OUR_IP);
	len = onestack_out(&s, frame);
	assert_true(frame_is_arp(frame, len, peer_mac, ARP_REPLY, OUR_IP, PEER_IP));
	assert_memory_equal(frame + ETH_HDR + 18, peer_mac, 6);
	assert_int_equal(neighbours(), 1);
	send_to(PEER_IP, 1, NULL);
	expect_packet(peer_mac, 1);
	expect_nothing();
}

static void request_for_another_is_ignored(void **state)
{
	arp_in(ARP_REQUEST, peer_mac, PEER_IP, "10.0.0.77");
	expect_nothing();
	assert_int_equal(neighbours(), 0);
}

/* RFC 5227 2.1.1: an address probe is answered, so that nobody takes our address, and teaches nothing. */
static void probe_from_nobody_is_answered_not_learnt(void **state)
{
	size_t len;

	arp_in(ARP_REQUEST, peer_mac, NOBODY, OUR_IP);
	len = onestack_out(&s, frame);
	assert_true(frame_is_arp(frame, len, peer_mac, ARP_REPLY, OUR_IP, NOBODY));
	assert_int_equal(neighbours(), 0);
}

static void unasked_reply_teaches_nothing(void **state)
{
	arp_in(ARP_REPLY, peer_mac, PEER_IP, OUR_IP);
	assert_int_equal(neighbours(), 0);
	send_to(PEER_IP, 1, NULL);
	expect_request(broadcast_mac, PEER_IP);
}

static void announcement_updates_but_does_not_create(void **state)
{
	arp_in(ARP_REQUEST, peer_mac, PEER_IP, PEER_IP);
	assert_int_equal(neighbours(), 0);
	meet_peer();
	arp_in(ARP_REQUEST, other_mac, PEER_IP, PEER_IP);
	send_to(PEER_IP, 1, NULL);
	expect_packet(other_mac, 1);
}

static void conflict_is_counted_and_not_believed(void **state)
{
	arp_in(ARP_REQUEST, other_mac, OUR_IP, OUR_IP);
	arp_in(ARP_REPLY, other_mac, OUR_IP, PEER_IP);
	assert_int_equal(engine_stats(s.e)->arp_conflict, 2);
	expect_nothing();
	assert_int_equal(neighbours(), 0);
}

static void our_own_frame_come_back_is_no_conflict(void **state)
{
	arp_in(ARP_REQUEST, our_mac, OUR_IP, OUR_IP);
	assert_int_equal(engine_stats(s.e)->arp_conflict, 0);
	expect_nothing();
}

static void malformed_is_counted(void **state)
{
	uint8_t p[ETH_HDR + ARP_LEN];

	build_arp(p, broadcast_mac, ARP_REQUEST, peer_mac, PEER_IP, zero_mac, OUR_IP);
	onestack_in(&s, p, sizeof(p) - 1);
	p[ETH_HDR + 7] = 9;
	onestack_in(&s, p, sizeof(p));
	build_arp(p, broadcast_mac, ARP_REQUEST, peer_mac, "224.0.0.1", zero_mac, OUR_IP);
	onestack_in(&s, p, sizeof(p));
	assert_int_equal(engine_stats(s.e)->arp_in, 3);
	assert_int_equal(engine_stats(s.e)->arp_in_errors, 3);
	expect_nothing();
}

static void announce_names_every_address(void **state)
{
	struct engine_config cfg = onestack_config();
	size_t len;

	onestack_close(&s);
	cfg.addrs[1] = (struct ip_prefix){v4("192.168.7.1"), 112};
	cfg.naddrs = 2;
	onestack_open(&s, &cfg);
	engine_announce(s.e, s.now);
	assert_true(engine_has_output(s.e));
	len = onestack_out(&s, frame);
	assert_true(frame_is_arp(frame, len, broadcast_mac, ARP_REQUEST, OUR_IP, OUR_IP));
	len = onestack_out(&s, frame);
	assert_true(frame_is_arp(frame, len, broadcast_mac, ARP_REQUEST, "192.168.7.1", "192.168.7.1"));
	expect_nothing();
}

/* With two stacks each learns what either receives; the one that received it answers. */
static void sibling_stack_learns_but_does_not_answer(void **state)
{
	struct engine_config cfg = onestack_config();
	uint8_t p[ETH_HDR + ARP_LEN], owner;
	struct rte_mbuf *m;

	onestack_close(&s);
	cfg.nstacks = 2;
	onestack_open(&s, &cfg);
	arp_in(ARP_REQUEST, peer_mac, PEER_IP, OUR_IP);
	assert_true(onestack_out(&s, frame) > 0);
	assert_int_equal(engine_foreign(s.e, &m, &owner, 1), 1);
	assert_int_equal(owner, 1);
	assert_int_equal(m->port, PORT_RELAYED);
	rte_pktmbuf_free(m);
	onestack_close(&s);
	/* Such a frame comes to stack 1. */
	cfg.stack = 1;
	onestack_open(&s, &cfg);
	m = onestack_frame(&s, p, build_arp(p, broadcast_mac, ARP_REQUEST, peer_mac, PEER_IP, zero_mac, OUR_IP), 0);
	m->port = PORT_RELAYED;
	engine_input(s.e, &m, 1, s.now);
	expect_nothing();
	assert_int_equal(engine_foreign(s.e, &m, &owner, 1), 0);
	send_to(PEER_IP, 1, NULL);
	expect_packet(peer_mac, 1);
}

/* ---- waiting ---- */

static void packets_wait_for_the_answer_in_order(void **state)
{
	send_to(PEER_IP, 1, NULL);
	send_to(PEER_IP, 2, NULL);
	send_to(PEER_IP, 3, NULL);
	expect_request(broadcast_mac, PEER_IP);
	expect_nothing();
	arp_in(ARP_REPLY, peer_mac, PEER_IP, OUR_IP);
	expect_packet(peer_mac, 1);
	expect_packet(peer_mac, 2);
	expect_packet(peer_mac, 3);
	expect_nothing();
}

/* The peer asks for us while we ask for it: that is an answer as well. */
static void request_from_the_awaited_frees_its_packets(void **state)
{
	send_to(PEER_IP, 1, NULL);
	expect_request(broadcast_mac, PEER_IP);
	arp_in(ARP_REQUEST, peer_mac, PEER_IP, OUR_IP);
	expect_packet(peer_mac, 1);
	assert_true(onestack_out(&s, frame) > 0);
	expect_nothing();
}

/* ip-sysctl, neigh/default/unres_qlen_bytes: the oldest give way. */
static void full_queue_drops_the_oldest(void **state)
{
	unsigned room = 20;

	s.e->cfg.tcp.unres_qlen_bytes = room * s.e->mbuf_truesize + s.e->mbuf_truesize / 2;
	for (unsigned tag = 0; tag < room + 3; tag++)
		send_to(PEER_IP, tag, NULL);
	expect_request(broadcast_mac, PEER_IP);
	assert_int_equal(engine_stats(s.e)->arp_queue_full, 3);
	arp_in(ARP_REPLY, peer_mac, PEER_IP, OUR_IP);
	for (unsigned tag = 3; tag < room + 3; tag++)
		expect_packet(peer_mac, tag);
	expect_nothing();
}

/* Whatever the setting, as on Linux. */
static void one_packet_always_waits(void **state)
{
	s.e->cfg.tcp.unres_qlen_bytes = 0;
	send_to(PEER_IP, 1, NULL);
	send_to(PEER_IP, 2, NULL);
	expect_request(broadcast_mac, PEER_IP);
	arp_in(ARP_REPLY, peer_mac, PEER_IP, OUR_IP);
	expect_packet(peer_mac, 2);
	expect_nothing();
}

/* Addresses without a host get an eighth of the pool, all together: the rest is there for the answers of others. */
static void queues_leave_the_pool_to_others(void **state)
{
	unsigned most = s.e->cfg.pool->size / 8, before = rte_mempool_avail_count(s.e->cfg.pool), sent = 0;
	struct engine_usage u;
	char host[32];

	for (unsigned i = 0; sent < 2 * most; i = (i + 1) % 100, sent++) {
		snprintf(host, sizeof(host), "10.0.0.%u", 100 + i);
		send_to(host, 0, NULL);
		while (onestack_out(&s, frame))
			;
	}
	engine_usage(s.e, &u);
	assert_int_equal(u.mbufs, most);
	assert_int_equal(before - rte_mempool_avail_count(s.e->cfg.pool), most);
	assert_int_equal(engine_stats(s.e)->arp_queue_full, sent - most);
	/* All of them fail, and the places are free again. */
	for (unsigned i = 0; i < 4; i++)
		onestack_run(&s, SECOND);
	while (onestack_out(&s, frame))
		;
	engine_usage(s.e, &u);
	assert_int_equal(u.mbufs, 0);
	assert_int_equal(rte_mempool_avail_count(s.e->cfg.pool), before);
}

static void silence_is_asked_three_times_then_given_up(void **state)
{
	send_to(PEER_IP, 1, NULL);
	send_to(PEER_IP, 2, NULL);
	for (unsigned i = 0; i < 3; i++) {
		expect_request(broadcast_mac, PEER_IP);
		onestack_run(&s, SECOND - 1);
		expect_nothing();
		assert_int_equal(engine_stats(s.e)->arp_failed, 0);
		onestack_run(&s, 1);
	}
	expect_nothing();
	assert_int_equal(engine_stats(s.e)->arp_failed, 2);
	assert_int_equal(engine_stats(s.e)->arp_out, 3);
	assert_true(engine_next_deadline(s.e) == USEC_NEVER);
	/* The next packet begins anew. */
	send_to(PEER_IP, 3, NULL);
	expect_request(broadcast_mac, PEER_IP);
	arp_in(ARP_REPLY, peer_mac, PEER_IP, OUR_IP);
	expect_packet(peer_mac, 3);
}

/* Linux: connect() to a host that does not answer ARP fails with EHOSTUNREACH after three seconds. */
static void connect_to_the_silent_fails(void **state)
{
	struct conn *c = engine_socket(s.e);
	struct endpoint to = {v4(PEER_IP), 80};

	assert_int_equal(engine_connect(s.e, c, &to, s.now), -EINPROGRESS);
	expect_request(broadcast_mac, PEER_IP);
	for (unsigned i = 0; i < 30; i++) {
		assert_false(engine_ready(c) & EPOLLERR);
		onestack_run(&s, SECOND / 10);
		while (onestack_out(&s, frame))
			;
	}
	assert_true(engine_ready(c) & EPOLLERR);
	assert_int_equal(engine_error(c), EHOSTUNREACH);
	engine_close(s.e, c, s.now);
}

/* No packet memory for the request: it is sent when the timer comes round. */
static void empty_pool_delays_the_request(void **state)
{
	static struct rte_mbuf *taken[4096];
	unsigned n = 0;
	struct ip_addr dst = v4(PEER_IP);
	struct ip_send how = {.src = &s.e->cfg.addrs[0].addr, .dst = &dst, .proto = PROTO_TEST, .ttl = 64};
	struct rte_mbuf *m = engine_mbuf(s.e);

	*(uint8_t *)rte_pktmbuf_append(m, 1) = 9;
	while ((taken[n] = rte_pktmbuf_alloc(s.pool)))
		n++;
	assert_int_equal(ip_output(s.e, m, &how), 0);
	expect_nothing();
	assert_int_equal(engine_stats(s.e)->no_mbuf, 1);
	rte_pktmbuf_free_bulk(taken, n);
	onestack_run(&s, SECOND);
	expect_request(broadcast_mac, PEER_IP);
	arp_in(ARP_REPLY, peer_mac, PEER_IP, OUR_IP);
	expect_packet(peer_mac, 9);
}

/* ---- a neighbour's life ---- */

static void reachable_is_used_unasked_for_thirty_seconds(void **state)
{
	meet_peer();
	for (unsigned i = 0; i < 30; i++) {
		onestack_run(&s, SECOND);
		send_to(PEER_IP, i, NULL);
		expect_packet(peer_mac, i);
		expect_nothing();
	}
	assert_int_equal(engine_stats(s.e)->arp_out, 1);
	assert_true(engine_next_deadline(s.e) == USEC_NEVER);
}

/* Use of a stale neighbour: five seconds of grace, then it is asked by unicast. */
static void stale_is_probed_by_unicast_and_confirmed(void **state)
{
	meet_peer();
	onestack_run(&s, 31 * SECOND);
	send_to(PEER_IP, 1, NULL);
	expect_packet(peer_mac, 1);
	onestack_run(&s, 5 * SECOND - 1);
	expect_nothing();
	onestack_run(&s, 1);
	expect_request(peer_mac, PEER_IP);
	send_to(PEER_IP, 2, NULL);
	expect_packet(peer_mac, 2); /* still used meanwhile */
	arp_in(ARP_REPLY, peer_mac, PEER_IP, OUR_IP);
	onestack_run(&s, 10 * SECOND);
	expect_nothing();
}

/* Learnt from its own request: not proven to hear us, so asked when it is used. */
static void merely_heard_neighbour_is_probed_when_used(void **state)
{
	arp_in(ARP_REQUEST, peer_mac, PEER_IP, OUR_IP);
	assert_true(onestack_out(&s, frame) > 0);
	send_to(PEER_IP, 1, NULL);
	expect_packet(peer_mac, 1);
	onestack_run(&s, 5 * SECOND);
	expect_request(peer_mac, PEER_IP);
}

/* Given up, then heard from again at the same MAC address: in use at once. */
static void failed_neighbour_comes_back(void **state)
{
	meet_peer();
	neigh_doubt(s.e, find_hint(PEER_IP));
	for (unsigned i = 0; i < 4; i++) {
		onestack_run(&s, SECOND);
		while (onestack_out(&s, frame))
			;
	}
	arp_in(ARP_REQUEST, peer_mac, PEER_IP, OUR_IP);
	assert_true(onestack_out(&s, frame) > 0);
	send_to(PEER_IP, 1, NULL);
	expect_packet(peer_mac, 1);
}

static void idle_stale_neighbour_costs_nothing(void **state)
{
	meet_peer();
	onestack_run(&s, 3600ull * SECOND);
	expect_nothing();
	assert_true(engine_next_deadline(s.e) == USEC_NEVER);
}

static void unanswered_probes_end_in_a_new_search(void **state)
{
	meet_peer();
	onestack_run(&s, 31 * SECOND);
	send_to(PEER_IP, 1, NULL);
	expect_packet(peer_mac, 1);
	onestack_run(&s, 5 * SECOND);
	for (unsigned i = 0; i < 3; i++) {
		expect_request(peer_mac, PEER_IP);
		onestack_run(&s, SECOND);
	}
	expect_nothing();
	send_to(PEER_IP, 2, NULL);
	expect_request(broadcast_mac, PEER_IP);
}

/* TCP's progress stands for answers: no ARP traffic under a busy connection. */
static void confirmed_neighbour_is_not_probed(void **state)
{
	uint16_t hint = NEIGH_NONE;

	meet_peer();
	for (unsigned i = 0; i < 300; i++) {
		send_to(PEER_IP, 1, &hint);
		expect_packet(peer_mac, 1);
		onestack_run(&s, SECOND);
		neigh_confirm(s.e, hint);
	}
	onestack_run(&s, 40 * SECOND);
	send_to(PEER_IP, 1, &hint);
	expect_packet(peer_mac, 1);
	for (unsigned i = 0; i < 4; i++)
		onestack_run(&s, SECOND);
	neigh_confirm(s.e, hint); /* within the five seconds */
	onestack_run(&s, 20 * SECOND);
	expect_nothing();
	assert_int_equal(engine_stats(s.e)->arp_out, 1);
}

static void doubted_neighbour_is_probed_at_once(void **state)
{
	uint16_t hint = NEIGH_NONE;

	meet_peer();
	send_to(PEER_IP, 1, &hint);
	expect_packet(peer_mac, 1);
	neigh_doubt(s.e, hint);
	onestack_run(&s, 0);
	expect_request(peer_mac, PEER_IP);
	arp_in(ARP_REPLY, other_mac, PEER_IP, OUR_IP); /* it moved */
	send_to(PEER_IP, 2, &hint);
	expect_packet(other_mac, 2);
}

static void hints_of_no_neighbour_are_harmless(void **state)
{
	static const uint16_t hints[] = {NEIGH_NONE, NEIGH_MAX, NEIGH_MAX - 1, 0};

	for (unsigned i = 0; i < 4; i++) {
		neigh_confirm(s.e, hints[i]);
		neigh_doubt(s.e, hints[i]);
	}
	onestack_run(&s, SECOND);
	expect_nothing();
	/* An unresolved neighbour can't be confirmed into existence. */
	uint16_t hint = NEIGH_NONE;

	send_to(PEER_IP, 1, &hint);
	expect_request(broadcast_mac, PEER_IP);
	neigh_confirm(s.e, hint);
	neigh_doubt(s.e, hint);
	send_to(PEER_IP, 2, &hint);
	expect_nothing();
}

/* A hint is a guess: with one that belongs to another address the packet still goes the right way. */
static void hint_is_checked_against_the_address(void **state)
{
	uint16_t hint = NEIGH_NONE;

	meet_peer();
	send_to(PEER_IP, 1, &hint);
	expect_packet(peer_mac, 1);
	assert_true(hint < NEIGH_MAX);
	send_to("10.0.0.3", 2, &hint);
	expect_request(broadcast_mac, "10.0.0.3");
	arp_in(ARP_REPLY, other_mac, "10.0.0.3", OUR_IP);
	expect_packet(other_mac, 2);
	send_to(PEER_IP, 3, &hint);
	expect_packet(peer_mac, 3);
}

/* ---- the table ---- */

static const char *nth_host(unsigned i)
{
	static char text[16];

	snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16 & 255, i >> 8 & 255, i & 255);
	return text;
}

static void open_wide(void)
{
	struct engine_config cfg = onestack_config();

	cfg.addrs[0].len = 96 + 8;
	onestack_open(&s, &cfg);
}

/* A subnet of 250 hosts fits without one pushing another out. */
static void subnet_of_neighbours_fits(void **state)
{
	for (unsigned i = 2; i < 252; i++) {
		uint8_t mac[6] = {2, 9, 9, 9, 9, i};

		send_to(nth_host(i), i, NULL);
		expect_request(broadcast_mac, nth_host(i));
		arp_in(ARP_REPLY, mac, nth_host(i), OUR_IP);
		expect_packet(mac, i);
		onestack_run(&s, 1000);
	}
	assert_int_equal(neighbours(), 250);
	for (unsigned i = 2; i < 252; i++) {
		uint8_t mac[6] = {2, 9, 9, 9, 9, i};

		send_to(nth_host(i), i, NULL);
		expect_packet(mac, i);
	}
}

/* More than fit: the least recently used give way, every packet still arrives, nothing leaks. */
static void more_neighbours_than_fit_still_work(void **state)
{
	onestack_close(&s);
	open_wide();
	for (unsigned i = 2; i < 5000; i++) {
		send_to(nth_host(i), i, NULL);
		expect_request(broadcast_mac, nth_host(i));
		arp_in(ARP_REPLY, peer_mac, nth_host(i), OUR_IP);
		expect_packet(peer_mac, i);
		onestack_run(&s, 10000);
	}
	assert_true(neighbours() <= NEIGH_MAX);
	assert_true(neighbours() > NEIGH_MAX / 2);
}

/* Thousands of packets to silent hosts: bounded, and all memory comes back (teardown looks). */
static void scan_of_silent_hosts_is_bounded(void **state)
{
	onestack_close(&s);
	open_wide();
	for (unsigned i = 2; i < 3000; i++) {
		send_to(nth_host(i), i, NULL);
		while (onestack_out(&s, frame))
			;
	}
	assert_true(neighbours() <= NEIGH_MAX);
	for (unsigned i = 0; i < 4; i++)
		onestack_run(&s, SECOND);
	while (onestack_out(&s, frame))
		onestack_run(&s, SECOND);
	assert_true(engine_next_deadline(s.e) == USEC_NEVER);
}

/* A flood of requests from made-up hosts can't push out the neighbour that is in use. */
static void flood_of_requests_spares_the_busy(void **state)
{
	onestack_close(&s);
	open_wide();
	meet_peer();
	for (unsigned i = 100; i < 20000; i++) {
		arp_in(ARP_REQUEST, other_mac, nth_host(i), OUR_IP);
		while (onestack_out(&s, frame))
			;
		if (i % 500)
			continue;
		onestack_run(&s, SECOND / 2);
		send_to(PEER_IP, 7, NULL);
		expect_packet(peer_mac, 7);
	}
	assert_int_equal(engine_stats(s.e)->arp_failed, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(request_for_us_is_answered_and_learnt),
	    T(request_for_another_is_ignored),
	    T(probe_from_nobody_is_answered_not_learnt),
	    T(unasked_reply_teaches_nothing),
	    T(announcement_updates_but_does_not_create),
	    T(conflict_is_counted_and_not_believed),
	    T(our_own_frame_come_back_is_no_conflict),
	    T(malformed_is_counted),
	    T(announce_names_every_address),
	    T(sibling_stack_learns_but_does_not_answer),
	    T(packets_wait_for_the_answer_in_order),
	    T(request_from_the_awaited_frees_its_packets),
	    T(full_queue_drops_the_oldest),
	    T(one_packet_always_waits),
	    T(queues_leave_the_pool_to_others),
	    T(silence_is_asked_three_times_then_given_up),
	    T(connect_to_the_silent_fails),
	    T(empty_pool_delays_the_request),
	    T(reachable_is_used_unasked_for_thirty_seconds),
	    T(stale_is_probed_by_unicast_and_confirmed),
	    T(merely_heard_neighbour_is_probed_when_used),
	    T(failed_neighbour_comes_back),
	    T(idle_stale_neighbour_costs_nothing),
	    T(unanswered_probes_end_in_a_new_search),
	    T(confirmed_neighbour_is_not_probed),
	    T(doubted_neighbour_is_probed_at_once),
	    T(hints_of_no_neighbour_are_harmless),
	    T(hint_is_checked_against_the_address),
	    T(subnet_of_neighbours_fits),
	    T(more_neighbours_than_fit_still_work),
	    T(scan_of_silent_hosts_is_bounded),
	    T(flood_of_requests_spares_the_busy),
	};

	return cmocka_run_group_tests_name("arp", tests, onestack_eal, NULL);
}
