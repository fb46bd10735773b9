/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * conn_client.c - the client of conn_server, an ordinary sockets program with one epoll loop.
 *
 * conn_client [-n REQUESTS] [-w WINDOW] [-r RATE] [-p PORTS] [-i] ADDRESS PORT CONNECTIONS SECONDS
 *   -n  requests of REQUEST bytes on each of the CONNECTIONS, then a new one takes its place (1); 0: they stay, and the time
 *       begins when all are open ("ready" is printed)
 *   -w  at most so many requests under way; the connections take turns
 *   -r  so many requests a second in all, whatever the answers do; a request counts from when it was due
 *   -p  the connections are spread over so many ports from PORT on
 *   -i  open the connections, print "ready", keep them idle
 * Prints "N requests in S s: R per second, E errors, us: p50 A p99 B p99.9 C", and before it "p99 within 10 ms: D us, the median
 * of W windows", as a host that takes the cores away for a millisecond, some ten times a second, is all that B tells of.
 * Status 1 if anything went wrong: an answer that differs counts as an error.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench/histogram.h"
#include "bench/clock.h"

#define REQUEST 64
#define EVENTS 256
#define FDS_MAX (1 << 20)
#define OPENING_MAX 512 /* handshakes at once where many connections are to stay */
#define WINDOW_NS 10000000ull
#define POLLING_RATE 1000.0 /* requests a second from which on waiting for the next one sleeps no more */

struct flow {
	uint64_t begun_ns; /* when the request under way was sent, or was due */
	unsigned got;	   /* bytes of the answer so far */
	unsigned answers;
	bool opening;
};

static struct sockaddr_in server;
static unsigned short first_port;
static int ports = 1, connections, window;
static unsigned requests = 1;
static double rate;

static struct flow flows[FDS_MAX]; /* by descriptor */
static int ready[FDS_MAX];	   /* connections without a request, a ring: longest without first */
static unsigned ready_head, ready_tail;
static struct histogram latency;
static struct histogram in_window;  /* of the answers within the window that ends at window_end_ns */
static struct histogram window_p99; /* one value a window */
static uint64_t window_end_ns;
static unsigned long done, errors, started;
static bool draining, running, slept;
static int open_now, opening, under_way;
static uint64_t next_due_ns;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void error_count(const char *what)
{
	if (errors++ == 0)
		fprintf(stderr, "conn_client: %s: %s\n", what, strerror(errno));
}

/* Each byte depends on the descriptor: an answer that belongs to another connection is noticed. */
static void request_fill(char *buf, int fd)
{
	for (int i = 0; i < REQUEST; i++)
		buf[i] = (char)(fd * 31 + i);
}

static void conn_start(int epfd)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct epoll_event ev = {.events = EPOLLOUT, .data.fd = fd};

	if (fd < 0 || fd >= FDS_MAX)
		die("socket");
	server.sin_port = htons(first_port + started++ % ports);
	if (connect(fd, (struct sockaddr *)&server, sizeof(server)) && errno != EINPROGRESS) {
		error_count("connect");
		close(fd);
		return;
	}
	flows[fd] = (struct flow){.opening = true};
	opening++;
	open_now++;
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev))
		die("epoll_ctl");
}

static void conn_end(int epfd, int fd)
{
	if (flows[fd].opening)
		opening--;
	close(fd);
	open_now--;
	if (!draining)
		conn_start(epfd);
}

static void conn_opened(int epfd, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	flows[fd].opening = false;
	opening--;
	if (epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev))
		die("epoll_ctl");
	ready[ready_tail++ % FDS_MAX] = fd;
}

static void request_send(int fd, uint64_t begun)
{
	char buf[REQUEST];

	request_fill(buf, fd);
	flows[fd].got = 0;
	flows[fd].begun_ns = begun;
	under_way++;
	if (write(fd, buf, REQUEST) != REQUEST)
		error_count("write");
}

/* Send what may be sent.  After a sleep a request counts from the wake-up: the clock that woke us is not what is measured. */
static void pump(void)
{
	uint64_t now = running ? now_ns() : 0;

	while (running && !draining && ready_head != ready_tail && under_way < window && (rate == 0 || next_due_ns <= now)) {
		request_send(ready[ready_head++ % FDS_MAX], rate == 0 || slept ? now : next_due_ns);
		if (rate > 0)
			next_due_ns += (uint64_t)(1e9 / rate);
		slept = false;
	}
}

/* A window in which nothing was answered has no percentile. */
static void window_turn(uint64_t now)
{
	if (in_window.n)
		histogram_add(&window_p99, (uint64_t)histogram_at(&in_window, 0.99));
	memset(&in_window, 0, sizeof(in_window));
	window_end_ns = now + WINDOW_NS;
}

static void latency_count(uint64_t begun)
{
	uint64_t now = now_ns();

	if (now >= window_end_ns)
		window_turn(now);
	histogram_add(&latency, now - begun);
	histogram_add(&in_window, now - begun);
}

