/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_many.c - one connection among so many that each look at one is a miss: what is over leaves nothing behind that would
 * have it looked at again.  The engine talks to itself, over its own address.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "engine/ahead.h"
#include "tests/common/onestack.h"

struct many {
	struct onestack s;
	struct conn *listener, *client, *server;
	struct conn *others[AHEAD_MANY];
};

static void many_open(struct many *m)
{
	struct engine_config cfg = onestack_config();
	struct endpoint at = {v4(OUR_IP), 80};
	int err;

	cfg.max_conns = AHEAD_MANY + 3;
	onestack_open(&m->s, &cfg);
	for (unsigned i = 0; i < AHEAD_MANY; i++)
		m->others[i] = engine_socket(m->s.e);
	m->listener = engine_socket(m->s.e);
	m->client = engine_socket(m->s.e);
	assert_int_equal(engine_bind(m->s.e, m->listener, &at), 0);
	assert_int_equal(engine_listen(m->s.e, m->listener, 1, m->s.now), 0);
	assert_int_equal(engine_connect(m->s.e, m->client, &at, m->s.now), -EINPROGRESS);
	onestack_alone(&m->s, 100000);
	m->server = engine_accept(m->s.e, m->listener, &err);
	assert_non_null(m->server);
	/* Until what the handshake armed is over. */
	onestack_alone(&m->s, 10000000);
}

static void many_close(struct many *m)
{
	engine_abort(m->s.e, m->client, m->s.now);
	engine_abort(m->s.e, m->server, m->s.now);
	engine_abort(m->s.e, m->listener, m->s.now);
	for (unsigned i = 0; i < AHEAD_MANY; i++)
		engine_abort(m->s.e, m->others[i], m->s.now);
	onestack_alone(&m->s, 100000);
	onestack_close(&m->s);
}

static unsigned timers(const struct many *m)
{
	struct engine_usage u;

	engine_usage(m->s.e, &u);
	return u.timers;
}

static void move_byte(struct many *m, struct conn *from, struct conn *to)
{
	char byte = 0;
	struct iovec iov = {&byte, 1};

	assert_int_equal(engine_send(m->s.e, from, &iov, 1, 0, m->s.now), 1);
	onestack_alone(&m->s, 5000);
	assert_int_equal(engine_recv(m->s.e, to, &iov, 1, 0, m->s.now), 1);
}

/* A request and its answer, and the ACK of that: no timer of either end is left. */
static void answered_request_leaves_no_timer(void **state)
{
	static struct many m;

	many_open(&m);
	assert_int_equal(timers(&m), 0);
	move_byte(&m, m.client, m.server);
	move_byte(&m, m.server, m.client);
	onestack_alone(&m.s, 41000); /* the longest that an ACK waits */
	assert_int_equal(timers(&m), 0);
	many_close(&m);
}

/* What is still to come is: the time of the first keep-alive probe, and nothing before. */
static void answered_request_leaves_the_keepalive_timer(void **state)
{
	static struct many m;
	int on = 1, idle = 100;
	usec_t begun;

	many_open(&m);
	begun = m.s.now;
	assert_int_equal(engine_setsockopt(m.s.e, m.client, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on), m.s.now), 0);
	assert_int_equal(engine_setsockopt(m.s.e, m.client, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle), m.s.now), 0);
	move_byte(&m, m.client, m.server);
	move_byte(&m, m.server, m.client);
	onestack_alone(&m.s, 41000);
	assert_int_equal(timers(&m), 1);
	onestack_alone(&m.s, 500000);
	assert_in_range(engine_next_deadline(m.s.e), begun + 99000000, begun + 101000000);
	many_close(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answered_request_leaves_no_timer),
	    cmocka_unit_test(answered_request_leaves_the_keepalive_timer),
	};

	return cmocka_run_group_tests_name("many", tests, onestack_eal, NULL);
}
