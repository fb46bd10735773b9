/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inherit.c - the environment of new programs, see inherit.h.  No memory is allocated: exec may be called where malloc() may not.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "inherit.h"

#include "config.h"

#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>

#define PRELOAD "LD_PRELOAD="
#define OURS "MTCPSHIM_"
/* Says that the others were added. */
#define ADDED "MTCPSHIM_ADDED=1"
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
		added |= !strcmp(*at, ADDED);
	}
	for (char **at = environment; added && *at; at++)
		if (!is_ours(*at))
			*to++ = *at;
	if (added)
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
	return count(envp) + count(config_captured()) + 3;
}

char *const *inherit_env(char *const *envp, char **room)
{
	char **to = room;

	for (char *const *at = envp; at && *at; at++) {
		if (is_ours(*at) || !*preload)
			return envp;
		*to++ = *at;
	}
	if (!*preload)
		return envp;
	*to++ = preload;
	*to++ = (char *)ADDED;
	for (char *const *at = config_captured(); *at; at++)
		if (strcmp(*at, ADDED))
			*to++ = *at;
	*to = NULL;
	return room;
}
