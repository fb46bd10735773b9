/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_kernel.c - what is not the engine's stays the kernel's, unchanged, in a process that has connections of the engine beside it:
 * UDP, AF_UNIX, loopback, pipes, files.
 */
#include "posix.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void udp_on(int a, int b, const char *ip)
{
	struct sockaddr_in sa = addr4(ip, port(2)), from;
	socklen_t len = sizeof(from);
	char buf[16];

	T(bind(a, SA(sa), sizeof(sa)));
	T(send(b, "x", 1, 0));
	T(sendto(b, "datagram", 8, 0, SA(sa), sizeof(sa)));
	T(recvfrom(a, buf, sizeof(buf), 0, SA(from), &len));
	say_addr("from", &from, len);
	T(connect(b, SA(sa), sizeof(sa)));
	T(send(b, "more", 4, 0));
	T(recv(a, buf, 2, MSG_TRUNC));
	T(recv(a, buf, sizeof(buf), MSG_DONTWAIT));
}

static void udp_server(void)
{
	int fd = pair(), a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);

	udp_on(a, b, "127.0.0.1");
	MUST(close(a));
	MUST(close(b));
	recv_and_say("connection", fd, 5);
	MUST(close(fd));
}

static void one_client(void)
{
	char c;
	int fd = pair();

	MUST(send(fd, "hello", 5, 0));
	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

static void unix_server(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {"x", 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	int fd = pair(), listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0), conn, passed,
	    pipes[2];
	socklen_t len = sizeof(sa_family_t) + 1 + snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "mtp-test-%d", getpid());
	char c;

	T(bind(listener, (struct sockaddr *)&un, len));
	T(listen(listener, 1));
	T(connect(client, (struct sockaddr *)&un, len));
	conn = TFD(accept(listener, NULL, NULL));
	/* A pipe's end travels to ourselves. */
	MUST(pipe(pipes));
	control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.head), &pipes[1], sizeof(int));
	T(sendmsg(client, &msg, 0));
	iov = (struct iovec){&c, 1};
	T(recvmsg(conn, &msg, 0));
	memcpy(&passed, CMSG_DATA(&control.head), sizeof(int));
	T(write(passed, "y", 1));
	T(read(pipes[0], &c, 1));
	MUST(close(passed));
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	MUST(close(conn));
	MUST(close(client));
	MUST(close(listener));
	recv_and_say("connection", fd, 5);
	MUST(close(fd));
}

static void loopback_on(int family, const struct sockaddr *sa, socklen_t len)
{
	int listener = socket(family, SOCK_STREAM, 0), client = socket(family, SOCK_STREAM, 0), conn, on = 1;

	T(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	T(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
	T(bind(listener, sa, len));
	T(listen(listener, 5));
	T(connect(client, sa, len));
	conn = TFD(accept(listener, NULL, NULL));
	T(get_int(client, IPPROTO_TCP, TCP_NODELAY));
	send_pattern(client, 10000, 0);
	recv_and_say("through lo", conn, 10000);
	T(shutdown(client, SHUT_WR));
	recv_and_say("the end", conn, 1);
	say_poll("loopback", conn);
	MUST(close(client));
	MUST(close(conn));
	MUST(close(listener));
}

static void loopback_server(void)
{
	struct sockaddr_in sa = addr4("127.0.0.1", port(2));
	struct sockaddr_in6 sa6 = addr6("::1", port(3)), mapped = addr6("::ffff:127.0.0.1", port(4));
	int fd = pair();

	loopback_on(AF_INET, SA(sa), sizeof(sa));
	loopback_on(AF_INET6, SA(sa6), sizeof(sa6));
	loopback_on(AF_INET6, SA(mapped), sizeof(mapped));
	recv_and_say("connection", fd, 5);
	MUST(close(fd));
}

/* One set, the link and loopback in it. */
static void both_in_epoll_server(void)
{
	struct sockaddr_in sa = addr4("127.0.0.1", port(2));
	int fd = pair(), listener = listen_at("127.0.0.1", port(2)), client = tcp_socket(), epfd = epoll_create1(0), conn,
	    seen = 0;
	struct epoll_event ev = {.events = EPOLLIN};

	MUST(connect(client, SA(sa), sizeof(sa)));
	conn = accept_one(listener);
	ev.data.fd = fd;
	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	ev.data.fd = conn;
	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, conn, &ev));
	for (int i = 0; i < 200; i++) {
		char c;

		MUST(send(client, "x", 1, 0));
		tell("send");
		while (seen != 3) {
			MUST(epoll_wait(epfd, &ev, 1, -1));
			seen |= ev.data.fd == fd ? 1 : 2;
			MUST(recv(ev.data.fd, &c, 1, 0));
		}
		seen = 0;
	}
	say("two hundred rounds");
	tell("end");
	MUST(close(epfd));
	MUST(close(conn));
	MUST(close(client));
	MUST(close(listener));
	MUST(close(fd));
}

static void both_in_epoll_client(void)
{
	int fd = pair();

	for (int i = 0; i < 200; i++) {
		hear("send");
		MUST(send(fd, "x", 1, 0));
	}
	hear("end");
	MUST(close(fd));
}

static void files_server(void)
{
	char name[] = "/tmp/mtp-file-XXXXXX", buf[8] = "";
	struct stat st;
	int fd = pair(), file = MUST(mkstemp(name));

	MUST(unlink(name));
	T(write(file, "contents", 8));
	T(lseek(file, 3, SEEK_SET));
	T(read(file, buf, 4));
	T(pread(file, buf, 4, 0));
	T(pwrite(file, "C", 1, 0));
	T(ftruncate(file, 4));
	T(fstat(file, &st));
	say("size %ld", (long)st.st_size);
	T(recv(file, buf, 1, 0));
	T(getsockname(file, (struct sockaddr *)buf, &(socklen_t){8}));
	T(fcntl(file, F_GETFL) & O_ACCMODE);
	MUST(close(file));
	recv_and_say("connection", fd, 5);
	MUST(close(fd));
}

/* Names are resolved without the network here; the resolver's own sockets are the kernel's. */
static void resolver_server(void)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *found = NULL;
	int fd = pair();

	T(getaddrinfo("127.0.0.1", "80", &hints, &found));
	if (found) {
		say("length %u, port %d", found->ai_addrlen, ntohs(((struct sockaddr_in *)found->ai_addr)->sin_port));
		freeaddrinfo(found);
	}
	recv_and_say("connection", fd, 5);
	MUST(close(fd));
}

static const struct posix_case cases[] = {
    {"udp", udp_server, one_client},	       {"unix", unix_server, one_client},
    {"loopback", loopback_server, one_client}, BOTH(both_in_epoll),
    {"files", files_server, one_client},       {"resolver", resolver_server, one_client},
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
