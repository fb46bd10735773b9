/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conn_server.c - answers requests of REQUEST bytes: conn_server PORT [REQUESTS [PORTS]]
 *
 * An ordinary sockets program with one epoll loop: accept, read REQUEST bytes, write them back, close after so many REQUESTS (1
 * unless given; 0: the client closes).  A client that sends nothing is kept until it goes.  The server closes first, as HTTP
 * servers do, so that TIME-WAIT stays on its side.  It listens on PORT and the PORTS - 1 that follow.
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
#include <unistd.h>

#define REQUEST 64
#define EVENTS 256
#define FDS_MAX (1 << 20)
#define PORTS_MAX 64

static unsigned requests = 1;	   /* per connection, 0 no end */
static unsigned answered[FDS_MAX]; /* by descriptor */
static bool listens[FDS_MAX];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int listener_open(unsigned short port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_ANY)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 65535))
		die("bind or listen");
	return fd;
}

static void accept_all(int epfd, int listener)
{
	struct epoll_event ev = {.events = EPOLLIN};

	while ((ev.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (ev.data.fd >= FDS_MAX || epoll_ctl(epfd, EPOLL_CTL_ADD, ev.data.fd, &ev))
			die("epoll_ctl");
		answered[ev.data.fd] = 0;
	}
	if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
		die("accept4");
}

/* A request is so small that it comes in one piece; anything else is a client that went away. */
static void answer(int fd)
{
	char buf[REQUEST];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0 && errno == EAGAIN)
		return;
	if (n == REQUEST && write(fd, buf, REQUEST) != REQUEST)
		fprintf(stderr, "conn_server: short write: %s\n", strerror(errno));
	else if (n == REQUEST && ++answered[fd] != requests)
		return;
	close(fd);
}

int main(int argc, char **argv)
{
	const int ports = argc > 3 ? atoi(argv[3]) : 1;
	struct epoll_event evs[EVENTS], ev = {.events = EPOLLIN};
	int epfd, n;

	if (argc < 2 || argc > 4 || ports < 1 || ports > PORTS_MAX) {
		fprintf(stderr, "usage: conn_server PORT [REQUESTS [PORTS]]\n");
		return 2;
	}
	if (argc > 2)
		requests = atoi(argv[2]);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < ports; i++) {
		ev.data.fd = listener_open(atoi(argv[1]) + i);
		if (epfd < 0 || ev.data.fd >= FDS_MAX || epoll_ctl(epfd, EPOLL_CTL_ADD, ev.data.fd, &ev))
			die("epoll");
		listens[ev.data.fd] = true;
	}
	for (;;) {
		n = epoll_wait(epfd, evs, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			if (listens[evs[i].data.fd])
				accept_all(epfd, evs[i].data.fd);
			else
				answer(evs[i].data.fd);
		}
	}
}
