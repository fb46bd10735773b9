/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_rights.c - a thread passes a listener on by SCM_RIGHTS while another goes on with its work, as a server's threads do when it
 * hands its listeners to its successor: what that one closes is closed, and out of its epoll sets (epoll(7), question 6).
 */
#include "posix.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <unistd.h>

#define TIMES 8
#define CONNECTIONS 300

struct work {
	int listener; /* at port 0 */
	_Atomic bool done, enough;
	long ghosts; /* events of what was closed */
};

/* Watch a socket that is readable, close it, and look whether there are events of it still. */
static int watch_and_close(int ep, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev));
	MUST(epoll_wait(ep, &ev, 1, -1));
	MUST(close(fd));
	return (int)MUST(epoll_wait(ep, &ev, 1, 0));
}

/* A set that holds a TCP socket too. */
static int mixed_set(const struct work *w)
{
	int ep = (int)MUST(epoll_create1(0));
	struct epoll_event ev = {.events = EPOLLIN};

	MUST(epoll_ctl(ep, EPOLL_CTL_ADD, w->listener, &ev));
	return ep;
}

static void *work_unix(void *arg)
{
	struct work *w = arg;
	int ep = mixed_set(w), ends[2];

	while (!atomic_load(&w->enough)) {
		MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
		MUST(write(ends[0], "x", 1));
		w->ghosts += watch_and_close(ep, ends[1]);
		MUST(close(ends[0]));
	}
	MUST(close(ep));
	atomic_store(&w->done, true);
	return NULL;
}

static void *work_tcp(void *arg)
{
	struct work *w = arg;
	int ep = (int)MUST(epoll_create1(0));

	for (int i = 0; i < CONNECTIONS; i++)
		w->ghosts += watch_and_close(ep, accept_one(w->listener));
	MUST(close(ep));
	atomic_store(&w->done, true);
	return NULL;
}

static void pass_on(int fd)
{
	int over[2];

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, over));
	MUST(send_right(over[0], fd));
	MUST(close((int)MUST(receive_right(over[1]))));
	MUST(close(over[0]));
	MUST(close(over[1]));
}

/* Another listener is passed on while it works: some times, and until it is through if it ends by itself. */
static void pass_on_during(void *(*work)(void *), bool ends)
{
	struct work w = {.listener = listen_at(SERVER_IP, port(0))};
	int passed = listen_at(SERVER_IP, port(1));
	pthread_t thread;

	tell("listening");
	MUST(pthread_create(&thread, NULL, work, &w));
	for (int i = 0; i < TIMES || (ends && !atomic_load(&w.done)); i++)
		pass_on(passed);
	atomic_store(&w.enough, true);
	MUST(pthread_join(thread, NULL));
	say("events of closed sockets: %ld", w.ghosts);
	MUST(close(w.listener));
	MUST(close(passed));
}

static void unix_sockets_server(void)
{
	pass_on_during(work_unix, false);
}

static void unix_sockets_client(void)
{
	hear("listening");
}

static void connections_server(void)
{
	pass_on_during(work_tcp, true);
}

/* Each is closed with its byte unread, which is a reset. */
static void connections_client(void)
{
	char c;

	hear("listening");
	for (int i = 0; i < CONNECTIONS; i++) {
		int fd = connect_to(SERVER_IP, port(0));

		MUST(send(fd, "x", 1, 0));
		(void)!recv(fd, &c, 1, 0);
		MUST(close(fd));
	}
}

static const struct posix_case cases[] = {
    BOTH(unix_sockets),
    BOTH(connections),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
