/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * driver_memory.c - small memory for the memif driver once its port runs.  DPDK's heap keeps its books in private memory: after
 * a fork only one process may use it, and that may have ended when the driver's control side moved on to another.  So what the
 * driver allocates while links come and go (messages, channels, regions, interrupt handles) comes from here, from memory and
 * books that the family shares.  One process at a time uses it: the one that serves the control side.
 */
#include <stdatomic.h>
#include <string.h>

#include <rte_interrupts.h>
#include <rte_malloc.h>

#include "internal.h"

#define BLOCKS 256
#define BLOCK_SIZE 512
#define HANDLES 64

static struct store {
	bool open; /* the port runs */
	bool used[BLOCKS], handle_used[HANDLES];
	struct rte_intr_handle *handle[HANDLES];
	char block[BLOCKS][BLOCK_SIZE] __attribute__((aligned(64)));
} * store;

static int claim(bool *used, int n)
{
	for (int i = 0; i < n; i++)
		if (!used[i]) {
			used[i] = true;
			return i;
		}
	return -1;
}

static void *zmalloc(const char *type, size_t size, unsigned align)
{
	int i;

	if (!store->open)
		return rte_zmalloc(type, size, align);
	if (size > BLOCK_SIZE)
		return control_is_first() ? rte_zmalloc(type, size, align) : NULL;
	i = claim(store->used, BLOCKS);
	return i < 0 ? NULL : memset(store->block[i], 0, BLOCK_SIZE);
}

static void free_memory(void *p)
{
	char *at = p;

	if (at >= store->block[0] && at < store->block[BLOCKS])
		store->used[(at - store->block[0]) / BLOCK_SIZE] = false;
	else if (control_is_first())
		rte_free(p);
}

static struct rte_intr_handle *handle_alloc(uint32_t flags)
{
	int i;

	if (!store->open)
		return rte_intr_instance_alloc(flags);
	i = claim(store->handle_used, HANDLES);
	return i < 0 ? NULL : store->handle[i];
}

static void handle_free(struct rte_intr_handle *h)
{
	for (int i = 0; i < HANDLES; i++)
		if (h && store->handle[i] == h) {
			store->handle_used[i] = false;
			return;
		}
	if (control_is_first())
		rte_intr_instance_free(h);
}

int driver_memory_prepare(void)
{
	if (store)
		return 0;
	store = io_alloc("mtcpshim-driver", sizeof(*store));
	for (int i = 0; store && i < HANDLES; i++) {
		store->handle[i] = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_SHARED);
		if (!store->handle[i])
			return -1;
	}
	if (!store)
		return -1;
	redirect_call("librte_net_memif.so", "rte_zmalloc", zmalloc);
	redirect_call("librte_net_memif.so", "rte_free", free_memory);
	redirect_call("librte_net_memif.so", "rte_intr_instance_alloc", handle_alloc);
	redirect_call("librte_net_memif.so", "rte_intr_instance_free", handle_free);
	return 0;
}

void driver_memory_open(bool open)
{
	store->open = open;
}
