/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_select.c - select() and pselect(): the three sets, counts, time limits that are written back, bad descriptors, sets larger
 * than FD_SETSIZE.
 */
#include "posix.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

/* One descriptor in all three sets, no waiting. */
static void say_select(const char *what, int fd)
{
	struct timeval none = {0};
	fd_set in, out, ex;
	int n;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&ex);
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	FD_SET(fd, &ex);
	n = select(fd + 1, &in, &out, &ex, &none);
	say("%s: %d, in %d out %d except %d", what, n, FD_ISSET(fd, &in), FD_ISSET(fd, &out), FD_ISSET(fd, &ex));
}

static void stages_server(void)
{
	struct sockaddr_in bound = addr4(SERVER_IP, port(1));
	int fd = tcp_socket(), listener;

	say_select("fresh", fd);
	MUST(bind(fd, SA(bound), sizeof(bound)));
	say_select("bound", fd);
	MUST(close(fd));
	listener = listen_at(SERVER_IP, port(0));
	say_select("listening", listener);
	tell("listening");
	await(listener, POLLIN);
	say_select("one waits", listener);
	fd = accept_one(listener);
	say_select("connected", fd);
	tell("next");
	await(fd, POLLIN);
	say_select("data", fd);
	recv_and_say("data", fd, 5);
	tell("next");
	await(fd, POLLRDHUP);
	say_select("the end", fd);
	tell("next");
	await(fd, POLLERR);
	say_select("reset", fd);
	MUST(close(fd));
	MUST(close(listener));
}

static void stages_client(void)
{
	struct linger lg = {1, 0};
	struct sockaddr_in refused = addr4(SERVER_IP, port(5));
	int fd = tcp_socket();

	set_nonblock(fd, true);
	T(connect(fd, SA(refused), sizeof(refused)));
	await(fd, POLLERR);
	say_select("refused", fd);
	MUST(close(fd));
	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	hear("next");
	MUST(send(fd, "hello", 5, 0));
	hear("next");
	MUST(shutdown(fd, SHUT_WR));
	hear("next");
	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	MUST(close(fd));
}

/* However short the time limit: what is readable in the kernel, beside a connection that is silent, is told. */
static void moments_server(void)
{
	int fd = pair(), pipes[2];

	MUST(pipe(pipes));
	MUST(write(pipes[1], "x", 1));
	for (int us = 1; us <= 64; us *= 4) {
		int n = 0, tries = 0;
		fd_set in;

		while (n == 0 && tries++ < 1000) {
			struct timeval tv = {0, us};

			FD_ZERO(&in);
			FD_SET(fd, &in);
			FD_SET(pipes[0], &in);
			n = select((fd > pipes[0] ? fd : pipes[0]) + 1, &in, NULL, NULL, &tv);
		}
		say("%d us: %d, the pipe %d", us, n, FD_ISSET(pipes[0], &in) != 0);
	}
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	MUST(close(fd));
}

/* Linux writes the time that is left back; pselect() does not. */
static void time_limits_server(void)
{
	int fd = pair();
	fd_set in;

	for (int ms = 0; ms <= 100; ms += 50) {
		struct timeval tv = {0, ms * 1000};
		struct timespec ts = {0, ms * 1000000L};
		int64_t start = now_ms();

		FD_ZERO(&in);
		FD_SET(fd, &in);
		T(select(fd + 1, &in, NULL, NULL, &tv));
		say_elapsed("select", start, ms);
		say("left %ld.%06ld, in %d", tv.tv_sec, tv.tv_usec, FD_ISSET(fd, &in));
		FD_SET(fd, &in);
		start = now_ms();
		T(pselect(fd + 1, &in, NULL, NULL, &ts, NULL));
		say_elapsed("pselect", start, ms);
		say("left %ld.%09ld, in %d", ts.tv_sec, ts.tv_nsec, FD_ISSET(fd, &in));
		T(select(0, NULL, NULL, NULL, &(struct timeval){0, ms * 1000}));
	}
	MUST(close(fd));
}

