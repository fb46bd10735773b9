/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * world.c - two engines, two links, one clock; see world.h.  The loop moves to the next thing that is to happen anywhere, and
 * bounds how much may happen without time passing: a livelock is a failure like any other.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>

#include <rte_mbuf.h>

#include "tests/common/offload.h"
#include "tests/common/packet.h"
#include "tests/sim/world.h"

#define CLOCK_START 1000000
#define BURST 32
/* Rounds of the loop that one instant and one virtual second may take. */
#define INSTANT_MAX 10000
#define SECOND_MAX 1000000
/* Orphans under loss, TIME-WAIT and neighbours are gone after this, virtual microseconds. */
#define CLEANUP_US 3000000000
#define MAX_CONNS 128

void world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(w->reason, sizeof(w->reason), fmt, ap);
	va_end(ap);
	longjmp(w->failed, 1);
}

struct ip_addr node_addr(unsigned node)
{
	return ip_from_v4(htonl(0x0a000001 + node));
}

static void node_init(struct world *w, unsigned i, const struct node_config *cfg, struct rte_mempool *pool)
{
	struct node *n = &w->node[i];
	struct engine_config ec = {.pool = pool, .mtu = cfg->mtu, .caps = cfg->caps, .naddrs = 1, .nstacks = 1};
	struct endpoint local = {.port = LISTEN_PORT};
	size_t size;

	n->cfg = *cfg;
	n->pool = pool;
	n->pool_full = rte_mempool_avail_count(pool);
	n->out = &w->link[i];
	memcpy(n->mac, (uint8_t[6]){0x02, 0, 0, 0, 0, (uint8_t)(i + 1)}, 6);
	memcpy(ec.mac, n->mac, 6);
	ec.secret[0] = rng_next(&w->rng);
	ec.secret[1] = rng_next(&w->rng);
	ec.addrs[0].addr = node_addr(i);
	ec.addrs[0].len = 120;
	ec.max_conns = ec.max_timewait = MAX_CONNS;
	ec.tcp = cfg->tcp;
	size = engine_size(&ec);
	if (!size || posix_memalign(&n->region, 64, size))
		world_fail(w, "no region for an engine");
	memset(n->region, 0, size);
	n->e = engine_create(n->region, size, &ec, w->now);
	n->listener = n->e ? engine_socket(n->e) : NULL;
	if (!n->listener || engine_bind(n->e, n->listener, &local) || engine_listen(n->e, n->listener, SESSIONS_MAX, w->now))
		world_fail(w, "an engine cannot be made or does not listen");
}

