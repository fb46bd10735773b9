/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * flow.c - translation between a script's numbers and the wire's; see flow.h.
 */
#include <string.h>

#include "tests/script/flow.h"

/* The ports of peers that begin a connection. */
#define PEER_PORT_BASE 40000

struct flow *flows_get(struct flows *fs, unsigned number, int line)
{
	if (number < 1 || number > FLOWS_MAX)
		script_fail(fs->err, line, "@%u: connections are numbered from 1 to %d", number, FLOWS_MAX);
	return &fs->flow[number];
}

unsigned flows_find(const struct flows *fs, const struct packet *p)
{
	for (unsigned i = 1; i <= FLOWS_MAX; i++)
		if (fs->flow[i].bound && fs->flow[i].local_port == p->src_port && fs->flow[i].remote_port == p->dst_port)
			return i;
	return 0;
}

/* A peer speaks first: from a port of its own to the listener's. */
static void bind_to_peer(struct flows *fs, struct flow *f, const struct packet *script)
{
	if (f->bound)
		return;
	f->bound = true;
	f->remote_port = (uint16_t)(PEER_PORT_BASE + script->flow);
	f->local_port = script->flow_port ? script->flow_port : fs->set->bind_port;
}

/* The first SYN of the peer gives its numbering; a later one only if the engine takes it up. */
static void learn_peer_syn(struct flow *f, const struct tcp_part *t)
{
	if (!f->has_remote_isn) {
		f->remote_isn = t->seq;
		f->has_remote_isn = true;
	} else if (t->seq != f->remote_isn) {
		f->new_isn = t->seq;
		f->new_syn = true;
	}
}

static uint32_t ts_to_wire(const struct flow *f, uint32_t script)
{
	for (unsigned i = f->ts_mapped; i-- > 0;)
		if (f->ts_map[i % TS_MAP_MAX][0] == script)
			return f->ts_map[i % TS_MAP_MAX][1];
	return f->has_ts ? script + f->ts_offset : script;
}

static void options_to_wire(const struct flows *fs, const struct flow *f, struct tcp_part *t)
{
	for (unsigned i = 0; i < t->nopts; i++) {
		struct tcp_opt *o = &t->opt[i];

		if (o->kind == OPT_TS && t->flags & (FLAG_ACK | FLAG_RST))
			o->b = ts_to_wire(f, o->b);
		if (o->cookie) {
			o->nraw = fs->cookie_len;
			memcpy(o->raw, fs->cookie, o->nraw);
		}
		for (unsigned k = 0; k < o->nsacks; k++) {
			o->sack[k][0] += f->local_isn;
			o->sack[k][1] += f->local_isn;
		}
	}
}

void flows_to_wire(struct flows *fs, const struct packet *script, int line, struct packet *wire, uint64_t *payload_offset)
{
	struct flow *f = flows_get(fs, script->flow, line);
	struct tcp_part *t = &wire->tcp;

	*wire = *script;
	*payload_offset = 0;
	wire->ip.src = script->ip.src ? script->ip.src : fs->set->remote_ip;
	wire->ip.dst = script->ip.dst ? script->ip.dst : fs->set->local_ip;
	if (script->kind == PACKET_ARP)
		return;
	if (script->kind == PACKET_TCP || script->icmp.quotes)
		bind_to_peer(fs, f, script);
	wire->src_port = f->remote_port;
	wire->dst_port = f->local_port;
	if (script->kind == PACKET_ICMP) {
		wire->icmp.seq += f->local_isn;
		return;
	}
	if (t->flags & FLAG_SYN)
		learn_peer_syn(f, t);
	else
		t->seq += f->remote_isn;
	*payload_offset = t->seq + !!(t->flags & FLAG_SYN) - f->remote_isn - 1;
	t->ack += f->local_isn;
	if (t->flags & FLAG_URG)
		f->unchecked = true;
	options_to_wire(fs, f, t);
}

