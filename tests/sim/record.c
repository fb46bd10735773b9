/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * record.c - a connection as a packet script; see record.h.  Times are absolute; sequence numbers are relative as scripts have
 * them.
 */
#include <stdarg.h>
#include <string.h>

#include "tests/common/packet.h"
#include "tests/sim/record.h"
#include "tests/sim/world.h"

static bool mine(const struct world *w, const struct session *s, unsigned who)
{
	return w->record && w->record->session == (unsigned)(s - w->session) && w->record->who == who;
}

static const struct side *recorded_side(const struct world *w)
{
	return &w->session[w->record->session].side[w->record->who];
}

void record_begin(struct world *w)
{
	const struct record *r = w->record;
	const struct session *s = &w->session[r->session];
	const struct host_config *cfg = &w->host[s->side[r->who].host].cfg;
	struct tcp_settings usual;
	char is[128], was[128];

	fprintf(r->out, "// seed %llu, session %u as its %s sees it\n--mtu=%u\n", (unsigned long long)w->seed, r->session,
		r->who ? "acceptor" : "opener", cfg->mtu);
	tcp_settings_init(&usual);
	for (unsigned i = 0; tcp_settings_name(i); i++) {
		const char *name = tcp_settings_name(i);

		if (!tcp_settings_get(&cfg->tcp, name, is, sizeof(is)) && !tcp_settings_get(&usual, name, was, sizeof(was)) &&
		    strcmp(is, was))
			fprintf(r->out, "`sysctl -q %s=\"%s\"`\n", name, is);
	}
}

static void print_time(const struct world *w, char direction)
{
	fprintf(w->record->out, "%.6f %c ", (double)(w->now - CLOCK_START) / 1e6, direction);
}

/* The wire's numbers become the script's. */
static void relative(struct record *r, bool out, struct tcp_part *t)
{
	unsigned from = out ? 0 : 1;

	if (t->flags & FLAG_SYN) {
		r->isn[from] = t->seq;
		r->isn_known[from] = true;
	}
	t->seq -= r->isn_known[from] ? r->isn[from] : 0;
	t->ack -= r->isn_known[!from] ? r->isn[!from] : 0;
	for (unsigned i = 0; i < t->nopts; i++)
		for (unsigned k = 0; k < t->opt[i].nsacks; k++)
			for (unsigned e = 0; e < 2; e++)
				t->opt[i].sack[k][e] -= r->isn_known[!from] ? r->isn[!from] : 0;
}

static bool belongs(const struct world *w, unsigned host, bool out, const struct packet *p)
{
	const struct session *s = &w->session[w->record->session];
	const struct side *me = recorded_side(w);
	const struct side *peer = &s->side[!w->record->who];
	struct ip_addr other = host_addr(peer->host);
	uint16_t client = out == !w->record->who ? p->src_port : p->dst_port; /* the opener's port */

	return host == me->host && s->begun && client == s->port && (out ? p->ip.dst : p->ip.src) == ip_to_v4(&other);
}

void record_packet(struct world *w, unsigned host, bool out, const struct packet *p)
{
	struct packet copy = *p;
	char text[512];

	if (p->kind == PACKET_ARP || !belongs(w, host, out, p))
		return;
	copy.flow = 1;
	if (p->kind == PACKET_TCP)
		relative(w->record, out, &copy.tcp);
	packet_print(&copy, text, sizeof(text));
	print_time(w, out ? '>' : '<');
	fprintf(w->record->out, "%s\n", text);
}

void record_call(struct world *w, const struct session *s, unsigned who, const char *fmt, ...)
{
	va_list ap;

	if (!mine(w, s, who))
		return;
	fprintf(w->record->out, "%.6f ", (double)(w->now - CLOCK_START) / 1e6);
	va_start(ap, fmt);
	vfprintf(w->record->out, fmt, ap);
	va_end(ap);
	fputc('\n', w->record->out);
}
