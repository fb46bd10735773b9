/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_epoll.c - epoll on one connection: the errors of epoll_ctl(), level, edge and one-shot, the bits at each stage, members that
 * change what they are.
 */
#include "posix.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define ALL (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI)

static int add(int epfd, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};

	return epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev);
}

static int mod(int epfd, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};

	return epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev);
}

/* Print all that is there after waiting for at most so many milliseconds. */
static int say_wait(const char *what, int epfd, int ms)
{
	struct epoll_event ev[8];
	int n = epoll_wait(epfd, ev, 8, ms);

	if (n < 0)
		say("%s: %s", what, errno_name(errno));
	for (int i = 0; i < n; i++)
		say("%s: %d of %d: %s, data %llu", what, i + 1, n, events_name(ev[i].events), (unsigned long long)ev[i].data.u64);
	if (n == 0)
		say("%s: nothing", what);
	return n;
}

/* The other end of most cases: do what the server asks, until it says bye. */
static void serve_wishes(void)
{
	struct linger lg = {1, 0};
	int fd = pair();

	for (;;) {
		long wish = hear_num();

		if (wish == 'b')
			break;
		if (wish == 's')
			MUST(shutdown(fd, SHUT_WR));
		else if (wish == 'r')
			MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
		else
			MUST(send(fd, "0123456789", wish, 0));
		if (wish == 'r')
			break;
		tell("done");
	}
	MUST(close(fd));
	tell("done");
}

static void wish(long what)
{
	tell_num(what);
	hear("done");
}

static void create_errors(void)
{
	int epfd;

	T(epoll_create(0));
	T(epoll_create(-1));
	epfd = TFD(epoll_create(1));
	T(fcntl(epfd, F_GETFD));
	T(close(epfd));
	T(epoll_create1(-1));
	T(epoll_create1(1));
	epfd = TFD(epoll_create1(EPOLL_CLOEXEC));
	T(fcntl(epfd, F_GETFD));
	T(close(epfd));
	T(epoll_wait(epfd, &(struct epoll_event){0}, 1, 0));
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, 0, &(struct epoll_event){0}));
}

static void control_errors_server(void)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int epfd = epoll_create1(0), fd = pair(), closed = dup(fd), pipes[2];

	MUST(close(closed));
	MUST(pipe(pipes));
	T(epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev));
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, &ev));
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, NULL));
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	T(epoll_ctl(epfd, EPOLL_CTL_MOD, fd, NULL));
	T(epoll_ctl(epfd, 99, fd, &ev));
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, epfd, &ev));
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, closed, &ev));
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, -1, &ev));
	T(epoll_ctl(-1, EPOLL_CTL_ADD, fd, &ev));
	T(epoll_ctl(pipes[0], EPOLL_CTL_ADD, fd, &ev));
	T(epoll_ctl(fd, EPOLL_CTL_ADD, pipes[0], &ev));
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL));
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL));
	ev.events = EPOLLEXCLUSIVE | EPOLLIN | EPOLLONESHOT;
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	ev.events = EPOLLEXCLUSIVE | EPOLLIN | EPOLLRDHUP;
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	ev.events = EPOLLEXCLUSIVE | EPOLLIN;
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	T(epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev));
	ev.events = EPOLLIN;
	T(epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev));
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL));
	T(epoll_wait(epfd, &ev, 0, 0));
	T(epoll_wait(epfd, &ev, -1, 0));
	T(epoll_wait(epfd, &ev, INT_MAX, 0));
	T(epoll_wait(fd, &ev, 1, 0));
	T(epoll_wait(pipes[0], &ev, 1, 0));
	T(epoll_wait(-1, &ev, 1, 0));
	T(epoll_wait(epfd, &ev, 1, 0));
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
	wish('b');
	MUST(close(epfd));
	MUST(close(fd));
}