void world_init(struct world *w, const struct node_config nodes[2], const struct link_config links[2],
		struct rte_mempool *const pools[2])
{
	w->now = CLOCK_START;
	for (unsigned i = 0; i < 2; i++)
		link_init(&w->link[i], &links[i], &w->rng);
	for (unsigned i = 0; i < 2; i++)
		node_init(w, i, &nodes[i], pools[i]);
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

static bool drain(struct world *w, unsigned i)
{
	struct node *n = &w->node[i];
	struct sink sink = {w, i};
	struct rte_mbuf *burst[BURST];
	unsigned got = engine_output(n->e, burst, BURST, w->now);
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

static bool events(struct world *w, unsigned i)
{
	struct conn *c;
	uint32_t edges;
	bool any = false;

	while ((c = engine_next_event(w->node[i].e, &edges))) {
		sessions_event(w, i, c, edges);
		any = true;
	}
	return any;
}

/* Let everybody act at the present instant until nobody has anything to do. */
static void settle(struct world *w)
{
	bool busy = true;

	for (unsigned rounds = 0; busy; rounds++) {
		if (rounds == INSTANT_MAX)
			world_fail(w, "no end of work at one instant");
		busy = sessions_begin(w) || sessions_run(w);
		for (unsigned i = 0; i < 2; i++) {
			if (engine_next_deadline(w->node[i].e) <= w->now) {
				engine_run(w->node[i].e, w->now);
				busy = true;
			}
			busy |= drain(w, i);
			busy |= events(w, i);
		}
	}
}

/* Hand a node what has arrived by now, in bursts. */
static void deliver(struct world *w, unsigned to)
{
	struct node *n = &w->node[to];
	struct rte_mbuf *burst[BURST];
	struct flight *f;
	unsigned got = 0;

	while (got < BURST && (f = link_take(&w->link[!to], w->now))) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(n->pool);
		char *room = m ? rte_pktmbuf_append(m, (uint16_t)f->len) : NULL;

		/* No packet memory: the frame is lost, as on a port whose ring is not filled. */
		if (room) {
			memcpy(room, f->data, f->len);
			if (n->cfg.caps & ENGINE_RX_CSUM)
				offload_mark_received(m);
			burst[got++] = m;
		} else {
			w->starved++;
		}
		free(f);
	}
	if (got)
		engine_input(n->e, burst, got, w->now);
}

static usec_t earliest(usec_t a, usec_t b)
{
	return a < b ? a : b;
}

/* When something happens next, anywhere. */
static usec_t next_time(const struct world *w)
{
	usec_t next = sessions_next(w);

	for (unsigned i = 0; i < 2; i++) {
		next = earliest(next, engine_next_deadline(w->node[i].e));
		next = earliest(next, link_next(&w->link[i]));
	}
	return next;
}

static void count_step(struct world *w)
{
	w->steps++;
	if (w->now - w->second >= 1000000) {
		w->second = w->now;
		w->steps_second = 0;
	}
	if (++w->steps_second > SECOND_MAX)
		world_fail(w, "more than %d steps in a second of virtual time", SECOND_MAX);
}

static void step(struct world *w, usec_t limit)
{
	usec_t next = next_time(w);

	if (next == USEC_NEVER)
		world_fail(w, "standstill: nothing is left to happen");
	if (next > limit)
		world_fail(w, "not over after %.1f seconds of virtual time", (double)(limit - CLOCK_START) / 1e6);
	if (next > w->now)
		w->now = next;
	deliver(w, 0);
	deliver(w, 1);
	settle(w);
	count_step(w);
}

static bool holds_nothing(const struct node *n)
{
	struct engine_usage u;

	engine_usage(n->e, &u);
	return !u.conns && !u.timewaits && !u.half_open && !u.mbufs;
}

/* Close what is left and wait until both engines hold nothing. */
static void clean_up(struct world *w)
{
	usec_t limit = w->now + CLEANUP_US;
	struct engine_usage u;

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned s = 0; s < w->nsessions; s++) {
			if (w->session[s].side[i].c)
				engine_abort(w->node[i].e, w->session[s].side[i].c, w->now);
			w->session[s].side[i].c = NULL;
		}
		engine_close(w->node[i].e, w->node[i].listener, w->now);
		w->node[i].listener = NULL;
	}
	settle(w);
	while (!holds_nothing(&w->node[0]) || !holds_nothing(&w->node[1])) {
		if (next_time(w) <= limit) {
			step(w, limit);
			continue;
		}
		engine_usage(w->node[holds_nothing(&w->node[0])].e, &u);
		world_fail(w, "left after everything was closed: %u connections, %u TIME-WAIT, %u half open, %u mbufs", u.conns,
			   u.timewaits, u.half_open, u.mbufs);
	}
}

void world_transfer(struct world *w)
{
	settle(w);
	while (!sessions_done(w))
		step(w, w->end);
	sessions_check(w);
}

void world_run(struct world *w)
{
	world_transfer(w);
	clean_up(w);
	for (unsigned i = 0; i < 2; i++) {
		struct node *n = &w->node[i];

		engine_destroy(n->e);
		n->e = NULL;
		if (rte_mempool_avail_count(n->pool) != n->pool_full)
			world_fail(w, "node %u: %d mbufs did not come back", i,
				   (int)(n->pool_full - rte_mempool_avail_count(n->pool)));
	}
}

void world_drop(struct world *w)
{
	for (unsigned i = 0; i < 2; i++) {
		if (w->node[i].e)
			engine_destroy(w->node[i].e);
		w->node[i].e = NULL;
		free(w->node[i].region);
		w->node[i].region = NULL;
		link_clear(&w->link[i]);
	}
}
