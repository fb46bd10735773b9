/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_close.c - the ends of a connection: half close, reset, lingering; what each call and each state says on the way.
 */
#include "posix.h"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int state_of(int fd)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	return info.tcpi_state;
}

static void reset_on_close(int fd)
{
	struct linger lg = {1, 0};

	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	MUST(close(fd));
}

/* The client shuts its side down and still gets everything; states all along. */
static void half_close_server(void)
{
	int fd = pair();

	T(state_of(fd));
	tell("go");
	recv_and_say("request", fd, 1000000);
	T(state_of(fd));
	send_pattern(fd, 200000, 7);
	T(shutdown(fd, SHUT_WR));
	await_state(fd, TCP_CLOSE);
	T(state_of(fd));
	T(close(fd));
}

static void half_close_client(void)
{
	char c;
	int fd = pair();

	hear("go");
	send_pattern(fd, 100000, 0);
	T(shutdown(fd, SHUT_WR));
	T(send(fd, "x", 1, MSG_NOSIGNAL));
	recv_and_say("reply", fd, 1000000);
	T(recv(fd, &c, 1, 0));
	T(recv(fd, &c, 1, 0));
	T(state_of(fd));
	T(close(fd));
}

/* The states of the side that closes first, in order. */
static void states_server(void)
{
	char c;
	int fd = pair(), listener;

	listener = tcp_socket();
	T(state_of(listener));
	MUST(listen(listener, 1));
	T(state_of(listener));
	MUST(close(listener));
	T(shutdown(fd, SHUT_WR));
	await_state(fd, TCP_FIN_WAIT2);
	T(state_of(fd));
	say_poll("FIN-WAIT-2", fd);
	tell("close");
	T(recv(fd, &c, 1, 0));
	await_state(fd, TCP_CLOSE);
	/* TIME-WAIT is not the socket's any more: it is closed. */
	T(state_of(fd));
	say_poll("closed", fd);
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	T(shutdown(fd, SHUT_RD));
	T(close(fd));
}

static void states_client(void)
{
	int fd = pair();

	await(fd, POLLRDHUP);
	T(state_of(fd));
	say_poll("CLOSE-WAIT", fd);
	hear("close");
	T(shutdown(fd, SHUT_WR));
	await_state(fd, TCP_CLOSE);
	say_poll("closed", fd);
	T(close(fd));
}

static void shutdown_read_server(void)
{
	int fd = pair();
	char buf[16];

	T(shutdown(fd, SHUT_RD));
	say_poll("shut for reading", fd);
	T(recv(fd, buf, sizeof(buf), 0));
	tell("send");
	await_inq(fd, 5);
	/* What comes afterwards can still be read, on Linux. */
	T(recv(fd, buf, sizeof(buf), 0));
	T(recv(fd, buf, sizeof(buf), 0));
	T(send(fd, "reply", 5, 0));
	T(shutdown(fd, SHUT_RD));
	meet();
	T(close(fd));
}

static void shutdown_read_client(void)
{
	int fd = pair();

	hear("send");
	T(send(fd, "hello", 5, 0));
	recv_and_say("got", fd, 5);
	meet();
	T(close(fd));
}

static void shutdown_arguments_server(void)
{
	int fd = pair();

	T(shutdown(fd, -1));
	T(shutdown(fd, 3));
	T(shutdown(fd, SHUT_WR));
	T(shutdown(fd, SHUT_WR));
	T(shutdown(fd, SHUT_RDWR));
	T(shutdown(fd, SHUT_RDWR));
	meet();
	await_state(fd, TCP_CLOSE);
	T(shutdown(fd, SHUT_WR));
	T(shutdown(fd, SHUT_RDWR));
	T(close(fd));
}

static void shutdown_arguments_client(void)
{
	int fd = pair();

	meet();
	T(close(fd));
}

