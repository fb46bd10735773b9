/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_fastopen.c - TCP Fast Open (tcp(7), RFC 7413): what the calls and options return with and without a cookie, and who knows
 * that data came with the SYN; and TCP_SAVE_SYN.  Server and client are switched on before the first socket.
 */
#include "posix.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define BYTES 100

static char buf[8192];

static void switch_on(void)
{
	int fd = open("/proc/sys/net/ipv4/tcp_fastopen", O_WRONLY | O_CLOEXEC);

	MUST(fd);
	MUST(write(fd, "3", 1));
	MUST(close(fd));
}

static int fastopen_listener(int k)
{
	int fd = listen_at(SERVER_IP, port(k));

	T(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &(int){5}, sizeof(int)));
	return fd;
}

static void say_syn_data(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	say_if("data came with the SYN", info.tcpi_options & TCPI_OPT_SYN_DATA);
	say("client's failure %d", info.tcpi_fastopen_client_fail);
}

/* Serve n connections: read a request of BYTES each, until the client closes. */
static void serve(int listener, int n)
{
	for (int i = 0; i < n; i++) {
		int fd = accept_one(listener);

		say("connection %d", i);
		recv_and_say("request", fd, sizeof(buf));
		MUST(close(fd));
	}
	MUST(close(listener));
}

/* Whether the kernel has a cookie from an earlier run is not to be seen: one connection that says nothing fetches it. */
static void fetch_cookie(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket();

	hear("listening");
	MUST(sendto(fd, buf, BYTES, MSG_FASTOPEN, SA(sa), sizeof(sa)));
	MUST(recv(fd, buf, 1, 0));
	MUST(close(fd));
}

static void give_cookie(int listener)
{
	int fd;

	tell("listening");
	fd = accept_one(listener);
	MUST(recv(fd, buf, BYTES, MSG_WAITALL));
	MUST(close(fd));
}

static void one_sendto(int fd, size_t len, int flags)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));

	fill(buf, len, 0);
	T(sendto(fd, buf, len, MSG_FASTOPEN | flags, SA(sa), sizeof(sa)));
}

/* The first connection fetches a cookie, the others use it. */
static void blocking_server(void)
{
	int l = fastopen_listener(0);

	give_cookie(l);
	serve(l, 3);
}

static void blocking_client(void)
{
	fetch_cookie();
	for (int i = 0; i < 3; i++) {
		int fd = tcp_socket();

		one_sendto(fd, i == 2 ? 5000 : BYTES, 0);
		say_syn_data(fd);
		MUST(close(fd));
	}
}

static void nonblocking_server(void)
{
	int l = fastopen_listener(0);

	give_cookie(l);
	serve(l, 1);
}

static void nonblocking_client(void)
{
	int fd;

	fetch_cookie();
	fd = tcp_socket();
	set_nonblock(fd, true);
	one_sendto(fd, 5000, 0);
	await(fd, POLLOUT);
	say_syn_data(fd);
	one_sendto(fd, BYTES, 0);
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	T(send(fd, buf, BYTES, 0));
	one_sendto(fd, BYTES, 0);
	MUST(close(fd));
}

static void connect_option_server(void)
{
	int l = fastopen_listener(0);

	give_cookie(l);
	serve(l, 3);
}

static void connect_option_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));

	fetch_cookie();
	for (int blocking = 0; blocking < 2; blocking++) {
		int fd = tcp_socket();

		set_nonblock(fd, !blocking);
		T(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &(int){1}, sizeof(int)));
		T(connect(fd, SA(sa), sizeof(sa)));
		say_poll("deferred", fd);
		if (!blocking)
			T(connect(fd, SA(sa), sizeof(sa)));
		T(getpeername(fd, SA(sa), &(socklen_t){sizeof(sa)}));
		sa = addr4(SERVER_IP, port(0));
		T(recv(fd, buf, 1, MSG_DONTWAIT));
		T(send(fd, buf, BYTES, 0));
		await(fd, POLLOUT);
		T(connect(fd, SA(sa), sizeof(sa)));
		say_syn_data(fd);
		MUST(close(fd));
	}
	/* Nothing was ever sent: closed without a trace; and one without the option. */
	int fd = tcp_socket();

	T(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &(int){1}, sizeof(int)));
	T(connect(fd, SA(sa), sizeof(sa)));
	T(close(fd));
	fd = connect_to(SERVER_IP, port(0));
	MUST(send(fd, buf, BYTES, 0));
	MUST(close(fd));
}

/* Nobody listens: with and without a cookie, and when the SYN waited for data. */
static void refused_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(5));

	for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
		int fd = tcp_socket();

		set_nonblock(fd, nonblocking);
		T(sendto(fd, buf, BYTES, MSG_FASTOPEN, SA(sa), sizeof(sa)));
		await(fd, POLLHUP);
		T(get_int(fd, SOL_SOCKET, SO_ERROR));
		T(sendto(fd, buf, BYTES, MSG_NOSIGNAL, NULL, 0));
		MUST(close(fd));
	}
	int fd = tcp_socket();

	T(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &(int){1}, sizeof(int)));
	T(connect(fd, SA(sa), sizeof(sa)));
	T(send(fd, buf, BYTES, MSG_NOSIGNAL));
	MUST(close(fd));
}

