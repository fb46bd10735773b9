/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_share.c - sockets, listeners and epoll sets that a child inherited and uses: one open file description, whoever reads,
 * writes, accepts, shuts down or closes it; the connection ends when the last holder closes it, or is killed (fork(2)).
 */
#include "posix.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

/* Read a word, send it back; 0 if all went well.  For children, whose output is not collected. */
static int echo_once(int fd)
{
	char buf[4];

	if (recv(fd, buf, sizeof(buf), MSG_WAITALL) != sizeof(buf))
		return 1;
	return send(fd, buf, sizeof(buf), 0) == sizeof(buf) ? 0 : 2;
}

static void echo_client(int fd)
{
	MUST(send(fd, "ping", 4, 0));
	recv_and_say("answer", fd, 4);
}

static void say_closed(int fd)
{
	char c;

	T(recv(fd, &c, 1, 0));
	T(close(fd));
}

/* Wait until the other end of the pipe is closed. */
static void await_pipe(int fd)
{
	char c;

	(void)!read(fd, &c, 1);
}

/* ---- one connection ----------------------------------------------------------------------------------------------------------
 */

static void child_serves_server(void)
{
	int fd = pair();
	pid_t pid = MUST(fork());

	if (pid == 0)
		_exit(echo_once(fd));
	say_child("child", pid);
	MUST(echo_once(fd));
	T(close(fd));
}

static void child_serves_client(void)
{
	int fd = pair();

	echo_client(fd);
	echo_client(fd);
	say_closed(fd);
}

/* Accept, fork, close: the parent's close must not end what the child serves. */
static void parent_closes_server(void)
{
	int fd = pair();
	pid_t pid = MUST(fork());

	if (pid == 0) {
		int rc = echo_once(fd);

		_exit(rc ? rc : echo_once(fd));
	}
	T(close(fd));
	tell("parent has closed");
	say_child("child", pid);
}

static void parent_closes_client(void)
{
	int fd = pair();

	echo_client(fd);
	hear("parent has closed");
	say_poll("open", fd);
	echo_client(fd);
	say_closed(fd);
}

/* The end comes with the last close, here the killed child's. */
static void child_killed_server(void)
{
	int fd = pair(), hold[2];
	pid_t pid;

	MUST(pipe(hold));
	pid = MUST(fork());
	if (pid == 0) {
		close(hold[1]);
		echo_once(fd);
		await_pipe(hold[0]);
		_exit(0);
	}
	T(close(fd));
	tell("parent has closed");
	hear("still open");
	MUST(kill(pid, SIGKILL));
	say_child("child", pid);
	MUST(close(hold[0]));
	MUST(close(hold[1]));
}

static void child_killed_client(void)
{
	int fd = pair();

	echo_client(fd);
	hear("parent has closed");
	say_poll("open", fd);
	tell("still open");
	say_closed(fd);
}

/* A daemon's birth: the process that had the connection first ends, its grandchild goes on. */
static void grandchild_server(void)
{
	int fd = pair(), hold[2];
	pid_t pid;

	MUST(pipe(hold));
	pid = MUST(fork());
	if (pid == 0) {
		if (echo_once(fd))
			_exit(9);
		if (fork())
			_exit(3);
		close(hold[0]);
		_exit(echo_once(fd) || echo_once(fd));
	}
	MUST(close(hold[1]));
	T(close(fd));
	say_child("child", pid);
	tell("child is gone");
	await_pipe(hold[0]);
	MUST(close(hold[0]));
}

static void grandchild_client(void)
{
	int fd = pair();

	echo_client(fd);
	hear("child is gone");
	echo_client(fd);
	echo_client(fd);
	say_closed(fd);
}

static void child_shuts_down_server(void)
{
	int fd = pair();
	char c;
	pid_t pid = MUST(fork());

	if (pid == 0)
		_exit(shutdown(fd, SHUT_WR) ? 1 : 0);
	say_child("child", pid);
	T(send(fd, "x", 1, MSG_NOSIGNAL));
	T(recv(fd, &c, 1, 0));
	T(close(fd));
}

static void child_shuts_down_client(void)
{
	char c;
	int fd = pair();

	T(recv(fd, &c, 1, 0));
	MUST(send(fd, "y", 1, 0));
	T(recv(fd, &c, 1, 0));
	T(close(fd));
}

