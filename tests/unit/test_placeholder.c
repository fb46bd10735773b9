/* SPDX-License-Identifier: BSD-3-Clause */
/* test_placeholder.c - the pool of placeholders, by one thread and by many; the socket that they share; private descriptors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/fdtab.h"
#include "shim/placeholder.h"

static char objects[1]; /* of engine sockets; only their addresses matter */

/* ---- pool -------------------------------------------------------------------------------------------------------------------
 */

static int get(int family, int flags)
{
	int fd = placeholder_get(family, flags, PLACEHOLDER_OWN);

	assert_true(fd >= 0);
	assert_int_equal(fdtab_get(fd).kind, FD_KERNEL);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void pristine_placeholder_comes_back(void **state)
{
	int v4 = get(AF_INET, 0), v6 = get(AF_INET6, SOCK_CLOEXEC), domain;
	socklen_t len = sizeof(domain);

	placeholder_put(v4, true);
	placeholder_put(v6, true);
	assert_int_equal(placeholder_count(), 2);
	assert_int_equal(fdtab_get(v4).kind, FD_SPARE);
	assert_int_equal(get(AF_INET6, SOCK_CLOEXEC), v6);
	assert_int_equal(getsockopt(v6, SOL_SOCKET, SO_DOMAIN, &domain, &len), 0);
	assert_int_equal(domain, AF_INET6);
	assert_int_equal(fcntl(v6, F_GETFD), FD_CLOEXEC);
	assert_int_equal(get(AF_INET, 0), v4);
	assert_int_equal(fcntl(v4, F_GETFD), 0);
	assert_int_equal(placeholder_count(), 0);
	placeholder_put(v4, false);
	placeholder_put(v6, false);
	assert_false(is_open(v4) || is_open(v6));
}

static void lowest_number_first(void **state)
{
	int fds[200];

	for (unsigned i = 0; i < 200; i++)
		fds[i] = get(AF_INET, 0);
	for (unsigned i = 200; i-- > 0;)
		placeholder_put(fds[i], true);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(get(AF_INET, 0), fds[i]);
	for (unsigned i = 0; i < 200; i++)
		placeholder_put(fds[i], false);
}

static void used_placeholder_is_closed(void **state)
{
	int fd = get(AF_INET, 0);

	fdtab_change_traits(fd, 0, FD_POOLABLE);
	placeholder_put(fd, true);
	assert_false(is_open(fd));
	assert_int_equal(placeholder_count(), 0);
}

static void pool_is_bounded_by_the_limit(void **state)
{
	struct rlimit lim;
	int fds[POOL_MAX + 8];
	unsigned max;

	getrlimit(RLIMIT_NOFILE, &lim);
	max = lim.rlim_cur / 4 < POOL_MAX ? (unsigned)lim.rlim_cur / 4 : POOL_MAX;
	for (unsigned i = 0; i < max + 8; i++)
		fds[i] = get(AF_INET, 0);
	for (unsigned i = 0; i < max + 8; i++)
		placeholder_put(fds[i], true);
	assert_int_equal(placeholder_count(), max);
	assert_true(placeholder_drain());
	assert_false(placeholder_drain());
	for (unsigned i = 0; i < max + 8; i++)
		assert_false(is_open(fds[i]));
}

/* Numbers to close, in another thread. */
struct closing {
	const int *fds;
	unsigned n;
};

static void *close_them(void *arg)
{
	const struct closing *c = arg;

	for (unsigned i = 0; i < c->n; i++)
		placeholder_put(c->fds[i], true);
	return NULL;
}

static void closed_elsewhere(const int *fds, unsigned n)
{
	struct closing c = {fds, n};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, close_them, &c), 0);
	pthread_join(thread, NULL);
}

/* Each thread keeps its own; before a new number is made, those of all others are taken. */
static void numbers_closed_by_other_threads_come_back(void **state)
{
	enum { EACH = 50, THREADS = 20 };
	int fds[EACH * THREADS], own = get(AF_INET, 0), fd;
	bool seen[65536] = {false};

	for (unsigned i = 0; i < EACH * THREADS; i++)
		fds[i] = get(AF_INET, 0);
	for (unsigned i = 0; i < THREADS; i++)
		closed_elsewhere(fds + i * EACH, EACH);
	placeholder_put(own, true);
	assert_int_equal(placeholder_count(), EACH * THREADS + 1);
	assert_int_equal(get(AF_INET, 0), own);
	for (unsigned i = 0; i < EACH * THREADS; i++) {
		fd = get(AF_INET, 0);
		assert_false(seen[fd]);
		seen[fd] = true;
	}
	for (unsigned i = 0; i < EACH * THREADS; i++)
		assert_true(seen[fds[i]]);
	assert_int_equal(placeholder_count(), 0);
	/* Whoever keeps it, a claim finds it. */
	closed_elsewhere(fds, 1);
	assert_true(placeholder_claim(fds[0]));
	close(fds[0]);
	for (unsigned i = 1; i < EACH * THREADS; i++)
		placeholder_put(fds[i], false);
	placeholder_put(own, false);
}

