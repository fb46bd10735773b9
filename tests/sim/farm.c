/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * farm.c - processes that share a list of jobs; see farm.h.  Each worker starts DPDK's EAL for itself: its memory would otherwise
 * be shared between them.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/farm.h"

#define WORKERS_MAX 64
#define PROGRESS_S 10
#define CANNOT_START 3

struct worker {
	pid_t pid;
	uint64_t job; /* one more than its index; 0: none */
};

struct yard {
	struct farm_counts counts;
	struct worker worker[WORKERS_MAX];
};

void *farm_memory(unsigned long size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED)
		abort();
	return mem;
}

static void __attribute__((noreturn)) work(const struct farm *f, struct yard *y, struct worker *me, const sigset_t *old)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigprocmask(SIG_SETMASK, old, NULL);
	if (!f->start(f->arg))
		_exit(CANNOT_START);
	for (;;) {
		uint64_t i = __atomic_fetch_add(&y->counts.next, 1, __ATOMIC_RELAXED);

		if (i >= f->jobs)
			break;
		me->job = i + 1;
		alarm(f->patience_s);
		if (!f->job(f->arg, i, &y->counts))
			farm_add(&y->counts.failed, 1);
		farm_add(&y->counts.done, 1);
		me->job = 0;
		fflush(stdout);
	}
	_exit(0);
}

static void hire(const struct farm *f, struct yard *y, struct worker *who, const sigset_t *old)
{
	pid_t pid;

	fflush(stdout);
	who->job = 0;
	pid = fork();
	if (pid == 0)
		work(f, y, who, old);
	who->pid = pid; /* in shared memory: not the child's to write */
}

/* A worker has ended: false if it could not even start. */
static bool bury(const struct farm *f, struct yard *y, struct worker *who, int status)
{
	char how[64];

	who->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (!who->job)
		return false;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		snprintf(how, sizeof(how), "did not end within %u seconds of real time", f->patience_s);
	else if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "crashed: %s", strsignal(WTERMSIG(status)));
	else
		snprintf(how, sizeof(how), "ended the process with status %d", WEXITSTATUS(status));
	f->crashed(f->arg, who->job - 1, how);
	farm_add(&y->counts.failed, 1);
	farm_add(&y->counts.done, 1);
	return true;
}

static double seconds_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) + (double)(now.tv_nsec - t->tv_nsec) / 1e9;
}

static void print_progress(const struct farm *f, const struct farm_counts *c, const struct timespec *began)
{
	double s = seconds_since(began);

	printf("%llu of %llu, %llu failed, %.0f a second, %.0f s to go\n", (unsigned long long)c->done,
	       (unsigned long long)f->jobs, (unsigned long long)c->failed, (double)c->done / s,
	       c->done ? s * (double)(f->jobs - c->done) / (double)c->done : 0);
	fflush(stdout);
}

/* Take leave of workers that have ended, hire others while there is work; how many are at work, or -1. */
static int tend(const struct farm *f, struct yard *y, const sigset_t *old)
{
	int at_work = 0, status;

	for (unsigned i = 0; i < f->workers; i++) {
		struct worker *who = &y->worker[i];

		if (!who->pid)
			continue;
		if (waitpid(who->pid, &status, WNOHANG) == who->pid) {
			if (!bury(f, y, who, status))
				return -1;
			if (y->counts.next < f->jobs)
				hire(f, y, who, old);
		}
		at_work += who->pid != 0;
	}
	return at_work;
}

bool farm_run(const struct farm *f, struct farm_counts *counts)
{
	static const struct timespec pause = {.tv_sec = PROGRESS_S};
	struct yard *y = farm_memory(sizeof(*y));
	struct timespec began;
	sigset_t child, old;
	int at_work;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &old);
	clock_gettime(CLOCK_MONOTONIC, &began);
	for (unsigned i = 0; i < f->workers && i < f->jobs; i++)
		hire(f, y, &y->worker[i], &old);
	while ((at_work = tend(f, y, &old)) > 0) {
		if (sigtimedwait(&child, NULL, &pause) < 0 && f->progress)
			print_progress(f, &y->counts, &began);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	*counts = y->counts;
	return at_work == 0 && !counts->failed;
}