static void shutdown_both_server(void)
{
	char c;
	int fd = pair();

	T(shutdown(fd, SHUT_RDWR));
	say_poll("shut", fd);
	T(recv(fd, &c, 1, 0));
	T(send(fd, "x", 1, MSG_NOSIGNAL));
	tell("shut");
	T(close(fd));
}

static void shutdown_both_client(void)
{
	char c;
	int fd = pair();

	hear("shut");
	T(recv(fd, &c, 1, 0));
	say_poll("peer shut", fd);
	T(close(fd));
}

/* Closing with unread data is a reset, not a FIN (RFC 2525 2.17). */
static void unread_server(void)
{
	int fd = pair();

	await_inq(fd, 5);
	T(close(fd));
	tell("closed");
}

static void unread_client(void)
{
	char c;
	int fd = pair();

	T(send(fd, "hello", 5, 0));
	hear("closed");
	await(fd, POLLHUP);
	say_poll("reset", fd);
	T(state_of(fd));
	T(recv(fd, &c, 1, 0));
	T(recv(fd, &c, 1, 0));
	T(send(fd, "x", 1, MSG_NOSIGNAL));
	say_poll("error taken", fd);
	T(close(fd));
}

/* The error of a reset comes once, whichever call takes it. */
static void reset_by_call_server(void)
{
	for (int call = 0; call < 4; call++)
		reset_on_close(pair_at(call));
}

static void reset_by_call_client(void)
{
	for (int call = 0; call < 4; call++) {
		char c;
		int fd = pair_at(call);

		await(fd, POLLERR);
		if (call == 0)
			T(get_int(fd, SOL_SOCKET, SO_ERROR));
		else if (call == 1)
			T(recv(fd, &c, 1, MSG_DONTWAIT));
		else if (call == 2)
			T(send(fd, "x", 1, MSG_NOSIGNAL));
		else
			T(shutdown(fd, SHUT_RDWR));
		say_poll("then", fd);
		T(get_int(fd, SOL_SOCKET, SO_ERROR));
		T(recv(fd, &c, 1, 0));
		T(send(fd, "x", 1, MSG_NOSIGNAL));
		MUST(close(fd));
	}
}

/* Is data that had arrived before the reset lost?  As on Linux, whatever that is. */
static void data_then_reset_server(void)
{
	int fd = pair();

	MUST(send(fd, "hello", 5, 0));
	await_acked(fd);
	reset_on_close(fd);
	tell("reset");
}

static void data_then_reset_client(void)
{
	char buf[16];
	int fd = pair();

	hear("reset");
	await(fd, POLLERR);
	say_poll("data, then reset", fd);
	T(recv(fd, buf, sizeof(buf), 0));
	T(recv(fd, buf, sizeof(buf), 0));
	T(recv(fd, buf, sizeof(buf), 0));
	T(close(fd));
}

/* Data, then FIN: all of it is read before the end shows. */
static void data_then_fin_server(void)
{
	int fd = pair();

	send_pattern(fd, 30000, 0);
	T(close(fd));
	tell("closed");
}

static void data_then_fin_client(void)
{
	char c;
	int fd = pair();

	hear("closed");
	await(fd, POLLRDHUP);
	await_inq(fd, 30000);
	say_poll("data and end", fd);
	recv_and_say("got", fd, 29999);
	say_poll("a byte and the end", fd);
	T(recv(fd, &c, 1, 0));
	say_poll("the end", fd);
	T(recv(fd, &c, 1, 0));
	T(send(fd, "into the void", 13, 0));
	await(fd, POLLHUP);
	say_poll("answered with a reset", fd);
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	T(recv(fd, &c, 1, 0));
	T(close(fd));
}

/* Sent before close() without lingering: delivered in the background, the process need not wait. */
static void background_server(void)
{
	int fd = pair();

	hear("closed");
	recv_and_say("got", fd, 1 << 22);
	T(close(fd));
}

static void background_client(void)
{
	int fd = pair();

	set_nonblock(fd, true);
	for (size_t at = 0; at < 60000; at += 1000)
		send_pattern(fd, 1000, at);
	T(close(fd));
	tell("closed");
}

