/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tsanpool.c - where packets lie while nobody has them, for tests under ThreadSanitizer; empty in every other build.  DPDK's own
 * ring does the same without a lock, but in a library that is not instrumented: the sanitizer would not see that who allocates a
 * packet comes after who freed it.
 */
#ifdef __SANITIZE_THREAD__
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <rte_mempool.h>

struct pile {
	pthread_mutex_t mutex;
	unsigned n;
	void *objects[];
};

static int pile_alloc(struct rte_mempool *mp)
{
	struct pile *p = malloc(sizeof(*p) + mp->size * sizeof(p->objects[0]));

	if (!p)
		return -ENOMEM;
	pthread_mutex_init(&p->mutex, NULL);
	p->n = 0;
	mp->pool_data = p;
	return 0;
}

static void pile_free(struct rte_mempool *mp)
{
	free(mp->pool_data);
}

static int pile_put(struct rte_mempool *mp, void *const *objects, unsigned n)
{
	struct pile *p = mp->pool_data;

	pthread_mutex_lock(&p->mutex);
	for (unsigned i = 0; i < n; i++)
		p->objects[p->n++] = objects[i];
	pthread_mutex_unlock(&p->mutex);
	return 0;
}

static int pile_take(struct rte_mempool *mp, void **objects, unsigned n)
{
	struct pile *p = mp->pool_data;
	bool enough;

	pthread_mutex_lock(&p->mutex);
	enough = p->n >= n;
	for (unsigned i = 0; enough && i < n; i++)
		objects[i] = p->objects[--p->n];
	pthread_mutex_unlock(&p->mutex);
	return enough ? 0 : -ENOBUFS;
}

static unsigned pile_count(const struct rte_mempool *mp)
{
	struct pile *p = mp->pool_data;
	unsigned n;

	pthread_mutex_lock(&p->mutex);
	n = p->n;
	pthread_mutex_unlock(&p->mutex);
	return n;
}

static const struct rte_mempool_ops pile_ops = {
    .name = "pile", .alloc = pile_alloc, .free = pile_free, .enqueue = pile_put, .dequeue = pile_take, .get_count = pile_count};

RTE_MEMPOOL_REGISTER_OPS(pile_ops);
#endif
