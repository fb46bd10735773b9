/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parse_packet.c - the packet behind "<" or ">": TCP, ICMP or ARP.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/scan.h"

/* "[ce,badsum]": details of the IP header; ttl takes a number, src and dst an address; nodf (own): DF is off. */
static void parse_ip(struct scan *s, struct ip_part *ip)
{
	static const char *const ecn[] = {"noecn", "ect1", "ect0", "ce"};
	char word[32];

	do {
		int i = 0;

		scan_word(s, word, sizeof(word));
		while (i < 4 && strcmp(word, ecn[i]))
			i++;
		if (i < 4)
			ip->ecn = i;
		else if (!strcmp(word, "ttl"))
			ip->ttl = (int)scan_number(s);
		else if (!strcmp(word, "badsum"))
			ip->bad_payload_sum = true;
		else if (!strcmp(word, "badipsum"))
			ip->bad_sum = true;
		else if (!strcmp(word, "src"))
			ip->src = scan_ip(s);
		else if (!strcmp(word, "dst"))
			ip->dst = scan_ip(s);
		else if (!strcmp(word, "mf"))
			ip->more_fragments = true;
		else if (!strcmp(word, "nodf"))
			ip->may_fragment = true;
		else
			scan_fail(s, "\"%s\" is nothing in an IP header", word);
	} while (scan_take(s, ","));
	scan_expect(s, "]");
}

static void parse_flags(struct scan *s, struct tcp_part *t)
{
	static const struct {
		char c;
		uint8_t flag;
	} names[] = {{'F', FLAG_FIN}, {'S', FLAG_SYN}, {'R', FLAG_RST}, {'P', FLAG_PSH}, {'.', FLAG_ACK},
		     {'U', FLAG_URG}, {'E', FLAG_ECE}, {'W', FLAG_CWR}, {'-', 0}};
	unsigned i;

	scan_blank(s);
	for (; !isspace((unsigned char)*s->p); s->p++) {
		if (*s->p == 'p') {
			t->psh_any = true;
			continue;
		}
		for (i = 0; i < sizeof(names) / sizeof(names[0]) && names[i].c != *s->p; i++)
			;
		if (i == sizeof(names) / sizeof(names[0]))
			scan_fail(s, "TCP flags expected before \"%.20s\"", s->p);
		t->flags |= names[i].flag;
	}
}

/* "1:1001(1000)" */
static void parse_range(struct scan *s, uint32_t *seq, uint32_t *len)
{
	uint32_t end;

	*seq = (uint32_t)scan_number(s);
	scan_expect(s, ":");
	end = (uint32_t)scan_number(s);
	scan_expect(s, "(");
	*len = (uint32_t)scan_number(s);
	scan_expect(s, ")");
	if (end - *seq != *len)
		scan_fail(s, "%u:%u(%u): the length does not fit", *seq, end, *len);
}

static void parse_sack(struct scan *s, struct tcp_opt *o)
{
	do {
		if (o->nsacks == PACKET_SACKS_MAX)
			scan_fail(s, "more than %d SACK blocks", PACKET_SACKS_MAX);
		o->sack[o->nsacks][0] = (uint32_t)scan_number(s);
		scan_expect(s, ":");
		o->sack[o->nsacks++][1] = (uint32_t)scan_number(s);
		scan_blank(s);
	} while (isdigit((unsigned char)*s->p));
}

static void parse_bytes(struct scan *s, struct tcp_opt *o)
{
	char byte[3] = "";

	for (; isxdigit((unsigned char)s->p[0]) && isxdigit((unsigned char)s->p[1]); s->p += 2) {
		if (o->nraw == PACKET_OPTS_MAX)
			scan_fail(s, "more than %d bytes of options", PACKET_OPTS_MAX);
		memcpy(byte, s->p, 2);
		o->raw[o->nraw++] = (uint8_t)strtoul(byte, NULL, 16);
	}
}

/* "FO", "FO 0123456789abcdef", "FO TFO_COOKIE": a request, a cookie, the engine's cookie. */
static void parse_cookie(struct scan *s, struct tcp_opt *o)
{
	scan_blank(s);
	o->cookie = scan_take(s, "TFO_COOKIE");
	if (!o->cookie)
		parse_bytes(s, o);
}

static void parse_option(struct scan *s, struct tcp_opt *o)
{
	static const struct {
		const char *name;
		uint16_t kind;
	} names[] = {{"eol", OPT_EOL},	 {"nop", OPT_NOP}, {"mss", OPT_MSS}, {"wscale", OPT_WSCALE}, {"sackOK", OPT_SACKOK},
		     {"sack", OPT_SACK}, {"TS", OPT_TS},   {"opt", OPT_RAW}, {"FOEXP", OPT_EXP},     {"FO", OPT_FO}};
	unsigned i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]) && !scan_take(s, names[i].name); i++)
		;
	if (i == sizeof(names) / sizeof(names[0]))
		scan_fail(s, "a TCP option expected before \"%.20s\"", s->p);
	o->kind = names[i].kind;
	if (o->kind == OPT_MSS || o->kind == OPT_WSCALE)
		o->a = (uint32_t)scan_number(s);
	if (o->kind == OPT_SACK)
		parse_sack(s, o);
	/* "opt:fd04beef" (own): these bytes as they stand, for options unknown or malformed. */
	if (o->kind == OPT_RAW) {
		scan_expect(s, ":");
		parse_bytes(s, o);
	}
	if (o->kind == OPT_FO || o->kind == OPT_EXP)
		parse_cookie(s, o);
	if (o->kind != OPT_TS)
		return;
	scan_expect(s, "val");
	o->a = (uint32_t)scan_number(s);
	scan_expect(s, "ecr");
	o->b = (uint32_t)scan_number(s);
}

