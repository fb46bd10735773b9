/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_interrupt.c - each blocking call against a signal: handlers without SA_RESTART end it, with SA_RESTART it goes on, unless
 * SO_RCVTIMEO or SO_SNDTIMEO limits it (signal(7)).
 */
#include "posix_sig.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct call {
	const char *name;
	ssize_t (*make)(int fd);
};

static char byte = 'x';
static struct iovec one = {&byte, 1};

/* ---- receiving --------------------------------------------------------------------------------------------------------------
 */

static ssize_t by_recv(int fd)
{
	return recv(fd, &byte, 1, 0);
}

static ssize_t by_read(int fd)
{
	return read(fd, &byte, 1);
}

static ssize_t by_readv(int fd)
{
	return readv(fd, &one, 1);
}

static ssize_t by_recvfrom(int fd)
{
	return recvfrom(fd, &byte, 1, 0, NULL, NULL);
}

static ssize_t by_recvmsg(int fd)
{
	return recvmsg(fd, &(struct msghdr){.msg_iov = &one, .msg_iovlen = 1}, 0);
}

static ssize_t by_recvmmsg(int fd)
{
	return recvmmsg(fd, &(struct mmsghdr){.msg_hdr = {.msg_iov = &one, .msg_iovlen = 1}}, 1, 0, NULL);
}

static ssize_t by_peek(int fd)
{
	return recv(fd, &byte, 1, MSG_PEEK | MSG_WAITALL) + recv(fd, &byte, 1, 0) - 1;
}

static const struct call receives[] = {
    {"recv", by_recv},	     {"read", by_read},		{"readv", by_readv}, {"recvfrom", by_recvfrom},
    {"recvmsg", by_recvmsg}, {"recvmmsg", by_recvmmsg}, {"peek", by_peek},
};

static void say_result(const char *name, ssize_t got)
{
	say("%s = %zd%s%s", name, got, got < 0 ? " " : "", got < 0 ? errno_name(errno) : "");
}

static void limit(int fd, int which)
{
	struct timeval tv = {10, 0};

	MUST(setsockopt(fd, SOL_SOCKET, which, &tv, sizeof(tv)));
}

static void receives_server(void)
{
	int fd = pair(), limited = pair_at(1);

	limit(limited, SO_RCVTIMEO);
	for (unsigned i = 0; i < LEN(receives); i++) {
		/* The second one of "peek" has an errno of its own. */
		if (receives[i].make == by_peek)
			continue;
		ticking(0, NULL);
		say_result(receives[i].name, receives[i].make(fd));
		quiet();
		ticking(SA_RESTART, NULL);
		say_result("limited", receives[i].make(limited));
		quiet();
	}
	for (unsigned i = 0; i < LEN(receives); i++) {
		ticking(SA_RESTART, "send");
		say_result(receives[i].name, receives[i].make(fd));
		quiet();
	}
	MUST(close(fd));
	MUST(close(limited));
}

static void receives_client(void)
{
	char c;
	int fd = pair(), limited = pair_at(1);

	for (unsigned i = 0; i < LEN(receives); i++) {
		hear("send");
		MUST(send(fd, "x", 1, 0));
	}
	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
	MUST(close(limited));
}

/* ---- sending ----------------------------------------------------------------------------------------------------------------
 */

static ssize_t by_send(int fd)
{
	return send(fd, &byte, 1, 0);
}

static ssize_t by_write(int fd)
{
	return write(fd, &byte, 1);
}

static ssize_t by_writev(int fd)
{
	return writev(fd, &one, 1);
}

static ssize_t by_sendto(int fd)
{
	return sendto(fd, &byte, 1, 0, NULL, 0);
}

static ssize_t by_sendmsg(int fd)
{
	return sendmsg(fd, &(struct msghdr){.msg_iov = &one, .msg_iovlen = 1}, 0);
}

static ssize_t by_sendmmsg(int fd)
{
	return sendmmsg(fd, &(struct mmsghdr){.msg_hdr = {.msg_iov = &one, .msg_iovlen = 1}}, 1, 0);
}

/* Of one byte. */
static int file;

static ssize_t by_sendfile(int fd)
{
	off_t start = 0;

	return sendfile(fd, file, &start, 1);
}

static const struct call sends[] = {
    {"send", by_send},	     {"write", by_write},	{"writev", by_writev},	   {"sendto", by_sendto},
    {"sendmsg", by_sendmsg}, {"sendmmsg", by_sendmmsg}, {"sendfile", by_sendfile},
};

/* Again and again, as the link may take some more, until a call waits and is interrupted. */
static void until_interrupted(const char *name, const struct call *c, int fd)
{
	ssize_t n;

	while ((n = c->make(fd)) > 0)
		;
	say_result(name, n);
}

/* Until it has waited for three signals: the bytes all go, and no call fails. */
static void through_three(const struct call *c, int fd)
{
	ssize_t n = 1;

	while (ticks < 3 && n == 1)
		n = c->make(fd);
	say_result(c->name, n);
}

/* Until nothing more comes: what waited to be sent has been. */
static void drain(int fd)
{
	static char buf[65536];
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (poll(&p, 1, 40) == 1)
		MUST(recv(fd, buf, sizeof(buf), 0));
}

static void sends_server(void)
{
	int fd = pair_small();

	for (unsigned i = 0; i < LEN(sends); i++) {
		hear("read");
		drain(fd);
		meet();
	}
	MUST(close(fd));
}