/* Flags of the open file and options of the socket are the same for both. */
static void flags_and_options_server(void)
{
	int fd = pair();
	pid_t pid = MUST(fork());

	if (pid == 0) {
		set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		_exit(fcntl(fd, F_SETFL, O_NONBLOCK) ? 1 : 0);
	}
	say_child("child", pid);
	say("nodelay %d, nonblock %d", get_int(fd, IPPROTO_TCP, TCP_NODELAY) != 0, (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	T(recv(fd, &(char){0}, 1, 0));
	tell("seen");
	T(close(fd));
}

static void flags_and_options_client(void)
{
	int fd = pair();

	hear("seen");
	say_closed(fd);
}

/* Each byte goes to one of the two, none to both, none to nobody. */
static void two_readers_server(void)
{
	int fd = pair(), count[2], mine = 0, theirs = 0;
	char buf[700];
	ssize_t n;
	pid_t pid;

	MUST(pipe(count));
	pid = MUST(fork());
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		mine += (int)n;
	if (pid == 0)
		_exit(write(count[1], &mine, sizeof(mine)) == sizeof(mine) ? 0 : 1);
	say_child("child", pid);
	MUST(read(count[0], &theirs, sizeof(theirs)));
	say("together %d", mine + theirs);
	MUST(close(count[0]));
	MUST(close(count[1]));
	T(close(fd));
}

static void two_readers_client(void)
{
	int fd = pair();

	send_pattern(fd, 1000000, 0);
	MUST(shutdown(fd, SHUT_WR));
	say_closed(fd);
}

static void bulk_by_child_server(void)
{
	int fd = pair();
	pid_t pid = MUST(fork());

	if (pid == 0) {
		send_pattern(fd, 3000000, 0);
		_exit(recv_pattern(fd, 3000000, 0) == 3000000 ? 0 : 1);
	}
	say_child("child", pid);
	T(close(fd));
}

static void bulk_by_child_client(void)
{
	int fd = pair();

	say("right: %zu", recv_pattern(fd, 3000000, 0));
	send_pattern(fd, 3000000, 0);
	say_closed(fd);
}

static void *read_a_word(void *arg)
{
	recv_and_say("reader", *(int *)arg, 4);
	return NULL;
}

/* fork() while another thread is blocked on the socket: it is none of the child's. */
static void threads_server(void)
{
	int fd = pair();
	pthread_t reader;
	pid_t pid;

	MUST(pthread_create(&reader, NULL, read_a_word, &fd));
	for (int i = 0; i < 10; i++) {
		pid = MUST(fork());
		if (pid == 0)
			_exit(send(fd, "tick", 4, 0) == 4 && close(fd) == 0 ? 0 : 1);
		MUST(waitpid(pid, NULL, 0));
	}
	tell("ticked");
	MUST(pthread_join(reader, NULL));
	T(close(fd));
}

static void threads_client(void)
{
	int fd = pair();

	recv_and_say("ticks", fd, 40);
	hear("ticked");
	MUST(send(fd, "word", 4, 0));
	say_closed(fd);
}

/* ---- listeners ---------------------------------------------------------------------------------------------------------------
 */

static void accept_in_child_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd;
	pid_t pid = MUST(fork());

	if (pid == 0) {
		fd = accept(listener, NULL, NULL);
		_exit(fd < 0 ? 9 : echo_once(fd));
	}
	tell("listening");
	say_child("child", pid);
	tell("child is gone");
	fd = accept_one(listener);
	MUST(echo_once(fd));
	MUST(close(fd));
	T(close(listener));
	tell("closed");
}

static void accept_in_child_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	echo_client(fd);
	say_closed(fd);
	hear("child is gone");
	fd = connect_to(SERVER_IP, port(0));
	echo_client(fd);
	say_closed(fd);
	hear("closed");
	fd = tcp_socket();
	T(connect(fd, SA(sa), sizeof(sa)));
	T(close(fd));
}

#define WORKERS 3
#define VISITS 30

static int serve_blocking(int listener)
{
	int fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (echo_once(fd) || close(fd))
			return 1;
	}
	return 2;
}

/* A worker of a pre-forked server: its own epoll set with the listener that all have. */
static int serve_epoll(int listener)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLEXCLUSIVE}, got;
	int epfd = epoll_create1(0), fd;

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &ev))
		return 1;
	while (epoll_wait(epfd, &got, 1, -1) == 1) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0 && errno != EAGAIN)
			return 2;
		if (fd >= 0 && (echo_once(fd) || close(fd)))
			return 3;
	}
	return 4;
}

/* Workers until they are killed; one of them in the middle of it. */
static void workers(int (*serve)(int listener), bool nonblock)
{
	int listener = listen_at(SERVER_IP, port(0));
	pid_t pid[WORKERS];

	set_nonblock(listener, nonblock);
	fork_workers(pid, WORKERS, serve, listener);
	tell("listening");
	hear("half");
	kill_workers("first worker", pid, 1);
	tell("one is gone");
	hear("all");
	kill_workers("worker", pid + 1, WORKERS - 1);
	T(close(listener));
}

static void visit(void)
{
	int good = 0, fd;
	char buf[4];

	for (int i = 0; i < VISITS; i++) {
		fd = connect_to(SERVER_IP, port(0));
		MUST(send(fd, "ping", 4, 0));
		good += recv(fd, buf, 4, MSG_WAITALL) == 4 && recv(fd, buf, 1, 0) == 0;
		MUST(close(fd));
	}
	say("%d of %d visits", good, VISITS);
}

