/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.c - one machine of the simulation: the engines that share its address, its end of the links, and the hand-over of frames
 * that arrived at another stack's queue.  See world.h.
 */
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include <rte_mbuf.h>

#include "tests/common/offload.h"
#include "tests/common/packet.h"
#include "tests/sim/record.h"
#include "tests/sim/world.h"

#define BURST 32
#define MAX_TIMEWAIT 128
/* Sockets beside those of sessions: the listener, and children that wait. */
#define REGION_ALIGN 64

struct ip_addr host_addr(unsigned host)
{
	return ip_from_v4(htonl(0x0a000001 + host));
}

static void fill_config(struct world *w, unsigned i, struct engine_config *ec)
{
	struct host *h = &w->host[i];

	memset(ec, 0, sizeof(*ec));
	ec->mtu = h->cfg.mtu;
	ec->caps = h->cfg.caps;
	ec->tso_parts = h->cfg.tso_parts;
	memcpy(ec->mac, h->mac, 6);
	ec->secret[0] = rng_next(&w->rng);
	ec->secret[1] = rng_next(&w->rng);
	ec->addrs[0].addr = host_addr(i);
	ec->addrs[0].len = 120;
	ec->naddrs = 1;
	for (unsigned k = 0; k < sizeof(ec->rss_key); k++)
		ec->rss_key[k] = (uint8_t)rng_next(&w->rng);
	ec->nstacks = h->cfg.nstacks;
	ec->max_conns = h->cfg.max_conns;
	ec->max_repairs = h->cfg.max_repairs;
	ec->max_timewait = MAX_TIMEWAIT;
	ec->tcp = h->cfg.tcp;
}

/* Memory for an engine, kept from world to world: the same place has the same size nearly always. */
static void *region_for(unsigned host, unsigned stack, size_t size)
{
	static struct {
		void *mem;
		size_t size;
	} regions[HOSTS_MAX][STACKS_MAX];

	if (regions[host][stack].size < size) {
		free(regions[host][stack].mem);
		regions[host][stack].mem = aligned_alloc(REGION_ALIGN, (size + REGION_ALIGN - 1) / REGION_ALIGN * REGION_ALIGN);
		regions[host][stack].size = size;
	}
	if (regions[host][stack].mem)
		memset(regions[host][stack].mem, 0, size);
	return regions[host][stack].mem;
}

static void listen_at(struct world *w, unsigned i, struct stack *st)
{
	struct endpoint local = {.port = LISTEN_PORT};
	static const int on = 1;

	st->listener = engine_socket(st->e);
	if (!st->listener)
		return;
	if (engine_setsockopt(st->e, st->listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on), host_clock(w, i)) ||
	    engine_setsockopt(st->e, st->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on), host_clock(w, i)) ||
	    engine_setsockopt(st->e, st->listener, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on), host_clock(w, i)))
		world_fail(w, "host %u: a listener's options are refused", i);
	if (engine_bind(st->e, st->listener, &local) ||
	    engine_listen(st->e, st->listener, w->host[i].cfg.backlog, host_clock(w, i)))
		world_fail(w, "host %u does not listen", i);
}

void host_listen(struct world *w, unsigned host)
{
	struct host *h = &w->host[host];

	for (unsigned k = 0; k < h->cfg.nstacks; k++)
		if (h->stack[k].e && !h->stack[k].listener)
			listen_at(w, host, &h->stack[k]);
}

void host_deafen(struct world *w, unsigned host)
{
	struct host *h = &w->host[host];

	h->deaf++;
	h->touched = true;
	for (unsigned k = 0; k < h->cfg.nstacks; k++) {
		struct stack *st = &h->stack[k];

		if (st->listener)
			engine_close(st->e, st->listener, host_clock(w, host));
		st->listener = NULL;
		st->accept_at = 0;
	}
}

