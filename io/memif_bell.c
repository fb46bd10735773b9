/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memif_bell.c - receive interrupts for memif.  The protocol has them (a flag in each ring says whether its receiver wants the
 * sender to write the ring's eventfd), DPDK's driver obeys them when it sends, but masks them when it receives and has no way to
 * ask for them.  So the flag is changed here: where the rings lie is told by the control channel (protocol version 2.0) and by
 * the driver's own mapping of their memory.
 *
 * A queue's descriptor lasts as long as the port, so that sleepers may keep it: each connection's eventfd is put in its place,
 * and it is rung whenever a connection comes or goes.  With several memif ports a message cannot be told whose it is: then none
 * has interrupts.
 *
 * The sender looks at the flag without a fence: one that sends in the instant in which it is changed may not ring.
 * port_info.weak_interrupt says so to those who sleep.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "internal.h"

#define RING_COOKIE 0x3e31f20
#define RING_MASK_INT 1u

/* The start of a ring; its flags belong to the receiver. */
struct ring_head {
	uint32_t cookie;
	_Atomic uint16_t flags;
};

static void ring_bells(struct port *p)
{
	const uint64_t one = 1;

	for (unsigned q = 0; q < p->info.queues; q++)
		if (p->wait.fd[q] >= 0)
			(void)!write(p->wait.fd[q], &one, sizeof(one));
}

void bell_setup(struct port *p)
{
	wait_lock(p);
	p->info.has_interrupt = p->info.weak_interrupt = true;
	p->memif.rings_at.fd = p->memif.rings_at.mapped = -1;
	for (unsigned q = 0; q < p->info.queues; q++) {
		p->wait.fd[q] = descriptor_keep(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
		p->info.has_interrupt &= p->wait.fd[q] >= 0;
	}
	wait_unlock(p);
}

void bell_close(struct port *p)
{
	for (unsigned q = 0; q < p->info.queues; q++)
		if (p->wait.fd[q] >= 0)
			descriptor_close(p->wait.fd[q]);
}

/* A handshake begins. */
void bell_forget(struct port *p)
{
	wait_lock(p);
	p->memif.rings_at.fd = p->memif.rings_at.mapped = -1;
	p->memif.rings_at.base = NULL;
	for (unsigned q = 0; q < IO_QUEUES_MAX; q++)
		p->memif.rings_at.offset[q] = UINT32_MAX;
	wait_unlock(p);
}

void bell_region(struct port *p, int fd)
{
	wait_lock(p);
	p->memif.rings_at.fd = fd;
	if (p->memif.rings_at.mapped == fd)
		p->memif.rings_at.base = p->memif.rings_at.at;
	wait_unlock(p);
}

void bell_mapped(struct port *p, int fd, void *at, size_t size)
{
	wait_lock(p);
	p->memif.rings_at.mapped = fd;
	p->memif.rings_at.at = at;
	p->memif.rings_at.size = size;
	if (p->memif.rings_at.fd == fd)
		p->memif.rings_at.base = at;
	wait_unlock(p);
}

void bell_ring(struct port *p, bool c2s, unsigned queue, uint32_t offset, int bell)
{
	if (c2s == p->memif.client || queue >= p->info.queues)
		return;
	wait_lock(p);
	if (p->wait.fd[queue] >= 0 && dup3(bell, p->wait.fd[queue], O_CLOEXEC) >= 0)
		p->memif.rings_at.offset[queue] = offset;
	ring_bells(p);
	wait_unlock(p);
}

void bell_unmapped(struct port *p, const void *at)
{
	wait_lock(p);
	if (p->memif.rings_at.at == at)
		p->memif.rings_at.mapped = -1;
	if (p->memif.rings_at.base == at) {
		p->memif.rings_at.base = NULL;
		ring_bells(p);
	}
	wait_unlock(p);
}

/*
 * NULL: nobody is connected, or what the peer said of its memory is not true.  The driver masks the interrupts last thing before
 * the link comes up.
 */
static struct ring_head *ring_of(struct port *p, unsigned q)
{
	uint32_t offset = p->memif.rings_at.offset[q];
	struct ring_head *ring = (struct ring_head *)(p->memif.rings_at.base + offset);

	if (!p->memif.rings_at.base || (size_t)offset + sizeof(*ring) > p->memif.rings_at.size ||
	    offset % _Alignof(struct ring_head))
		return NULL;
	return port_link_up(p) && ring->cookie == RING_COOKIE ? ring : NULL;
}

bool bell_switch(struct port *p, unsigned q, bool on)
{
	struct ring_head *ring = ring_of(p, q);

	if (ring)
		atomic_store(&ring->flags, on ? 0 : RING_MASK_INT);
	return ring;
}