static void level_server(void)
{
	int epfd = epoll_create1(0), fd = pair();

	T(add(epfd, fd, EPOLLIN, 42));
	say_wait("quiet", epfd, 0);
	wish(5);
	say_wait("data", epfd, -1);
	say_wait("still there", epfd, 0);
	recv_and_say("part", fd, 2);
	say_wait("still some", epfd, 0);
	recv_and_say("rest", fd, 3);
	say_wait("read", epfd, 0);
	T(mod(epfd, fd, EPOLLIN | EPOLLOUT, 43));
	say_wait("writable", epfd, 0);
	say_wait("still writable", epfd, 0);
	T(mod(epfd, fd, 0, 44));
	wish(1);
	await(fd, POLLIN);
	say_wait("not asked for", epfd, 0);
	T(mod(epfd, fd, EPOLLIN, 45));
	say_wait("asked for again", epfd, 0);
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL));
	say_wait("deleted", epfd, 0);
	wish('b');
	MUST(close(epfd));
	MUST(close(fd));
}

static void edge_server(void)
{
	int epfd = epoll_create1(0), fd = pair();

	T(add(epfd, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 1));
	say_wait("at first", epfd, 0);
	say_wait("told once", epfd, 0);
	wish(5);
	await(fd, POLLIN);
	say_wait("data", epfd, 0);
	say_wait("told once", epfd, 0);
	/* New data behind old that was not read is an edge. */
	wish(5);
	await_inq(fd, 10);
	say_wait("more data", epfd, 0);
	recv_and_say("part", fd, 3);
	say_wait("a part was read", epfd, 0);
	recv_and_say("rest", fd, 7);
	say_wait("all was read", epfd, 0);
	T(mod(epfd, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, 2));
	say_wait("MOD looks again", epfd, 0);
	wish('s');
	await(fd, POLLRDHUP);
	say_wait("the end", epfd, 0);
	say_wait("told once", epfd, 0);
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL));
	T(add(epfd, fd, EPOLLIN | EPOLLET, 3));
	say_wait("ADD looks again", epfd, 0);
	wish('b');
	MUST(close(epfd));
	MUST(close(fd));
}

static void oneshot_server(void)
{
	int epfd = epoll_create1(0), fd = pair();

	T(add(epfd, fd, EPOLLIN | EPOLLONESHOT, 1));
	wish(5);
	say_wait("data", epfd, -1);
	say_wait("disabled", epfd, 0);
	wish(2);
	await_inq(fd, 7);
	say_wait("disabled for new data too", epfd, 10);
	T(mod(epfd, fd, EPOLLIN | EPOLLONESHOT, 2));
	say_wait("enabled", epfd, 0);
	say_wait("disabled", epfd, 0);
	recv_and_say("all", fd, 7);
	T(mod(epfd, fd, EPOLLIN | EPOLLONESHOT | EPOLLET, 3));
	say_wait("nothing there", epfd, 0);
	wish(1);
	say_wait("data", epfd, -1);
	wish('r');
	await(fd, POLLERR);
	/* Disabled means HUP and ERR as well. */
	say_wait("reset", epfd, 10);
	T(mod(epfd, fd, EPOLLONESHOT, 4));
	say_wait("enabled", epfd, 0);
	MUST(close(epfd));
	MUST(close(fd));
}

static void stages_server(void)
{
	int epfd = epoll_create1(0), fd = pair();

	T(add(epfd, fd, ALL, 1));
	say_wait("connected", epfd, 0);
	wish(4);
	await(fd, POLLIN);
	say_wait("data", epfd, 0);
	wish('s');
	await(fd, POLLRDHUP);
	say_wait("data and the end", epfd, 0);
	recv_and_say("data", fd, 4);
	say_wait("the end", epfd, 0);
	MUST(shutdown(fd, SHUT_WR));
	await(fd, POLLHUP);
	say_wait("both ends", epfd, 0);
	T(mod(epfd, fd, 0, 2));
	say_wait("HUP needs no asking", epfd, 0);
	wish('b');
	MUST(close(epfd));
	MUST(close(fd));
}