static void workers_client(void)
{
	hear("listening");
	visit();
	tell("half");
	hear("one is gone");
	visit();
	tell("all");
}

static void workers_accept_server(void)
{
	workers(serve_blocking, false);
}

static void workers_epoll_server(void)
{
	workers(serve_epoll, true);
}

/* ---- epoll sets --------------------------------------------------------------------------------------------------------------
 */

/* A set that was filled before the fork tells the child, too. */
static void epoll_inherited_server(void)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 77}, got;
	int fd = pair(), epfd = epoll_create1(0);
	pid_t pid;

	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	pid = MUST(fork());
	if (pid == 0) {
		if (epoll_wait(epfd, &got, 1, 10000) != 1 || got.data.u64 != 77)
			_exit(8);
		_exit(echo_once(fd));
	}
	tell("forked");
	say_child("child", pid);
	T(epoll_wait(epfd, &got, 1, 0));
	tell("again");
	await(fd, POLLIN);
	T(epoll_wait(epfd, &got, 1, 10000));
	MUST(echo_once(fd));
	T(close(epfd));
	T(close(fd));
}

static void epoll_inherited_client(void)
{
	int fd = pair();

	hear("forked");
	echo_client(fd);
	hear("again");
	echo_client(fd);
	say_closed(fd);
}

/* What the child puts in or takes out, the parent's wait sees: the set is one. */
static void epoll_changed_by_child_server(void)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 5}, got = {0};
	int a = pair_at(0), b = pair_at(1), epfd = epoll_create1(0);
	pid_t pid;

	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, a, &ev));
	pid = MUST(fork());
	if (pid == 0) {
		ev.data.u64 = 6;
		_exit(epoll_ctl(epfd, EPOLL_CTL_DEL, a, NULL) || epoll_ctl(epfd, EPOLL_CTL_ADD, b, &ev));
	}
	say_child("child", pid);
	tell("changed");
	await(a, POLLIN);
	T(epoll_wait(epfd, &got, 1, 10000));
	say("data %d", (int)got.data.u64);
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, b, NULL));
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, a, NULL));
	tell("seen");
	T(close(epfd));
	T(close(a));
	T(close(b));
}

static void epoll_changed_by_child_client(void)
{
	int a = pair_at(0), b = pair_at(1);

	hear("changed");
	MUST(send(b, "b", 1, 0));
	MUST(send(a, "a", 1, 0));
	hear("seen");
	T(close(a));
	T(close(b));
}

/* A set that was empty when the child came is one all the same, under each of its numbers. */
static void epoll_filled_by_child_server(void)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 9}, got = {0};
	int fd = pair(), epfd = epoll_create1(0), copy = dup(epfd);
	pid_t pid = MUST(fork());

	if (pid == 0)
		_exit(epoll_ctl(copy, EPOLL_CTL_ADD, fd, &ev) != 0);
	say_child("child", pid);
	tell("filled");
	T(epoll_wait(epfd, &got, 1, 10000));
	say("data %d", (int)got.data.u64);
	T(epoll_wait(copy, &got, 1, 10000));
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL));
	T(epoll_wait(copy, &got, 1, 0));
	T(close(epfd));
	T(close(copy));
	MUST(echo_once(fd));
	T(close(fd));
}

static void epoll_filled_by_child_client(void)
{
	int fd = pair();

	hear("filled");
	echo_client(fd);
	say_closed(fd);
}

/* ---- new connections ---------------------------------------------------------------------------------------------------------
 */

/* The child opens its own, the parent has used the network before. */
static void child_connects_server(void)
{
	int fd = pair(), listener = listen_at(SERVER_IP, port(1)), other;

	tell("listening");
	other = accept_one(listener);
	MUST(echo_once(other));
	MUST(echo_once(fd));
	T(close(other));
	T(close(fd));
	T(close(listener));
}

static void child_connects_client(void)
{
	int fd = pair();
	pid_t pid;

	hear("listening");
	pid = MUST(fork());
	if (pid == 0) {
		char buf[4];
		int own = connect_to(SERVER_IP, port(1));

		if (send(own, "ping", 4, 0) != 4 || recv(own, buf, 4, MSG_WAITALL) != 4)
			_exit(1);
		_exit(recv(own, buf, 1, 0) == 0 ? 0 : 2);
	}
	echo_client(fd);
	say_child("child", pid);
	say_closed(fd);
}

static const struct posix_case cases[] = {
    BOTH(child_serves),
    BOTH(parent_closes),
    BOTH(child_killed),
    BOTH(grandchild),
    BOTH(child_shuts_down),
    BOTH(flags_and_options),
    BOTH(two_readers),
    BOTH(bulk_by_child),
    BOTH(threads),
    BOTH(accept_in_child),
    {"workers_accept", workers_accept_server, workers_client},
    {"workers_epoll", workers_epoll_server, workers_client},
    BOTH(epoll_inherited),
    BOTH(epoll_filled_by_child),
    BOTH(epoll_changed_by_child),
    BOTH(child_connects),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
