/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_poll.c - poll() and ppoll(): the event bits at each stage of a connection's life, odd arguments, time limits, kernel
 * descriptors beside connections.
 */
#include "posix.h"

#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* The fortified poll() checks the count against the array at run time. */
static volatile nfds_t one = 1, two = 2, three = 3;

static void stages_server(void)
{
	struct sockaddr_in bound = addr4(SERVER_IP, port(1));
	int fd = tcp_socket(), listener;

	say_poll("fresh", fd);
	MUST(bind(fd, SA(bound), sizeof(bound)));
	say_poll("bound", fd);
	MUST(close(fd));
	listener = listen_at(SERVER_IP, port(0));
	say_poll("listening", listener);
	tell("listening");
	await(listener, POLLIN);
	say_poll("one waits", listener);
	fd = accept_one(listener);
	say_poll("accepted", listener);
	say_poll("connected", fd);
	tell("send");
	await(fd, POLLIN);
	say_poll("data", fd);
	recv_and_say("data", fd, 5);
	say_poll("read", fd);
	tell("half");
	await(fd, POLLRDHUP);
	say_poll("peer shut its side", fd);
	hear("seen");
	MUST(shutdown(fd, SHUT_WR));
	await(fd, POLLHUP);
	say_poll("both shut", fd);
	MUST(close(fd));
	MUST(close(listener));
}

static void stages_client(void)
{
	int fd;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	say_poll("connected", fd);
	hear("send");
	MUST(send(fd, "hello", 5, 0));
	hear("half");
	MUST(shutdown(fd, SHUT_WR));
	say_poll("we shut our side", fd);
	tell("seen");
	await(fd, POLLHUP);
	say_poll("both shut", fd);
	MUST(close(fd));
}

/* What was not asked for is not told, HUP and ERR excepted. */
static void masks_server(void)
{
	static const short masks[] = {0,	POLLIN,	    POLLPRI,	POLLOUT,    POLLRDHUP,	POLLHUP,	  POLLERR,
				      POLLNVAL, POLLRDNORM, POLLWRNORM, POLLRDBAND, POLLWRBAND, POLLIN | POLLOUT, -1};
	int fd = pair();

	for (int stage = 0; stage < 3; stage++) {
		static const char *const names[] = {"data", "end of input", "reset"};

		tell("next");
		await(fd, stage == 0 ? POLLIN : stage == 1 ? POLLRDHUP : POLLERR);
		for (size_t i = 0; i < LEN(masks); i++) {
			struct pollfd p = {.fd = fd, .events = masks[i]};
			int n = poll(&p, one, 0);

			say("%s, asked for %s: %d %s", names[stage], events_name(masks[i] & 0xffff), n, events_name(p.revents));
		}
	}
	MUST(close(fd));
}

static void masks_client(void)
{
	struct linger lg = {1, 0};
	int fd = pair();

	hear("next");
	MUST(send(fd, "data", 4, 0));
	hear("next");
	MUST(shutdown(fd, SHUT_WR));
	hear("next");
	/* After a FIN the reset goes out with the close, as lingering for no time asks. */
	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	MUST(close(fd));
}

static void odd_arguments_server(void)
{
	int fd = pair(), closed = dup(fd);
	struct pollfd p[3] = {
	    {.fd = fd, .events = POLLOUT}, {.fd = -1, .events = POLLIN, .revents = 77}, {.fd = 0, .events = POLLIN}};
	struct pollfd *many;
	struct rlimit limit;

	MUST(close(closed));
	p[2].fd = closed;
	T(poll(p, three, 0));
	say("%s, %s, %s", events_name(p[0].revents), events_name(p[1].revents), events_name(p[2].revents));
	p[1].fd = -99;
	T(poll(p, two, -1));
	T(poll(NULL, 0, 0));
	T(poll(NULL, one, 0));
	getrlimit(RLIMIT_NOFILE, &limit);
	many = calloc(limit.rlim_cur + 1, sizeof(*many));
	T(poll(many, limit.rlim_cur + 1, 0));
	free(many);
	T(poll(p, three, INT_MIN));
	/* The same descriptor twice. */
	p[1] = p[0];
	p[1].events = POLLIN | POLLOUT;
	T(poll(p, two, 0));
	say("%s, %s", events_name(p[0].revents), events_name(p[1].revents));
	T(ppoll(p, one, &(struct timespec){0, -1}, NULL));
	T(ppoll(p, one, &(struct timespec){-1, 0}, NULL));
	T(ppoll(p, one, &(struct timespec){0, 1000000000}, NULL));
	T(ppoll(p, one, NULL, NULL));
	MUST(close(fd));
}

