/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_sack.c - engine/sack.c and the scoreboard of engine/recovery.c, on a send queue made by hand: against a model that knows
 * nothing of runs and hints, and with blocks chosen to be expensive.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/tcp_input.h"

#define MSS 1000
#define START 0xffff8000u /* the numbers wrap within the window */
#define STEPS_MAX 256	  /* as sack.c has it */

struct packet_box {
	struct rte_mbuf m;
	struct pkt p;
};

struct board {
	struct engine e;
	struct conn c;
	struct repair repair;
	struct extra extra;
	struct packet_box *box;
	unsigned n;
};

static struct board *board_new(unsigned n)
{
	struct board *b = calloc(1, sizeof(*b));

	b->box = calloc(n, sizeof(*b->box));
	b->n = n;
	b->e.now = 5000000;
	tcp_settings_init(&b->e.cfg.tcp);
	b->c.sack_ok = true;
	b->c.repair = &b->repair;
	b->c.extra = &b->extra;
	b->c.mss = b->c.cc.mss = MSS;
	b->c.iss = START - 1;
	recovery_init(&b->e, &b->c);
	b->c.snd_una = START;
	b->c.snd_nxt = START + n * MSS;
	for (unsigned i = 0; i < n; i++) {
		struct pkt *p = pkt(&b->box[i].m);

		assert_ptr_equal(p, &b->box[i].p);
		p->seq = START + i * MSS;
		p->len = MSS;
		p->flags = PKT_SENT;
		p->sent_at = 1000000 + i;
		pktq_push(&b->c.sndq, &b->box[i].m);
	}
	return b;
}

static void board_free(struct board *b)
{
	free(b->box);
	free(b);
}

/* Packets [from, to) are reported by block i of the segment. */
static void set_block(struct seg *s, unsigned i, unsigned from, unsigned to)
{
	s->sack[i] = (struct sack_block){START + from * MSS, START + to * MSS};
	s->nsack = i + 1;
	s->opts |= OPT_SACK;
}

static uint32_t sack(struct board *b, const struct seg *s)
{
	struct input in = {.e = &b->e, .c = &b->c, .seg = *s, .fack = b->c.high_sacked};
	struct ack a = {.now = b->e.now};

	in.seg.ack = b->c.snd_una;
	sack_blocks(&in, &a);
	return a.sacked / MSS;
}

static uint32_t sack_one(struct board *b, unsigned from, unsigned to)
{
	struct seg s = {0};

	set_block(&s, 0, from, to);
	return sack(b, &s);
}

/* As a cumulative ACK of the first n packets does. */
static void acknowledge(struct board *b, unsigned n)
{
	struct conn *c = &b->c;
	seq_t ack = START + n * MSS;

	recovery_forget_below(c, ack);
	while (c->sndq.head && seq_lt(pkt(c->sndq.head)->seq, ack)) {
		recovery_forget(c, c->sndq.head, MSS);
		/* Whoever still points to it will stumble. */
		memset(pktq_pop(&c->sndq), 0xa5, sizeof(struct packet_box));
	}
	c->snd_una = ack;
}

static bool sacked(const struct board *b, unsigned i)
{
	return b->box[i].p.flags & PKT_SACKED;
}

static void block_marks_what_it_covers(void **state)
{
	struct board *b = board_new(100);

	assert_int_equal(sack_one(b, 10, 20), 10);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(sacked(b, i), i >= 10 && i < 20);
	assert_int_equal(b->c.sacked_out, 10 * MSS);
	assert_int_equal(b->c.repair->sacked_pkts, 10);
	assert_int_equal(b->c.high_sacked, START + 20 * MSS);
	/* RFC 2018 4: repeated, as every block is, it says nothing new; grown, it says what it grew by. */
	assert_int_equal(sack_one(b, 10, 20), 0);
	assert_int_equal(sack_one(b, 10, 25), 5);
	assert_int_equal(sack_one(b, 5, 25), 5);
	board_free(b);
}

static void block_covers_part_of_a_packet(void **state)
{
	struct board *b = board_new(10);
	struct seg s = {.nsack = 1, .opts = OPT_SACK};

	s.sack[0] = (struct sack_block){START + 2 * MSS + 1, START + 5 * MSS - 1};
	assert_int_equal(sack(b, &s), 1);
	assert_true(sacked(b, 3));
	board_free(b);
}

/* One hole at the front, ten thousand packets behind it reported one more by each ACK: each is marked by the ACK that says so. */
static void growing_block_is_followed(void **state)
{
	struct board *b = board_new(10000);

	for (unsigned i = 2; i <= 10000; i++)
		assert_int_equal(sack_one(b, 1, i), 1);
	board_free(b);
}

/* Runs that were far apart are joined by one block: each is one step, however long. */
static void long_runs_are_one_step(void **state)
{
	struct board *b = board_new(20000);
	struct seg s = {0};

	set_block(&s, 0, 1, 5000);
	set_block(&s, 1, 5001, 10000);
	set_block(&s, 2, 10001, 15000);
	assert_int_equal(sack(b, &s), 14997);
	assert_int_equal(sack_one(b, 1, 10000), 1);
	assert_int_equal(sack_one(b, 1, 20000), 5001);
	assert_int_equal(b->c.repair->sacked_pkts, 19999);
	board_free(b);
}

