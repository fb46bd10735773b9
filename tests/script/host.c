/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.c - the engine under test, its clock and its wire; see host.h.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "tests/script/host.h"
#include "tests/common/offload.h"

/* The clock starts above zero, on a whole second, so that millisecond timestamps change on whole milliseconds. */
#define CLOCK_START 1000000000
#define BURST 32
/* Rounds in which the engine may find new work at one and the same time. */
#define SETTLE_MAX 10000

const uint8_t host_mac[6] = {0x02, 0, 0, 0, 0, 0x01}, host_peer_mac[6] = {0x02, 0, 0, 0, 0, 0x02};

static void fill_config(const struct host *h, struct engine_config *cfg)
{
	const struct script_settings *set = h->set;

	memset(cfg, 0, sizeof(*cfg));
	cfg->pool = h->pool;
	cfg->secret[0] = 0x0123456789abcdef;
	cfg->secret[1] = 0xfedcba9876543210;
	memcpy(cfg->mac, host_mac, 6);
	cfg->mtu = set->mtu;
	cfg->caps = h->caps;
	cfg->addrs[0].addr = ip_from_v4(set->local_ip);
	cfg->addrs[0].len = (uint8_t)(96 + set->prefix_len);
	cfg->naddrs = 1;
	cfg->gateway = ip_from_v4(set->gateway_ip);
	memset(cfg->rss_key, 0x6d, sizeof(cfg->rss_key));
	cfg->nstacks = 1;
	cfg->max_conns = set->max_conns;
	cfg->max_repairs = set->max_repairs;
	cfg->max_timewait = set->max_timewait;
	cfg->tcp = set->tcp;
}

void host_init(struct host *h, const struct script_settings *set, bool offload, struct rte_mempool *pool,
	       struct script_error *err)
{
	struct engine_config cfg;
	size_t size;

	memset(h, 0, sizeof(*h));
	h->set = set;
	h->err = err;
	h->pool = pool;
	h->pool_full = rte_mempool_avail_count(pool);
	h->now = h->started = CLOCK_START;
	h->answer_arp = !set->manual_arp;
	h->sent_tail = &h->sent;
	h->caps = offload ? ENGINE_RX_CSUM | ENGINE_TX_IP_CSUM | ENGINE_TX_TCP_CSUM | ENGINE_TX_TSO | ENGINE_TX_MULTI_SEG : 0;
	fill_config(h, &cfg);
	size = engine_size(&cfg);
	if (!size)
		script_fail(err, 0, "engine_size() calls the configuration invalid");
	/* Exactly the size asked for, so that AddressSanitizer sees a step beyond it. */
	if (posix_memalign(&h->region, 64, size))
		script_fail(err, 0, "no memory for a region of %zu bytes", size);
	memset(h->region, 0, size);
	h->e = engine_create(h->region, size, &cfg, h->now);
	if (!h->e)
		script_fail(err, 0, "engine_create() failed");
}

/* Another machine on the local network says where it is; true if the frame was an ARP request and is dealt with. */
static bool answer_arp(struct host *h, const uint8_t *frame, size_t len)
{
	struct packet ask, reply = {.kind = PACKET_ARP};
	const uint8_t *payload;
	uint8_t out[64];

	if (!h->answer_arp || packet_decode(frame, len, &ask, &payload) || ask.kind != PACKET_ARP)
		return false;
	if (ask.arp.op != 1 || ask.arp.tpa == h->set->local_ip)
		return true;
	reply.arp.op = 2;
	reply.arp.spa = ask.arp.tpa;
	reply.arp.tpa = ask.arp.spa;
	memcpy(reply.arp.sha, host_peer_mac, 6);
	host_inject(h, out, packet_build(&reply, host_mac, host_peer_mac, 0, out, sizeof(out)));
	return true;
}

static void queue_frame(void *arg, const uint8_t *data, size_t len)
{
	struct host *h = arg;
	struct frame *f;

	if (memcmp(data + 6, host_mac, 6))
		script_fail(h->err, 0, "a frame was sent from a foreign Ethernet address");
	if (answer_arp(h, data, len) || h->discard)
		return;
	f = malloc(sizeof(*f) + len);
	if (!f)
		abort();
	f->next = NULL;
	f->at = h->now;
	f->len = len;
	memcpy(f->data, data, len);
	*h->sent_tail = f;
	h->sent_tail = &f->next;
}

/* Let the engine send; true if it did. */
static bool drain(struct host *h)
{
	struct rte_mbuf *burst[BURST];
	unsigned n, total = 0;
	const char *fault = NULL;
	struct offload_card card = {.caps = h->caps, .mtu = h->set->mtu};

	do {
		n = engine_output(h->e, burst, BURST, h->now);
		for (unsigned i = 0; i < n; i++) {
			if (!fault)
				fault = offload_finish(burst[i], &card, queue_frame, h);
			rte_pktmbuf_free(burst[i]);
		}
		total += n;
	} while (n == BURST && !fault);
	if (fault)
		script_fail(h->err, 0, "the engine sent a bad frame: %s", fault);
	return total > 0;
}

void host_settle(struct host *h)
{
	bool busy = true;

	for (unsigned rounds = 0; busy; rounds++) {
		if (rounds == SETTLE_MAX)
			script_fail(h->err, 0, "the engine finds new work for ever without time passing");
		if (engine_next_deadline(h->e) <= h->now)
			engine_run(h->e, h->now);
		busy = drain(h) || engine_next_deadline(h->e) <= h->now;
	}
	if (engine_has_output(h->e))
		script_fail(h->err, 0, "engine_has_output() is true although engine_output() gave all it had");
}

bool host_advance(struct host *h, usec_t until)
{
	usec_t next = engine_next_deadline(h->e);
	bool met = next <= until;

	if (met)
		h->now = next > h->now ? next : h->now;
	else if (until > h->now)
		h->now = until;
	host_settle(h);
	return met;
}

void host_inject(struct host *h, const uint8_t *frame, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(h->pool);
	char *room = m ? rte_pktmbuf_append(m, (uint16_t)len) : NULL;

	if (!len || !room) {
		rte_pktmbuf_free(m);
		script_fail(h->err, 0, "no mbuf for a frame of %zu bytes", len);
	}
	memcpy(room, frame, len);
	if (h->caps & ENGINE_RX_CSUM)
		offload_mark_received(m);
	engine_input(h->e, &m, 1, h->now);
}

struct frame *host_take(struct host *h)
{
	struct frame *f = h->sent;

	if (!f)
		return NULL;
	h->sent = f->next;
	if (!h->sent)
		h->sent_tail = &h->sent;
	return f;
}

void host_drop(struct host *h)
{
	for (struct frame *f = host_take(h); f; f = host_take(h))
		free(f);
	if (h->e)
		engine_destroy(h->e);
	free(h->region);
	h->e = NULL;
	h->region = NULL;
}

void host_fini(struct host *h)
{
	unsigned left;

	host_drop(h);
	left = rte_mempool_avail_count(h->pool);
	if (left != h->pool_full)
		script_fail(h->err, 0, "%d mbufs did not come back after engine_destroy()", (int)(h->pool_full - left));
}
