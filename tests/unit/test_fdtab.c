/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_fdtab.c - the descriptor table, and the records of undecided sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/early.h"
#include "shim/fdtab.h"
#include "shim/fresh.h"

/* ---- table ------------------------------------------------------------------------------------------------------------------
 */

static void numbers_are_the_kernels_by_default(void **state)
{
	static const int numbers[] = {-1, 0, 1, 1023, 1 << 20, INT32_MAX, INT32_MIN};

	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		assert_true(fdtab_is_kernel(numbers[i]));
		assert_int_equal(fdtab_get(numbers[i]).kind, FD_KERNEL);
	}
	assert_int_equal(fdtab_set(-1, FD_SOCK, &fdtab.size, 1), -ENOMEM);
	assert_int_equal(fdtab_set(INT32_MAX, FD_SOCK, &fdtab.size, 1), -ENOMEM);
	assert_int_equal(fdtab_set(INT32_MAX, FD_KERNEL, NULL, 0), 0);
}

static void what_is_set_is_found(void **state)
{
	int object;
	struct fdref r;

	assert_int_equal(fdtab_set(700, FD_SOCK, &object, 0xdeadbeef), 0);
	assert_false(fdtab_is_kernel(700));
	r = fdtab_get(700);
	assert_int_equal(r.fd, 700);
	assert_int_equal(r.kind, FD_SOCK);
	assert_int_equal(r.gen, 0xdeadbeef);
	assert_ptr_equal(r.obj, &object);
	assert_int_equal(fdtab_next(0), 700);
	assert_int_equal(fdtab_next(701), -1);
	fdtab_forget(700);
	assert_true(fdtab_is_kernel(700));
	assert_int_equal(fdtab_next(0), -1);
}

/* Each number has a slot of its own within the table; two threads that were dealt neighbours do not share a cache line. */
static void neighbours_have_lines_of_their_own(void **state)
{
	static uint8_t taken[1 << 16];

	for (unsigned fd = 0; fd < sizeof(taken); fd++) {
		unsigned at = fdtab_index(fd);

		assert_in_range(at, 0, sizeof(taken) - 1);
		assert_false(taken[at]);
		taken[at] = 1;
		for (unsigned next = fd + 1; next < fd + 64; next++)
			assert_true(fdtab_index(next) / 4 != at / 4);
	}
	assert_int_equal(sizeof(struct fdtab_slot), 16);
	assert_int_equal(fdtab_set(9, FD_SOCK, &fdtab.size, 1), 0);
	assert_int_equal(fdtab.size % (4 * FDTAB_STRIDE), 0);
	assert_int_equal(fdtab_set((int)fdtab.size - 1, FD_SOCK, &fdtab.size, 2), 0);
	assert_int_equal(fdtab_set((int)fdtab.size, FD_SOCK, &fdtab.size, 2), -ENOMEM);
	assert_int_equal(fdtab_next(10), (int)fdtab.size - 1);
	fdtab_forget((int)fdtab.size - 1);
	fdtab_forget(9);
}

static void swap_needs_what_was_seen(void **state)
{
	int a, b;
	struct fdref seen, stale;

	fdtab_set(700, FD_FRESH, &a, 1);
	stale = fdtab_get(700);
	fdtab_set(700, FD_FRESH, &a, 2);
	assert_false(fdtab_swap(&stale, FD_SOCK, &b, 1));
	seen = fdtab_get(700);
	assert_true(fdtab_swap(&seen, FD_SOCK, &b, 9));
	assert_false(fdtab_swap(&seen, FD_SOCK, &b, 9));
	assert_int_equal(fdtab_get(700).gen, 9);
	fdtab_forget(700);
	/* Out of the kernel's hands, and found by who goes through the table. */
	seen = fdtab_get(7000);
	assert_true(fdtab_swap(&seen, FD_SOCK, &b, 1));
	assert_int_equal(fdtab_next(0), 7000);
	fdtab_forget(7000);
}

static void traits_live_as_long_as_the_socket(void **state)
{
	int a;

	fdtab_place(700, FD_POOLABLE | FD_IS_V6);
	assert_true(fdtab_is_kernel(700));
	fdtab_set(700, FD_FRESH, &a, 1);
	fdtab_set(700, FD_SOCK, &a, 1);
	assert_int_equal(fdtab_traits(700), FD_POOLABLE | FD_IS_V6);
	fdtab_change_traits(700, FD_CLOEXEC_ON, FD_POOLABLE);
	assert_int_equal(fdtab_traits(700), FD_CLOEXEC_ON | FD_IS_V6);
	assert_int_equal(fdtab_get(700).kind, FD_SOCK);
	fdtab_set(700, FD_KERNEL, NULL, 0);
	assert_int_equal(fdtab_traits(700), 0);
}

