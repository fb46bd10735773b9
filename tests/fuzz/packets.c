/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packets.c - packets as a fuzzer's input says: TCP segments whose numbers are near those that matter and whose checksums are
 * right, ICMP that quotes them, ARP, IP with options and fragments, and plain bytes.
 */
#include <netinet/in.h>
#include <string.h>

#include "tests/fuzz/world.h"

#define ETH_LEN 14
#define IP_LEN 20
#define ARP_LEN 28

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* ---- TCP ---- */

/* What an input may ask of a segment beyond the usual. */
enum {
	WITH_URG = 1,
	WITH_TOS = 2,
	WITH_BAD_SUM = 4,
	WITH_RAW = 8,
	WITH_SACK = 16,
	WITH_TS = 32,
	WITH_BARE = 64,
	WITH_PORT = 128
};

static uint32_t choose_seq(const struct flow_view *f, unsigned which, struct input_bytes *in, bool *wild)
{
	switch (which) {
	case 0:
		return f->snd_nxt;
	case 1:
		return f->snd_nxt + (uint32_t)in_step(in);
	case 2:
		return f->acked + (uint32_t)in_step(in);
	case 3:
		return f->edge + (uint32_t)in_step(in);
	case 4:
		return f->isn + (uint32_t)in_step(in);
	case 5:
		return f->acked - 1;
	case 6:
		*wild = true;
		return f->acked + 0x80000000 + (uint32_t)in_step(in);
	default:
		*wild = true;
		return in_u32(in);
	}
}

static uint32_t choose_ack(const struct flow_view *f, unsigned which, struct input_bytes *in, bool *wild)
{
	switch (which) {
	case 0:
	case 1:
		return f->rcv_nxt;
	case 2:
		return f->una;
	case 3:
		return f->una + (uint32_t)in_step(in);
	case 4:
		return f->rcv_nxt + (uint32_t)in_step(in);
	case 5:
		return f->irs + (uint32_t)in_step(in);
	case 6:
		*wild = true;
		return f->rcv_nxt + 0x80000000 + (uint32_t)in_step(in);
	default:
		*wild = true;
		return in_u32(in);
	}
}

/* Blocks near what is in flight. */
static void add_sack(const struct flow_view *f, struct tcp_part *t, struct input_bytes *in)
{
	struct tcp_opt o = {.kind = OPT_SACK, .nsacks = (uint8_t)(1 + in_u8(in) % 3)};

	for (unsigned i = 0; i < o.nsacks; i++) {
		o.sack[i][0] = f->una + (uint32_t)in_step(in);
		o.sack[i][1] = o.sack[i][0] + in_u16(in);
	}
	t->opt[t->nopts++] = o;
}

static void change_ts(struct tcp_part *t, struct input_bytes *in)
{
	for (unsigned i = 0; i < t->nopts; i++) {
		if (t->opt[i].kind != OPT_TS)
			continue;
		t->opt[i].a += (uint32_t)in_step(in);
		t->opt[i].b += (uint32_t)in_step(in);
	}
}

static void add_raw(struct tcp_part *t, struct input_bytes *in)
{
	struct tcp_opt o = {.kind = OPT_RAW};

	o.nraw = (uint8_t)in_bytes(in, o.raw, in_u8(in) % sizeof(o.raw));
	t->opt[t->nopts++] = o;
}

static void add_extras(struct world *w, unsigned flow, struct packet *p, uint8_t with, struct input_bytes *in)
{
	struct flow_view *f = &w->flow[flow];

	if (!(with & WITH_BARE))
		peer_options(w, flow, &p->tcp);
	if (with & WITH_TS)
		change_ts(&p->tcp, in);
	if (with & WITH_SACK)
		add_sack(f, &p->tcp, in);
	if (with & WITH_RAW)
		add_raw(&p->tcp, in);
	if (with & WITH_URG) {
		p->tcp.flags |= FLAG_URG;
		p->tcp.urg = in_u16(in);
		w->unread_known = false; /* an urgent byte is left out of what is read */
	}
	if (with & WITH_TOS)
		p->ip.ecn = in_u8(in) & 3;
	if (with & WITH_BAD_SUM) {
		uint8_t which = in_u8(in);

		p->ip.bad_sum = which & 1;
		p->ip.bad_payload_sum = which & 2;
		p->ip.more_fragments = which & 4;
	}
	if (with & WITH_PORT)
		p->dst_port = OUR_PORT + in_u8(in) % 4;
}

/* SYNs that differ from the one that the referee saw, options that it can't read, numbers from nowhere. */
static bool breaks_rules(const struct packet *p, uint8_t with, bool wild)
{
	return wild || with & (WITH_RAW | WITH_BARE | WITH_PORT) || p->tcp.flags & FLAG_SYN;
}

static void tcp_packet(struct world *w, struct input_bytes *in)
{
	unsigned flow = in_u8(in) % FLOWS;
	struct flow_view *f = &w->flow[flow];
	struct packet p = peer_template(w, flow);
	uint8_t numbers = in_u8(in), with, len;
	bool wild = false;

	p.tcp.flags = in_u8(in) ^ FLAG_ACK;
	p.tcp.seq = choose_seq(f, numbers & 7, in, &wild);
	p.tcp.ack = choose_ack(f, numbers >> 3 & 7, in, &wild);
	if (numbers & 64)
		p.tcp.win = in_u16(in);
	len = numbers & 128 ? in_u8(in) : 0;
	p.tcp.len = len < 200 ? len : (len - 199) * 25;
	with = in_u8(in);
	add_extras(w, flow, &p, with, in);
	if (breaks_rules(&p, with, wild))
		f->lawless = true;
	peer_send(w, flow, &p);
}

