/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls.c - what the shim's calls cost that find their data there, in process: calls [PATH...], as micro.c.
 *
 * The real core in the tests' world of memory (tests/unit/core_world.h): locks, look-ups, the poll of the port and the engine
 * are those of a program, the port is two queues, and the peer is a thread.  A call also takes in what the peer has sent in the
 * meantime, so that counts differ a little from run to run.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/micro/path.h"
#include "tests/unit/core_world.h"

#define ECHO_PORT 7
#define OUR_PORT 80
#define BATCH 16
#define SIZE 64
#define LIMIT_S 300 /* under valgrind; alarm() ends a run that hangs */

static int fd, listener, epfd, accept_epfd;
static char buf[BATCH * SIZE];

static void must(int is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "calls: %s\n", what);
	exit(1);
}

static void echoed(size_t n)
{
	must(world_recv(fd, buf, n, MSG_WAITALL) == (ssize_t)n, "no echo");
}

static void call_send(void)
{
	path_begin();
	for (unsigned i = 0; i < BATCH; i++)
		must(world_send(fd, buf, SIZE) == SIZE, "send");
	path_end(BATCH);
	echoed(sizeof(buf));
}

/* All of it is there when the first one asks. */
static void arrive(void)
{
	must(world_send(fd, buf, sizeof(buf)) == sizeof(buf), "send");
	must(world_recv(fd, buf, sizeof(buf), MSG_WAITALL | MSG_PEEK) == sizeof(buf), "no echo");
}

static void call_recv(void)
{
	arrive();
	path_begin();
	for (unsigned i = 0; i < BATCH; i++)
		must(world_recv(fd, buf, SIZE, 0) == SIZE, "recv");
	path_end(BATCH);
}

static void call_epoll_wait(void)
{
	struct epoll_event ev;

	arrive();
	path_begin();
	for (unsigned i = 0; i < BATCH; i++)
		must(core->epoll_wait(epfd, &ev, 1, NULL, NULL) == 1, "epoll_wait");
	path_end(BATCH);
	echoed(sizeof(buf));
}

static void call_accept(void)
{
	struct fdref r = world_ref(listener);
	struct epoll_event ev;
	int accepted;

	peer_connect_and_send(OUR_PORT, 1);
	must(core->epoll_wait(accept_epfd, &ev, 1, NULL, NULL) == 1, "epoll_wait");
	path_begin();
	accepted = core->accept(&r, NULL, NULL, 0);
	path_end(1);
	must(accepted >= 0, "accept");
	world_close(accepted);
}

/* What select() comes to in the core. */
static void await(int set)
{
	unsigned long asked[SET_KINDS][1] = {0}, found[1][SET_KINDS];
	struct sets s = {.bits = {asked[SET_IN], asked[SET_OUT], asked[SET_EX]}, .n = fd + 1};

	asked[set][0] = 1ul << fd;
	must(core->select(&s, found) == 1 && found[0][set] == asked[set][0], "select");
}

/* Each block has a select() of its own (iperf3 -l 64). */
static void call_select_read(void)
{
	arrive();
	path_begin();
	for (unsigned i = 0; i < BATCH; i++) {
		await(SET_IN);
		must(world_recv(fd, buf, SIZE, 0) == SIZE, "recv");
	}
	path_end(BATCH);
}

static void call_select_write(void)
{
	path_begin();
	for (unsigned i = 0; i < BATCH; i++) {
		await(SET_OUT);
		must(world_send(fd, buf, SIZE) == SIZE, "send");
	}
	path_end(BATCH);
	echoed(sizeof(buf));
}

/* One look at a port that has nothing, and at a set without events. */
static void call_epoll_none(void)
{
	const struct timespec now = {0};
	struct epoll_event ev;

	path_begin();
	for (unsigned i = 0; i < BATCH; i++)
		must(core->epoll_wait(epfd, &ev, 1, &now, NULL) == 0, "epoll_wait");
	path_end(BATCH);
}

static const struct path paths[] = {
    {"call_send_64", call_send, 0},
    {"call_recv_64", call_recv, 0},
    {"call_epoll_wait", call_epoll_wait, 0},
    {"call_accept", call_accept, 0},
    {"call_select_read", call_select_read, 0},
    {"call_select_write", call_select_write, 0},
    {"call_epoll_none", call_epoll_none, 0},
};

static int watch(int of)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = of};
	int set = world_epoll();

	must(core->epoll_ctl(set, EPOLL_CTL_ADD, of, &ev) == 0, "epoll_ctl");
	return set;
}

int main(int argc, char **argv)
{
	alarm(LIMIT_S);
	world_start(WORLD_INTERRUPTS, 50);
	peer_echo(ECHO_PORT);
	fd = world_connect(ECHO_PORT);
	listener = world_listen(OUR_PORT);
	must(fd >= 0 && listener >= 0, "connect or listen");
	epfd = watch(fd);
	accept_epfd = watch(listener);
	for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (path_wanted(&paths[i], argc, argv))
			path_measure(&paths[i]);
	}
	fflush(stdout);
	_exit(0);
}
