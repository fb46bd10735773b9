/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parse_settings.c - what stands before the first event: option lines (--mtu=1400) and `sysctl -q name=value` lines.  The
 * settings of an engine are fixed at its creation, so that neither may come later.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "tests/script/scan.h"

/* packetdrill's defaults: the peer is not on the local network but behind the gateway. */
static void defaults(struct script_settings *set)
{
	tcp_settings_init(&set->tcp);
	set->mtu = 1500;
	set->prefix_len = 16;
	set->local_ip = inet_addr("192.168.0.1");
	set->gateway_ip = inet_addr("192.168.0.2");
	set->remote_ip = inet_addr("192.0.2.1");
	set->bind_port = set->connect_port = 8080;
	set->ts_tick_usecs = 1000;
	set->max_conns = set->max_timewait = 64;
	set->auto_close = true;
}

static bool take_option(struct scan *s, const char *name)
{
	if (!scan_take(s, name))
		return false;
	scan_expect(s, "=");
	return true;
}

static void parse_option(struct scan *s)
{
	struct script_settings *set = &s->script->set;

	if (take_option(s, "ip_version"))
		scan_expect(s, "ipv4");
	else if (take_option(s, "mtu"))
		set->mtu = (uint16_t)scan_number(s);
	else if (take_option(s, "local_ip"))
		set->local_ip = scan_ip(s);
	else if (take_option(s, "remote_ip"))
		set->remote_ip = scan_ip(s);
	else if (take_option(s, "gateway_ip"))
		set->gateway_ip = scan_ip(s);
	else if (take_option(s, "prefix_len"))
		set->prefix_len = (unsigned)scan_number(s);
	else if (take_option(s, "bind_port"))
		set->bind_port = (uint16_t)scan_number(s);
	else if (take_option(s, "connect_port"))
		set->connect_port = (uint16_t)scan_number(s);
	else if (take_option(s, "tolerance_usecs"))
		set->tolerance_usecs = scan_number(s);
	else if (take_option(s, "tcp_ts_tick_usecs"))
		set->ts_tick_usecs = scan_number(s);
	else if (take_option(s, "max_conns"))
		set->max_conns = (unsigned)scan_number(s);
	else if (take_option(s, "max_repairs"))
		set->max_repairs = (unsigned)scan_number(s);
	else if (take_option(s, "max_timewait"))
		set->max_timewait = (unsigned)scan_number(s);
	else if (take_option(s, "manual_arp"))
		set->manual_arp = scan_number(s) != 0;
	else if (take_option(s, "bursts"))
		set->bursts = scan_number(s) != 0;
	else if (take_option(s, "auto_close"))
		set->auto_close = scan_number(s) != 0;
	else
		scan_fail(s, "option \"%.20s\" is not known", s->p);
}

/* Copy a sysctl's value, quoted or not, to the end of it. */
static const char *sysctl_value(struct scan *s)
{
	char quote = *s->p == '"' || *s->p == '\'' ? *s->p++ : '\0';
	char stop[2] = {quote, '\0'};
	size_t n = strcspn(s->p, quote ? stop : " \t\r\n;`");
	const char *v = scan_copy(s, s->p, n);

	s->p += n + (quote != '\0');
	return v;
}

/* "sysctl -q net.ipv4.tcp_sack=0 net.ipv4.tcp_wmem="4096 16384 65536"" */
static void parse_sysctl(struct scan *s)
{
	const char *name, *value;
	size_t n;

	scan_expect(s, "sysctl");
	while (scan_take(s, "-q") || scan_take(s, "-w"))
		;
	for (scan_blank(s); islower((unsigned char)*s->p); scan_blank(s)) {
		n = strcspn(s->p, "= \t\n`");
		name = scan_copy(s, s->p, n);
		s->p += n;
		scan_expect(s, "=");
		value = sysctl_value(s);
		switch (tcp_settings_set(&s->script->set.tcp, name, value)) {
		case 0:
			break;
		case -ENOENT:
			scan_fail(s, "sysctl %s does not exist", name);
		default:
			scan_fail(s, "sysctl %s cannot be \"%s\"", name, value);
		}
	}
}

static void parse_commands(struct scan *s)
{
	for (scan_space(s); !scan_take(s, "`"); scan_space(s)) {
		parse_sysctl(s);
		scan_take(s, ";");
	}
}

void settings_parse(struct scan *s)
{
	defaults(&s->script->set);
	for (scan_space(s);; scan_space(s)) {
		if (scan_take(s, "--"))
			parse_option(s);
		else if (scan_take(s, "`"))
			parse_commands(s);
		else
			return;
	}
}