static void time_left_server(void)
{
	struct timeval tv = {100, 0};
	int fd = pair();
	fd_set in;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	tell("send");
	T(select(fd + 1, &in, NULL, NULL, &tv));
	say_if("time is left", tv.tv_sec >= 80 && tv.tv_sec < 100);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	T(select(fd + 1, &in, NULL, NULL, NULL));
	say_if("ready", FD_ISSET(fd, &in));
	MUST(close(fd));
}

static void odd_arguments_server(void)
{
	struct timeval none = {0};
	int fd = pair(), closed = fcntl(fd, F_DUPFD, fd + 1);
	fd_set in, copy;

	MUST(close(closed));
	FD_ZERO(&in);
	FD_SET(fd, &in);
	FD_SET(closed, &in);
	copy = in;
	T(select(closed + 1, &in, NULL, NULL, &none));
	say_if("the set is as it was", memcmp(&in, &copy, sizeof(in)) == 0);
	/* A bad descriptor at or above the count is none of select()'s business. */
	T(select(closed, NULL, &in, NULL, &none));
	T(select(-1, &in, NULL, NULL, &none));
	T(select(0, &in, NULL, NULL, &none));
	T(select(fd + 1, NULL, NULL, NULL, &none));
	FD_ZERO(&in);
	FD_SET(fd, &in);
	T(select(fd + 1, &in, NULL, NULL, &(struct timeval){-1, 0}));
	T(select(fd + 1, &in, NULL, NULL, &(struct timeval){0, -1}));
	T(select(fd + 1, &in, NULL, NULL, &(struct timeval){0, 2000}));
	T(pselect(fd + 1, &in, NULL, NULL, &(struct timespec){0, -1}, NULL));
	T(pselect(fd + 1, &in, NULL, NULL, &(struct timespec){-1, 0}, NULL));
	/* More than there are descriptors: counts only what can be open. */
	FD_ZERO(&in);
	FD_SET(fd, &in);
	T(select(FD_SETSIZE, NULL, &in, NULL, &none));
	MUST(close(fd));
}

static void mixed_server(void)
{
	int fd = pair(), pipes[2], efd = eventfd(5, 0), top;
	struct timeval none = {0};
	fd_set in, out;

	MUST(pipe(pipes));
	top = pipes[1] > efd ? pipes[1] : efd;
	top = top > fd ? top : fd;
	tell("send");
	await(fd, POLLIN);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fd, &in);
	FD_SET(pipes[0], &in);
	FD_SET(efd, &in);
	FD_SET(fd, &out);
	FD_SET(pipes[1], &out);
	T(select(top + 1, &in, &out, NULL, &none));
	say("in: connection %d pipe %d eventfd %d", FD_ISSET(fd, &in), FD_ISSET(pipes[0], &in), FD_ISSET(efd, &in));
	say("out: connection %d pipe %d", FD_ISSET(fd, &out), FD_ISSET(pipes[1], &out));
	MUST(write(pipes[1], "x", 1));
	FD_ZERO(&in);
	FD_SET(pipes[0], &in);
	FD_SET(fd, &in);
	T(select(top + 1, &in, NULL, NULL, NULL));
	recv_and_say("data", fd, 5);
	FD_SET(fd, &in);
	T(select(top + 1, &in, NULL, NULL, NULL));
	say("in: connection %d pipe %d", FD_ISSET(fd, &in), FD_ISSET(pipes[0], &in));
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	MUST(close(efd));
	MUST(close(fd));
}

