/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conn_server.c - answers one request per connection: conn_server PORT
 *
 * An ordinary sockets program with one epoll loop: accept, read REQUEST bytes, write them back, close.  A client that sends
 * nothing is kept until it goes.  The server closes first, as HTTP servers do, so that TIME-WAIT stays on its side.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST 64
#define EVENTS 256

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
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 4096))
		die("bind or listen");
	return fd;
}

static void accept_all(int epfd, int listener)
{
	struct epoll_event ev = {.events = EPOLLIN};

	while ((ev.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (epoll_ctl(epfd, EPOLL_CTL_ADD, ev.data.fd, &ev))
			die("epoll_ctl");
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
	close(fd);
}

int main(int argc, char **argv)
{
	struct epoll_event evs[EVENTS], ev = {.events = EPOLLIN};
	int epfd, n;

	if (argc != 2) {
		fprintf(stderr, "usage: conn_server PORT\n");
		return 2;
	}
	epfd = epoll_create1(EPOLL_CLOEXEC);
	const int listener = listener_open(atoi(argv[1]));
	ev.data.fd = listener;
	if (epfd < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &ev))
		die("epoll");
	for (;;) {
		n = epoll_wait(epfd, evs, EVENTS, -1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait");
		for (int i = 0; i < n; i++) {
			if (evs[i].data.fd == listener)
				accept_all(epfd, listener);
			else
				answer(evs[i].data.fd);
		}
	}
}
