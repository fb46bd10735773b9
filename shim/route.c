/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * route.c - decides who serves an address.
 *
 * The kernel's addresses and on-link prefixes are read at most once a second: a connect() costs no system call, and a new address
 * counts a second later.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "route.h"

#include "log.h"
#include "netif.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define DNS_PORT 53
#define KERNEL_ADDRS_MAX 128
/* RFC 2133's sockaddr_in6 ended before the scope id; Linux still takes it. */
#define SOCKADDR_IN6_MIN 24

/* Two copies: readers use the one that `current` names while the other is renewed. */
static struct kernel_view {
	struct netif_addr addrs[KERNEL_ADDRS_MAX];
	unsigned n;
} views[2];
static unsigned current;
static bool renewing;
static time_t next_look;

bool route_addr_parse(int family, const struct sockaddr *sa, socklen_t len, struct route_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (!sa || len < sizeof(sa_family_t) || len > sizeof(struct sockaddr_storage) || sa->sa_family != family)
		return false;
	if (family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		if (len < sizeof(*in))
			return false;
		out->addr.s6_addr[10] = out->addr.s6_addr[11] = 0xff;
		memcpy(&out->addr.s6_addr[12], &in->sin_addr, 4);
		out->port = ntohs(in->sin_port);
		out->any = in->sin_addr.s_addr == htonl(INADDR_ANY);
		return true;
	}
	if (family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		if (len < SOCKADDR_IN6_MIN)
			return false;
		out->addr = in6->sin6_addr;
		out->port = ntohs(in6->sin6_port);
		out->any = IN6_IS_ADDR_UNSPECIFIED(&out->addr) ||
			   (IN6_IS_ADDR_V4MAPPED(&out->addr) && !memcmp(&out->addr.s6_addr[12], "\0\0\0\0", 4));
		return true;
	}
	return false;
}

static void view_renew(void)
{
	struct timespec now;
	struct kernel_view *next;
	int n;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec < __atomic_load_n(&next_look, __ATOMIC_ACQUIRE))
		return;
	while (__atomic_test_and_set(&renewing, __ATOMIC_ACQUIRE)) {
		/* An old view serves while another thread renews it; the first must be waited for. */
		if (__atomic_load_n(&next_look, __ATOMIC_ACQUIRE))
			return;
		sched_yield();
	}
	next = &views[!current];
	n = netif_addrs(NULL, next->addrs, KERNEL_ADDRS_MAX);
	if (n >= 0) {
		next->n = n < KERNEL_ADDRS_MAX ? (unsigned)n : KERNEL_ADDRS_MAX;
		__atomic_store_n(&current, !current, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&next_look, now.tv_sec + 1, __ATOMIC_RELEASE);
	__atomic_clear(&renewing, __ATOMIC_RELEASE);
}

static const struct kernel_view *view_get(void)
{
	view_renew();
	return &views[__atomic_load_n(&current, __ATOMIC_ACQUIRE)];
}

bool route_is_engine_addr(const struct config *cfg, const struct in6_addr *addr)
{
	for (unsigned i = 0; i < cfg->naddrs; i++)
		if (IN6_ARE_ADDR_EQUAL(&cfg->addrs[i].addr, addr))
			return true;
	return false;
}

bool route_is_kernel_addr(const struct in6_addr *addr)
{
	const struct kernel_view *v = view_get();

	for (unsigned i = 0; i < v->n; i++)
		if (IN6_ARE_ADDR_EQUAL(&v->addrs[i].addr, addr))
			return true;
	return false;
}

bool route_is_broadcast(const struct config *cfg, const struct in6_addr *addr)
{
	uint32_t host, ip;

	memcpy(&ip, &addr->s6_addr[12], sizeof(ip));
	for (unsigned i = 0; i < cfg->naddrs; i++) {
		unsigned len = cfg->addrs[i].len;

		/* RFC 3021: a /31 has none. */
		if (len < 96 || len > 126 || !netif_in_prefix(addr, &cfg->addrs[i].addr, len))
			continue;
		host = UINT32_MAX >> (len - 96);
		if ((ntohl(ip) & host) == host)
			return true;
	}
	return false;
}

/* Longest prefix by which the engine reaches addr: 0 if it does not. */
static unsigned engine_reach(const struct config *cfg, const struct in6_addr *addr)
{
	unsigned best = IN6_IS_ADDR_UNSPECIFIED(&cfg->gw) ? 0 : 96; /* the default route of IPv4 */

	for (unsigned i = 0; i < cfg->naddrs; i++) {
		const struct config_addr *a = &cfg->addrs[i];

		if (a->len > best && netif_in_prefix(addr, &a->addr, a->len))
			best = a->len;
	}
	return best;
}

/* The same of the kernel's on-link prefixes on other interfaces than the engine's. */
static unsigned kernel_reach(const struct config *cfg, const struct in6_addr *addr)
{
	const struct kernel_view *v = view_get();
	unsigned best = 0;

	for (unsigned i = 0; i < v->n; i++) {
		const struct netif_addr *a = &v->addrs[i];

		if (a->len > best && netif_in_prefix(addr, &a->addr, a->len) && a->ifindex != cfg->ifindex)
			best = a->len;
	}
	return best;
}