/* ---- the rest of IP ---- */

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* RFC 1071, complemented, with the field at `at` taken as zero and then set. */
static void set_checksum(uint8_t *p, size_t len, size_t at)
{
	uint32_t sum = 0;

	put16(p + at, 0);
	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(p + at, ~sum);
}

static void put_eth(uint8_t *frame, const uint8_t to[6], uint16_t type)
{
	memcpy(frame, to, 6);
	memcpy(frame + 6, peer_mac, 6);
	put16(frame + 12, type);
}

/* Between the peer and the engine, or the other way round as an ICMP error quotes it. */
static void put_ip(uint8_t *ip, uint8_t proto, size_t total, bool ours)
{
	memcpy(ip, "\x45\0\0\0\0\0\x40\0\x40\0\0\0", 12);
	put16(ip + 2, (uint32_t)total);
	ip[9] = proto;
	memcpy(ip + 12, ours ? "\x0a\0\0\1\x0a\0\0\2" : "\x0a\0\0\2\x0a\0\0\1", 8);
	set_checksum(ip, IP_LEN, 10);
}

/* The start of a segment of the engine's: the length of it. */
static size_t put_quote(struct world *w, uint8_t *quote, uint8_t how, struct input_bytes *in)
{
	struct flow_view *f = &w->flow[how % FLOWS];
	uint32_t seq = (how & 32 ? f->rcv_nxt : f->una) + (uint32_t)in_step(in);

	put_ip(quote, IPPROTO_TCP, MTU, true);
	put16(quote + IP_LEN, f->our_port);
	put16(quote + IP_LEN + 2, PEER_PORT + how % FLOWS);
	put16(quote + IP_LEN + 4, seq >> 16);
	put16(quote + IP_LEN + 6, seq);
	return IP_LEN + (how & 16 ? 8 : 20);
}

/* An ICMP message: eight bytes of the input, then a quoted segment or nothing, then bytes of the input. */
static void icmp_packet(struct world *w, struct input_bytes *in)
{
	uint8_t frame[ETH_LEN + IP_LEN + 320] = {0}, *icmp = frame + ETH_LEN + IP_LEN, how = in_u8(in);
	size_t len = 8;

	in_bytes(in, icmp, 8);
	if (!(how & 64))
		len += put_quote(w, icmp + 8, how, in);
	len += in_bytes(in, icmp + len, in_u8(in));
	if (!(how & 128))
		set_checksum(icmp, len, 2);
	put_eth(frame, our_mac, 0x0800);
	put_ip(frame + ETH_LEN, IPPROTO_ICMP, IP_LEN + len, false);
	world_frame(w, frame, ETH_LEN + IP_LEN + len);
}

static void arp_packet(struct world *w, struct input_bytes *in)
{
	uint8_t frame[ETH_LEN + ARP_LEN], *arp = frame + ETH_LEN, how = in_u8(in);

	put_eth(frame, how & 1 ? broadcast_mac : our_mac, 0x0806);
	memcpy(arp, "\0\1\x08\0\6\4\0", 7);
	arp[7] = in_u8(in);
	memcpy(arp + 8, peer_mac, 6);
	memcpy(arp + 14, "\x0a\0\0\2\2\0\0\0\0\1\x0a\0\0\1", 14);
	arp[13] = in_u8(in);
	arp[17] = in_u8(in);
	arp[27] = in_u8(in);
	w->mute = how & 2;
	/* Bytes over the fields, or the end cut off. */
	if (how & 4)
		in_bytes(in, arp, ARP_LEN);
	world_frame(w, frame, ETH_LEN + ARP_LEN - (how & 8 ? in_u8(in) % ARP_LEN : 0));
}

/* An IP packet whose header is the input's; addresses, length and checksum made right if it says so. */
static void ip_packet(struct world *w, struct input_bytes *in)
{
	uint8_t frame[ETH_LEN + 256] = {0}, *ip = frame + ETH_LEN, fix = in_u8(in);
	size_t head, len;

	put_eth(frame, fix & 4 ? broadcast_mac : our_mac, 0x0800);
	len = in_bytes(in, ip, in_u8(in));
	if (fix & 1 && len >= IP_LEN) {
		memcpy(ip + 12, "\x0a\0\0\2\x0a\0\0\1", 8);
		put16(ip + 2, (uint32_t)len);
	}
	head = (ip[0] & 15) * 4u;
	if (fix & 2 && head >= IP_LEN && head <= len)
		set_checksum(ip, head, 10);
	world_frame(w, frame, ETH_LEN + len);
}

static void plain_bytes(struct world *w, struct input_bytes *in)
{
	uint8_t frame[256];

	world_frame(w, frame, in_bytes(in, frame, in_u8(in)));
}

void peer_packet(struct world *w, struct input_bytes *in)
{
	uint8_t kind = in_u8(in);

	if (kind < 192)
		tcp_packet(w, in);
	else if (kind < 216)
		icmp_packet(w, in);
	else if (kind < 232)
		arp_packet(w, in);
	else if (kind < 248)
		ip_packet(w, in);
	else
		plain_bytes(w, in);
}
