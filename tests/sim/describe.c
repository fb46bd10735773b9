/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * describe.c - a world in words, for whoever replays a seed: its hosts, links, connections, and what goes wrong when.
 */
#include "tests/sim/world.h"

static const char *end_name(unsigned end, char *buf, size_t size)
{
	snprintf(buf, size, end < END_SWITCH ? "host %u" : "switch %u", end < END_SWITCH ? end : end - END_SWITCH);
	return buf;
}

static void describe_link(const struct world *w, unsigned i, FILE *out)
{
	const struct link *l = &w->wire[i].link;
	const struct link_config *c = &l->cfg;
	char from[16], to[16];

	fprintf(out,
		"// link %u, %s to %s: %llu us, %llu bit/s, queue %u%s%s, mark %u, mtu %u%s; ppm: loss %u, dup %u, corrupt %u, ",
		i, end_name(w->wire[i].from, from, sizeof(from)), end_name(w->wire[i].to, to, sizeof(to)),
		(unsigned long long)c->delay_us, (unsigned long long)c->rate_bps, c->queue_bytes, c->codel ? " CoDel" : "",
		c->ecn ? " ECN" : "", c->mark_bytes, c->mtu, c->silent ? " silent" : "", c->loss_ppm, c->dup_ppm, c->corrupt_ppm);
	fprintf(out, "reorder %u by %llu us, spell %u/%u/%u; %llu sent, %llu lost, %llu overflowed\n", c->reorder_ppm,
		(unsigned long long)c->reorder_us, c->spell_ppm, c->spell_end_ppm, c->spell_loss_ppm, (unsigned long long)l->sent,
		(unsigned long long)l->lost, (unsigned long long)l->overflowed);
}

static void describe_side(const struct side *s, FILE *out)
{
	fprintf(out, "; host %u: %llu of %llu sent, %llu received%s%s%s%s%s%s", s->host, (unsigned long long)s->sent,
		(unsigned long long)s->to_send, (unsigned long long)s->received, s->connecting ? ", connecting" : "",
		s->eof ? ", EOF" : "", s->quit ? ", quit" : "", s->lost ? ", lost" : "", s->c ? ", open" : "",
		s->done ? ", done" : "");
	if (s->error)
		fprintf(out, ", error %d", s->error);
}

/* The engines' counters that moved. */
static void describe_counters(const struct world *w, unsigned host, FILE *out)
{
	for (unsigned k = 0; k < STACKS_MAX; k++) {
		const struct engine *e = w->host[host].stack[k].e;
		const uint64_t *counters = e ? (const uint64_t *)engine_stats(e) : NULL;

		if (!e)
			continue;
		fprintf(out, "// host %u, stack %u:", host, k);
		for (unsigned i = 0; engine_stat_name(i); i++)
			if (counters[i])
				fprintf(out, " %s %llu", engine_stat_name(i), (unsigned long long)counters[i]);
		fputc('\n', out);
	}
}

void world_describe(const struct world *w, FILE *out)
{
	static const char *const kinds[] = {"down", "up", "MTU", "hole", "vanish", "return", "deaf", "listen", "heal"};
	static const char *const modes[] = {"clean", "close", "abort", "unread", "linger", "shut"};

	for (unsigned i = 0; i < w->nhosts; i++) {
		const struct host_config *h = &w->host[i].cfg;

		fprintf(
		    out,
		    "// host %u: MTU %u, caps %x, frames of %u parts, %u stacks%s, %u sockets, backlog %d, lazy %llu us, cc %s\n",
		    i, h->mtu, h->caps, h->tso_parts, h->nstacks, h->spread ? " spread" : "", h->max_conns, h->backlog,
		    (unsigned long long)h->lazy_us, h->tcp.congestion_control);
		describe_counters(w, i, out);
	}
	for (unsigned i = 0; i < w->nwires; i++)
		if (w->wire[i].link.sent)
			describe_link(w, i, out);
	for (unsigned i = 0; i < w->nfaults; i++)
		fprintf(out, "// at %.6f %s %u %u\n", (double)(w->fault[i].at - CLOCK_START) / 1e6, kinds[w->fault[i].kind],
			w->fault[i].a, w->fault[i].b);
	for (unsigned i = 0; i < w->nsessions; i++) {
		const struct session *s = &w->session[i];

		fprintf(out, "// session %u: %s%s, port %u, from %.6f%s", i, modes[s->mode],
			s->simultaneous ? ", simultaneous" : "", s->port, (double)s->begin / 1e6 - CLOCK_START / 1e6,
			s->begun ? "" : " not begun");
		describe_side(&s->side[0], out);
		describe_side(&s->side[1], out);
		fputc('\n', out);
	}
}
