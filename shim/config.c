/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config.c - MTCPSHIM_* variables and the file, read once, when a socket or epoll instance first asks.
 *
 * The environment is copied by the constructor, as programs overwrite it (setproctitle) or empty it before their first socket.
 * Every bad value is said in one line and makes the configuration bad as a whole: half of one serves nobody.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "config.h"
#include "inherit.h"

#include "log.h"
#include "netif.h"
#include "real.h"
#include "route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define COMPLAINTS 8
#define COMPLAINT_BYTES 480
#define PREFIX "MTCPSHIM_"
#define CONF_KEY "MTCPSHIM_CONF"
#define CONF_DEFAULT "/etc/mtcpshim.conf"
#define CAPTURE_VARS 64
#define CAPTURE_BYTES 16384
#define FILE_BYTES 16384
#define LIST_BYTES 8192
#define MEM_DEFAULT_MB 256

extern char **environ;

/* Takes a value over; NULL, or what is wrong with it ("": nothing to add to what is allowed). */
typedef const char *parse_fn(struct config *c, const char *value);

struct key {
	const char *name;
	parse_fn *parse;
	const char *allowed;
};

static char captured_text[CAPTURE_BYTES];
static char *captured[CAPTURE_VARS + 1];
static bool is_captured;

/* Kept until the settings matter, with the program's first socket: the many helpers of a script shall not repeat them. */
static struct complaint {
	int level;
	char text[COMPLAINT_BYTES];
} complaints[COMPLAINTS];
static unsigned ncomplaints;

static void __attribute__((format(printf, 2, 3))) complain(int level, const char *fmt, ...)
{
	struct complaint *c = &complaints[ncomplaints];
	va_list ap;

	if (ncomplaints == COMPLAINTS)
		return;
	ncomplaints++;
	c->level = level;
	va_start(ap, fmt);
	vsnprintf(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
}

void config_complain(void)
{
	for (unsigned i = 0; i < ncomplaints; i++)
		log_line(complaints[i].level, "%s", complaints[i].text);
}

static bool parse_long(const char *s, long min, long max, long *out)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(s, &end, 10);
	if (errno || end == s || *end || v < min || v > max)
		return false;
	*out = v;
	return true;
}

static bool copy_text(char *dst, size_t size, const char *s)
{
	if (strlen(s) >= size)
		return false;
	strcpy(dst, s);
	return true;
}

static const char *parse_dev(struct config *c, const char *v)
{
	if (strpbrk(v, " \t") || !copy_text(c->dev, sizeof(c->dev), v))
		return "";
	return NULL;
}

static bool parse_ip(const char *s, struct in6_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (strchr(s, ':'))
		return inet_pton(AF_INET6, s, out) == 1;
	out->s6_addr[10] = out->s6_addr[11] = 0xff;
	return inet_pton(AF_INET, s, &out->s6_addr[12]) == 1;
}

/* "10.0.0.1/24" or "2001:db8::1/64". */
static const char *parse_prefix(char *s, struct config_addr *a)
{
	bool v6 = strchr(s, ':') != NULL;
	char *slash = strchr(s, '/');
	long len;

	if (!slash)
		return "the prefix length is missing";
	*slash++ = '\0';
	if (!parse_ip(s, &a->addr))
		return "not an address";
	if (!parse_long(slash, 1, v6 ? 128 : 32, &len))
		return "not a prefix length";
	a->len = (unsigned)len + (v6 ? 0 : 96);
	return NULL;
}

static const char *parse_addrs(struct config *c, const char *v)
{
	char list[LIST_BYTES], *save, *item;

	if (!copy_text(list, sizeof(list), v))
		return "too long";
	for (item = strtok_r(list, ", \t", &save); item; item = strtok_r(NULL, ", \t", &save)) {
		const char *wrong;

		if (c->naddrs == CONFIG_ADDRS_MAX)
			return "at most 8 addresses";
		wrong = parse_prefix(item, &c->addrs[c->naddrs]);
		if (wrong)
			return wrong;
		c->naddrs++;
	}
	return c->naddrs ? NULL : "";
}

static const char *parse_gw(struct config *c, const char *v)
{
	return parse_ip(v, &c->gw) && !IN6_IS_ADDR_UNSPECIFIED(&c->gw) ? NULL : "";
}

static const char *parse_mtu(struct config *c, const char *v)
{
	long n;

	if (!parse_long(v, 576, 65535, &n))
		return "";
	c->mtu = (unsigned)n;
	return NULL;
}

