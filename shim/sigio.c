/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sigio.c - who is told of which socket, the thread that tells, and how the kernel is made to signal each kind of event.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* F_SETOWN_EX, F_SETSIG, unshare() */
#endif
#include "shim/sigio.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* When the thread can't sleep as it should (no descriptor left for its eventfd). */
#define RETRY_NS 10000000
#define READABLE (EPOLLIN | EPOLLRDNORM | EPOLLRDHUP)

/* One socket of this process. */
struct teller {
	struct teller *next;
	struct sock *s;
	uint32_t gen;
	int number;	     /* the program's, for si_fd */
	int own;	     /* the placeholder, under a private number */
	int bell, rope;	     /* -1: none */
	bool spent;	     /* the bell was shut down by a POLL_HUP: a new one for the next event */
	struct watch *watch; /* by this process's thread */
};

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t begun;
	struct teller *first;
	struct thread *thread; /* NULL: none, or it has not begun */
	bool runs;
} tellers = {.mutex = PTHREAD_MUTEX_INITIALIZER, .begun = PTHREAD_COND_INITIALIZER};

static int control(int fd, int cmd, long arg)
{
	return rt.real->fcntl(fd, cmd, arg);
}

/* ---- the bell ---------------------------------------------------------------------------------------------------------------
 */

static void shut(int *fd)
{
	if (*fd >= 0)
		rt.thin->fd_private_close(*fd);
	*fd = -1;
}

/* The bell first: the rope's end would ring it. */
static void bell_drop(struct teller *t)
{
	shut(&t->bell);
	shut(&t->rope);
	t->spent = false;
}

/* Of a dead process's files the kernel ends that of the highest number first (task_work_run()), so the bell has the higher one.
 */
static int bell_make(struct teller *t)
{
	int pair[2], *ends[] = {&t->rope, &t->bell};

	if (rt.real->socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair))
		return -errno;
	for (unsigned i = 0; i < 2; i++) {
		*ends[i] = rt.thin->fd_private(pair[i]);
		if (*ends[i] < 0)
			rt.real->close(pair[i]);
	}
	if (t->bell < 0 || t->rope < 0) {
		bell_drop(t);
		return -EMFILE;
	}
	/* So little that one write fills it. */
	rt.real->setsockopt(t->bell, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int));
	return 0;
}

/*
 * si_fd is the number by which O_ASYNC was set (fasync_helper()).  In a table of descriptors of its own this thread puts the bell
 * where the program has its socket.
 */
static void *async_by_number(void *arg)
{
	struct teller *t = arg;
	int fd = t->bell;
	bool alone = !rt.real->syscall(SYS_unshare, (long)CLONE_FILES);

	if (alone && rt.real->dup2(t->bell, t->number) >= 0)
		fd = t->number;
	control(fd, F_SETFL, O_RDWR | O_NONBLOCK | O_ASYNC);
	/* At once: who waits for the thread's end does not wait for that of its table. */
	if (alone)
		rt.real->syscall(SYS_close_range, 0L, (long)UINT32_MAX, 0L);
	return NULL;
}

static void bell_async(struct teller *t, bool on)
{
	pthread_t thread;

	if (!on)
		control(t->bell, F_SETFL, O_RDWR | O_NONBLOCK);
	else if (helper_thread(&thread, async_by_number, t))
		control(t->bell, F_SETFL, O_RDWR | O_NONBLOCK | O_ASYNC);
	else
		pthread_join(thread, NULL);
}

/* Another process of the family may have changed what the placeholder has. */
static void bell_follow(struct teller *t)
{
	struct f_owner_ex owner;
	int async = control(t->own, F_GETFL, 0) & O_ASYNC;

	if (!rt.real->fcntl(t->own, F_GETOWN_EX, &owner))
		rt.real->fcntl(t->bell, F_SETOWN_EX, &owner);
	control(t->bell, F_SETSIG, control(t->own, F_GETSIG, 0));
	if (async != (control(t->bell, F_GETFL, 0) & O_ASYNC))
		bell_async(t, async);
}

