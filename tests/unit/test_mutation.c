/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two engines talk, and a fair share of the frames between them is mutated on the way: bytes flipped, lengths changed, frames
 * cut, doubled or swapped, with the checksums made right again, so that the nonsense reaches TCP.  No frame may crash an engine,
 * hang it, leak a packet or a control block, whatever it does to the connection.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include <rte_mbuf.h>

#include "engine/csum.h"
#include "engine/wire.h"
#include "tests/common/audit.h"
#include "tests/common/testpool.h"

#define ROUNDS 400
#define STEPS 120
#define MTU 1500

static struct rte_mempool *pool;
static uint64_t rng;

static uint32_t draw(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16) % n;
}

struct end {
	struct engine *e;
	void *region;
	size_t size;
	struct conn *listener, *conns[8];
};

static struct engine_config config(unsigned id)
{
	struct engine_config c = {.pool = pool,
				  .secret = {rng, id},
				  .mac = {2, 0, 0, 0, 0, id},
				  .mtu = MTU,
				  .naddrs = 1,
				  .max_conns = 64,
				  .max_timewait = 64};

	tcp_settings_init(&c.tcp);
	c.addrs[0] = (struct ip_prefix){ip_from_v4(rte_cpu_to_be_32(0x0a000000 + id)), 120};
	return c;
}

static void end_init(struct end *s, unsigned id)
{
	struct engine_config c = config(id);

	memset(s, 0, sizeof(*s));
	s->size = engine_size(&c);
	s->region = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(s->region, MAP_FAILED);
	s->e = engine_create(s->region, s->size, &c, 1000000);
	assert_non_null(s->e);
}

static void refresh_checksums(uint8_t *ip, size_t len)
{
	size_t hl = (ip[0] & 15) * 4, total = ip[2] << 8 | ip[3];
	struct ip_addr src, dst;
	uint32_t word;
	uint16_t sum;

	if (hl < 20 || hl > len || total > len || total < hl)
		return;
	ip[10] = ip[11] = 0;
	sum = ~csum_partial(ip, hl);
	memcpy(ip + 10, &sum, 2);
	memcpy(&word, ip + 12, 4);
	src = ip_from_v4(word);
	memcpy(&word, ip + 16, 4);
	dst = ip_from_v4(word);
	if (ip[9] != 6 || total - hl < 20)
		return;
	memset(ip + hl + 16, 0, 2);
	sum = ~csum_fold((uint64_t)wire_pseudo_sum(&src, &dst, 6, total - hl) + csum_partial(ip + hl, total - hl));
	memcpy(ip + hl + 16, &sum, 2);
}

static void mutate(struct rte_mbuf *m)
{
	uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
	unsigned head = m->data_len < 74 ? m->data_len : 74;

	for (unsigned n = 1 + draw(3); n; n--)
		p[draw(8) ? ETH_HDR + draw(head - ETH_HDR) : draw(m->data_len)] = draw(3) ? draw(256) : draw(2) * 255;
	if (!draw(10))
		rte_pktmbuf_trim(m, draw(m->data_len));
	if (m->data_len > ETH_HDR + 20)
		refresh_checksums(p + ETH_HDR, m->data_len - ETH_HDR);
}

/* As a link with a copy: what arrives is never what the sender still holds. */
static void carry(struct end *from, struct end *to, usec_t now)
{
	struct rte_mbuf *out[32];
	unsigned n = engine_output(from->e, out, 32, now);

	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(out[i], pool, 0, UINT32_MAX), *twin;

		rte_pktmbuf_free(out[i]);
		assert_non_null(copy);
		twin = draw(12) ? NULL : rte_pktmbuf_copy(copy, pool, 0, UINT32_MAX);
		if (!draw(4))
			mutate(copy);
		engine_input(to->e, &copy, 1, now);
		if (twin)
			engine_input(to->e, &twin, 1, now);
	}
}

static void drain_events(struct engine *e)
{
	uint32_t edges;

	while (engine_next_event(e, &edges))
		;
}