static const char *parse_mac(struct config *c, const char *v)
{
	unsigned b[6];
	char after;

	if (strlen(v) != 17 || sscanf(v, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &after) != 6)
		return "";
	if (b[0] & 1)
		return "a group address";
	if (!(b[0] | b[1] | b[2] | b[3] | b[4] | b[5]))
		return "all zero";
	for (unsigned i = 0; i < 6; i++)
		c->mac[i] = (uint8_t)b[i];
	c->has_mac = true;
	return NULL;
}

static const char *parse_cores(struct config *c, const char *v)
{
	long n;

	if (!parse_long(v, 1, 16, &n))
		return "";
	c->cores = (unsigned)n;
	return NULL;
}

static const char *parse_rules(struct config *c, const char *v)
{
	static char wrong[160];
	int n = route_rules_parse(v, c->rules, CONFIG_RULES_MAX, wrong, sizeof(wrong));

	if (n < 0)
		return wrong;
	c->nrules = (unsigned)n;
	return NULL;
}

static const char *parse_bool(const char *v, bool *out)
{
	if (strcmp(v, "0") && strcmp(v, "1"))
		return "";
	*out = v[0] == '1';
	return NULL;
}

static const char *parse_loopback(struct config *c, const char *v)
{
	return parse_bool(v, &c->loopback);
}

static const char *parse_strict(struct config *c, const char *v)
{
	return parse_bool(v, &c->strict);
}

/* A word without '=' goes on with the value before it: net.ipv4.tcp_rmem=4096 131072 6291456. */
static const char *parse_sysctls(struct config *c, const char *v)
{
	char list[LIST_BYTES], *save, *word;

	if (!copy_text(list, sizeof(list), v))
		return "too long";
	for (word = strtok_r(list, " \t,", &save); word; word = strtok_r(NULL, " \t,", &save)) {
		char *eq = strchr(word, '=');
		size_t used;

		if (eq) {
			if (c->nsysctls == CONFIG_SYSCTLS_MAX)
				return "at most 64 settings";
			*eq++ = '\0';
			if (!*word || !copy_text(c->sysctls[c->nsysctls].name, sizeof(c->sysctls[0].name), word) ||
			    !copy_text(c->sysctls[c->nsysctls].value, sizeof(c->sysctls[0].value), eq))
				return "a name or value is empty or too long";
			c->nsysctls++;
			continue;
		}
		if (!c->nsysctls)
			return "it begins with a value";
		used = strlen(c->sysctls[c->nsysctls - 1].value);
		if (used + strlen(word) + 2 > sizeof(c->sysctls[0].value))
			return "a value is too long";
		snprintf(c->sysctls[c->nsysctls - 1].value + used, sizeof(c->sysctls[0].value) - used, " %s", word);
	}
	return NULL;
}

static const char *parse_spin(struct config *c, const char *v)
{
	return parse_long(v, 0, 1000000, &c->spin_us) ? NULL : "";
}

static const char *parse_mem(struct config *c, const char *v)
{
	long n;

	if (!parse_long(v, 16, 1 << 20, &n))
		return "";
	c->mem_mb = (unsigned)n;
	return NULL;
}

/* Index of v among the n names, or -1. */
static int parse_word(const char *v, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(v, names[i]))
			return i;
	return -1;
}

static const char *parse_huge(struct config *c, const char *v)
{
	static const char *const names[] = {[HUGE_AUTO] = "auto", [HUGE_YES] = "yes", [HUGE_NO] = "no"};
	int i = parse_word(v, names, 3);

	if (i < 0)
		return "";
	c->huge = (enum config_huge)i;
	return NULL;
}

static const char *parse_log(struct config *c, const char *v)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	int i = parse_word(v, names, 4);

	if (i < 0)
		return "";
	c->log = (enum log_level)i;
	return NULL;
}

static const char *parse_pcap(struct config *c, const char *v)
{
	return copy_text(c->pcap, sizeof(c->pcap), v) ? NULL : "";
}

static const struct key keys[] = {
    {PREFIX "STRICT", parse_strict, "0 or 1"},
    {PREFIX "LOG", parse_log, "error, warn, info or debug"},
    {PREFIX "DEV", parse_dev, "a DPDK device string or a kernel interface, without spaces, up to 255 characters"},
    {PREFIX "IP", parse_addrs, "addresses with prefix length, separated by commas, as 10.0.0.1/24"},
    {PREFIX "GW", parse_gw, "one address"},
    {PREFIX "MTU", parse_mtu, "a number from 576 to 65535"},
    {PREFIX "MAC", parse_mac, "a unicast address as 02:00:00:00:00:01"},
    {PREFIX "CORES", parse_cores, "a number from 1 to 16"},
    {PREFIX "RULES", parse_rules, "rules as kernel:connect:10.0.0.0/8:22; engine:*"},
    {PREFIX "LOOPBACK", parse_loopback, "0 or 1"},
    {PREFIX "SYSCTL", parse_sysctls, "settings as net.ipv4.tcp_sack=0, separated by spaces"},
    {PREFIX "SPIN_US", parse_spin, "microseconds, 0 to 1000000"},
    {PREFIX "MEM", parse_mem, "megabytes, 16 to 1048576"},
    {PREFIX "HUGE", parse_huge, "auto, yes or no"},
    {PREFIX "PCAP", parse_pcap, "a file name of up to 255 characters"},
};
#define NKEYS (sizeof(keys) / sizeof(keys[0]))

