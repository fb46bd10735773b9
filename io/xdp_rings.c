/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * xdp_rings.c - what a process that was killed in the middle of a burst leaves in AF_XDP's four rings, put in order.
 *
 * A ring's user keeps copies of the indices that it shares with the kernel.  It reserves slots by its copy and hands them over by
 * adding to the shared index: who dies between leaves the two apart for ever.  Then a frame is sent only when as many others
 * as were reserved come after it, and one that was received is never seen.  The driver's rings are private to it; it tells
 * libxdp where they are, and libxdp's interface says what is in them (xsk.h).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <sys/socket.h>

#include <rte_mbuf.h>

#include "internal.h"

#define DRIVER "librte_net_af_xdp.so"
#define LIBRARY "libxdp.so.1"

/* struct xsk_ring_prod and xsk_ring_cons of libxdp 1.x. */
struct ring {
	uint32_t cached_prod, cached_cons;
	uint32_t mask, size;
	uint32_t *producer, *consumer;
	void *slots;
	uint32_t *flags;
};

/* struct xdp_desc of linux/if_xdp.h. */
struct received {
	uint64_t addr;
	uint32_t len, options;
};

/* Of an address the lower bits are the frame's, those above the place of the data in it (XDP_UMEM_UNALIGNED_CHUNK_FLAG). */
#define FRAME_BITS ((1ull << 48) - 1)
/* How long to wait for frames that the kernel is sending. */
#define QUIET_US 20000

struct queue {
	void *umem, *xsk;
	char *area;
	struct ring *fill, *completion, *rx, *tx;
	uint32_t stock;		/* frames that the driver gave the kernel to receive into; it replaces each that comes back */
	uint32_t filled_before; /* the oldest place in the fill ring that was not written anew since */
};

typedef int umem_create_fn(void **umem, void *area, uint64_t size, struct ring *fill, struct ring *completion,
			   const void *config);
typedef int socket_create_fn(void **xsk, const char *ifname, uint32_t queue, void *umem, struct ring *rx, struct ring *tx,
			     const void *config);

static umem_create_fn *real_umem_create;
static socket_create_fn *real_socket_create;
static int (*real_socket_fd)(const void *xsk);
/* One port at most has such rings.  Memory areas in the order in which they were made, then sockets by queue. */
static struct queue umems[IO_QUEUES_MAX], queues[IO_QUEUES_MAX];
static unsigned numems;

static int umem_create(void **umem, void *area, uint64_t size, struct ring *fill, struct ring *completion, const void *config)
{
	int rc = real_umem_create(umem, area, size, fill, completion, config);

	if (!rc && numems < IO_QUEUES_MAX)
		umems[numems++] = (struct queue){.umem = *umem, .area = area, .fill = fill, .completion = completion};
	return rc;
}

static int socket_create(void **xsk, const char *ifname, uint32_t queue, void *umem, struct ring *rx, struct ring *tx,
			 const void *config)
{
	int rc = real_socket_create(xsk, ifname, queue, umem, rx, tx, config);

	for (unsigned i = 0; !rc && queue < IO_QUEUES_MAX && i < numems; i++)
		if (umems[i].umem == umem) {
			queues[queue] = umems[i];
			queues[queue].xsk = *xsk;
			queues[queue].rx = rx;
			queues[queue].tx = tx;
		}
	return rc;
}

void xdp_rings_watch(void)
{
	void *library = dlopen(LIBRARY, RTLD_LAZY | RTLD_NOLOAD);

	numems = 0;
	if (!library)
		return;
	real_umem_create = (umem_create_fn *)dlsym(library, "xsk_umem__create");
	real_socket_create = (socket_create_fn *)dlsym(library, "xsk_socket__create");
	real_socket_fd = (int (*)(const void *))dlsym(library, "xsk_socket__fd");
	if (!real_umem_create || !real_socket_create || !real_socket_fd)
		return;
	redirect_call(DRIVER, "xsk_umem__create", umem_create);
	redirect_call(DRIVER, "xsk_socket__create", socket_create);
}

