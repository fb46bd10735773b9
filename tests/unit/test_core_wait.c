/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_core_wait.c - the core among threads, in a world of memory: no wake-up is lost, sockets and sets may be shared, added,
 * changed and closed while others wait.  Runs thrice: napping, with interrupts, and with such as must be armed; never spinning,
 * so that every wait sleeps.  alarm() ends a test that hangs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shim/hold.h"
#include "tests/unit/core_world.h"

#define ECHO_PORT 7
#define LIMIT_S 60
#define THREADS 4
#define PINGS 300

/* All begin at once, as the first descriptors of all make the table of descriptors. */
static void *ping(void *start)
{
	char out[100], in[100];
	int fd;

	pthread_barrier_wait(start);
	fd = world_connect(ECHO_PORT);
	assert_true(fd >= 0);
	for (int i = 0; i < PINGS; i++) {
		memset(out, i, sizeof(out));
		assert_int_equal(world_send(fd, out, sizeof(out)), sizeof(out));
		assert_int_equal(world_recv(fd, in, sizeof(in), MSG_WAITALL), sizeof(in));
		assert_memory_equal(in, out, sizeof(in));
	}
	world_close(fd);
	return NULL;
}

/* Threads that block in recv(), one of them the watcher, the others woken by whoever drives. */
static void blocked_threads_wake(void **state)
{
	pthread_barrier_t start;
	pthread_t t[THREADS];

	pthread_barrier_init(&start, NULL, THREADS);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, ping, &start);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	pthread_barrier_destroy(&start);
}

/* One writer and one reader on the same socket, more than its buffers hold. */
static void *write_much(void *arg)
{
	static char block[10000];

	for (int i = 0; i < 200; i++)
		assert_int_equal(world_send(*(int *)arg, block, sizeof(block)), sizeof(block));
	return NULL;
}

static void duplex_by_two_threads(void **state)
{
	int fd = world_connect(ECHO_PORT);
	static char buf[65536];
	size_t got = 0;
	pthread_t t;

	pthread_create(&t, NULL, write_much, &fd);
	while (got < 200 * 10000) {
		ssize_t n = world_recv(fd, buf, sizeof(buf), 0);

		assert_true(n > 0);
		got += (size_t)n;
	}
	pthread_join(t, NULL);
	world_close(fd);
}

/* A set that threads share: each event of a one-shot member is one thread's, and is given again after MOD. */
struct crew {
	int epfd;
	_Atomic int left;
};

static void *crew_member(void *arg)
{
	struct crew *crew = arg;
	struct timespec limit = {.tv_nsec = 50000000};
	struct epoll_event ev;
	char c;
	int n;

	while (crew->left > 0) {
		n = core->epoll_wait(crew->epfd, &ev, 1, &limit, NULL);
		assert_true(n >= 0);
		if (n == 0)
			continue;
		assert_int_equal(world_recv(ev.data.fd, &c, 1, MSG_DONTWAIT), 1);
		if (--crew->left >= THREADS)
			assert_int_equal(world_send(ev.data.fd, &c, 1), 1);
		ev.events = EPOLLIN | EPOLLONESHOT;
		assert_int_equal(core->epoll_ctl(crew->epfd, EPOLL_CTL_MOD, ev.data.fd, &ev), 0);
	}
	return NULL;
}

static void shared_set_serves_each_event_once(void **state)
{
	struct crew crew = {.epfd = world_epoll(), .left = 2000};
	int fd[THREADS];
	pthread_t t[THREADS];

	for (int i = 0; i < THREADS; i++) {
		struct epoll_event ev = {.events = EPOLLIN | EPOLLONESHOT};

		fd[i] = ev.data.fd = world_connect(ECHO_PORT);
		assert_int_equal(core->epoll_ctl(crew.epfd, EPOLL_CTL_ADD, fd[i], &ev), 0);
		assert_int_equal(world_send(fd[i], "x", 1), 1);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, crew_member, &crew);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < THREADS; i++)
		world_close(fd[i]);
	world_close(crew.epfd);
}

/* Sockets come and go while another thread waits at the set: their members leave with them, and none is reported after. */
static _Atomic bool stop;

