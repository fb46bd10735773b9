/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stress.c - many threads of many processes open, dup, close, fork, poll and talk at random, for a while, over 127.0.0.1; every
 * byte that comes is checked, every process ends in time, and none has more descriptors at the end than at the beginning.
 *
 * usage: stress SECONDS SEED [PROCESSES [THREADS]]
 * What each thread does follows from the seed, its process and its number alone; only how far it comes depends on the machine.
 * Exit status: 0 and one line of counts, or 1 and what was wrong, with the thread's seed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAIRS 8
#define CHUNK 4096
#define HIGHEST 900
/* Nothing that is done here takes longer, on a machine however busy. */
#define PATIENCE_MS 30000
#define PROCESSES_MAX 16
#define THREADS_MAX 32

/* One direction of a connection: byte i of it is known. */
struct way {
	uint8_t key;
	uint32_t sent, got;
};

struct pair {
	int fd[2]; /* who connected, who accepted; -1: closed */
	struct way to[2];
};

struct worker {
	uint64_t seed, state;
	int listener, epfd;
	struct pair pairs[PAIRS];
};

/* Shared by all processes. */
static struct totals {
	_Atomic unsigned long steps, opened, forks, bytes;
} * totals;
static struct timespec end;

static __attribute__((noreturn, format(printf, 2, 3))) void wrong(const struct worker *w, const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	fprintf(stderr, "stress: seed %#lx: %s (errno: %s)\n", (unsigned long)w->seed, text, strerror(errno));
	_exit(1);
}

/* splitmix64: any seed is a good one. */
static uint32_t draw(struct worker *w, uint32_t below)
{
	uint64_t z = w->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % below);
}

static uint8_t byte_of(const struct way *way, uint32_t at)
{
	return (uint8_t)(way->key + at * 31 + (at >> 8));
}

/* ---- steps --------------------------------------------------------------------------------------------------------------- */

static void open_pair(struct worker *w, struct pair *p)
{
	struct sockaddr_in at;
	socklen_t len = sizeof(at);
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = p};

	p->fd[0] = socket(AF_INET, SOCK_STREAM | (draw(w, 2) ? SOCK_CLOEXEC : 0), 0);
	if (p->fd[0] < 0 || getsockname(w->listener, (struct sockaddr *)&at, &len) ||
	    connect(p->fd[0], (struct sockaddr *)&at, len))
		wrong(w, "connect");
	p->fd[1] = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK);
	if (p->fd[1] < 0 || fcntl(p->fd[0], F_SETFL, O_NONBLOCK))
		wrong(w, "accept");
	for (int i = 0; i < 2; i++) {
		p->to[i] = (struct way){.key = (uint8_t)draw(w, 256)};
		if (draw(w, 2) && epoll_ctl(w->epfd, EPOLL_CTL_ADD, p->fd[i], &ev))
			wrong(w, "epoll_ctl");
	}
	atomic_fetch_add(&totals->opened, 1);
}

/* End `from` sends some of what is next. */
static void send_some(struct worker *w, struct pair *p, int from)
{
	struct way *way = &p->to[!from];
	uint8_t buf[CHUNK];
	uint32_t n = 1 + draw(w, CHUNK);
	ssize_t sent;

	for (uint32_t i = 0; i < n; i++)
		buf[i] = byte_of(way, way->sent + i);
	sent = send(p->fd[from], buf, n, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN)
		wrong(w, "send");
	if (sent > 0) {
		way->sent += (uint32_t)sent;
		atomic_fetch_add(&totals->bytes, (unsigned long)sent);
	}
}

