/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * world.c - the engine under the fuzzers' hands: its life, its clock, its wire; see world.h.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "tests/common/audit.h"
#include "tests/common/offload.h"
#include "tests/common/testpool.h"
#include "tests/fuzz/world.h"

#define POOL 512
#define POOL_SMALL 48
#define BURST 32
#define CONNS 16
#define TIMEWAITS 4
#define CLOCK_START 1000000000
#define OFFLOADS (ENGINE_RX_CSUM | ENGINE_TX_IP_CSUM | ENGINE_TX_TCP_CSUM | ENGINE_TX_TSO | ENGINE_TX_MULTI_SEG)
/* Rounds of output in which an engine may find new work at one and the same time. */
#define SETTLE_MAX 1000
/* Deadlines in one step of time, and until everything has ended. */
#define DEADLINES_STEP 64
#define DEADLINES_END 20000

static struct rte_mempool *pools[2];
static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};

void world_fault(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "FAULT: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	abort();
}

void world_start(void)
{
	if (testpool_start(32) < 0)
		world_fault("EAL does not start");
	pools[0] = testpool_create("fuzz", POOL, MTU);
	pools[1] = testpool_create("fuzz-small", POOL_SMALL, MTU);
	if (!pools[0] || !pools[1])
		world_fault("no memory for packets");
}

static bool tracing(void)
{
	static int wanted = -1;

	if (wanted < 0)
		wanted = getenv("FUZZ_TRACE") != NULL;
	return wanted;
}

void world_trace(const struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!tracing())
		return;
	fprintf(stderr, "%12.6f ", (double)(w->now - CLOCK_START) / 1e6);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
}

struct temper temper_read(struct input_bytes *in)
{
	uint8_t bits = in_u8(in), more = in_u8(in);

	return (struct temper){.ts = !(bits & 1),
			       .sack = !(bits & 2),
			       .wscale = !(bits & 4),
			       .offload = bits & 8,
			       .exact = !(bits & 16),
			       .small_pool = bits & 32,
			       .shift = more & 15,
			       .mss = bits & 64 ? 64 + more : 1460};
}

static struct engine_config config(const struct world *w)
{
	struct engine_config c = {
	    .pool = w->pool,
	    .secret = {0x0123456789abcdef, 0xfedcba9876543210},
	    .mtu = MTU,
	    .caps = w->temper.offload ? OFFLOADS : 0,
	    .naddrs = 1,
	    .nstacks = 1,
	    .max_conns = CONNS,
	    .max_timewait = TIMEWAITS,
	};

	memcpy(c.mac, our_mac, 6);
	c.addrs[0] = (struct ip_prefix){ip_from_v4(rte_cpu_to_be_32(0x0a000001)), 120};
	c.gateway = ip_from_v4(rte_cpu_to_be_32(0x0a0000fe));
	tcp_settings_init(&c.tcp);
	return c;
}

/* The same for all engines: their sizes are, and it is exact, so that a step beyond it is seen. */
static void *region(size_t size)
{
	static void *memory;

	if (!memory && posix_memalign(&memory, 64, size))
		world_fault("no memory for a region");
	memset(memory, 0, size);
	return memory;
}

void world_open(struct world *w, const struct temper *t, void (*tune)(struct tcp_settings *s, void *arg), void *arg)
{
	struct engine_config c;
	size_t size;

	memset(w, 0, sizeof(*w));
	w->temper = *t;
	w->pool = pools[t->small_pool];
	w->pool_full = rte_mempool_avail_count(w->pool);
	w->now = CLOCK_START;
	w->unread_known = w->sent_known = true;
	c = config(w);
	if (tune)
		tune(&c.tcp, arg);
	size = engine_size(&c);
	w->e = engine_create(region(size), size, &c, w->now);
	if (!w->e)
		world_fault("engine_create() failed");
	w->sock[0] = engine_socket(w->e);
	if (engine_bind(w->e, w->sock[0], &(struct endpoint){.port = OUR_PORT}) || engine_listen(w->e, w->sock[0], 4, w->now))
		world_fault("no listener");
}

/* ---- the wire ---- */

