/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_connect.c - connect(): blocking and not, refused, unreachable, in the wrong state, interrupted by a disconnect.
 */
#include "posix.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void connect_lengths(void)
{
	struct sockaddr_storage big = {0};
	static const int lens[] = {-1, 0, 1, 2, 8, 15, 129};
	struct sockaddr_in sa = addr4(CLIENT_IP, port(0));

	memcpy(&big, &sa, sizeof(sa));
	for (size_t i = 0; i < LEN(lens); i++) {
		int fd = tcp_socket();

		say("length %d", lens[i]);
		T(connect(fd, SA(big), lens[i]));
		MUST(close(fd));
	}
}

static void connect_bad_addresses(void)
{
	static const struct {
		const char *ip;
		int family;
	} rows[] = {
	    {CLIENT_IP, AF_UNIX},   {CLIENT_IP, AF_INET6},   {CLIENT_IP, 77},
	    {"192.0.2.1", AF_INET}, {"10.9.0.255", AF_INET}, {"255.255.255.255", AF_INET},
	    {"224.0.0.1", AF_INET}, {ANY_IP, AF_INET},	     {"127.0.0.1", AF_INET},
	};

	for (size_t i = 0; i < LEN(rows); i++) {
		struct sockaddr_in sa = addr4(rows[i].ip, port(0));
		struct sockaddr_storage big = {0};
		int fd = tcp_socket();

		sa.sin_family = rows[i].family;
		memcpy(&big, &sa, sizeof(sa));
		say("%s as family %d", rows[i].ip, rows[i].family);
		T(connect(fd, SA(big), sizeof(sa)));
		T(get_int(fd, SOL_SOCKET, SO_ERROR));
		MUST(close(fd));
	}
}

static void connect_bad_pointers(void)
{
	int fd = tcp_socket();

	T(connect(fd, NULL, sizeof(struct sockaddr_in)));
	T(connect(fd, NULL, 0));
	T(close(fd));
}

/* The server's host answers; nobody listens there. */
static void refused_blocking_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket();

	T(connect(fd, SA(sa), sizeof(sa)));
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	say_poll("after refusal", fd);
	T(send(fd, "x", 1, MSG_NOSIGNAL));
	T(recv(fd, &sa, 1, 0));
	T(getpeername(fd, SA(sa), &(socklen_t){sizeof(sa)}));
	sa = addr4(SERVER_IP, port(0));
	T(connect(fd, SA(sa), sizeof(sa)));
	T(close(fd));
}

static void refused_nonblocking_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket();

	set_nonblock(fd, true);
	T(connect(fd, SA(sa), sizeof(sa)));
	await(fd, POLLOUT);
	say_poll("refused", fd);
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	say_poll("error taken", fd);
	T(close(fd));
}

/* The error comes out of the first call that meets it, and then it is gone. */
static void refused_error_by_call_client(void)
{
	for (int call = 0; call < 4; call++) {
		struct sockaddr_in sa = addr4(SERVER_IP, port(0));
		int fd = tcp_socket();

		set_nonblock(fd, true);
		T(connect(fd, SA(sa), sizeof(sa)));
		await(fd, POLLHUP);
		if (call == 0)
			T(connect(fd, SA(sa), sizeof(sa)));
		else if (call == 1)
			T(recv(fd, &sa, 1, 0));
		else if (call == 2)
			T(send(fd, "x", 1, MSG_NOSIGNAL));
		else
			T(shutdown(fd, SHUT_RDWR));
		T(recv(fd, &sa, 1, 0));
		T(send(fd, "x", 1, MSG_NOSIGNAL));
		T(get_int(fd, SOL_SOCKET, SO_ERROR));
		say_poll("then", fd);
		MUST(close(fd));
	}
}

static void refused_then_accepted_server(void)
{
	int listener;

	hear("refused");
	listener = listen_at(SERVER_IP, port(0));
	tell("listening");
	MUST(close(accept_one(listener)));
	MUST(close(listener));
}

static void refused_then_accepted_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket();

	T(connect(fd, SA(sa), sizeof(sa)));
	tell("refused");
	hear("listening");
	T(connect(fd, SA(sa), sizeof(sa)));
	T(recv(fd, &sa, 1, 0));
	T(close(fd));
}

static void nonblocking_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd;

	tell("listening");
	fd = accept_one(listener);
	recv_and_say("got", fd, 5);
	MUST(close(fd));
	MUST(close(listener));
}

static void nonblocking_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket();

	hear("listening");
	set_nonblock(fd, true);
	T(connect(fd, SA(sa), sizeof(sa)));
	await(fd, POLLOUT);
	say_poll("connected", fd);
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	/* Success is told once by connect() itself, then it is EISCONN. */
	T(connect(fd, SA(sa), sizeof(sa)));
	T(connect(fd, SA(sa), sizeof(sa)));
	T(send(fd, "hello", 5, 0));
	T(close(fd));
}

static void connected_already_server(void)
{
	MUST(close(pair()));
}