static void bad_addresses_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket();

	MUST(bind(fd, (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET, .sin_addr = addr4(CLIENT_IP, 0).sin_addr},
		  sizeof(sa)));
	T(sendto(fd, buf, BYTES, MSG_FASTOPEN, NULL, 0));
	T(sendto(fd, buf, BYTES, MSG_FASTOPEN, SA(sa), 1));
	T(sendto(fd, buf, BYTES, MSG_FASTOPEN, SA(sa), 8));
	T(sendto(fd, buf, BYTES, MSG_FASTOPEN, SA(sa), 200));
	sa.sin_family = AF_UNSPEC;
	T(sendto(fd, buf, BYTES, MSG_FASTOPEN, SA(sa), sizeof(sa)));
	sa.sin_family = AF_UNIX;
	T(sendto(fd, buf, BYTES, MSG_FASTOPEN, SA(sa), sizeof(sa)));
	T(close(fd));
}

static void sendmsg_server(void)
{
	int l = fastopen_listener(0);

	give_cookie(l);
	serve(l, 1);
}

static void sendmsg_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	struct iovec iov[3] = {{buf, 1000}, {buf + 1000, 0}, {buf + 1000, 2000}};
	struct msghdr msg = {.msg_name = &sa, .msg_namelen = sizeof(sa), .msg_iov = iov, .msg_iovlen = 3};
	int fd;

	fetch_cookie();
	fd = tcp_socket();
	fill(buf, sizeof(buf), 0);
	T(sendmsg(fd, &msg, MSG_FASTOPEN));
	say_syn_data(fd);
	MUST(close(fd));
}

static void set_and_get(int fd, int name, int value)
{
	say("option %d to %d", name, value);
	T(setsockopt(fd, IPPROTO_TCP, name, &value, sizeof(value)));
	T(get_int(fd, IPPROTO_TCP, name));
}

static void key_of_length(int fd, socklen_t len)
{
	char key[40] = "0123456789abcdefghijklmnopqrstuvwxyz", got[64] = "";
	socklen_t got_len = sizeof(got);

	say("key of %u bytes", (unsigned)len);
	T(setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, key, len));
	T(getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, got, &got_len));
	say("%u bytes: %.*s", (unsigned)got_len, (int)got_len, got);
}

static void options(void)
{
	static const int values[] = {-1, 0, 1, 2, 3, 5000};
	int fd = listen_at(SERVER_IP, port(0));

	for (size_t i = 0; i < LEN(values); i++) {
		set_and_get(fd, TCP_FASTOPEN, values[i]);
		set_and_get(fd, TCP_FASTOPEN_CONNECT, values[i]);
		set_and_get(fd, TCP_FASTOPEN_NO_COOKIE, values[i]);
		set_and_get(fd, TCP_SAVE_SYN, values[i]);
	}
	key_of_length(fd, 16);
	key_of_length(fd, 15);
	key_of_length(fd, 32);
	key_of_length(fd, 33);
	MUST(close(fd));
}

static void options_connected_server(void)
{
	static const int values[] = {-1, 0, 1};
	int fd = pair();

	for (size_t i = 0; i < LEN(values); i++) {
		set_and_get(fd, TCP_FASTOPEN, values[i]);
		set_and_get(fd, TCP_FASTOPEN_CONNECT, values[i]);
		set_and_get(fd, TCP_FASTOPEN_NO_COOKIE, values[i]);
		set_and_get(fd, TCP_SAVE_SYN, values[i]);
	}
	MUST(close(fd));
}

static void options_connected_client(void)
{
	int fd = pair();

	recv_and_say("nothing", fd, 1);
	MUST(close(fd));
}

static void save_syn_server(void)
{
	for (int mode = 1; mode <= 2; mode++) {
		int l = listen_at(SERVER_IP, port(mode)), fd;
		socklen_t len = 10;

		T(setsockopt(l, IPPROTO_TCP, TCP_SAVE_SYN, &mode, sizeof(mode)));
		tell("listening");
		fd = accept_one(l);
		T(getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, buf, &len));
		say("%u bytes are needed", (unsigned)len);
		len = sizeof(buf);
		T(getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, buf, &len));
		say("%u bytes; version and header length %#x", (unsigned)len, (unsigned char)buf[mode == 2 ? 14 : 0]);
		T(getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, buf, &len));
		say("%u bytes", (unsigned)len);
		MUST(close(fd));
		MUST(close(l));
	}
}

static void save_syn_client(void)
{
	for (int mode = 1; mode <= 2; mode++) {
		int fd;

		hear("listening");
		fd = connect_to(SERVER_IP, port(mode));
		recv_and_say("nothing", fd, 1);
		MUST(close(fd));
	}
}

static const struct posix_case cases[] = {
    BOTH(blocking),
    BOTH(nonblocking),
    BOTH(connect_option),
    {"refused", NULL, refused_client},
    {"bad_addresses", NULL, bad_addresses_client},
    BOTH(sendmsg),
    ALONE(options),
    BOTH(options_connected),
    BOTH(save_syn),
};

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "list"))
		switch_on();
	return posix_main(argc, argv, cases, LEN(cases));
}
