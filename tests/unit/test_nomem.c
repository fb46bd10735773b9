/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_nomem.c - the pool has no packet left at the moment when one is to be sent: it is sent when there is one again.  The
 * engine talks to itself, over its own address.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/epoll.h>

#include <rte_mbuf.h>

#include "tests/common/onestack.h"

#define HOARD_MAX 4096

struct pair {
	struct onestack s;
	struct conn *listener, *client, *server;
	struct rte_mbuf *hoard[HOARD_MAX];
	unsigned taken;
};

static void pair_open(struct pair *p)
{
	struct engine_config cfg = onestack_config();
	struct endpoint at = {v4(OUR_IP), 80};
	int err;

	onestack_open(&p->s, &cfg);
	p->taken = 0;
	p->listener = engine_socket(p->s.e);
	p->client = engine_socket(p->s.e);
	assert_int_equal(engine_bind(p->s.e, p->listener, &at), 0);
	assert_int_equal(engine_listen(p->s.e, p->listener, 1, p->s.now), 0);
	assert_int_equal(engine_connect(p->s.e, p->client, &at, p->s.now), -EINPROGRESS);
	onestack_alone(&p->s, 100000);
	p->server = engine_accept(p->s.e, p->listener, &err);
	assert_non_null(p->server);
}

static void take_all(struct pair *p)
{
	struct rte_mbuf *m;

	while ((m = rte_pktmbuf_alloc(p->s.pool))) {
		assert_true(p->taken < HOARD_MAX);
		p->hoard[p->taken++] = m;
	}
}

static void give_back(struct pair *p)
{
	while (p->taken)
		rte_pktmbuf_free(p->hoard[--p->taken]);
}

static void pair_close(struct pair *p)
{
	engine_abort(p->s.e, p->server, p->s.now);
	engine_abort(p->s.e, p->listener, p->s.now);
	onestack_alone(&p->s, 100000);
	onestack_close(&p->s);
}

/* RFC 9293 3.10.4: CLOSE sends a FIN; what can't be sent now is sent later, whether or not anything else happens. */
static void fin_without_memory_is_sent_later(void **state)
{
	static struct pair p;
	struct engine_usage u;

	pair_open(&p);
	take_all(&p);
	engine_close(p.s.e, p.client, p.s.now);
	onestack_alone(&p.s, 1000000);
	assert_int_equal(engine_state(p.server), ESTABLISHED);
	give_back(&p);
	onestack_alone(&p.s, 1000000);
	assert_int_equal(engine_state(p.server), CLOSE_WAIT);
	engine_close(p.s.e, p.server, p.s.now);
	onestack_alone(&p.s, 1000000);
	engine_usage(p.s.e, &u);
	assert_int_equal(u.conns, 1);
	p.server = engine_socket(p.s.e);
	pair_close(&p);
}

/* What happened to one connection since the last look. */
static uint32_t edges_of(struct pair *p, const struct conn *c)
{
	uint32_t edges, sum = 0;
	struct conn *got;

	while ((got = engine_next_event(p->s.e, &edges)))
		sum |= got == c ? edges : 0;
	return sum;
}

/* An edge-triggered writer takes a part for all that there is room for, and waits to be told of more. */
static void sent_in_part_is_told_of_room(void **state)
{
	static char block[200000];
	static struct pair p;
	struct iovec iov = {block, sizeof(block)};
	ssize_t n;

	pair_open(&p);
	take_all(&p);
	for (int i = 0; i < 3; i++)
		rte_pktmbuf_free(p.hoard[--p.taken]);
	edges_of(&p, p.client);
	n = engine_send(p.s.e, p.client, &iov, 1, 0, p.s.now);
	assert_in_range(n, 1, sizeof(block) - 1);
	assert_false(engine_ready(p.client) & EPOLLOUT);
	give_back(&p);
	onestack_alone(&p.s, 1000000);
	assert_true(engine_ready(p.client) & EPOLLOUT);
	assert_true(edges_of(&p, p.client) & EPOLLOUT);
	engine_abort(p.s.e, p.client, p.s.now);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fin_without_memory_is_sent_later),
	    cmocka_unit_test(sent_in_part_is_told_of_room),
	};

	return cmocka_run_group_tests(tests, onestack_eal, NULL);
}
