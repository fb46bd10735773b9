/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fresh.h - TCP sockets that nobody owns yet: what was set on them between socket() and the bind, listen or connect that decides.
 *
 * A record is one open file description: dup() makes several descriptors refer to it, and the decision reaches them all.  Records
 * are never unmapped, and carry a generation, so that a stale reference is recognised.
 *
 * Threads: fresh_lock() is held for the few calls that look or change; it is not to be taken in a signal handler that may have
 * interrupted such a call on the same descriptor.
 */
#ifndef SHIM_FRESH_H
#define SHIM_FRESH_H

#include "core.h"

#include <netinet/in.h>

#define FRESH_OPTS_MAX 32

struct fresh {
	uint32_t gen;
	uint32_t refs; /* descriptors, and whoever holds the lock */
	uint32_t next; /* free list: index + 1 */
	bool locked;
	bool nonblock, v6only;
	bool owned; /* the placeholder may have an owner for its signals */
	bool bound; /* the placeholder is bound in the kernel, to `local` */
	int family;
	socklen_t local_len;
	struct sockaddr_in6 local; /* or a sockaddr_in */
	unsigned nopts;
	uint32_t applied; /* bit i: the placeholder has opts[i] */
	struct early_opt opts[FRESH_OPTS_MAX];
} __attribute__((aligned(64))); /* neighbours may be other threads' */

/* A record with one reference for a socket of this family.  NULL: no more (65536 at a time). */
struct fresh *fresh_new(int family, bool nonblock);
/* Lock the record of a descriptor; NULL: it is not FRESH any more: look it up again. */
struct fresh *fresh_lock(const struct fdref *r);
void fresh_unlock(struct fresh *f);
/* One descriptor less refers to it.  True: it was the last reference, the record is gone. */
bool fresh_drop(struct fresh *f);

/* With the lock held: */
/* One descriptor more will refer to it (dup). */
void fresh_share(struct fresh *f);
/* Remember an option; applied: the placeholder has it.  False: no room for it. */
bool fresh_option(struct fresh *f, const struct early_opt *o, bool applied);
/* Give the kernel the options that were only remembered; fd's placeholder is its own (placeholder.h) afterwards.  -errno: it has
 * none, and nothing happened. */
int fresh_flush(struct fresh *f, int fd);
/*
 * The decision: every descriptor of the record becomes what `to` says (FD_KERNEL, or FD_SOCK with its object).  The first one
 * takes over the object's reference, further ones get their own through ops (NULL: there is no object).  How many there were: 0
 * if all were closed meanwhile.
 */
unsigned fresh_decide(struct fresh *f, const struct fdref *to, const struct core_ops *ops);

#endif
