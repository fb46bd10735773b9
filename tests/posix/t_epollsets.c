/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_epollsets.c - many members, many sets: kernel descriptors beside connections, one socket in several sets, sets within sets,
 * members closed without EPOLL_CTL_DEL, exclusive wake-ups, sets shared by threads.
 */
#include "posix.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int add(int epfd, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};

	return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev);
}

/* Which members are ready, sorted by their data: the order between members is nobody's promise. */
static int say_wait(const char *what, int epfd, int ms)
{
	struct epoll_event ev[16];
	int n = epoll_wait(epfd, ev, 16, ms);

	if (n <= 0)
		say("%s: %s", what, n < 0 ? errno_name(errno) : "nothing");
	for (uint64_t data = 0; data < 100; data++)
		for (int i = 0; i < n; i++)
			if (ev[i].data.u64 == data)
				say("%s: of %d: %s, data %d", what, n, events_name(ev[i].events), (int)data);
	return n;
}

/* The client of most cases: N connections, told which of them is to send and which to close. */
static void clients(int n)
{
	int fd[16];

	hear("listening");
	for (int i = 0; i < n; i++)
		fd[i] = connect_to(SERVER_IP, port(0));
	for (;;) {
		long wish = hear_num();

		if (wish == 0)
			break;
		if (wish > 0)
			MUST(send(fd[wish - 1], "x", 1, 0));
		else
			MUST(close(fd[-wish - 1]));
		if (wish < 0)
			fd[-wish - 1] = -1;
		tell("done");
	}
	for (int i = 0; i < n; i++)
		if (fd[i] >= 0)
			MUST(close(fd[i]));
	tell("done");
}

static void wish(long what)
{
	tell_num(what);
	hear("done");
}

static void serve(int *fd, int n)
{
	int listener = listen_at(SERVER_IP, port(0));

	tell("listening");
	for (int i = 0; i < n; i++)
		fd[i] = accept_one(listener);
	MUST(close(listener));
}

static void take(int fd)
{
	char c;

	MUST(recv(fd, &c, 1, 0));
}

static void one_client(void)
{
	clients(1);
}

static void three_clients(void)
{
	clients(3);
}

static void mixed_server(void)
{
	struct itimerspec soon = {.it_value.tv_nsec = 20000000};
	int epfd = epoll_create1(0), fd[3], pipes[2], efd = eventfd(0, 0), tfd = timerfd_create(CLOCK_MONOTONIC, 0);
	uint64_t count = 1;

	MUST(pipe(pipes));
	serve(fd, 3);
	for (int i = 0; i < 3; i++)
		T(add(epfd, fd[i], EPOLLIN, i));
	T(add(epfd, pipes[0], EPOLLIN, 10));
	T(add(epfd, efd, EPOLLIN, 11));
	T(add(epfd, tfd, EPOLLIN, 12));
	say_wait("quiet", epfd, 0);
	wish(2);
	say_wait("connection 1", epfd, -1);
	MUST(write(pipes[1], "x", 1));
	MUST(write(efd, &count, sizeof(count)));
	say_wait("connection 1, pipe, eventfd", epfd, -1);
	wish(1);
	wish(3);
	await(fd[0], POLLIN);
	await(fd[2], POLLIN);
	say_wait("all but the timer", epfd, -1);
	for (int i = 0; i < 3; i++)
		take(fd[i]);
	MUST(read(pipes[0], &count, 1));
	MUST(read(efd, &count, sizeof(count)));
	timerfd_settime(tfd, 0, &soon, NULL);
	/* Asleep on connections, woken by the kernel's timer. */
	say_wait("the timer", epfd, -1);
	MUST(read(tfd, &count, sizeof(count)));
	say_wait("quiet again", epfd, 0);
	wish(-2);
	await(fd[1], POLLRDHUP);
	say_wait("connection 1 ended", epfd, -1);
	wish(0);
	for (int i = 0; i < 3; i++)
		MUST(close(fd[i]));
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	MUST(close(efd));
	MUST(close(tfd));
	MUST(close(epfd));
}