static void linger_wait_server(void)
{
	int fd = pair_small();

	hear("closing");
	recv_and_say("got", fd, 1 << 22);
	T(close(fd));
}

/* close() waits until the data is acknowledged. */
static void linger_wait_client(void)
{
	struct linger lg = {1, 10};
	int fd = pair_small();
	char buf[4000];

	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	fill(buf, sizeof(buf), 0);
	/* Told first: the buffers may be too small for all of it. */
	tell("closing");
	T(send(fd, buf, sizeof(buf), 0));
	T(close(fd));
}

/* Nobody reads: close() gives up when the time is over. */
static void linger_timeout_server(void)
{
	int fd = pair_small();

	hear("closed");
	T(close(fd));
}

static void linger_timeout_client(void)
{
	static char buf[1000000];
	struct linger lg = {1, 1};
	int64_t start;
	int fd = pair_small();

	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	set_nonblock(fd, true);
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};

		if (send(fd, buf, sizeof(buf), 0) < 0 && poll(&p, 1, 300) == 0)
			break;
	}
	set_nonblock(fd, false);
	start = now_ms();
	T(close(fd));
	say_elapsed("after the linger time", start, 1000);
	tell("closed");
}

static void simultaneous_server(void)
{
	int fd = pair();

	meet();
	T(shutdown(fd, SHUT_WR));
	await_state(fd, TCP_CLOSE);
	say_poll("closed", fd);
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	T(close(fd));
}

static void simultaneous_client(void)
{
	simultaneous_server();
}

static void *recv_in_thread(void *arg)
{
	recv_and_say("thread got", *(int *)arg, 5);
	return NULL;
}

static void shutdown_wakes_recv_server(void)
{
	int fd = pair();
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, recv_in_thread, &fd) ? -1 : 0);
	/* Whether the thread waits already or comes after: the answer is the same. */
	usleep(20000);
	MUST(shutdown(fd, SHUT_RDWR));
	pthread_join(thread, NULL);
	T(close(fd));
}

static void shutdown_wakes_recv_client(void)
{
	char c;
	int fd = pair();

	T(recv(fd, &c, 1, 0));
	T(close(fd));
}

static void use_after_close_server(void)
{
	struct linger lg = {0};
	char c;
	int fd = pair();

	T(close(fd));
	T(close(fd));
	T(recv(fd, &c, 1, 0));
	T(send(fd, "x", 1, 0));
	T(write(fd, "x", 1));
	T(shutdown(fd, SHUT_WR));
	T(getsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, &(socklen_t){sizeof(lg)}));
	T(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	say_poll("closed", fd);
}

static void use_after_close_client(void)
{
	char c;
	int fd = pair();

	T(recv(fd, &c, 1, 0));
	T(close(fd));
}

/* After a reset the socket is not as new: connect() says so. */
static void connect_after_reset_server(void)
{
	int listener = listen_at(SERVER_IP, port(0));

	tell("listening");
	hear("connected");
	reset_on_close(accept_one(listener));
	hear("done");
	MUST(close(listener));
}

static void connect_after_reset_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	tell("connected");
	await(fd, POLLERR);
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	T(connect(fd, SA(sa), sizeof(sa)));
	T(listen(fd, 5));
	T(close(fd));
	tell("done");
}

static const struct posix_case cases[] = {
    BOTH(half_close),	   BOTH(states),
    BOTH(shutdown_read),   BOTH(shutdown_arguments),
    BOTH(shutdown_both),   BOTH(unread),
    BOTH(reset_by_call),   BOTH(data_then_reset),
    BOTH(data_then_fin),   BOTH(background),
    BOTH(linger_wait),	   BOTH(linger_timeout),
    BOTH(simultaneous),	   BOTH(shutdown_wakes_recv),
    BOTH(use_after_close), BOTH(connect_after_reset),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
