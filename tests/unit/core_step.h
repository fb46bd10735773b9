/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core_step.h - a child of the family in core_world.h's world, stopped at any instruction of a call: once through it by single
 * steps to find the moments of interest, then again and again to each of them.
 */
#ifndef TEST_CORE_STEP_H
#define TEST_CORE_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The child is at that instruction for the nth time. */
struct moment {
	uint64_t at;
	unsigned nth;
	const uint64_t *steps; /* until step_keep(): where it was so far */
	unsigned nsteps;
};

/* A child that is about to make the call, of world_by_hand(). */
pid_t step_begin(void (*call)(void));
/* What a test looks at of a child's state: `size` bytes, put at `at`. */
struct step_view {
	void (*take)(void *at);
	size_t size;
};

/* Through the whole call: changed() after each instruction that left something that was not there before. */
void step_changes(pid_t child, const struct step_view *view, void (*changed)(const struct moment *m, const void *state));
/* A copy of what changed() was given is to outlast it. */
void step_keep(struct moment *m);
/* To that moment: false if the call is over, it did not come about this time. */
bool step_to(pid_t child, const struct moment *m);
/* The rest of the call. */
void step_rest(pid_t child);
/* The end of the child, wherever it is. */
void step_kill(pid_t child);

#endif
