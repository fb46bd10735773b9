/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gate.c - the control side of a port's gate (the bursts' side is in port.c): wait until no burst is under way, with or without
 * letting new ones in.
 *
 * A burst stores "busy", then reads "open"; the control side stores "open", then reads "busy".  Each must see the other's store,
 * which needs a full fence on both sides, or membarrier(2) on the rare side and nothing but the compiler's good behaviour on the
 * frequent one.  Bursts may be those of other processes of the family.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

/* A burst takes microseconds; a thread that is stopped in the middle of one may take this long to be scheduled again. */
#define SETTLE_US 2000000

static int membarrier(int cmd)
{
	return syscall(SYS_membarrier, cmd, 0, 0);
}

void gate_init(struct port *p)
{
	p->gate.used = true;
	p->gate.fence = membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) != 0;
}

void gate_join(void)
{
	membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED);
}

void gate_open(struct port *p)
{
	atomic_store_explicit(&p->gate.open, replica_publish(p->id), memory_order_release);
}

void gate_renew(struct port *p)
{
	if (!atomic_load(&p->gate.open))
		return;
	gate_open(p);
	gate_settle(p);
}

void gate_settle(struct port *p)
{
	uint64_t until = io_now() + SETTLE_US;

	atomic_thread_fence(memory_order_seq_cst);
	if (!p->gate.fence)
		membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED);
	for (unsigned q = 0; q < IO_QUEUES_MAX; q++)
		while (atomic_load_explicit(&p->gate.q[q].busy, memory_order_acquire) && io_now() < until)
			sched_yield();
}

void gate_close(struct port *p)
{
	atomic_store_explicit(&p->gate.open, 0, memory_order_seq_cst);
	gate_settle(p);
}
