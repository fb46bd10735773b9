/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_config.c - what a user may write: MTCPSHIM_* variables, the file, rules, and values of settings.  Any text is read without
 * harm; what was taken over is within its limits, and a setting that was taken reads back as a value that is taken again.
 *
 * Input: lines of the environment without the MTCPSHIM_ in front, a NUL, and the file.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/engine.h"
#include "shim/log.h"
#include "shim/route.h"
#include "tests/fuzz/world.h"

#define LINES_MAX 24

static int file;
static char file_setting[64];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	file = memfd_create("mtcpshim.conf", MFD_CLOEXEC);
	if (file < 0)
		world_fault("no memfd");
	snprintf(file_setting, sizeof(file_setting), "MTCPSHIM_CONF=/proc/self/fd/%d", file);
	return 0;
}

/* In the place of shim/log.c: every line is put together, none is written. */
void log_line(int level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
}

void log_set_level(enum log_level level)
{
}

bool log_wants(enum log_level level)
{
	return true;
}

/* The variables, each in memory of its own size; the last place is for NULL. */
static void make_environment(struct input_bytes *in, char *env[LINES_MAX + 2])
{
	unsigned n = 0;

	env[n++] = strdup(file_setting);
	while (n <= LINES_MAX && in->left && *in->p) {
		const char *end = memchr(in->p, '\n', in->left), *nul = memchr(in->p, 0, in->left);
		size_t len = in->left;

		if (nul)
			len = (size_t)(nul - (const char *)in->p);
		if (end && (size_t)(end - (const char *)in->p) < len)
			len = (size_t)(end - (const char *)in->p);
		if (asprintf(&env[n], "MTCPSHIM_%.*s", (int)len, in->p) < 0)
			world_fault("no memory");
		/* Which file is read is not the input's to say. */
		if (!strncmp(env[n], "MTCPSHIM_CONF", 13))
			env[n][9] = 'X';
		n++;
		in->p += len;
		in->left -= len;
		if (in->left && *in->p == '\n')
			in_u8(in);
	}
	env[n] = NULL;
	in_u8(in);
}

static void check_settings(const struct config *c)
{
	struct tcp_settings s;
	char now[64], again[64];

	tcp_settings_init(&s);
	for (unsigned i = 0; i < c->nsysctls; i++) {
		const char *name = c->sysctls[i].name;

		if (tcp_settings_set(&s, name, c->sysctls[i].value) < 0)
			continue;
		if (tcp_settings_get(&s, name, now, sizeof(now)) < 0 || tcp_settings_set(&s, name, now) < 0 ||
		    tcp_settings_get(&s, name, again, sizeof(again)) < 0 || strcmp(now, again))
			world_fault("%s does not read back: %s", name, now);
	}
}

static void check_rule(const struct config_rule *r)
{
	if (r->len > 128 || r->port_lo > r->port_hi || r->role < ROUTE_ROLE_ANY || r->role > ROUTE_ROLE_LISTEN)
		world_fault("a rule with prefix length %u, ports %u-%u, role %d", r->len, r->port_lo, r->port_hi, r->role);
	if (memchr(r->program, 0, sizeof(r->program)) == NULL)
		world_fault("a program without an end");
	if (*r->program && !strchr(r->program, '*') && !route_program_match(r->program, r->program))
		world_fault("%s does not match itself", r->program);
}

static void check(const struct config *c)
{
	if (c->naddrs > CONFIG_ADDRS_MAX || c->nrules > CONFIG_RULES_MAX || c->nsysctls > CONFIG_SYSCTLS_MAX)
		world_fault("%u addresses, %u rules, %u settings", c->naddrs, c->nrules, c->nsysctls);
	for (unsigned i = 0; i < c->naddrs; i++)
		if (c->addrs[i].len > 128)
			world_fault("a prefix of %u", c->addrs[i].len);
	for (unsigned i = 0; i < c->nrules; i++)
		check_rule(&c->rules[i]);
	if (c->enabled && (c->bad || !*c->dev))
		world_fault("enabled without a device, or with a bad value");
	if (c->enabled && ((c->mtu && (c->mtu < 576 || c->mtu > 65535)) || c->cores < 1 || c->cores > 16))
		world_fault("MTU %u, %u cores", c->mtu, c->cores);
	check_settings(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input_bytes in = {data, size};
	char *env[LINES_MAX + 2];
	static struct config c;

	make_environment(&in, env);
	if (ftruncate(file, 0) < 0 || pwrite(file, in.p, in.left, 0) < 0)
		world_fault("the file cannot be written");
	config_read(&c, env);
	check(&c);
	for (unsigned i = 0; env[i]; i++)
		free(env[i]);
	return 0;
}
