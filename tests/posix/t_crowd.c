/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_crowd.c - many threads: a server with one for each of 1000 connections, what threads leave behind, and cancellation in each
 * of the calls that are cancellation points (pthreads(7)).
 */
#include "posix.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define CROWD 1000
#define STACK (64 << 10)

static void room_for(rlim_t descriptors)
{
	struct rlimit lim;

	MUST(getrlimit(RLIMIT_NOFILE, &lim));
	if (lim.rlim_cur < descriptors)
		lim.rlim_cur = descriptors;
	if (lim.rlim_max < descriptors)
		lim.rlim_max = descriptors;
	MUST(setrlimit(RLIMIT_NOFILE, &lim));
}

static pthread_t start(void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	MUST(pthread_create(&t, &attr, run, arg) ? -1 : 0);
	pthread_attr_destroy(&attr);
	return t;
}

/* ---- a thread for each connection -------------------------------------------------------------------------------------------
 */

static atomic_int ended;

static void *serve(void *arg)
{
	int fd = (int)(long)arg;
	char buf[64];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		MUST(write(fd, buf, n));
	close(fd);
	ended += n == 0;
	return NULL;
}

static void thousand_server(void)
{
	static pthread_t threads[CROWD];
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int listener = tcp_socket();

	room_for(4096);
	ended = 0;
	set_int(listener, SOL_SOCKET, SO_REUSEADDR, 1);
	MUST(bind(listener, SA(sa), sizeof(sa)));
	MUST(listen(listener, CROWD));
	tell("connect");
	for (int i = 0; i < CROWD; i++)
		threads[i] = start(serve, (void *)(long)MUST(accept(listener, NULL, NULL)));
	for (int i = 0; i < CROWD; i++)
		pthread_join(threads[i], NULL);
	say("ended well: %d", ended);
	MUST(close(listener));
}

static void thousand_client(void)
{
	static int fds[CROWD];
	int got, right = 0;

	room_for(4096);
	hear("connect");
	for (int i = 0; i < CROWD; i++)
		fds[i] = connect_to(SERVER_IP, port(0));
	/* All of them are there at once, and all speak. */
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < CROWD; i++)
			MUST(send(fds[i], &i, sizeof(i), 0));
		for (int i = 0; i < CROWD; i++)
			right += MUST(recv(fds[i], &got, sizeof(got), MSG_WAITALL)) == sizeof(got) && got == i;
	}
	say("right %d", right);
	for (int i = 0; i < CROWD; i++)
		MUST(close(fds[i]));
}

/* ---- what threads leave behind ----------------------------------------------------------------------------------------------
 */

static long resident_kb(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	MUST(fscanf(f, "%*d %ld", &pages) == 1 ? 0 : -1);
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Poll, wait in vain for a moment, exchange a byte: what a thread has of its own by then it should take along. */
static void *exchange(void *arg)
{
	struct pollfd p = {.fd = (int)(long)arg, .events = POLLIN};
	struct timeval tv = {0, 1000};
	char c = 'x';

	setsockopt(p.fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	recv(p.fd, &c, 1, 0);
	MUST(send(p.fd, &c, 1, 0));
	MUST(poll(&p, 1, 5000));
	MUST(recv(p.fd, &c, 1, 0));
	return NULL;
}

static void generations(int fd, int n)
{
	for (int i = 0; i < n; i++) {
		pthread_t t = start(exchange, (void *)(long)fd);

		pthread_join(t, NULL);
	}
}

static void left_behind_server(void)
{
	int fd = pair(), before;
	long kb;

	generations(fd, 30);
	before = descriptors();
	kb = resident_kb();
	generations(fd, 100);
	say_if("more descriptors", descriptors() > before + 2);
	say_if("more memory", resident_kb() > kb + 1024);
	MUST(close(fd));
}

static void left_behind_client(void)
{
	char c;
	int fd = pair(), n = 0;

	while (recv(fd, &c, 1, 0) == 1)
		n += send(fd, &c, 1, 0);
	say("exchanged %d", n);
	MUST(close(fd));
}

/* ---- cancellation points ----------------------------------------------------------------------------------------------------
 */

static int quiet_fd, full_fd, listener_fd, epfd, connecting_fd, twin, pipe_fds[2];
static char byte;
static struct iovec one = {&byte, 1};
static char bulk[4 << 20];

static void wait_recv(void)
{
	recv(quiet_fd, &byte, 1, 0);
}

static void wait_recvfrom(void)
{
	recvfrom(quiet_fd, &byte, 1, 0, NULL, NULL);
}

static void wait_recvmsg(void)
{
	recvmsg(quiet_fd, &(struct msghdr){.msg_iov = &one, .msg_iovlen = 1}, 0);
}

static void wait_read(void)
{
	read(quiet_fd, &byte, 1);
}

static void wait_readv(void)
{
	readv(quiet_fd, &one, 1);
}

static void wait_send(void)
{
	while (send(full_fd, bulk, sizeof(bulk), 0) > 0)
		;
}

static void wait_sendto(void)
{
	while (sendto(full_fd, bulk, sizeof(bulk), 0, NULL, 0) > 0)
		;
}

static void wait_sendmsg(void)
{
	struct iovec iov = {bulk, sizeof(bulk)};

	while (sendmsg(full_fd, &(struct msghdr){.msg_iov = &iov, .msg_iovlen = 1}, 0) > 0)
		;
}

static void wait_write(void)
{
	while (write(full_fd, bulk, sizeof(bulk)) > 0)
		;
}

static void wait_writev(void)
{
	while (writev(full_fd, &(struct iovec){bulk, sizeof(bulk)}, 1) > 0)
		;
}

static void wait_recvmmsg(void)
{
	recvmmsg(quiet_fd, &(struct mmsghdr){.msg_hdr = {.msg_iov = &one, .msg_iovlen = 1}}, 1, 0, NULL);
}

static void wait_sendmmsg(void)
{
	struct iovec iov = {bulk, sizeof(bulk)};

	while (sendmmsg(full_fd, &(struct mmsghdr){.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}}, 1, 0) > 0)
		;
}

static void wait_splice(void)
{
	splice(quiet_fd, NULL, pipe_fds[1], NULL, 1, 0);
}

static void wait_accept(void)
{
	accept(listener_fd, NULL, NULL);
}

static void wait_accept4(void)
{
	accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC);
}