static void connected_already_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0)), other = addr4(NOBODY_IP, port(1));
	int fd = pair();

	T(connect(fd, SA(sa), sizeof(sa)));
	T(connect(fd, SA(other), sizeof(other)));
	T(connect(fd, SA(sa), 3));
	T(connect(fd, NULL, sizeof(sa)));
	T(close(fd));
}

/* Nobody answers for this address: the connection attempt stays under way. */
static void under_way(void)
{
	struct sockaddr_in sa = addr4(NOBODY_IP, port(0));
	char buf[4] = "";
	int fd = tcp_socket();

	set_nonblock(fd, true);
	T(connect(fd, SA(sa), sizeof(sa)));
	T(connect(fd, SA(sa), sizeof(sa)));
	say_poll("under way", fd);
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	T(recv(fd, buf, sizeof(buf), 0));
	T(send(fd, buf, sizeof(buf), MSG_NOSIGNAL));
	T(getpeername(fd, SA(sa), &(socklen_t){sizeof(sa)}));
	T(listen(fd, 1));
	T(bind(fd, SA(sa), sizeof(sa)));
	T(close(fd));
}

static void under_way_shutdown(void)
{
	for (int how = SHUT_RD; how <= SHUT_RDWR; how++) {
		struct sockaddr_in sa = addr4(NOBODY_IP, port(0));
		int fd = tcp_socket();

		set_nonblock(fd, true);
		say("how %d", how);
		T(connect(fd, SA(sa), sizeof(sa)));
		T(shutdown(fd, how));
		say_poll("then", fd);
		T(get_int(fd, SOL_SOCKET, SO_ERROR));
		MUST(close(fd));
	}
}

/* No neighbour answers: EHOSTUNREACH once ARP has given up, long before the SYN would. */
static void no_neighbour(void)
{
	struct sockaddr_in sa = addr4(NOBODY_IP, port(0));
	int64_t start = now_ms();
	int fd = tcp_socket();

	T(connect(fd, SA(sa), sizeof(sa)));
	say_elapsed("after about three seconds of ARP", start, 1000);
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	/* Newer kernels put the ICMP error of each lost SYN into the error queue, and then poll() says ERR until it is read. */
	while (recv(fd, &sa, sizeof(sa), MSG_ERRQUEUE) >= 0)
		;
	say_poll("then", fd);
	T(close(fd));
}

static void timeout_by_option(void)
{
	struct sockaddr_in sa = addr4(NOBODY_IP, port(0));
	struct timeval tv = {.tv_usec = 100000};
	int64_t start = now_ms();
	int fd = tcp_socket();

	T(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	T(connect(fd, SA(sa), sizeof(sa)));
	say_elapsed("after 100 ms", start, 100);
	T(connect(fd, SA(sa), sizeof(sa)));
	say_poll("then", fd);
	T(close(fd));
}

static void bound_first_server(void)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	int listener = listen_at(SERVER_IP, port(0)), fd;

	for (int i = 0; i < 2; i++) {
		tell("listening");
		len = sizeof(sa);
		fd = TFD(accept(listener, SA(sa), &len));
		say_addr("from", &sa, len);
		MUST(close(fd));
		hear("closed");
	}
	MUST(close(listener));
}

static void bound_first_client(void)
{
	static const char *const ips[] = {CLIENT_IP, ANY_IP};

	for (int i = 0; i < 2; i++) {
		struct sockaddr_in sa = addr4(SERVER_IP, port(0)), own = addr4(ips[i], port(1 + i)), got;
		socklen_t len = sizeof(got);
		int fd = tcp_socket();
		char c;

		hear("listening");
		T(bind(fd, SA(own), sizeof(own)));
		T(connect(fd, SA(sa), sizeof(sa)));
		T(getsockname(fd, SA(got), &len));
		say_addr("own", &got, len);
		T(recv(fd, &c, 1, 0));
		T(close(fd));
		tell("closed");
	}
}

/* The same two ends again while the first connection lives. */
static void same_four_tuple_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd;

	tell("listening");
	fd = accept_one(listener);
	hear("done");
	MUST(close(fd));
	MUST(close(listener));
}

static void same_four_tuple_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0)), own = addr4(CLIENT_IP, port(1));
	int a = tcp_socket(), b = tcp_socket();

	set_int(a, SOL_SOCKET, SO_REUSEADDR, 1);
	set_int(b, SOL_SOCKET, SO_REUSEADDR, 1);
	hear("listening");
	T(bind(a, SA(own), sizeof(own)));
	T(bind(b, SA(own), sizeof(own)));
	T(connect(a, SA(sa), sizeof(sa)));
	T(connect(b, SA(sa), sizeof(sa)));
	tell("done");
	T(close(a));
	T(close(b));
}

static void disconnect_server(void)
{
	int listener = listen_at(SERVER_IP, port(0));

	tell("listening");
	for (int i = 0; i < 2; i++) {
		int fd = accept_one(listener);
		char c;

		T(recv(fd, &c, 1, 0));
		T(recv(fd, &c, 1, 0));
		MUST(close(fd));
	}
	MUST(close(listener));
}