/* Fewer places than members that are ready: in turn, so that nobody starves. */
static void fairness_server(void)
{
	int epfd = epoll_create1(0), fd[3], efd = eventfd(1, 0), seen[4] = {0};

	serve(fd, 3);
	for (int i = 0; i < 3; i++) {
		wish(i + 1);
		await(fd[i], POLLIN);
		MUST(add(epfd, fd[i], EPOLLIN, i));
	}
	MUST(add(epfd, efd, EPOLLIN, 3));
	for (int i = 0; i < 40; i++) {
		struct epoll_event ev;

		MUST(epoll_wait(epfd, &ev, 1, -1));
		seen[ev.data.u64]++;
	}
	for (int i = 0; i < 4; i++)
		say_if(i < 3 ? "a connection had its share" : "the eventfd had its share", seen[i] >= 5);
	wish(0);
	for (int i = 0; i < 3; i++)
		MUST(close(fd[i]));
	MUST(close(efd));
	MUST(close(epfd));
}

static void several_sets_server(void)
{
	int a = epoll_create1(0), b = epoll_create1(0), c = epoll_create1(0), fd;

	serve(&fd, 1);
	T(add(a, fd, EPOLLIN, 1));
	T(add(b, fd, EPOLLIN | EPOLLET, 2));
	T(add(c, fd, EPOLLOUT, 3));
	wish(1);
	say_wait("level", a, -1);
	say_wait("edge", b, -1);
	say_wait("out", c, 0);
	say_wait("level", a, 0);
	say_wait("edge", b, 0);
	T(epoll_ctl(a, EPOLL_CTL_DEL, fd, NULL));
	wish(1);
	await_inq(fd, 2);
	say_wait("deleted here", a, 0);
	say_wait("edge", b, 0);
	wish(0);
	await(fd, POLLRDHUP);
	say_wait("edge", b, 0);
	MUST(close(b));
	say_wait("out", c, 0);
	MUST(close(fd));
	say_wait("closed", c, 0);
	MUST(close(a));
	MUST(close(c));
}

/* A set in a set: the outer one is ready when the inner one has something. */
static void nested_server(void)
{
	int outer = epoll_create1(0), inner = epoll_create1(0), fd, efd = eventfd(0, 0);
	struct pollfd p = {.fd = inner, .events = POLLIN};
	uint64_t count = 1;
	fd_set in;

	serve(&fd, 1);
	T(add(inner, fd, EPOLLIN, 1));
	T(add(outer, inner, EPOLLIN, 2));
	T(add(outer, efd, EPOLLIN, 3));
	T(add(inner, outer, EPOLLIN, 4));
	say_wait("outer, quiet", outer, 0);
	T(poll(&p, 1, 0));
	wish(1);
	say_wait("outer", outer, -1);
	say_wait("outer again", outer, 0);
	T(poll(&p, 1, -1));
	say("poll of a set: %s", events_name(p.revents));
	FD_ZERO(&in);
	FD_SET(inner, &in);
	FD_SET(outer, &in);
	T(select((inner > outer ? inner : outer) + 1, &in, NULL, NULL, NULL));
	say_wait("inner", inner, 0);
	take(fd);
	say_wait("outer, read", outer, 0);
	T(poll(&p, 1, 0));
	MUST(write(efd, &count, sizeof(count)));
	say_wait("outer, eventfd", outer, -1);
	MUST(read(efd, &count, sizeof(count)));
	/* The other way round: the connection outside, the kernel's descriptor inside. */
	T(epoll_ctl(outer, EPOLL_CTL_DEL, efd, NULL));
	T(epoll_ctl(inner, EPOLL_CTL_DEL, fd, NULL));
	T(add(inner, efd, EPOLLIN, 5));
	T(add(outer, fd, EPOLLIN, 6));
	MUST(write(efd, &count, sizeof(count)));
	say_wait("outer", outer, -1);
	wish(1);
	await(fd, POLLIN);
	say_wait("outer, both", outer, -1);
	wish(0);
	MUST(close(inner));
	say_wait("outer, inner closed", outer, 0);
	MUST(close(fd));
	MUST(close(efd));
	MUST(close(outer));
}

