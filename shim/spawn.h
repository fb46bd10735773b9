/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spawn.h - posix_spawn() by fork() and exec, for children that inherit engine sockets: libc's own makes a child in this
 * process's memory, which cannot exchange them for kernel sockets under its numbers alone.
 */
#ifndef SHIM_SPAWN_H
#define SHIM_SPAWN_H

#include "core.h"

struct spawn_call {
	const char *path;
	bool search; /* posix_spawnp() */
	const posix_spawn_file_actions_t *actions;
	const posix_spawnattr_t *attr;
	char *const *argv, *const *envp;
};

/* Would the child inherit an engine socket? */
bool spawn_is_ours(const posix_spawn_file_actions_t *actions);
/* As posix_spawn(): 0 or an errno. */
int spawn(pid_t *pid, const struct spawn_call *call);

#endif
