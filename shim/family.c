/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * family.c - processes come and go: numbers, locks on the bytes of the family's file, and what is done for one that died.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create() */
#endif
#include "shim/family.h"
#include "shim/epoll.h"
#include "shim/hold.h"
#include "shim/runtime.h"
#include "shim/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The byte that is the turn; those before it are the processes'. */
#define TURN PROCS_MAX
/* A child that has not come to life by then never will, where its birth could not be locked (without /proc). */
#define BIRTH_US 5000000

/* The family's file; -1 until the first fork(). */
static int file = -1;
/*
 * A second one, of a byte for each birth, and that opened once more while fork() goes on: the child's birth is locked until
 * parent and child have closed it.  (To close a file ends a process's own locks of it, those of the first one must stay.)
 */
static int births = -1, birth = -1;

int family_init(void)
{
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (sh == MAP_FAILED)
		return -ENOMEM;
	rt.shared = sh;
	rt.proc = 0;
	atomic_store(&sh->procs[0].state, PROC_LIVES);
	atomic_store(&sh->nprocs, 1);
	return hold_init();
}

bool family_is_many(void)
{
	return rt.shared && atomic_load_explicit(&rt.shared->nprocs, memory_order_relaxed) > 1;
}

bool family_goes_on(void)
{
	for (unsigned i = 0; family_is_many() && i < PROCS_MAX; i++) {
		struct proc *p = &rt.shared->procs[i];

		if (i != rt.proc && atomic_load(&p->state) == PROC_LIVES && atomic_load(&p->helps))
			return true;
	}
	return false;
}

/* ---- the file's bytes ----------------------------------------------------------------------------------------------------- */

static int byte_lock(int cmd, unsigned byte)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return rt.real->fcntl(file, cmd, &l) ? -errno : 0;
}

/* Does another process, or an open file, have it? */
static bool byte_taken_of(int file, unsigned byte)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return rt.real->fcntl(file, F_GETLK, &l) || l.l_type != F_UNLCK;
}

static bool byte_taken(unsigned byte)
{
	return byte_taken_of(file, byte);
}

static int file_new(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	return fd < 0 ? -errno : rt.thin->fd_private(fd);
}

static int file_make(void)
{
	int fd = file_new("mtcpshim-family");

	if (fd < 0)
		return fd;
	file = fd;
	births = file_new("mtcpshim-births");
	byte_lock(F_SETLK, rt.proc);
	return byte_lock(F_SETLK, TURN);
}

/* A lock of the open file, which the child inherits, as it does not inherit a process's (fcntl(2)). */
static bool birth_lock(unsigned child)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = child, .l_len = 1};
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", births);
	fd = open(path, O_RDWR | O_CLOEXEC);
	birth = fd < 0 ? fd : rt.thin->fd_private(fd);
	return birth >= 0 && !rt.real->fcntl(birth, F_OFD_SETLK, &l);
}

void family_birth_over(void)
{
	if (birth >= 0)
		rt.thin->fd_private_close(birth);
	birth = -1;
}

/* ---- birth ---------------------------------------------------------------------------------------------------------------- */

/* Of those that are not free.  Counted rather than kept: who is killed between two changes leaves one of them alone. */
static unsigned count_procs(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PROCS_MAX; i++)
		n += atomic_load(&rt.shared->procs[i].state) != PROC_FREE;
	return n;
}

static int number_take(void)
{
	int got = -1;

	lock_take(&rt.shared->proc_lock);
	for (unsigned i = 0; got < 0 && i < PROCS_MAX; i++) {
		struct proc *p = &rt.shared->procs[i];

		if (atomic_load(&p->state) != PROC_FREE)
			continue;
		p->born = io_now();
		atomic_store(&p->helps, false);
		atomic_store(&p->watched, false);
		atomic_store(&p->state, PROC_BORN);
		/* While there is only one, nobody can die, and the helper whose turn it is may sleep for good. */
		if (atomic_exchange(&rt.shared->nprocs, count_procs()) == 1)
			helper_wake();
		got = (int)i;
	}
	lock_drop(&rt.shared->proc_lock);
	return got;
}

int family_prepare(void)
{
	int child;

	if (file < 0 && file_make() < 0)
		return -1;
	threads_make_wakeable();
	child = number_take();
	if (child >= 0) {
		/* From then on it is known if it dies before it lives. */
		if (birth_lock((unsigned)child))
			atomic_store(&rt.shared->procs[child].watched, true);
		hold_share(SLAB_SOCK, (unsigned)child);
		hold_share(SLAB_EPSET, (unsigned)child);
	}
	return child;
}

