/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conn_client.c - the client of conn_server, an ordinary sockets program with one epoll loop.
 *
 * conn_client ADDRESS PORT CONCURRENCY SECONDS     one new connection for each request of REQUEST bytes, CONCURRENCY at a time
 * conn_client -i ADDRESS PORT CONNECTIONS SECONDS  open so many connections, print "ready", keep them idle
 * Prints "N connections in S s: R per second, E errors"; status 1 if anything went wrong: an answer that differs counts as an
 * error.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST 64
#define EVENTS 256
#define FDS_MAX 65536

static struct sockaddr_in server;
static unsigned got[FDS_MAX]; /* bytes of the answer so far, by descriptor */
static unsigned long done, errors;
static bool draining;
static int open_now;

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void error_count(const char *what)
{
	if (errors++ == 0)
		fprintf(stderr, "conn_client: %s: %s\n", what, strerror(errno));
}

/* Each byte depends on the descriptor: an answer that belongs to another connection is noticed. */
static void request_fill(char *buf, int fd)
{
	for (int i = 0; i < REQUEST; i++)
		buf[i] = (char)(fd * 31 + i);
}

static void conn_start(int epfd)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event ev = {.events = EPOLLOUT, .data.fd = fd};

	if (fd < 0 || fd >= FDS_MAX)
		die("socket");
	if (connect(fd, (struct sockaddr *)&server, sizeof(server)) && errno != EINPROGRESS) {
		error_count("connect");
		close(fd);
		return;
	}
	got[fd] = 0;
	open_now++;
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev))
		die("epoll_ctl");
}

static void conn_end(int epfd, int fd)
{
	close(fd);
	open_now--;
	if (!draining)
		conn_start(epfd);
}

static void conn_writable(int epfd, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
	char buf[REQUEST];

	request_fill(buf, fd);
	if (write(fd, buf, REQUEST) != REQUEST) {
		error_count("write");
		conn_end(epfd, fd);
		return;
	}
	if (epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev))
		die("epoll_ctl");
}

static void conn_readable(int epfd, int fd)
{
	char buf[REQUEST + 1], want[REQUEST];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0 && errno == EAGAIN)
		return;
	request_fill(want, fd);
	if (n > 0 && got[fd] + n <= REQUEST && memcmp(buf, want + got[fd], n) == 0) {
		got[fd] += n;
		return;
	}
	if (n == 0 && got[fd] == REQUEST)
		done++;
	else
		error_count(n < 0 ? "read" : "wrong answer");
	conn_end(epfd, fd);
}

static void turn(int epfd, int timeout_ms)
{
	struct epoll_event evs[EVENTS];
	int n = epoll_wait(epfd, evs, EVENTS, timeout_ms);

	if (n < 0 && errno != EINTR)
		die("epoll_wait");
	for (int i = 0; i < n; i++) {
		if (evs[i].events & EPOLLOUT && !(evs[i].events & EPOLLERR))
			conn_writable(epfd, evs[i].data.fd);
		else
			conn_readable(epfd, evs[i].data.fd);
	}
}

static int load(int epfd, int concurrency, double seconds)
{
	const double start = now();
	double elapsed;

	while (open_now < concurrency && errors == 0)
		conn_start(epfd);
	while ((elapsed = now() - start) < seconds && open_now)
		turn(epfd, 100);
	printf("%lu connections in %.2f s: %.0f per second, %lu errors\n", done, elapsed, done / elapsed, errors);
	draining = true;
	while (open_now && now() - start < seconds + 5)
		turn(epfd, 100);
	return done == 0 || errors || open_now;
}

/* Blocking sockets, then one wait in which nothing must happen. */
static int idle(int epfd, int count, double seconds)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP};

	for (int i = 0; i < count; i++) {
		ev.data.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (ev.data.fd < 0 || connect(ev.data.fd, (struct sockaddr *)&server, sizeof(server)))
			die("connect");
		if (epoll_ctl(epfd, EPOLL_CTL_ADD, ev.data.fd, &ev))
			die("epoll_ctl");
	}
	printf("ready\n");
	fflush(stdout);
	return epoll_wait(epfd, &ev, 1, (int)(seconds * 1000)) != 0;
}

int main(int argc, char **argv)
{
	const bool is_idle = argc > 1 && strcmp(argv[1], "-i") == 0;
	char **arg = argv + is_idle;
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	if (argc - is_idle != 5 || inet_pton(AF_INET, arg[1], &server.sin_addr) != 1) {
		fprintf(stderr, "usage: conn_client [-i] ADDRESS PORT CONNECTIONS SECONDS\n");
		return 2;
	}
	if (epfd < 0)
		die("epoll_create1");
	server.sin_family = AF_INET;
	server.sin_port = htons(atoi(arg[2]));
	return is_idle ? idle(epfd, atoi(arg[3]), atof(arg[4])) : load(epfd, atoi(arg[3]), atof(arg[4]));
}
