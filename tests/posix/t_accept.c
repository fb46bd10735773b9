/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_accept.c - accept() and accept4(): flags, what is inherited, the queue, listeners that close, wildcard listeners that serve
 * the kernel's loopback as well.
 */
#include "posix.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

static void flags_server(void)
{
	static const int flags[] = {0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC, 1, O_APPEND};
	int listener = listen_at(SERVER_IP, port(0));

	/* The listener's own flags are not inherited. */
	set_nonblock(listener, true);
	tell("listening");
	for (size_t i = 0; i < LEN(flags); i++) {
		int fd;

		await(listener, POLLIN);
		fd = TFD(accept4(listener, NULL, NULL, flags[i]));
		if (fd < 0)
			continue;
		T(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
		T(fcntl(fd, F_GETFD));
		MUST(close(fd));
		tell("next");
	}
	T(close(accept_one(listener)));
	tell("next");
	T(accept4(listener, NULL, NULL, 0));
	T(accept(listener, NULL, NULL));
	MUST(close(listener));
}

static void flags_client(void)
{
	hear("listening");
	for (int i = 0; i < 5; i++) {
		int fd = connect_to(SERVER_IP, port(0));

		hear("next");
		MUST(close(fd));
	}
}

static void inherited_body(void)
{
	static const struct {
		int level, name, value;
		const char *what;
	} rows[] = {
	    {SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE"},
	    {SOL_SOCKET, SO_RCVBUF, 20000, "SO_RCVBUF"},
	    {SOL_SOCKET, SO_SNDBUF, 20000, "SO_SNDBUF"},
	    {SOL_SOCKET, SO_RCVLOWAT, 7, "SO_RCVLOWAT"},
	    {SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR"},
	    {SOL_SOCKET, SO_OOBINLINE, 1, "SO_OOBINLINE"},
	    {IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY"},
	    {IPPROTO_TCP, TCP_KEEPIDLE, 77, "TCP_KEEPIDLE"},
	    {IPPROTO_TCP, TCP_KEEPINTVL, 7, "TCP_KEEPINTVL"},
	    {IPPROTO_TCP, TCP_KEEPCNT, 3, "TCP_KEEPCNT"},
	    {IPPROTO_TCP, TCP_USER_TIMEOUT, 12345, "TCP_USER_TIMEOUT"},
	    {IPPROTO_TCP, TCP_MAXSEG, 1000, "TCP_MAXSEG"},
	    {IPPROTO_TCP, TCP_LINGER2, 30, "TCP_LINGER2"},
	    {IPPROTO_TCP, TCP_SYNCNT, 4, "TCP_SYNCNT"},
	    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 9000, "TCP_NOTSENT_LOWAT"},
	    {IPPROTO_TCP, TCP_DEFER_ACCEPT, 5, "TCP_DEFER_ACCEPT"},
	    {IPPROTO_TCP, TCP_CORK, 1, "TCP_CORK"},
	    {IPPROTO_IP, IP_TOS, 0x10, "IP_TOS"},
	    {IPPROTO_IP, IP_TTL, 33, "IP_TTL"},
	};
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	struct linger lg = {1, 3};
	struct timeval tv = {2, 0};
	socklen_t len = sizeof(lg);
	int listener = tcp_socket(), fd;

	for (size_t i = 0; i < LEN(rows); i++)
		set_int(listener, rows[i].level, rows[i].name, rows[i].value);
	MUST(setsockopt(listener, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	MUST(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	MUST(bind(listener, SA(sa), sizeof(sa)));
	MUST(listen(listener, 5));
	tell("listening");
	hear("sent");
	fd = accept_one(listener);
	for (size_t i = 0; i < LEN(rows); i++)
		say("%s: listener %d, accepted %d", rows[i].what, get_int(listener, rows[i].level, rows[i].name),
		    get_int(fd, rows[i].level, rows[i].name));
	T(getsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, &len));
	say("SO_LINGER %d %d", lg.l_onoff, lg.l_linger);
	len = sizeof(tv);
	T(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len));
	say("SO_RCVTIMEO %ld %ld", tv.tv_sec, tv.tv_usec);
	T(get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
	MUST(close(fd));
	MUST(close(listener));
}

/* TCP_DEFER_ACCEPT is among the options: the connection must have sent something. */
static void inherited_client(void)
{
	int fd;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	MUST(send(fd, "x", 1, 0));
	tell("sent");
	meet();
	MUST(close(fd));
}

static void inherited_server(void)
{
	inherited_body();
	meet();
}

static void would_block(void)
{
	struct timeval tv = {.tv_usec = 50000};
	int listener = listen_at(SERVER_IP, port(0));
	int64_t start;

	set_nonblock(listener, true);
	T(accept(listener, NULL, NULL));
	say_poll("nothing there", listener);
	set_nonblock(listener, false);
	MUST(setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	start = now_ms();
	T(accept(listener, NULL, NULL));
	say_elapsed("after 50 ms", start, 50);
	T(close(listener));
}

/* In the order in which they came. */
static void order_body(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd[5];

	tell("listening");
	hear("all there");
	say_poll("five wait", listener);
	for (size_t i = 0; i < LEN(fd); i++)
		fd[i] = accept_one(listener);
	say_poll("none waits", listener);
	for (size_t i = 0; i < LEN(fd); i++) {
		char c;

		MUST(recv(fd[i], &c, 1, MSG_WAITALL));
		say("connection %zu sent %c", i, c);
		MUST(close(fd[i]));
	}
	MUST(close(listener));
}

static void order_client(void)
{
	int fd[5];

	hear("listening");
	for (size_t i = 0; i < LEN(fd); i++) {
		fd[i] = connect_to(SERVER_IP, port(0));
		MUST(send(fd[i], &"abcde"[i], 1, 0));
	}
	tell("all there");
	meet();
	for (size_t i = 0; i < LEN(fd); i++)
		MUST(close(fd[i]));
}

static void order_server(void)
{
	order_body();
	meet();
}

/* Gone before it was accepted: it is accepted all the same. */
static void gone_before_server(void)
{
	int listener = listen_at(SERVER_IP, port(0));

	for (int i = 0; i < 3; i++) {
		char buf[16];
		int fd;

		tell("listening");
		hear("gone");
		await(listener, POLLIN);
		fd = TFD(accept(listener, NULL, NULL));
		if (i == 2)
			await(fd, POLLHUP);
		else
			await(fd, POLLRDHUP);
		say_poll("accepted", fd);
		T(recv(fd, buf, sizeof(buf), 0));
		T(recv(fd, buf, sizeof(buf), 0));
		MUST(close(fd));
	}
	MUST(close(listener));
}

static void gone_before_client(void)
{
	struct linger lg = {1, 0};

	for (int i = 0; i < 3; i++) {
		int fd;

		hear("listening");
		fd = connect_to(SERVER_IP, port(0));
		if (i == 1)
			MUST(send(fd, "last words", 10, 0));
		if (i == 2)
			MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
		T(close(fd));
		tell("gone");
	}
}

/* Connections that nobody accepted are reset when their listener closes. */
static void listener_closes_server(void)
{
	int listener = listen_at(SERVER_IP, port(0));

	tell("listening");
	hear("connected");
	await(listener, POLLIN);
	T(close(listener));
	tell("closed");
}

static void listener_closes_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd, late = tcp_socket();
	char c;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	tell("connected");
	hear("closed");
	await(fd, POLLHUP);
	say_poll("reset", fd);
	T(recv(fd, &c, 1, 0));
	T(recv(fd, &c, 1, 0));
	T(connect(late, SA(sa), sizeof(sa)));
	MUST(close(fd));
	MUST(close(late));
}

static void shutdown_listener_server(void)
{
	int listener = listen_at(SERVER_IP, port(0));

	say_poll("listening", listener);
	T(shutdown(listener, SHUT_WR));
	T(get_int(listener, SOL_SOCKET, SO_ACCEPTCONN));
	T(shutdown(listener, SHUT_RD));
	T(get_int(listener, SOL_SOCKET, SO_ACCEPTCONN));
	say_poll("shut", listener);
	T(accept(listener, NULL, NULL));
	T(shutdown(listener, SHUT_RD));
	tell("shut");
	hear("refused");
	T(listen(listener, 5));
	tell("listening");
	MUST(close(accept_one(listener)));
	T(close(listener));
}

static void shutdown_listener_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket();

	hear("shut");
	T(connect(fd, SA(sa), sizeof(sa)));
	tell("refused");
	hear("listening");
	T(connect(fd, SA(sa), sizeof(sa)));
	T(recv(fd, &sa, 1, 0));
	T(close(fd));
}

static void *accept_in_thread(void *arg)
{
	int listener = *(int *)arg;

	T(accept(listener, NULL, NULL));
	return NULL;
}

/* shutdown() wakes a thread that is blocked in accept(). */
static void shutdown_wakes_accept(void)
{
	int listener = listen_at(SERVER_IP, port(0));
	pthread_t thread;

	/* Whether the thread blocks before the shutdown or comes after it: the answer is the same. */
	MUST(pthread_create(&thread, NULL, accept_in_thread, &listener) ? -1 : 0);
	usleep(20000);
	MUST(shutdown(listener, SHUT_RDWR));
	pthread_join(thread, NULL);
	MUST(close(listener));
}

/* With TCP_DEFER_ACCEPT the connection is accepted when its first data has come. */
static void defer_accept_body(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd;
	char buf[8];

	set_int(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 3);
	set_nonblock(listener, true);
	tell("listening");
	hear("connected");
	T(accept(listener, NULL, NULL));
	say_poll("deferred", listener);
	tell("send");
	await(listener, POLLIN);
	fd = TFD(accept(listener, NULL, NULL));
	T(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	MUST(close(fd));
	MUST(close(listener));
}

static void defer_accept_client(void)
{
	int fd;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	tell("connected");
	hear("send");
	T(send(fd, "hello", 5, 0));
	T(recv(fd, &fd, 0, 0));
	meet();
	MUST(close(fd));
}

static void defer_accept_server(void)
{
	defer_accept_body();
	meet();
}

/* A wildcard listener serves who comes over the link and who comes over lo, the same accept() for both. */
static void wildcard_server(void)
{
	int listener = listen_at(ANY_IP, port(0)), seen_lo = 0, seen_link = 0;

	tell("listening");
	for (int round = 0; round < 8; round++) {
		struct sockaddr_in sa;
		socklen_t len;
		int lo = connect_to("127.0.0.1", port(0)), fd;

		tell("connect");
		/* Two queues have no order between them: only the sums are told. */
		for (int k = 0; k < 2; k++) {
			len = sizeof(sa);
			fd = MUST(accept(listener, SA(sa), &len));
			if (sa.sin_addr.s_addr == htonl(INADDR_LOOPBACK))
				seen_lo++;
			else
				seen_link++;
			MUST(send(fd, "welcome", 7, 0));
			MUST(close(fd));
		}
		MUST(close(lo));
	}
	say("over lo %d, over the link %d", seen_lo, seen_link);
	set_nonblock(listener, true);
	T(accept(listener, NULL, NULL));
	MUST(close(listener));
}

static void wildcard_client(void)
{
	hear("listening");
	for (int round = 0; round < 8; round++) {
		int fd;

		hear("connect");
		fd = connect_to(SERVER_IP, port(0));
		recv_and_say("greeting", fd, 100);
		MUST(close(fd));
	}
}

/* poll() on a wildcard listener wakes for either side. */
static void wildcard_poll_server(void)
{
	int listener = listen_at(ANY_IP, port(0)), lo;

	set_nonblock(listener, true);
	T(accept(listener, NULL, NULL));
	lo = connect_to("127.0.0.1", port(0));
	await(listener, POLLIN);
	say_poll("from lo", listener);
	MUST(close(accept_one(listener)));
	T(accept(listener, NULL, NULL));
	MUST(close(lo));
	tell("connect");
	await(listener, POLLIN);
	say_poll("from the link", listener);
	MUST(close(accept_one(listener)));
	T(accept(listener, NULL, NULL));
	say_poll("none", listener);
	MUST(close(listener));
}

static void wildcard_poll_client(void)
{
	char c;
	int fd;

	hear("connect");
	fd = connect_to(SERVER_IP, port(0));
	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

static int take_all(int listener)
{
	int n = 0, fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		MUST(close(fd));
		n++;
	}
	MUST(errno == EAGAIN ? 0 : -1);
	return n;
}

/* Two listeners on one port: each connection is somebody's, and when one closes, the other goes on. */
static void reuse_port_server(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	struct pollfd p[2];
	int total = 0;

	for (int i = 0; i < 2; i++) {
		p[i] = (struct pollfd){.fd = tcp_socket(), .events = POLLIN};
		set_int(p[i].fd, SOL_SOCKET, SO_REUSEPORT, 1);
		set_nonblock(p[i].fd, true);
		MUST(bind(p[i].fd, SA(sa), sizeof(sa)));
		MUST(listen(p[i].fd, 100));
	}
	tell("forty");
	while (total < 40) {
		MUST(poll(p, 2, -1));
		total += take_all(p[0].fd) + take_all(p[1].fd);
	}
	say("accepted %d", total);
	hear("done");
	MUST(close(p[0].fd));
	tell("forty");
	for (total = 0; total < 40; total += take_all(p[1].fd))
		MUST(poll(&p[1], 1, -1));
	say("accepted %d", total);
	hear("done");
	MUST(close(p[1].fd));
}

static void reuse_port_client(void)
{
	for (int round = 0; round < 2; round++) {
		hear("forty");
		for (int i = 0; i < 40; i++)
			MUST(close(connect_to(SERVER_IP, port(0))));
		tell("done");
	}
}

static void sixty_four_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd[64], bytes = 0;

	tell("listening");
	for (size_t i = 0; i < LEN(fd); i++)
		fd[i] = accept_one(listener);
	for (size_t i = 0; i < LEN(fd); i++) {
		char buf[32];

		bytes += MUST(recv(fd[i], buf, sizeof(buf), MSG_WAITALL));
		MUST(send(fd[i], buf, sizeof(buf), 0));
	}
	say("bytes in all %d", bytes);
	hear("done");
	for (size_t i = 0; i < LEN(fd); i++)
		MUST(close(fd[i]));
	MUST(close(listener));
}

static void sixty_four_client(void)
{
	int fd[64], bytes = 0;

	hear("listening");
	for (size_t i = 0; i < LEN(fd); i++) {
		fd[i] = connect_to(SERVER_IP, port(0));
		send_pattern(fd[i], 32, i);
	}
	for (size_t i = 0; i < LEN(fd); i++)
		bytes += recv_pattern(fd[i], 32, i);
	say("bytes in all %d", bytes);
	tell("done");
	for (size_t i = 0; i < LEN(fd); i++)
		MUST(close(fd[i]));
}

/* Connections whose descriptors the kernel is asked about: each is a socket of its own. */
static void own_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd[3], copy;
	struct stat st[3], again;
	uint64_t cookie[3];
	socklen_t len = sizeof(cookie[0]);

	tell("listening");
	for (size_t i = 0; i < LEN(fd); i++) {
		fd[i] = accept_one(listener);
		T(fstat(fd[i], &st[i]));
		say_if("fstat says socket", S_ISSOCK(st[i].st_mode));
		T(getsockopt(fd[i], SOL_SOCKET, SO_COOKIE, &cookie[i], &len));
	}
	say_if("inodes differ", st[0].st_ino != st[1].st_ino && st[1].st_ino != st[2].st_ino && st[0].st_ino != st[2].st_ino);
	say_if("cookies differ", cookie[0] != cookie[1] && cookie[1] != cookie[2]);
	T(fcntl(fd[0], F_SETOWN, getpid()));
	T(fcntl(fd[0], F_SETSIG, SIGUSR1));
	T(fcntl(fd[1], F_SETFL, O_NONBLOCK | O_APPEND));
	copy = TFD(dup(fd[1]));
	for (size_t i = 0; i < LEN(fd); i++) {
		say_if("owner is this process", fcntl(fd[i], F_GETOWN) == getpid());
		T(fcntl(fd[i], F_GETSIG) == SIGUSR1);
		T(fcntl(fd[i], F_GETFL) & (O_NONBLOCK | O_APPEND));
	}
	T(fcntl(copy, F_GETFL) & (O_NONBLOCK | O_APPEND));
	T(fstat(copy, &again));
	say_if("a duplicate's inode is the same", again.st_ino == st[1].st_ino);
	for (size_t i = 0; i < LEN(fd); i++)
		recv_pattern(fd[i], 100, i);
	tell("done");
	MUST(close(copy));
	MUST(close(listener));
	for (size_t i = 0; i < LEN(fd); i++)
		MUST(close(fd[i]));
}

static void own_client(void)
{
	int fd[3];

	hear("listening");
	for (size_t i = 0; i < LEN(fd); i++) {
		fd[i] = connect_to(SERVER_IP, port(0));
		send_pattern(fd[i], 100, i);
	}
	hear("done");
	for (size_t i = 0; i < LEN(fd); i++)
		MUST(close(fd[i]));
}

static const struct posix_case cases[] = {
    BOTH(flags),
    BOTH(inherited),
    ALONE(would_block),
    BOTH(order),
    BOTH(gone_before),
    BOTH(listener_closes),
    BOTH(shutdown_listener),
    ALONE(shutdown_wakes_accept),
    BOTH(defer_accept),
    BOTH(wildcard),
    BOTH(wildcard_poll),
    BOTH(reuse_port),
    BOTH(sixty_four),
    BOTH(own),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
