/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * node.c - one machine of the simulation: the engines that share its address, its end of the links, and the hand-over of frames
 * that arrived at another stack's queue.  See world.h.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "tests/common/offload.h"
#include "tests/common/packet.h"
#include "tests/sim/world.h"

#define BURST 32
#define MAX_CONNS 128

static void fill_config(struct world *w, unsigned i, struct engine_config *ec)
{
	struct node *n = &w->node[i];

	memset(ec, 0, sizeof(*ec));
	ec->mtu = n->cfg.mtu;
	ec->caps = n->cfg.caps;
	memcpy(ec->mac, n->mac, 6);
	ec->secret[0] = rng_next(&w->rng);
	ec->secret[1] = rng_next(&w->rng);
	ec->addrs[0].addr = node_addr(i);
	ec->addrs[0].len = 120;
	ec->naddrs = 1;
	for (unsigned k = 0; k < sizeof(ec->rss_key); k++)
		ec->rss_key[k] = (uint8_t)rng_next(&w->rng);
	ec->nstacks = n->cfg.nstacks;
	ec->max_conns = ec->max_timewait = MAX_CONNS;
	ec->tcp = n->cfg.tcp;
}

static void stack_init(struct world *w, struct stack *st, struct engine_config *ec, struct rte_mempool *pool)
{
	struct endpoint local = {.port = LISTEN_PORT};
	size_t size;
	static const int on = 1;

	ec->pool = st->pool = pool;
	st->pool_full = rte_mempool_avail_count(pool);
	size = engine_size(ec);
	if (!size || posix_memalign(&st->region, 64, size))
		world_fail(w, "no region for an engine");
	memset(st->region, 0, size);
	st->e = engine_create(st->region, size, ec, w->now);
	st->listener = st->e ? engine_socket(st->e) : NULL;
	if (!st->listener || engine_setsockopt(st->e, st->listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on), w->now) ||
	    engine_bind(st->e, st->listener, &local) || engine_listen(st->e, st->listener, SESSIONS_MAX, w->now))
		world_fail(w, "an engine cannot be made or does not listen");
}

void node_init(struct world *w, unsigned i, const struct node_config *cfg, struct rte_mempool *const pools[STACKS_MAX])
{
	struct node *n = &w->node[i];
	struct engine_config ec;

	n->cfg = *cfg;
	n->out = &w->link[i];
	memcpy(n->mac, (uint8_t[6]){0x02, 0, 0, 0, 0, (uint8_t)(i + 1)}, 6);
	fill_config(w, i, &ec);
	for (ec.stack = 0; ec.stack < cfg->nstacks; ec.stack++)
		stack_init(w, &n->stack[ec.stack], &ec, pools[ec.stack]);
}

struct sink {
	struct world *w;
	unsigned node;
};

static void trace(struct world *w, unsigned node, const struct packet *p)
{
	char text[512];

	packet_print(p, text, sizeof(text));
	printf("%12.6f  %s %5u > %-5u %s\n", (double)(w->now - CLOCK_START) / 1e6, node ? "B>A" : "A>B", p->src_port, p->dst_port,
	       text);
}

/* Every frame an engine sends must be well formed, whatever it was fed. */
static void on_frame(void *arg, const uint8_t *data, size_t len)
{
	struct sink *s = arg;
	struct packet p;
	const uint8_t *payload;
	const char *fault = packet_decode(data, len, &p, &payload);

	if (fault)
		world_fail(s->w, "node %u sent a bad packet: %s", s->node, fault);
	p.flow = 1;
	if (s->w->trace)
		trace(s->w, s->node, &p);
	fault = p.kind == PACKET_TCP ? referee_watch(&s->w->referee, s->node, &p, true) : NULL;
	if (fault)
		world_fail(s->w, "node %u, ports %u and %u: %s", s->node, p.src_port, p.dst_port, fault);
	link_send(s->w->node[s->node].out, data, len, s->w->now);
}

static bool drain(struct world *w, unsigned i, unsigned stack)
{
	struct node *n = &w->node[i];
	struct sink sink = {w, i};
	struct rte_mbuf *burst[BURST];
	unsigned got = engine_output(n->stack[stack].e, burst, BURST, w->now);
	const char *fault = NULL;

	for (unsigned k = 0; k < got; k++) {
		if (!fault)
			fault = offload_finish(burst[k], n->cfg.caps, n->cfg.mtu, on_frame, &sink);
		rte_pktmbuf_free(burst[k]);
	}
	if (fault)
		world_fail(w, "node %u sent a bad frame: %s", i, fault);
	return got > 0;
}

