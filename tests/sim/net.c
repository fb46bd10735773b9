/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net.c - how links are laid and frames find their way: two hosts on one cable, hosts round a switch, or two switches with a
 * bottleneck between them.  Switches are of layer 2, but one that meets a packet above the next link's MTU answers as a router
 * would (RFC 1191).
 */
#include <string.h>

#include "tests/common/packet.h"
#include "tests/sim/world.h"

#define IP_TCP_HDR 40
#define ETH_LEN 14

/* Both directions between two ends. */
static void lay(struct world *w, unsigned a, unsigned b)
{
	unsigned i = w->nwires;

	w->wire[i] = (struct wire){.from = a, .to = b, .back = i + 1};
	w->wire[i + 1] = (struct wire){.from = b, .to = a, .back = i};
	w->nwires += 2;
}

static unsigned switch_of(const struct world *w, enum topology t, unsigned host)
{
	return t == TOPOLOGY_DUMBBELL && host >= w->nhosts / 2 ? 1 : 0;
}

void net_build(struct world *w, enum topology t, unsigned nhosts)
{
	w->nhosts = nhosts;
	w->nswitches = t;
	w->nwires = 0;
	if (t == TOPOLOGY_DIRECT) {
		lay(w, 0, 1);
		w->host[1].out = 1;
		return;
	}
	for (unsigned h = 0; h < nhosts; h++) {
		w->host[h].out = w->nwires;
		lay(w, h, END_SWITCH + switch_of(w, t, h));
	}
	lay(w, END_SWITCH, END_SWITCH + 1); /* a star's leads nowhere */
	for (unsigned s = 0; s < w->nswitches; s++)
		for (unsigned h = 0; h < nhosts; h++)
			w->route[s][h] = (uint8_t)(switch_of(w, t, h) == s ? w->host[h].out + 1 : w->nwires - 2 + s);
}

/* The link that leads from an end towards a host. */
static unsigned way(const struct world *w, unsigned end, unsigned host)
{
	return end >= END_SWITCH ? w->route[end - END_SWITCH][host] : w->host[end].out;
}

bool net_touches(const struct world *w, unsigned link, unsigned a, unsigned b)
{
	unsigned at = a;

	for (unsigned hops = 0; at != b && hops < 4; hops++) {
		unsigned i = way(w, at, b);

		if (i == link || w->wire[i].back == link)
			return true;
		at = w->wire[i].to;
	}
	return false;
}

/* RFC 1191 4: to the sender of what was too large for a link; it comes from where that link begins. */
static void send_frag_needed(struct world *w, const struct wire *at, const uint8_t *data, size_t len)
{
	static const uint8_t router_mac[6] = {2, 0, 0, 0, 1, 0};
	struct packet p, icmp = {.kind = PACKET_ICMP};
	unsigned host = (unsigned)data[ETH_LEN - 3] - 1;
	const uint8_t *payload;
	uint8_t frame[128];
	size_t n;

	if (host >= w->nhosts || packet_decode(data, len, &p, &payload) || p.kind != PACKET_TCP)
		return;
	icmp.ip = (struct ip_part){.src = p.ip.dst, .dst = p.ip.src, .ecn = 0, .ttl = 64};
	icmp.src_port = p.dst_port;
	icmp.dst_port = p.src_port;
	icmp.icmp.type = 3;
	icmp.icmp.code = 4;
	icmp.icmp.mtu = (uint16_t)at->link.cfg.mtu;
	icmp.icmp.quotes = true;
	icmp.icmp.seq = p.tcp.seq;
	icmp.icmp.len = (uint32_t)(len - ETH_LEN - IP_TCP_HDR);
	n = packet_build(&icmp, w->host[host].mac, router_mac, 0, frame, sizeof(frame));
	link_send(&w->wire[at->from >= END_SWITCH ? way(w, at->from, host) : at->back].link, frame, n, false, w->now);
}

static void send_on(struct world *w, unsigned i, const uint8_t *data, size_t len, bool corrupted)
{
	struct wire *wire = &w->wire[i];

	if (!link_send(&wire->link, data, len, corrupted, w->now))
		send_frag_needed(w, wire, data, len);
}

void net_send(struct world *w, unsigned host, const uint8_t *data, size_t len)
{
	send_on(w, w->host[host].out, data, len, false);
}

/* A frame came to a switch by link i: to the host it names, or to all others. */
static void forward(struct world *w, unsigned i, const struct frame *f)
{
	unsigned at = w->wire[i].to, host = (unsigned)f->data[5] - 1;

	if (f->data[0] != 0xff) {
		if (host < w->nhosts && way(w, at, host) != w->wire[i].back)
			send_on(w, way(w, at, host), f->data, f->len, f->corrupted);
		return;
	}
	for (unsigned k = 0; k < w->nwires; k++)
		if (w->wire[k].from == at && k != w->wire[i].back && w->wire[k].to < END_SWITCH + w->nswitches)
			send_on(w, k, f->data, f->len, f->corrupted);
}

void net_run(struct world *w)
{
	struct frame *f;

	for (unsigned i = 0; i < w->nwires; i++) {
		struct wire *wire = &w->wire[i];

		while ((f = link_take(&wire->link, w->now))) {
			if (wire->to < END_SWITCH)
				host_receive(w, wire->to, f->data, f->len);
			else
				forward(w, i, f);
			link_free(f);
		}
	}
}

usec_t net_next(const struct world *w)
{
	usec_t next = USEC_NEVER;

	for (unsigned i = 0; i < w->nwires; i++) {
		usec_t at = link_next(&w->wire[i].link);

		next = at < next ? at : next;
	}
	return next;
}

void net_clear(struct world *w)
{
	for (unsigned i = 0; i < w->nwires; i++)
		link_clear(&w->wire[i].link);
}
