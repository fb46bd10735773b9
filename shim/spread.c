/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spread.c - a bound or listening socket's connections in several stacks: put together, taken apart, and how one of them becomes
 * the socket's own.
 */
#include "shim/sock.h"

#include <errno.h>

uint32_t spread_ready(const struct spread *sp)
{
	uint32_t ready = 0;

	for (unsigned i = 0; i < rt.nstacks; i++)
		if (sp->conn[i])
			ready |= engine_ready(sp->conn[i]);
	return ready;
}

/*
 * Each is taken out inside its stack, while the spread is still the socket's: a stack that is renewed sees to its part until
 * then, and is not being renewed meanwhile.
 */
void spread_end(struct sock *s, unsigned keep)
{
	struct spread *sp = atomic_load(&s->spread);
	struct conn *c;
	usec_t now;

	for (unsigned i = 0; sp && i < rt.nstacks; i++) {
		if (i == keep || !stack_enter(rt.stacks[i], &now))
			continue;
		c = atomic_load(&s->spread) == sp ? atomic_exchange(&sp->conn[i], NULL) : NULL;
		sock_conn_close(rt.stacks[i], c, false, now);
		stack_leave(rt.stacks[i], now);
	}
	if (sp && atomic_compare_exchange_strong(&s->spread, &sp, NULL))
		arena_put(sp);
}

/* The spread begins with the socket's own connection, whose options the others are to have.  NULL: *err. */
static struct spread *spread_begin(const struct fdref *r, unsigned *home, struct kept_options *opts, int *err)
{
	struct sock *s = sock_of(r);
	struct spread *sp = arena_get(SLAB_SPREAD), *none = NULL;
	usec_t now;
	struct stack *st;

	*err = -ENOBUFS;
	st = sp ? sock_enter(r, &now, err) : NULL;
	if (st) {
		*home = st->id;
		sp->conn[st->id] = atomic_load(&s->conn);
		sockopt_keep(st, atomic_load(&s->conn), opts, now);
		*err = atomic_compare_exchange_strong(&s->spread, &none, sp) ? 0 : -EINVAL;
		stack_leave(st, now);
	}
	if (sp && *err)
		arena_put(sp);
	return *err ? NULL : sp;
}

/* Put a connection into one more stack, bound to the same address and port. */
static int spread_to(struct sock *s, struct spread *sp, unsigned stack, const struct kept_options *opts,
		     const struct endpoint *local)
{
	struct stack *st = rt.stacks[stack];
	struct conn *c;
	usec_t now;
	int rc;

	if (!stack_enter(st, &now))
		return -EAGAIN;
	c = sock_conn_new(st, s, opts, now);
	rc = c ? engine_bind(st->engine, c, local) : -ENOBUFS;
	sp->conn[stack] = c;
	stack_leave(st, now);
	return rc;
}

/* The spread is the socket's from the first one on, so that a stack that is renewed meanwhile sees to its part. */
int spread_bind(const struct fdref *r, const struct endpoint *local)
{
	struct kept_options opts;
	unsigned home = 0;
	int rc;
	struct spread *sp = spread_begin(r, &home, &opts, &rc);

	for (unsigned i = 0; sp && !rc && i < rt.nstacks; i++)
		if (i != home)
			rc = spread_to(sock_of(r), sp, i, &opts, local);
	if (sp && rc)
		spread_end(sock_of(r), home);
	return rc;
}

/* Make another stack the socket's own. */
static void move(struct sock *s, unsigned from, unsigned to)
{
	/* Inside both, that neither is renewed meanwhile: in the order of their numbers. */
	struct stack *first = rt.stacks[from < to ? from : to], *second = rt.stacks[from < to ? to : from];
	struct conn *c = NULL;
	usec_t now, then;

	if (!stack_enter(first, &now))
		return;
	if (stack_enter(second, &then)) {
		if (from == atomic_load(&s->stack))
			c = sock_conn_in(s, to);
		if (c) {
			atomic_store(&s->conn, c);
			atomic_store(&s->stack, to);
		}
		stack_leave(second, then);
	}
	stack_leave(first, now);
}

void spread_settle(struct sock *s, const struct endpoint *remote)
{
	unsigned home = atomic_load(&s->stack), owner;
	struct stack *st = rt.stacks[home];
	struct endpoint local;
	usec_t now;

	if (!atomic_load(&s->spread) || !stack_enter(st, &now))
		return;
	engine_sockname(s->conn, &local);
	owner = engine_owner(st->engine, &local, remote);
	stack_leave(st, now);
	if (owner != home)
		move(s, home, owner);
	spread_end(s, atomic_load(&s->stack));
}