/* A set nested in a set that is edge-triggered on it. */
static void nested_edge_server(void)
{
	int outer = epoll_create1(0), inner = epoll_create1(0), fd;

	serve(&fd, 1);
	T(add(inner, fd, EPOLLIN, 1));
	T(add(outer, inner, EPOLLIN | EPOLLET, 2));
	wish(1);
	say_wait("outer", outer, -1);
	say_wait("outer, told once", outer, 0);
	say_wait("inner", inner, 0);
	take(fd);
	wish(1);
	say_wait("outer, more data", outer, -1);
	say_wait("inner", inner, 0);
	wish(0);
	MUST(close(fd));
	MUST(close(inner));
	MUST(close(outer));
}

/* Closing takes a member out, unless another descriptor of the same socket is open: Linux goes by the open file. */
static void closed_members_server(void)
{
	int epfd = epoll_create1(0), fd[3], copy;

	serve(fd, 3);
	for (int i = 0; i < 3; i++)
		T(add(epfd, fd[i], EPOLLIN, i));
	for (int i = 0; i < 3; i++) {
		wish(i + 1);
		await(fd[i], POLLIN);
	}
	copy = dup(fd[1]);
	MUST(close(fd[0]));
	MUST(close(fd[1]));
	say_wait("0 closed, 1 lives on in a copy", epfd, 0);
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, fd[0], NULL));
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, copy, NULL));
	MUST(close(copy));
	say_wait("both closed", epfd, 0);
	MUST(close(fd[2]));
	say_wait("all closed", epfd, 0);
	wish(0);
	MUST(close(epfd));
}

/* The number of a closed member comes back for another descriptor, which is another member. */
static void reused_number_server(void)
{
	int epfd = epoll_create1(0), fd, efd, old;

	serve(&fd, 1);
	old = fd;
	T(add(epfd, fd, EPOLLIN, 1));
	wish(1);
	await(fd, POLLIN);
	MUST(close(fd));
	efd = eventfd(1, 0);
	if (efd != old) {
		MUST(dup2(efd, old));
		MUST(close(efd));
		efd = old;
	}
	say_wait("not added", epfd, 0);
	T(add(epfd, efd, EPOLLIN, 2));
	say_wait("added", epfd, 0);
	MUST(close(efd));
	say_wait("closed", epfd, 0);
	wish(0);
	MUST(close(epfd));
}

/* dup2() over a member closes it. */
static void replaced_member_server(void)
{
	int epfd = epoll_create1(0), fd[3];

	serve(fd, 3);
	T(add(epfd, fd[0], EPOLLIN, 0));
	wish(1);
	wish(2);
	await(fd[0], POLLIN);
	await(fd[1], POLLIN);
	MUST(dup2(fd[1], fd[0]));
	say_wait("replaced by another connection", epfd, 0);
	T(add(epfd, fd[0], EPOLLIN, 7));
	say_wait("added", epfd, 0);
	T(add(epfd, fd[1], EPOLLIN, 8));
	say_wait("the copy as well", epfd, 0);
	wish(0);
	for (int i = 0; i < 3; i++)
		MUST(close(fd[i]));
	MUST(close(epfd));
}

/* A copy of the set's own descriptor. */
static void copied_set_server(void)
{
	int epfd = epoll_create1(0), copy, fd;

	serve(&fd, 1);
	copy = TFD(dup(epfd));
	T(add(epfd, fd, EPOLLIN, 1));
	T(add(copy, fd, EPOLLIN, 2));
	wish(1);
	say_wait("copy", copy, -1);
	MUST(close(epfd));
	say_wait("copy, original closed", copy, 0);
	T(epoll_ctl(copy, EPOLL_CTL_DEL, fd, NULL));
	say_wait("deleted by the copy", copy, 0);
	wish(0);
	MUST(close(copy));
	MUST(close(fd));
}