/* Object i has generation i: a pair of different ones is a torn read. */
#define OBJECTS 64
#define ROUNDS 200000
static char objects[OBJECTS];
static bool writers_done;

static void *write_slots(void *arg)
{
	unsigned from = (unsigned)(uintptr_t)arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned o = (i * 7 + from) % OBJECTS;

		fdtab_set(800, o % 2 ? FD_SOCK : FD_FRESH, &objects[o], o);
	}
	return NULL;
}

static void *read_slots(void *arg)
{
	uintptr_t torn = 0;

	while (!__atomic_load_n(&writers_done, __ATOMIC_RELAXED)) {
		struct fdref r = fdtab_get(800);

		if (r.kind != FD_KERNEL)
			torn += r.obj != &objects[r.gen] || r.kind != (r.gen % 2 ? FD_SOCK : FD_FRESH);
	}
	return (void *)torn;
}

static void readers_never_see_half_a_change(void **state)
{
	pthread_t writers[2], readers[2];

	for (uintptr_t i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&readers[i], NULL, read_slots, NULL), 0);
		assert_int_equal(pthread_create(&writers[i], NULL, write_slots, (void *)i), 0);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	__atomic_store_n(&writers_done, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < 2; i++) {
		void *torn;

		pthread_join(readers[i], &torn);
		assert_int_equal((uintptr_t)torn, 0);
	}
	fdtab_forget(800);
}

/* Many threads try to take the same descriptor out: each change has one winner. */
static unsigned claims;

static void *claim_slots(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct fdref r = fdtab_get(801);

		if (r.kind == FD_SOCK && fdtab_swap(&r, FD_SPARE, NULL, 0)) {
			__atomic_add_fetch(&claims, 1, __ATOMIC_RELAXED);
			fdtab_set(801, FD_SOCK, objects, r.gen + 1);
		}
	}
	return NULL;
}