/* A program that allocates its own sets, for descriptors above 1024: the kernel's interface has no such limit. */
static void large_set_server(void)
{
	enum { HIGH = 3000, WORDS = HIGH / (8 * (int)sizeof(long)) + 1 };
	struct rlimit limit, more;
	long in[WORDS] = {0};
	struct timeval tv = {5, 0};
	int fd = pair(), high;

	getrlimit(RLIMIT_NOFILE, &limit);
	more = limit;
	more.rlim_cur = HIGH + 10;
	if (setrlimit(RLIMIT_NOFILE, &more) < 0)
		say("no more descriptors");
	high = MUST(fcntl(fd, F_DUPFD, HIGH));
	in[high / 64] |= 1L << high % 64;
	tell("send");
	/* Not through the macros, whose fortified form checks for FD_SETSIZE. */
	T(select(high + 1, (fd_set *)in, NULL, NULL, &tv));
	say_if("ready", in[high / 64] >> high % 64 & 1);
	MUST(close(high));
	setrlimit(RLIMIT_NOFILE, &limit);
	MUST(close(fd));
}

static void large_set_client(void)
{
	char c;
	int fd = pair();

	hear("send");
	MUST(send(fd, "x", 1, 0));
	T(recv(fd, &c, 1, 0) <= 0);
	MUST(close(fd));
}

/* As many as there may be, of which a set of the ordinary size has no bits: neither read nor written, where nothing is open. */
static void count_beyond_server(void)
{
	enum { MANY = 5000, PAGE = 4096 };
	struct rlimit limit, more;
	char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	fd_set *in = (fd_set *)(page + PAGE) - 2, *behind = in + 1, was;
	int fd = pair(), pipes[2], fds[2];

	MUST(pipe(pipes));
	fds[0] = fd;
	fds[1] = pipes[0];
	getrlimit(RLIMIT_NOFILE, &limit);
	more = limit;
	more.rlim_cur = MANY;
	MUST(setrlimit(RLIMIT_NOFILE, &more));
	MUST(mprotect(page + PAGE, PAGE, PROT_NONE));
	memset(behind, 0xff, sizeof(*behind));
	was = *behind;
	for (unsigned i = 0; i < LEN(fds); i++) {
		FD_ZERO(in);
		FD_SET(fds[i], in);
		T(select(MANY, in, NULL, NULL, &(struct timeval){0, 2000}));
		say_if("in the set", FD_ISSET(fds[i], in));
		FD_SET(fds[i], in);
		T(pselect(MANY, NULL, in, NULL, &(struct timespec){.tv_nsec = 2000000}, NULL));
		say_if("in the set", FD_ISSET(fds[i], in));
		say_if("what is behind it is as it was", memcmp(behind, &was, sizeof(was)) == 0);
	}
	setrlimit(RLIMIT_NOFILE, &limit);
	MUST(munmap(page, 2 * PAGE));
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	MUST(close(fd));
}

static volatile sig_atomic_t signals;

static void on_signal(int signo)
{
	signals++;
}

static void signal_mask_server(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	sigset_t usr1, old, empty;
	int fd = pair();
	fd_set in, before;

	signals = 0;
	MUST(sigaction(SIGUSR2, &sa, NULL));
	sigemptyset(&usr1);
	sigemptyset(&empty);
	sigaddset(&usr1, SIGUSR2);
	sigprocmask(SIG_BLOCK, &usr1, &old);
	raise(SIGUSR2);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	before = in;
	T(select(fd + 1, &in, NULL, NULL, &(struct timeval){0, 10000}));
	T(signals);
	in = before;
	T(pselect(fd + 1, &in, NULL, NULL, NULL, &empty));
	T(signals);
	say_if("the set is as it was", memcmp(&in, &before, sizeof(in)) == 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
	MUST(close(fd));
}

static const struct posix_case cases[] = {
    BOTH(stages),
    SERVED(moments, silent),
    SERVED(time_limits, silent),
    SERVED(time_left, sends_byte),
    SERVED(odd_arguments, silent),
    SERVED(mixed, sends_hello),
    BOTH(large_set),
    SERVED(count_beyond, silent),
    SERVED(signal_mask, silent),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
