/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_threads.c - threads that share sockets: a reader and a writer, many writers, many readers, many acceptors, hand-off from one
 * thread to another.
 */
#include "posix.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define THREADS 4

static pthread_t start(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	MUST(pthread_create(&thread, NULL, run, arg) ? -1 : 0);
	return thread;
}

/* ---- full duplex by two threads on each side
 * ------------------------------------------------------------------------------------ */

#define BULK 3000000

static void *send_bulk(void *arg)
{
	send_pattern(*(int *)arg, BULK, 0);
	return NULL;
}

static void duplex_server(void)
{
	int fd = pair();
	pthread_t sender = start(send_bulk, &fd);

	recv_and_say("got", fd, BULK);
	pthread_join(sender, NULL);
	meet();
	MUST(close(fd));
}

static void duplex_client(void)
{
	duplex_server();
}

/* ---- many writers: no byte is lost (how far one call's bytes stay together is nobody's promise)
 * --------------------------------- */

#define RECORDS 500
#define RECORD 100

struct writer {
	int fd, id;
};

static void *write_records(void *arg)
{
	struct writer *w = arg;
	char record[RECORD];

	memset(record, 'a' + w->id, sizeof(record));
	for (int i = 0; i < RECORDS; i++)
		MUST(send(w->fd, record, sizeof(record), 0));
	return NULL;
}

static void writers_server(void)
{
	int fd = pair(), count[THREADS] = {0};
	char buf[1000];
	ssize_t n;

	while ((n = MUST(recv(fd, buf, sizeof(buf), 0))) > 0)
		for (ssize_t i = 0; i < n; i++)
			if (buf[i] >= 'a' && buf[i] < 'a' + THREADS)
				count[buf[i] - 'a']++;
	for (int i = 0; i < THREADS; i++)
		say("thread %d: %d bytes", i, count[i]);
	MUST(close(fd));
}

static void writers_client(void)
{
	struct writer w[THREADS];
	pthread_t thread[THREADS];
	int fd = pair();

	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct writer){fd, i};
		thread[i] = start(write_records, &w[i]);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	MUST(close(fd));
}

/* ---- many readers: every byte goes to one of them
 * --------------------------------------------------------------------------------- */

static atomic_long bytes_read, byte_sum;

static void *read_all(void *arg)
{
	unsigned char buf[1000];
	ssize_t n;

	while ((n = MUST(recv(*(int *)arg, buf, sizeof(buf), 0))) > 0) {
		bytes_read += n;
		for (ssize_t i = 0; i < n; i++)
			byte_sum += buf[i];
	}
	return NULL;
}

static void readers_server(void)
{
	int fd = pair();
	pthread_t thread[THREADS];

	bytes_read = byte_sum = 0;
	for (int i = 0; i < THREADS; i++)
		thread[i] = start(read_all, &fd);
	tell("ready");
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	say("bytes %ld, sum of bytes %ld", bytes_read, byte_sum);
	MUST(close(fd));
}

static void readers_client(void)
{
	int fd = pair();

	hear("ready");
	send_pattern(fd, 1000000, 0);
	MUST(close(fd));
}

/* ---- many acceptors, many connectors
 * ---------------------------------------------------------------------------------------------- */

#define CALLS 50

static atomic_int accepted;

static void *accept_calls(void *arg)
{
	int listener = *(int *)arg;

	for (;;) {
		int fd = accept(listener, NULL, NULL);
		char c;

		if (fd < 0)
			return NULL;
		if (MUST(recv(fd, &c, 1, 0)) == 1)
			MUST(send(fd, &c, 1, 0));
		MUST(close(fd));
		accepted++;
	}
}

static void acceptors_server(void)
{
	int listener = listen_at(SERVER_IP, port(0));
	pthread_t thread[THREADS];

	accepted = 0;
	for (int i = 0; i < THREADS; i++)
		thread[i] = start(accept_calls, &listener);
	tell("listening");
	hear("done");
	MUST(shutdown(listener, SHUT_RDWR));
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	say("accepted %d", accepted);
	MUST(close(listener));
}

static void *connect_calls(void *arg)
{
	for (int i = 0; i < CALLS; i++) {
		int fd = connect_to(SERVER_IP, *(int *)arg);
		char c = i;

		MUST(send(fd, &c, 1, 0));
		if (MUST(recv(fd, &c, 1, 0)) != 1 || c != (char)i)
			say("call %d was not answered", i);
		MUST(close(fd));
	}
	return NULL;
}

static void acceptors_client(void)
{
	pthread_t thread[THREADS];
	int p = port(0);

	hear("listening");
	for (int i = 0; i < THREADS; i++)
		thread[i] = start(connect_calls, &p);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	say("all calls done");
	tell("done");
}

/* ---- a socket made by one thread, used by another, closed by a third
 * ----------------------------------------------------------------- */

static void *use(void *arg)
{
	recv_and_say("second thread", *(int *)arg, 5);
	return NULL;
}

static void *end(void *arg)
{
	MUST(close(*(int *)arg));
	return NULL;
}

static void *make(void *arg)
{
	*(int *)arg = pair();
	return NULL;
}

static void handed_on_server(void)
{
	int fd;

	pthread_join(start(make, &fd), NULL);
	pthread_join(start(use, &fd), NULL);
	T(send(fd, "main", 4, 0));
	pthread_join(start(end, &fd), NULL);
	T(send(fd, "main", 4, 0));
}

