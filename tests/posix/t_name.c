/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_name.c - getsockname(), getpeername() and the address from accept(): lengths, truncation; AF_INET6 sockets with IPv4 peers.
 */
#include "posix.h"

#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum which { OWN, PEER };

/* Print which bytes of a buffer of 0xee were written over by a call with this length. */
static void truncated(int fd, enum which which, int len)
{
	uint8_t buf[160];
	socklen_t got = len;
	int written = 0, n;

	memset(buf, 0xee, sizeof(buf));
	n = which == OWN ? getsockname(fd, (struct sockaddr *)buf, &got) : getpeername(fd, (struct sockaddr *)buf, &got);
	if (n < 0) {
		say("length %d: %s", len, errno_name(errno));
		return;
	}
	for (int i = 0; i < (int)sizeof(buf); i++)
		if (buf[i] != 0xee)
			written = i + 1;
	say("length %d: %d, stored length %u, %d bytes written", len, n, got, written);
}

static void truncations(int fd, enum which which)
{
	static const int lens[] = {INT_MIN, -1, 0, 1, 2, 4, 8, 15, 16, 17, 24, 28, 128, 150, INT_MAX};

	for (size_t i = 0; i < LEN(lens); i++)
		truncated(fd, which, lens[i]);
}

static void bad_pointers(int fd)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);

	T(getsockname(fd, SA(sa), NULL));
	T(getsockname(fd, NULL, &len));
	T(getpeername(fd, SA(sa), NULL));
	T(getpeername(fd, NULL, &len));
	len = 0;
	T(getsockname(fd, NULL, &len));
	say("stored length %u", len);
}

static void lengths_server(void)
{
	int fd = pair();

	truncations(fd, OWN);
	truncations(fd, PEER);
	bad_pointers(fd);
	meet();
	MUST(close(fd));
}

static void lengths_client(void)
{
	int fd = pair();

	truncations(fd, OWN);
	truncations(fd, PEER);
	meet();
	MUST(close(fd));
}

static void lengths_listener(void)
{
	int fd = listen_at(SERVER_IP, port(0));

	truncations(fd, OWN);
	truncations(fd, PEER);
	MUST(close(fd));
	fd = tcp_socket();
	truncations(fd, OWN);
	truncations(fd, PEER);
	MUST(close(fd));
}

static void accept_lengths_server(void)
{
	static const int lens[] = {0, 1, 2, 15, 16, 17, 28, 128, INT_MAX};
	int listener = listen_at(SERVER_IP, port(0));

	tell("listening");
	for (size_t i = 0; i < LEN(lens); i++) {
		uint8_t buf[160];
		socklen_t len = lens[i];
		int fd, written = 0;

		memset(buf, 0xee, sizeof(buf));
		fd = accept(listener, (struct sockaddr *)buf, &len);
		/* The port differs from run to run: only the extent of what was written counts. */
		for (int k = 0; k < (int)sizeof(buf); k++)
			if (buf[k] != 0xee)
				written = k + 1;
		say("length %d: %s, stored %u, written %s", lens[i], fd < 0 ? errno_name(errno) : "ok", len,
		    written == 16  ? "16"
		    : written > 2  ? "3 to 15"
		    : written == 2 ? "2"
		    : written	   ? "1"
				   : "0");
		if (fd >= 0)
			MUST(close(fd));
		tell("next");
	}
	MUST(close(listener));
}

static void accept_lengths_client(void)
{
	hear("listening");
	for (int i = 0; i < 9; i++) {
		int fd = connect_to(SERVER_IP, port(0));

		hear("next");
		MUST(close(fd));
	}
}

/* An address without a length.  What becomes of the connection is not compared: Linux loses it, which nobody needs. */
static void accept_without_length_server(void)
{
	int listener = listen_at(SERVER_IP, port(0));
	struct sockaddr_in sa;

	tell("listening");
	hear("connected");
	await(listener, POLLIN);
	T(accept(listener, SA(sa), NULL));
	MUST(close(listener));
	tell("closed");
}

