/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * run.h - run one script against a new engine.
 */
#ifndef RUN_H
#define RUN_H

#include <stdbool.h>
#include <stddef.h>

struct rte_mempool;

/* Packet memory: what an engine charges for a packet depends on the size of its mbufs, so that each MTU gets those it would have
 * in use. */
struct run_pools {
	struct rte_mempool *usual, *jumbo; /* for MTUs up to 1500, up to 9000 */
};

struct run_options {
	bool offload; /* the engine may use checksum and segmentation offload */
	bool verbose; /* print each packet and call as it happens */
};

/* Run the script at path; true if it passed, else report holds the place, what was expected, and all packets so far. */
bool run_script(const char *path, const struct run_options *opt, const struct run_pools *pools, char *report, size_t size);

#endif