static void sends_client(void)
{
	struct timeval none = {0};
	int fd = pair_small();

	file = MUST(memfd_create("one", MFD_CLOEXEC));
	MUST(write(file, "x", 1));
	for (unsigned i = 0; i < LEN(sends); i++) {
		ticking(0, NULL);
		until_interrupted(sends[i].name, &sends[i], fd);
		quiet();
		limit(fd, SO_SNDTIMEO);
		ticking(SA_RESTART, NULL);
		until_interrupted("limited", &sends[i], fd);
		quiet();
		MUST(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)));
	}
	for (unsigned i = 0; i < LEN(sends); i++) {
		ticking(SA_RESTART, "read");
		through_three(&sends[i], fd);
		quiet();
		meet();
	}
	MUST(close(file));
	MUST(close(fd));
}

/* ---- connections ------------------------------------------------------------------------------------------------------------
 */

static void limited_accept(void)
{
	int listener = listen_at(SERVER_IP, port(0));

	limit(listener, SO_RCVTIMEO);
	ticking(SA_RESTART, NULL);
	T(accept(listener, NULL, NULL));
	T(accept4(listener, NULL, NULL, SOCK_NONBLOCK));
	quiet();
	MUST(close(listener));
}

static void limited_connect(void)
{
	struct sockaddr_in sa = addr4(NOBODY_IP, port(0));
	int fd = tcp_socket();

	limit(fd, SO_SNDTIMEO);
	ticking(SA_RESTART, NULL);
	T(connect(fd, SA(sa), sizeof(sa)));
	quiet();
	MUST(close(fd));
}

/* The accept queue is full, until the server has heard of three signals and takes one: the next SYN is answered. */
static void restarted_connect_server(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int listener = tcp_socket(), first, second;

	set_int(listener, SOL_SOCKET, SO_REUSEADDR, 1);
	MUST(bind(listener, SA(sa), sizeof(sa)));
	MUST(listen(listener, 0));
	tell("connect");
	hear("accept");
	first = TFD(accept(listener, NULL, NULL));
	second = TFD(accept(listener, NULL, NULL));
	MUST(close(first));
	MUST(close(second));
	MUST(close(listener));
}

static void restarted_connect_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int first = tcp_socket(), second = tcp_socket();

	hear("connect");
	T(connect(first, SA(sa), sizeof(sa)));
	ticking(SA_RESTART, "accept");
	T(connect(second, SA(sa), sizeof(sa)));
	quiet();
	say_if("three signals at least", ticks >= 3);
	MUST(close(first));
	MUST(close(second));
}

/* ---- pipes ------------------------------------------------------------------------------------------------------------------
 */

static void splices_server(void)
{
	int fd = pair(), p[2];

	MUST(pipe(p));
	ticking(0, NULL);
	T(splice(fd, NULL, p[1], NULL, 1, 0));
	quiet();
	ticking(SA_RESTART, "send");
	T(splice(fd, NULL, p[1], NULL, 1, 0));
	quiet();
	MUST(close(p[0]));
	MUST(close(p[1]));
	MUST(close(fd));
}

/* ---- moments ----------------------------------------------------------------------------------------------------------------
 */

static int by_ppoll(int fd, const struct timespec *limit, const sigset_t *open)
{
	return ppoll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, limit, open);
}

static int by_pselect(int fd, const struct timespec *limit, const sigset_t *open)
{
	fd_set in;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	return pselect(fd + 1, &in, NULL, NULL, limit, open);
}

static int by_epoll(int fd, const struct timespec *limit, const sigset_t *open)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int epfd = MUST(epoll_create1(0)), rc, error;

	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	rc = epoll_pwait2(epfd, &ev, 1, limit, open);
	error = errno;
	MUST(close(epfd));
	errno = error;
	return rc;
}

/* A signal that is pending, and open in the call's mask alone: told however short the time limit is. */
static void moments_server(void)
{
	static int (*const waits[])(int fd, const struct timespec *limit, const sigset_t *open) = {by_ppoll, by_pselect,
												   by_epoll};
	static const char *const names[] = {"ppoll", "pselect", "epoll_pwait2"};
	struct sigaction sa = {.sa_handler = SIG_DFL};
	sigset_t alarms, old, none;
	int fd = pair();

	ticking(0, NULL);
	quiet();
	sigemptyset(&none);
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	sigprocmask(SIG_BLOCK, &alarms, &old);
	for (unsigned i = 0; i < LEN(waits); i++)
		for (int us = 0; us <= 64; us = us ? us * 2 : 1) {
			int told = 0;

			for (int k = 0; k < 20; k++) {
				raise(SIGALRM);
				told += waits[i](fd, &(struct timespec){.tv_nsec = us * 1000}, &none) < 0 && errno == EINTR;
			}
			say("%s %d us: %d", names[i], us, told);
		}
	MUST(signal(SIGALRM, SIG_IGN) == SIG_ERR ? -1 : 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	MUST(sigaction(SIGALRM, &sa, NULL));
	MUST(close(fd));
}

static const struct posix_case cases[] = {
    BOTH(receives),	     BOTH(sends),
    ALONE(limited_accept),   ALONE(limited_connect),
    BOTH(restarted_connect), SERVED(splices, sends_byte),
    SERVED(moments, silent),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
