/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_core_random.c - the core among threads that do anything to anything: each step takes a socket or a set that all share and
 * sends, receives, waits, duplicates, changes options, closes, while others do the same to the same.  Results are those that
 * Linux allows, nothing hangs, and nothing is left at the end.  `make race` runs it under ThreadSanitizer.
 *
 * RANDOM_SEED draws other steps, RANDOM_STEPS more of them (of each thread).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "shim/arena.h"
#include "tests/unit/core_world.h"

#define ECHO_PORT 7
#define OUR_PORT 80
#define LIMIT_S 120
#define THREADS 4
#define ROUNDS 5 /* of new threads */
#define SOCKETS 16
#define SELECT_WORDS 4
#define SETS 4
#define STEPS 1000
#define CHUNK 3000
#define PATIENCE_US 2000

/* Descriptors that all threads use; -1: none.  Who takes a number out is the one who closes it. */
static _Atomic int socks[SOCKETS], sets[SETS];
static int listener;
static unsigned steps = STEPS;
static uint64_t seed = 1;

struct worker {
	uint64_t state;
	char buf[CHUNK];
};

/* splitmix64: any seed is a good one. */
static uint32_t draw(struct worker *w, uint32_t below)
{
	uint64_t z = w->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % below);
}

/* What a call may answer on a socket or set that others connect, shut down, close and replace at the same time. */
static void check(const char *what, long rc)
{
	static const int fine[] = {EBADF, EAGAIN,   EPIPE,   ECONNRESET, ENOTCONN, EINVAL,	EEXIST, ENOENT,
				   ELOOP, ENOTSOCK, EISCONN, EALREADY,	 EPERM,	   EINPROGRESS, ENOTTY};

	for (unsigned i = 0; rc < 0 && i < sizeof(fine) / sizeof(fine[0]); i++)
		if (rc == -fine[i])
			return;
	if (rc >= 0)
		return;
	fprintf(stderr, "seed %lu: %s: %s\n", (unsigned long)seed, what, strerror((int)-rc));
	abort();
}

static int any_socket(struct worker *w)
{
	return atomic_load(&socks[draw(w, SOCKETS)]);
}

static int any_set(struct worker *w)
{
	return atomic_load(&sets[draw(w, SETS)]);
}

/* ---- steps --------------------------------------------------------------------------------------------------------------- */

static void put(_Atomic int *slot, int fd)
{
	int old = atomic_exchange(slot, fd);

	if (old >= 0)
		world_close(old);
}

