/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fault.c - what goes wrong in a world at times that its seed chose: links that go down, MTUs that shrink, hosts that lose their
 * memory, listeners that close; and the end of it all.
 */
#include "tests/sim/world.h"

static void both_ways(struct world *w, unsigned i, bool down)
{
	w->wire[i].link.down = down;
	w->wire[w->wire[i].back].link.down = down;
}

static void vanish(struct world *w, unsigned host)
{
	int lost;

	if (w->host[host].gone)
		return;
	sessions_lose(w, host);
	lost = host_end(w, host);
	if (lost)
		world_fail(w, "host %u vanished and %d mbufs did not come back", host, lost);
}

/* Another boot has another clock. */
static void come_back(struct world *w, unsigned host)
{
	if (!w->host[host].gone)
		return;
	w->host[host].cfg.clock = rng_magnitude(&w->rng, 0, 1ull << 45);
	host_boot(w, host);
}

static void heal(struct world *w)
{
	for (unsigned i = 0; i < w->nwires; i++) {
		struct link *l = &w->wire[i].link;

		l->down = l->spell = false;
		l->cfg.mtu = 0;
		l->cfg.loss_ppm = l->cfg.corrupt_ppm = l->cfg.spell_ppm = 0;
	}
	w->healed = w->now;
}

static void happen(struct world *w, const struct fault *f)
{
	switch (f->kind) {
	case FAULT_DOWN:
	case FAULT_UP:
		both_ways(w, f->a, f->kind == FAULT_DOWN);
		break;
	case FAULT_MTU:
	case FAULT_HOLE:
		w->wire[f->a].link.cfg.mtu = f->b;
		w->wire[f->a].link.cfg.silent = f->kind == FAULT_HOLE;
		break;
	case FAULT_VANISH:
		vanish(w, f->a);
		break;
	case FAULT_RETURN:
		come_back(w, f->a);
		break;
	case FAULT_DEAF:
		host_deafen(w, f->a);
		break;
	case FAULT_LISTEN:
		host_listen(w, f->a);
		break;
	case FAULT_HEAL:
		heal(w);
		break;
	}
}

bool faults_run(struct world *w)
{
	bool any = false;

	for (; w->next_fault < w->nfaults && w->fault[w->next_fault].at <= w->now; w->next_fault++) {
		happen(w, &w->fault[w->next_fault]);
		any = true;
	}
	return any;
}

usec_t faults_next(const struct world *w)
{
	return w->next_fault < w->nfaults ? w->fault[w->next_fault].at : USEC_NEVER;
}