/* A block far from any that came before is reached after several ACKs, none of which walked further than it may. */
static void far_block_costs_no_more_than_the_bound(void **state)
{
	struct board *b = board_new(10000);
	unsigned acks = 1;

	while (!sack_one(b, 9000, 9001))
		acks++;
	assert_in_range(acks, 9000 / STEPS_MAX, 9000 / STEPS_MAX + 2);
	board_free(b);
}

/* Three blocks per ACK in places that change all the time: nothing is marked that was not reported, and the sums stay right. */
static void flood_marks_only_what_is_reported(void **state)
{
	struct board *b = board_new(5000);
	static bool reported[5000];
	uint32_t marked = 0;

	srand(7);
	for (unsigned round = 0; round < 3000; round++) {
		struct seg s = {0};

		for (unsigned k = 0; k < 3; k++) {
			unsigned at = 1 + (unsigned)rand() % 4998;

			set_block(&s, k, at, at + 1);
			reported[at] = true;
		}
		marked += sack(b, &s);
	}
	for (unsigned i = 0; i < 5000; i++)
		assert_true(!sacked(b, i) || reported[i]);
	assert_int_equal(b->c.repair->sacked_pkts, marked);
	assert_int_equal(b->c.sacked_out, marked * MSS);
	board_free(b);
}

struct model {
	unsigned una;
	bool sacked[64], lost[64], rtx[64];
};

static unsigned list_count(const struct pkt_list *l)
{
	unsigned n = 0;
	const struct rte_mbuf *prev = NULL;

	for (struct rte_mbuf *m = l->head; m; prev = m, m = pkt(m)->list_next, n++)
		assert_ptr_equal(pkt(m)->list_prev, prev);
	assert_ptr_equal(l->tail, prev);
	return n;
}

static void compare(const struct board *b, const struct model *m)
{
	unsigned nsacked = 0, nlost = 0, nrtx = 0;

	for (unsigned i = m->una; i < b->n; i++) {
		assert_int_equal(sacked(b, i), m->sacked[i]);
		assert_int_equal(!!(b->box[i].p.flags & PKT_LOST), m->lost[i]);
		assert_int_equal(!!(b->box[i].p.flags & PKT_RETRANS), m->rtx[i]);
		nsacked += m->sacked[i];
		nlost += m->lost[i];
		nrtx += m->rtx[i];
	}
	assert_int_equal(b->c.sacked_out, nsacked * MSS);
	assert_int_equal(b->c.repair->sacked_pkts, nsacked);
	assert_int_equal(b->c.lost_out, nlost * MSS);
	assert_int_equal(b->c.retrans_out, nrtx * MSS);
	assert_int_equal(list_count(&b->c.repair->lost_list), nlost);
	assert_int_equal(list_count(&b->c.repair->rtx_list), nrtx);
}

static void model_sack(struct model *m, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		m->sacked[i] = true;
		m->lost[i] = m->rtx[i] = false;
	}
}

static void random_blocks(struct board *b, struct model *m)
{
	unsigned room = b->n - m->una, from[3], to[3];
	struct seg s = {0};

	for (unsigned k = 0; k < 3; k++) {
		from[k] = m->una + (unsigned)rand() % room;
		to[k] = from[k] + 1 + (unsigned)rand() % 6;
		if (to[k] > b->n)
			to[k] = b->n;
		set_block(&s, k, from[k], to[k]);
	}
	/* The first within the second is a duplicate's report (RFC 2883 4). */
	for (unsigned k = from[0] >= from[1] && to[0] <= to[1]; k < 3; k++)
		model_sack(m, from[k], to[k]);
	sack(b, &s);
}

static void random_event(struct board *b, struct model *m)
{
	unsigned at = m->una + (unsigned)rand() % (b->n - m->una);
	struct rte_mbuf *lost;

	switch (rand() % 6) {
	case 0:
		recovery_mark_lost(&b->c, &b->box[at].m);
		if (!m->sacked[at])
			m->lost[at] = true, m->rtx[at] = false;
		break;
	case 1:
	case 2:
		lost = recovery_next_lost(&b->c);
		if (!lost)
			break;
		at = (pkt(lost)->seq - START) / MSS;
		recovery_retransmitted(&b->e, &b->c, lost);
		m->lost[at] = false, m->rtx[at] = true;
		break;
	case 3:
		if (b->n - m->una < 20)
			break;
		m->una += (unsigned)rand() % 3;
		acknowledge(b, m->una);
		break;
	default:
		random_blocks(b, m);
	}
}

static void scoreboard_agrees_with_a_model(void **state)
{
	for (unsigned seed = 1; seed <= 500; seed++) {
		struct board *b = board_new(64);
		struct model m = {0};

		srand(seed);
		for (unsigned i = 0; i < 100; i++) {
			random_event(b, &m);
			compare(b, &m);
		}
		board_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(block_marks_what_it_covers),
	    cmocka_unit_test(block_covers_part_of_a_packet),
	    cmocka_unit_test(growing_block_is_followed),
	    cmocka_unit_test(long_runs_are_one_step),
	    cmocka_unit_test(far_block_costs_no_more_than_the_bound),
	    cmocka_unit_test(flood_marks_only_what_is_reported),
	    cmocka_unit_test(scoreboard_agrees_with_a_model),
	};

	return cmocka_run_group_tests_name("sack", tests, NULL, NULL);
}