static void reset_server(void)
{
	int epfd = epoll_create1(0), fd = pair();

	T(add(epfd, fd, EPOLLIN, 1));
	wish('r');
	await(fd, POLLERR);
	say_wait("reset", epfd, 0);
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	say_wait("error taken", epfd, 0);
	T(mod(epfd, fd, EPOLLET, 2));
	say_wait("HUP", epfd, 0);
	say_wait("told once", epfd, 0);
	MUST(close(epfd));
	MUST(close(fd));
}

/* Added before it is connected: the member is the same afterwards. */
static void connecting_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd;

	tell("listening");
	fd = accept_one(listener);
	MUST(send(fd, "hello", 5, 0));
	hear("read");
	MUST(close(fd));
	MUST(close(listener));
}

static void connecting_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int epfd = epoll_create1(0), fd = tcp_socket();

	hear("listening");
	T(add(epfd, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, 7));
	say_wait("fresh", epfd, 0);
	set_nonblock(fd, true);
	T(connect(fd, SA(sa), sizeof(sa)));
	await(fd, POLLIN);
	say_wait("connected, and data", epfd, 0);
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &(struct epoll_event){0}));
	recv_and_say("data", fd, 5);
	say_wait("read", epfd, 0);
	tell("read");
	await(fd, POLLRDHUP);
	say_wait("the end", epfd, 0);
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, NULL));
	say_wait("deleted", epfd, 0);
	MUST(close(fd));
	MUST(close(epfd));
}

/* Edge-triggered from before connect() on, as libuv, Go and nginx do it. */
static void connecting_edge_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int epfd = epoll_create1(0), fd = tcp_socket();

	hear("listening");
	set_nonblock(fd, true);
	T(connect(fd, SA(sa), sizeof(sa)));
	T(add(epfd, fd, EPOLLOUT | EPOLLET, 7));
	say_wait("connected", epfd, -1);
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	say_wait("told once", epfd, 0);
	recv_and_say("data", fd, 5);
	tell("read");
	MUST(close(fd));
	MUST(close(epfd));
}

static void refused_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int epfd = epoll_create1(0), fd = tcp_socket();

	set_nonblock(fd, true);
	T(add(epfd, fd, EPOLLOUT | EPOLLIN | EPOLLET, 1));
	say_wait("fresh", epfd, 0);
	T(connect(fd, SA(sa), sizeof(sa)));
	await(fd, POLLERR);
	say_wait("refused", epfd, 0);
	T(get_int(fd, SOL_SOCKET, SO_ERROR));
	say_wait("told once", epfd, 0);
	MUST(close(fd));
	MUST(close(epfd));
}

static void listener_server(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int epfd = epoll_create1(0), edge = epoll_create1(0), listener = tcp_socket();

	set_int(listener, SOL_SOCKET, SO_REUSEADDR, 1);
	set_nonblock(listener, true);
	T(add(epfd, listener, EPOLLIN, 1));
	say_wait("fresh", epfd, 0);
	MUST(bind(listener, SA(sa), sizeof(sa)));
	MUST(listen(listener, 5));
	T(add(edge, listener, EPOLLIN | EPOLLET, 2));
	say_wait("listening", epfd, 0);
	say_wait("listening, edge", edge, 0);
	tell("one");
	say_wait("one waits", epfd, -1);
	say_wait("one waits, edge", edge, -1);
	tell("two");
	/* The edge comes again though the first was not accepted. */
	say_wait("two wait, edge", edge, -1);
	say_wait("told once", edge, 0);
	say_wait("two wait", epfd, 0);
	MUST(close(accept_one(listener)));
	say_wait("one waits", epfd, 0);
	say_wait("one waits, edge", edge, 0);
	MUST(close(accept_one(listener)));
	say_wait("none", epfd, 0);
	T(accept(listener, NULL, NULL));
	tell("three");
	say_wait("another", epfd, -1);
	say_wait("another, edge", edge, -1);
	MUST(close(accept_one(listener)));
	MUST(close(listener));
	say_wait("closed", epfd, 0);
	MUST(close(epfd));
	MUST(close(edge));
}

