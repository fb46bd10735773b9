/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config.h - the user's contract: MTCPSHIM_* variables, and the same keys in the file MTCPSHIM_CONF (default /etc/mtcpshim.conf);
 * the environment wins.  A bad value is one line of log that names the variable, the value and what is allowed.
 */
#ifndef SHIM_CONFIG_H
#define SHIM_CONFIG_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define CONFIG_ADDRS_MAX 8
#define CONFIG_RULES_MAX 64
#define CONFIG_SYSCTLS_MAX 64

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum config_huge { HUGE_AUTO, HUGE_YES, HUGE_NO };

struct config_addr {
	struct in6_addr addr; /* IPv4 as v4-mapped */
	unsigned len;	      /* prefix length of 128 */
};

/* One rule of MTCPSHIM_RULES: the first that matches decides. Syntax in route.h. */
struct config_rule {
	bool engine;	      /* engine or kernel */
	bool exclusive;	      /* engine-only: not the kernel as well */
	char program[64];     /* "" any; else the name of the executable (/proc/self/exe's last part), a trailing * allowed */
	int protocol;	      /* 0 any, IPPROTO_TCP */
	struct in6_addr addr; /* with len 0: any */
	unsigned len;
	uint16_t port_lo, port_hi; /* 0..65535 any */
	int role;		   /* 0 both, 1 connect only, 2 listen only */
};

struct config {
	bool enabled; /* MTCPSHIM_DEV is set and everything that matters was readable */
	bool bad;     /* a value was bad; said in the log; the kernel serves everything (or, with strict, exit) */
	char dev[256];
	struct config_addr addrs[CONFIG_ADDRS_MAX];
	unsigned naddrs;    /* 0: adopt the kernel interface's */
	bool adopted;	    /* addrs come from the interface */
	unsigned ifindex;   /* dev is this kernel interface; 0: it is none */
	struct in6_addr gw; /* all zero: none */
	unsigned mtu;	    /* 0: default 1500, or the kernel interface's */
	bool has_mac;
	uint8_t mac[6];
	unsigned cores; /* stacks, 1..16 */
	struct config_rule rules[CONFIG_RULES_MAX];
	unsigned nrules;
	bool loopback;
	struct {
		char name[64], value[64];
	} sysctls[CONFIG_SYSCTLS_MAX]; /* over the host's values, unchecked */
	unsigned nsysctls;
	long spin_us;	 /* -1: default (adaptive) */
	unsigned mem_mb; /* per stack; default 256 */
	enum config_huge huge;
	char pcap[256];
	enum log_level log;
	bool strict;
};

/*
 * Remember the MTCPSHIM_ variables, before the program rewrites its environment.  Cheap: nothing is parsed.  Ignored in a setuid
 * program, for which only the default file counts.
 */
void config_capture(char *const *environment);
/* The remembered ones, NULL at the end. */
char *const *config_captured(void);
/* Read the remembered environment and the file once; later calls return the same.  Never NULL.  Says what is wrong with them. */
const struct config *config_get(void);
/* config_get()->enabled, for what programs without sockets call too: says nothing yet. */
bool config_is_enabled(void);

/*
 * The parser itself: fill *cfg from "NAME=value" strings (NULL-terminated) and from the file that MTCPSHIM_CONF in them names.
 * The file has lines NAME=value, blank lines and # comments; a value may stand in quotes.
 */
void config_read(struct config *cfg, char *const *environment);
/* Log what was wrong with them; up to eight lines. */
void config_complain(void);

#endif