/* Values by key, and where they come from. */
struct sources {
	const char *value[NKEYS];
	bool from_file[NKEYS];
	const char *file;
};

static int key_find(const char *name, size_t len)
{
	for (unsigned i = 0; i < NKEYS; i++)
		if (strlen(keys[i].name) == len && !strncmp(keys[i].name, name, len))
			return (int)i;
	return -1;
}

/* Take one line "NAME = value" apart; the value without blanks around it and without quotes. */
static void take_line(struct sources *src, char *line, unsigned number)
{
	char *eq, *end, *value;
	int k;

	line += strspn(line, " \t");
	if (!*line || *line == '#')
		return;
	eq = strchr(line, '=');
	k = eq ? key_find(line, strcspn(line, " \t=")) : -1;
	if (k < 0) {
		complain(LOG_LEVEL_WARN, "%s line %u: not one of our settings, ignored: %.80s", src->file, number, line);
		return;
	}
	value = eq + 1 + strspn(eq + 1, " \t");
	end = value + strlen(value);
	while (end > value && strchr(" \t\r", end[-1]))
		end--;
	if (end - value >= 2 && (*value == '"' || *value == '\'') && end[-1] == *value) {
		value++;
		end--;
	}
	*end = '\0';
	/* An empty one is none, as in the environment. */
	src->value[k] = *value ? value : NULL;
	src->from_file[k] = true;
}

static void take_file(struct sources *src, char *text)
{
	unsigned number = 1;

	for (char *line = text; *line; number++) {
		size_t len = strcspn(line, "\n");
		char *next = line + len + (line[len] == '\n');

		line[len] = '\0';
		take_line(src, line, number);
		line = next;
	}
}

/* -errno, or the number of bytes; text is NUL-terminated. */
static ssize_t load_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t total = 0;
	ssize_t n;

	text[0] = '\0';
	if (fd < 0)
		return -errno;
	do {
		n = REAL(read)(fd, text + total, size - total);
		total += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	if (n < 0)
		n = -errno;
	else
		n = total < size ? (ssize_t)total : -EFBIG;
	text[n > 0 ? n : 0] = '\0';
	REAL(close)(fd);
	return n;
}

static const char *env_value(char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (; env && *env; env++)
		if (!strncmp(*env, name, len) && (*env)[len] == '=' && (*env)[len + 1])
			return *env + len + 1;
	return NULL;
}

static void take_environment(struct sources *src, char *const *env)
{
	for (; env && *env; env++) {
		size_t len = strcspn(*env, "=");
		int k;

		if (strncmp(*env, PREFIX, strlen(PREFIX)) || !strncmp(*env, CONF_KEY "=", sizeof(CONF_KEY)))
			continue;
		k = key_find(*env, len);
		if (k < 0) {
			complain(LOG_LEVEL_WARN, "%.*s is not one of our settings, ignored", (int)len, *env);
		} else if ((*env)[len] == '=' && (*env)[len + 1]) {
			src->value[k] = *env + len + 1;
			src->from_file[k] = false;
		}
	}
}

static void parse_all(struct config *c, const struct sources *src)
{
	for (unsigned i = 0; i < NKEYS; i++) {
		const char *wrong = src->value[i] ? keys[i].parse(c, src->value[i]) : NULL;

		if (!wrong)
			continue;
		c->bad = true;
		complain(LOG_LEVEL_ERROR, "%s=%.120s%s%s: %s%sallowed: %s", keys[i].name, src->value[i],
			 src->from_file[i] ? " in " : "", src->from_file[i] ? src->file : "", wrong, *wrong ? "; " : "",
			 keys[i].allowed);
	}
}

