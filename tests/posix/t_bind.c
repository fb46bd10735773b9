/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_bind.c - socket(), bind() and listen(): what they take, what they refuse, and with which errno.
 */
#include "posix.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

static void socket_kinds(void)
{
	static const struct {
		int domain, type, protocol;
		const char *what;
	} rows[] = {
	    {AF_INET, SOCK_STREAM, 0, "inet stream"},
	    {AF_INET, SOCK_STREAM, IPPROTO_TCP, "inet stream tcp"},
	    {AF_INET6, SOCK_STREAM, 0, "inet6 stream"},
	    {AF_INET6, SOCK_STREAM, IPPROTO_TCP, "inet6 stream tcp"},
	    {AF_INET, SOCK_STREAM, IPPROTO_UDP, "inet stream udp"},
	    {AF_INET, SOCK_DGRAM, IPPROTO_TCP, "inet dgram tcp"},
	    {AF_INET, SOCK_DGRAM, 0, "inet dgram"},
	    {AF_INET, SOCK_STREAM, -1, "protocol -1"},
	    {AF_INET, SOCK_STREAM, 256, "protocol 256"},
	    {AF_INET, SOCK_STREAM, 9999, "protocol 9999"},
	    {AF_INET, SOCK_SEQPACKET, 0, "inet seqpacket"},
	    {AF_INET, 0, 0, "type 0"},
	    {AF_INET, 15, 0, "type 15"},
	    {AF_INET, SOCK_STREAM | 0x10000, 0, "unknown type flag"},
	    {AF_UNSPEC, SOCK_STREAM, 0, "unspec"},
	    {-1, SOCK_STREAM, 0, "family -1"},
	    {46 + 100, SOCK_STREAM, 0, "unknown family"},
	    {AF_UNIX, SOCK_STREAM, 0, "unix stream"},
	    {AF_UNIX, SOCK_STREAM, IPPROTO_TCP, "unix stream tcp"},
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		int fd = socket(rows[i].domain, rows[i].type, rows[i].protocol);

		say("socket %s: %s", rows[i].what, fd < 0 ? errno_name(errno) : "a descriptor");
		if (fd >= 0)
			MUST(close(fd));
	}
}

static void socket_flags(void)
{
	static const int flags[] = {0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC};

	for (size_t i = 0; i < LEN(flags); i++) {
		int fd = TFD(socket(AF_INET, SOCK_STREAM | flags[i], 0));

		T(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
		T(fcntl(fd, F_GETFD));
		T(close(fd));
	}
}

static void socket_lowest_number(void)
{
	int a = tcp_socket(), b = tcp_socket(), c;

	say_if("second socket has a higher number", b > a);
	MUST(close(a));
	c = tcp_socket();
	say_if("a closed number is used again at once", c == a);
	MUST(close(b));
	MUST(close(c));
}

static void socketpair_unix(void)
{
	int sv[2];
	char buf[8];

	T(socketpair(AF_UNIX, SOCK_STREAM, 0, sv));
	T(write(sv[0], "hello", 5));
	T(read(sv[1], buf, sizeof(buf)));
	T(close(sv[0]));
	T(read(sv[1], buf, sizeof(buf)));
	T(close(sv[1]));
	T(socketpair(AF_INET, SOCK_STREAM, 0, sv));
}

static void bind_lengths(void)
{
	struct sockaddr_storage big = {0};
	static const int lens[] = {-1, 0, 1, 2, 8, 15, 16, 17, 28, 128, 129, INT_MAX};

	for (size_t i = 0; i < LEN(lens); i++) {
		int fd = tcp_socket();
		struct sockaddr_in sa = addr4(SERVER_IP, port(0));

		memcpy(&big, &sa, sizeof(sa));
		say("length %d", lens[i]);
		T(bind(fd, SA(big), lens[i]));
		MUST(close(fd));
	}
}

static void bind_bad_addresses(void)
{
	static const struct {
		const char *ip;
		int family;
	} rows[] = {
	    {NOBODY_IP, AF_INET},   {"255.255.255.255", AF_INET}, {"10.9.0.255", AF_INET}, {"224.0.0.1", AF_INET},
	    {"127.0.0.1", AF_INET}, {"192.0.2.1", AF_INET},	  {SERVER_IP, AF_UNSPEC},  {ANY_IP, AF_UNSPEC},
	    {SERVER_IP, AF_INET6},  {SERVER_IP, AF_UNIX},	  {SERVER_IP, 0xffff},
	};
	struct sockaddr_in6 in6 = addr6("::", port(0));
	int fd = tcp_socket();

	T(bind(fd, NULL, sizeof(struct sockaddr_in)));
	T(bind(fd, SA(in6), sizeof(in6)));
	MUST(close(fd));
	for (size_t i = 0; i < LEN(rows); i++) {
		struct sockaddr_in sa = addr4(rows[i].ip, port(0));

		fd = tcp_socket();
		sa.sin_family = rows[i].family;
		say("%s as family %d", rows[i].ip, rows[i].family);
		T(bind(fd, SA(sa), sizeof(sa)));
		MUST(close(fd));
	}
}

static void bind_twice(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0)), other = addr4(SERVER_IP, port(1)), any = addr4(ANY_IP, port(2));
	int fd = tcp_socket(), anyfd = tcp_socket();

	T(bind(fd, SA(sa), sizeof(sa)));
	T(bind(fd, SA(sa), sizeof(sa)));
	T(bind(fd, SA(other), sizeof(other)));
	T(bind(anyfd, SA(any), sizeof(any)));
	T(bind(anyfd, SA(other), sizeof(other)));
	T(close(fd));
	T(close(anyfd));
}