static void listener_client(void)
{
	int a, b;

	hear("one");
	a = connect_to(SERVER_IP, port(0));
	hear("two");
	b = connect_to(SERVER_IP, port(0));
	hear("three");
	MUST(close(connect_to(SERVER_IP, port(0))));
	MUST(close(a));
	MUST(close(b));
}

static void writable_edge_server(void)
{
	int fd = pair_small();
	long sent = hear_num();

	T(recv_pattern(fd, sent, 0) == (size_t)sent);
	hear("bye");
	MUST(close(fd));
}

/* EPOLLOUT as an edge: when a full buffer has room again. */
static void writable_edge_client(void)
{
	static char buf[50000];
	int epfd = epoll_create1(0), fd = pair_small();
	size_t sent = 0;

	set_nonblock(fd, true);
	T(add(epfd, fd, EPOLLOUT | EPOLLET, 1));
	say_wait("empty", epfd, 0);
	for (;;) {
		struct epoll_event ev;
		ssize_t n;

		fill(buf, sizeof(buf), sent);
		n = send(fd, buf, sizeof(buf), 0);
		if (n > 0)
			sent += n;
		else if (epoll_wait(epfd, &ev, 1, 300) == 0)
			break;
	}
	say_wait("full", epfd, 0);
	tell_num(sent);
	say_wait("room again", epfd, -1);
	tell("bye");
	MUST(close(epfd));
	MUST(close(fd));
}

/* Ends of waiting: time, and a signal that only the call lets in. */
static volatile sig_atomic_t signals;

static void on_signal(int signo)
{
	signals++;
}

static void waiting_server(void)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	struct epoll_event ev;
	struct timespec ts = {.tv_nsec = 30000000};
	int epfd = epoll_create1(0), fd = pair();
	sigset_t usr1, old, empty;
	int64_t start = now_ms();

	MUST(add(epfd, fd, EPOLLIN, 1));
	T(epoll_wait(epfd, &ev, 1, 30));
	say_elapsed("epoll_wait", start, 30);
	start = now_ms();
	T(epoll_pwait(epfd, &ev, 1, 30, NULL));
	say_elapsed("epoll_pwait", start, 30);
	start = now_ms();
	T(epoll_pwait2(epfd, &ev, 1, &ts, NULL));
	say_elapsed("epoll_pwait2", start, 30);
	T(epoll_pwait2(epfd, &ev, 1, &(struct timespec){0, -1}, NULL));
	T(epoll_pwait2(epfd, &ev, 1, &(struct timespec){0}, NULL));
	signals = 0;
	MUST(sigaction(SIGUSR1, &sa, NULL));
	sigemptyset(&usr1);
	sigemptyset(&empty);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, &old);
	raise(SIGUSR1);
	T(epoll_wait(epfd, &ev, 1, 10));
	T(signals);
	T(epoll_pwait(epfd, &ev, 1, -1, &empty));
	T(signals);
	raise(SIGUSR1);
	T(epoll_pwait2(epfd, &ev, 1, NULL, &empty));
	T(signals);
	sigprocmask(SIG_SETMASK, &old, NULL);
	wish('b');
	MUST(close(epfd));
	MUST(close(fd));
}

static const struct posix_case cases[] = {
    ALONE(create_errors),
    {"control_errors", control_errors_server, serve_wishes},
    {"level", level_server, serve_wishes},
    {"edge", edge_server, serve_wishes},
    {"oneshot", oneshot_server, serve_wishes},
    {"stages", stages_server, serve_wishes},
    {"reset", reset_server, serve_wishes},
    BOTH(connecting),
    {"connecting_edge", connecting_server, connecting_edge_client},
    {"refused", NULL, refused_client},
    BOTH(listener),
    BOTH(writable_edge),
    {"waiting", waiting_server, serve_wishes},
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
