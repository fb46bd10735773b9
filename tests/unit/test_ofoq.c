/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_ofoq.c - engine/ofoq.c against a sorted array, in every order of arrival, and the bound on a search: among 10,000 packets
 * it takes no more than a few dozen steps, whatever order they came in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "engine/ofoq.h"
#include "tests/common/testpool.h"

#define PACKETS 10000
#define EAL_MB 128
/* 10,000/256 on the sparse lane and 16 on each level below are expected; chance has room up to: */
#define STEPS_MAX 400
#define STEPS_MEAN 80

static struct rte_mempool *pool;
static uint64_t state = 88172645463325252ull;

static uint32_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16);
}

static struct rte_mbuf *packet(seq_t seq)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	assert_non_null(m);
	*pkt(m) = (struct pkt){.seq = seq, .len = 1};
	return m;
}

/* Packets compared until the place behind seq is known: what ofoq_find() walks. */
static unsigned steps_to(const struct ofoq *q, seq_t seq)
{
	struct rte_mbuf *prev = NULL, *m;
	unsigned steps = 0;

	for (unsigned l = OFOQ_LANES; l-- > 0; steps++)
		for (m = prev ? pkt(prev)->lane[l] : q->lane[l]; m && seq_leq(pkt(m)->seq, seq); m = pkt(m)->lane[l], steps++)
			prev = m;
	for (m = prev ? pkt(prev)->next : q->head; m && seq_leq(pkt(m)->seq, seq); m = pkt(m)->next)
		steps++;
	return steps;
}

static void assert_sound(const struct ofoq *q, unsigned count)
{
	struct rte_mbuf *last = NULL;
	unsigned n = 0;

	for (struct rte_mbuf *m = q->head; m; last = m, m = pkt(m)->next, n++)
		assert_true(!last || seq_lt(pkt(last)->seq, pkt(m)->seq));
	assert_int_equal(n, count);
	assert_ptr_equal(q->tail, last);
	for (unsigned l = 0; l < OFOQ_LANES; l++) {
		struct rte_mbuf *at = q->head;

		/* Each packet of a lane is on the list, in its order. */
		for (struct rte_mbuf *m = q->lane[l]; m; m = pkt(m)->lane[l]) {
			while (at && at != m)
				at = pkt(at)->next;
			assert_non_null(at);
		}
	}
}

static void insert(struct ofoq *q, seq_t seq)
{
	struct ofoq_place at;

	ofoq_find(q, seq, &at);
	assert_true(!at.prev || seq_leq(pkt(at.prev)->seq, seq));
	ofoq_insert(q, &at, packet(seq), draw());
}

static void drain(struct ofoq *q)
{
	struct rte_mbuf *m;
	seq_t last = 0;

	for (unsigned n = 0; (m = ofoq_pop(q)); n++) {
		assert_true(!n || seq_lt(last, pkt(m)->seq));
		last = pkt(m)->seq;
		rte_pktmbuf_free(m);
	}
	assert_null(q->head);
	assert_null(q->tail);
	for (unsigned l = 0; l < OFOQ_LANES; l++)
		assert_null(q->lane[l]);
}

/* Numbers that wrap around, in an order of arrival of the caller's. */
static void fill_and_measure(const uint32_t *order)
{
	struct ofoq q = {0};
	uint64_t sum = 0;
	unsigned most = 0;

	for (unsigned i = 0; i < PACKETS; i++)
		insert(&q, 0xffffe000u + 2 * order[i]);
	assert_sound(&q, PACKETS);
	for (unsigned i = 0; i < PACKETS; i++) {
		unsigned n = steps_to(&q, 0xffffe000u + 2 * i + 1);

		sum += n;
		most = n > most ? n : most;
	}
	assert_true(most <= STEPS_MAX);
	assert_true(sum / PACKETS <= STEPS_MEAN);
	drain(&q);
}

static uint32_t order[PACKETS];

static void forwards_backwards_and_shuffled_searches_are_short(void **st)
{
	for (unsigned i = 0; i < PACKETS; i++)
		order[i] = i;
	fill_and_measure(order);
	for (unsigned i = 0; i < PACKETS; i++)
		order[i] = PACKETS - 1 - i;
	fill_and_measure(order);
	for (unsigned i = PACKETS - 1; i > 0; i--) {
		unsigned k = draw() % (i + 1);
		uint32_t v = order[i];

		order[i] = order[k];
		order[k] = v;
	}
	fill_and_measure(order);
}

/* Every second packet is removed from behind its predecessor, as overlaps do. */
static void removal_keeps_list_and_lanes_in_order(void **st)
{
	struct ofoq q = {0};
	struct ofoq_place at;
	struct rte_mbuf *m;

	for (uint32_t i = 0; i < PACKETS; i++)
		insert(&q, i);
	for (uint32_t i = 0; i < PACKETS; i += 2) {
		ofoq_find(&q, i, &at);
		m = ofoq_remove(&q, &at);
		assert_int_equal(pkt(m)->seq, i + 1);
		rte_pktmbuf_free(m);
	}
	assert_sound(&q, PACKETS / 2);
	ofoq_find(&q, PACKETS, &at);
	assert_null(ofoq_remove(&q, &at));
	drain(&q);
	assert_null(ofoq_pop(&q));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(forwards_backwards_and_shuffled_searches_are_short),
	    cmocka_unit_test(removal_keeps_list_and_lanes_in_order),
	};

	if (testpool_start(EAL_MB) || !(pool = testpool_create("ofoq", 16383, 1500)))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