static void one_thread_wins_each_close(void **state)
{
	pthread_t threads[2];

	fdtab_set(801, FD_SOCK, objects, 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, claim_slots, NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	/* Every claim raised the generation by one: none was made twice. */
	assert_int_equal(fdtab_get(801).gen, claims);
	fdtab_forget(801);
}

/* ---- records ----------------------------------------------------------------------------------------------------------------
 */

static struct fdref fresh_on(int fd, struct fresh **f)
{
	*f = fresh_new(AF_INET, false);
	assert_non_null(*f);
	fdtab_set(fd, FD_FRESH, *f, (*f)->gen);
	return fdtab_get(fd);
}

static void decision_reaches_all_duplicates(void **state)
{
	struct fdref to = {.fd = 900, .kind = FD_KERNEL};
	struct fresh *f, *again;
	struct fdref r = fresh_on(900, &f);
	uint32_t gen = f->gen;

	assert_ptr_equal(fresh_lock(&r), f);
	fresh_share(f);
	fdtab_set(950, FD_FRESH, f, f->gen);
	assert_int_equal(fresh_decide(f, &to, NULL), 2);
	fresh_unlock(f);
	assert_true(fdtab_is_kernel(900) && fdtab_is_kernel(950));
	assert_null(fresh_lock(&r));
	/* The record went back, and its next user is somebody else. */
	again = fresh_new(AF_INET6, true);
	assert_ptr_equal(again, f);
	assert_int_not_equal(again->gen, gen);
	assert_true(fresh_drop(again));
}

static void record_outlives_close_while_locked(void **state)
{
	struct fresh *f, *other;
	struct fdref r = fresh_on(900, &f);

	assert_ptr_equal(fresh_lock(&r), f);
	assert_true(fdtab_swap(&r, FD_SPARE, NULL, 0));
	assert_false(fresh_drop(f)); /* the holder of the lock still has it */
	other = fresh_new(AF_INET, false);
	assert_ptr_not_equal(other, f);
	fresh_unlock(f);
	assert_true(fresh_drop(other));
	fdtab_forget(900);
}

static void option_set_twice_is_kept_once(void **state)
{
	struct early_opt o = {.level = SOL_SOCKET, .name = SO_KEEPALIVE, .len = 4, .val = {1}};
	struct fresh *f = fresh_new(AF_INET, false);

	assert_true(fresh_option(f, &o, false));
	o.val[0] = 0;
	assert_true(fresh_option(f, &o, false));
	assert_int_equal(f->nopts, 1);
	assert_int_equal(f->opts[0].val[0], 0);
	for (o.name = 1000; f->nopts < FRESH_OPTS_MAX; o.name++)
		assert_true(fresh_option(f, &o, false));
	assert_false(fresh_option(f, &o, false));
	fresh_drop(f);
}

/* What is put off must be accepted by this kernel, whenever it is given to it. */
static void put_off_options_never_fail(void **state)
{
	static const struct {
		int level, name;
		int value[4];
		socklen_t len;
		bool put_off;
	} rows[] = {
	    {SOL_SOCKET, SO_REUSEADDR, {INT32_MIN}, 4, true},
	    {SOL_SOCKET, SO_REUSEPORT, {7}, 4, true},
	    {SOL_SOCKET, SO_KEEPALIVE, {-1}, 4, true},
	    {SOL_SOCKET, SO_OOBINLINE, {1}, 4, true},
	    {SOL_SOCKET, SO_SNDBUF, {-1}, 4, true},
	    {SOL_SOCKET, SO_RCVBUF, {INT32_MAX}, 4, true},
	    {SOL_SOCKET, SO_LINGER, {1, -5}, 8, true},
	    {SOL_SOCKET, SO_LINGER, {1}, 4, false},
	    {SOL_SOCKET, SO_RCVTIMEO, {1, 0, 999999}, 16, true},
	    {SOL_SOCKET, SO_RCVTIMEO, {1, 0, 1000000}, 16, false},
	    {SOL_SOCKET, SO_SNDTIMEO, {-1, -1, 0}, 16, true},
	    {SOL_SOCKET, SO_BINDTODEVICE, {0}, 0, false},
	    {IPPROTO_TCP, TCP_NODELAY, {1}, 4, true},
	    {IPPROTO_TCP, TCP_NODELAY, {1}, 3, false},
	    {IPPROTO_TCP, TCP_CORK, {2}, 4, true},
	    {IPPROTO_TCP, TCP_QUICKACK, {0}, 4, true},
	    {IPPROTO_TCP, TCP_DEFER_ACCEPT, {-1}, 4, true},
	    {IPPROTO_TCP, TCP_LINGER2, {INT32_MIN}, 4, true},
	    {IPPROTO_TCP, TCP_USER_TIMEOUT, {0}, 4, true},
	    {IPPROTO_TCP, TCP_USER_TIMEOUT, {-1}, 4, false},
	    {IPPROTO_TCP, TCP_KEEPIDLE, {32767}, 4, true},
	    {IPPROTO_TCP, TCP_KEEPIDLE, {0}, 4, false},
	    {IPPROTO_TCP, TCP_KEEPINTVL, {32768}, 4, false},
	    {IPPROTO_TCP, TCP_KEEPCNT, {127}, 4, true},
	    {IPPROTO_TCP, TCP_KEEPCNT, {128}, 4, false},
	    {IPPROTO_TCP, TCP_SYNCNT, {127}, 4, true},
	    {IPPROTO_TCP, TCP_MAXSEG, {1400}, 4, false},
	    {IPPROTO_IPV6, IPV6_V6ONLY, {1}, 4, true},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct early_opt o = {.level = rows[i].level, .name = rows[i].name, .len = rows[i].len};
		int fd = socket(AF_INET6, SOCK_STREAM, 0);

		memcpy(o.val, rows[i].value, rows[i].len);
		if (early_deferrable(&o, rows[i].value, true) != rows[i].put_off)
			fail_msg("row %u is %sput off", i, rows[i].put_off ? "not " : "");
		if (rows[i].put_off && setsockopt(fd, o.level, o.name, o.val, o.len) < 0)
			fail_msg("row %u is refused by this kernel: %s", i, strerror(errno));
		assert_false(early_deferrable(&o, NULL, true));
		close(fd);
	}
}

static void v6only_is_asked_where_it_may_fail(void **state)
{
	struct early_opt o = {.level = IPPROTO_IPV6, .name = IPV6_V6ONLY, .len = 4, .val = {1}};

	assert_true(early_deferrable(&o, o.val, true));
	assert_false(early_deferrable(&o, o.val, false));
}
int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_are_the_kernels_by_default), cmocka_unit_test(what_is_set_is_found),
	    cmocka_unit_test(neighbours_have_lines_of_their_own), cmocka_unit_test(swap_needs_what_was_seen),
	    cmocka_unit_test(traits_live_as_long_as_the_socket),  cmocka_unit_test(readers_never_see_half_a_change),
	    cmocka_unit_test(one_thread_wins_each_close),	  cmocka_unit_test(decision_reaches_all_duplicates),
	    cmocka_unit_test(record_outlives_close_while_locked), cmocka_unit_test(option_set_twice_is_kept_once),
	    cmocka_unit_test(put_off_options_never_fail),	  cmocka_unit_test(v6only_is_asked_where_it_may_fail),
	};

	return cmocka_run_group_tests_name("fdtab", tests, NULL, NULL);
}
