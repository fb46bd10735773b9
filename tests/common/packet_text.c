/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * packet_text.c - packets in the notation of scripts, and the comparison of an expected with a sent one.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <string.h>

#include "tests/common/packet.h"

#define TFO_COOKIE_LEN 8

/* Text under construction, cut off at the end of the buffer. */
struct text {
	char *buf;
	size_t n, size;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->buf + t->n, t->size - t->n, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->n += (size_t)n < t->size - t->n ? (size_t)n : t->size - t->n - 1;
}

static void print_option(struct text *t, const struct tcp_opt *o)
{
	switch (o->kind) {
	case OPT_EOL:
		add(t, "eol");
		break;
	case OPT_NOP:
		add(t, "nop");
		break;
	case OPT_MSS:
		add(t, "mss %u", o->a);
		break;
	case OPT_WSCALE:
		add(t, "wscale %u", o->a);
		break;
	case OPT_SACKOK:
		add(t, "sackOK");
		break;
	case OPT_SACK:
		add(t, "sack");
		for (unsigned i = 0; i < o->nsacks; i++)
			add(t, " %u:%u", o->sack[i][0], o->sack[i][1]);
		break;
	case OPT_TS:
		add(t, "TS val %u ecr %u", o->a, o->b);
		break;
	case OPT_FO:
	case OPT_EXP:
		add(t, "%s%s", o->kind == OPT_FO ? "FO" : "FOEXP", o->cookie ? " TFO_COOKIE" : o->nraw ? " " : "");
		for (unsigned i = 0; i < o->nraw; i++)
			add(t, "%02x", o->raw[i]);
		break;
	default:
		add(t, "opt:");
		for (unsigned i = 0; i < o->nraw; i++)
			add(t, "%02x", o->raw[i]);
	}
}

static void print_tcp(struct text *t, const struct tcp_part *tcp)
{
	static const char names[] = "FSRP.UEW";
	static const int order[] = {1, 0, 2, 3, 5, 6, 7, 4}; /* S F R P U E W . */

	for (unsigned i = 0; i < 8; i++)
		if (tcp->flags & 1 << order[i])
			add(t, "%c", names[order[i]]);
	add(t, "%s%s %u:%u(%u)", tcp->psh_any ? "p" : "", tcp->flags ? "" : "-", tcp->seq, tcp->seq + tcp->len, tcp->len);
	if (tcp->flags & FLAG_ACK)
		add(t, " ack %u", tcp->ack);
	if (tcp->win >= 0)
		add(t, " win %d", tcp->win);
	if (tcp->urg > 0)
		add(t, " urg %d", tcp->urg);
	if (tcp->opts_any)
		add(t, " <...>");
	for (unsigned i = 0; i < tcp->nopts; i++) {
		add(t, "%s", i ? "," : " <");
		print_option(t, &tcp->opt[i]);
	}
	if (tcp->nopts)
		add(t, ">");
}

static void print_icmp(struct text *t, const struct icmp_part *i)
{
	add(t, "icmp type %u code %u", i->type, i->code);
	if (i->mtu)
		add(t, " mtu %u", i->mtu);
	if (i->type == 0 || i->type == 8)
		add(t, " id %u seq %u len %u", i->id, i->echo_seq, i->payload);
	if (i->quotes)
		add(t, " [%u:%u(%u)]", i->seq, i->seq + i->len, i->len);
}

static void print_arp(struct text *t, const struct arp_part *a)
{
	char spa[INET_ADDRSTRLEN], tpa[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &a->spa, spa, sizeof(spa));
	inet_ntop(AF_INET, &a->tpa, tpa, sizeof(tpa));
	if (a->op == 1)
		add(t, "arp who-has %s tell %s", tpa, spa);
	else
		add(t, "arp reply %s is-at %02x:%02x:%02x:%02x:%02x:%02x", spa, a->sha[0], a->sha[1], a->sha[2], a->sha[3],
		    a->sha[4], a->sha[5]);
}

void packet_print(const struct packet *p, char *buf, size_t size)
{
	static const char *const ecn[] = {"noecn", "ect1", "ect0", "ce"};
	struct text t = {buf, 0, size};

	buf[0] = '\0';
	if (p->kind == PACKET_ARP) {
		print_arp(&t, &p->arp);
		return;
	}
	if (p->flow != 1)
		add(&t, "@%u ", p->flow);
	if (p->ip.ecn > 0)
		add(&t, "[%s] ", ecn[p->ip.ecn]);
	if (p->kind == PACKET_TCP)
		print_tcp(&t, &p->tcp);
	else
		print_icmp(&t, &p->icmp);
}

static bool same_option(const struct tcp_opt *a, const struct tcp_opt *b)
{
	if (a->kind == OPT_FO || a->kind == OPT_EXP)
		return a->kind == b->kind &&
		       (a->cookie ? b->nraw == TFO_COOKIE_LEN : a->nraw == b->nraw && !memcmp(a->raw, b->raw, a->nraw));
	return a->kind == b->kind && a->a == b->a && a->b == b->b && a->nsacks == b->nsacks &&
	       !memcmp(a->sack, b->sack, a->nsacks * sizeof(a->sack[0]));
}

static const char *tcp_mismatch(const struct tcp_part *want, const struct tcp_part *got)
{
	uint8_t ignored = want->psh_any ? FLAG_PSH : 0;

	if ((want->flags | ignored) != (got->flags | ignored))
		return "flags";
	if (want->seq != got->seq)
		return "sequence number";
	if (want->len != got->len)
		return "length";
	if (want->flags & FLAG_ACK && want->ack != got->ack)
		return "acknowledgment number";
	if (want->win >= 0 && want->win != got->win)
		return "window";
	if (want->urg >= 0 && want->urg != got->urg)
		return "urgent pointer";
	if (want->opts_any)
		return NULL;
	if (want->nopts != got->nopts)
		return "TCP options";
	for (unsigned i = 0; i < want->nopts; i++)
		if (!same_option(&want->opt[i], &got->opt[i]))
			return "TCP options";
	return NULL;
}

static const char *icmp_mismatch(const struct icmp_part *want, const struct icmp_part *got)
{
	if (want->type != got->type || want->code != got->code)
		return "ICMP type";
	if (want->id != got->id || want->echo_seq != got->echo_seq)
		return "ICMP identifier or sequence";
	return want->payload == got->payload ? NULL : "ICMP length";
}

static const char *arp_mismatch(const struct arp_part *want, const struct arp_part *got)
{
	if (want->op != got->op)
		return "ARP operation";
	if (want->spa != got->spa)
		return "ARP sender";
	if (want->op == 1 && want->tpa != got->tpa)
		return "ARP target";
	return want->op == 2 && memcmp(want->sha, got->sha, 6) ? "ARP hardware address" : NULL;
}

const char *packet_mismatch(const struct packet *want, const struct packet *got)
{
	if (want->kind != got->kind)
		return "protocol";
	if (want->kind == PACKET_ARP)
		return arp_mismatch(&want->arp, &got->arp);
	if (want->flow != got->flow)
		return "connection";
	if (want->ip.ecn >= 0 && want->ip.ecn != got->ip.ecn)
		return "ECN bits";
	if (want->ip.ttl >= 0 && want->ip.ttl != got->ip.ttl)
		return "time to live";
	if (want->kind == PACKET_TCP && want->ip.may_fragment != got->ip.may_fragment)
		return "DF";
	return want->kind == PACKET_TCP ? tcp_mismatch(&want->tcp, &got->tcp) : icmp_mismatch(&want->icmp, &got->icmp);
}