static void *wait_always(void *arg)
{
	struct timespec limit = {.tv_nsec = 1000000};
	struct epoll_event ev[8];

	while (!stop) {
		int n = core->epoll_wait(*(int *)arg, ev, 8, &limit, NULL);

		assert_in_range(n, 0, 8);
		for (int i = 0; i < n; i++)
			assert_int_equal(ev[i].data.u64 >> 32, 0x5eed);
	}
	return NULL;
}

static void *come_and_go(void *arg)
{
	int epfd = *(int *)arg;

	for (int i = 0; i < 200; i++) {
		int fd = world_connect(ECHO_PORT);
		struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | (i & 1 ? EPOLLET : 0)};
		char c;

		assert_true(fd >= 0);
		ev.data.u64 = 0x5eedull << 32 | (unsigned)fd;
		assert_int_equal(core->epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev), 0);
		assert_int_equal(core->epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev), -EEXIST);
		assert_int_equal(world_send(fd, "x", 1), 1);
		ev.events = EPOLLIN;
		assert_int_equal(core->epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev), 0);
		assert_int_equal(world_recv(fd, &c, 1, 0), 1);
		if (i % 3 == 0) {
			assert_int_equal(core->epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL), 0);
			assert_int_equal(core->epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL), -ENOENT);
		}
		world_close(fd);
	}
	return NULL;
}

static void members_come_and_go(void **state)
{
	int epfd = world_epoll(), outer = world_epoll();
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 0x5eedull << 32};
	pthread_t waiting, nested, t[2];

	assert_int_equal(core->epoll_ctl(outer, EPOLL_CTL_ADD, epfd, &ev), 0);
	assert_int_equal(core->epoll_ctl(epfd, EPOLL_CTL_ADD, outer, &ev), -ELOOP);
	pthread_create(&waiting, NULL, wait_always, &epfd);
	pthread_create(&nested, NULL, wait_always, &outer);
	for (int i = 0; i < 2; i++)
		pthread_create(&t[i], NULL, come_and_go, &epfd);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	stop = true;
	pthread_join(waiting, NULL);
	pthread_join(nested, NULL);
	world_close(epfd);
	world_close(outer);
}

/* close() by one thread while another is blocked in recv(): that one goes on with the open file and gets what comes (close(2),
 * NOTES). */
static void *recv_one(void *arg)
{
	struct fdref r = *(struct fdref *)arg;
	struct iovec iov = {(char[1]){0}, 1};

	return (void *)(intptr_t)core->recv(&r, &iov, 1, 0);
}

static void close_under_a_blocked_reader(void **state)
{
	int fd = world_connect(ECHO_PORT), rc;
	struct fdref r = world_ref(fd);
	struct timespec tick = {.tv_nsec = 1000000};
	struct iovec none = {NULL, 0};
	void *got;
	pthread_t t;

	pthread_create(&t, NULL, recv_one, &r);
	/* The reader holds the socket once it blocks: one reference of the descriptor's and one of its own. */
	while (hold_count(r.obj) < 2)
		nanosleep(&tick, NULL);
	assert_int_equal(world_send(fd, "x", 1), 1);
	world_forget(fd);
	core->release(&r, &(bool){false});
	pthread_join(t, &got);
	assert_int_equal((intptr_t)got, 1);
	rc = (int)core->recv(&r, &none, 1, MSG_DONTWAIT);
	assert_int_equal(rc, -EBADF);
	close(fd);
}

static struct {
	int listener;
	_Atomic int accepted;
} acceptor;

static void *accept_some(void *arg)
{
	struct fdref r = world_ref(acceptor.listener);
	static char buf[4096];

	while (acceptor.accepted < 100) {
		int fd = core->accept(&r, NULL, NULL, 0);
		size_t got = 0;
		ssize_t n;

		if (fd == -EINVAL)
			break; /* shut down: all are there */
		assert_true(fd >= 0);
		while ((n = world_recv(fd, buf, sizeof(buf), 0)) > 0)
			got += (size_t)n;
		assert_int_equal(n, 0);
		assert_int_equal(got, 3000);
		world_close(fd);
		if (++acceptor.accepted == 100)
			core->shutdown(&r, SHUT_RD);
	}
	return NULL;
}