/* AF_UNSPEC dissolves the association with a reset; the socket can connect again, or listen. */
static void disconnect_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0)), none = {.sin_family = AF_UNSPEC}, got;
	socklen_t len = sizeof(got);
	int fd = tcp_socket();

	T(connect(fd, SA(none), sizeof(none)));
	hear("listening");
	T(connect(fd, SA(sa), sizeof(sa)));
	T(send(fd, "a", 1, 0));
	await_acked(fd);
	T(connect(fd, SA(none), sizeof(none)));
	T(getpeername(fd, SA(got), &len));
	T(send(fd, "b", 1, MSG_NOSIGNAL));
	say_poll("disconnected", fd);
	T(getsockname(fd, SA(got), &len));
	say_addr("own", &got, len);
	T(connect(fd, SA(sa), sizeof(sa)));
	T(send(fd, "c", 1, 0));
	T(shutdown(fd, SHUT_WR));
	T(recv(fd, &sa, 1, 0));
	T(connect(fd, SA(none), sizeof(none)));
	T(listen(fd, 5));
	T(get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
	T(close(fd));
}

static void disconnect_listener_server(void)
{
	struct sockaddr_in none = {.sin_family = AF_UNSPEC};
	int fd = listen_at(SERVER_IP, port(0));

	T(connect(fd, SA(none), sizeof(none)));
	T(get_int(fd, SOL_SOCKET, SO_ACCEPTCONN));
	T(accept(fd, NULL, NULL));
	T(close(fd));
	tell("closed");
}

static void disconnect_listener_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket();

	hear("closed");
	T(connect(fd, SA(sa), sizeof(sa)));
	T(close(fd));
}

/* A host talks to itself under its own address. */
static void to_own_address(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0)), got;
	socklen_t len = sizeof(got);
	int fd = tcp_socket(), listener, peer;

	T(connect(fd, SA(sa), sizeof(sa)));
	listener = listen_at(SERVER_IP, port(0));
	T(connect(fd, SA(sa), sizeof(sa)));
	peer = accept_one(listener);
	T(getsockname(fd, SA(got), &len));
	say_addr("own", &got, len);
	T(send(fd, "hello", 5, 0));
	recv_and_say("got", peer, 5);
	T(close(peer));
	T(recv(fd, &sa, 1, 0));
	T(close(fd));
	T(close(listener));
}

static void unconnected_calls(void)
{
	struct sockaddr_in sa;
	char buf[4] = "";
	int fd = tcp_socket();

	T(recv(fd, buf, sizeof(buf), 0));
	T(recv(fd, buf, 0, 0));
	T(read(fd, buf, sizeof(buf)));
	T(send(fd, buf, sizeof(buf), 0));
	T(write(fd, buf, sizeof(buf)));
	T(sigpipes());
	T(shutdown(fd, SHUT_RD));
	T(shutdown(fd, SHUT_WR));
	T(shutdown(fd, 17));
	T(getpeername(fd, SA(sa), &(socklen_t){sizeof(sa)}));
	T(accept(fd, NULL, NULL));
	say_poll("unconnected", fd);
	T(close(fd));
}

static void many_in_a_row_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), total = 0;

	tell("listening");
	for (int i = 0; i < 200; i++) {
		int fd = accept_one(listener);
		char buf[8];

		total += MUST(recv(fd, buf, sizeof(buf), MSG_WAITALL));
		MUST(send(fd, buf, sizeof(buf), 0));
		MUST(close(fd));
	}
	say("bytes in all %d", total);
	MUST(close(listener));
}

static void many_in_a_row_client(void)
{
	int total = 0;

	hear("listening");
	for (int i = 0; i < 200; i++) {
		int fd = connect_to(SERVER_IP, port(0));
		char buf[8] = "request";

		MUST(send(fd, buf, sizeof(buf), 0));
		total += MUST(recv(fd, buf, sizeof(buf), MSG_WAITALL));
		MUST(recv(fd, buf, sizeof(buf), 0));
		MUST(close(fd));
	}
	say("bytes in all %d", total);
}

static const struct posix_case cases[] = {
    ALONE(connect_lengths),
    ALONE(connect_bad_addresses),
    ALONE(connect_bad_pointers),
    {"refused_blocking", NULL, refused_blocking_client},
    {"refused_nonblocking", NULL, refused_nonblocking_client},
    {"refused_error_by_call", NULL, refused_error_by_call_client},
    BOTH(refused_then_accepted),
    BOTH(nonblocking),
    BOTH(connected_already),
    ALONE(under_way),
    ALONE(under_way_shutdown),
    ALONE(no_neighbour),
    ALONE(timeout_by_option),
    BOTH(bound_first),
    BOTH(same_four_tuple),
    BOTH(disconnect),
    BOTH(disconnect_listener),
    ALONE(to_own_address),
    ALONE(unconnected_calls),
    BOTH(many_in_a_row),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
