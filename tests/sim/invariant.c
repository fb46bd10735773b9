/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * invariant.c - what must hold at any time, whatever the network does: inside the engines (sequence variables, timers, memory),
 * and for the applications (nobody waits for ever once the network is good).  The only part of the simulation that looks into
 * control blocks.
 */
#include "engine/stack.h"
#include "tests/common/audit.h"
#include "tests/sim/world.h"

/* A retransmission, a window probe and a keep-alive each come within two minutes: two of them, and then some. */
#define STUCK_US 300000000
/* One segment may be taken beyond the bound. */
#define MEMORY_SLACK 64
#define NO_DATA_STATES (STATE_BIT(CLOSED) | STATE_BIT(LISTEN) | STATE_BIT(SYN_SENT) | STATE_BIT(SYN_RECEIVED))

uint32_t look_iss(const struct conn *c)
{
	return c->iss;
}

uint32_t look_irs(const struct conn *c)
{
	return c->irs;
}

struct look {
	struct world *w;
	unsigned host;
	const struct engine *e;
};

static void complain(const struct look *l, const struct conn *c, const char *what)
{
	if (c->user)
		l->w->suspect = &l->w->session[(c->user - 1) / 2];
	world_fail(l->w, "host %u, ports %u and %u, state %u: %s", l->host, c->f.t.lport, c->f.t.rport, c->state, what);
}

/* Who waits for the network must have a timer: nobody else would wake him. */
static const char *timer_fault(const struct engine *e, const struct conn *c)
{
	usec_t first = conn_next_deadline(c, e->now);
	bool will_send = list_linked(&c->out_link) || c->starved;

	if (first != USEC_NEVER && (!wheel_armed(&c->wheel) || wheel_at(&e->wheel, &c->wheel) > first))
		return "a deadline that the wheel does not know";
	if (conn_flight(c) && !c->deadline[TIMER_RTX] && !will_send)
		return "data in flight without a timer";
	if (c->snd_new && first == USEC_NEVER && !will_send)
		return "data waits without a timer";
	return NULL;
}

static void look_at(struct conn *c, void *arg)
{
	const struct look *l = arg;
	const char *fault = STATE_BIT(c->state) & NO_DATA_STATES ? NULL : timer_fault(l->e, c);

	if (fault)
		complain(l, c, fault);
}

void invariants_check(struct world *w)
{
	for (unsigned i = 0; i < w->nhosts * STACKS_MAX; i++) {
		struct engine *e = w->host[i / STACKS_MAX].stack[i % STACKS_MAX].e;
		struct look l = {w, i / STACKS_MAX, e};
		const char *fault;

		if (!e)
			continue;
		engine_each(e, look_at, &l);
		fault = audit_engine(e);
		if (fault)
			world_fail(w, "host %u: %s", l.host, fault);
		if (e->held > e->held_max + e->held_max / 8 + MEMORY_SLACK)
			world_fail(w, "host %u: sockets hold %u mbufs of %u that they may", l.host, e->held, e->held_max);
		w->history.tiny |= e->held >= e->held_max;
	}
}

/* ---- progress ---- */

static usec_t latest(usec_t a, usec_t b)
{
	return a > b ? a : b;
}

/* Does this side wait for what the other, or the network, owes it? */
static bool is_owed(const struct world *w, const struct session *s, unsigned who)
{
	const struct side *me = &s->side[who], *peer = &s->side[!who];

	if (!me->c || me->paused_until)
		return false;
	/* A listener without room drops SYNs for as long as they are sent. */
	if (me->connecting)
		return !host_dropped_syns(w, peer->host);
	return peer->sent > me->received || (!me->eof && (peer->shut || peer->done || peer->lost));
}

void invariants_progress(struct world *w)
{
	if (w->healed == USEC_NEVER || w->history.tiny)
		return;
	for (unsigned i = 0; i < 2 * w->nsessions; i++) {
		const struct session *s = &w->session[i / 2];
		usec_t since = latest(latest(s->side[0].progress_at, s->side[1].progress_at), w->healed);

		if (is_owed(w, s, i % 2) && w->now - since > STUCK_US)
			session_fail(w, s, "the %s is stuck: nothing for %.0f seconds over a good network",
				     i % 2 ? "acceptor" : "opener", (double)(w->now - since) / 1e6);
	}
}

/* ---- the end ---- */

void invariants_empty(struct world *w, unsigned host)
{
	for (unsigned k = 0; k < w->host[host].cfg.nstacks; k++) {
		const struct engine *e = w->host[host].stack[k].e;

		if (!e)
			continue;
		for (unsigned p = 0; p < PORT_CHAINS; p++)
			if (!list_empty(&e->ports[p]))
				world_fail(w, "host %u: a local port is still taken", host);
		if (e->held || e->nhalf_open)
			world_fail(w, "host %u: the engine counts %u mbufs and %u half-open connections that are gone", host,
				   e->held, e->nhalf_open);
		if (e->wheel.entries.used > e->nneighs)
			world_fail(w, "host %u: %u timers are armed for %u neighbours", host, e->wheel.entries.used, e->nneighs);
	}
}
