/* SPDX-License-Identifier: BSD-3-Clause */
/* onestack.c - one engine on a bench; see onestack.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "engine/csum.h"
#include "tests/common/onestack.h"
#include "tests/common/testpool.h"

#define POOL_MBUFS 2047
#define DEVICE_PORT 0 /* what a device would put into rte_mbuf.port */

const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};
const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

int onestack_eal(void **state)
{
	return testpool_start(64);
}

struct ip_addr v4(const char *text)
{
	return ip_from_v4(inet_addr(text));
}

struct engine_config onestack_config(void)
{
	struct engine_config cfg = {.secret = {1, 2}, .mtu = 1500, .naddrs = 1, .max_conns = 16, .max_timewait = 16};

	memcpy(cfg.mac, our_mac, 6);
	cfg.addrs[0] = (struct ip_prefix){v4(OUR_IP), 120};
	cfg.gateway = v4(GATEWAY_IP);
	tcp_settings_init(&cfg.tcp);
	return cfg;
}

/* One pool serves all tests of a process: each leaves it full. */
static struct rte_mempool *the_pool(void)
{
	static struct rte_mempool *pool;

	if (!pool)
		pool = testpool_create("onestack", POOL_MBUFS, 1500);
	assert_non_null(pool);
	return pool;
}

void onestack_open(struct onestack *s, const struct engine_config *cfg)
{
	struct engine_config c = *cfg;
	size_t size;

	s->pool = c.pool = the_pool();
	s->now = 1000000;
	size = engine_size(&c);
	assert_true(size > 0);
	s->region = aligned_alloc(64, size);
	assert_non_null(s->region);
	memset(s->region, 0, size);
	s->e = engine_create(s->region, size, &c, s->now);
	assert_non_null(s->e);
}

void onestack_close(struct onestack *s)
{
	engine_destroy(s->e);
	assert_int_equal(rte_mempool_avail_count(s->pool), POOL_MBUFS);
	free(s->region);
}

void onestack_run(struct onestack *s, usec_t for_us)
{
	s->now += for_us;
	engine_run(s->e, s->now);
}

struct rte_mbuf *onestack_frame(struct onestack *s, const void *bytes, size_t len, size_t seg)
{
	struct rte_mbuf *first = NULL;

	for (size_t done = 0; done < len || !first;) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(s->pool);
		size_t n = len - done;

		assert_non_null(m);
		if (seg && n > seg)
			n = seg;
		if (n > rte_pktmbuf_tailroom(m))
			n = rte_pktmbuf_tailroom(m);
		memcpy(rte_pktmbuf_append(m, n), (const uint8_t *)bytes + done, n);
		done += n;
		if (first)
			assert_int_equal(rte_pktmbuf_chain(first, m), 0);
		else
			first = m;
	}
	first->port = DEVICE_PORT;
	return first;
}

void onestack_in(struct onestack *s, const void *bytes, size_t len)
{
	struct rte_mbuf *m = onestack_frame(s, bytes, len, 0);

	engine_input(s->e, &m, 1, s->now);
}

size_t onestack_out(struct onestack *s, uint8_t *out)
{
	struct rte_mbuf *m;
	size_t len;
	const void *p;

	if (!engine_output(s->e, &m, 1, s->now))
		return 0;
	rte_mbuf_sanity_check(m, 1);
	assert_true(m->nb_segs == 1 || (s->e->cfg.caps & ENGINE_TX_MULTI_SEG));
	len = m->pkt_len;
	assert_true(len <= FRAME_MAX);
	p = rte_pktmbuf_read(m, 0, len, out);
	assert_non_null(p);
	if (p != out)
		memcpy(out, p, len);
	rte_pktmbuf_free(m);
	return len;
}

void onestack_alone(struct onestack *s, usec_t for_us)
{
	static uint8_t frame[FRAME_MAX];

	for (usec_t end = s->now + for_us; s->now < end;) {
		onestack_run(s, 1000);
		assert_int_equal(onestack_out(s, frame), 0);
	}
}

size_t build_arp(uint8_t *frame, const uint8_t dst[6], uint16_t op, const uint8_t sha[6], const char *spa, const uint8_t tha[6],
		 const char *tpa)
{
	struct arp_fields f = {.op = op, .spa = v4(spa), .tpa = v4(tpa)};

	memcpy(f.sha, sha, 6);
	memcpy(f.tha, tha, 6);
	wire_write_eth(frame, dst, sha, 0x0806);
	wire_write_arp(frame + ETH_HDR, &f);
	return ETH_HDR + ARP_LEN;
}

size_t build_ip(uint8_t *frame, const char *from, const char *to, uint8_t proto, const void *payload, size_t len)
{
	struct ipv4_fields f = {
	    .saddr = v4(from), .daddr = v4(to), .total_len = IPV4_HDR + len, .id = 7, .proto = proto, .ttl = 64};

	wire_write_eth(frame, our_mac, peer_mac, 0x0800);
	wire_write_ipv4(frame + ETH_HDR, &f, false);
	memcpy(frame + ETH_HDR + IPV4_HDR, payload, len);
	return ETH_HDR + IPV4_HDR + len;
}

void seal_ip(uint8_t *frame)
{
	uint8_t *p = frame + ETH_HDR;
	uint16_t sum;

	p[10] = p[11] = 0;
	sum = ~csum_partial(p, (p[0] & 15) * 4);
	memcpy(p + 10, &sum, 2);
}

bool frame_is_arp(const uint8_t *frame, size_t len, const uint8_t dst[6], uint16_t op, const char *spa, const char *tpa)
{
	struct ip_addr sp = v4(spa), tp = v4(tpa);
	struct eth_fields eth;
	struct arp_fields f;

	return wire_parse_eth(frame, len, &eth) == WIRE_OK && eth.type == 0x0806 && !memcmp(eth.dst, dst, 6) &&
	       !memcmp(eth.src, our_mac, 6) && wire_parse_arp(frame + ETH_HDR, len - ETH_HDR, &f) == WIRE_OK && f.op == op &&
	       ip_equal(&f.spa, &sp) && ip_equal(&f.tpa, &tp) && !memcmp(f.sha, our_mac, 6);
}
