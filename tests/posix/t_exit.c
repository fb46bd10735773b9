/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_exit.c - what becomes of connections when the process ends without closing them: everything sent arrives, then the end of the
 * stream, or a reset when something was left unread.
 */
#include "posix.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define BULK 60000

static _Noreturn void leaves_with_data(void (*how)(int))
{
	int fd = pair();

	set_nonblock(fd, true);
	for (size_t at = 0; at < BULK; at += 1000)
		send_pattern(fd, 1000, at);
	tell("leaving");
	leave(how);
}

static void exit_client(void)
{
	leaves_with_data(exit);
}

static void exit_at_once_client(void)
{
	leaves_with_data(_exit);
}

/* Reads only after the other end has begun to leave. */
static void reader_server(void)
{
	char c;
	int fd = pair();

	hear("leaving");
	recv_and_say("got", fd, 10 * BULK);
	T(recv(fd, &c, 1, 0));
	T(close(fd));
	leave(exit);
}

static void unread_server(void)
{
	char c;
	int fd = pair();

	T(send(fd, "not wanted", 10, 0));
	tell("sent");
	await(fd, POLLHUP);
	T(recv(fd, &c, 1, 0));
	T(recv(fd, &c, 1, 0));
	T(close(fd));
	leave(exit);
}

static void unread_client(void)
{
	int fd = pair();

	hear("sent");
	await_inq(fd, 10);
	leave(exit);
}

static void *exit_in_thread(void *arg)
{
	leaves_with_data(exit);
}

/* The main program is blocked in a call of its own when another thread ends the process. */
static void thread_exits_client(void)
{
	pthread_t thread;
	char c;
	int fd = pair_at(1);

	MUST(pthread_create(&thread, NULL, exit_in_thread, NULL) ? -1 : 0);
	MUST(recv(fd, &c, 1, 0));
	say("the process went on");
}

static void thread_exits_server(void)
{
	char c;
	int other = pair_at(1), fd = pair();

	hear("leaving");
	recv_and_say("got", fd, 10 * BULK);
	T(recv(other, &c, 1, 0));
	T(close(fd));
	T(close(other));
	leave(exit);
}

static int last_fd;

static void on_the_way_out(void)
{
	static const char last[] = "last words";

	send(last_fd, last, sizeof(last) - 1, MSG_NOSIGNAL);
	close(last_fd);
}

/* A handler of atexit() still has its connections. */
static void atexit_client(void)
{
	last_fd = pair();
	atexit(on_the_way_out);
	tell("leaving");
	leave(exit);
}

static const struct posix_case cases[] = {
    {"exit", reader_server, exit_client},
    {"exit_at_once", reader_server, exit_at_once_client},
    {"thread_exits", thread_exits_server, thread_exits_client},
    BOTH(unread),
    {"atexit", reader_server, atexit_client},
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
