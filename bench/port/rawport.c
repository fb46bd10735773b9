/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rawport.c - the floor under every figure: what a port carries between two processes with no TCP at all.
 *
 * `make micro` builds it, bench/micro/run shows it beside what the engine takes:
 *   rawport DEV_A DEV_B [size=1514] [mtu=1500] [seconds=2] [huge=auto|yes|no] [rtt]
 *
 * One way: one process sends frames of that size as fast as the port takes them, the other counts and prints.  rtt: one frame
 * goes to and fro.  Example: rawport net_memif0,role=server,socket=/tmp/r.sock net_memif0,role=client,socket=/tmp/r.sock
 * size=9014 mtu=9000
 */
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_mbuf.h>

#include "io/io.h"

#define BURST 32
#define PACKETS 8192

struct options {
	unsigned size, mtu, seconds;
	enum io_huge huge;
	bool rtt;
};

static struct rte_mempool *pool;

static struct port *open_end(const char *dev, const struct options *o)
{
	struct io_error err;
	struct io_config io = {.device = dev, .huge = o->huge, .verbose = getenv("VERBOSE") != NULL};
	struct port_config cfg = {.device = dev, .queues = 1, .mtu = o->mtu};
	struct port *p;

	io.mem_mb = (size_t)port_pool_elt_size(o->mtu, 64) * PACKETS / (1024 * 1024) + 32;
	if (io_start(&io, &err)) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	pool = cfg.pools[0] = port_pool_create(0, PACKETS, o->mtu, 64, &err);
	p = pool ? port_open(&cfg, &err) : NULL;
	if (!p) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
	if (err.text[0] || port_info(p)->note[0])
		fprintf(stderr, "%s%s\n", err.text, port_info(p)->note);
	io_lcore_enter(0);
	return p;
}

static void await_link(struct port *p)
{
	while (!port_link_up(p))
		usleep(1000);
}

static unsigned make_burst(struct rte_mbuf **pkts, unsigned n, unsigned size)
{
	if (rte_pktmbuf_alloc_bulk(pool, pkts, n))
		return 0;
	for (unsigned i = 0; i < n; i++) {
		char *at = rte_pktmbuf_append(pkts[i], size);

		memset(at, 0xff, 6);
	}
	return n;
}

static void send_one_way(struct port *p, const struct options *o)
{
	struct rte_mbuf *pkts[BURST];

	for (;;) {
		unsigned n = make_burst(pkts, BURST, o->size), sent = 0;

		while (sent < n)
			sent += port_tx(p, 0, pkts + sent, n - sent);
	}
}

static void receive_one_way(struct port *p, const struct options *o)
{
	struct rte_mbuf *pkts[BURST];
	uint64_t packets = 0, bytes = 0, full = 0, polls = 0, start, now;
	double s;

	while (!port_rx(p, 0, pkts, 1))
		;
	rte_pktmbuf_free(pkts[0]);
	start = now = io_now();
	for (; now - start < o->seconds * 1000000ull; now = io_now()) {
		unsigned n = port_rx(p, 0, pkts, BURST);

		for (unsigned i = 0; i < n; i++)
			bytes += pkts[i]->pkt_len;
		packets += n;
		full += n > 0;
		polls++;
		rte_pktmbuf_free_bulk(pkts, n);
	}
	s = (now - start) / 1e6;
	printf("%u B one way: %.2f Mpps, %.1f Gbit/s, %.1f packets a burst, %.2f polls a packet\n", o->size, packets / s / 1e6,
	       bytes * 8 / s / 1e9, full ? (double)packets / full : 0, (double)polls / packets);
}

/* Send one frame, or send back what came. */
static void echo(struct port *p, bool first, const struct options *o)
{
	struct rte_mbuf *pkts[BURST];
	uint64_t trips = 0, start, now = 0;

	/* A link that is up may still refuse: the one frame must not be lost. */
	while (first && make_burst(pkts, 1, o->size) && !port_tx(p, 0, pkts, 1))
		rte_pktmbuf_free(pkts[0]);
	start = io_now();
	while (!first || now < start + o->seconds * 1000000ull) {
		unsigned n = port_rx(p, 0, pkts, BURST);

		if (n)
			port_tx(p, 0, pkts, n);
		trips += n;
		now = io_now();
	}
	printf("%u B round trip: %.3f us\n", o->size, trips ? (double)(now - start) / trips : 0);
}

/* The two ends must not share a core. */
static void pin(unsigned which)
{
	cpu_set_t all, one;

	if (sched_getaffinity(0, sizeof(all), &all))
		return;
	for (unsigned cpu = 0, seen = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || seen++ != which)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
}

static void far_end(const char *dev, const struct options *o)
{
	struct port *p;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(1);
	p = open_end(dev, o);
	await_link(p);
	if (o->rtt)
		echo(p, false, o);
	else
		send_one_way(p, o);
}

static void near_end(const char *dev, const struct options *o)
{
	struct port *p;

	pin(0);
	p = open_end(dev, o);

	await_link(p);
	if (o->rtt)
		echo(p, true, o);
	else
		receive_one_way(p, o);
	port_close(p);
}

static void parse(struct options *o, const char *arg)
{
	if (!strncmp(arg, "size=", 5))
		o->size = atoi(arg + 5);
	else if (!strncmp(arg, "mtu=", 4))
		o->mtu = atoi(arg + 4);
	else if (!strncmp(arg, "seconds=", 8))
		o->seconds = atoi(arg + 8);
	else if (!strncmp(arg, "huge=", 5))
		o->huge = arg[5] == 'y' ? IO_HUGE_YES : arg[5] == 'n' ? IO_HUGE_NO : IO_HUGE_AUTO;
	else if (!strcmp(arg, "rtt"))
		o->rtt = true;
}

int main(int argc, char **argv)
{
	struct options o = {.size = 1514, .mtu = 1500, .seconds = 2};
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "usage: rawport DEV_A DEV_B [size=N] [mtu=N] [seconds=N] [huge=auto|yes|no] [rtt]\n");
		return 2;
	}
	for (int i = 3; i < argc; i++)
		parse(&o, argv[i]);
	pid = fork();
	if (pid == 0) {
		far_end(argv[2], &o);
		return 0;
	}
	near_end(argv[1], &o);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}