static void free_buffer(void *addr, void *opaque)
{
	free(opaque);
	free(addr);
}

/* A frame in memory of exactly its size. */
static struct rte_mbuf *exact_frame(struct world *w, const uint8_t *frame, size_t len)
{
	struct rte_mbuf_ext_shared_info *info;
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->pool);
	void *copy;

	if (!m)
		return NULL;
	copy = malloc(len);
	info = malloc(sizeof(*info));
	memcpy(copy, frame, len);
	info->free_cb = free_buffer;
	info->fcb_opaque = info;
	rte_mbuf_ext_refcnt_set(info, 1);
	rte_pktmbuf_attach_extbuf(m, copy, 0, (uint16_t)len, info);
	m->data_off = 0;
	m->data_len = (uint16_t)len;
	m->pkt_len = (uint32_t)len;
	return m;
}

static struct rte_mbuf *pool_frame(struct world *w, const uint8_t *frame, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->pool);

	if (m)
		memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, len);
	return m;
}

void world_frame(struct world *w, const uint8_t *frame, size_t len)
{
	struct rte_mbuf *m;

	if (!len)
		return;
	/* Without memory for it a frame is lost, as in any device. */
	m = w->temper.exact ? exact_frame(w, frame, len) : pool_frame(w, frame, len);
	if (!m)
		return;
	m->port = 0;
	if (w->temper.offload)
		offload_mark_received(m);
	engine_input(w->e, &m, 1, w->now);
	world_settle(w);
}

static void answer_arp(struct world *w, const struct packet *ask)
{
	struct packet reply = {.kind = PACKET_ARP};
	uint8_t frame[64];

	if (w->mute || ask->arp.op != 1 || ask->arp.tpa == rte_cpu_to_be_32(0x0a000001))
		return;
	reply.arp.op = 2;
	reply.arp.spa = ask->arp.tpa;
	reply.arp.tpa = ask->arp.spa;
	memcpy(reply.arp.sha, peer_mac, 6);
	world_frame(w, frame, packet_build(&reply, our_mac, peer_mac, 0, frame, sizeof(frame)));
}

/* Sent frames are looked at when the burst is out: an answer to one must not come in the middle of it. */
struct sent {
	struct packet packet;
	const uint8_t *payload;
	uint8_t frame[MTU + 14];
};
struct sent_list {
	struct sent *list;
	unsigned n, room;
};

static void note_frame(void *arg, const uint8_t *data, size_t len)
{
	struct sent_list *all = arg;
	struct sent *s;

	if (len > sizeof(s->frame))
		world_fault("a frame of %zu bytes was sent", len);
	if (all->n == all->room) {
		all->room = all->room ? all->room * 2 : BURST;
		all->list = realloc(all->list, all->room * sizeof(*all->list));
		if (!all->list)
			world_fault("no memory");
	}
	s = &all->list[all->n++];
	memcpy(s->frame, data, len);
	s->packet.flow = (unsigned)len; /* until it is decoded, when the list has come to rest */
}

/* The same for both directions; numbers are the wire's. */
void world_trace_packet(struct world *w, const struct packet *p, bool ours)
{
	char text[512];

	if (!tracing())
		return;
	packet_print(p, text, sizeof(text));
	world_trace(w, "%c %u %s", ours ? '>' : '<', p->kind == PACKET_TCP ? (ours ? p->dst_port : p->src_port) : 0, text);
}

static void judge_frames(struct world *w, struct sent_list *all)
{
	for (unsigned i = 0; i < all->n; i++) {
		struct sent *s = &all->list[i];
		const char *fault = packet_decode(s->frame, s->packet.flow, &s->packet, &s->payload);

		if (memcmp(s->frame + 6, our_mac, 6))
			world_fault("a frame was sent from a foreign Ethernet address");
		if (fault)
			world_fault("the engine sent a bad frame: %s", fault);
		world_trace_packet(w, &s->packet, true);
		if (s->packet.kind == PACKET_TCP)
			peer_learn(w, &s->packet, s->payload);
		else if (s->packet.kind == PACKET_ARP)
			answer_arp(w, &s->packet);
	}
	free(all->list);
}

