/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * io_proc.h - for tests of io/: EAL starts once in a process, so each case runs in children of its own, which die with the test
 * and after CASE_SECONDS at the latest.
 */
#ifndef IO_PROC_H
#define IO_PROC_H

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_mbuf.h>

#include "io/io.h"

#define CASE_SECONDS 20
#define CASE_MEM_MB 64
#define CASE_PACKETS 4096
#define BURST 32

/* In a child: a failure ends it, and its parent's await() tells. */
#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			_exit(1);                                                  \
		}                                                                  \
	} while (0)

static inline pid_t spawn(void (*run)(void *), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(CASE_SECONDS);
	run(arg);
	_exit(0);
}

/* True if the child ended by itself and well. */
static inline bool await(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		fprintf(stderr, "child %d: signal %d\n", pid, WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static inline void start_io(const char *dev, enum io_huge huge)
{
	struct io_config cfg = {.device = dev, .mem_mb = CASE_MEM_MB, .huge = huge, .verbose = getenv("VERBOSE") != NULL};
	struct io_error err;

	if (io_start(&cfg, &err))
		fprintf(stderr, "%s: %s\n", dev, err.text);
	CHECK(!err.text[0] || huge == IO_HUGE_AUTO);
}

/* A port that is ready for use, or the end of the child. */
static inline struct port *open_port(const char *dev, unsigned queues, uint16_t mtu, const char *pcap)
{
	struct port_config cfg = {.device = dev, .queues = queues, .mtu = mtu, .pcap = pcap};
	struct io_error err;
	struct port *p;

	for (unsigned q = 0; q < queues; q++) {
		cfg.pools[q] = port_pool_create(q, CASE_PACKETS, mtu, 64, &err);
		CHECK(cfg.pools[q]);
	}
	p = port_open(&cfg, &err);
	if (!p)
		fprintf(stderr, "%s: %s\n", dev, err.text);
	CHECK(p);
	io_lcore_enter(0);
	return p;
}

static inline struct rte_mempool *pool_of(unsigned q)
{
	char name[32];

	snprintf(name, sizeof(name), "mtcpshim_pool_%u", q);
	return rte_mempool_lookup(name);
}

/*
 * A frame that can be checked: broadcast, experimental EtherType (IEEE 802 local experimental 1, 88b5), sequence number, length,
 * then bytes that both determine.
 */
struct frame {
	uint8_t dst[6], src[6];
	uint16_t type;
	uint16_t len;
	uint32_t seq;
	uint8_t fill[];
} __attribute__((packed));

#define FRAME_TYPE 0xb588

static inline void frame_write(void *at, uint32_t seq, unsigned len)
{
	struct frame *f = at;

	memset(f->dst, 0xff, 6);
	memset(f->src, 2, 6);
	f->type = FRAME_TYPE;
	f->len = len;
	f->seq = seq;
	for (unsigned i = 0; i < len - sizeof(*f); i++)
		f->fill[i] = seq + i * 7;
}

static inline bool frame_is_whole(const void *at, unsigned len)
{
	const struct frame *f = at;

	if (len < sizeof(*f) || f->type != FRAME_TYPE || f->len != len)
		return false;
	for (unsigned i = 0; i < len - sizeof(*f); i++)
		if (f->fill[i] != (uint8_t)(f->seq + i * 7))
			return false;
	return true;
}

static inline void frame_append(struct rte_mbuf *m, uint32_t seq, unsigned len)
{
	void *at = rte_pktmbuf_append(m, len);

	CHECK(at);
	frame_write(at, seq, len);
}

static inline struct rte_mbuf *frame_make(uint32_t seq, unsigned len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool_of(0));

	CHECK(m);
	frame_append(m, seq, len);
	return m;
}

static inline void send_frame(struct port *p, uint32_t seq, unsigned len)
{
	struct rte_mbuf *m = frame_make(seq, len);

	while (port_tx(p, 0, &m, 1) != 1)
		;
}

/* The next frame of ours; other traffic (a kernel's neighbour discovery) is passed over.  The caller frees it. */
static inline struct rte_mbuf *receive_frame(struct port *p)
{
	struct rte_mbuf *m;

	for (;;) {
		if (port_rx(p, 0, &m, 1) != 1)
			continue;
		if (m->pkt_len >= sizeof(struct frame) && rte_pktmbuf_mtod(m, struct frame *)->type == FRAME_TYPE)
			return m;
		rte_pktmbuf_free(m);
	}
}

static inline void await_link(struct port *p)
{
	while (!port_link_up(p))
		usleep(200);
}

#endif