/* shutdown() of the listener wakes every thread that is blocked in accept(). */
static void accept_by_many_threads(void **state)
{
	pthread_t t[THREADS];

	acceptor.listener = world_listen(80);
	assert_true(acceptor.listener >= 0);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, accept_some, NULL);
	for (int i = 0; i < 100; i++)
		peer_connect_and_send(80, 3000);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(acceptor.accepted, 100);
	world_close(acceptor.listener);
}

/* A deadline of the application's is met although nothing happens; the peer that is not there is reported. */
static void timeouts_are_met(void **state)
{
	int fd = world_connect(ECHO_PORT);
	struct fdref r = world_ref(fd);
	struct timeval tv = {.tv_usec = 50000};
	struct timespec before, after, limit = {.tv_nsec = 30000000};
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c;

	assert_int_equal(core->setsockopt(&r, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	clock_gettime(CLOCK_MONOTONIC, &before);
	assert_int_equal(world_recv(fd, &c, 1, 0), -EAGAIN);
	assert_int_equal(core->poll(&p, 1, &limit, NULL), 0);
	assert_int_equal(limit.tv_sec + limit.tv_nsec, 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_true((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= 80000000L);
	assert_int_equal(world_connect(ECHO_PORT + 1), -ECONNREFUSED);
	world_close(fd);
}

static void add(unsigned long *set, int fd)
{
	assert_in_range(fd, 0, LONG_BITS - 1);
	*set |= 1ul << fd;
}

/* What the engine alone can tell; with a set of epoll's, or a descriptor of the kernel's whose turn it is, it does not. */
static void select_at_a_glance(void **state)
{
	int readable = world_connect(ECHO_PORT), idle = world_connect(ECHO_PORT), set = world_epoll(), pair[2];
	unsigned long in = 0, out = 0, ex = 0, found[1][SET_KINDS];
	struct sets s = {.bits = {&in, &out, &ex}, .n = LONG_BITS};
	char c = 'x';

	add(&in, idle);
	assert_int_equal(core->select(&s, found), 0);
	assert_int_equal(world_send(readable, &c, 1), 1);
	assert_int_equal(world_recv(readable, &c, 1, MSG_PEEK), 1);
	add(&in, readable);
	add(&out, idle);
	add(&ex, readable);
	assert_int_equal(core->select(&s, found), 2);
	assert_int_equal(found[0][SET_IN], 1ul << readable);
	assert_int_equal(found[0][SET_OUT], 1ul << idle);
	assert_int_equal(found[0][SET_EX], 0);
	s.n = readable + 1;
	assert_int_equal(core->select(&s, found), 1);
	add(&in, set);
	s.n = LONG_BITS;
	assert_int_equal(core->select(&s, found), 0);
	in = 1ul << readable;
	assert_int_equal(pipe(pair), 0);
	add(&in, pair[0]);
	assert_int_equal(core->select(&s, found), 0);
	world_close(readable);
	world_close(idle);
	world_close(set);
	close(pair[0]);
	close(pair[1]);
}

static int run_in_world(enum world_wait wait)
{
	static const char *const names[WORLD_WAITS] = {"core with naps", "core with interrupts", "core with weak interrupts"};
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(blocked_threads_wake),
	    cmocka_unit_test(duplex_by_two_threads),
	    cmocka_unit_test(shared_set_serves_each_event_once),
	    cmocka_unit_test(members_come_and_go),
	    cmocka_unit_test(close_under_a_blocked_reader),
	    cmocka_unit_test(accept_by_many_threads),
	    cmocka_unit_test(timeouts_are_met),
	    cmocka_unit_test(select_at_a_glance),
	};

	alarm(LIMIT_S);
	world_start(wait, 0);
	peer_echo(ECHO_PORT);
	return cmocka_run_group_tests_name(names[wait], tests, NULL, NULL);
}

int main(void)
{
	return world_each_wait(run_in_world);
}