/* A SYN of the engine's gives its numbering; a retransmitted one must not change it. */
static void learn_engine_syn(struct flow *f, const struct tcp_part *t)
{
	if (f->new_syn && t->flags & FLAG_ACK) {
		f->remote_isn = f->new_isn;
		f->new_syn = false;
		f->has_local_isn = false;
		f->has_ts = false;
		f->ts_mapped = 0;
	}
	if (!f->has_local_isn)
		f->local_isn = t->seq;
	f->has_local_isn = true;
}

static uint32_t ts_to_script(struct flow *f, uint32_t wire, const struct tcp_part *want, int64_t tick)
{
	const struct tcp_opt *o = NULL;

	for (unsigned i = 0; want && i < want->nopts; i++)
		if (want->opt[i].kind == OPT_TS)
			o = &want->opt[i];
	if (o && !f->has_ts) {
		f->ts_offset = wire - o->a;
		f->has_ts = true;
	}
	if (tick || !o)
		return wire - f->ts_offset;
	f->ts_map[f->ts_mapped % TS_MAP_MAX][0] = o->a;
	f->ts_map[f->ts_mapped++ % TS_MAP_MAX][1] = wire;
	return o->a;
}

static void options_to_script(struct flows *fs, struct flow *f, struct tcp_part *t, const struct tcp_part *want)
{
	for (unsigned i = 0; i < t->nopts; i++) {
		struct tcp_opt *o = &t->opt[i];

		if (o->kind == OPT_TS)
			o->a = ts_to_script(f, o->a, want, fs->set->ts_tick_usecs);
		if ((o->kind == OPT_FO || o->kind == OPT_EXP) && t->flags & FLAG_ACK && o->nraw) {
			fs->cookie_len = o->nraw;
			memcpy(fs->cookie, o->raw, o->nraw);
		}
		for (unsigned k = 0; k < o->nsacks; k++) {
			o->sack[k][0] -= f->remote_isn;
			o->sack[k][1] -= f->remote_isn;
		}
	}
}

static void tcp_to_script(struct flows *fs, const struct packet *want, struct packet *script, uint64_t *payload_offset)
{
	struct flow *f = &fs->flow[script->flow];
	struct tcp_part *t = &script->tcp;

	if (t->flags & FLAG_SYN)
		learn_engine_syn(f, t);
	t->seq -= f->local_isn;
	t->ack -= t->flags & FLAG_ACK ? f->remote_isn : 0;
	*payload_offset = t->seq + !!(t->flags & FLAG_SYN) - 1;
	options_to_script(fs, f, t, want && want->kind == PACKET_TCP ? &want->tcp : NULL);
}

void flows_to_script(struct flows *fs, const struct packet *wire, const struct packet *want, struct packet *script,
		     uint64_t *payload_offset)
{
	struct flow *f;

	*script = *wire;
	*payload_offset = 0;
	script->flow = wire->kind == PACKET_TCP ? flows_find(fs, wire) : 1;
	f = &fs->flow[script->flow];
	/* The same ports for a new connection of ours: it takes the old one's place if the script gives it a new number. */
	if (script->flow && wire->kind == PACKET_TCP && (wire->tcp.flags & (FLAG_SYN | FLAG_ACK)) == FLAG_SYN &&
	    f->has_local_isn && f->local_isn != wire->tcp.seq && want && want->flow <= FLOWS_MAX && !fs->flow[want->flow].bound) {
		f->bound = false;
		script->flow = 0;
	}
	if (!script->flow && want && want->kind == PACKET_TCP && want->flow <= FLOWS_MAX && !fs->flow[want->flow].bound) {
		f = &fs->flow[want->flow];
		f->bound = true;
		f->local_port = wire->src_port;
		f->remote_port = wire->dst_port;
		script->flow = want->flow;
	}
	if (script->kind == PACKET_TCP && script->flow)
		tcp_to_script(fs, want, script, payload_offset);
}