/* Blocking calls end soon: nobody may be there to answer. */
static void be_patient(int fd, bool nonblock)
{
	struct timeval tv = {.tv_usec = PATIENCE_US};
	struct fdref r = world_ref(fd);

	check("SO_RCVTIMEO", core->setsockopt(&r, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	check("SO_SNDTIMEO", core->setsockopt(&r, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	check("F_SETFL", core->setfl(&r, nonblock ? O_NONBLOCK : 0));
}

static void open_one(struct worker *w)
{
	int fd = world_connect(ECHO_PORT);

	check("connect", fd);
	if (fd < 0)
		return;
	be_patient(fd, draw(w, 2));
	put(&socks[draw(w, SOCKETS)], fd);
}

static void accept_one(struct worker *w)
{
	struct fdref r = world_ref(listener);
	int fd;

	if (draw(w, 2))
		peer_connect_and_send(OUR_PORT, draw(w, 3 * CHUNK));
	fd = core->accept(&r, NULL, NULL, ACCEPT_NOW);
	check("accept", fd);
	if (fd < 0)
		return;
	be_patient(fd, draw(w, 2));
	put(&socks[draw(w, SOCKETS)], fd);
}

static void close_one(struct worker *w)
{
	put(&socks[draw(w, SOCKETS)], -1);
}

/* A number that is in nobody's slot meanwhile is not closed by others. */
static void dup_one(struct worker *w)
{
	_Atomic int *slot = &socks[draw(w, SOCKETS)];
	int fd = atomic_exchange(slot, -1), copy;

	if (fd < 0)
		return;
	copy = world_dup(fd);
	check("dup", copy);
	put(slot, fd);
	put(&socks[draw(w, SOCKETS)], copy);
}

static void send_some(struct worker *w)
{
	struct fdref r = world_ref(any_socket(w));
	struct iovec iov = {w->buf, 1 + draw(w, CHUNK)};

	if (r.kind == FD_SOCK)
		check("send", core->send(&r, &iov, 1, draw(w, 2) ? MSG_DONTWAIT : 0));
}

static void receive_some(struct worker *w)
{
	static const int flags[] = {0, MSG_DONTWAIT, MSG_PEEK | MSG_DONTWAIT, MSG_WAITALL, MSG_TRUNC | MSG_DONTWAIT};
	struct fdref r = world_ref(any_socket(w));
	struct iovec iov = {w->buf, 1 + draw(w, CHUNK)};

	if (r.kind == FD_SOCK)
		check("recv", core->recv(&r, &iov, 1, flags[draw(w, 5)]));
}

static void shut_down(struct worker *w)
{
	struct fdref r = world_ref(any_socket(w));

	if (r.kind == FD_SOCK)
		check("shutdown", core->shutdown(&r, (int)draw(w, 3)));
}

static void look_at_one(struct worker *w)
{
	struct fdref r = world_ref(any_socket(w));
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	int n, size = 10000 + (int)draw(w, 100000);
	char words[200];

	if (r.kind != FD_SOCK)
		return;
	check("getsockname", core->getsockname(&r, (struct sockaddr *)&name, &len));
	len = sizeof(name);
	check("getpeername", core->getpeername(&r, (struct sockaddr *)&name, &len));
	check("FIONREAD", core->ioctl(&r, FIONREAD, &n));
	len = sizeof(n);
	check("SO_ERROR", core->getsockopt(&r, SOL_SOCKET, SO_ERROR, &n, &len));
	check("SO_RCVBUF", core->setsockopt(&r, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)));
	core->describe(&r, words, sizeof(words));
}

static void poll_some(struct worker *w)
{
	struct timespec limit = {.tv_nsec = PATIENCE_US * 1000};
	struct pollfd fds[4];

	for (int i = 0; i < 4; i++)
		fds[i] = (struct pollfd){.fd = draw(w, 5) ? any_socket(w) : any_set(w),
					 .events = (short)(POLLIN | (draw(w, 8) ? 0 : POLLOUT))};
	check("poll", core->poll(fds, 4, &limit, NULL));
}

static void select_some(struct worker *w)
{
	unsigned long in[SELECT_WORDS] = {0}, out[SELECT_WORDS] = {0}, found[SELECT_WORDS][SET_KINDS];
	struct sets s = {.bits = {in, out, NULL}, .n = SELECT_WORDS * LONG_BITS};
	int n, fd;

	for (int i = 0; i < 4; i++) {
		fd = any_socket(w);
		if (fd >= 0 && fd < s.n)
			(draw(w, 2) ? in : out)[fd / LONG_BITS] |= 1ul << fd % LONG_BITS;
	}
	n = core->select(&s, found);
	assert_in_range(n, 0, 4);
	for (int i = 0; n && i < SELECT_WORDS; i++)
		assert_true(!(found[i][SET_IN] & ~in[i]) && !(found[i][SET_OUT] & ~out[i]) && !found[i][SET_EX]);
}

static void change_set(struct worker *w)
{
	static const int ops[] = {EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL};
	static const uint32_t kinds[] = {0, EPOLLET, EPOLLONESHOT, EPOLLRDHUP};
	struct epoll_event ev = {.events = EPOLLIN | (draw(w, 2) ? EPOLLOUT : 0) | kinds[draw(w, 4)]};
	int set = any_set(w), fd = draw(w, 8) ? any_socket(w) : any_set(w);

	/* Whatever has this number by now: only what is ours is meant here. */
	if (set >= 0 && fd >= 0 && world_ref(fd).kind != FD_KERNEL)
		check("epoll_ctl", core->epoll_ctl(set, ops[draw(w, 4)], fd, &ev));
}

static void wait_at_set(struct worker *w)
{
	const struct timespec limit = {.tv_nsec = draw(w, 2) ? PATIENCE_US * 1000 : 0};
	struct epoll_event evs[4];
	int n = core->epoll_wait(any_set(w), evs, 4, &limit, NULL);

	check("epoll_wait", n);
	assert_true(n <= 4);
}

static void renew_set(struct worker *w)
{
	put(&sets[draw(w, SETS)], world_epoll());
}

static const struct {
	void (*run)(struct worker *w);
	unsigned weight;
} kinds[] = {{open_one, 4},	 {accept_one, 4},   {close_one, 5},   {dup_one, 4},   {send_some, 30},
	     {receive_some, 30}, {shut_down, 1},    {look_at_one, 5}, {poll_some, 5}, {select_some, 5},
	     {change_set, 12},	 {wait_at_set, 12}, {renew_set, 1}};

static void step(struct worker *w)
{
	unsigned sum = 0, at;

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		sum += kinds[i].weight;
	at = draw(w, sum);
	for (unsigned i = 0;; at -= kinds[i++].weight)
		if (at < kinds[i].weight) {
			kinds[i].run(w);
			return;
		}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < steps; i++)
		step(w);
	return NULL;
}

/* ---- the tests ------------------------------------------------------------------------------------------------------------ */

static unsigned alive(enum slab slab)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < arena_count(slab); i++) {
		void *obj = arena_at(slab, i);

		n += object_is(obj, object_gen(obj));
	}
	return n;
}

static void anything_goes(void **state)
{
	static struct worker workers[THREADS];
	pthread_t t[THREADS];

	for (int i = 0; i < SOCKETS; i++)
		socks[i] = -1;
	for (int i = 0; i < SETS; i++)
		sets[i] = world_epoll();
	listener = world_listen(OUR_PORT);
	assert_true(listener >= 0);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < THREADS; i++) {
			workers[i].state = (seed << 32) + (uint64_t)(round * THREADS + i);
			assert_int_equal(pthread_create(&t[i], NULL, work, &workers[i]), 0);
		}
		for (int i = 0; i < THREADS; i++)
			pthread_join(t[i], NULL);
	}
	for (int i = 0; i < SOCKETS; i++)
		put(&socks[i], -1);
	for (int i = 0; i < SETS; i++)
		put(&sets[i], -1);
	world_close(listener);
	assert_int_equal(alive(SLAB_SOCK), 0);
	assert_int_equal(alive(SLAB_EPSET), 0);
	assert_int_equal(alive(SLAB_MEMBER), 0);
	assert_int_equal(alive(SLAB_WATCH), 0);
}

static int run_in_world(enum world_wait wait)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(anything_goes)};

	alarm(LIMIT_S);
	world_start(wait, wait == WORLD_NAPS ? 20 : 0);
	peer_echo(ECHO_PORT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	if (getenv("RANDOM_SEED"))
		seed = strtoull(getenv("RANDOM_SEED"), NULL, 0);
	if (getenv("RANDOM_STEPS"))
		steps = (unsigned)atoi(getenv("RANDOM_STEPS"));
	return world_each_wait(run_in_world);
}
