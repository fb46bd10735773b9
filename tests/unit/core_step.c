/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core_step.c - a child of the family by single instructions (ptrace(2)); see core_step.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/unit/core_step.h"

#include <assert.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/core_world.h"

#define STEPS_MAX 400000
#define BREAKPOINT 0xcc /* int3 */
#define RIP offsetof(struct user_regs_struct, rip)

/* Where the child was after each step. */
static uint64_t trail[STEPS_MAX];

/* Why it stopped. */
static int await_stop(pid_t child)
{
	int status;

	assert(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
	return WSTOPSIG(status);
}

pid_t step_begin(void (*call)(void))
{
	pid_t child;

	core->fork_prepare();
	child = fork();
	if (child == 0) {
		if (!core->fork_child())
			_exit(1);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		call();
		raise(SIGSTOP);
		_exit(1);
	}
	core->fork_parent();
	assert(await_stop(child) == SIGSTOP);
	return child;
}

/* One instruction, the nth: false if the call was over. */
static bool step(pid_t child, unsigned n)
{
	assert(n < STEPS_MAX);
	ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
	if (await_stop(child) == SIGSTOP)
		return false;
	trail[n] = (uint64_t)ptrace(PTRACE_PEEKUSER, child, RIP, NULL);
	return true;
}

void step_changes(pid_t child, const struct step_view *view, void (*changed)(const struct moment *m, const void *state))
{
	void *was = calloc(1, view->size), *is = calloc(1, view->size);

	assert(was && is);
	view->take(was);
	for (unsigned n = 0; step(child, n); n++) {
		struct moment m = {.at = trail[n], .steps = trail, .nsteps = n + 1};

		view->take(is);
		if (!memcmp(was, is, view->size))
			continue;
		memcpy(was, is, view->size);
		changed(&m, is);
	}
	free(was);
	free(is);
}

void step_keep(struct moment *m)
{
	for (unsigned i = 0; i < m->nsteps; i++)
		m->nth += m->steps[i] == m->at;
	m->steps = NULL;
}

bool step_to(pid_t child, const struct moment *m)
{
	long code = ptrace(PTRACE_PEEKTEXT, child, m->at, NULL);

	for (unsigned nth = 1;; nth++) {
		ptrace(PTRACE_POKETEXT, child, m->at, (code & ~0xffl) | BREAKPOINT);
		ptrace(PTRACE_CONT, child, NULL, NULL);
		if (await_stop(child) == SIGSTOP)
			return false;
		ptrace(PTRACE_POKETEXT, child, m->at, code);
		ptrace(PTRACE_POKEUSER, child, RIP, m->at);
		if (nth == m->nth)
			return true;
		ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
		assert(await_stop(child) == SIGTRAP);
	}
}

void step_rest(pid_t child)
{
	ptrace(PTRACE_CONT, child, NULL, NULL);
	assert(await_stop(child) == SIGSTOP);
}

void step_kill(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}
