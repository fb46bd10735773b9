/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.c - the thread that serves memif's control channels, in the place of EAL's interrupt thread: that one cannot be had in
 * a forked child, this one can be started anew in any process of the family.
 *
 * The driver's registrations of callbacks are redirected here, into a table in memory that all processes share.  Whatever the
 * driver does to a port happens under one lock, which fork() takes too: a child never begins in the middle of it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <rte_interrupts.h>

#include "internal.h"

#define ENTRIES_MAX 64

struct entry {
	struct rte_intr_handle *handle; /* NULL: free */
	int fd;
	bool channel; /* opened since the port started: a child has no use for it, another process does not have it */
	void (*run)(void *);
	void *arg;
};

static struct table {
	struct entry entries[ENTRIES_MAX];
} * table; /* shared by the family */

/* This process's. */
static pthread_mutex_t lock;
static int epfd = -1, bell = -1;
static bool serving;			      /* the thread runs in this process, or did not have to yet */
static bool started;			      /* it runs */
static bool moving;			      /* it takes over: what the driver has are another process's numbers */
static bool opened;			      /* a port is past its probe: what is opened now is a link's */
static bool first = true;		      /* the process that started EAL */
static struct entry *active;		      /* whose callback runs */
static rte_intr_unregister_callback_fn after; /* it was unregistered by it: to be called at its end */
static void (*tick)(void);
static uint64_t tick_at;

bool control_is_here(void)
{
	return serving;
}

bool control_is_moving(void)
{
	return moving;
}

bool control_is_first(void)
{
	return first;
}

/* ---- the table ---------------------------------------------------------------------------------------------------------------
 */

static struct entry *find(const struct rte_intr_handle *handle)
{
	for (unsigned i = 0; i < ENTRIES_MAX; i++)
		if (table->entries[i].handle == handle)
			return &table->entries[i];
	return NULL;
}

static void watch(const struct entry *e)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = (void *)e};

	epoll_ctl(epfd, EPOLL_CTL_ADD, e->fd, &ev);
}

static int add(const struct rte_intr_handle *handle, rte_intr_callback_fn run, void *arg)
{
	struct entry *e;

	pthread_mutex_lock(&lock);
	e = find(NULL);
	if (e) {
		*e = (struct entry){.handle = (struct rte_intr_handle *)handle,
				    .fd = rte_intr_fd_get(handle),
				    .channel = opened,
				    .run = run,
				    .arg = arg};
		watch(e);
	}
	pthread_mutex_unlock(&lock);
	return e ? 0 : -ENOSPC;
}

static void drop(struct entry *e)
{
	struct epoll_event unused = {0};

	if (!moving)
		epoll_ctl(epfd, EPOLL_CTL_DEL, e->fd, &unused);
	e->handle = NULL;
}

static int remove_entry(const struct rte_intr_handle *handle, rte_intr_callback_fn run, void *arg)
{
	struct entry *e;
	int rc = -ENOENT;

	(void)run;
	(void)arg;
	pthread_mutex_lock(&lock);
	e = find(handle);
	if (e && e == active)
		rc = -EAGAIN;
	else if (e)
		rc = 1;
	if (rc == 1)
		drop(e);
	pthread_mutex_unlock(&lock);
	return rc;
}

static int remove_pending(const struct rte_intr_handle *handle, rte_intr_callback_fn run, void *arg,
			  rte_intr_unregister_callback_fn then)
{
	(void)run;
	(void)arg;
	if (!active || active->handle != handle)
		return -ENOENT;
	after = then;
	return 1;
}

/* ---- the thread --------------------------------------------------------------------------------------------------------------
 */

static void serve(struct entry *e)
{
	struct rte_intr_handle *handle = e->handle;
	void *arg = e->arg;

	active = e;
	after = NULL;
	e->run(arg);
	active = NULL;
	if (!after)
		return;
	drop(e);
	after(handle, arg);
}

static int until_tick(void)
{
	uint64_t now = io_now();

	return !tick_at ? -1 : tick_at <= now ? 0 : (int)((tick_at - now + 999) / 1000);
}

static void *control_main(void *unused)
{
	struct epoll_event ev;
	uint64_t count;
	int n;

	prctl(PR_SET_NAME, "mtcpshim-link");
	for (;;) {
		n = epoll_wait(epfd, &ev, 1, until_tick());
		pthread_mutex_lock(&lock);
		if (n == 1 && !ev.data.ptr)
			(void)!read(bell, &count, sizeof(count));
		else if (n == 1 && ((struct entry *)ev.data.ptr)->handle)
			serve(ev.data.ptr);
		if (tick_at && io_now() >= tick_at)
			tick();
		pthread_mutex_unlock(&lock);
	}
	return unused;
}

void control_tick_at(uint64_t us)
{
	const uint64_t one = 1;

	tick_at = us;
	(void)!write(bell, &one, sizeof(one));
}

void control_do(void (*run)(struct port *), struct port *p)
{
	pthread_mutex_lock(&lock);
	opened = true;
	run(p);
	pthread_mutex_unlock(&lock);
}

static int make_private(void)
{
	struct epoll_event ev = {.events = EPOLLIN};

	epfd = descriptor_keep(epoll_create1(EPOLL_CLOEXEC));
	bell = descriptor_keep(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
	if (epfd < 0 || bell < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, bell, &ev))
		return -EMFILE;
	return 0;
}

static void init_lock(void)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&lock, &attr);
	pthread_mutexattr_destroy(&attr);
}

int control_prepare(void (*on_tick)(void))
{
	if (table)
		return 0;
	init_lock();
	tick = on_tick;
	serving = true;
	table = io_alloc("mtcpshim-control", sizeof(*table));
	if (!table || make_private())
		return -ENOMEM;
	redirect_call("librte_net_memif.so", "rte_intr_callback_register", add);
	redirect_call("librte_net_memif.so", "rte_intr_callback_unregister", remove_entry);
	redirect_call("librte_net_memif.so", "rte_intr_callback_unregister_pending", remove_pending);
	return 0;
}

int control_start(void)
{
	pthread_attr_t attr;
	sigset_t before;
	pthread_t thread;
	int rc;

	if (started)
		return 0;
	io_block_signals(&before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, control_main, NULL);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	started = !rc;
	return -rc;
}

/* ---- fork --------------------------------------------------------------------------------------------------------------------
 */

void control_fork_prepare(void)
{
	if (table)
		pthread_mutex_lock(&lock);
}

void control_fork_parent(void)
{
	if (table)
		pthread_mutex_unlock(&lock);
}

/* The peer shall learn that a channel ended when the process that serves it ends. */
void control_fork_child(void)
{
	if (!table)
		return;
	init_lock();
	if (serving)
		for (unsigned i = 0; i < ENTRIES_MAX; i++)
			if (table->entries[i].handle && table->entries[i].channel)
				descriptor_close(table->entries[i].fd);
	if (serving) {
		descriptor_close(epfd);
		descriptor_close(bell);
	}
	serving = started = first = false;
	active = NULL;
	tick_at = 0;
}

int control_take_over(void)
{
	if (!table)
		return 0;
	/* The parent's are shared with it. */
	if (make_private())
		return -EMFILE;
	for (unsigned i = 0; i < ENTRIES_MAX; i++) {
		struct entry *e = &table->entries[i];

		if (e->handle && !e->channel)
			watch(e);
	}
	moving = true;
	return 0;
}

void control_moved_in(void)
{
	for (unsigned i = 0; i < ENTRIES_MAX; i++)
		if (table->entries[i].channel)
			table->entries[i].handle = NULL;
	moving = false;
	serving = true;
}
