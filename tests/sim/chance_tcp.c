/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * chance_tcp.c - the TCP settings of an engine by chance.  The list is the engine's own (sysctl.def), so that a new setting takes
 * part from the day it is there: a switch gets any of its values, a number one near its default.  Settings for which that makes
 * no sense have their values here.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cc.h"
#include "tests/sim/chance.h"

#define CHOICES_MAX 6

/* Values that a connection must be able to live with; none: left as it is. */
static const struct special {
	const char *name;
	const char *choices[CHOICES_MAX];
} specials[] = {
    {"net.ipv4.tcp_rmem",
     {"4096 131072 6291456", "4096 131072 6291456", "4096 8192 16384", "2304 4096 65536", "4096 65536 300000"}},
    {"net.ipv4.tcp_wmem", {"4096 16384 4194304", "4096 16384 4194304", "4608 8192 16384", "4608 65536 262144"}},
    {"net.ipv4.tcp_adv_win_scale", {"1", "1", "2", "-1", "4"}},
    {"net.ipv4.tcp_reordering", {"3", "3", "1", "10"}},
    {"net.ipv4.tcp_max_syn_backlog", {"1024", "1024", "1", "4"}},
    {"net.ipv4.tcp_min_snd_mss", {"48", "536"}},
    {"net.ipv4.ip_local_port_range", {"32768 60999", "40000 40063"}},
    {"net.ipv4.tcp_invalid_ratelimit", {"500", "0", "5000"}},
    {"net.ipv4.tcp_challenge_ack_limit", {"2147483647", "1000"}},
    {"net.ipv4.ip_default_ttl", {"64", "255"}},
    {"net.core.somaxconn", {"4096", "4096", "1", "4"}},
    {"net.core.rmem_max", {"212992", "4096"}},
    {"net.core.wmem_max", {"212992", "8192"}},
    /* Routers here don't fragment what comes without DF. */
    {"net.ipv4.ip_no_pmtu_disc", {"0"}},
    {"net.ipv4.route.min_pmtu", {"552", "276"}},
    /* A reset where the others are silent: history would have to explain it everywhere. */
    {"net.ipv4.tcp_abort_on_overflow", {"0"}},
};

/* How long a connection waits for an answer; changed only in hasty worlds. */
static bool is_patience(const char *name)
{
	return strstr(name, "retries") || strstr(name, "keepalive") || strstr(name, "timeout");
}

static const char *choose(struct rng *r, const struct special *s)
{
	unsigned n = 0;

	while (n < CHOICES_MAX && s->choices[n])
		n++;
	return s->choices[rng_below(r, n)];
}

/* A number of the list: a switch gets any value, another half, one or two times its default. */
static void draw_number(struct rng *r, struct tcp_settings *t, const char *name, int64_t dflt, int64_t min, int64_t max)
{
	char text[32];
	int64_t v = dflt;

	if (max - min <= 4)
		v = min + (int64_t)rng_below(r, (uint64_t)(max - min) + 1);
	else if (dflt < max / 2)
		v = dflt / 2 * (int64_t)(1 + rng_below(r, 4));
	if (v < min || v > max)
		return;
	snprintf(text, sizeof(text), "%" PRId64, v);
	(void)!tcp_settings_set(t, name, text);
}

static bool draw_special(struct rng *r, struct tcp_settings *t, const char *name)
{
	for (unsigned i = 0; i < sizeof(specials) / sizeof(specials[0]); i++)
		if (!strcmp(specials[i].name, name)) {
			(void)!tcp_settings_set(t, name, choose(r, &specials[i]));
			return true;
		}
	return false;
}

static void draw(struct rng *r, struct tcp_settings *t, bool hasty, const char *name, int64_t dflt, int64_t min, int64_t max)
{
	bool usual = rng_below(r, 4) != 0;

	if (usual || (is_patience(name) && !hasty) || draw_special(r, t, name))
		return;
	if (min < max)
		draw_number(r, t, name, dflt, min, max);
}

void chance_settings(struct rng *r, struct tcp_settings *t, bool hasty)
{
	unsigned ncc = 0;

	tcp_settings_init(t);
#define SYSCTL_INT(field, path, dflt, min, max, text) draw(r, t, hasty, path, dflt, min, max);
#define SYSCTL_VEC(field, path, n, dflt, text) draw(r, t, hasty, path, 0, 0, 0);
#include "engine/sysctl.def"
	while (cc_ops(ncc))
		ncc++;
	(void)!tcp_settings_set(t, "net.ipv4.tcp_congestion_control", cc_ops((unsigned)rng_below(r, ncc))->name);
}
