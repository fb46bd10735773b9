/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_signal.c - signals that meet a blocking call: which calls end with EINTR, which are started again under SA_RESTART, what has
 * been done already, and handlers that use sockets themselves.
 *
 * A timer fires every few milliseconds until the case is over, so no moment is missed; counts are printed as "some" or "none".
 */
#include "posix_sig.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void recv_interrupted_server(void)
{
	char c;
	int fd = pair();

	ticking(0, NULL);
	T(recv(fd, &c, 1, 0));
	T(read(fd, &c, 1));
	T(recv(fd, &c, 1, MSG_PEEK));
	T(readv(fd, &(struct iovec){&c, 1}, 1));
	quiet();
	MUST(close(fd));
}

static void recv_interrupted_client(void)
{
	char c;
	int fd = pair();

	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

static void recv_restarted_server(void)
{
	char buf[8];
	int fd = pair();

	ticking(SA_RESTART, "send");
	T(recv(fd, buf, sizeof(buf), 0));
	quiet();
	say_if("three signals at least", ticks >= 3);
	MUST(close(fd));
}

/* With a time limit set, Linux does not start the call again. */
static void recv_timeout_restarted_server(void)
{
	struct timeval tv = {10, 0};
	char c;
	int fd = pair();

	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	ticking(SA_RESTART, NULL);
	T(recv(fd, &c, 1, 0));
	quiet();
	MUST(close(fd));
}

/* What was received before the signal is what the call returns. */
static void waitall_interrupted_server(void)
{
	char buf[8];
	int fd = pair();

	await_inq(fd, 3);
	ticking(0, NULL);
	T(recv(fd, buf, 8, MSG_WAITALL));
	quiet();
	MUST(close(fd));
}

static void waitall_interrupted_client(void)
{
	char c;
	int fd = pair();

	MUST(send(fd, "abc", 3, 0));
	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

static void accept_interrupted_server(void)
{
	int listener = listen_at(SERVER_IP, port(0));

	ticking(0, NULL);
	T(accept(listener, NULL, NULL));
	T(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	quiet();
	MUST(close(listener));
}

static void accept_restarted_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd;

	ticking(SA_RESTART, "connect");
	fd = TFD(accept(listener, NULL, NULL));
	quiet();
	MUST(close(fd));
	MUST(close(listener));
}

static void accept_restarted_client(void)
{
	char c;
	int fd;

	hear("connect");
	fd = connect_to(SERVER_IP, port(0));
	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

/* The attempt goes on after the interruption; the next connect() says so. */
static void connect_interrupted(void)
{
	struct sockaddr_in sa = addr4(NOBODY_IP, port(0));
	int fd = tcp_socket();

	ticking(0, NULL);
	T(connect(fd, SA(sa), sizeof(sa)));
	quiet();
	set_nonblock(fd, true);
	T(connect(fd, SA(sa), sizeof(sa)));
	MUST(close(fd));
}

static void send_interrupted_server(void)
{
	int fd = pair_small();

	hear("done");
	MUST(close(fd));
}

/* A send that had taken some bytes returns their count, one that had taken none EINTR. */
static void send_interrupted_client(void)
{
	static char buf[3000000];
	int fd = pair_small();
	ssize_t n;

	ticking(0, NULL);
	n = send(fd, buf, sizeof(buf), 0);
	say_if("a partial count", n > 0 && n < (ssize_t)sizeof(buf));
	/* The link may take some more. */
	while ((n = send(fd, buf, sizeof(buf), 0)) > 0)
		;
	say("then %zd %s", n, errno_name(errno));
	quiet();
	tell("done");
	MUST(close(fd));
}

static void send_restarted_server(void)
{
	int fd = pair_small();

	hear("read");
	recv_and_say("got", fd, 500000);
	MUST(close(fd));
}

static void send_restarted_client(void)
{
	static char buf[500000];
	size_t sent = 0;
	int fd = pair_small();

	fill(buf, sizeof(buf), 0);
	ticking(SA_RESTART, "read");
	/* A partial count is allowed even then: what was taken cannot be given back. */
	while (sent < sizeof(buf))
		sent += MUST(send(fd, buf + sent, sizeof(buf) - sent, 0));
	quiet();
	say("sent %zu", sent);
	MUST(close(fd));
}

/* The waiting calls end with EINTR whatever the handler's flags are. */
static void waits_interrupted_server(void)
{
	int fd = pair(), epfd = epoll_create1(0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct epoll_event ev = {.events = EPOLLIN};
	fd_set in;

	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	for (int restart = 0; restart < 2; restart++) {
		ticking(restart ? SA_RESTART : 0, NULL);
		T(poll(&p, 1, -1));
		T(poll(&p, 1, 10000));
		T(ppoll(&p, 1, NULL, NULL));
		FD_ZERO(&in);
		FD_SET(fd, &in);
		T(select(fd + 1, &in, NULL, NULL, NULL));
		FD_SET(fd, &in);
		T(pselect(fd + 1, &in, NULL, NULL, NULL, NULL));
		T(epoll_wait(epfd, &ev, 1, -1));
		T(epoll_wait(epfd, &ev, 1, 10000));
		T(epoll_pwait(epfd, &ev, 1, -1, NULL));
		quiet();
	}
	MUST(close(epfd));
	MUST(close(fd));
}

static int handler_fd;
static volatile sig_atomic_t handled;
static timer_t timer;

/* A handler that reads and writes the very connection that is waited for. */
static void echo_in_handler(int signo)
{
	char buf[16];
	ssize_t n = recv(handler_fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0 && send(handler_fd, buf, n, 0) == n)
		handled += n;
}

static void handler_uses_socket_server(void)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
	struct itimerspec it = {.it_value.tv_nsec = 5000000, .it_interval.tv_nsec = 5000000};
	struct sigaction sa = {.sa_handler = echo_in_handler};
	int quiet_fd = pair_at(1);

	handler_fd = pair();
	handled = 0;
	MUST(sigaction(SIGALRM, &sa, NULL));
	MUST(timer_create(CLOCK_MONOTONIC, &ev, &timer));
	MUST(timer_settime(timer, 0, &it, NULL));
	tell("send");
	/* The main program is inside calls of its own all the while. */
	while (handled < 50) {
		struct pollfd p = {.fd = quiet_fd, .events = POLLIN};
		char c;

		poll(&p, 1, 3);
		recv(quiet_fd, &c, 1, MSG_DONTWAIT);
		get_int(quiet_fd, IPPROTO_TCP, TCP_NODELAY);
	}
	MUST(timer_delete(timer));
	say("echoed %d", handled);
	MUST(close(handler_fd));
	MUST(close(quiet_fd));
}

static void handler_uses_socket_client(void)
{
	int quiet_fd = pair_at(1), fd = pair(), total = 0;
	char buf[8];

	hear("send");
	for (int i = 0; i < 50; i++) {
		MUST(send(fd, "x", 1, 0));
		total += MUST(recv(fd, buf, 1, MSG_WAITALL));
	}
	say("echoes %d", total);
	MUST(close(fd));
	MUST(close(quiet_fd));
}

/* The signal goes to the thread that is in the call, not to some helper. */
static volatile sig_atomic_t in_thread;
static pthread_t receiver;

static void on_usr1(int signo)
{
	in_thread = pthread_equal(pthread_self(), receiver) ? 1 : 2;
}

static void *recv_in_thread(void *arg)
{
	char c;

	T(recv(*(int *)arg, &c, 1, 0));
	return NULL;
}

static void directed_server(void)
{
	struct sigaction sa = {.sa_handler = on_usr1};
	int fd = pair();

	in_thread = 0;
	MUST(sigaction(SIGUSR1, &sa, NULL));
	MUST(pthread_create(&receiver, NULL, recv_in_thread, &fd) ? -1 : 0);
	/* Until the thread has left the call: a signal that comes before it went in would be lost otherwise. */
	while (pthread_tryjoin_np(receiver, NULL) == EBUSY) {
		pthread_kill(receiver, SIGUSR1);
		usleep(10000);
	}
	T(in_thread);
	MUST(close(fd));
}

static const struct posix_case cases[] = {
    BOTH(recv_interrupted),
    SERVED(recv_restarted, sends_hello),
    {"recv_timeout_restarted", recv_timeout_restarted_server, recv_interrupted_client},
    BOTH(waitall_interrupted),
    {"accept_interrupted", accept_interrupted_server, NULL},
    BOTH(accept_restarted),
    ALONE(connect_interrupted),
    BOTH(send_interrupted),
    BOTH(send_restarted),
    {"waits_interrupted", waits_interrupted_server, recv_interrupted_client},
    BOTH(handler_uses_socket),
    {"directed", directed_server, recv_interrupted_client},
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