static void parse_options(struct scan *s, struct tcp_part *t, bool inbound)
{
	if (scan_take(s, "...>")) {
		if (inbound)
			scan_fail(s, "<...> in a packet to be sent");
		t->opts_any = true;
		return;
	}
	do {
		if (t->nopts == PACKET_OPTS_MAX)
			scan_fail(s, "too many TCP options");
		parse_option(s, &t->opt[t->nopts++]);
	} while (scan_take(s, ","));
	scan_expect(s, ">");
}

static void parse_tcp(struct scan *s, struct packet *p, bool inbound)
{
	struct tcp_part *t = &p->tcp;

	parse_flags(s, t);
	parse_range(s, &t->seq, &t->len);
	t->win = t->urg = -1;
	if (scan_take(s, "ack"))
		t->ack = (uint32_t)scan_number(s);
	else if (t->flags & FLAG_ACK)
		scan_fail(s, "the ACK flag without an ack number");
	if (scan_take(s, "win"))
		t->win = (int32_t)scan_number(s);
	if (scan_take(s, "urg"))
		t->urg = (int32_t)scan_number(s);
	if (scan_take(s, "<"))
		parse_options(s, t, inbound);
	if (inbound && t->psh_any)
		scan_fail(s, "\"p\" in a packet to be sent");
}

static void parse_icmp(struct scan *s, struct packet *p)
{
	static const struct {
		const char *name;
		uint8_t type, code;
	} names[] = {{"net_unreachable", 3, 0},	     {"host_unreachable", 3, 1},
		     {"protocol_unreachable", 3, 2}, {"port_unreachable", 3, 3},
		     {"frag_needed", 3, 4},	     {"source_route_failed", 3, 5},
		     {"host_prohibited", 3, 10},     {"admin_prohibited", 3, 13},
		     {"source_quench", 4, 0},	     {"ttl_exceeded", 11, 0},
		     {"reassembly_exceeded", 11, 1}, {"parameter_problem", 12, 0},
		     {"echo_request", 8, 0},	     {"echo_reply", 0, 0}};
	unsigned i;

	p->kind = PACKET_ICMP;
	scan_take(s, "unreachable");
	for (i = 0; i < sizeof(names) / sizeof(names[0]) && !scan_take(s, names[i].name); i++)
		;
	if (i == sizeof(names) / sizeof(names[0]))
		scan_fail(s, "an ICMP type expected before \"%.20s\"", s->p);
	p->icmp.type = names[i].type;
	p->icmp.code = names[i].code;
	if (scan_take(s, "mtu"))
		p->icmp.mtu = (uint16_t)scan_number(s);
	if (scan_take(s, "id"))
		p->icmp.id = (uint16_t)scan_number(s);
	if (scan_take(s, "seq"))
		p->icmp.echo_seq = (uint16_t)scan_number(s);
	if (scan_take(s, "len"))
		p->icmp.payload = (uint32_t)scan_number(s);
	if (scan_take(s, "[")) {
		p->icmp.quotes = true;
		parse_range(s, &p->icmp.seq, &p->icmp.len);
		scan_expect(s, "]");
	}
}

/* "arp who-has A tell B", "arp reply A is-at 02:00:00:00:00:02" (own) */
static void parse_arp(struct scan *s, struct packet *p)
{
	p->kind = PACKET_ARP;
	if (scan_take(s, "who-has")) {
		p->arp.op = 1;
		p->arp.tpa = scan_ip(s);
		scan_expect(s, "tell");
		p->arp.spa = scan_ip(s);
		return;
	}
	scan_expect(s, "reply");
	p->arp.op = 2;
	p->arp.spa = scan_ip(s);
	scan_expect(s, "is-at");
	scan_blank(s);
	for (int i = 0; i < 6; i++) {
		char *end;

		p->arp.sha[i] = (uint8_t)strtoul(s->p, &end, 16);
		if (end != s->p + 2 || (i < 5 && *end != ':'))
			scan_fail(s, "a MAC address expected before \"%.20s\"", s->p);
		s->p = end + (i < 5);
	}
}

struct packet *parse_packet(struct scan *s, bool inbound)
{
	struct packet *p = script_alloc(s->script, sizeof(*p));

	p->flow = 1;
	p->ip.ecn = p->ip.ttl = -1;
	if (scan_take(s, "@")) {
		p->flow = (unsigned)scan_number(s);
		if (*s->p == ':') {
			s->p++;
			p->flow_port = (uint16_t)scan_number(s);
		}
	}
	if (scan_take(s, "["))
		parse_ip(s, &p->ip);
	if (scan_take(s, "icmp"))
		parse_icmp(s, p);
	else if (scan_take(s, "arp"))
		parse_arp(s, p);
	else
		parse_tcp(s, p, inbound);
	return p;
}
