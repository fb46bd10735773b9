/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pcap.c - captures what a port receives and sends into a pcapng file (librte_pcapng), both directions marked, nanosecond stamps.
 *
 * The library turns TSC cycles into time with EAL's rounded frequency, which drifts by milliseconds a second; so it is fed
 * cycles that come out as CLOCK_MONOTONIC's progress since the start of the capture.  Its state is one per process: so is the
 * lock here.  In DPDK 22.11 rte_pcapng_write_packets() does not free the packets, whatever its comment says.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_pcapng.h>
#include <rte_version.h>

#include "internal.h"

#define BATCH 32
#define COPIES 255

struct capture {
	rte_pcapng_t *out;
	struct rte_mempool *pool;
	uint16_t port;
	uint64_t cycles0, ns0; /* one moment, as the library counts and as it is */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static uint64_t cycles_now(const struct capture *c)
{
	return c->cycles0 + (unsigned __int128)(monotonic_ns() - c->ns0) * rte_get_tsc_hz() / NS_PER_S;
}

/* The interface of rte_pcapng changed after 22.11: interfaces are added by hand, the library reads the clock itself. */
static struct rte_mbuf *copy_packet(const struct capture *c, unsigned q, struct rte_mbuf *m, uint64_t cycles, bool in)
{
	enum rte_pcapng_direction dir = in ? RTE_PCAPNG_DIRECTION_IN : RTE_PCAPNG_DIRECTION_OUT;

#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
	(void)cycles;
	return rte_pcapng_copy(c->port, q, m, c->pool, UINT32_MAX, dir, NULL);
#else
	return rte_pcapng_copy(c->port, q, m, c->pool, UINT32_MAX, cycles, dir);
#endif
}

static rte_pcapng_t *open_file(int fd, uint16_t port)
{
	struct utsname u;
	rte_pcapng_t *out;

	uname(&u);
	out = rte_pcapng_fdopen(fd, u.sysname, u.machine, "libmtcpshim", NULL);
#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
	if (out)
		rte_pcapng_add_interface(out, port, NULL, NULL, NULL);
#else
	(void)port;
#endif
	return out;
}

/*
 * The library fixes its own zero at its first copy: make one now and remember the moment.  A stamp before that zero would spoil
 * its arithmetic for good, so the first one lies ahead.
 */
static int fix_zero(struct capture *c)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(c->pool), *copy;

	if (!m)
		return -ENOMEM;
	memset(rte_pktmbuf_append(m, RTE_ETHER_HDR_LEN), 0, RTE_ETHER_HDR_LEN); /* empty packets are not copied */
	copy = copy_packet(c, 0, m, rte_get_tsc_cycles() + rte_get_tsc_hz() / 2, true);
	c->cycles0 = rte_get_tsc_cycles();
	c->ns0 = monotonic_ns();
	rte_pktmbuf_free(copy);
	rte_pktmbuf_free(m);
	return copy ? 0 : -ENOMEM;
}

struct capture *capture_open(struct port *p, const char *path, struct io_error *err)
{
	struct capture *c = rte_zmalloc("mtcpshim_capture", sizeof(*c), 0);
	unsigned room = RTE_PKTMBUF_HEADROOM + rte_pcapng_mbuf_size(p->info.mtu + FRAME_OVERHEAD);
	int fd = descriptor_keep(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644));

	if (fd < 0) {
		io_fail(err, -errno, "MTCPSHIM_PCAP: %.120s cannot be written: %s", path, strerror(errno));
		goto failed;
	}
	if (!c)
		goto no_memory;
	c->port = p->id;
	c->pool = rte_pktmbuf_pool_create("mtcpshim_capture", COPIES, 0, 0, RTE_MIN(room, (unsigned)UINT16_MAX), SOCKET_ID_ANY);
	if (!c->pool || fix_zero(c))
		goto no_memory;
	c->out = open_file(fd, p->id);
	if (c->out)
		return c;
no_memory:
	io_fail(err, -ENOMEM, "MTCPSHIM_PCAP: capture into %.120s cannot start: %s", path, rte_strerror(rte_errno));
failed:
	if (fd >= 0)
		descriptor_close(fd);
	if (c)
		rte_mempool_free(c->pool);
	rte_free(c);
	return NULL;
}

/* A thread that the child does not have may have held it. */
void capture_fork_child(void)
{
	pthread_mutex_init(&lock, NULL);
}

void capture_close(struct capture *c)
{
	rte_pcapng_close(c->out);
	rte_mempool_free(c->pool);
	rte_free(c);
}

/* Copy up to BATCH packets: how many could be copied, from the first on. */
static unsigned copy_batch(struct capture *c, unsigned q, struct rte_mbuf **pkts, unsigned n, struct rte_mbuf **copies, bool in)
{
	uint64_t cycles = cycles_now(c);
	unsigned i;

	for (i = 0; i < n; i++) {
		copies[i] = copy_packet(c, q, pkts[i], cycles, in);
		if (!copies[i])
			break;
	}
	return i;
}

static void write_batch(struct capture *c, struct rte_mbuf **copies, unsigned n)
{
	if (n)
		rte_pcapng_write_packets(c->out, copies, n);
}

void capture_rx(struct capture *c, unsigned q, struct rte_mbuf **pkts, unsigned n)
{
	struct rte_mbuf *copies[BATCH];

	pthread_mutex_lock(&lock);
	for (unsigned at = 0; at < n; at += BATCH) {
		unsigned got = copy_batch(c, q, pkts + at, RTE_MIN(n - at, (unsigned)BATCH), copies, true);

		write_batch(c, copies, got);
		rte_pktmbuf_free_bulk(copies, got);
	}
	pthread_mutex_unlock(&lock);
}

unsigned capture_tx(struct capture *c, struct port *p, unsigned q, struct rte_mbuf **pkts, unsigned n)
{
	struct rte_mbuf *copies[BATCH];
	unsigned at = 0, want, sent;

	pthread_mutex_lock(&lock);
	do {
		unsigned got;

		want = RTE_MIN(n - at, (unsigned)BATCH);
		got = copy_batch(c, q, pkts + at, want, copies, false);
		sent = port_burst(p, q, pkts + at, want);
		write_batch(c, copies, RTE_MIN(sent, got));
		rte_pktmbuf_free_bulk(copies, got);
		at += sent;
	} while (sent == want && at < n);
	pthread_mutex_unlock(&lock);
	return at;
}
