/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * held.c - what a request costs while many connections are held, by the engine's own API, both ends in this process:
 * held [CONNECTIONS...], 1000 10000 100000 1000000 unless given.
 *
 * 64 requests of 64 bytes at a time, over connections picked by chance, so that control blocks come from memory and not from
 * the cache; each connection has had one before, as the ACKs of a connection's first are others.  Prints CSV: connections, ns for
 * a request and its answer (both ends), for a connection to be opened, bytes of an engine's region and of resident memory for
 * each connection and end, TIME-WAIT entries not counted (they are not touched).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/micro/pair.h"

#define WINDOW 64
#define REQUESTS 204800 /* and a tenth of them before: both are so many windows */
#define SIZE 64
#define AHEAD 8	     /* so many sends before its own a connection is fetched */
#define REQUEST_US 2 /* virtual time that a request takes: about what it really does */

/* CPU time: what others do on the machine is not ours. */
static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static size_t resident(void)
{
	size_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f || fscanf(f, "%*u %zu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * 4096;
}

/* Every socket with news: read all of it and, at the server, write it back. */
static unsigned serve(struct pair *p, unsigned end)
{
	char buf[SIZE];
	unsigned n = 0;
	uint32_t edges;
	struct conn *c;

	while ((c = engine_next_event(p->end[end], &edges))) {
		if (engine_inq(c) < SIZE)
			continue;
		pair_recv(p, end, c, buf, SIZE);
		if (end == 1)
			pair_send(p, 1, c, buf, SIZE);
		n++;
	}
	return n;
}

/* One request on each of n connections at once; how many were answered. */
static unsigned round_trip(struct pair *p, struct conn **client, unsigned n)
{
	static const char buf[SIZE] = "request";

	for (unsigned i = 0; i < AHEAD && i < n; i++)
		engine_prefetch(client[i]);
	for (unsigned i = 0; i < n; i++) {
		if (i + AHEAD < n)
			engine_prefetch(client[i + AHEAD]);
		pair_send(p, 0, client[i], buf, SIZE);
	}
	pair_exchange(p);
	serve(p, 1);
	pair_exchange(p);
	return serve(p, 0);
}

/* One of each 64th of the connections, again and again: always 64 different ones, anywhere. */
static struct conn **pick(struct conn **client, unsigned conns, unsigned count)
{
	struct conn **due = malloc(count * sizeof(*due));
	unsigned step = conns / WINDOW;

	for (unsigned i = 0; due && i < count; i++)
		due[i] = client[i % WINDOW * step + (unsigned)random() % step];
	return due;
}

/* Nanoseconds of CPU time for each of so many requests. */
static double requests(struct pair *p, struct conn **client, unsigned conns, unsigned count)
{
	struct conn **due = pick(client, conns, count);
	unsigned answered = 0;
	uint64_t start = cpu_ns();

	for (unsigned sent = 0; due && sent < count; sent += WINDOW) {
		answered += round_trip(p, due + sent, WINDOW);
		p->now += WINDOW * REQUEST_US;
	}
	if (answered < count)
		fprintf(stderr, "held: %u of %u requests were answered\n", answered, count);
	free(due);
	return (double)(cpu_ns() - start) / count;
}

static void measure(unsigned conns)
{
	struct conn **client = calloc(conns, sizeof(*client)), *server[PAIR_BURST];
	struct pair p;
	size_t before;
	uint64_t opened, start;
	double request;

	conns -= conns % WINDOW;
	pair_open(&p, conns, 0);
	before = resident();
	start = cpu_ns();
	for (unsigned i = 0; i < conns; i += PAIR_BURST)
		pair_connect(&p, client + i, server, PAIR_BURST);
	opened = cpu_ns() - start;
	for (unsigned i = 0; i < conns; i += PAIR_BURST)
		round_trip(&p, client + i, PAIR_BURST);
	requests(&p, client, conns, REQUESTS / 10);
	request = requests(&p, client, conns, REQUESTS);
	printf("%u,%.0f,%.0f,%.0f,%.0f\n", conns, request, (double)opened / conns, (double)p.region / conns,
	       (double)(resident() - before) / conns / 2);
	fflush(stdout);
	pair_close(&p);
	free(client);
}

int main(int argc, char **argv)
{
	static const char *const usual[] = {"1000", "10000", "100000", "1000000"};

	printf("connections,request_ns,open_ns,region_bytes,resident_bytes\n");
	for (int i = 1; i < argc; i++)
		measure(atoi(argv[i]));
	for (unsigned i = 0; argc == 1 && i < sizeof(usual) / sizeof(usual[0]); i++)
		measure(atoi(usual[i]));
	return 0;
}
