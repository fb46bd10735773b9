/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench.c - worlds for figures; see bench.h.
 */
#include <string.h>

#include "tests/common/testpool.h"
#include "tests/sim/bench.h"

#define EAL_MB 512
#define BIG_MBUFS 32767 /* a gigabit for 50 ms, twice, at both ends */
#define SMALL_MBUFS 8191
#define BUFFER_LEAST 4000000 /* of a socket */
#define LOOK_STEPS 10000     /* the queues are long */
#define ENDLESS (1ull << 50)

static struct rte_mempool *pools[HOSTS_MAX];

bool bench_start(void *arg)
{
	bool all = !testpool_start(EAL_MB);
	char name[16];

	(void)arg;
	for (unsigned i = 0; i < HOSTS_MAX && all; i++) {
		snprintf(name, sizeof(name), "bench%u", i);
		pools[i] = testpool_create(name, i < 2 ? BIG_MBUFS : SMALL_MBUFS, 1500);
		all = pools[i];
	}
	return all;
}

static void set(struct world *w, struct tcp_settings *t, const char *name, const char *value)
{
	if (tcp_settings_set(t, name, value))
		world_fail(w, "%s=%s is refused", name, value);
}

static void host(struct world *w, unsigned i, const char *cc, const struct bench_path *path)
{
	struct host_config *h = &w->host[i].cfg;
	unsigned long long most = path->buffer > BUFFER_LEAST ? path->buffer : BUFFER_LEAST;
	char rmem[64], wmem[64];

	*h = (struct host_config){.mtu = 1500, .nstacks = 1, .max_conns = 16, .backlog = 16, .pool = {pools[i]}};
	tcp_settings_init(&h->tcp);
	set(w, &h->tcp, "net.ipv4.tcp_congestion_control", cc);
	/* Buffers for these links, as an administrator would set them. */
	snprintf(rmem, sizeof(rmem), "4096 131072 %llu", most);
	snprintf(wmem, sizeof(wmem), "4096 16384 %llu", most);
	set(w, &h->tcp, "net.ipv4.tcp_rmem", rmem);
	set(w, &h->tcp, "net.ipv4.tcp_wmem", wmem);
	if (path->ecn || path->mark_bytes)
		(void)!tcp_settings_set(&h->tcp, "net.ipv4.tcp_ecn", "1");
}

static void flow(struct world *w, unsigned from, unsigned to, uint64_t bytes)
{
	struct session *s = &w->session[w->nsessions++];

	s->begin = w->now;
	for (unsigned i = 0; i < 2; i++) {
		s->side[i].host = i ? to : from;
		s->side[i].read_max = s->side[i].write_max = 60000;
		s->side[i].quit_at = UINT64_MAX;
	}
	s->side[0].to_send = bytes < ENDLESS ? bytes : ENDLESS;
}

static struct link_config bottleneck_config(const struct bench_path *p, usec_t delay_us)
{
	return (struct link_config){.rate_bps = p->rate_bps,
				    .delay_us = delay_us,
				    .queue_bytes = p->queue_bytes,
				    .codel = p->codel,
				    .ecn = p->ecn,
				    .mark_bytes = p->mark_bytes,
				    .loss_ppm = p->loss_ppm,
				    .even_loss = true,
				    .drop_from = p->drop_from,
				    .drop_count = p->drop_count};
}

static void begin(struct world *w)
{
	w->now = CLOCK_START;
	w->healed = USEC_NEVER;
	w->look_steps = LOOK_STEPS;
	w->end = USEC_NEVER - 1;
}

void bench_single(struct world *w, const char *cc, const struct bench_path *path, uint64_t bytes)
{
	struct link_config out = bottleneck_config(path, path->rtt_us / 2), back = {.delay_us = path->rtt_us / 2};

	begin(w);
	net_build(w, TOPOLOGY_DIRECT, 2);
	link_init(&w->wire[0].link, &out, rng_next(&w->rng));
	link_init(&w->wire[1].link, &back, rng_next(&w->rng));
	for (unsigned i = 0; i < 2; i++)
		host(w, i, cc, path);
	flow(w, 0, 1, bytes);
	world_begin(w);
}

struct link *bench_bottleneck(struct world *w)
{
	return &w->wire[w->nswitches == 2 ? w->nwires - 2 : 0].link;
}

void bench_shared(struct world *w, unsigned n, const char *const *cc, const usec_t *rtt_us, const struct bench_path *path)
{
	struct link_config middle = bottleneck_config(path, 0), free_way = {.delay_us = 0};

	begin(w);
	net_build(w, TOPOLOGY_DUMBBELL, 2 * n);
	for (unsigned i = 0; i < w->nwires; i++)
		link_init(&w->wire[i].link, &free_way, rng_next(&w->rng));
	link_init(bench_bottleneck(w), &middle, rng_next(&w->rng));
	for (unsigned i = 0; i < n; i++) {
		w->wire[w->host[i].out].link.cfg.delay_us = rtt_us[i] / 2;
		w->wire[w->host[i].out + 1].link.cfg.delay_us = rtt_us[i] / 2;
		host(w, i, cc[i], path);
		host(w, n + i, cc[i], path);
		flow(w, i, n + i, ENDLESS);
	}
	world_begin(w);
}

void bench_measure(struct world *w, usec_t warm_us, usec_t count_us, double *bps)
{
	uint64_t before[BENCH_FLOWS];

	world_run_until(w, w->now + warm_us);
	for (unsigned i = 0; i < w->nsessions; i++)
		before[i] = w->session[i].side[1].received;
	bench_bottleneck(w)->waited_us = bench_bottleneck(w)->waiters = 0;
	world_run_until(w, w->now + count_us);
	for (unsigned i = 0; i < w->nsessions; i++) {
		const struct side *to = &w->session[i].side[1];

		if (!to->c || !w->session[i].side[0].c)
			session_fail(w, &w->session[i], "a bulk flow ended");
		bps[i] = (double)(to->received - before[i]) * 8e6 / (double)count_us;
	}
}
