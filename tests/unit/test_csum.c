/* SPDX-License-Identifier: BSD-3-Clause */
/* test_csum.c - engine/csum.c against the definition, two bytes at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <rte_mbuf.h>
#include <string.h>

#include "engine/csum.h"

#define BIG (3 * 4096 + 64)

static uint8_t bytes[BIG + 64], copied[BIG + 64];

/* RFC 1071 section 1, in the byte order of memory: htons() of the sum of big-endian words is the sum of words as they lie. */
static uint16_t reference(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += (i & 1) ? p[i] : p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)sum);
}

static int fill_random(void **state)
{
	uint32_t x = 12345;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = x >> 24;
	}
	return 0;
}

static void partial_known_values(void **state)
{
	static const struct {
		uint8_t data[20];
		size_t len;
		uint16_t big_endian;
	} rows[] = {
	    {{0}, 0, 0},
	    {{0xff}, 1, 0xff00},
	    {{0xff, 0xff}, 2, 0xffff},
	    {{0xff, 0xff, 0xff, 0xff}, 4, 0xffff}, /* the end-around carry */
	    {{0xff, 0xff, 0x00, 0x01}, 4, 0x0001},
	    {{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 8, 0xddf2}, /* RFC 1071 section 3 */
	    /* An IPv4 header as sent, checksum in place: sums to all ones. */
	    {{0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
	      0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7},
	     20,
	     0xffff},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(csum_partial(rows[i].data, rows[i].len), htons(rows[i].big_endian));
}

static void partial_all_ones_never_overflows(void **state)
{
	static uint8_t ones[65536];

	memset(ones, 0xff, sizeof(ones));
	for (size_t len = 65536 - 40; len <= 65536; len++)
		assert_int_equal(csum_partial(ones, len), reference(ones, len));
}

static void partial_any_length_and_alignment(void **state)
{
	for (size_t at = 0; at < 33; at++)
		for (size_t len = 0; len < 400; len++)
			assert_int_equal(csum_partial(bytes + at, len), reference(bytes + at, len));
	for (size_t len = BIG - 70; len <= BIG; len++)
		assert_int_equal(csum_partial(bytes, len), reference(bytes, len));
}

static void copy_copies_exactly_and_sums(void **state)
{
	static const size_t lens[] = {0, 1, 2, 7, 8, 63, 64, 65, 1447, 1448, 4095, 4096, 4097, 8192, 8193, BIG - 1, BIG};

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		for (size_t at = 0; at < 9; at++) {
			memset(copied, 0xee, sizeof(copied));
			assert_int_equal(csum_copy(copied + 1, bytes + at, lens[i]), reference(bytes + at, lens[i]));
			assert_memory_equal(copied + 1, bytes + at, lens[i]);
			assert_int_equal(copied[0], 0xee);
			assert_int_equal(copied[1 + lens[i]], 0xee);
		}
	}
}

static void add_joins_parts_at_any_offset(void **state)
{
	const size_t whole = 101;

	for (size_t cut = 0; cut <= whole; cut++) {
		for (size_t cut2 = cut; cut2 <= whole; cut2++) {
			uint32_t sum = csum_add(0, csum_partial(bytes, cut), 0);

			sum = csum_add(sum, csum_partial(bytes + cut, cut2 - cut), cut);
			sum = csum_add(sum, csum_partial(bytes + cut2, whole - cut2), cut2);
			assert_int_equal(csum_fold(sum), reference(bytes, whole));
		}
	}
}

static void fold_keeps_every_carry(void **state)
{
	static const struct {
		uint64_t sum;
		uint16_t folded;
	} rows[] = {
	    {0, 0},
	    {0xffff, 0xffff},
	    {0x10000, 1},
	    {0x1fffe, 0xffff},
	    {0xffffffff, 0xffff},
	    {0x100000000, 1},
	    {UINT64_MAX, 0xffff},
	    {0xffffffff00000001, 1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(csum_fold(rows[i].sum), rows[i].folded);
}

/* Whatever carries went round: all ones, folded, and nothing else but zero. */
static void good_is_what_folds_to_all_ones(void **state)
{
	static const uint64_t near[] = {0xffff, 0x1fffe, 0xffff0000, 0xffffffff, 0xffff0000ffff, UINT64_MAX, UINT64_MAX - 0xffff};

	for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++)
		for (uint64_t sum = near[i] - 2; sum != near[i] + 3; sum++)
			assert_int_equal(csum_good(sum), sum == 0 || csum_fold(sum) == 0xffff);
}

/* Segments of odd lengths, an empty one among them; starting anywhere. */
static void mbuf_sums_over_segments(void **state)
{
	static const uint16_t lens[] = {31, 0, 1, 64, 7, 200};
	struct rte_mbuf segs[6];
	size_t whole = 0;

	memset(segs, 0, sizeof(segs));
	for (unsigned i = 0; i < 6; i++) {
		segs[i].buf_addr = bytes + whole;
		segs[i].data_len = lens[i];
		segs[i].next = i < 5 ? &segs[i + 1] : NULL;
		whole += lens[i];
	}
	for (size_t off = 0; off < whole; off++) {
		struct rte_mbuf *first = segs;

		assert_int_equal(csum_fold(csum_mbuf(segs)), reference(bytes + off, whole - off));
		while (!first->data_len)
			first = first->next;
		first->data_off++;
		first->data_len--;
	}
	assert_int_equal(csum_mbuf(segs), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(partial_known_values),
	    cmocka_unit_test(good_is_what_folds_to_all_ones),
	    cmocka_unit_test(partial_all_ones_never_overflows),
	    cmocka_unit_test(partial_any_length_and_alignment),
	    cmocka_unit_test(copy_copies_exactly_and_sums),
	    cmocka_unit_test(add_joins_parts_at_any_offset),
	    cmocka_unit_test(fold_keeps_every_carry),
	    cmocka_unit_test(mbuf_sums_over_segments),
	};

	return cmocka_run_group_tests_name("csum", tests, fill_random, NULL);
}
