/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * family.h - the processes that share an engine: the one that started it and what forked from it since, without an exec between.
 *
 * Each has a number, and a lock on the byte of that number in a file that all have open (fcntl(2): such a lock ends with the
 * process, however it ends, and with exec, as the descriptor is close-on-exec).  One more byte is the turn: the process that has
 * it lets its helper thread drive when no application thread does, serves the port's control side, and buries the dead: takes
 * away what they held and what waited for them.  When it ends, the kernel gives the turn to another.
 */
#ifndef SHIM_FAMILY_H
#define SHIM_FAMILY_H

#include "shim/arena.h"
#include "shim/lock.h"

#include <sys/types.h>

struct thread;

enum proc_state {
	PROC_FREE,
	PROC_BORN, /* fork() is under way: it holds already what its parent does */
	PROC_LIVES,
	PROC_BURIED, /* is being */
};

struct proc {
	_Atomic int state;    /* enum proc_state */
	_Atomic bool helps;   /* it has a helper thread, which serves when its turn comes */
	_Atomic bool watched; /* its birth is locked: whether it died before it lived can be seen */
	uint64_t born;	      /* io_now() */
};

/* What all processes of the family see. */
struct shared {
	_Atomic(struct thread *) watcher; /* the application thread that sleeps with the ports in its wait; NULL: none */
	_Atomic uint64_t watch_until;	  /* when it will wake by itself; 0 when there is none or it is awake */
	_Atomic uint64_t helper_until;	  /* the same of the helper whose turn it is */
	_Atomic uint32_t kernel_epoch;	  /* counts the kernel waits that reported something */
	_Atomic unsigned fresh_members; /* FRESH members in all epoll sets: nothing to do for most descriptors that are closed */
	_Atomic bool link_wanted;	/* somebody connects */
	bool link_said;			/* the user was told that there is no link */
	struct lock nest_lock;		/* serializes the nesting of epoll sets */
	struct lock proc_lock;
	_Atomic unsigned nprocs;   /* that are not PROC_FREE */
	_Atomic unsigned wakeable; /* thread records below this have an eventfd that every process has */
	struct proc procs[PROCS_MAX];
};

/* The start: this process alone.  0 or -ENOMEM. */
int family_init(void);
/* Has it more than one process? */
bool family_is_many(void);
/* Does another process have a helper that will go on driving when this one ends? */
bool family_goes_on(void);

/* fork(): prepare() gives the child a number, -1 if it cannot belong (too many processes, no descriptor left); born() is the
 * child's first act: false, it does not belong; birth_over() the parent's. */
int family_prepare(void);
void family_birth_over(void);
bool family_born(unsigned proc);

/* Wait for the turn; returns when it has come. Helper thread. */
void family_await_turn(void);
/* Bury those that died.  The helper whose turn it is. */
void family_bury_dead(void);
/* How often it looks. */
#define FAMILY_LOOK_US 20000

/* Is the owner of a lock, by its word, gone? */
bool family_is_gone(uint32_t tid);

#endif
