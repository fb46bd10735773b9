/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * renew.c - a stack whose owner was killed while it was at work in it.  Lists and tables may be half changed, so none of them is
 * looked at: the engine starts anew in its memory.  What can be guaranteed: nobody waits for ever, listeners go on listening
 * (with default options), and connections of this stack are reset, as if the path had been; the peers learn it from the
 * engine's answer to their next segment (RFC 9293 3.10.7.1).
 */
#include "shim/runtime.h"
#include "shim/sock.h"

#include <errno.h>

#include <rte_ring.h>

/* A closed connection in the place of the lost one; it listens again if that did. */
static void revive(struct stack *st, struct sock *s, struct conn *_Atomic *conn, usec_t now)
{
	struct conn *c = engine_socket(st->engine);

	if (c) {
		engine_set_user(c, (uintptr_t)s);
		if (s->named &&
		    (engine_bind(st->engine, c, &s->name) || s->backlog < 0 || engine_listen(st->engine, c, s->backlog, now)))
			rt.thin->log(LOG_LEVEL_DEBUG, "stack %u: a socket has lost its name", st->id);
	}
	atomic_store(conn, c);
}

static void revive_sock(struct stack *st, struct sock *s, usec_t now)
{
	struct spread *sp = atomic_load(&s->spread);

	if (sp && st->id != atomic_load(&s->stack)) {
		revive(st, s, (struct conn * _Atomic *)&sp->conn[st->id], now);
		return;
	}
	if (st->id != atomic_load(&s->stack))
		return;
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

void stack_renew(struct stack *st, usec_t now)
{
	uint32_t n = arena_count(SLAB_SOCK);

	rt.thin->log(LOG_LEVEL_WARN, "a process was killed inside stack %u: its connections are reset", st->id);
	st->ntx = 0;
	if (st->handed_over)
		rte_ring_reset(st->handed_over);
	port_pool_reset(rt.port, st->id, st->pool, rt.nstacks > 1);
	st->engine = stack_engine(st, now);
	for (uint32_t i = 0; i < n; i++) {
		struct sock *s = arena_at(SLAB_SOCK, i);

		if (object_is(s, object_gen(s)))
			revive_sock(st, s, now);
	}
}
