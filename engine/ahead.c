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
/* From so many connections on, those in TIME-WAIT included, buckets and control blocks are no longer in the cache. */
#define MANY 1024

bool ahead_pays(const struct engine *e, unsigned n)
{
	return e->conns.used + e->timewaits.used > MANY && n > 1;
}

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

static void fetch_conn(const struct flow *f)
{
	for (unsigned i = 0; f && i < CONN_HOT_LINES; i++)
		rte_prefetch0((const char *)f + (size_t)i * RTE_CACHE_LINE_SIZE);
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
	if (at + CONN < n && at + CONN >= 0 && (bucket = a->bucket[(at + CONN) % AHEAD_KEPT]))
		fetch_conn(*bucket);
}

void ahead_begin(struct engine *e, struct ahead *a, struct rte_mbuf **pkts, int n)
{
	for (int at = -HEADER; at < 0; at++)
		ahead_step(e, a, pkts, n, at);
}