static void time_limits_server(void)
{
	static const int limits[] = {0, 1, 20, 100};
	int fd = pair();

	for (size_t i = 0; i < LEN(limits); i++) {
		struct timespec ts = {.tv_nsec = limits[i] * 1000000L}, before = ts;
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int64_t start = now_ms();

		T(poll(&p, one, limits[i]));
		say_elapsed("poll", start, limits[i]);
		start = now_ms();
		T(ppoll(&p, one, &ts, NULL));
		say_elapsed("ppoll", start, limits[i]);
		say_if("the caller's limit is as it was", memcmp(&ts, &before, sizeof(ts)) == 0);
		start = now_ms();
		T(poll(NULL, 0, limits[i]));
		say_elapsed("poll of nothing", start, limits[i]);
	}
	MUST(close(fd));
}

/* Woken from sleep by each kind of descriptor in turn. */
static void mixed_server(void)
{
	int fd = pair(), pipes[2], efd = eventfd(0, EFD_NONBLOCK);
	struct pollfd p[3];
	char buf[16];
	uint64_t count = 1;

	MUST(pipe(pipes));
	p[0] = (struct pollfd){.fd = fd, .events = POLLIN};
	p[1] = (struct pollfd){.fd = pipes[0], .events = POLLIN};
	p[2] = (struct pollfd){.fd = efd, .events = POLLIN};
	T(poll(p, three, 10));
	tell("send");
	T(poll(p, three, -1));
	say("%s, %s, %s", events_name(p[0].revents), events_name(p[1].revents), events_name(p[2].revents));
	MUST(write(pipes[1], "x", 1));
	T(poll(p, three, -1));
	say("%s, %s, %s", events_name(p[0].revents), events_name(p[1].revents), events_name(p[2].revents));
	MUST(read(fd, buf, sizeof(buf)));
	MUST(write(efd, &count, sizeof(count)));
	T(poll(p, three, -1));
	say("%s, %s, %s", events_name(p[0].revents), events_name(p[1].revents), events_name(p[2].revents));
	MUST(read(pipes[0], buf, 1));
	MUST(read(efd, &count, sizeof(count)));
	T(poll(p, three, 10));
	MUST(close(pipes[1]));
	T(poll(p, three, -1));
	say("%s, %s, %s", events_name(p[0].revents), events_name(p[1].revents), events_name(p[2].revents));
	MUST(close(pipes[0]));
	MUST(close(efd));
	MUST(close(fd));
}

static void *write_later(void *arg)
{
	usleep(30000);
	MUST(write(*(int *)arg, "x", 1));
	return NULL;
}

/* Asleep on a quiet connection and a pipe: the pipe wakes, written to by another thread. */
static void woken_by_pipe_server(void)
{
	int fd = pair(), pipes[2];
	struct pollfd p[2];
	pthread_t thread;

	MUST(pipe(pipes));
	p[0] = (struct pollfd){.fd = fd, .events = POLLIN};
	p[1] = (struct pollfd){.fd = pipes[0], .events = POLLIN};
	MUST(pthread_create(&thread, NULL, write_later, &pipes[1]) ? -1 : 0);
	T(poll(p, two, 5000));
	say("%s, %s", events_name(p[0].revents), events_name(p[1].revents));
	pthread_join(thread, NULL);
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	MUST(close(fd));
}

/* POLLOUT goes when the buffers are full, and comes back when the peer has read. */
static void writable_server(void)
{
	int fd = pair_small();
	long sent = hear_num();

	say_if("all arrived", recv_pattern(fd, sent, 0) == (size_t)sent);
	tell("read");
	MUST(close(fd));
}

