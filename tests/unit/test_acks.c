/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_acks.c - which ACKs wait for what the user does next, between engine_output_pressing() and engine_output(), and which do
 * not (RFC 9293 3.8.6.3, RFC 5681 4.2).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "tests/common/pipe.h"
#include "tests/common/testpool.h"

#define EAL_MB 256
#define PORT 7000
#define REQUEST 64
#define BURST 16

static struct pipe p;
static struct conn *c[2];
static char data[4000];

static int open_pipe(void **state)
{
	static struct rte_mempool *pool[2];
	static const char *defaults[][2] = {{NULL}};
	struct pipe_config cfg = {
	    .mtu = 1500, .rate_bps = 1000000000, .queue_bytes = 1000000, .one_way_us = 10, .step_us = 10, .settings = defaults};

	for (unsigned i = 0; i < 2; i++) {
		if (!pool[i])
			pool[i] = testpool_create(i ? "acks1" : "acks0", 1024, 1500);
		if (!pool[i])
			return -1;
		cfg.pool[i] = pool[i];
	}
	pipe_open(&p, &cfg);
	pipe_connect(&p, c);
	return 0;
}

static int close_pipe(void **state)
{
	engine_abort(p.end[0].e, c[0], p.now);
	engine_abort(p.end[1].e, c[1], p.now);
	pipe_close(&p);
	return 0;
}

static void arrive(unsigned from, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, p.cfg.pool[!from], 0, UINT32_MAX);

	rte_pktmbuf_free(m);
	assert_non_null(copy);
	copy->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	engine_input(p.end[!from].e, &copy, 1, p.now);
}

/* What presses at that end goes over at once: so many frames, without the first `lost` of them. */
static unsigned pass(unsigned from, unsigned lost)
{
	struct rte_mbuf *m[BURST];
	unsigned n = engine_output_pressing(p.end[from].e, m, BURST, p.now);

	for (unsigned i = 0; i < n; i++)
		if (i < lost)
			rte_pktmbuf_free(m[i]);
		else
			arrive(from, m[i]);
	return n;
}

static void say(unsigned end, struct conn *conn, size_t len)
{
	struct iovec iov = {data, len};

	assert_int_equal(engine_send(p.end[end].e, conn, &iov, 1, 0, p.now), len);
}

/* All that is owed is an ACK, and it waits. */
static void assert_ack_waits(unsigned end)
{
	struct rte_mbuf *m;

	assert_true(engine_has_output(p.end[end].e));
	assert_false(engine_output_presses(p.end[end].e));
	assert_int_equal(engine_output_pressing(p.end[end].e, &m, 1, p.now), 0);
}

static void assert_nothing_owed(unsigned end)
{
	assert_false(engine_has_output(p.end[end].e));
}

static void ack_of_a_request_goes_with_the_answer(void **state)
{
	say(0, c[0], REQUEST);
	assert_int_equal(pass(0, 0), 1);
	assert_ack_waits(1);
	say(1, c[1], REQUEST);
	assert_int_equal(pass(1, 0), 1);
	assert_nothing_owed(1);
	assert_int_equal(c[0]->snd_una, c[0]->snd_end);
}

static void ack_of_a_request_goes_alone_in_the_end(void **state)
{
	struct rte_mbuf *m;

	say(0, c[0], REQUEST);
	assert_int_equal(pass(0, 0), 1);
	assert_ack_waits(1);
	assert_int_equal(engine_output(p.end[1].e, &m, 1, p.now), 1);
	arrive(1, m);
	assert_nothing_owed(1);
	assert_int_equal(c[0]->snd_una, c[0]->snd_end);
}

static void ack_of_the_handshake_goes_with_the_request(void **state)
{
	struct endpoint at = {ip_from_v4(inet_addr("10.0.0.2")), PORT};
	struct engine *a = p.end[0].e, *b = p.end[1].e;
	struct conn *listener = engine_socket(b), *client = engine_socket(a), *server;
	int err;

	assert_int_equal(engine_bind(b, listener, &at), 0);
	assert_int_equal(engine_listen(b, listener, 1, p.now), 0);
	assert_int_equal(engine_connect(a, client, &at, p.now), -EINPROGRESS);
	assert_int_equal(pass(0, 0), 1);
	assert_int_equal(pass(1, 0), 1);
	assert_ack_waits(0);
	say(0, client, REQUEST);
	assert_int_equal(pass(0, 0), 1);
	server = engine_accept(b, listener, &err);
	assert_non_null(server);
	assert_int_equal(engine_inq(server), REQUEST);
	engine_abort(a, client, p.now);
	engine_abort(b, server, p.now);
	engine_close(b, listener, p.now);
}

static void ack_of_two_full_segments_presses(void **state)
{
	say(0, c[0], 2 * c[0]->mss);
	assert_int_equal(pass(0, 0), 2);
	assert_int_equal(pass(1, 0), 1);
	assert_nothing_owed(1);
}

static void ack_of_what_is_out_of_order_presses(void **state)
{
	say(0, c[0], 2 * c[0]->mss);
	assert_int_equal(pass(0, 1), 2);
	assert_int_equal(pass(1, 0), 1);
	assert_nothing_owed(1);
}

/* A list has a connection once: what it has to say besides takes the ACK along, and it is not found there again. */
static void ack_that_waits_becomes_urgent(void **state)
{
	say(0, c[0], REQUEST);
	assert_int_equal(pass(0, 0), 1);
	assert_ack_waits(1);
	say(0, c[0], 2 * c[0]->mss);
	assert_int_equal(pass(0, 0), 2);
	assert_true(engine_output_presses(p.end[1].e));
	assert_int_equal(pass(1, 0), 1);
	assert_nothing_owed(1);
}

static int start(void **state)
{
	return testpool_start(EAL_MB);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(ack_of_a_request_goes_with_the_answer, open_pipe, close_pipe),
	    cmocka_unit_test_setup_teardown(ack_of_a_request_goes_alone_in_the_end, open_pipe, close_pipe),
	    cmocka_unit_test_setup_teardown(ack_of_the_handshake_goes_with_the_request, open_pipe, close_pipe),
	    cmocka_unit_test_setup_teardown(ack_of_two_full_segments_presses, open_pipe, close_pipe),
	    cmocka_unit_test_setup_teardown(ack_of_what_is_out_of_order_presses, open_pipe, close_pipe),
	    cmocka_unit_test_setup_teardown(ack_that_waits_becomes_urgent, open_pipe, close_pipe),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
