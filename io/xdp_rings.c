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

struct queue {
	void *umem;
	struct ring *fill, *completion, *rx, *tx;
};

typedef int umem_create_fn(void **umem, void *area, uint64_t size, struct ring *fill, struct ring *completion,
			   const void *config);
typedef int socket_create_fn(void **xsk, const char *ifname, uint32_t queue, void *umem, struct ring *rx, struct ring *tx,
			     const void *config);

static umem_create_fn *real_umem_create;
static socket_create_fn *real_socket_create;
/* One port at most has such rings.  Memory areas in the order in which they were made, then sockets by queue. */
static struct queue umems[IO_QUEUES_MAX], queues[IO_QUEUES_MAX];
static unsigned numems;

static int umem_create(void **umem, void *area, uint64_t size, struct ring *fill, struct ring *completion, const void *config)
{
	int rc = real_umem_create(umem, area, size, fill, completion, config);

	if (!rc && numems < IO_QUEUES_MAX)
		umems[numems++] = (struct queue){.umem = *umem, .fill = fill, .completion = completion};
	return rc;
}

static int socket_create(void **xsk, const char *ifname, uint32_t queue, void *umem, struct ring *rx, struct ring *tx,
			 const void *config)
{
	int rc = real_socket_create(xsk, ifname, queue, umem, rx, tx, config);

	for (unsigned i = 0; !rc && queue < IO_QUEUES_MAX && i < numems; i++)
		if (umems[i].umem == umem) {
			queues[queue] = umems[i];
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
	if (!real_umem_create || !real_socket_create)
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

/* What was looked at counts as released: of packets that were sent, nobody knows which the dead has freed already. */
static void let_go(struct ring *r)
{
	__atomic_store_n(r->consumer, r->cached_cons, __ATOMIC_RELEASE);
}

void xdp_rings_repair(unsigned q)
{
	struct queue *x = &queues[q];

	if (!x->umem)
		return;
	take_back(x->tx);
	take_back(x->fill);
	look_again(x->rx);
	let_go(x->completion);
}