/* End `at` takes what is there, up to n bytes, and checks it: how much. */
static uint32_t take_some(struct worker *w, struct pair *p, int at, uint32_t n)
{
	struct way *way = &p->to[at];
	uint8_t buf[CHUNK];
	ssize_t got = recv(p->fd[at], buf, n, 0);

	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got <= 0)
		wrong(w, "recv returned %zd, %u bytes short", got, way->sent - way->got);
	for (ssize_t i = 0; i < got; i++)
		if (buf[i] != byte_of(way, way->got + (uint32_t)i))
			wrong(w, "byte %u of %u is %#x", way->got + (uint32_t)i, way->sent, buf[i]);
	way->got += (uint32_t)got;
	if (way->got > way->sent)
		wrong(w, "%u bytes came, %u were sent", way->got, way->sent);
	return (uint32_t)got;
}

static void await(struct worker *w, int fd, const char *what)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (poll(&p, 1, PATIENCE_MS) != 1)
		wrong(w, "%s did not come", what);
}

/* All that was sent arrives; then the ends close, one behind the other. */
static void close_pair(struct worker *w, struct pair *p)
{
	int first = (int)draw(w, 2);
	char c;

	for (int at = 0; at < 2; at++)
		while (p->to[at].got < p->to[at].sent) {
			await(w, p->fd[at], "the rest");
			take_some(w, p, at, CHUNK);
		}
	if (draw(w, 2) && shutdown(p->fd[first], SHUT_WR))
		wrong(w, "shutdown");
	/* A child of another thread's may have them for a moment: its copies would go on to be reported. */
	for (int i = 0; i < 2; i++)
		epoll_ctl(w->epfd, EPOLL_CTL_DEL, p->fd[i], NULL);
	if (close(p->fd[first]))
		wrong(w, "close");
	await(w, p->fd[!first], "the end");
	if (recv(p->fd[!first], &c, 1, 0) != 0 || close(p->fd[!first]))
		wrong(w, "the end");
	p->fd[0] = p->fd[1] = -1;
}

/* The same description under another number: it goes on. */
static void renumber(struct worker *w, struct pair *p, int i)
{
	int old = p->fd[i];
	int fresh = draw(w, 2) ? dup(old) : fcntl(old, F_DUPFD_CLOEXEC, (int)draw(w, HIGHEST));

	if (fresh < 0)
		wrong(w, "dup");
	/* Sets know descriptors by number: what is not taken out would be reported under the old one. */
	epoll_ctl(w->epfd, EPOLL_CTL_DEL, old, NULL);
	if (close(old))
		wrong(w, "close of a duplicate");
	p->fd[i] = fresh;
}

static void poll_all(struct worker *w)
{
	struct pollfd fds[2 * PAIRS];
	nfds_t n = 0;

	for (int i = 0; i < PAIRS; i++)
		for (int k = 0; k < 2 && w->pairs[i].fd[k] >= 0; k++)
			fds[n++] = (struct pollfd){.fd = w->pairs[i].fd[k], .events = POLLIN | POLLOUT};
	if (poll(fds, n, (int)draw(w, 2)) < 0)
		wrong(w, "poll");
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].revents & (POLLERR | POLLHUP | POLLNVAL))
			wrong(w, "poll says %#x of an open connection", fds[i].revents);
}

static void wait_on_set(struct worker *w)
{
	struct epoll_event evs[4];
	int n = epoll_wait(w->epfd, evs, 4, 0);

	if (n < 0)
		wrong(w, "epoll_wait");
	for (int i = 0; i < n; i++)
		if ((evs[i].events & EPOLLIN) && ((struct pair *)evs[i].data.ptr)->fd[0] < 0)
			wrong(w, "epoll_wait reports a closed connection");
}

