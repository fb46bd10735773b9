/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * loader.h - brings the core (libmtcpshim-core.so, beside this library) into the process when it is first needed, and starts the
 * engine.
 */
#ifndef SHIM_LOADER_H
#define SHIM_LOADER_H

#include "core.h"

/* NULL until loader_load() succeeded; never changes back. */
extern const struct core_ops *loader_core;

static inline const struct core_ops *core(void)
{
	return __atomic_load_n(&loader_core, __ATOMIC_ACQUIRE);
}

/* Load the core without starting the engine.  NULL: it cannot be loaded, and the log says why; tried once. */
const struct core_ops *loader_load(void);
/*
 * The core with the engine running, or NULL: the kernel serves.  Tried once; with MTCPSHIM_STRICT=1 the process ends if it fails.
 * Not in a forked child of a process whose engine runs.
 */
const struct core_ops *loader_up(void);
/* May a new socket still become the engine's? False: not configured, the engine failed to start, or we are a forked child of one
 * that runs. */
bool loader_wanted(void);

/* A descriptor that becomes readable when the core is loaded, for those who wait in the kernel until then; -1: none, or it is
 * loaded. */
int loader_reveal_fd(void);
/* Is this code address in the core or in a library that came with it? For these, nothing is intercepted that is private. */
bool loader_owns(const void *code);

/* Is this the process that the library's state is of?  Not in a child that clone() made in our memory. */
bool loader_is_here(void);
/* The process begins. */
void loader_born(void);
/* fork(): before, in the parent after, in the child after. */
void loader_fork_prepare(void);
void loader_fork_parent(void);
void loader_fork_child(void);
/* The process ends: let the core send what is queued. */
void loader_exiting(void);

#endif
