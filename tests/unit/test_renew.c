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

static struct conn *connected(void)
{
	struct endpoint to = {.addr = v4(PEER_IP), .port = 80};
	struct conn *c = engine_socket(s.e);

	assert_int_equal(engine_connect(s.e, c, &to, s.now), -EINPROGRESS);
	assert_true(onestack_out(&s, out) > TCP_AT);
	answer_syn();
	assert_true(onestack_out(&s, out) > TCP_AT);
	assert_int_equal(c->state, ESTABLISHED);
	return c;
}

static int setup(void **state)
{
	struct engine_config cfg = onestack_config();
	uint8_t p[ETH_HDR + ARP_LEN];

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

static void peers_are_told(void **state)
{
	const struct engine_config cfg = s.e->cfg;
	struct engine_lost lost[4];
	struct conn *c = connected(), *other = engine_socket(s.e);
	uint32_t snd_nxt = c->snd_nxt;

	assert_non_null(other);
	spoil(s.e, c);
	assert_int_equal(engine_collect_lost(s.e, lost, 4), 1);
	engine_renew(s.e, &cfg, s.now);
	assert_int_equal(lost[0].remote.port, 80);
	engine_reset_lost(s.e, &lost[0], s.now);
	/* At once: the neighbour is known. */
	assert_true(onestack_out(&s, out) > TCP_AT);
	assert_memory_equal(out, peer_mac, 6);
	assert_int_equal(out[TCP_AT + 13] & 0x3f, 0x14);
	assert_int_equal(get32(out + TCP_AT + 4), snd_nxt);
	assert_int_equal(get32(out + TCP_AT + 8), PEER_ISS + 1);
}

static void engine_works_again(void **state)
{
	const struct engine_config cfg = s.e->cfg;
	struct conn *c = connected();

	spoil(s.e, c);
	engine_renew(s.e, &cfg, s.now);
	c = connected();
	engine_abort(s.e, c, s.now);
	assert_true(onestack_out(&s, out) > TCP_AT);
	onestack_run(&s, 1000000);
}

/* Who starts it anew is killed as well, before it has its tables again. */
static void cut_short(void **state)
{
	const struct engine_config cfg = s.e->cfg;
	struct engine_lost lost[1];
	struct conn *c = connected();

	spoil(s.e, c);
	memset(s.e, 0, sizeof(*s.e));
	assert_int_equal(engine_collect_lost(s.e, lost, 1), 0);
	engine_renew(s.e, &cfg, s.now);
	c = engine_socket(s.e);
	assert_non_null(c);
	assert_int_equal(engine_listen(s.e, c, 1, s.now), 0);
	onestack_run(&s, 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(peers_are_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(engine_works_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(cut_short, setup, teardown),
	};

	return cmocka_run_group_tests_name("renew", tests, onestack_eal, NULL);
}
