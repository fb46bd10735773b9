/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scale.c - short connections that threads make with themselves, a core each: scale PORT THREADS SECONDS.
 *
 * A thread has a listener of its own on 127.0.0.1 and both ends of 64 connections at a time: connect, 64 bytes there and back,
 * close, the next one.  Nothing is shared but the process, so what two threads do more than one is what the sockets below them
 * let them.  Prints "N connections in S seconds".
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define AT_A_TIME 64
#define REQUEST 64
#define EVENTS 64
#define THREADS_MAX 64

struct worker {
	pthread_t thread;
	struct sockaddr_in addr;
	unsigned cpu;
	int epfd, listener;
	uint64_t done;
} __attribute__((aligned(64))); /* a cache line is one thread's */

/* An event's data: the descriptor, and whether it is a client's end. */
#define CLIENT (1ull << 32)

static pthread_barrier_t start;
static volatile bool over;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(struct worker *w, int op, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event ev = {.events = events, .data.u64 = data};

	if (epoll_ctl(w->epfd, op, fd, &ev))
		die("epoll_ctl");
}

static void open_client(struct worker *w)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || (connect(fd, (struct sockaddr *)&w->addr, sizeof(w->addr)) && errno != EINPROGRESS))
		die("connect");
	watch(w, EPOLL_CTL_ADD, fd, EPOLLOUT, CLIENT | (uint32_t)fd);
}

static void accept_all(struct worker *w)
{
	int fd;

	while ((fd = accept4(w->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
		watch(w, EPOLL_CTL_ADD, fd, EPOLLIN, (uint32_t)fd);
}

static void serve(int fd)
{
	char buf[REQUEST];

	if (read(fd, buf, sizeof(buf)) == REQUEST && write(fd, buf, REQUEST) != REQUEST)
		die("write");
	close(fd);
}

static void step_client(struct worker *w, int fd, uint32_t events)
{
	static const char request[REQUEST];
	char buf[REQUEST];

	if (events & EPOLLOUT) {
		if (write(fd, request, REQUEST) != REQUEST)
			die("request");
		watch(w, EPOLL_CTL_MOD, fd, EPOLLIN, CLIENT | (uint32_t)fd);
		return;
	}
	if (read(fd, buf, sizeof(buf)) != REQUEST)
		die("answer");
	close(fd);
	w->done++;
	open_client(w);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct epoll_event evs[EVENTS];
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(w->cpu, &cpu);
	pthread_setaffinity_np(pthread_self(), sizeof(cpu), &cpu);
	w->epfd = epoll_create1(0);
	w->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (bind(w->listener, (struct sockaddr *)&w->addr, sizeof(w->addr)) || listen(w->listener, 1024))
		die("listen");
	watch(w, EPOLL_CTL_ADD, w->listener, EPOLLIN, (uint32_t)w->listener);
	pthread_barrier_wait(&start);
	for (unsigned i = 0; i < AT_A_TIME; i++)
		open_client(w);
	while (!over) {
		int n = epoll_wait(w->epfd, evs, EVENTS, 100);

		for (int i = 0; i < n; i++) {
			int fd = (int)(uint32_t)evs[i].data.u64;

			if (fd == w->listener)
				accept_all(w);
			else if (evs[i].data.u64 & CLIENT)
				step_client(w, fd, evs[i].events);
			else
				serve(fd);
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct worker workers[THREADS_MAX] = {0};
	unsigned threads = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	uint64_t done = 0;

	if (!threads || threads > THREADS_MAX) {
		fprintf(stderr, "usage: scale PORT THREADS SECONDS\n");
		return 2;
	}
	pthread_barrier_init(&start, NULL, threads + 1);
	for (unsigned i = 0; i < threads; i++) {
		workers[i].cpu = i;
		workers[i].addr = (struct sockaddr_in){.sin_family = AF_INET,
						       .sin_port = htons((uint16_t)(atoi(argv[1]) + (int)i)),
						       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			die("pthread_create");
	}
	pthread_barrier_wait(&start);
	sleep((unsigned)atoi(argv[3]));
	over = true;
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		done += workers[i].done;
	}
	printf("%llu connections in %s seconds\n", (unsigned long long)done, argv[3]);
	return 0;
}