static bool v4_is(const struct in6_addr *a, unsigned first_octet)
{
	return a->s6_addr[12] == first_octet;
}

bool route_is_loopback(const struct in6_addr *addr)
{
	return IN6_IS_ADDR_V4MAPPED(addr) && v4_is(addr, 127);
}

/* Why the engine cannot serve this destination; NULL: it can. */
static const char *obstacle(const struct config *cfg, const struct route_addr *to)
{
	unsigned reach;

	if (to->any)
		return "no address means this host";
	if (!IN6_IS_ADDR_V4MAPPED(&to->addr))
		return "IPv6";
	if (route_is_loopback(&to->addr))
		return cfg->loopback ? NULL : "loopback, and MTCPSHIM_LOOPBACK is not set";
	if (to->addr.s6_addr[12] >= 224) /* RFC 5771, RFC 1112 4, RFC 919 */
		return "multicast, reserved or broadcast";
	if (route_is_kernel_addr(&to->addr))
		return "an address of the kernel's own";
	reach = engine_reach(cfg, &to->addr);
	if (!reach)
		return "not within MTCPSHIM_IP's prefixes, and no MTCPSHIM_GW leads there";
	return reach >= kernel_reach(cfg, &to->addr) ? NULL : "the kernel has a longer prefix to it";
}

static const char *program_name(void)
{
	static char name[64];
	char path[4096];
	const char *slash;
	ssize_t n;

	if (name[0])
		return name;
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	snprintf(name, sizeof(name), "%.63s", slash ? slash + 1 : path);
	return name;
}

/* A rule's address against a listener on any address: see route.h. */
static bool covers_any(const struct config *cfg, const struct config_rule *r)
{
	unsigned covered = 0;

	for (unsigned i = 0; i < cfg->naddrs; i++)
		covered += netif_in_prefix(&cfg->addrs[i].addr, &r->addr, r->len);
	return r->engine ? covered > 0 : covered == cfg->naddrs;
}

static bool rule_matches(const struct config *cfg, const struct config_rule *r, const struct route_addr *a, enum route_role role)
{
	if (r->role != ROUTE_ROLE_ANY && r->role != (int)role)
		return false;
	if (a->port < r->port_lo || a->port > r->port_hi)
		return false;
	if (r->len && !(a->any ? covers_any(cfg, r) : netif_in_prefix(&a->addr, &r->addr, r->len)))
		return false;
	return !r->program[0] || route_program_match(r->program, program_name());
}

static const struct config_rule *rule_find(const struct config *cfg, const struct route_addr *a, enum route_role role)
{
	for (unsigned i = 0; i < cfg->nrules; i++)
		if (rule_matches(cfg, &cfg->rules[i], a, role))
			return &cfg->rules[i];
	return NULL;
}

static __thread const char *last_why __attribute__((tls_model("initial-exec"))) = "";

const char *route_why(void)
{
	return last_why;
}

/* The answer, with its reason in the log for who asks (MTCPSHIM_LOG=debug). */
static enum route answer(const char *call, const struct route_addr *a, enum route who, const char *why)
{
	static const char *const names[] = {
	    [ROUTE_KERNEL] = "kernel", [ROUTE_ENGINE] = "engine", [ROUTE_BOTH] = "engine and kernel"};
	char text[INET6_ADDRSTRLEN];

	last_why = why;
	if (log_wants(LOG_LEVEL_DEBUG) && inet_ntop(AF_INET6, &a->addr, text, sizeof(text)))
		log_line(LOG_LEVEL_DEBUG, "%s [%s]:%u: %s: %s", call, text, a->port, names[who], why);
	return who;
}

enum route route_connect(const struct config *cfg, const struct route_addr *to)
{
	const struct config_rule *r = rule_find(cfg, to, ROUTE_ROLE_CONNECT);
	const char *why;

	if (r && !r->engine)
		return answer("connect", to, ROUTE_KERNEL, "a rule says so");
	if (!r && to->port == DNS_PORT)
		return answer("connect", to, ROUTE_KERNEL, "DNS");
	why = obstacle(cfg, to);
	return answer("connect", to, why ? ROUTE_KERNEL : ROUTE_ENGINE, why ? why : "the engine reaches it");
}

enum route route_listen(const struct config *cfg, const struct route_addr *local)
{
	const struct config_rule *r = rule_find(cfg, local, ROUTE_ROLE_LISTEN);
	bool v4 = IN6_IS_ADDR_V4MAPPED(&local->addr);

	if (r && !r->engine)
		return answer("listen", local, ROUTE_KERNEL, "a rule says so");
	if (!r && local->port == DNS_PORT)
		return answer("listen", local, ROUTE_KERNEL, "DNS");
	if (r && r->exclusive && local->any)
		return answer("listen", local, ROUTE_ENGINE, "a rule says so");
	if (local->any)
		return answer("listen", local, ROUTE_BOTH, "any address");
	if (cfg->loopback && route_is_loopback(&local->addr))
		return answer("listen", local, ROUTE_BOTH, "loopback, which other programs reach by the kernel");
	if (v4 && route_is_engine_addr(cfg, &local->addr))
		return answer("listen", local, ROUTE_ENGINE, "an address of the engine's");
	return answer("listen", local, ROUTE_KERNEL, "not an address of the engine's");
}