static void writable_client(void)
{
	static char buf[50000];
	int fd = pair_small();
	size_t sent = 0;

	set_nonblock(fd, true);
	say_poll("empty", fd);
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		ssize_t n;

		fill(buf, sizeof(buf), sent);
		n = send(fd, buf, sizeof(buf), 0);
		if (n > 0)
			sent += n;
		else if (poll(&p, one, 300) == 0)
			break;
	}
	say_poll("full", fd);
	tell_num(sent);
	hear("read");
	await(fd, POLLOUT);
	MUST(close(fd));
}

static volatile sig_atomic_t signals;

static void on_signal(int signo)
{
	signals++;
}

/* ppoll() lets a blocked signal in for the time of the call alone, and is interrupted by it. */
static void signal_mask_server(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct pollfd p = {.fd = pair(), .events = POLLIN};
	sigset_t usr1, old, all_but;

	signals = 0;
	MUST(sigaction(SIGUSR1, &sa, NULL));
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, &old);
	raise(SIGUSR1);
	T(signals);
	T(ppoll(&p, one, &(struct timespec){.tv_nsec = 10000000}, NULL));
	T(signals);
	sigemptyset(&all_but);
	T(ppoll(&p, one, NULL, &all_but));
	T(signals);
	/* The mask is as before: another one waits again. */
	raise(SIGUSR1);
	T(signals);
	tell("send");
	await(p.fd, POLLIN);
	/* Ready, but a signal is pending as well: readiness wins. */
	T(ppoll(&p, one, NULL, &all_but));
	sigprocmask(SIG_SETMASK, &old, NULL);
	T(signals);
	MUST(close(p.fd));
}

/* An interrupted call says of each descriptor that it has nothing. */
static void interrupted_server(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	int fd = pair(), pipes[2];
	sigset_t usr1, old, none;

	MUST(pipe(pipes));
	MUST(sigaction(SIGUSR1, &sa, NULL));
	sigemptyset(&none);
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, &old);
	for (int n = 1; n <= 3; n++) {
		struct pollfd p[] = {{fd, POLLIN, 0x55}, {pipes[0], POLLIN, 0x55}, {-1, POLLIN, 0x55}};

		raise(SIGUSR1);
		T(ppoll(p, n, NULL, &none));
		say("%s, %s, %s", events_name(p[0].revents), events_name(p[1].revents), events_name(p[2].revents));
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	MUST(close(fd));
}

/* A hundred connections in one call; those that sent are told, in order. */
static void hundred_body(void)
{
	enum { N = 100 };
	struct pollfd p[N];
	int listener = listen_at(SERVER_IP, port(0)), ready = 0, wrong = 0;

	tell("listening");
	for (int i = 0; i < N; i++)
		p[i] = (struct pollfd){.fd = accept_one(listener), .events = POLLIN};
	T(poll(p, N * one, 0));
	tell("send");
	hear("sent");
	for (int i = 0; i < N; i += 3)
		await(p[i].fd, POLLIN);
	T(poll(p, N * one, -1));
	for (int i = 0; i < N; i++) {
		ready += p[i].revents == POLLIN;
		wrong += (p[i].revents == POLLIN) != (i % 3 == 0);
		MUST(close(p[i].fd));
	}
	say("ready %d, wrong %d", ready, wrong);
	MUST(close(listener));
}

static void hundred_client(void)
{
	enum { N = 100 };
	int fd[N];

	hear("listening");
	for (int i = 0; i < N; i++)
		fd[i] = connect_to(SERVER_IP, port(0));
	hear("send");
	for (int i = 0; i < N; i += 3)
		MUST(send(fd[i], "x", 1, 0));
	tell("sent");
	meet();
	for (int i = 0; i < N; i++)
		MUST(close(fd[i]));
}

static void hundred_server(void)
{
	hundred_body();
	meet();
}

static const struct posix_case cases[] = {
    BOTH(stages),
    BOTH(masks),
    SERVED(odd_arguments, silent),
    SERVED(time_limits, silent),
    SERVED(mixed, sends_hello),
    SERVED(woken_by_pipe, silent),
    BOTH(writable),
    SERVED(signal_mask, sends_byte),
    SERVED(interrupted, silent),
    BOTH(hundred),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