/* ---- threads -----------------------------------------------------------------------------------------------------------------
 */

struct crew {
	int epfd, stop;
	atomic_int woken, served;
	int *fd;
};

/* Take one byte per event, until the eventfd says stop. */
static void *worker(void *arg)
{
	struct crew *crew = arg;

	for (;;) {
		struct epoll_event ev;
		char c;

		if (MUST(epoll_wait(crew->epfd, &ev, 1, -1)) == 0)
			continue;
		if (ev.data.u64 == 99)
			return NULL;
		crew->woken++;
		if (recv(crew->fd[ev.data.u64], &c, 1, MSG_DONTWAIT) == 1)
			crew->served++;
		MUST(epoll_ctl(crew->epfd, EPOLL_CTL_MOD, crew->fd[ev.data.u64],
			       &(struct epoll_event){.events = EPOLLIN | EPOLLONESHOT, .data.u64 = ev.data.u64}));
	}
}

/* Four threads wait at one set; each event is one thread's, as one-shot members promise. */
static void shared_set_server(void)
{
	int fd[3];
	struct crew crew = {.epfd = epoll_create1(0), .stop = eventfd(0, 0), .fd = fd};
	pthread_t thread[4];
	uint64_t count = 1;

	serve(fd, 3);
	for (int i = 0; i < 3; i++)
		MUST(add(crew.epfd, fd[i], EPOLLIN | EPOLLONESHOT, i));
	MUST(add(crew.epfd, crew.stop, EPOLLIN, 99));
	for (int i = 0; i < 4; i++)
		MUST(pthread_create(&thread[i], NULL, worker, &crew) ? -1 : 0);
	for (int i = 0; i < 300; i++)
		wish(i % 3 + 1);
	while (crew.served < 300)
		usleep(1000);
	MUST(write(crew.stop, &count, sizeof(count)));
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	say("served %d, woken in vain %d", crew.served, crew.woken - crew.served);
	wish(0);
	for (int i = 0; i < 3; i++)
		MUST(close(fd[i]));
	MUST(close(crew.stop));
	MUST(close(crew.epfd));
}

static void *wait_for_one(void *arg)
{
	return (void *)(intptr_t)say_wait("asleep", *(int *)arg, 5000);
}

/* A member that is added while another thread sleeps in epoll_wait() on the set wakes it. */
static void added_while_waiting_server(void)
{
	int epfd = epoll_create1(0), fd;
	pthread_t thread;

	serve(&fd, 1);
	wish(1);
	await(fd, POLLIN);
	MUST(pthread_create(&thread, NULL, wait_for_one, &epfd) ? -1 : 0);
	usleep(20000);
	MUST(add(epfd, fd, EPOLLIN, 5));
	pthread_join(thread, NULL);
	wish(0);
	MUST(close(fd));
	MUST(close(epfd));
}

static void *accept_exclusively(void *arg)
{
	int listener = *(int *)arg, epfd = epoll_create1(0), n = 0;
	struct epoll_event ev;

	MUST(add(epfd, listener, EPOLLIN | EPOLLEXCLUSIVE, 1));
	for (;;) {
		int fd;

		MUST(epoll_wait(epfd, &ev, 1, -1));
		fd = accept(listener, NULL, NULL);
		if (fd < 0 && errno == EINVAL)
			break;
		if (fd < 0)
			continue;
		MUST(close(fd));
		n++;
	}
	MUST(close(epfd));
	return (void *)(intptr_t)n;
}

/* One listener in the sets of four threads: all connections are accepted, and shutdown() ends all four. */
static void exclusive_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), sum = 0;
	pthread_t thread[4];

	set_nonblock(listener, true);
	for (int i = 0; i < 4; i++)
		MUST(pthread_create(&thread[i], NULL, accept_exclusively, &listener) ? -1 : 0);
	tell("listening");
	hear("done");
	MUST(shutdown(listener, SHUT_RD));
	for (int i = 0; i < 4; i++) {
		void *n;

		pthread_join(thread[i], &n);
		sum += (intptr_t)n;
	}
	say("accepted %d", sum);
	MUST(close(listener));
}