static void answer_complete(int fd)
{
	struct flow *f = &flows[fd];

	done++;
	under_way--;
	latency_count(f->begun_ns);
	if (++f->answers != requests)
		ready[ready_tail++ % FDS_MAX] = fd;
}

/* The server ends the connection after the last answer. */
static void conn_readable(int epfd, int fd)
{
	struct flow *f = &flows[fd];
	char buf[REQUEST + 1], want[REQUEST];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0 && errno == EAGAIN)
		return;
	request_fill(want, fd);
	if (n > 0 && f->got + n <= REQUEST && memcmp(buf, want + f->got, n) == 0) {
		f->got += n;
		if (f->got == REQUEST)
			answer_complete(fd);
		return;
	}
	if (n != 0 || requests == 0 || f->answers != requests)
		error_count(n < 0 ? "read" : "wrong answer");
	conn_end(epfd, fd);
}

/* How long to wait for events: at a high rate it polls, at a low one it sleeps until the next request is due. */
static int patience_ms(int at_most)
{
	uint64_t now;

	if (rate == 0 || under_way || !running || draining)
		return rate > POLLING_RATE && running && !draining ? 0 : at_most;
	if (rate > POLLING_RATE)
		return 0;
	now = now_ns();
	slept = next_due_ns > now;
	return slept ? (int)((next_due_ns - now + 999999) / 1000000) : 0;
}

static void turn(int epfd, int at_most_ms)
{
	struct epoll_event evs[EVENTS];
	int n = epoll_wait(epfd, evs, EVENTS, patience_ms(at_most_ms));

	if (n < 0 && errno != EINTR)
		die("epoll_wait");
	for (int i = 0; i < n; i++) {
		if (evs[i].events & EPOLLOUT && !(evs[i].events & EPOLLERR))
			conn_opened(epfd, evs[i].data.fd);
		else
			conn_readable(epfd, evs[i].data.fd);
	}
	pump();
}

static void open_all(int epfd)
{
	while (open_now < connections || opening) {
		while (open_now < connections && opening < OPENING_MAX && errors == 0)
			conn_start(epfd);
		if (errors)
			exit(1);
		turn(epfd, 1000);
	}
	printf("ready\n");
	fflush(stdout);
}

static int load(int epfd, double seconds)
{
	uint64_t start, elapsed;

	/* That the first connection takes the start of an engine along with it is not what is measured. */
	if (requests == 0)
		open_all(epfd);
	else
		conn_start(epfd);
	running = true;
	start = next_due_ns = now_ns();
	while (open_now < connections && errors == 0)
		conn_start(epfd);
	pump();
	while ((elapsed = now_ns() - start) < seconds * 1e9 && open_now)
		turn(epfd, 100);
	printf("p99 within 10 ms: %.1f us, the median of %lu windows\n", histogram_at(&window_p99, 0.5) / 1e3, window_p99.n);
	printf("%lu requests in %.2f s: %.0f per second, %lu errors, us: p50 %.1f p99 %.1f p99.9 %.1f\n", done, elapsed / 1e9,
	       done / (elapsed / 1e9), errors, histogram_at(&latency, 0.5) / 1e3, histogram_at(&latency, 0.99) / 1e3,
	       histogram_at(&latency, 0.999) / 1e3);
	draining = true;
	while ((requests ? open_now : under_way) && now_ns() - start < (seconds + 5) * 1e9)
		turn(epfd, 100);
	return done == 0 || errors || under_way;
}

/* One wait in which nothing must happen. */
static int idle(int epfd, double seconds)
{
	struct epoll_event ev;

	open_all(epfd);
	return epoll_wait(epfd, &ev, 1, (int)(seconds * 1000)) != 0;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: conn_client [-n REQUESTS] [-w WINDOW] [-r RATE] [-p PORTS] [-i] ADDRESS PORT CONNECTIONS SECONDS\n");
	return 2;
}

int main(int argc, char **argv)
{
	bool is_idle = false;
	int option, epfd = epoll_create1(EPOLL_CLOEXEC);

	while ((option = getopt(argc, argv, "n:w:r:p:i")) != -1) {
		if (option == 'n')
			requests = atoi(optarg);
		else if (option == 'w')
			window = atoi(optarg);
		else if (option == 'r')
			rate = atof(optarg);
		else if (option == 'p')
			ports = atoi(optarg);
		else if (option == 'i')
			is_idle = true;
		else
			return usage();
	}
	argv += optind;
	if (argc - optind != 4 || ports < 1 || inet_pton(AF_INET, argv[0], &server.sin_addr) != 1)
		return usage();
	if (epfd < 0)
		die("epoll_create1");
	server.sin_family = AF_INET;
	first_port = atoi(argv[1]);
	connections = atoi(argv[2]);
	if (window == 0)
		window = connections;
	return is_idle ? idle(epfd, atof(argv[3])) : load(epfd, atof(argv[3]));
}