static void pool_is_bounded_for_all_threads_together(void **state)
{
	struct rlimit lim;
	int fds[POOL_MAX + 8];
	unsigned max;

	getrlimit(RLIMIT_NOFILE, &lim);
	max = lim.rlim_cur / 4 < POOL_MAX ? (unsigned)lim.rlim_cur / 4 : POOL_MAX;
	for (unsigned i = 0; i < max + 8; i++)
		fds[i] = get(AF_INET, 0);
	/* The first may keep all but a few; the last finds the room that others have left. */
	closed_elsewhere(fds, max - 3);
	assert_int_equal(placeholder_count(), max - 3);
	closed_elsewhere(fds + max - 3, 8);
	assert_int_equal(placeholder_count(), max);
	placeholder_put(fds[max + 5], true);
	assert_int_equal(placeholder_count(), max);
	assert_true(placeholder_drain());
	assert_int_equal(placeholder_count(), 0);
	for (unsigned i = max + 6; i < max + 8; i++)
		placeholder_put(fds[i], false);
	for (unsigned i = 0; i < max + 8; i++)
		assert_false(is_open(fds[i]));
}

static void full_table_drains_the_pool(void **state)
{
	struct rlimit lim, low;
	int kept = get(AF_INET, 0), fd, next;

	placeholder_put(kept, true);
	getrlimit(RLIMIT_NOFILE, &lim);
	/* No number is left but the one in the pool of the other family. */
	next = dup(0);
	close(next);
	low = (struct rlimit){(rlim_t)next, lim.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	fd = placeholder_get(AF_INET6, 0, PLACEHOLDER_OWN);
	setrlimit(RLIMIT_NOFILE, &lim);
	assert_int_equal(fd, kept);
	placeholder_put(fd, false);
}

static void claimed_number_leaves_the_pool(void **state)
{
	int fd = get(AF_INET, 0);

	assert_false(placeholder_claim(fd));
	placeholder_put(fd, true);
	assert_true(placeholder_claim(fd));
	assert_false(placeholder_claim(fd));
	assert_int_equal(placeholder_count(), 0);
	assert_true(is_open(fd) && fdtab_is_kernel(fd));
	close(fd);
}

static void fork_makes_sockets_unpoolable(void **state)
{
	int fd = get(AF_INET, 0);

	fdtab_set(fd, FD_SOCK, objects, 1);
	placeholder_fork_prepare();
	placeholder_put(fd, true);
	assert_false(is_open(fd));
}

#define POOL_ROUNDS 20000
static unsigned char owned[65536];

/* Take and give back: no number is ever with two threads. */
static void *use_pool(void *arg)
{
	uintptr_t wrong = 0;

	for (unsigned i = 0; i < POOL_ROUNDS; i++) {
		int fd = placeholder_get(i % 2 ? AF_INET : AF_INET6, 0, i % 3 ? PLACEHOLDER_ANY : PLACEHOLDER_OWN);

		if (fd < 0 || __atomic_exchange_n(&owned[fd], 1, __ATOMIC_ACQ_REL)) {
			wrong++;
			continue;
		}
		__atomic_store_n(&owned[fd], 0, __ATOMIC_RELEASE);
		placeholder_put(fd, true);
	}
	return (void *)wrong;
}

static void pool_gives_each_number_once(void **state)
{
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use_pool, NULL), 0);
	for (unsigned i = 0; i < 4; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		assert_int_equal((uintptr_t)wrong, 0);
	}
	placeholder_drain();
}

/* ---- shared sockets ---------------------------------------------------------------------------------------------------------
 */

/* As accept() does it: a number that shares, with an engine socket. */
static int get_shared(int family, int flags)
{
	int fd = placeholder_get(family, flags, PLACEHOLDER_ANY);

	assert_true(fd >= 0);
	assert_int_equal(fdtab_traits(fd) & (FD_SHARED | FD_POOLABLE), FD_SHARED | FD_POOLABLE);
	fdtab_set(fd, FD_SOCK, objects, 1);
	return fd;
}

static ino_t inode(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	return st.st_ino;
}

static void numbers_share_one_socket(void **state)
{
	int a = get_shared(AF_INET, 0), b = get_shared(AF_INET, SOCK_CLOEXEC), six = get_shared(AF_INET6, 0), domain;
	socklen_t len = sizeof(domain);

	assert_int_equal(inode(a), inode(b));
	assert_int_not_equal(inode(a), inode(six));
	assert_int_equal(fcntl(a, F_GETFD), 0);
	assert_int_equal(fcntl(b, F_GETFD), FD_CLOEXEC);
	assert_int_equal(getsockopt(six, SOL_SOCKET, SO_DOMAIN, &domain, &len), 0);
	assert_int_equal(domain, AF_INET6);
	placeholder_put(a, true);
	placeholder_put(b, true);
	placeholder_put(six, true);
	assert_int_equal(placeholder_count(), 3);
	assert_int_equal(get_shared(AF_INET, SOCK_CLOEXEC), b);
	assert_int_equal(get_shared(AF_INET, 0), a);
	/* One for the kernel is not taken from those. */
	assert_int_not_equal(get(AF_INET6, 0), six);
	placeholder_drain();
	assert_false(is_open(six));
	placeholder_put(a, false);
	placeholder_put(b, false);
}

