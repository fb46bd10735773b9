/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * setup.c - from the user's configuration to running stacks: EAL, pools, port, engines.  Each failure is one line of log that
 * names the setting and the remedy, and it is not tried again.
 */
#include "shim/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <rte_ring.h>

#define MTU_DEFAULT 1500
/* Shares of a stack's memory, percent: packets, and connections with their tables; the rest is DPDK's own. */
#define SHARE_PACKETS 60
#define SHARE_CONNS 30
#define CONNS_MAX (1u << 16)
#define CONNS_MIN 16u
#define PACKETS_MIN 512u
#define HANDED_OVER_MAX 4096
/* What is taken in before the program has its turn: with its copies and its buffers it stays within a core's own cache (1 MiB)
 * until it is read. */
#define RX_TURN_BYTES (192u << 10)
#define RX_BURST_MIN 8u

static pthread_mutex_t up_mutex = PTHREAD_MUTEX_INITIALIZER;
static int up_error;

/* One line, and the result of it. */
static int __attribute__((format(printf, 2, 3))) fail(int rc, const char *fmt, ...)
{
	char line[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	rt.thin->log(LOG_LEVEL_ERROR, "%s; %s", line,
		     rt.cfg->strict ? "MTCPSHIM_STRICT is set" : "the kernel serves all sockets");
	return rc;
}

/* ---- settings
 * ------------------------------------------------------------------------------------------------------------------- */

/* The first bytes of a file; 0: there is none. */
static size_t read_start(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : rt.real->read(fd, buf, size);

	if (fd >= 0)
		rt.real->close(fd);
	return n > 0 ? (size_t)n : 0;
}

/* Read /proc/sys/net/ipv4/... of a setting; false if this host has none. */
static bool read_sysctl(const char *name, char *buf, size_t size)
{
	char path[128];
	size_t n;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	for (char *p = path + sizeof("/proc/sys/") - 1; *p; p++)
		if (*p == '.')
			*p = '/';
	n = read_start(path, buf, size - 1);
	if (!n)
		return false;
	buf[n] = 0;
	buf[strcspn(buf, "\n")] = 0;
	return true;
}

/* The host's values, and the user's over them; -EINVAL if one of these is no good. */
static int settings(struct tcp_settings *s)
{
	const char *name;
	char value[128];

	tcp_settings_init(s);
	for (unsigned i = 0; (name = tcp_settings_name(i)); i++)
		if (read_sysctl(name, value, sizeof(value)) && tcp_settings_set(s, name, value))
			rt.thin->log(LOG_LEVEL_INFO,
				     "%s is '%s' on this host, which the engine does not have: its default is used", name, value);
	for (unsigned i = 0; i < rt.cfg->nsysctls; i++) {
		int rc = tcp_settings_set(s, rt.cfg->sysctls[i].name, rt.cfg->sysctls[i].value);

		if (rc)
			return fail(-EINVAL, "MTCPSHIM_SYSCTL: %s=%s: %s", rt.cfg->sysctls[i].name, rt.cfg->sysctls[i].value,
				    rc == -ENOENT ? "no such setting here: the README lists them"
						  : "not a value it can have: the README tells");
	}
	return 0;
}

static void addresses(struct engine_config *ec)
{
	ec->naddrs = rt.cfg->naddrs < ENGINE_ADDRS_MAX ? rt.cfg->naddrs : ENGINE_ADDRS_MAX;
	for (unsigned i = 0; i < ec->naddrs; i++) {
		memcpy(&ec->addrs[i].addr, &rt.cfg->addrs[i].addr, sizeof(ec->addrs[i].addr));
		ec->addrs[i].len = (uint8_t)rt.cfg->addrs[i].len;
	}
	memcpy(&ec->gateway, &rt.cfg->gw, sizeof(ec->gateway));
	ec->loopback = rt.cfg->loopback;
}

/* As many connections as fit into their share of the memory; 0: none do. */
static unsigned fit_conns(struct engine_config *ec)
{
	size_t share = (size_t)rt.cfg->mem_mb * 1048576 / 100 * SHARE_CONNS;

	for (unsigned n = CONNS_MAX; n >= CONNS_MIN; n -= n / 4) {
		ec->max_conns = n;
		ec->max_timewait = n;
		if (engine_size(ec) && engine_size(ec) <= share)
			return n;
	}
	return 0;
}

/* No program keeps a secret for the next one; what both can find out, and nobody on the network, is enough for clocks. */
static void host_key(uint64_t key[2])
{
	char ids[128];
	size_t n = read_start("/proc/sys/kernel/random/boot_id", ids, sizeof(ids) / 2);

	n += read_start("/etc/machine-id", ids + n, sizeof(ids) / 2);
	engine_host_key(key, ids, n);
}

/* What is the same for all stacks. */
static int common(struct engine_config *ec)
{
	int rc = settings(&ec->tcp);

	if (rc)
		return rc;
	addresses(ec);
	if (!ec->naddrs)
		return fail(-EINVAL,
			    "MTCPSHIM_IP is not set, and %s has no address of its own to adopt: set MTCPSHIM_IP=address/prefix",
			    rt.cfg->dev);
	host_key(ec->host);
	if (getrandom(ec->secret, sizeof(ec->secret), 0) != sizeof(ec->secret))
		return fail(-errno, "no random numbers: getrandom: %s", strerror(errno));
	memcpy(ec->mac, rt.info.mac, sizeof(ec->mac));
	ec->mtu = rt.info.mtu;
	ec->caps = rt.info.caps;
	ec->tso_max = rt.info.tso_max;
	ec->tso_parts = rt.info.tso_parts;
	memcpy(ec->rss_key, rt.info.rss_key, sizeof(ec->rss_key));
	ec->nstacks = rt.nstacks;
	if (!fit_conns(ec))
		return fail(-ENOMEM, "MTCPSHIM_MEM=%u is too small for the connections: raise it", rt.cfg->mem_mb);
	return 0;
}

/* ---- stacks
 * ---------------------------------------------------------------------------------------------------------------------- */

static int stack_make(unsigned i, struct engine_config *ec, struct rte_mempool *pool)
{
	size_t size;
	struct stack *st;
	char name[32];
	void *region;
	usec_t now = io_now();

	ec->pool = pool;
	ec->stack = i;
	size = engine_size(ec);
	snprintf(name, sizeof(name), "mtcpshim-stack%u", i);
	st = io_alloc(name, sizeof(*st));
	snprintf(name, sizeof(name), "mtcpshim-engine%u", i);
	region = io_alloc(name, size);
	if (!st || !region)
		return fail(-ENOMEM,
			    "no memory for stack %u (%zu bytes): lower MTCPSHIM_MEM or MTCPSHIM_CORES, or free huge pages", i,
			    size);
	st->id = i;
	st->now = st->link_changed = now;
	st->pool = pool;
	io_lcore_enter(i);
	st->engine = engine_create(region, size, ec, now);
	io_lcore_leave();
	if (!st->engine)
		return fail(-EINVAL, "the engine refuses its configuration: MTU %u, %u addresses", ec->mtu, ec->naddrs);
	stack_renewable(st, ec);
	atomic_store(&st->deadline, engine_next_deadline(st->engine));
	if (rt.nstacks > 1) {
		snprintf(name, sizeof(name), "mtcpshim-ring%u", i);
		st->handed_over = rte_ring_create(name, HANDED_OVER_MAX, SOCKET_ID_ANY, RING_F_SC_DEQ);
		if (!st->handed_over)
			return fail(-ENOMEM, "no memory for the ring of stack %u", i);
	}
	rt.stacks[i] = st;
	return 0;
}

static int pools(struct port_config *pc, unsigned *packets)
{
	struct io_error err = {{0}};
	size_t share = (size_t)rt.cfg->mem_mb * 1048576 / 100 * SHARE_PACKETS;

	*packets = (unsigned)(share / port_pool_elt_size(pc->mtu, ENGINE_MBUF_PRIV));
	if (*packets < PACKETS_MIN)
		return fail(-ENOMEM, "MTCPSHIM_MEM=%u holds only %u packets of MTU %u: raise it", rt.cfg->mem_mb, *packets,
			    pc->mtu);
	for (unsigned q = 0; q < pc->queues; q++) {
		pc->pools[q] = port_pool_create(q, *packets, pc->mtu, ENGINE_MBUF_PRIV, &err);
		if (!pc->pools[q])
			return fail(-ENOMEM, "%s", err.text);
	}
	return 0;
}

static void announce(const struct engine_config *ec, unsigned packets)
{
	if (rt.info.note[0])
		rt.thin->log(LOG_LEVEL_WARN, "%s", rt.info.note);
	if (rt.info.queues < rt.cfg->cores)
		rt.thin->log(LOG_LEVEL_WARN, "MTCPSHIM_CORES=%u: the port has %u queues: %u stacks", rt.cfg->cores,
			     rt.info.queues, rt.nstacks);
	rt.thin->log(LOG_LEVEL_INFO,
		     "engine up: %s, MTU %u, %u stack%s, each with %u packets and %u connections; doorbell %s, %s",
		     rt.info.driver ? rt.info.driver : rt.cfg->dev, ec->mtu, rt.nstacks, rt.nstacks == 1 ? "" : "s", packets,
		     ec->max_conns, rt.info.doorbell == IO_DOORBELL_CHEAP ? "cheap" : "dear",
		     rt.info.has_interrupt ? "interrupts" : "naps");
}

static void bound_turns(unsigned mtu)
{
	rt.rx_turn = RTE_MAX(RX_TURN_BYTES / mtu, RX_BURST_MIN);
	rt.rx_burst = RTE_MAX(RTE_MIN(rt.rx_turn / 4, (unsigned)RX_BURST), RX_BURST_MIN);
}

/* Runs in the helper thread. */
static int bring_up(void)
{
	struct io_error err = {{0}};
	const struct io_config ic = {.device = rt.cfg->dev,
				     .mem_mb = rt.cfg->mem_mb * rt.cfg->cores,
				     .huge = (enum io_huge)rt.cfg->huge,
				     .verbose = rt.cfg->log == LOG_LEVEL_DEBUG,
				     .keep_fd = rt.thin->fd_private,
				     .drop_fd = rt.thin->fd_private_close};
	struct port_config pc = {.device = rt.cfg->dev,
				 .queues = rt.cfg->cores,
				 .mtu = (uint16_t)(rt.cfg->mtu ? rt.cfg->mtu : MTU_DEFAULT),
				 .mac = rt.cfg->has_mac ? rt.cfg->mac : NULL,
				 .pcap = rt.cfg->pcap[0] ? rt.cfg->pcap : NULL};
	struct engine_config ec = {0};
	unsigned packets;
	int rc = io_start(&ic, &err);

	if (rc)
		return fail(rc, "%s", err.text);
	if (err.text[0])
		rt.thin->log(LOG_LEVEL_INFO, "%s", err.text);
	rc = pools(&pc, &packets);
	if (rc)
		return rc;
	rt.port = port_open(&pc, &err);
	if (!rt.port)
		return fail(-ENODEV, "%s", err.text);
	rt.info = *port_info(rt.port);
	bound_turns(rt.info.mtu);
	rt.nstacks = rt.info.queues < pc.queues ? rt.info.queues : pc.queues;
	ec.pool = pc.pools[0];
	rc = common(&ec);
	for (unsigned i = 0; !rc && i < rt.nstacks; i++)
		rc = stack_make(i, &ec, pc.pools[i]);
	if (rc) {
		/* Nobody may meet stacks that were not made. */
		rt.nstacks = 0;
		port_close(rt.port);
		rt.port = NULL;
		return rc;
	}
	announce(&ec, packets);
	return 0;
}

int runtime_up(void)
{
	int rc = 0;

	if (rt_up())
		return 0;
	pthread_mutex_lock(&up_mutex);
	switch (atomic_load(&rt.state)) {
	case RT_UP:
		break;
	case RT_DOWN:
		rc = helper_start(bring_up);
		up_error = rc;
		atomic_store(&rt.state, rc ? RT_FAILED : RT_UP);
		if (!rc)
			rt.thin->list_start();
		break;
	case RT_FAILED:
		rc = up_error;
		break;
	default:
		rc = -EIO;
	}
	pthread_mutex_unlock(&up_mutex);
	return rc;
}

void runtime_forget(void)
{
	pthread_mutex_init(&up_mutex, NULL);
}