/* What was reserved and not handed over never was. */
static void take_back(struct ring *r)
{
	r->cached_prod = __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
}

/* What was looked at and not released is looked at again. */
static void look_again(struct ring *r)
{
	r->cached_cons = __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);
}

/* All counts as released: of packets that were sent, nobody knows which the dead has freed already. */
static void let_go(struct ring *r)
{
	r->cached_prod = r->cached_cons = __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
	__atomic_store_n(r->consumer, r->cached_cons, __ATOMIC_RELEASE);
}

/* Has the kernel sent all that it was given to send? */
static bool await_sent(const struct queue *x)
{
	uint64_t start = io_now();
	uint32_t given = *x->tx->producer;

	/* A frame that was sent is completed: both count from the beginning on. */
	while (__atomic_load_n(x->tx->consumer, __ATOMIC_ACQUIRE) != given ||
	       __atomic_load_n(x->completion->producer, __ATOMIC_ACQUIRE) != given) {
		if (io_now() - start > QUIET_US)
			return false;
		(void)!send(real_socket_fd(x->xsk), NULL, 0, MSG_DONTWAIT);
		sched_yield();
	}
	return true;
}

void xdp_rings_started(void)
{
	for (unsigned q = 0; q < IO_QUEUES_MAX; q++)
		if (queues[q].umem)
			queues[q].stock = *queues[q].fill->producer;
}

bool xdp_rings_repair(unsigned q)
{
	struct queue *x = &queues[q];
	bool sent;

	if (!x->umem)
		return false;
	x->filled_before = x->fill->cached_prod - x->fill->size;
	take_back(x->tx);
	take_back(x->fill);
	look_again(x->rx);
	sent = await_sent(x);
	let_go(x->completion);
	return sent;
}

static struct rte_mbuf *mbuf_at(const struct queue *x, const struct rte_mempool *pool, uint64_t addr)
{
	return (struct rte_mbuf *)(x->area + (addr & FRAME_BITS) + pool->header_size);
}

void xdp_rings_received(unsigned q, const struct rte_mempool *pool, xdp_visit *visit, void *arg)
{
	const struct queue *x = &queues[q];
	const struct received *slots = x->rx->slots;
	uint32_t end = __atomic_load_n(x->rx->producer, __ATOMIC_ACQUIRE);

	for (uint32_t i = *x->rx->consumer; i != end; i++)
		visit(mbuf_at(x, pool, slots[i & x->rx->mask].addr), arg);
}

/* The kernel takes them in turn, and what it has taken and not yet given back is among the last that fill the ring. */
void xdp_rings_filled(unsigned q, const struct rte_mempool *pool, xdp_visit *visit, void *arg)
{
	const struct queue *x = &queues[q];
	const uint64_t *slots = x->fill->slots;
	uint32_t end = *x->fill->producer;

	for (uint32_t i = end < x->fill->size ? 0 : x->filled_before; i != end; i++)
		visit(mbuf_at(x, pool, slots[i & x->fill->mask]), arg);
}

uint32_t xdp_rings_stock(unsigned q)
{
	return queues[q].stock;
}

bool xdp_rings_fill(unsigned q, const struct rte_mempool *pool, const struct rte_mbuf *m)
{
	const struct queue *x = &queues[q];
	struct ring *fill = x->fill;
	uint32_t at = *fill->producer;

	if (at - __atomic_load_n(fill->consumer, __ATOMIC_ACQUIRE) >= fill->size)
		return false;
	((uint64_t *)fill->slots)[at & fill->mask] = (uint64_t)((const char *)m - x->area) - pool->header_size;
	__atomic_store_n(fill->producer, at + 1, __ATOMIC_RELEASE);
	fill->cached_prod = at + 1;
	return true;
}