static void use_ends_sharing(void **state)
{
	int a = get_shared(AF_INET, SOCK_CLOEXEC), b = get_shared(AF_INET, SOCK_CLOEXEC);

	assert_int_equal(placeholder_own(a), 0);
	assert_int_not_equal(inode(a), inode(b));
	assert_int_equal(fcntl(a, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fdtab_traits(a), FD_CLOEXEC_ON);
	assert_int_equal(fdtab_get(a).kind, FD_SOCK);
	/* It has been used: not for the pool.  The other one never was. */
	placeholder_put(a, true);
	placeholder_put(b, true);
	assert_false(is_open(a));
	assert_int_equal(placeholder_count(), 1);
	assert_int_equal(placeholder_own(b), -EBADF);
	placeholder_drain();
}

static void without_a_number_sharing_goes_on(void **state)
{
	int fd = get_shared(AF_INET, 0), next = dup(0);
	struct rlimit lim, low;

	close(next);
	getrlimit(RLIMIT_NOFILE, &lim);
	low = (struct rlimit){(rlim_t)next, lim.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(placeholder_own(fd), -EMFILE);
	assert_int_equal(fdtab_traits(fd), FD_SHARED | FD_POOLABLE);
	setrlimit(RLIMIT_NOFILE, &lim);
	assert_int_equal(placeholder_own(fd), 0);
	placeholder_put(fd, false);
}

static void fork_leaves_shared_ones_poolable(void **state)
{
	int taken = get_shared(AF_INET, 0), fresh = get_shared(AF_INET, 0);

	fdtab_set(fresh, FD_FRESH, objects, 1);
	placeholder_fork_prepare();
	assert_int_equal(fdtab_traits(taken), FD_SHARED | FD_POOLABLE);
	/* Both processes may bind an undecided one. */
	assert_int_equal(fdtab_traits(fresh), 0);
	placeholder_put(taken, true);
	assert_true(is_open(taken));
	placeholder_put(fresh, true);
	assert_false(is_open(fresh));
	placeholder_drain();
}

static _Atomic int raced; /* the number that one thread closes and the other wants for itself */

/* Number + 1 is the next one to own; 0: none, -1: the end. */
static void *own_numbers(void *arg)
{
	int fd;

	while ((fd = raced) >= 0) {
		if (fd > 0) {
			placeholder_own(fd - 1);
			raced = 0;
		}
	}
	return NULL;
}

/* Whatever file gets the number after close() is not replaced by a socket. */
static void close_and_use_do_not_meet(void **state)
{
	pthread_t thread;

	raced = 0;
	assert_int_equal(pthread_create(&thread, NULL, own_numbers, NULL), 0);
	for (unsigned i = 0; i < POOL_ROUNDS; i++) {
		int fd = get_shared(AF_INET, 0), file;
		struct fdref r = fdtab_get(fd);
		struct stat st;

		raced = fd + 1;
		assert_true(fdtab_swap(&r, FD_SPARE, NULL, 0));
		placeholder_put(fd, false);
		file = open("/dev/null", O_RDONLY);
		while (raced)
			;
		assert_int_equal(fstat(file, &st), 0);
		assert_true(S_ISCHR(st.st_mode));
		close(file);
	}
	raced = -1;
	pthread_join(thread, NULL);
	placeholder_drain();
}

static void private_descriptors_move_out_of_the_way(void **state)
{
	int fd = dup(0), high = private_fd(fd);

	assert_true(high > 100);
	assert_false(is_open(fd));
	assert_int_equal(fcntl(high, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fdtab_get(high).kind, FD_PRIVATE);
	private_fd_close(high);
	assert_false(is_open(high));
	assert_true(fdtab_is_kernel(high));
	assert_int_equal(private_fd(-1), -EBADF);
}
int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pristine_placeholder_comes_back),
	    cmocka_unit_test(lowest_number_first),
	    cmocka_unit_test(used_placeholder_is_closed),
	    cmocka_unit_test(pool_is_bounded_by_the_limit),
	    cmocka_unit_test(numbers_closed_by_other_threads_come_back),
	    cmocka_unit_test(pool_is_bounded_for_all_threads_together),
	    cmocka_unit_test(full_table_drains_the_pool),
	    cmocka_unit_test(claimed_number_leaves_the_pool),
	    cmocka_unit_test(fork_makes_sockets_unpoolable),
	    cmocka_unit_test(pool_gives_each_number_once),
	    cmocka_unit_test(numbers_share_one_socket),
	    cmocka_unit_test(use_ends_sharing),
	    cmocka_unit_test(without_a_number_sharing_goes_on),
	    cmocka_unit_test(fork_leaves_shared_ones_poolable),
	    cmocka_unit_test(close_and_use_do_not_meet),
	    cmocka_unit_test(private_descriptors_move_out_of_the_way),
	};

	return cmocka_run_group_tests_name("placeholder", tests, NULL, NULL);
}