/* Two sockets, two addresses, the options of each: does the second get the port, and may both listen? */
static void bind_conflicts(void)
{
	static const struct {
		const char *ip[2];
		int option[2];
	} rows[] = {
	    {{SERVER_IP, SERVER_IP}, {0, 0}},
	    {{SERVER_IP, SERVER_IP}, {SO_REUSEADDR, 0}},
	    {{SERVER_IP, SERVER_IP}, {0, SO_REUSEADDR}},
	    {{SERVER_IP, SERVER_IP}, {SO_REUSEADDR, SO_REUSEADDR}},
	    {{SERVER_IP, SERVER_IP}, {SO_REUSEPORT, SO_REUSEPORT}},
	    {{SERVER_IP, SERVER_IP}, {SO_REUSEPORT, 0}},
	    {{SERVER_IP, SERVER_IP}, {SO_REUSEPORT, SO_REUSEADDR}},
	    {{ANY_IP, SERVER_IP}, {0, 0}},
	    {{SERVER_IP, ANY_IP}, {0, 0}},
	    {{ANY_IP, SERVER_IP}, {SO_REUSEADDR, SO_REUSEADDR}},
	    {{SERVER_IP, ANY_IP}, {SO_REUSEADDR, SO_REUSEADDR}},
	    {{ANY_IP, SERVER_IP}, {SO_REUSEPORT, SO_REUSEPORT}},
	    {{ANY_IP, ANY_IP}, {0, 0}},
	    {{ANY_IP, ANY_IP}, {SO_REUSEADDR, SO_REUSEADDR}},
	    {{ANY_IP, ANY_IP}, {SO_REUSEPORT, SO_REUSEPORT}},
	    {{SERVER_IP, "127.0.0.1"}, {0, 0}},
	    {{ANY_IP, "127.0.0.1"}, {0, 0}},
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		int fd[2];

		for (int k = 0; k < 2; k++) {
			struct sockaddr_in sa = addr4(rows[i].ip[k], port(0));

			fd[k] = tcp_socket();
			if (rows[i].option[k])
				set_int(fd[k], SOL_SOCKET, rows[i].option[k], 1);
			say("row %zu, socket %d: %s option %d", i, k, rows[i].ip[k], rows[i].option[k]);
			T(bind(fd[k], SA(sa), sizeof(sa)));
		}
		T(listen(fd[0], 5));
		T(listen(fd[1], 5));
		MUST(close(fd[1]));
		MUST(close(fd[0]));
	}
}

/* While one listens, may another bind its port? */
static void bind_over_listener(void)
{
	static const int options[] = {0, SO_REUSEADDR, SO_REUSEPORT};
	int listener = listen_at(SERVER_IP, port(0));

	for (size_t i = 0; i < LEN(options); i++) {
		struct sockaddr_in sa = addr4(SERVER_IP, port(0));
		int fd = tcp_socket();

		if (options[i])
			set_int(fd, SOL_SOCKET, options[i], 1);
		say("option %d", options[i]);
		T(bind(fd, SA(sa), sizeof(sa)));
		MUST(close(fd));
	}
	T(close(listener));
	listener = listen_at(SERVER_IP, port(0));
	say("a closed listener's port can be taken at once");
	T(close(listener));
}

static void bind_port_zero(void)
{
	static const char *const ips[] = {SERVER_IP, ANY_IP, "127.0.0.1"};

	for (size_t i = 0; i < LEN(ips); i++) {
		struct sockaddr_in sa = addr4(ips[i], 0), got = {0};
		socklen_t len = sizeof(got);
		int fd = tcp_socket();

		T(bind(fd, SA(sa), sizeof(sa)));
		T(getsockname(fd, SA(got), &len));
		say_addr("name", &got, len);
		T(listen(fd, 5));
		T(close(fd));
	}
}

