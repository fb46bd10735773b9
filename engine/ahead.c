/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ahead.c - a burst's headers, buckets and control blocks are fetched before their turn comes.  Among many connections each is a
 * miss that waits for the one before: the header says which bucket, the bucket which control block.  What is looked at here is a
 * guess about where memory will be needed: nothing is checked, and nothing is decided by it.
 */
#include <arpa/inet.h>
#include <string.h>

#include "engine/ahead.h"

/* How many packets ahead of the one whose turn it is. */
#define HEADER 12
#define BUCKET 8
#define CONN 4
#define SENT 2
/* An mbuf's two lines and those of its struct pkt: what freeing it touches. */
#define MBUF_LINES 4

/* Where the ports lie in a plain packet: an Ethernet header, an IPv4 header without options, TCP. */
#define IP_AT ETH_HDR
#define TCP_AT (ETH_HDR + IPV4_HDR)
#define PORTS 4

static struct flow **bucket_of(const struct engine *e, const struct rte_mbuf *m)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t saddr, daddr;
	uint16_t ports[2];
	struct tuple t;

	if (m->data_len < TCP_AT + PORTS || p[IP_AT] != 0x45)
		return NULL;
	memcpy(&saddr, p + IP_AT + 12, sizeof(saddr));
	memcpy(&daddr, p + IP_AT + 16, sizeof(daddr));
	memcpy(ports, p + TCP_AT, sizeof(ports));
	t = (struct tuple){
	    .laddr = ip_from_v4(daddr), .raddr = ip_from_v4(saddr), .lport = ntohs(ports[1]), .rport = ntohs(ports[0])};
	return flow_bucket(e, flow_packet_hash(e, m, &t));
}

/* The first on the chain: most chains have one.  By then its header is there, and says whether it has a queue at all. */
static void fetch_sent(const struct flow *f)
{
	const struct conn *c = container_of(f, const struct conn, f);

	for (unsigned i = 0; f && f->kind == FLOW_CONN && c->sndq.head && i < MBUF_LINES; i++)
		rte_prefetch0((const char *)c->sndq.head + (size_t)i * RTE_CACHE_LINE_SIZE);
}

/* The bucket of packet i, if it is one of this burst and one of TCP. */
static struct flow **kept(const struct ahead *a, int n, int i)
{
	return i >= 0 && i < n ? a->bucket[i % AHEAD_KEPT] : NULL;
}

void ahead_step(struct engine *e, struct ahead *a, struct rte_mbuf **pkts, int n, int at)
{
	struct flow **bucket;

	if (at + HEADER < n)
		rte_prefetch0(rte_pktmbuf_mtod(pkts[at + HEADER], void *));
	if (at + BUCKET < n && at + BUCKET >= 0) {
		bucket = bucket_of(e, pkts[at + BUCKET]);
		a->bucket[(at + BUCKET) % AHEAD_KEPT] = bucket;
		if (bucket)
			rte_prefetch0(bucket);
	}
	bucket = kept(a, n, at + CONN);
	if (bucket && *bucket)
		ahead_conn(container_of(*bucket, struct conn, f));
	bucket = kept(a, n, at + SENT);
	if (bucket)
		fetch_sent(*bucket);
}

void ahead_begin(struct engine *e, struct ahead *a, struct rte_mbuf **pkts, int n)
{
	for (int at = -HEADER; at < 0; at++)
		ahead_step(e, a, pkts, n, at);
}

void engine_prefetch(const struct conn *c)
{
	ahead_conn(c);
}