bool family_born(unsigned proc)
{
	int born = PROC_BORN;
	bool lives;

	rt.proc = proc;
	lives = byte_lock(F_SETLK, proc) == 0 && atomic_compare_exchange_strong(&rt.shared->procs[proc].state, &born, PROC_LIVES);
	family_birth_over();
	return lives;
}

void family_await_turn(void)
{
	while (byte_lock(F_SETLKW, TURN))
		sched_yield();
}

/* ---- death ---------------------------------------------------------------------------------------------------------------- */

static bool is_dead(unsigned i)
{
	struct proc *p = &rt.shared->procs[i];

	switch (atomic_load(&p->state)) {
	case PROC_BORN:
		if (io_now() - p->born <= BIRTH_US && !(atomic_load(&p->watched) && !byte_taken_of(births, i)))
			return false;
		return !byte_taken(i);
	case PROC_LIVES:
		return !byte_taken(i);
	case PROC_BURIED:
		/* By whoever had the turn before, and died amid it. */
		return true;
	default:
		return false;
	}
}

/* Is there no such thread, or is it what is left of a process that nobody has waited for yet (proc(5))? */
static bool has_ended(uint32_t tid)
{
	char path[32], text[256];
	const char *state;
	ssize_t n;
	int fd;

	if (kill((pid_t)tid, 0) && errno == ESRCH)
		return true;
	snprintf(path, sizeof(path), "/proc/%u/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = rt.real->read(fd, text, sizeof(text) - 1);
	rt.real->close(fd);
	text[n > 0 ? n : 0] = 0;
	state = strrchr(text, ')');
	return state && (!strncmp(state, ") Z", 3) || !strncmp(state, ") X", 3));
}

bool family_is_gone(uint32_t tid)
{
	uint32_t n = arena_count(SLAB_THREAD);

	if (file < 0)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct thread *t = arena_at(SLAB_THREAD, i);

		if (t->tid == tid && object_is(t, object_gen(t)))
			return t->proc != rt.proc && !byte_taken(t->proc);
	}
	/* It was about to get its record, or had just given it back. */
	return has_ended(tid);
}

static void bury_sock(void *obj)
{
	sock_bury(obj);
}

static void bury_set(void *obj)
{
	epset_end(obj);
}

/* What waited in the dead process waits no more; who takes its place as watcher finds out. */
static void bury_threads(unsigned proc)
{
	uint32_t n = arena_count(SLAB_WATCH), threads = arena_count(SLAB_THREAD);
	struct thread *w = atomic_load(&rt.shared->watcher);

	for (uint32_t i = 0; i < n; i++) {
		struct watch *watch = arena_at(SLAB_WATCH, i);

		if (object_is(watch, object_gen(watch)) && watch->thread && watch->thread->proc == proc) {
			pollable_remove(watch);
			arena_put(watch);
		}
	}
	if (w && w->proc == proc && atomic_compare_exchange_strong(&rt.shared->watcher, &w, NULL))
		atomic_store(&rt.shared->watch_until, 0);
	for (uint32_t i = 0; i < threads; i++) {
		struct thread *t = arena_at(SLAB_THREAD, i);

		if (!object_is(t, object_gen(t)))
			continue;
		if (t->proc != proc) {
			/* Its wake-up may have gone to the dead, who had noted it already. */
			thread_rouse(t);
			continue;
		}
		pollable_remove(&t->watch);
		arena_put(t);
	}
}

static void number_free(unsigned proc)
{
	lock_take(&rt.shared->proc_lock);
	atomic_store(&rt.shared->procs[proc].state, PROC_FREE);
	atomic_store(&rt.shared->nprocs, count_procs());
	lock_drop(&rt.shared->proc_lock);
}

/* Who is killed amid this leaves it to the next, who does it all once more. */
static void bury(unsigned proc)
{
	stacks_recover();
	mend_all();
	/* First who waits, then what for: the watches are in lists of the sockets and sets. */
	bury_threads(proc);
	hold_bury(SLAB_SOCK, proc, bury_sock);
	hold_bury(SLAB_EPSET, proc, bury_set);
	number_free(proc);
}

void family_bury_dead(void)
{
	for (unsigned i = 0; family_is_many() && i < PROCS_MAX; i++) {
		struct proc *p = &rt.shared->procs[i];
		int state = atomic_load(&p->state);

		if (i != rt.proc && is_dead(i) && atomic_compare_exchange_strong(&p->state, &state, PROC_BURIED))
			bury(i);
	}
}
