/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * posix_net.c - the sockets, bytes and waits that the test programs share; see posix.h.
 */
#include "posix.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define AWAIT_MS 8000
/* More than this is "absurdly more": machines under test are busy. */
#define LATE_MS 4000
#define CHUNK 65536

struct sockaddr_in addr4(const char *ip, int port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, ip, &sa.sin_addr);
	return sa;
}

struct sockaddr_in6 addr6(const char *ip, int port)
{
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	inet_pton(AF_INET6, ip, &sa.sin6_addr);
	return sa;
}

int tcp_socket(void)
{
	return MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

void set_int(int fd, int level, int name, int value)
{
	MUST(setsockopt(fd, level, name, &value, sizeof(value)));
}

int get_int(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	MUST(getsockopt(fd, level, name, &value, &len));
	return value;
}

void set_nonblock(int fd, bool on)
{
	int flags = MUST(fcntl(fd, F_GETFL));

	MUST(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

static int listen_with(const char *ip, int port, int rcvbuf)
{
	struct sockaddr_in sa = addr4(ip, port);
	int fd = tcp_socket();

	set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (rcvbuf)
		set_int(fd, SOL_SOCKET, SO_RCVBUF, rcvbuf);
	MUST(bind(fd, SA(sa), sizeof(sa)));
	MUST(listen(fd, 128));
	return fd;
}

int listen_at(const char *ip, int port)
{
	return listen_with(ip, port, 0);
}

int accept_one(int listener)
{
	return MUST(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
}

static int connect_with(const char *ip, int port, int sndbuf)
{
	struct sockaddr_in sa = addr4(ip, port);
	int fd = tcp_socket();

	if (sndbuf)
		set_int(fd, SOL_SOCKET, SO_SNDBUF, sndbuf);
	MUST(connect(fd, SA(sa), sizeof(sa)));
	return fd;
}

int connect_to(const char *ip, int port)
{
	return connect_with(ip, port, 0);
}

static int pair_with(int k, int buf)
{
	int listener, fd;

	if (!is_server) {
		hear("listening");
		fd = connect_with(SERVER_IP, port(k), buf);
		tell("connected");
		return fd;
	}
	listener = listen_with(SERVER_IP, port(k), buf);
	tell("listening");
	fd = accept_one(listener);
	/* Accepted is not yet connected over there: a reset sent now would meet a client that is still in connect(). */
	hear("connected");
	MUST(close(listener));
	return fd;
}

int pair_at(int k)
{
	return pair_with(k, 0);
}

int pair(void)
{
	return pair_with(0, 0);
}

int pair_small(void)
{
	return pair_with(0, 1);
}

/* ---- bytes -------------------------------------------------------------------------------------------------------------------
 */

void fill(void *buf, size_t len, size_t at)
{
	uint8_t *b = buf;

	/* A period of 251 shows bytes that are shifted by a power of two; the upper part shows whole blocks exchanged. */
	for (size_t i = 0; i < len; i++)
		b[i] = (at + i) % 251 ^ (at + i) >> 12;
}

uint32_t sum(uint32_t start, const void *buf, size_t len)
{
	const uint8_t *b = buf;

	for (size_t i = 0; i < len; i++)
		start = (start ^ b[i]) * 16777619u;
	return start;
}

static void wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	if (MUST(poll(&p, 1, AWAIT_MS)) == 0) {
		say("stopped: no %s for %d ms", events_name(events), AWAIT_MS);
		exit(3);
	}
}

void send_pattern(int fd, size_t len, size_t at)
{
	uint8_t buf[CHUNK];

	while (len > 0) {
		size_t part = len < sizeof(buf) ? len : sizeof(buf);
		ssize_t n;

		fill(buf, part, at);
		n = send(fd, buf, part, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			wait_for(fd, POLLOUT);
			continue;
		}
		MUST(n);
		at += n;
		len -= n;
	}
}

void recv_and_say(const char *what, int fd, size_t len)
{
	uint8_t buf[CHUNK];
	uint32_t s = SUM_INIT;
	size_t got = 0;

	while (got < len) {
		size_t part = len - got < sizeof(buf) ? len - got : sizeof(buf);
		ssize_t n = recv(fd, buf, part, 0);

		if (n < 0 && errno == EAGAIN) {
			wait_for(fd, POLLIN);
			continue;
		}
		if (MUST(n) == 0)
			break;
		s = sum(s, buf, n);
		got += n;
	}
	say("%s: %zu bytes, sum %08x", what, got, s);
}

size_t recv_pattern(int fd, size_t len, size_t at)
{
	uint8_t buf[CHUNK], want[CHUNK];
	size_t got = 0;

	while (got < len) {
		size_t part = len - got < sizeof(buf) ? len - got : sizeof(buf);
		ssize_t n = recv(fd, buf, part, 0);

		if (n < 0 && errno == EAGAIN) {
			wait_for(fd, POLLIN);
			continue;
		}
		if (MUST(n) == 0)
			break;
		fill(want, n, at + got);
		if (memcmp(buf, want, n) != 0)
			break;
		got += n;
	}
	return got;
}

/* ---- waiting for a state
 * ------------------------------------------------------------------------------------------------------- */

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

void say_elapsed(const char *what, int64_t start, int64_t ms)
{
	int64_t passed = now_ms() - start;

	/* A millisecond less: both clocks are rounded down. */
	if (passed < ms - 1)
		say("%s: too early", what);
	else
		say("%s: %s", what, passed > ms + LATE_MS ? "too late" : "in time");
}

/* The state that is waited for is not there yet; look again in a moment. */
static void again(int64_t start, const char *what)
{
	struct timespec ms = {.tv_nsec = 1000000};

	if (now_ms() - start > AWAIT_MS) {
		say("stopped: %s did not come about in %d ms", what, AWAIT_MS);
		exit(3);
	}
	nanosleep(&ms, NULL);
}

void await(int fd, short want)
{
	int64_t start = now_ms();

	for (;;) {
		struct pollfd p = {.fd = fd, .events = want};

		MUST(poll(&p, 1, 1000));
		if ((p.revents & want) == want)
			return;
		again(start, events_name(want));
	}
}

void await_inq(int fd, int n)
{
	int64_t start = now_ms();
	int inq;

	while (MUST(ioctl(fd, FIONREAD, &inq)) == 0 && inq < n)
		again(start, "the bytes to read");
}

void await_acked(int fd)
{
	int64_t start = now_ms();
	int outq;

	while (MUST(ioctl(fd, SIOCOUTQ, &outq)) == 0 && outq > 0)
		again(start, "the acknowledgement");
}

void await_state(int fd, int state)
{
	int64_t start = now_ms();
	struct tcp_info info;
	socklen_t len = sizeof(info);

	while (MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len)) == 0 && info.tcpi_state != state)
		again(start, "the TCP state");
}

void say_poll(const char *what, int fd)
{
	struct pollfd p = {.fd = fd, .events = 0x7fff};
	int n = poll(&p, 1, 0);

	say("poll %s: %d %s", what, n, events_name(p.revents));
}

/* ---- descriptors on their way ------------------------------------------------------------------------------------------------
 */

union rights {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

long send_right(int over, int fd)
{
	union rights control = {0};
	char byte = 'x';
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(over, &msg, 0);
}

int receive_right(int over)
{
	union rights control;
	char byte;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf, .msg_controllen = sizeof(control.buf)};
	struct cmsghdr *c;
	int fd;

	if (recvmsg(over, &msg, 0) != 1 || !(c = CMSG_FIRSTHDR(&msg)) || c->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

void greeter(int n)
{
	int fd = pair();

	for (int i = 0; i < n; i++) {
		hear("send");
		MUST(send(fd, "hello", 5, 0));
	}
	hear("send");
	MUST(close(fd));
}

static void await_end(int fd)
{
	char c;

	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

void silent(void)
{
	await_end(pair());
}

static void sends(const char *word)
{
	int fd = pair();

	hear("send");
	MUST(send(fd, word, strlen(word), 0));
	await_end(fd);
}

void sends_byte(void)
{
	sends("x");
}

void sends_hello(void)
{
	sends("hello");
}
