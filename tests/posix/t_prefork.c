/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_prefork.c - workers of a pre-forked server that wait for connections of one listener: each connection finds one that waits,
 * however many come at once (accept(2); EPOLLEXCLUSIVE of epoll_ctl(2)).
 */
#include "posix.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Greets who comes, and has no time for others until they go. */
static int stay(int fd)
{
	char c;

	if (send(fd, "hello", 5, 0) != 5 || recv(fd, &c, 1, 0) != 0)
		return 1;
	return close(fd);
}

static int stay_blocking(int listener)
{
	int fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0)
		if (stay(fd))
			return 1;
	return 2;
}

/* Takes one connection for each time that it is told, as long as some may wait. */
static int stay_epoll_with(int listener, uint32_t how)
{
	struct epoll_event ev = {.events = EPOLLIN | how}, got;
	int epfd = epoll_create1(0), fd;

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &ev))
		return 1;
	while (epoll_wait(epfd, &got, 1, -1) == 1) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0 && errno != EAGAIN)
			return 2;
		if (fd >= 0 && stay(fd))
			return 3;
	}
	return 4;
}

static int stay_epoll(int listener)
{
	return stay_epoll_with(listener, 0);
}

static int stay_exclusive(int listener)
{
	return stay_epoll_with(listener, EPOLLEXCLUSIVE);
}

#define STAYERS 4
#define ROUNDS 8

static void stayers(int (*serve)(int listener), bool nonblock)
{
	int listener = listen_at(SERVER_IP, port(0));
	pid_t pid[STAYERS];

	set_nonblock(listener, nonblock);
	fork_workers(pid, STAYERS, serve, listener);
	tell("listening");
	hear("enough");
	kill_workers("worker", pid, STAYERS);
	T(close(listener));
}

/* n connections at the same moment; each is greeted though none of the others ends. */
static void come_together(int *fds, int n)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	char buf[5];
	int greeted = 0;

	for (int i = 0; i < n; i++) {
		fds[i] = tcp_socket();
		set_nonblock(fds[i], true);
		if (connect(fds[i], SA(sa), sizeof(sa)) && errno != EINPROGRESS)
			say("connect: errno %d", errno);
	}
	for (int i = 0; i < n; i++) {
		await(fds[i], POLLIN);
		greeted += recv(fds[i], buf, 5, 0) == 5;
	}
	say("%d greeted", greeted);
}

static void leave_together(const int *fds, int n)
{
	for (int i = 0; i < n; i++)
		MUST(close(fds[i]));
}

/* All workers are kept busy by one connection each; then all but one, who serves whoever comes meanwhile. */
static void stayers_client(void)
{
	int fds[STAYERS], one;

	hear("listening");
	for (int i = 0; i < ROUNDS; i++) {
		come_together(fds, STAYERS);
		leave_together(fds, STAYERS);
	}
	come_together(fds, STAYERS - 1);
	for (int i = 0; i < ROUNDS; i++) {
		come_together(&one, 1);
		leave_together(&one, 1);
	}
	leave_together(fds, STAYERS - 1);
	tell("enough");
}

static void together_accept_server(void)
{
	stayers(stay_blocking, false);
}

static void together_epoll_server(void)
{
	stayers(stay_epoll, true);
}

static void together_exclusive_server(void)
{
	stayers(stay_exclusive, true);
}

static const struct posix_case cases[] = {
    {"together_accept", together_accept_server, stayers_client},
    {"together_epoll", together_epoll_server, stayers_client},
    {"together_exclusive", together_exclusive_server, stayers_client},
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
