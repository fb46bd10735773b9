/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_renew.c - engine/renew.c: an engine whose lists cannot be trusted starts anew, knows its neighbours, and tells the peers
 * of the connections that it had.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <rte_mbuf.h>

#include "engine/conn.h"
#include "engine/csum.h"
#include "tests/common/onestack.h"

#define PROTO_TCP 6
#define TCP_AT (ETH_HDR + IPV4_HDR)
#define PEER_ISS 7000000u

static struct onestack s;
static uint8_t frame[FRAME_MAX], out[FRAME_MAX];
/* Where the engine notes what it lost. */
#define ROOM 200
static union {
	struct engine_lost_list list;
	char bytes[sizeof(struct engine_lost_list) + ROOM * sizeof(struct engine_lost)];
} lost;

static void put32(uint8_t *at, uint32_t v)
{
	v = htonl(v);
	memcpy(at, &v, 4);
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, 4);
	return ntohl(v);
}

/* The peer's answer to the SYN that is in out[]. */
static void answer_syn(void)
{
	uint8_t tcp[20] = {0}, pseudo[12 + 20];
	uint16_t sum;

	memcpy(tcp, out + TCP_AT + 2, 2);
	memcpy(tcp + 2, out + TCP_AT, 2);
	put32(tcp + 4, PEER_ISS);
	put32(tcp + 8, get32(out + TCP_AT + 4) + 1);
	tcp[12] = 5 << 4;
	tcp[13] = 0x12;
	tcp[14] = 0xff;
	inet_pton(AF_INET, PEER_IP, pseudo);
	inet_pton(AF_INET, OUR_IP, pseudo + 4);
	memcpy(pseudo + 8, (uint8_t[]){0, PROTO_TCP, 0, 20}, 4);
	memcpy(pseudo + 12, tcp, 20);
	sum = ~csum_partial(pseudo, sizeof(pseudo));
	memcpy(tcp + 16, &sum, 2);
	onestack_in(&s, frame, build_ip(frame, PEER_IP, OUR_IP, PROTO_TCP, tcp, sizeof(tcp)));
}

static struct conn *connected_from(uint16_t port)
{
	struct endpoint to = {.addr = v4(PEER_IP), .port = 80}, from = {.port = port};
	struct conn *c = engine_socket(s.e);

	assert_int_equal(engine_bind(s.e, c, &from), 0);
	assert_int_equal(engine_connect(s.e, c, &to, s.now), -EINPROGRESS);
	assert_true(onestack_out(&s, out) > TCP_AT);
	answer_syn();
	assert_true(onestack_out(&s, out) > TCP_AT);
	assert_int_equal(c->state, ESTABLISHED);
	return c;
}

static struct conn *connected(void)
{
	return connected_from(0);
}

static int setup(void **state)
{
	struct engine_config cfg = onestack_config();
	uint8_t p[ETH_HDR + ARP_LEN];

	memset(&lost, 0, sizeof(lost));
	lost.list.max = ROOM;
	cfg.lost = &lost.list;
	onestack_open(&s, &cfg);
	onestack_in(&s, p, build_arp(p, broadcast_mac, ARP_REQUEST, peer_mac, PEER_IP, our_mac, OUR_IP));
	assert_true(onestack_out(&s, out) > 0);
	return 0;
}

static int teardown(void **state)
{
	onestack_close(&s);
	return 0;
}

/* What a thread that is killed in the middle of a change leaves: pointers to anywhere. */
static void spoil(struct engine *e, struct conn *c)
{
	e->out.next = e->events.next = e->starved.next = (struct list *)8;
	e->buckets[0] = (struct flow *)16;
	c->out_link.next = c->event_link.next = (struct list *)24;
	c->f.hash_next = (struct flow *)32;
}

/* The next TCP segment into out[]; the neighbour may be asked meanwhile whether it is there.  False: there is none. */
static bool segment_out(void)
{
	size_t len;

	while ((len = onestack_out(&s, out)))
		if (len > TCP_AT && out[12] == 8 && !out[13])
			return true;
	return false;
}

/* It is a reset of this sequence number. */
static void expect_reset(uint32_t seq)
{
	assert_true(segment_out());
	assert_memory_equal(out, peer_mac, 6);
	assert_int_equal(out[TCP_AT + 13] & 0x3f, 0x14);
	assert_int_equal(get32(out + TCP_AT + 4), seq);
	assert_int_equal(get32(out + TCP_AT + 8), PEER_ISS + 1);
}

static void expect_nothing(void)
{
	assert_false(segment_out());
}