static void exclusive_client(void)
{
	hear("listening");
	for (int i = 0; i < 100; i++) {
		int fd = connect_to(SERVER_IP, port(0));
		char c;

		MUST(recv(fd, &c, 1, 0));
		MUST(close(fd));
	}
	tell("done");
}

/* Three hundred members in one set, each ready once. */
static void many_members_server(void)
{
	enum { N = 300 };
	int epfd = epoll_create1(0), listener = listen_at(SERVER_IP, port(0)), fd[N], seen = 0, told = 0;

	tell("listening");
	for (int i = 0; i < N; i++) {
		fd[i] = accept_one(listener);
		MUST(add(epfd, fd[i], EPOLLIN | EPOLLET, i));
	}
	tell("send");
	while (seen < N) {
		struct epoll_event ev[32];
		int n = MUST(epoll_wait(epfd, ev, 32, -1));

		for (int i = 0; i < n; i++) {
			take(fd[ev[i].data.u64]);
			seen++;
		}
		told += n;
	}
	say("seen %d, told %d", seen, told);
	say_wait("no more", epfd, 0);
	for (int i = 0; i < N; i++)
		MUST(close(fd[i]));
	MUST(close(listener));
	MUST(close(epfd));
}

static void many_members_client(void)
{
	enum { N = 300 };
	int fd[N];

	hear("listening");
	for (int i = 0; i < N; i++)
		fd[i] = connect_to(SERVER_IP, port(0));
	hear("send");
	for (int i = 0; i < N; i++)
		MUST(send(fd[i], "x", 1, 0));
	for (int i = 0; i < N; i++) {
		char c;

		MUST(recv(fd[i], &c, 1, 0));
		MUST(close(fd[i]));
	}
}

/* A wildcard listener in a set, level and edge: who comes over lo wakes as who comes over the link. */
static void wildcard_server(void)
{
	int epfd = epoll_create1(0), edge = epoll_create1(0), listener = listen_at(ANY_IP, port(0));

	set_nonblock(listener, true);
	MUST(add(epfd, listener, EPOLLIN, 1));
	MUST(add(edge, listener, EPOLLIN | EPOLLET, 2));
	for (int round = 0; round < 6; round++) {
		int lo = -1;

		say_wait("quiet", epfd, 0);
		if (round % 2)
			lo = connect_to("127.0.0.1", port(0));
		else
			tell("connect");
		say_wait("somebody", epfd, -1);
		say_wait("somebody, edge", edge, -1);
		MUST(close(accept_one(listener)));
		T(accept(listener, NULL, NULL));
		if (round % 2)
			MUST(close(lo));
		else
			hear("done");
	}
	MUST(close(listener));
	say_wait("closed", epfd, 0);
	MUST(close(epfd));
	MUST(close(edge));
}

static void wildcard_client(void)
{
	for (int round = 0; round < 3; round++) {
		char c;
		int fd;

		hear("connect");
		fd = connect_to(SERVER_IP, port(0));
		T(recv(fd, &c, 1, 0));
		MUST(close(fd));
		tell("done");
	}
}

static const struct posix_case cases[] = {
    {"mixed", mixed_server, three_clients},
    {"fairness", fairness_server, three_clients},
    {"several_sets", several_sets_server, one_client},
    {"nested", nested_server, one_client},
    {"nested_edge", nested_edge_server, one_client},
    {"closed_members", closed_members_server, three_clients},
    {"reused_number", reused_number_server, one_client},
    {"replaced_member", replaced_member_server, three_clients},
    {"copied_set", copied_set_server, one_client},
    {"shared_set", shared_set_server, three_clients},
    {"added_while_waiting", added_while_waiting_server, one_client},
    BOTH(exclusive),
    BOTH(wildcard),
    BOTH(many_members),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
