/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hold.h - who holds a socket or an epoll set: the processes of the fork family, and within each its descriptors and the calls
 * that are under way.
 *
 * The process's own count is private memory, which fork() copies as it copies descriptors.  The object knows only which processes
 * hold it, by a bit for each: what a killed process held is let go by clearing its bit.  So dup(), close() and a call that blocks
 * touch no memory that other processes use, unless they are the process's first or last.
 * Any thread; a signal handler too.
 */
#ifndef SHIM_HOLD_H
#define SHIM_HOLD_H

#include "shim/arena.h"

/* What a hold that ends leaves. */
enum hold_left {
	HOLD_STALE,  /* it was none: this process does not hold that generation */
	HOLD_MINE,   /* this process still holds it */
	HOLD_OTHERS, /* other processes do */
	HOLD_NOBODY, /* the object is to be taken apart and given back by the caller */
};

/* Make the books of this process, empty.  0 or -ENOMEM. */
int hold_init(void);
/* A new object's one reference is this process's. */
void hold_first(void *obj);
/* One more; false if this process has none of that generation. */
bool hold_more(void *obj, uint32_t gen);
enum hold_left hold_less(void *obj, uint32_t gen);
/* All of this process's at once. */
enum hold_left hold_none(void *obj);
/* How often this process holds it; at that moment. */
unsigned hold_count(const void *obj);

/* How many processes hold it. */
unsigned hold_processes(const void *obj);

/* fork(), before: whatever this process holds, process `child` of the family will hold too. */
void hold_share(enum slab slab, unsigned child);
/* In the child: forget the parent's counts; then hold_found() for each descriptor; then hold_settle(): what turned out not to be
 * held is let go. */
void hold_forget(void);
void hold_found(void *obj, uint32_t gen);
void hold_settle(enum slab slab, void (*nobody)(void *obj));
/* A process is gone: its holds end. */
void hold_bury(enum slab slab, unsigned proc, void (*nobody)(void *obj));

#endif