static void empty(int fd)
{
	char buf[8192];

	while (rt.real->recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

/* Data: POLL_IN (sock_def_readable()). */
static void ring_in(struct teller *t)
{
	rt.real->send(t->rope, "", 1, MSG_NOSIGNAL);
	empty(t->bell);
}

/* Urgent data, which AF_UNIX has too: SIGURG, POLL_PRI and POLL_IN, as tcp_check_urg() and what follows it. */
static void ring_urgent(struct teller *t)
{
	char c;

	rt.real->send(t->rope, "", 1, MSG_OOB | MSG_NOSIGNAL);
	rt.real->recv(t->bell, &c, 1, MSG_OOB | MSG_DONTWAIT);
	empty(t->bell);
}

/* Room in a full buffer after a write in vain: POLL_OUT (SOCK_WAKE_SPACE). */
static void ring_out(struct teller *t)
{
	static const char junk[4096];

	while (rt.real->send(t->bell, junk, sizeof(junk), MSG_NOSIGNAL) > 0)
		;
	empty(t->rope);
}

/* The end of both directions: POLL_HUP, and POLL_IN for what there is to read (unix_shutdown(); tcp_fin() and tcp_data_ready()).
 */
static void ring_hup(struct teller *t)
{
	rt.real->shutdown(t->rope, SHUT_RDWR);
	rt.real->shutdown(t->rope, SHUT_WR);
	t->spent = true;
}

/* tcp_disconnect() reports an error, POLL_ERR, whatever the state; a listener's placeholder, which may listen, has none. */
static void ring_err(struct teller *t)
{
	struct sockaddr nobody = {.sa_family = AF_UNSPEC};

	if (!atomic_load(&t->s->dual))
		rt.real->connect(t->own, &nobody, sizeof(nobody));
}

/* As TCP's own calls of sk_wake_async(): an error that ends the connection (one on its error queue does not) hides the rest. */
static void ring(struct teller *t, uint32_t events)
{
	if (t->spent)
		bell_drop(t);
	if (t->bell < 0 && bell_make(t))
		return;
	bell_follow(t);
	if (events & EPOLLERR)
		ring_err(t);
	if ((events & EPOLLERR) && (events & EPOLLHUP))
		return;
	if (events & EPOLLPRI)
		ring_urgent(t);
	else if ((events & (READABLE | EPOLLHUP)) && !(events & EPOLLHUP))
		ring_in(t);
	if (events & EPOLLHUP)
		ring_hup(t);
	else if (events & EPOLLOUT)
		ring_out(t);
}

/* ---- tellers ----------------------------------------------------------------------------------------------------------------
 */

void sigio_event(struct watch *w, uint32_t events)
{
	struct sock *s = container_of(w->on, struct sock, poll);

	if (s->unheeded)
		return;
	/* Who waits in recv() is not told what ends the wait (SOCKWQ_ASYNC_WAITDATA). */
	if (atomic_load(&s->receivers) && !(events & EPOLLERR))
		events &= ~(uint32_t)(READABLE | EPOLLHUP);
	if (!events)
		return;
	atomic_fetch_or(&s->due, events);
	atomic_store(&w->thread->called, true);
	thread_wake(w->thread);
}

void sigio_ignore(struct stack *st, struct sock *s)
{
	if (!atomic_load_explicit(&s->told, memory_order_relaxed))
		return;
	stack_notify(st);
	s->unheeded = true;
}

void sigio_heed(struct stack *st, struct sock *s)
{
	if (!s->unheeded)
		return;
	stack_notify(st);
	s->unheeded = false;
}

static struct teller **find(const struct sock *s, uint32_t gen)
{
	struct teller **at = &tellers.first;

	while (*at && ((*at)->s != s || (*at)->gen != gen))
		at = &(*at)->next;
	return at;
}

static void teller_end(struct teller **at)
{
	struct teller *t = *at;

	*at = t->next;
	if (t->watch) {
		pollable_remove(t->watch);
		arena_put(t->watch);
	}
	bell_drop(t);
	shut(&t->own);
	free(t);
}

/* Each event is taken by one process only: who comes first. */
static void ring_all(void)
{
	for (struct teller *t = tellers.first; t; t = t->next) {
		uint32_t due = atomic_exchange(&t->s->due, 0);

		if (due)
			ring(t, due);
	}
}

static bool is_called(struct waiting *w)
{
	return atomic_exchange(&thread_self()->called, false);
}

static int enroll_nothing(struct waiting *w, struct thread *t)
{
	return 0;
}

static void resign_nothing(struct waiting *w)
{
}

static void await_call(void)
{
	struct waiting w = {.ready = is_called, .enroll = enroll_nothing, .resign = resign_nothing, .deadline = USEC_NEVER};
	const struct timespec retry = {.tv_nsec = RETRY_NS};

	if (wait_for(&w) < 0)
		wait_ppoll(NULL, 0, &retry, NULL);
}

/* Until there is no socket left to tell of. */
static void *teller_main(void *arg)
{
	struct thread *self = thread_self();

	prctl(PR_SET_NAME, "mtcpshim-sigio");
	pthread_mutex_lock(&tellers.mutex);
	tellers.thread = self;
	pthread_cond_broadcast(&tellers.begun);
	while (tellers.first) {
		pthread_mutex_unlock(&tellers.mutex);
		await_call();
		pthread_mutex_lock(&tellers.mutex);
		ring_all();
	}
	tellers.thread = NULL;
	tellers.runs = false;
	pthread_mutex_unlock(&tellers.mutex);
	return NULL;
}

/* Watch the socket from now on.  Mutex held, and the teller in the list, so that the thread stays. */
static int teller_begin(struct teller *t)
{
	pthread_t thread;
	int rc;

	if (!tellers.runs) {
		rc = helper_thread(&thread, teller_main, NULL);
		if (rc)
			return rc;
		pthread_detach(thread);
		tellers.runs = true;
	}
	while (!tellers.thread)
		pthread_cond_wait(&tellers.begun, &tellers.mutex);
	t->watch = arena_get(SLAB_WATCH);
	if (!t->watch)
		return -ENOBUFS;
	t->watch->kind = WATCH_SIGIO;
	t->watch->mask = UINT32_MAX;
	t->watch->thread = tellers.thread;
	atomic_store(&t->s->told, true);
	pollable_add(&t->s->poll, t->watch);
	return 0;
}

static int teller_make(const struct fdref *r)
{
	struct teller *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return -ENOMEM;
	*t = (struct teller){
	    .next = tellers.first, .s = sock_of(r), .gen = r->gen, .number = r->fd, .own = -1, .bell = -1, .rope = -1};
	tellers.first = t;
	rc = control(r->fd, F_DUPFD_CLOEXEC, 0);
	t->own = rc < 0 ? -1 : rt.thin->fd_private(rc);
	rc = t->own < 0 ? -EMFILE : bell_make(t);
	if (!rc)
		rc = teller_begin(t);
	if (rc)
		teller_end(find(t->s, t->gen));
	return rc;
}

void sigio_follow(const struct fdref *r)
{
	struct sock *s = sock_of(r);
	struct f_owner_ex owner = {0};
	struct teller *t;
	int rc = 0;

	if (rt.real->fcntl(r->fd, F_GETOWN_EX, &owner) || !hold_more(s, r->gen))
		return;
	pthread_mutex_lock(&tellers.mutex);
	t = *find(s, r->gen);
	/* Without an owner there is nobody to tell. */
	if (!t && owner.pid)
		rc = teller_make(r);
	t = *find(s, r->gen);
	if (t && !t->spent)
		bell_follow(t);
	pthread_mutex_unlock(&tellers.mutex);
	sock_unhold(s);
	if (rc)
		rt.thin->log(LOG_LEVEL_WARN, "descriptor %d: no signals for its owner: %s", r->fd, strerror(-rc));
}

enum hold_left sigio_hold_less(struct sock *s, uint32_t gen)
{
	enum hold_left left;
	struct teller **at;

	if (!atomic_load_explicit(&s->told, memory_order_relaxed))
		return hold_less(s, gen);
	/* While this process holds it, it is no other socket, whose watches would be confused with this one's. */
	pthread_mutex_lock(&tellers.mutex);
	at = find(s, gen);
	if (*at && hold_count(s) == 1)
		teller_end(at);
	left = hold_less(s, gen);
	if (!tellers.first && tellers.thread) {
		atomic_store(&tellers.thread->called, true);
		thread_wake(tellers.thread);
	}
	pthread_mutex_unlock(&tellers.mutex);
	return left;
}

void sigio_end(void)
{
	pthread_mutex_lock(&tellers.mutex);
	while (tellers.first)
		teller_end(&tellers.first);
	pthread_mutex_unlock(&tellers.mutex);
}

/* ---- fork -------------------------------------------------------------------------------------------------------------------
 */

void sigio_fork_prepare(void)
{
	pthread_mutex_lock(&tellers.mutex);
}

void sigio_fork_parent(void)
{
	pthread_mutex_unlock(&tellers.mutex);
}

/* The watches are the parent's; bells and ropes are shared, and rung by whoever takes the event. */
void sigio_fork_child(bool belongs)
{
	struct teller **at = &tellers.first;

	pthread_mutex_init(&tellers.mutex, NULL);
	pthread_cond_init(&tellers.begun, NULL);
	tellers.thread = NULL;
	tellers.runs = false;
	pthread_mutex_lock(&tellers.mutex);
	while (*at) {
		struct teller *t = *at;

		t->watch = NULL;
		if (!belongs || !hold_count(t->s) || teller_begin(t))
			teller_end(at);
		else
			at = &t->next;
	}
	pthread_mutex_unlock(&tellers.mutex);
}