static void listen_unbound(void)
{
	struct sockaddr_in got = {0};
	socklen_t len = sizeof(got);
	int fd = tcp_socket();

	T(getsockname(fd, SA(got), &len));
	say_addr("before", &got, len);
	T(listen(fd, 5));
	len = sizeof(got);
	T(getsockname(fd, SA(got), &len));
	say_addr("after", &got, len);
	T(close(fd));
}

static void listen_backlogs(void)
{
	static const int backlogs[] = {INT_MIN, -1, 0, 1, 128, 65536, INT_MAX};

	for (size_t i = 0; i < LEN(backlogs); i++) {
		struct sockaddr_in sa = addr4(SERVER_IP, port(0));
		int fd = tcp_socket();

		MUST(bind(fd, SA(sa), sizeof(sa)));
		say("backlog %d", backlogs[i]);
		T(listen(fd, backlogs[i]));
		T(listen(fd, backlogs[i]));
		T(get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
		MUST(close(fd));
	}
}

static void listen_wrong_state_server(void)
{
	int fd = pair();
	struct sockaddr_in sa = addr4(SERVER_IP, port(1));

	T(listen(fd, 5));
	T(bind(fd, SA(sa), sizeof(sa)));
	meet();
	T(close(fd));
}

static void listen_wrong_state_client(void)
{
	int fd = pair();

	T(listen(fd, 5));
	meet();
	T(close(fd));
}

static void listener_does_not_talk(void)
{
	int fd = listen_at(SERVER_IP, port(0));
	struct sockaddr_in sa = addr4(CLIENT_IP, port(0));
	char buf[4] = "";

	T(connect(fd, SA(sa), sizeof(sa)));
	T(read(fd, buf, sizeof(buf)));
	T(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	T(send(fd, buf, sizeof(buf), MSG_NOSIGNAL));
	T(write(fd, buf, sizeof(buf)));
	T(sigpipes());
	T(getpeername(fd, SA(sa), &(socklen_t){sizeof(sa)}));
	T(shutdown(fd, SHUT_WR));
	T(close(fd));
}

static void bad_descriptors(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int closed = tcp_socket(), pipes[2];

	MUST(close(closed));
	T(bind(closed, SA(sa), sizeof(sa)));
	T(listen(closed, 1));
	T(accept(closed, NULL, NULL));
	T(connect(closed, SA(sa), sizeof(sa)));
	T(shutdown(closed, SHUT_RD));
	T(close(closed));
	T(close(-1));
	T(listen(-1, 1));
	T(bind(1 << 20, SA(sa), sizeof(sa)));
	MUST(pipe(pipes));
	T(bind(pipes[0], SA(sa), sizeof(sa)));
	T(listen(pipes[0], 1));
	T(accept(pipes[0], NULL, NULL));
	T(connect(pipes[0], SA(sa), sizeof(sa)));
	T(shutdown(pipes[0], SHUT_RD));
	T(getsockname(pipes[0], SA(sa), &(socklen_t){sizeof(sa)}));
	T(send(pipes[1], "x", 1, 0));
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
}

/* The port of a connection that its server closed first stays taken: SO_REUSEADDR is what gets past TIME-WAIT. */
static void rebind_after_timewait_server(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = pair(), plain = tcp_socket(), reuse = tcp_socket();

	T(shutdown(fd, SHUT_WR));
	hear("closed");
	await_state(fd, TCP_CLOSE);
	T(close(fd));
	T(bind(plain, SA(sa), sizeof(sa)));
	set_int(reuse, SOL_SOCKET, SO_REUSEADDR, 1);
	T(bind(reuse, SA(sa), sizeof(sa)));
	T(listen(reuse, 5));
	MUST(close(plain));
	MUST(close(reuse));
}

static void rebind_after_timewait_client(void)
{
	int fd = pair();
	char c;

	T(read(fd, &c, 1));
	T(close(fd));
	tell("closed");
}

static const struct posix_case cases[] = {
    ALONE(socket_kinds),       ALONE(socket_flags),	      ALONE(socket_lowest_number), ALONE(socketpair_unix),
    ALONE(bind_lengths),       ALONE(bind_bad_addresses),     ALONE(bind_twice),	   ALONE(bind_conflicts),
    ALONE(bind_over_listener), ALONE(bind_port_zero),	      ALONE(listen_unbound),	   ALONE(listen_backlogs),
    BOTH(listen_wrong_state),  ALONE(listener_does_not_talk), ALONE(bad_descriptors),	   BOTH(rebind_after_timewait),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
