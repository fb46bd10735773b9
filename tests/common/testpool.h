/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * testpool.h - packet memory for tests that run engines in process: DPDK's EAL in plain memory, without root, huge pages, devices
 * or more than one thread.  Knows nothing of the engine but the two sizes that engine.h asks of a pool.
 */
#ifndef TESTPOOL_H
#define TESTPOOL_H

struct rte_mempool;

/* Start EAL with mem_mb megabytes of ordinary memory; once per process.  0, or -errno of rte_eal_init(). */
int testpool_start(unsigned mem_mb);
/*
 * A pool of n mbufs whose data room holds IP packets up to mtu behind the headroom, never less than the 2 KiB of a usual pool. It
 * has no per-thread cache, so that rte_mempool_avail_count() tells every leak exactly.  NULL: no memory left.
 */
struct rte_mempool *testpool_create(const char *name, unsigned n, unsigned mtu);

#endif
