/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rest.c - how a sleeper waits for the ports: by their receive interrupts, or by naps where they have none, or where an
 * interrupt costs the peer a system call and nothing was idle long enough to be worth it.
 */
#include "shim/runtime.h"

#define NAP_MIN_US 50u
#define NAP_MAX_US 1000u
/*
 * An interrupt that costs the peer a system call is asked for after naps that brought nothing, of 150 us in all.  Not later: naps
 * that double find what comes up to twice as late as it came, and two programs that wait for each other both lose that time.
 */
#define WEAK_FROM_US (2 * NAP_MIN_US)
/* Longer naps for ports that stay silent: so many of one kind, then the next kind. */
#define NAP_IDLE_US 2000u
#define NAP_IDLE_AFTER 200u
#define NAP_DEEP_US 5000u
#define NAP_DEEP_AFTER 700u

unsigned nap_next(struct nap *n, bool busy)
{
	if (busy || !n->us)
		*n = (struct nap){.us = NAP_MIN_US};
	else if (n->us < NAP_MAX_US)
		n->us = n->us * 2 < NAP_MAX_US ? n->us * 2 : NAP_MAX_US;
	else if (n->idle < NAP_DEEP_AFTER && ++n->idle >= NAP_IDLE_AFTER)
		n->us = n->idle < NAP_DEEP_AFTER ? NAP_IDLE_US : NAP_DEEP_US;
	return n->us;
}

usec_t wait_nap(usec_t us)
{
	usec_t now = io_now(), deadline = stacks_deadline();

	if (deadline <= now)
		return now + NAP_MIN_US;
	return us == USEC_NEVER || us > deadline - now ? deadline : now + us;
}

void rest_over(struct rest *r)
{
	while (r->narmed)
		port_wait_disarm(rt.port, --r->narmed);
}

/* All interrupts or none. */
static void arm(struct rest *r)
{
	while (r->narmed < rt.nstacks && port_wait_arm(rt.port, r->narmed))
		r->narmed++;
	if (r->narmed < rt.nstacks)
		rest_over(r);
	r->armed_at = io_now();
}

void rest_begin(struct rest *r, struct pollfd *fds, nfds_t *n)
{
	bool wanted = rt.info.has_interrupt && (!rt.info.weak_interrupt || r->nap.us >= WEAK_FROM_US);

	if (!wanted)
		rest_over(r);
	else if (!r->narmed)
		arm(r);
	r->settled = r->narmed && (!rt.info.weak_interrupt || io_now() - r->armed_at >= PORT_SETTLE_US);
	for (unsigned i = 0; i < r->narmed; i++)
		fds[(*n)++] = (struct pollfd){.fd = port_wait_fd(rt.port, i), .events = POLLIN};
}

usec_t rest_time(struct rest *r, bool busy, bool empty)
{
	nap_next(&r->nap, busy || !empty);
	if (!r->narmed || !empty)
		return r->nap.us;
	return r->settled ? USEC_NEVER : PORT_SETTLE_US;
}

void rest_end(struct rest *r, const struct pollfd *fds)
{
	bool rung = false;

	for (unsigned i = 0; i < r->narmed; i++)
		rung |= fds[i].revents != 0;
	/* Who is busy need not be rung for. */
	if (rung || r->nap.us == NAP_MIN_US)
		rest_over(r);
}