/* One burst; false: nothing was to be sent. */
static bool drain(struct world *w)
{
	struct rte_mbuf *burst[BURST];
	unsigned n = engine_output(w->e, burst, BURST, w->now);
	struct sent_list all = {NULL, 0, 0};
	struct offload_card card = {.caps = w->temper.offload ? OFFLOADS : 0, .mtu = MTU};

	for (unsigned i = 0; i < n; i++) {
		const char *fault = offload_finish(burst[i], &card, note_frame, &all);

		if (fault)
			world_fault("the engine sent a bad frame: %s", fault);
		rte_pktmbuf_free(burst[i]);
	}
	judge_frames(w, &all);
	return n > 0;
}

static void take_events(struct world *w)
{
	uint32_t edges;

	for (unsigned n = 0; engine_next_event(w->e, &edges); n++)
		if (n > CONNS)
			world_fault("engine_next_event() does not come to an end");
}

static void audit(struct world *w)
{
	const char *fault = audit_engine(w->e);
	struct engine_usage u;

	if (fault)
		world_fault("%s", fault);
	engine_usage(w->e, &u);
	/* One that waits for an address is counted as one, however many segments it has. */
	if (u.mbufs + w->taken != w->pool_full - rte_mempool_avail_count(w->pool) && !audit_waiting(w->e))
		world_fault("%u packets are in use, the engine knows of %u", w->pool_full - rte_mempool_avail_count(w->pool),
			    u.mbufs + w->taken);
}

void world_settle(struct world *w)
{
	static unsigned depth;
	bool busy = true;

	/* An answer to what is being taken out comes back here. */
	if (depth)
		return;
	depth++;
	for (unsigned rounds = 0; busy; rounds++) {
		if (rounds == SETTLE_MAX)
			world_fault("the engine finds new work for ever without time passing");
		if (engine_next_deadline(w->e) <= w->now)
			engine_run(w->e, w->now);
		busy = drain(w) || engine_next_deadline(w->e) <= w->now;
		take_events(w);
	}
	if (engine_has_output(w->e))
		world_fault("engine_has_output() is true although engine_output() gave all it had");
	depth--;
	audit(w);
}

/* ---- time ---- */

/* To the next deadline, if that is not after the end. */
static bool one_deadline(struct world *w, usec_t end)
{
	usec_t next = engine_next_deadline(w->e);

	if (next > end)
		return false;
	w->now = next > w->now ? next : w->now;
	engine_run(w->e, w->now);
	world_settle(w);
	return true;
}

void world_advance(struct world *w, usec_t us)
{
	usec_t end = w->now + us;

	for (unsigned n = 0; n < DEADLINES_STEP && one_deadline(w, end); n++)
		;
	if (end > w->now)
		w->now = end;
	world_settle(w);
}

/* ---- the end ---- */

static void give_back(struct world *w)
{
	while (w->taken)
		rte_pktmbuf_free(w->hoard[--w->taken]);
}

void world_close(struct world *w)
{
	struct engine_usage u;
	unsigned n = 0;

	give_back(w);
	for (unsigned i = 0; i < SOCKS; i++)
		if (w->sock[i])
			engine_abort(w->e, w->sock[i], w->now);
	world_settle(w);
	for (engine_usage(w->e, &u); u.conns || u.timewaits; engine_usage(w->e, &u)) {
		if (n++ == DEADLINES_END)
			world_fault("%u connections and %u TIME-WAIT entries do not come to an end", u.conns, u.timewaits);
		if (!one_deadline(w, USEC_NEVER - 1))
			world_fault("%u connections and %u TIME-WAIT entries are left, and no timer runs", u.conns, u.timewaits);
	}
	if (u.half_open)
		world_fault("%u half-open connections are counted, and there is none", u.half_open);
	engine_destroy(w->e);
	if (rte_mempool_avail_count(w->pool) != w->pool_full)
		world_fault("%u packets did not come back", w->pool_full - rte_mempool_avail_count(w->pool));
}

int world_sock_slot(struct world *w)
{
	for (int i = 1; i < SOCKS; i++)
		if (!w->sock[i])
			return i;
	return -1;
}
