/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * testpool.c - EAL in plain memory and exact packet pools; see testpool.h.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_version.h>

#include "engine/engine.h"
#include "tests/common/testpool.h"

#define RING_DRIVER "librte_mempool_ring.so"
#define STACK_DRIVER "librte_mempool_stack.so" /* what the shim's pools are (io/port.c) */
#ifdef __SANITIZE_THREAD__
#define POOL_OPS "pile" /* tsanpool.c */
#else
#define POOL_OPS NULL /* DPDK's choice */
#endif

/*
 * The drivers' folder holds 128 libraries and costs 60 ms to load: naming those that pools need avoids that.  The handle stays
 * open: a driver registers itself when it is loaded, and must not do so twice.
 */
static int name_driver(const char *name, char path[64], char **argv, int argc)
{
	static char option[] = "-d";

	snprintf(path, 64, "%s.%d", name, RTE_VER_YEAR + 1); /* the ABI of 22.11 is 23 */
	if (!dlopen(path, RTLD_LAZY))
		return argc;
	argv[argc] = option;
	argv[argc + 1] = path;
	return argc + 2;
}

/* The first CPU that this process may use: EAL wants its only lcore named. */
static int first_cpu(const cpu_set_t *set)
{
	int cpu = 0;

	while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET(cpu, set))
		cpu++;
	return cpu;
}

int testpool_start(unsigned mem_mb)
{
	static char name[] = "test", no_huge[] = "--no-huge", no_shconf[] = "--no-shconf", no_pci[] = "--no-pci";
	static char no_telemetry[] = "--no-telemetry", log[] = "--log-level=error";
	static char lcores[32], mem[16], ring[64], stack[64];
	char *argv[16] = {name, no_huge, no_shconf, no_pci, no_telemetry, log, lcores, mem};
	cpu_set_t old;
	int argc = 8, rc;

	pthread_getaffinity_np(pthread_self(), sizeof(old), &old);
	snprintf(lcores, sizeof(lcores), "--lcores=0@%d", first_cpu(&old));
	snprintf(mem, sizeof(mem), "-m%u", mem_mb);
	argc = name_driver(RING_DRIVER, ring, argv, argc);
	argc = name_driver(STACK_DRIVER, stack, argv, argc);
	rc = rte_eal_init(argc, argv);
	pthread_setaffinity_np(pthread_self(), sizeof(old), &old);
	return rc < 0 ? -rte_errno : 0;
}

struct rte_mempool *testpool_create(const char *name, unsigned n, unsigned mtu)
{
	unsigned room = RTE_PKTMBUF_HEADROOM + mtu + RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;

	if (room < RTE_MBUF_DEFAULT_BUF_SIZE)
		room = RTE_MBUF_DEFAULT_BUF_SIZE;
	return rte_pktmbuf_pool_create_by_ops(name, n, 0, ENGINE_MBUF_PRIV, (uint16_t)room, SOCKET_ID_ANY, POOL_OPS);
}
