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

/*
 * The start of a ring; its flags belong to the receiver.  The client fills slots up to head, with packets or, where it receives,
 * with room for them; the server has used those up to tail.  Both count without end.
 */
struct ring_head {
	uint32_t cookie;
	_Atomic uint16_t flags;
	_Atomic uint16_t head;
	char other_line[64 - 8];
	_Atomic uint16_t tail;
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
		p->memif.rings_at.offset[q] = p->memif.rings_at.tx_offset[q] = UINT32_MAX;
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

void bell_ring(struct port *p, bool c2s, unsigned queue, uint32_t offset, unsigned log2_size, int bell)
{
	if (queue >= p->info.queues)
		return;
	wait_lock(p);
	if (c2s == p->memif.client) {
		p->memif.rings_at.tx_offset[queue] = offset;
		p->memif.rings_at.tx_slots[queue] = 1u << (log2_size % 16);
		wait_unlock(p);
		return;
	}
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
static struct ring_head *ring_at(struct port *p, uint32_t offset)
{
	struct ring_head *ring = (struct ring_head *)(p->memif.rings_at.base + offset);

	if (!p->memif.rings_at.base || (size_t)offset + sizeof(*ring) > p->memif.rings_at.size ||
	    offset % _Alignof(struct ring_head))
		return NULL;
	return port_link_up(p) && ring->cookie == RING_COOKIE ? ring : NULL;
}

bool bell_switch(struct port *p, unsigned q, bool on)
{
	struct ring_head *ring = ring_at(p, p->memif.rings_at.offset[q]);

	if (ring)
		atomic_store(&ring->flags, on ? 0 : RING_MASK_INT);
	return ring;
}

/* A client's packets are taken when the server is through with them; a server's when the client has put new room in their place.
 */
static bool ring_is_taken(struct port *p, unsigned q)
{
	struct ring_head *ring = ring_at(p, p->memif.rings_at.tx_offset[q]);
	uint16_t behind;

	if (!ring)
		return false;
	behind = (uint16_t)(atomic_load(&ring->head) - atomic_load(&ring->tail));
	return behind == (p->memif.client ? 0 : p->memif.rings_at.tx_slots[q]);
}

bool bell_is_taken(struct port *p)
{
	bool taken = true;

	/* Nobody will. */
	if (!port_link_up(p))
		return true;
	/* Another process's notes are newer. */
	if (!control_is_here())
		return false;
	wait_lock(p);
	for (unsigned q = 0; taken && q < p->info.queues; q++)
		taken = ring_is_taken(p, q);
	wait_unlock(p);
	return taken;
}
