/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inherit.c - the environment of new programs, see inherit.h.  No memory is allocated: exec may be called where malloc() may not.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "inherit.h"

#include "config.h"
#include "relay_name.h"

#include <sys/auxv.h>

#define PRELOAD "LD_PRELOAD="
#define OURS "MTCPSHIM_"
#define PRELOAD_BYTES 4096

static char preload[PRELOAD_BYTES]; /* "": it was loaded in another way, or its text is too long */

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static bool is_ours(const char *var)
{
	return begins(var, PRELOAD) || begins(var, OURS);
}

void inherit_begin(char **environment)
{
	char **to = environment;
	bool added = false;

	if (!environment || getauxval(AT_SECURE))
		return;
	for (char **at = environment; *at; at++) {
		if (begins(*at, PRELOAD) && strlen(*at) < sizeof(preload))
			strcpy(preload, *at);
		added |= begins(*at, INHERIT_ADDED);
	}
	for (char **at = environment; *at; at++) {
		if (begins(*at, INHERIT_RELAYS))
			relay_expect(*at + strlen(INHERIT_RELAYS));
		else if (!added || !is_ours(*at))
			*to++ = *at;
	}
	*to = NULL;
}

static size_t count(char *const *list)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	return n;
}

size_t inherit_room(char *const *envp)
{
	return count(envp) + count(config_captured()) + 4;
}

/* Does the environment say what it wants of us, or can we not be had? */
static bool is_decided(char *const *envp)
{
	if (!*preload)
		return true;
	for (; envp && *envp; envp++)
		if (is_ours(*envp))
			return true;
	return false;
}

char *const *inherit_env(char *const *envp, char **room, const char *relays)
{
	bool decided = is_decided(envp);
	char **to = room;

	if (decided && !relays)
		return envp;
	for (char *const *at = envp; at && *at; at++)
		*to++ = *at;
	if (!decided) {
		*to++ = preload;
		*to++ = (char *)INHERIT_ADDED "1";
		for (char *const *at = config_captured(); *at; at++)
			*to++ = *at;
	}
	if (relays)
		*to++ = (char *)relays;
	*to = NULL;
	return room;
}