static void handed_on_client(void)
{
	char c;
	int fd = pair();

	MUST(send(fd, "hello", 5, 0));
	recv_and_say("got", fd, 4);
	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

/* ---- every thread its own connection
 * --------------------------------------------------------------------------------------------------- */

static void *own_connection(void *arg)
{
	struct writer *w = arg;
	int fd = connect_to(SERVER_IP, w->fd);
	unsigned char id = w->id;

	MUST(send(fd, &id, 1, 0));
	send_pattern(fd, 200000, id);
	if (recv_pattern(fd, 200000, id) != 200000)
		say("thread %d got something else back", id);
	MUST(close(fd));
	return NULL;
}

static void *own_service(void *arg)
{
	int fd = accept_one(*(int *)arg);
	unsigned char id;

	MUST(recv(fd, &id, 1, 0));
	if (recv_pattern(fd, 200000, id) != 200000)
		say("thread %d sent something else", id);
	send_pattern(fd, 200000, id);
	MUST(close(fd));
	return NULL;
}

static void own_connections_server(void)
{
	int listener = listen_at(SERVER_IP, port(0));
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++)
		thread[i] = start(own_service, &listener);
	tell("listening");
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	say("done");
	MUST(close(listener));
}

static void own_connections_client(void)
{
	struct writer w[THREADS];
	pthread_t thread[THREADS];

	hear("listening");
	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct writer){port(0), i};
		thread[i] = start(own_connection, &w[i]);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	say("done");
}

/* ---- several threads asleep on the same socket by different calls: data wakes them all
 * -------------------------------------------------- */

static void *poll_it(void *arg)
{
	struct pollfd p = {.fd = *(int *)arg, .events = POLLIN};

	return (void *)(intptr_t)poll(&p, 1, 10000);
}

static void many_pollers_server(void)
{
	int fd = pair(), woken = 0;
	pthread_t thread[THREADS];

	for (int i = 0; i < THREADS; i++)
		thread[i] = start(poll_it, &fd);
	tell("send");
	for (int i = 0; i < THREADS; i++) {
		void *n;

		pthread_join(thread[i], &n);
		woken += (intptr_t)n;
	}
	say("woken %d", woken);
	MUST(close(fd));
}

/* ---- one thread in a call, another closes or shuts down
 * ---------------------------------------------------------------------------------- */

struct caller {
	int fd;
	atomic_int tid;
};

/* Until that thread sleeps: its call has begun. */
static void await_asleep(struct caller *c)
{
	int asleep = 0;

	while (asleep < 3) {
		char path[64], state = 0;
		FILE *f;

		usleep(3000);
		snprintf(path, sizeof(path), "/proc/self/task/%d/stat", c->tid);
		f = c->tid ? fopen(path, "r") : NULL;
		if (!f)
			continue;
		if (fscanf(f, "%*d %*s %c", &state) == 1 && state == 'S')
			asleep++;
		fclose(f);
	}
}

static void *recv_to_the_end(void *arg)
{
	struct caller *c = arg;
	char buf[16];

	c->tid = gettid();
	T(recv(c->fd, buf, sizeof(buf), 0));
	return NULL;
}

/* The call goes on with the connection, which ends when the call has returned. */
static void closed_in_recv_server(void)
{
	struct caller c = {.fd = pair()};
	pthread_t thread = start(recv_to_the_end, &c);

	await_asleep(&c);
	T(close(c.fd));
	tell("send");
	pthread_join(thread, NULL);
}

static void closed_in_recv_client(void)
{
	char c;
	int fd = pair();

	hear("send");
	say_poll("still open", fd);
	MUST(send(fd, "hello", 5, 0));
	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

static void *send_too_much(void *arg)
{
	static char buf[3000000];
	struct caller *c = arg;
	ssize_t n;

	c->tid = gettid();
	do
		n = send(c->fd, buf, sizeof(buf), MSG_NOSIGNAL);
	while (n > 0);
	say("send in the end: %s", errno_name(errno));
	return NULL;
}

static void shut_in_send_server(void)
{
	int fd = pair_small();

	hear("done");
	MUST(close(fd));
}

static void shut_in_send_client(void)
{
	struct caller c = {.fd = pair_small()};
	pthread_t thread = start(send_too_much, &c);

	await_asleep(&c);
	MUST(shutdown(c.fd, SHUT_RDWR));
	pthread_join(thread, NULL);
	tell("done");
	MUST(close(c.fd));
}

static void *connect_to_nobody(void *arg)
{
	struct sockaddr_in sa = addr4(NOBODY_IP, port(0));
	struct caller *c = arg;

	c->tid = gettid();
	T(connect(c->fd, SA(sa), sizeof(sa)));
	return NULL;
}

static void shut_in_connect(void)
{
	struct caller c = {.fd = tcp_socket()};
	pthread_t thread = start(connect_to_nobody, &c);

	await_asleep(&c);
	MUST(shutdown(c.fd, SHUT_RDWR));
	pthread_join(thread, NULL);
	MUST(close(c.fd));
}

static const struct posix_case cases[] = {
    BOTH(duplex),
    BOTH(writers),
    BOTH(readers),
    BOTH(acceptors),
    BOTH(handed_on),
    BOTH(own_connections),
    SERVED(many_pollers, sends_byte),
    BOTH(closed_in_recv),
    BOTH(shut_in_send),
    ALONE(shut_in_connect),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
