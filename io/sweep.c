/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sweep.c - the packets that a killed process had go back to their pool.
 *
 * What the process did last is not known, so each packet is looked at.  The pool's stack of free packets can be relied upon (its
 * length changes behind its contents), a cache beside it cannot.  A packet in neither is free as well, unless the device has it:
 * one that AF_XDP's driver gave the kernel to receive into is as rte_pktmbuf_alloc() made it, and nobody but the driver leaves
 * packets so (engine_mbuf() marks its own).  Those that it took and did not get rid of are given to the kernel in its place.
 */
#include <sys/mman.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_stack.h>

#include "internal.h"

/* mbuf.port of a packet that was never in use, or is not any more. */
#define IDLE (UINT16_MAX - 16)
/* The driver takes a burst at a time.  If there are more they are not what they look like, and are left alone. */
#define LOST_MOST 256u

static void set_idle(struct rte_mempool *mp, void *arg, void *obj, unsigned i)
{
	(void)mp;
	(void)arg;
	(void)i;
	((struct rte_mbuf *)obj)->port = IDLE;
}

void sweep_begin(struct rte_mempool *pool)
{
	rte_mempool_obj_iter(pool, set_idle, NULL);
}

static void drop_caches(struct rte_mempool *pool)
{
	for (unsigned i = 0; i < RTE_MAX_LCORE; i++)
		pool->local_cache[i].len = 0;
}

/* Make it new and free. */
static void give_back(struct rte_mempool *mp, void *arg, void *obj, unsigned i)
{
	rte_pktmbuf_init(mp, arg, obj, i);
	set_idle(mp, arg, obj, i);
	rte_mempool_ops_enqueue_bulk(mp, &obj, 1);
}

void sweep_pool(struct rte_mempool *pool)
{
	struct rte_stack *free = pool->pool_data;

	drop_caches(pool);
	free->stack_std.len = 0;
	rte_mempool_obj_iter(pool, give_back, NULL);
}

/* ---- with a device that has some of them ------------------------------------------------------------------------------------
 */

/*
 * What is found out about each packet is noted in private memory: whoever is killed here leaves nothing that the next could take
 * for something else.
 */
enum { FREE = 1, USED, NEW, KEPT };

struct sweep {
	unsigned q;
	const char *base;
	size_t step, size;
	uint8_t *notes;
	uint32_t kept, lost; /* packets that the device has; that the driver lost */
};

/* The pool is one piece of memory, and packets are a step apart at least. */
static uint8_t *note_of(const struct sweep *s, const void *obj)
{
	return &s->notes[(size_t)((const char *)obj - s->base) / s->step];
}

static void note_new(struct rte_mempool *mp, void *arg, void *obj, unsigned i)
{
	const struct rte_mbuf *m = obj;

	(void)mp;
	(void)i;
	*note_of(arg, obj) = m->port == RTE_MBUF_PORT_INVALID && !m->pkt_len ? NEW : USED;
}

static void note_free(const struct sweep *s, struct rte_mempool *pool)
{
	const struct rte_stack *free = pool->pool_data;

	for (uint32_t i = 0; i < free->stack_std.len; i++)
		*note_of(s, free->stack_std.objs[i]) = FREE;
}

/* What was read may have been touched; it is read once more. */
static void keep_received(struct rte_mbuf *m, void *arg)
{
	*note_of(arg, m) = KEPT;
	m->port = RTE_MBUF_PORT_INVALID;
	m->pkt_len = 0;
}

static void keep_filled(struct rte_mbuf *m, void *arg)
{
	if (*note_of(arg, m) == NEW)
		*note_of(arg, m) = KEPT;
}

static void count(struct rte_mempool *mp, void *arg, void *obj, unsigned i)
{
	struct sweep *s = arg;

	(void)mp;
	(void)i;
	s->kept += *note_of(s, obj) == KEPT;
	s->lost += *note_of(s, obj) == NEW;
}

static void settle(struct rte_mempool *mp, void *arg, void *obj, unsigned i)
{
	struct sweep *s = arg;
	uint8_t note = *note_of(s, obj);

	if (note == USED)
		give_back(mp, NULL, obj, i);
	if (note != NEW || s->lost > LOST_MOST)
		return;
	if (s->kept < xdp_rings_stock(s->q) && xdp_rings_fill(s->q, mp, obj))
		s->kept++;
	else
		give_back(mp, NULL, obj, i);
}

bool sweep_xdp_pool(unsigned q, struct rte_mempool *pool)
{
	const struct rte_mempool_memhdr *piece = STAILQ_FIRST(&pool->mem_list);
	struct sweep s = {.q = q, .base = piece->addr, .step = pool->header_size + pool->elt_size + pool->trailer_size};

	s.size = piece->len / s.step + 1;
	s.notes = mmap(NULL, s.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s.notes == MAP_FAILED)
		return false;
	drop_caches(pool);
	rte_mempool_obj_iter(pool, note_new, &s);
	note_free(&s, pool);
	xdp_rings_filled(q, pool, keep_filled, &s);
	xdp_rings_received(q, pool, keep_received, &s);
	rte_mempool_obj_iter(pool, count, &s);
	rte_mempool_obj_iter(pool, settle, &s);
	munmap(s.notes, s.size);
	return true;
}