/* A child takes over one end for a while: what it sends and takes counts as its parent's. */
static void lend(struct worker *w, struct pair *p)
{
	uint32_t n = 1 + draw(w, CHUNK), from = draw(w, 2);
	struct way *way = &p->to[!from];
	uint8_t buf[CHUNK];
	ssize_t sent;
	int status;
	pid_t pid;

	for (uint32_t i = 0; i < n; i++)
		buf[i] = byte_of(way, way->sent + i);
	pid = fork();
	if (pid < 0)
		wrong(w, "fork");
	if (!pid) {
		sent = send(p->fd[from], buf, n, MSG_NOSIGNAL);
		_exit(sent == (ssize_t)n ? 0 : sent < 0 && errno == EAGAIN ? 2 : 1);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		wrong(w, "a child ended with status %#x", status);
	if (WEXITSTATUS(status) == 1)
		wrong(w, "a child's send");
	if (WEXITSTATUS(status) == 0)
		way->sent += n;
	atomic_fetch_add(&totals->forks, 1);
}

static void step(struct worker *w)
{
	struct pair *p = &w->pairs[draw(w, PAIRS)];
	uint32_t what = draw(w, 1000);

	atomic_fetch_add(&totals->steps, 1);
	if (p->fd[0] < 0)
		open_pair(w, p);
	else if (what < 400)
		send_some(w, p, (int)draw(w, 2));
	else if (what < 700)
		take_some(w, p, (int)draw(w, 2), 1 + draw(w, CHUNK));
	else if (what < 780)
		poll_all(w);
	else if (what < 860)
		wait_on_set(w);
	else if (what < 950)
		renumber(w, p, (int)draw(w, 2));
	else if (what < 998)
		close_pair(w, p);
	else if (p->to[0].sent - p->to[0].got < CHUNK && p->to[1].sent - p->to[1].got < CHUNK)
		lend(w, p);
}

/* ---- threads and processes --------------------------------------------------------------------------------------------------
 */

static bool over(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	w->state = w->seed;
	for (int i = 0; i < PAIRS; i++)
		w->pairs[i].fd[0] = w->pairs[i].fd[1] = -1;
	w->epfd = epoll_create1(0);
	w->listener = socket(AF_INET, SOCK_STREAM, 0);
	if (w->epfd < 0 || w->listener < 0 || bind(w->listener, (struct sockaddr *)&at, sizeof(at)) || listen(w->listener, PAIRS))
		wrong(w, "listen");
	while (!over())
		step(w);
	for (int i = 0; i < PAIRS; i++)
		if (w->pairs[i].fd[0] >= 0)
			close_pair(w, &w->pairs[i]);
	if (close(w->listener) || close(w->epfd))
		wrong(w, "close");
	return NULL;
}

static unsigned descriptors(void)
{
	unsigned n = 0;

	/* As the program sees them. */
	for (int fd = 0; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int process(uint64_t seed, unsigned threads)
{
	static struct worker workers[THREADS_MAX];
	pthread_t ids[THREADS_MAX];
	unsigned before = descriptors();

	for (unsigned i = 0; i < threads; i++) {
		workers[i].seed = seed + i;
		if (pthread_create(&ids[i], NULL, work, &workers[i]))
			wrong(&workers[i], "pthread_create");
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	if (descriptors() != before)
		wrong(&workers[0], "%u descriptors at the end, %u at the beginning", descriptors(), before);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 20, processes = argc > 3 ? (unsigned)atoi(argv[3]) : 3;
	unsigned threads = argc > 4 ? (unsigned)atoi(argv[4]) : 4, status = 0;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	int one;

	if (processes > PROCESSES_MAX || threads > THREADS_MAX)
		return 2;
	totals = mmap(NULL, sizeof(*totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += seconds;
	/* The engine is up before the processes part: they are one family. */
	{
		struct worker first = {.seed = seed << 32};
		struct timespec then = end;

		clock_gettime(CLOCK_MONOTONIC, &end);
		work(&first);
		end = then;
	}
	for (unsigned i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (!pid)
			return process((seed << 32) + ((uint64_t)i + 1) * THREADS_MAX, threads);
	}
	alarm(seconds + 2 * PATIENCE_MS / 1000);
	while (wait(&one) > 0)
		status |= one != 0;
	printf("%lu steps, %lu connections, %lu forks, %lu bytes\n", totals->steps, totals->opened, totals->forks, totals->bytes);
	return (int)status;
}