static void stack_boot(struct world *w, unsigned i, struct engine_config *ec)
{
	struct stack *st = &w->host[i].stack[ec->stack];
	size_t size;
	void *region;

	ec->pool = st->pool = w->host[i].cfg.pool[ec->stack];
	st->pool_full = rte_mempool_avail_count(st->pool);
	size = engine_size(ec);
	region = size ? region_for(i, ec->stack, size) : NULL;
	st->e = region ? engine_create(region, size, ec, host_clock(w, i)) : NULL;
	if (!st->e)
		world_fail(w, "host %u: an engine cannot be made", i);
	listen_at(w, i, st);
	if (!st->listener)
		world_fail(w, "host %u: no socket for the first listener", i);
}

void host_boot(struct world *w, unsigned host)
{
	struct host *h = &w->host[host];
	struct engine_config ec;

	h->boots++;
	h->gone = false;
	h->touched = true;
	memcpy(h->mac, (uint8_t[6]){0x02, 0, 0, 0, 0, (uint8_t)(host + 1)}, 6);
	fill_config(w, host, &ec);
	for (ec.stack = 0; ec.stack < h->cfg.nstacks; ec.stack++)
		stack_boot(w, host, &ec);
}

static uint64_t dropped_syns(const struct stack *st)
{
	const struct engine_stats *s = engine_stats(st->e);

	return s->listen_drops + s->listen_overflows + s->no_conn;
}

uint64_t host_counter(const struct world *w, unsigned host, const char *mib)
{
	uint64_t n = 0;
	unsigned i = 0;

	while (engine_stat_name(i) && strcmp(engine_stat_name(i), mib))
		i++;
	for (unsigned k = 0; k < STACKS_MAX && engine_stat_name(i); k++)
		if (w->host[host].stack[k].e)
			n += ((const uint64_t *)engine_stats(w->host[host].stack[k].e))[i];
	return n;
}

uint64_t host_dropped_syns(const struct world *w, unsigned host)
{
	uint64_t n = w->host[host].failed_opens;

	for (unsigned k = 0; k < STACKS_MAX; k++)
		n += w->host[host].stack[k].e ? dropped_syns(&w->host[host].stack[k]) : 0;
	return n;
}

int host_end(struct world *w, unsigned host)
{
	struct host *h = &w->host[host];
	int lost = 0;

	h->failed_opens = host_dropped_syns(w, host);
	for (unsigned k = 0; k < STACKS_MAX; k++)
		if (h->stack[k].e)
			engine_destroy(h->stack[k].e);
	/* Frames that one handed to the other come back to their own pool: count when both are gone. */
	for (unsigned k = 0; k < STACKS_MAX; k++) {
		struct stack *st = &h->stack[k];

		lost += st->pool ? (int)st->pool_full - (int)rte_mempool_avail_count(st->pool) : 0;
		memset(st, 0, sizeof(*st));
	}
	h->gone = true;
	return lost;
}

/* ---- out ---- */

struct outlet {
	struct world *w;
	unsigned host;
};

/* Every frame an engine sends must be well formed, whatever it was fed. */
static void on_frame(void *arg, const uint8_t *data, size_t len)
{
	struct outlet *s = arg;
	struct world *w = s->w;
	struct packet p;
	const uint8_t *payload;
	const char *fault = packet_decode(data, len, &p, &payload);

	if (fault)
		world_fail(w, "host %u sent a bad packet: %s", s->host, fault);
	if (w->record)
		record_packet(w, s->host, true, &p);
	if (p.kind == PACKET_TCP)
		fault = referee_watch(&w->referee, &p, true);
	if (fault)
		world_fail(w, "host %u, ports %u and %u: %s", s->host, p.src_port, p.dst_port, fault);
	net_send(w, s->host, data, len);
}

static bool drain(struct world *w, unsigned i, unsigned stack)
{
	struct host *h = &w->host[i];
	struct outlet outlet = {w, i};
	struct offload_card card = {.caps = h->cfg.caps, .parts = h->cfg.tso_parts, .mtu = h->cfg.mtu};
	struct rte_mbuf *burst[BURST];
	unsigned got = engine_output(h->stack[stack].e, burst, BURST, host_clock(w, i));
	const char *fault = NULL;

	referee_excuse(&w->referee, engine_stats(h->stack[stack].e));
	for (unsigned k = 0; k < got; k++) {
		if (!fault)
			fault = offload_finish(burst[k], &card, on_frame, &outlet);
		rte_pktmbuf_free(burst[k]);
	}
	if (fault)
		world_fail(w, "host %u sent a bad frame: %s", i, fault);
	return got > 0;
}