static void accept_without_length_client(void)
{
	int fd;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	tell("connected");
	hear("closed");
	MUST(close(fd));
}

static void names_by_state_server(void)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	int fd = pair();

	T(getpeername(fd, SA(sa), &len));
	say_addr("peer", &sa, len);
	T(getsockname(fd, SA(sa), &len));
	say_addr("own", &sa, len);
	hear("shut");
	await(fd, POLLRDHUP);
	T(getpeername(fd, SA(sa), &len));
	say_addr("peer after its FIN", &sa, len);
	T(shutdown(fd, SHUT_WR));
	await_state(fd, TCP_CLOSE);
	T(getpeername(fd, SA(sa), &len));
	T(getsockname(fd, SA(sa), &len));
	say_addr("own at the end", &sa, len);
	tell("end");
	MUST(close(fd));
}

static void names_by_state_client(void)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	int fd = pair();

	T(getpeername(fd, SA(sa), &len));
	say_addr("peer", &sa, len);
	T(getsockname(fd, SA(sa), &len));
	say_addr("own", &sa, len);
	T(shutdown(fd, SHUT_WR));
	T(getpeername(fd, SA(sa), &len));
	tell("shut");
	hear("end");
	T(getpeername(fd, SA(sa), &len));
	T(getsockname(fd, SA(sa), &len));
	say_addr("own at the end", &sa, len);
	MUST(close(fd));
}

static void name_after_reset_server(void)
{
	struct linger lg = {1, 0};
	int fd = pair();

	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	T(close(fd));
}

static void name_after_reset_client(void)
{
	struct sockaddr_in sa;
	socklen_t len = sizeof(sa);
	int fd = pair();

	await(fd, POLLHUP);
	T(getpeername(fd, SA(sa), &len));
	T(getsockname(fd, SA(sa), &len));
	say_addr("own", &sa, len);
	T(close(fd));
}

/* ---- AF_INET6 sockets
 * ---------------------------------------------------------------------------------------------------------- */

static int socket6(void)
{
	return MUST(socket(AF_INET6, SOCK_STREAM, 0));
}

static void v6_listener_server(void)
{
	static const char *const ips[] = {"::", "::ffff:" SERVER_IP};

	for (int i = 0; i < 2; i++) {
		struct sockaddr_in6 sa = addr6(ips[i], port(i)), got;
		socklen_t len = sizeof(got);
		int listener = socket6(), fd;

		T(get_int(listener, IPPROTO_IPV6, IPV6_V6ONLY));
		T(bind(listener, SA(sa), sizeof(sa)));
		T(listen(listener, 5));
		T(getsockname(listener, SA(got), &len));
		say_addr("listener", &got, len);
		tell("listening");
		len = sizeof(got);
		fd = TFD(accept(listener, SA(got), &len));
		say_addr("accepted", &got, len);
		len = sizeof(got);
		T(getsockname(fd, SA(got), &len));
		say_addr("own", &got, len);
		T(getpeername(fd, SA(got), &len));
		say_addr("peer", &got, len);
		truncations(fd, OWN);
		T(get_int(fd, SOL_SOCKET, SO_DOMAIN));
		T(get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY));
		recv_and_say("got", fd, 100);
		MUST(close(fd));
		MUST(close(listener));
	}
}

static void v6_listener_client(void)
{
	for (int i = 0; i < 2; i++) {
		int fd;

		hear("listening");
		fd = connect_to(SERVER_IP, port(i));
		send_pattern(fd, 100, 0);
		MUST(close(fd));
	}
}

static void v6_connect_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd;
	struct sockaddr_in got;
	socklen_t len = sizeof(got);

	tell("listening");
	fd = TFD(accept(listener, SA(got), &len));
	say_addr("accepted", &got, len);
	recv_and_say("got", fd, 1000);
	MUST(close(fd));
	MUST(close(listener));
}

