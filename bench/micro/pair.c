/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pair.c - two engines and a wire of copies; see pair.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_mbuf.h>

#include "bench/micro/pair.h"
#include "tests/common/testpool.h"

#define POOL_CACHE 512 /* as io/port.c's */
#define PACKETS_FEW 16384
#define PACKETS_MANY 65536 /* what waits for delayed acknowledgments when many connections take turns */
#define CONNS_FEW 8192
#define EAL_MB 320
#define HUGE_PAGE ((size_t)2 << 20)

static void die(const char *what)
{
	fprintf(stderr, "pair: %s\n", what);
	exit(1);
}

static void setting(struct engine_config *cfg, const char *name, const char *value)
{
	if (tcp_settings_set(&cfg->tcp, name, value))
		die(name);
}

static void end_open(struct pair *p, unsigned which, unsigned conns, unsigned caps)
{
	struct engine_config cfg = {.pool = p->pool, .secret = {which, 4}, .mtu = 1500, .naddrs = 1, .caps = caps};
	void *region;

	cfg.mac[0] = 2;
	cfg.mac[5] = which + 1;
	cfg.addrs[0] = (struct ip_prefix){ip_from_v4(htonl(0x0a000001 + which)), 120};
	cfg.max_conns = conns + p->nlisteners;
	cfg.max_timewait = conns;
	tcp_settings_init(&cfg.tcp);
	setting(&cfg, "net.ipv4.ip_local_port_range", "1024 65535");
	setting(&cfg, "net.core.somaxconn", "65535");
	p->region = engine_size(&cfg);
	p->region = (p->region + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	region = mmap(NULL, p->region, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	/* As the shim has it from DPDK, where huge pages are to be had. */
	madvise(region, p->region, MADV_HUGEPAGE);
	p->end[which] = p->region && region != MAP_FAILED ? engine_create(region, p->region, &cfg, p->now) : NULL;
	if (!p->end[which])
		die("no engine");
}

/* More connections than may wait for a neighbour's address begin at once later on: let the address be known. */
static void neighbours_learn(struct pair *p)
{
	struct conn *client, *server;

	pair_connect(p, &client, &server, 1);
	engine_abort(p->end[0], client, p->now);
	pair_exchange(p);
	engine_close(p->end[1], server, p->now);
	pair_drop_events(p, 1);
}

/* Regions and packets: as the shim has them from DPDK, where huge pages are to be had. */
static int want_huge(const struct rte_memseg_list *list, const struct rte_memseg *seg, size_t len, void *arg)
{
	return madvise(seg->addr, len, MADV_HUGEPAGE) && arg;
}

/* Packets as the shim has them: those freed last are handed out first (io/port.c). */
static void start(void)
{
	if (testpool_start(EAL_MB))
		die("EAL does not start");
	rte_memseg_contig_walk(want_huge, NULL);
}

void pair_open(struct pair *p, unsigned conns, unsigned caps)
{
	static bool started;
	static unsigned opened;
	char name[32];

	if (!started)
		start();
	started = true;
	memset(p, 0, sizeof(*p));
	p->now = 1000000;
	p->nlisteners = 1 + conns / PAIR_PORT_SHARE;
	p->listeners = calloc(p->nlisteners, sizeof(*p->listeners));
	snprintf(name, sizeof(name), "pair%u", opened++);
	p->pool = rte_pktmbuf_pool_create_by_ops(name, conns > CONNS_FEW ? PACKETS_MANY : PACKETS_FEW, POOL_CACHE,
						 ENGINE_MBUF_PRIV, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY, "stack");
	if (!p->pool || !p->listeners)
		die("no memory");
	for (unsigned i = 0; i < 2; i++)
		end_open(p, i, conns, caps);
	for (unsigned i = 0; i < p->nlisteners; i++) {
		struct endpoint local = {.port = PAIR_PORT + i};

		p->listeners[i] = engine_socket(p->end[1]);
		if (engine_bind(p->end[1], p->listeners[i], &local) || engine_listen(p->end[1], p->listeners[i], 65535, p->now))
			die("listen");
	}
	neighbours_learn(p);
}

void pair_close(struct pair *p)
{
	for (unsigned i = 0; i < 2; i++) {
		engine_destroy(p->end[i]);
		munmap(p->end[i], p->region);
	}
	rte_mempool_free(p->pool);
	free(p->listeners);
}

/* A device writes what arrives into an mbuf of the receiver's. */
static struct rte_mbuf *landed(struct pair *p, struct rte_mbuf *m)
{
	struct rte_mbuf *copy = rte_pktmbuf_alloc(p->pool);

	if (!copy)
		die("out of packets");
	memcpy(rte_pktmbuf_append(copy, m->pkt_len), rte_pktmbuf_mtod(m, void *), m->pkt_len);
	if (p->end[0]->cfg.caps & ENGINE_RX_CSUM)
		copy->ol_flags |= RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	rte_pktmbuf_free(m);
	return copy;
}

unsigned pair_take(struct pair *p, unsigned from, struct rte_mbuf **frames)
{
	unsigned n = engine_output(p->end[from], frames, PAIR_BURST, p->now);

	for (unsigned i = 0; i < n; i++)
		frames[i] = landed(p, frames[i]);
	return n;
}

void pair_exchange(struct pair *p)
{
	struct rte_mbuf *frames[PAIR_BURST];
	unsigned quiet = 0;

	for (unsigned from = 0; quiet < 2; from = !from) {
		unsigned n = pair_take(p, from, frames);

		quiet = n ? 0 : quiet + 1;
		p->now++;
		if (n)
			engine_input(p->end[!from], frames, n, p->now);
		engine_run(p->end[!from], p->now);
	}
}

void pair_connect(struct pair *p, struct conn **client, struct conn **server, unsigned n)
{
	static unsigned turn;
	unsigned which = turn++ % p->nlisteners;
	struct endpoint remote = {.addr = ip_from_v4(htonl(0x0a000002)), .port = PAIR_PORT + which};
	int err;

	for (unsigned i = 0; i < n; i++) {
		client[i] = engine_socket(p->end[0]);
		if (!client[i] || engine_connect(p->end[0], client[i], &remote, p->now) != -EINPROGRESS)
			die("connect");
	}
	pair_exchange(p);
	for (unsigned i = 0; i < n; i++) {
		server[i] = engine_accept(p->end[1], p->listeners[which], &err);
		if (!server[i])
			die("accept");
	}
	pair_drop_events(p, 0);
	pair_drop_events(p, 1);
}

void pair_send(struct pair *p, unsigned end, struct conn *c, const void *buf, size_t n)
{
	struct iovec iov = {(void *)buf, n};

	if (engine_send(p->end[end], c, &iov, 1, 0, p->now) != (ssize_t)n)
		die("send");
}

void pair_recv(struct pair *p, unsigned end, struct conn *c, void *buf, size_t n)
{
	struct iovec iov = {buf, n};

	if (engine_recv(p->end[end], c, &iov, 1, 0, p->now) != (ssize_t)n)
		die("recv");
}

void pair_drop_events(struct pair *p, unsigned end)
{
	uint32_t edges;

	while (engine_next_event(p->end[end], &edges))
		;
}