static bool events(struct world *w, unsigned i, unsigned stack)
{
	struct conn *c;
	uint32_t edges;
	bool any = false;

	while ((c = engine_next_event(w->host[i].stack[stack].e, &edges))) {
		sessions_event(w, i, stack, c);
		any = true;
	}
	return any;
}

/* Frames that came to the wrong stack's queue go to the right one; true if there were any. */
static bool hand_over(struct world *w, unsigned i, unsigned from)
{
	struct host *h = &w->host[i];
	struct rte_mbuf *burst[BURST];
	uint8_t owner[BURST];
	unsigned got = engine_foreign(h->stack[from].e, burst, owner, BURST);

	for (unsigned k = 0; k < got; k++) {
		if (owner[k] >= h->cfg.nstacks || owner[k] == from)
			world_fail(w, "host %u: stack %u hands a frame to stack %u of %u", i, from, owner[k], h->cfg.nstacks);
		engine_input(h->stack[owner[k]].e, &burst[k], 1, host_clock(w, i));
	}
	return got > 0;
}

static usec_t stack_deadline(const struct world *w, unsigned i, const struct stack *st)
{
	usec_t at = engine_next_deadline(st->e);

	if (at == USEC_NEVER)
		return at;
	return at > w->host[i].cfg.clock ? at - w->host[i].cfg.clock : 0;
}

bool host_work(struct world *w, unsigned host)
{
	struct host *h = &w->host[host];
	bool busy = false;
	usec_t next = USEC_NEVER;

	if (h->gone || (!h->touched && h->deadline > w->now))
		return false;
	for (unsigned k = 0; k < h->cfg.nstacks; k++) {
		struct engine *e = h->stack[k].e;

		if (stack_deadline(w, host, &h->stack[k]) <= w->now) {
			engine_run(e, host_clock(w, host));
			busy = true;
		}
		busy |= hand_over(w, host, k);
		busy |= drain(w, host, k);
		busy |= events(w, host, k);
	}
	for (unsigned k = 0; k < h->cfg.nstacks; k++) {
		usec_t at = stack_deadline(w, host, &h->stack[k]);

		next = at < next ? at : next;
	}
	h->deadline = next;
	h->touched = busy;
	return busy;
}

usec_t host_next(const struct world *w, unsigned host)
{
	return w->host[host].gone ? USEC_NEVER : w->host[host].deadline;
}

/* ---- in ---- */

/* A frame of the link's in an mbuf of the host's. */
static struct rte_mbuf *to_mbuf(struct world *w, const struct host *h, unsigned queue, const uint8_t *data, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(h->stack[queue].pool);
	char *room = m ? rte_pktmbuf_append(m, (uint16_t)len) : NULL;

	/* No packet memory: the frame is lost, as on a port whose ring is not filled. */
	if (!room) {
		rte_pktmbuf_free(m);
		w->starved++;
		return NULL;
	}
	memcpy(room, data, len);
	if (h->cfg.caps & ENGINE_RX_CSUM)
		offload_mark_received(m);
	return m;
}

void host_receive(struct world *w, unsigned host, const uint8_t *data, size_t len)
{
	struct host *h = &w->host[host];
	unsigned queue = h->cfg.spread ? (unsigned)rng_below(&w->rng, h->cfg.nstacks) : 0;
	struct packet p;
	const uint8_t *payload;
	struct rte_mbuf *m;

	if (h->gone)
		return;
	if (w->record && !packet_decode(data, len, &p, &payload))
		record_packet(w, host, false, &p);
	m = to_mbuf(w, h, queue, data, len);
	if (!m)
		return;
	h->touched = true;
	engine_input(h->stack[queue].e, &m, 1, host_clock(w, host));
}