static void renew(void)
{
	const struct engine_config cfg = s.e->cfg;

	engine_renew(s.e, &cfg, s.now);
}

/* At once, as the neighbour is known; and again, as neither this nor the peer's question about it need arrive. */
static void peers_are_told(void **state)
{
	struct conn *c = connected(), *other = engine_socket(s.e);
	uint32_t snd_nxt = c->snd_nxt;

	assert_non_null(other);
	spoil(s.e, c);
	renew();
	assert_int_equal(lost.list.n, 1);
	assert_int_equal(lost.list.at[0].remote.port, 80);
	expect_reset(snd_nxt);
	for (int i = 0; i < 3; i++) {
		onestack_run(&s, 999000);
		expect_nothing();
		onestack_run(&s, 1000);
		expect_reset(snd_nxt);
	}
	assert_int_equal(lost.list.n, 0);
	onestack_run(&s, 5000000);
	expect_nothing();
}

/* Another process is killed before the peer was told again. */
static void peers_are_told_by_the_next(void **state)
{
	uint32_t first, second;
	struct conn *c = connected();

	first = c->snd_nxt;
	renew();
	expect_reset(first);
	onestack_run(&s, 400000);
	c = connected();
	second = c->snd_nxt;
	spoil(s.e, c);
	renew();
	expect_reset(second);
	expect_nothing();
	onestack_run(&s, 600000);
	expect_reset(first);
	onestack_run(&s, 400000);
	expect_reset(second);
	expect_nothing();
}

/* The same addresses and ports are in use again: the reset would be another connection's. */
static void a_new_connection_is_left_alone(void **state)
{
	struct conn *c = connected_from(4000);

	spoil(s.e, c);
	renew();
	expect_reset(lost.list.at[0].seq);
	c = connected_from(4000);
	onestack_run(&s, 1000000);
	expect_nothing();
	assert_int_equal(c->state, ESTABLISHED);
}

static unsigned segments_out(void)
{
	unsigned n = 0;

	while (segment_out())
		n++;
	return n;
}

/* No more at once than the port takes; nor more of them than there is room to note. */
static void many_are_told_by_and_by(void **state)
{
	struct conn *c;

	for (unsigned i = 0; i < ROOM; i++)
		lost.list.at[i] = (struct engine_lost){.local = {.addr = v4(OUR_IP), .port = (uint16_t)(1000 + i)},
						       .remote = {.addr = v4(PEER_IP), .port = 80}};
	lost.list.n = ROOM;
	c = connected();
	spoil(s.e, c);
	renew();
	assert_int_equal(segments_out(), 64);
	for (unsigned left = ROOM - 64; left; left -= left < 64 ? left : 64) {
		onestack_run(&s, 1000);
		assert_int_equal(segments_out(), left < 64 ? left : 64);
	}
	assert_int_equal(lost.list.n, 0);
}

static void engine_works_again(void **state)
{
	struct conn *c = connected();

	spoil(s.e, c);
	renew();
	assert_int_equal(segments_out(), 1);
	c = connected();
	engine_abort(s.e, c, s.now);
	assert_true(onestack_out(&s, out) > TCP_AT);
	onestack_run(&s, 1000000);
}

/* Who starts it anew is killed as well, before it has its tables again. */
static void cut_short(void **state)
{
	const struct engine_config cfg = s.e->cfg;
	struct conn *c = connected();
	uint32_t snd_nxt = c->snd_nxt;

	spoil(s.e, c);
	renew();
	expect_reset(snd_nxt);
	memset(s.e, 0, sizeof(*s.e));
	engine_renew(s.e, &cfg, s.now);
	c = engine_socket(s.e);
	assert_non_null(c);
	assert_int_equal(engine_listen(s.e, c, 1, s.now), 0);
	onestack_run(&s, 1000000);
}

/* Without memory for it the peers find out by themselves. */
static void nothing_is_noted(void **state)
{
	struct engine_config cfg = s.e->cfg;
	struct conn *c = connected();

	spoil(s.e, c);
	cfg.lost = NULL;
	engine_renew(s.e, &cfg, s.now);
	expect_nothing();
	onestack_run(&s, 5000000);
	expect_nothing();
	assert_int_equal(lost.list.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(peers_are_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(peers_are_told_by_the_next, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_new_connection_is_left_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(many_are_told_by_and_by, setup, teardown),
	    cmocka_unit_test_setup_teardown(engine_works_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(cut_short, setup, teardown),
	    cmocka_unit_test_setup_teardown(nothing_is_noted, setup, teardown),
	};

	return cmocka_run_group_tests_name("renew", tests, onestack_eal, NULL);
}