static void act(struct end *s, const struct endpoint *peer, usec_t now)
{
	char buf[4000] = {0};
	struct iovec iov = {buf, 1 + draw(sizeof(buf) - 1)};
	struct conn **c = &s->conns[draw(8)];
	int err;

	if (!*c) {
		*c = draw(2) ? engine_accept(s->e, s->listener, &err) : engine_socket(s->e);
		if (*c && engine_state(*c) == 7)
			engine_connect(s->e, *c, peer, now);
		return;
	}
	switch (draw(8)) {
	case 0:
		engine_shutdown(s->e, *c, draw(3), now);
		break;
	case 1:
		if (draw(2))
			engine_close(s->e, *c, now);
		else
			engine_abort(s->e, *c, now);
		*c = NULL;
		break;
	case 2:
	case 3:
		engine_recv(s->e, *c, &iov, 1, draw(4) ? 0 : MSG_PEEK, now);
		break;
	default:
		engine_send(s->e, *c, &iov, 1, draw(9) ? 0 : MSG_OOB, now);
	}
}

static void end_fini(struct end *s, usec_t now)
{
	struct engine_usage u;

	for (unsigned i = 0; i < 8; i++)
		if (s->conns[i])
			engine_abort(s->e, s->conns[i], now);
	engine_abort(s->e, s->listener, now);
	/* Whatever was left in FIN-WAIT or TIME-WAIT ends by itself. */
	for (usec_t t = now; t < now + 2000000000ull; t += 1000000) {
		struct rte_mbuf *out[32];
		unsigned n;

		engine_run(s->e, t);
		while ((n = engine_output(s->e, out, 32, t)))
			rte_pktmbuf_free_bulk(out, n);
	}
	engine_usage(s->e, &u);
	assert_int_equal(u.conns, 0);
	assert_int_equal(u.timewaits, 0);
	assert_int_equal(u.half_open, 0);
	engine_destroy(s->e);
	munmap(s->region, s->size);
}

static void round_of(uint64_t seed)
{
	struct end a, b;
	struct endpoint pa = {ip_from_v4(rte_cpu_to_be_32(0x0a000001)), 80}, pb = {ip_from_v4(rte_cpu_to_be_32(0x0a000002)), 80};
	usec_t now = 1000000;
	unsigned before = rte_mempool_avail_count(pool);

	rng = seed;
	end_init(&a, 1);
	end_init(&b, 2);
	a.listener = engine_socket(a.e);
	b.listener = engine_socket(b.e);
	assert_int_equal(engine_bind(a.e, a.listener, &(struct endpoint){.port = 80}), 0);
	assert_int_equal(engine_bind(b.e, b.listener, &(struct endpoint){.port = 80}), 0);
	assert_int_equal(engine_listen(a.e, a.listener, 4, now), 0);
	assert_int_equal(engine_listen(b.e, b.listener, 4, now), 0);
	for (int i = 0; i < STEPS; i++) {
		act(&a, &pb, now);
		act(&b, &pa, now);
		carry(&a, &b, now);
		carry(&b, &a, now);
		now += draw(20) ? draw(2000) : draw(3000000);
		engine_run(a.e, now);
		engine_run(b.e, now);
		drain_events(a.e);
		drain_events(b.e);
		assert_string_equal(audit_engine(a.e) ?: "", "");
		assert_string_equal(audit_engine(b.e) ?: "", "");
	}
	end_fini(&a, now);
	end_fini(&b, now);
	assert_int_equal(rte_mempool_avail_count(pool), before);
}

static void mutated_frames_harm_nothing(void **state)
{
	const char *only = getenv("SEED");

	if (only) {
		round_of(strtoull(only, NULL, 0));
		return;
	}
	for (uint64_t seed = 1; seed <= ROUNDS; seed++)
		round_of(seed * 0x9e3779b97f4a7c15);
}

static int setup(void **state)
{
	int rc = testpool_start(64);

	if (rc < 0)
		return rc;
	pool = testpool_create("mutation", 4095, MTU);
	return pool ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(mutated_frames_harm_nothing)};

	return cmocka_run_group_tests(tests, setup, NULL);
}