static void wait_connect(void)
{
	struct sockaddr_in sa = addr4(NOBODY_IP, port(2));

	connect(connecting_fd, SA(sa), sizeof(sa));
}

static void wait_poll(void)
{
	poll(&(struct pollfd){.fd = quiet_fd, .events = POLLIN}, 1, -1);
}

static void wait_ppoll(void)
{
	ppoll(&(struct pollfd){.fd = quiet_fd, .events = POLLIN}, 1, NULL, NULL);
}

static void wait_select(void)
{
	fd_set in;

	FD_ZERO(&in);
	FD_SET(quiet_fd, &in);
	select(quiet_fd + 1, &in, NULL, NULL, NULL);
}

static void wait_pselect(void)
{
	fd_set in;

	FD_ZERO(&in);
	FD_SET(quiet_fd, &in);
	pselect(quiet_fd + 1, &in, NULL, NULL, NULL, NULL);
}

static void wait_epoll(void)
{
	struct epoll_event ev;

	epoll_wait(epfd, &ev, 1, -1);
}

static void wait_epoll_pwait(void)
{
	struct epoll_event ev;

	epoll_pwait(epfd, &ev, 1, -1, NULL);
}

/* A point that does not wait: the cancellation that is pending already ends the thread there. */
static void no_wait_close(void)
{
	twin = dup(quiet_fd);
	close(twin);
}

static void no_wait_read(void)
{
	recv(quiet_fd, &byte, 1, MSG_DONTWAIT);
}

static const struct point {
	const char *name;
	void (*call)(void);
	bool waits;
} points[] = {
    {"recv", wait_recv, true},
    {"recvfrom", wait_recvfrom, true},
    {"recvmsg", wait_recvmsg, true},
    {"read", wait_read, true},
    {"readv", wait_readv, true},
    {"send", wait_send, true},
    {"sendto", wait_sendto, true},
    {"sendmsg", wait_sendmsg, true},
    {"write", wait_write, true},
    {"writev", wait_writev, true},
    {"accept", wait_accept, true},
    {"accept4", wait_accept4, true},
    {"connect", wait_connect, true},
    {"poll", wait_poll, true},
    {"ppoll", wait_ppoll, true},
    {"select", wait_select, true},
    {"pselect", wait_pselect, true},
    {"epoll_wait", wait_epoll, true},
    {"epoll_pwait", wait_epoll_pwait, true},
    {"recvmmsg", wait_recvmmsg, true},
    {"sendmmsg", wait_sendmmsg, true},
    {"splice", wait_splice, true},
    {"close", no_wait_close, false},
    {"recv at once", no_wait_read, false},
};

static atomic_int begun;

static void *at_point(void *arg)
{
	const struct point *p = arg;

	if (!p->waits)
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	begun = gettid();
	if (!p->waits) {
		while (begun)
			usleep(1000);
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	}
	p->call();
	return NULL;
}

/* Until that thread sleeps. */
static void await_asleep(int tid)
{
	char path[64], state = 0;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	while (state != 'S') {
		FILE *f = fopen(path, "r");

		if (!f || fscanf(f, "%*d %*s %c", &state) != 1)
			state = 'S';
		if (f)
			fclose(f);
		usleep(2000);
	}
}

static void cancel_at(const struct point *p)
{
	pthread_t t;
	void *how;

	begun = 0;
	t = start(at_point, (void *)p);
	while (!begun)
		usleep(1000);
	await_asleep(begun);
	MUST(pthread_cancel(t) ? -1 : 0);
	begun = 0;
	MUST(pthread_join(t, &how) ? -1 : 0);
	say_if(p->name, how == PTHREAD_CANCELED);
}

static void points_server(void)
{
	struct epoll_event ev = {.events = EPOLLIN};
	char c;

	quiet_fd = pair();
	full_fd = pair_at(1);
	listener_fd = listen_at(SERVER_IP, port(3));
	connecting_fd = tcp_socket();
	MUST(pipe(pipe_fds));
	epfd = MUST(epoll_create1(0));
	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, quiet_fd, &ev));
	set_nonblock(full_fd, true);
	while (send(full_fd, bulk, sizeof(bulk), 0) > 0)
		;
	set_nonblock(full_fd, false);
	for (unsigned i = 0; i < LEN(points); i++)
		cancel_at(&points[i]);
	T(close(twin));
	/* What they were in works as before. */
	tell("send");
	T(recv(quiet_fd, &c, 1, 0));
	T(epoll_wait(epfd, &ev, 1, 0));
	MUST(close(epfd));
	MUST(close(listener_fd));
	MUST(close(connecting_fd));
	MUST(close(pipe_fds[0]));
	MUST(close(pipe_fds[1]));
	MUST(close(quiet_fd));
	MUST(close(full_fd));
}

static void points_client(void)
{
	char c;
	int fd = pair(), full = pair_at(1);

	hear("send");
	MUST(send(fd, "x", 1, 0));
	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
	MUST(close(full));
}

static const struct posix_case cases[] = {
    BOTH(thousand),
    BOTH(left_behind),
    BOTH(points),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