/* A kernel interface lends its addresses and MTU where none are given. */
static void adopt(struct config *c)
{
	struct netif_addr found[32];
	int n;

	c->ifindex = netif_index(c->dev);
	if (c->ifindex && !c->mtu) {
		c->mtu = netif_mtu(c->dev);
		/* lo has 65536; no IPv4 packet is longer than this. */
		if (c->mtu > UINT16_MAX)
			c->mtu = UINT16_MAX;
	}
	if (c->naddrs || c->bad)
		return;
	if (!c->ifindex) {
		c->bad = true;
		complain(LOG_LEVEL_ERROR,
			 "MTCPSHIM_IP is not set, and MTCPSHIM_DEV=%s is no kernel interface that could lend its address: "
			 "set it, as 10.0.0.1/24",
			 c->dev);
		return;
	}
	n = netif_addrs(c->dev, found, 32);
	for (int i = 0; i < n && i < 32 && c->naddrs < CONFIG_ADDRS_MAX; i++) {
		if (!IN6_IS_ADDR_V4MAPPED(&found[i].addr))
			continue;
		c->addrs[c->naddrs].addr = found[i].addr;
		c->addrs[c->naddrs++].len = found[i].len;
	}
	c->adopted = c->naddrs > 0;
	if (!c->adopted) {
		c->bad = true;
		complain(LOG_LEVEL_ERROR,
			 "MTCPSHIM_IP is not set, and the interface MTCPSHIM_DEV=%s is down or has no IPv4 address: "
			 "set it, as 10.0.0.1/24",
			 c->dev);
	}
}

static void check_gateway(struct config *c)
{
	char text[INET6_ADDRSTRLEN];

	if (IN6_IS_ADDR_UNSPECIFIED(&c->gw) || c->bad)
		return;
	for (unsigned i = 0; i < c->naddrs; i++)
		if (netif_in_prefix(&c->gw, &c->addrs[i].addr, c->addrs[i].len))
			return;
	c->bad = true;
	inet_ntop(AF_INET6, &c->gw, text, sizeof(text));
	complain(LOG_LEVEL_ERROR, "MTCPSHIM_GW=%s: allowed: an address within a prefix of MTCPSHIM_IP",
		 IN6_IS_ADDR_V4MAPPED(&c->gw) ? text + strlen("::ffff:") : text);
}

void config_read(struct config *cfg, char *const *environment)
{
	static char text[FILE_BYTES];
	struct sources src = {.file = env_value(environment, CONF_KEY)};
	bool named = src.file != NULL;
	ssize_t n;

	ncomplaints = 0;
	memset(cfg, 0, sizeof(*cfg));
	cfg->cores = 1;
	cfg->spin_us = -1;
	cfg->mem_mb = MEM_DEFAULT_MB;
	cfg->log = LOG_LEVEL_WARN;
	if (!named)
		src.file = CONF_DEFAULT;
	n = load_file(src.file, text, sizeof(text));
	if (n > 0)
		take_file(&src, text);
	take_environment(&src, environment);
	if (n < 0 && (named || n != -ENOENT)) {
		cfg->bad = true;
		complain(LOG_LEVEL_ERROR, "MTCPSHIM_CONF=%s: %s; allowed: a file that can be read", src.file, strerror((int)-n));
	}
	if (!src.value[key_find(PREFIX "DEV", strlen(PREFIX "DEV"))] && !cfg->bad)
		return;
	parse_all(cfg, &src);
	if (!cfg->bad) {
		adopt(cfg);
		check_gateway(cfg);
	}
	cfg->enabled = !cfg->bad;
}

void config_capture(char *const *environment)
{
	size_t used = 0;
	unsigned n = 0;

	is_captured = true;
	if (getauxval(AT_SECURE))
		return;
	for (; environment && *environment; environment++) {
		size_t size;

		if (strncmp(*environment, PREFIX, strlen(PREFIX)) || inherit_passes(*environment))
			continue;
		size = strlen(*environment) + 1;
		if (n == CAPTURE_VARS || used + size > sizeof(captured_text)) {
			log_line(LOG_LEVEL_ERROR, "%.40s: more settings than fit, ignored", *environment);
			continue;
		}
		captured[n] = memcpy(captured_text + used, *environment, size);
		used += size;
		n++;
	}
}

char *const *config_captured(void)
{
	return captured;
}

/* The first caller does it, the others wait. */
static void once(int *state, void (*what)(void))
{
	int seen = 0, saved = errno;

	if (__atomic_load_n(state, __ATOMIC_ACQUIRE) == 2)
		return;
	if (__atomic_compare_exchange_n(state, &seen, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		what();
		__atomic_store_n(state, 2, __ATOMIC_RELEASE);
	}
	while (__atomic_load_n(state, __ATOMIC_ACQUIRE) != 2)
		sched_yield();
	errno = saved;
}

static struct config the_config;

static void read_captured(void)
{
	if (!is_captured)
		config_capture(environ);
	config_read(&the_config, captured);
	log_set_level(the_config.log);
}

bool config_is_enabled(void)
{
	static int read;

	once(&read, read_captured);
	return the_config.enabled;
}

const struct config *config_get(void)
{
	static int said;

	config_is_enabled();
	once(&said, config_complain);
	return &the_config;
}
