/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * renew.c - a stack whose owner was killed while it was at work in it.  Lists and tables may be half changed, so none of them is
 * looked at: the engine starts anew in its memory.  What can be guaranteed: nobody waits for ever, listeners go on listening
 * (with default options), and the connections of this stack are reset, at both ends.
 */
#include "shim/runtime.h"
#include "shim/sock.h"

#include <errno.h>
#include <sys/mman.h>

#include <rte_mempool.h>
#include <rte_ring.h>

/* Of more connections than these the peers are left to find out. */
#define LOST_MAX 65536

/* A closed connection in the place of the lost one; it listens again if that did. */
static void revive(struct stack *st, struct sock *s, struct conn *_Atomic *conn, usec_t now)
{
	struct conn *c = engine_socket(st->engine);

	if (c) {
		engine_set_user(c, (uintptr_t)s);
		if (s->named && (engine_bind(st->engine, c, &sock_rare(s)->name) ||
				 (s->backlog >= 0 && engine_listen(st->engine, c, s->backlog, now))))
			rt.thin->log(LOG_LEVEL_DEBUG, "stack %u: a socket has lost its name", st->id);
	}
	atomic_store(conn, c);
}

/*
 * What has no connection here is being made, in another stack, or this one's part of its spread is: by somebody who waits for the
 * lock.  sock_make() stores the connection last.
 */
static void revive_sock(struct stack *st, struct sock *s, usec_t now)
{
	struct conn *own = atomic_load(&s->conn);
	struct spread *sp = atomic_load(&s->spread);

	if (!own)
		return;
	if (st->id != atomic_load(&s->stack)) {
		if (sp && sp->conn[st->id])
			revive(st, s, &sp->conn[st->id], now);
		return;
	}
	if (s->backlog < 0 && atomic_load(&s->phase) != PHASE_UNCONNECTED) {
		atomic_store(&s->error, ECONNRESET);
		atomic_store(&s->phase, PHASE_UNCONNECTED);
		s->named = false;
	}
	revive(st, s, &s->conn, now);
	if (sp)
		sp->conn[st->id] = atomic_load(&s->conn);
	pollable_notify(&s->poll, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP);
}

/*
 * It is being taken apart, by somebody who may have been killed amid it: who goes on with that finds a closed connection in the
 * place of the lost one.
 */
static void forget_conns(struct stack *st, struct sock *s)
{
	struct conn *own = atomic_load(&s->conn);
	struct spread *sp = atomic_load(&s->spread);

	if (sp)
		sp->conn[st->id] = NULL;
	if (own && st->id == atomic_load(&s->stack))
		atomic_store(&s->conn, engine_socket(st->engine));
}

void stack_renewable(struct stack *st, const struct engine_config *config)
{
	struct engine_lost_list *lost = mmap(NULL, sizeof(*lost) + LOST_MAX * sizeof(lost->at[0]), PROT_READ | PROT_WRITE,
					     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	st->config = *config;
	if (lost == MAP_FAILED)
		return;
	lost->max = LOST_MAX;
	st->config.lost = lost;
}

void stack_renew(struct stack *st, usec_t now)
{
	uint32_t n = arena_count(SLAB_SOCK);

	rt.thin->log(LOG_LEVEL_WARN, "a process was killed inside stack %u: its connections are reset", st->id);
	st->ntx = 0;
	if (st->handed_over)
		rte_ring_reset(st->handed_over);
	port_pool_reset(rt.port, st->id, st->pool, rt.nstacks > 1);
	for (unsigned i = 0; i < rt.nstacks; i++)
		if (i != st->id)
			port_pool_forget(rt.stacks[i]->pool, st->id);
	engine_renew(st->engine, &st->config, now);
	stack_flush(st, now);
	for (uint32_t i = 0; i < n; i++) {
		struct sock *s = arena_at(SLAB_SOCK, i);

		if (object_is(s, object_gen(s)))
			revive_sock(st, s, now);
		else
			forget_conns(st, s);
	}
	rt.thin->log(LOG_LEVEL_INFO, "stack %u: %u of %u packets are free", st->id, rte_mempool_avail_count(st->pool),
		     st->pool->size);
}