static void v6_connect_client(void)
{
	struct sockaddr_in6 sa = addr6("::ffff:" SERVER_IP, port(0)), got;
	socklen_t len = sizeof(got);
	int fd = socket6();

	hear("listening");
	T(connect(fd, SA(sa), sizeof(sa)));
	T(getsockname(fd, SA(got), &len));
	say_addr("own", &got, len);
	T(getpeername(fd, SA(got), &len));
	say_addr("peer", &got, len);
	T(get_int(fd, SOL_SOCKET, SO_DOMAIN));
	send_pattern(fd, 1000, 0);
	T(close(fd));
}

static void v6_refused_client(void)
{
	struct sockaddr_in6 sa = addr6("::ffff:" SERVER_IP, port(0));
	struct sockaddr_in in = addr4(SERVER_IP, port(0));
	int fd = socket6();

	T(connect(fd, SA(sa), sizeof(sa)));
	T(connect(fd, SA(in), sizeof(in)));
	T(connect(fd, SA(sa), 24));
	T(connect(fd, SA(sa), 23));
	T(close(fd));
}

static void v6_only(void)
{
	struct sockaddr_in6 sa = addr6("::ffff:" CLIENT_IP, port(0)), own = addr6("::ffff:" SERVER_IP, port(0));
	struct sockaddr_in6 any = addr6("::", port(1)), got;
	struct sockaddr_in any4 = addr4(ANY_IP, port(1));
	socklen_t len = sizeof(got);
	int fd = socket6(), fd4 = tcp_socket();

	T(getsockname(fd, SA(got), &len));
	say_addr("before", &got, len);
	set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	T(get_int(fd, IPPROTO_IPV6, IPV6_V6ONLY));
	T(connect(fd, SA(sa), sizeof(sa)));
	T(bind(fd, SA(own), sizeof(own)));
	T(bind(fd, SA(any), sizeof(any)));
	T(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int)));
	/* The port is free for IPv4 then. */
	T(bind(fd4, SA(any4), sizeof(any4)));
	T(listen(fd, 5));
	T(listen(fd4, 5));
	MUST(close(fd4));
	MUST(close(fd));
}

static void v6_bind_errors(void)
{
	struct sockaddr_in6 any = addr6("::", port(0)), nobody = addr6("::ffff:" NOBODY_IP, port(0)),
			    doc = addr6("2001:db8::1", port(0));
	struct sockaddr_in in = addr4(SERVER_IP, port(0)), any4 = addr4(ANY_IP, port(0));
	int fd = socket6(), fd4 = tcp_socket();

	T(bind(fd, SA(in), sizeof(in)));
	T(bind(fd, SA(any), 16));
	T(bind(fd, SA(any), 23));
	T(bind(fd, SA(nobody), sizeof(nobody)));
	T(bind(fd, SA(doc), sizeof(doc)));
	T(bind(fd, SA(any), 24));
	/* Not only for IPv6: IPv4 has the port taken too. */
	T(bind(fd4, SA(any4), sizeof(any4)));
	T(listen(fd, 5));
	MUST(close(fd4));
	MUST(close(fd));
}

static void v6_unreachable(void)
{
	struct sockaddr_in6 sa = addr6("2001:db8::1", port(0)), lo = addr6("::1", port(0));
	int fd = socket6();

	T(connect(fd, SA(sa), sizeof(sa)));
	T(connect(fd, SA(lo), sizeof(lo)));
	T(close(fd));
}

static const struct posix_case cases[] = {
    BOTH(lengths),
    ALONE(lengths_listener),
    BOTH(accept_lengths),
    BOTH(accept_without_length),
    BOTH(names_by_state),
    BOTH(name_after_reset),
    BOTH(v6_listener),
    BOTH(v6_connect),
    {"v6_refused", NULL, v6_refused_client},
    ALONE(v6_only),
    ALONE(v6_bind_errors),
    ALONE(v6_unreachable),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
