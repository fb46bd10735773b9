/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inherit.h - keeps the library in the programs that this one starts.
 *
 * The rule: whoever gives a program an environment with LD_PRELOAD or any MTCPSHIM_ variable in it has decided, and it is left as
 * it is (so `env -u LD_PRELOAD program` leaves the shim).  In an environment with none of them nobody thought of us (a daemon's
 * clean one, `env -i`): the variables that this process was started with are added, and the new program does not see them: the
 * library takes them out again before main().
 */
#ifndef SHIM_INHERIT_H
#define SHIM_INHERIT_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* At the start, after config_capture(): remember LD_PRELOAD, hide what was added, find the descriptors of relays. */
void inherit_begin(char **environment);
/* Variables that are for one exec only.  The first says that the others were added. */
#define INHERIT_ADDED "MTCPSHIM_ADDED="
#define INHERIT_RELAYS "MTCPSHIM_RELAYS="
static inline bool inherit_passes(const char *var)
{
	return !strncmp(var, INHERIT_ADDED, strlen(INHERIT_ADDED)) || !strncmp(var, INHERIT_RELAYS, strlen(INHERIT_RELAYS));
}

/* How many pointers the environment for a new program takes, the NULL included; and that environment. */
/* relays: one more variable, INHERIT_RELAYS..., or NULL. */
size_t inherit_room(char *const *envp);
char *const *inherit_env(char *const *envp, char **room, const char *relays);

#endif