static bool events(struct world *w, unsigned i, unsigned stack)
{
	struct conn *c;
	uint32_t edges;
	bool any = false;

	while ((c = engine_next_event(w->node[i].stack[stack].e, &edges))) {
		sessions_event(w, i, stack, c);
		any = true;
	}
	return any;
}

/* Frames that came to the wrong stack's queue go to the right one; true if there were any. */
static bool hand_over(struct world *w, unsigned i, unsigned from)
{
	struct node *n = &w->node[i];
	struct rte_mbuf *burst[BURST];
	uint8_t owner[BURST];
	unsigned got = engine_foreign(n->stack[from].e, burst, owner, BURST);

	for (unsigned k = 0; k < got; k++) {
		if (owner[k] >= n->cfg.nstacks || owner[k] == from)
			world_fail(w, "node %u: stack %u hands a frame to stack %u of %u", i, from, owner[k], n->cfg.nstacks);
		engine_input(n->stack[owner[k]].e, &burst[k], 1, w->now);
	}
	return got > 0;
}

bool node_work(struct world *w, unsigned i)
{
	bool busy = false;

	for (unsigned k = 0; k < w->node[i].cfg.nstacks; k++) {
		struct engine *e = w->node[i].stack[k].e;

		if (engine_next_deadline(e) <= w->now) {
			engine_run(e, w->now);
			busy = true;
		}
		busy |= hand_over(w, i, k);
		busy |= drain(w, i, k);
		busy |= events(w, i, k);
	}
	return busy;
}

/* A frame of the link's in an mbuf of the node's. */
static struct rte_mbuf *to_mbuf(struct world *w, const struct node *n, unsigned queue, const struct flight *f)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(n->stack[queue].pool);
	char *room = m ? rte_pktmbuf_append(m, (uint16_t)f->len) : NULL;

	/* No packet memory: the frame is lost, as on a port whose ring is not filled. */
	if (!room) {
		w->starved++;
		return NULL;
	}
	memcpy(room, f->data, f->len);
	if (n->cfg.caps & ENGINE_RX_CSUM)
		offload_mark_received(m);
	return m;
}

void node_receive(struct world *w, unsigned i)
{
	struct node *n = &w->node[i];
	struct rte_mbuf *burst[STACKS_MAX][BURST];
	unsigned got[STACKS_MAX] = {0}, total = 0;
	struct flight *f;

	while (total < BURST && (f = link_take(&w->link[!i], w->now))) {
		unsigned queue = n->cfg.spread ? (unsigned)rng_below(&w->rng, n->cfg.nstacks) : 0;
		struct rte_mbuf *m = to_mbuf(w, n, queue, f);

		if (m)
			burst[queue][got[queue]++] = m;
		total++;
		free(f);
	}
	for (unsigned k = 0; k < n->cfg.nstacks; k++)
		if (got[k])
			engine_input(n->stack[k].e, burst[k], got[k], w->now);
}

usec_t node_deadline(const struct world *w, unsigned i)
{
	usec_t next = USEC_NEVER;

	for (unsigned k = 0; k < w->node[i].cfg.nstacks; k++) {
		usec_t at = engine_next_deadline(w->node[i].stack[k].e);

		next = at < next ? at : next;
	}
	return next;
}

void node_usage(const struct world *w, unsigned i, struct engine_usage *u)
{
	struct engine_usage one;

	memset(u, 0, sizeof(*u));
	for (unsigned k = 0; k < w->node[i].cfg.nstacks; k++) {
		engine_usage(w->node[i].stack[k].e, &one);
		u->conns += one.conns;
		u->timewaits += one.timewaits;
		u->half_open += one.half_open;
		u->mbufs += one.mbufs;
	}
}

int node_end(struct world *w, unsigned i)
{
	struct node *n = &w->node[i];
	int lost = 0;

	for (unsigned k = 0; k < STACKS_MAX; k++)
		if (n->stack[k].e)
			engine_destroy(n->stack[k].e);
	/* Frames that one handed to the other come back to their own pool: count when both are gone. */
	for (unsigned k = 0; k < STACKS_MAX; k++) {
		struct stack *st = &n->stack[k];

		lost += st->pool ? (int)st->pool_full - (int)rte_mempool_avail_count(st->pool) : 0;
		free(st->region);
		memset(st, 0, sizeof(*st));
	}
	return lost;
}
