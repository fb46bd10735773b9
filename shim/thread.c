/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread.c - what the core knows of each thread: its record, its eventfd, and how it is woken.
 */
#include "shim/runtime.h"
#include "shim/wait.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Microseconds of spinning that a new thread begins with. */
#define SPIN_START_US 50

/* Threads of a family that can sleep until they are woken, and the part of RLIMIT_NOFILE that they may take; others nap. */
#define WAKEABLE_MAX 128
#define WAKEABLE_SHARE 8

/* Twelve bytes of static TLS: cheap to reach, few enough for a library loaded with dlopen(). */
__thread struct thread *thread_known __attribute__((tls_model("initial-exec")));
__thread uint32_t lock_known_tid __attribute__((tls_model("initial-exec")));
static pthread_key_t exit_key;
static pthread_once_t exit_key_once = PTHREAD_ONCE_INIT;
static _Atomic unsigned next_home;
/* Eventfds by index of the record, plus one; 0: none.  Private to the process, as descriptors are. */
static _Atomic int fds[THREADS_MAX];

uint32_t lock_ask_tid(void)
{
	return (uint32_t)rt.real->syscall(SYS_gettid);
}

/* NULL: the core knows nothing of this thread. */
static void know(struct thread *t)
{
	thread_known = t;
	lock_known_tid = t ? t->tid : 0;
}

/* The thread ends: its record goes to the next one. */
static void thread_exit(void *arg)
{
	struct thread *t = arg;

	know(NULL);
	if (t->scratch)
		munmap(t->scratch, t->scratch_size);
	arena_put(t);
}

static void make_exit_key(void)
{
	pthread_key_create(&exit_key, thread_exit);
}

static struct thread *thread_make(void)
{
	struct thread *t;

	/* More threads than the kernel itself allows would have to live at once. */
	while (!(t = arena_get(SLAB_THREAD)))
		sched_yield();
	t->proc = rt.proc;
	t->tid = (uint32_t)rt.real->syscall(SYS_gettid);
	t->self = pthread_self();
	/* Processes begin at different stacks: workers with one thread each share them out. */
	t->home = (rt.proc + atomic_fetch_add_explicit(&next_home, 1, memory_order_relaxed)) % (rt.nstacks ? rt.nstacks : 1);
	t->watch.kind = WATCH_THREAD;
	t->watch.thread = t;
	t->spin_us = SPIN_START_US;
	/* A child's first use of the engine: from here on it may be the last one to serve it. */
	if (rt_up())
		helper_join();
	return t;
}

struct thread *thread_first_use(void)
{
	struct thread *t = thread_make();

	pthread_once(&exit_key_once, make_exit_key);
	pthread_setspecific(exit_key, t);
	know(t);
	return t;
}

/* Eventfds stay: with them this process wakes the parent's threads. */
void thread_forget(void)
{
	atomic_store(&next_home, 0);
	if (!thread_known)
		return;
	know(NULL);
	pthread_setspecific(exit_key, NULL);
}

static int make_fd(uint32_t index)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), none = 0;

	if (fd < 0)
		return -errno;
	fd = rt.thin->fd_private(fd);
	if (fd < 0)
		return fd;
	if (atomic_compare_exchange_strong_explicit(&fds[index], &none, fd + 1, memory_order_acq_rel, memory_order_acquire))
		return fd;
	rt.thin->fd_private_close(fd);
	return none - 1;
}

int thread_fd(struct thread *t)
{
	int fd = atomic_load_explicit(&fds[t->obj.index], memory_order_acquire) - 1;

	return fd >= 0 ? fd : make_fd(t->obj.index);
}

void threads_make_wakeable(void)
{
	unsigned most = WAKEABLE_MAX, i;
	struct rlimit lim;

	if (atomic_load(&rt.shared->wakeable))
		return;
	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur / WAKEABLE_SHARE < most)
		most = (unsigned)(lim.rlim_cur / WAKEABLE_SHARE);
	for (i = 0; i < most; i++)
		if (!atomic_load(&fds[i]) && make_fd(i) < 0)
			break;
	atomic_store(&rt.shared->wakeable, i);
}

bool thread_is_wakeable(const struct thread *t)
{
	return !family_is_many() || t->obj.index < atomic_load(&rt.shared->wakeable);
}

bool thread_is_asleep(const struct thread *t)
{
	return t == thread_known || atomic_load(&t->sleeping);
}

void thread_drain(struct thread *t)
{
	uint64_t n;

	/* By number, as all that could be a cancellation point in the midst of a call. */
	rt.real->syscall(SYS_read, thread_fd(t), &n, sizeof(n));
}

static void ring(struct thread *t)
{
	static const uint64_t one = 1;
	int fd = atomic_load_explicit(&fds[t->obj.index], memory_order_acquire) - 1;

	if (fd >= 0)
		rt.real->syscall(SYS_write, fd, &one, sizeof(one));
}

bool thread_wake(struct thread *t)
{
	struct thread *me = thread_known;

	/* It is about to sleep and will look once more after this. */
	if (t == me)
		return true;
	if (!atomic_exchange(&t->sleeping, 0))
		return false;
	if (me && me->stacks_held && me->nwakes < THREAD_WAKES_MAX)
		me->wakes[me->nwakes++] = t;
	else
		ring(t);
	return true;
}

void thread_rouse(struct thread *t)
{
	atomic_store(&t->sleeping, 0);
	ring(t);
}

void thread_cancelled(pthread_t thread)
{
	uint32_t n = arena_count(SLAB_THREAD);

	for (uint32_t i = 0; i < n; i++) {
		struct thread *t = arena_at(SLAB_THREAD, i);

		if (!object_is(t, object_gen(t)) || t->proc != rt.proc || !pthread_equal(t->self, thread))
			continue;
		atomic_store(&t->cancelled, true);
		thread_wake(t);
	}
}

void thread_flush_wakes(struct thread *t)
{
	while (t->nwakes)
		ring(t->wakes[--t->nwakes]);
}
