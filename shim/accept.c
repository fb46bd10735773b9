/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * accept.c - connections out of the engine's accept queues and, for a dual-homed listener, out of the kernel's as well, by turns.
 *
 * The kernel is asked with a system call, so not each time: when a kernel wait reported something since it last had none
 * (kernel_epoch), and otherwise within the average of wait_may_ask().  Its readiness reaches the application through epoll and
 * poll in any case, and both move the epoch.
 */
#include "shim/notice.h"
#include "shim/sock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>

/* Into a socket that nobody else knows of yet: no fence is needed. */
#define put(field, value) atomic_store_explicit(field, value, memory_order_relaxed)

/* A stack in which a connection waits, the caller's own first; -EAGAIN, -EINVAL when it does not listen. */
static int stack_with_connection(const struct fdref *r)
{
	struct sock *s = sock_of(r);
	struct stack *st;
	struct conn *c;
	usec_t now;
	int rc, state;

	if (!(sock_ready(s) & EPOLLIN)) {
		st = sock_enter(r, &now, &rc);
		if (!st)
			return rc;
		stack_drive(st, now);
		state = engine_state(s->conn);
		stack_leave(st, now);
		if (state != TCP_LISTEN)
			return -EINVAL;
	}
	for (unsigned i = 0; i < rt.nstacks; i++) {
		unsigned stack = (thread_self()->home + i) % rt.nstacks;

		c = sock_conn_in(s, stack);
		if (c && (engine_ready(c) & EPOLLIN))
			return (int)stack;
	}
	return -EAGAIN;
}

/* The memory beside a socket is left alone where nothing is to be written. */
static void inherit_timeout(struct sock *s, const struct sock *l, enum sock_timeout which)
{
	usec_t us = atomic_load_explicit(&sock_rare(l)->timeout[which], memory_order_relaxed);

	if (us)
		atomic_store(&sock_set_rare(s)->timeout[which], us);
}

/* Take a connection from a stack; NULL: *err. */
static struct sock *take_from(const struct fdref *r, unsigned stack, struct endpoint *peer, int *err)
{
	struct sock *l = sock_of(r), *s = NULL;
	struct stack *st = rt.stacks[stack];
	struct conn *c, *listener;
	usec_t now;

	*err = -EAGAIN;
	if (!stack_enter(st, &now))
		return NULL;
	listener = object_is(l, r->gen) ? sock_conn_in(l, stack) : NULL;
	if (!listener)
		*err = -EBADF;
	c = listener ? engine_accept(st->engine, listener, err) : NULL;
	if (c && engine_peername(c, peer))
		*peer = (struct endpoint){0};
	if (c)
		s = sock_make(c, stack, l->family);
	if (c && !s) {
		engine_abort(st->engine, c, now);
		*err = -ENOBUFS;
	}
	if (s) {
		/* Linux's accepted sockets inherit these, but not O_NONBLOCK (accept(2)). */
		inherit_timeout(s, l, TIMEOUT_RCV);
		inherit_timeout(s, l, TIMEOUT_SND);
		put(&s->rcvlowat, atomic_load(&l->rcvlowat));
		put(&s->lingers, atomic_load(&l->lingers));
		if (__builtin_expect(atomic_load(&l->notices) != 0, 0))
			notice_inherit(s, l);
		put(&s->phase, PHASE_CONNECTED);
	}
	stack_leave(st, now);
	return s;
}

static int accept_engine(const struct fdref *r, struct sockaddr *sa, socklen_t *len, int flags)
{
	struct sock *l = sock_of(r), *s;
	struct endpoint peer;
	int err, fd, stack = stack_with_connection(r);

	if (stack < 0)
		return stack;
	fd = rt.thin->placeholder_get(l->family, flags & SOCK_CLOEXEC, PLACEHOLDER_ANY);
	if (fd < 0)
		return fd;
	s = take_from(r, (unsigned)stack, &peer, &err);
	if (!s) {
		rt.thin->placeholder_put(fd, true);
		return err;
	}
	put(&s->nonblock, (flags & SOCK_NONBLOCK) != 0);
	err = sa ? addr_write(l->family, &peer, sa, len) : 0;
	if (err) {
		/* As Linux does: the connection is lost. */
		sock_unhold(s);
		rt.thin->placeholder_put(fd, true);
		return err;
	}
	rt.thin->fd_set(fd, FD_SOCK, s, object_gen(s));
	return fd;
}

/* May the kernel have a connection, as far as can be told without asking? */
static bool kernel_may(struct sock *s, usec_t now)
{
	return atomic_load(&s->kernel_epoch) != atomic_load(&rt.shared->kernel_epoch) || wait_may_ask(&s->kernel_asked, now);
}

/* A poll() is a tenth of an accept() in vain, which makes a file before it looks (do_accept()). */
static bool kernel_has(int listener)
{
	struct pollfd fd = {.fd = listener, .events = POLLIN};
	const struct timespec none = {0};

	return wait_ppoll(&fd, 1, &none, NULL) != 0;
}

static int accept_kernel(const struct fdref *r, struct sockaddr *sa, socklen_t *len, int flags)
{
	struct sock *s = sock_of(r);
	uint32_t epoch = atomic_load(&rt.shared->kernel_epoch);
	int fd = -EAGAIN;

	/* By number: libc's function is a cancellation point. */
	if (kernel_has(r->fd))
		fd = (int)rt.real->syscall(SYS_accept4, r->fd, sa, sa ? len : NULL, flags);
	if (fd == -1)
		fd = -errno;
	/* After a connection the next question is worth its price. */
	atomic_store(&s->kernel_epoch, fd == -EAGAIN ? epoch : epoch - 1);
	return fd;
}

/* One round without waiting: who served last time comes second. */
static int accept_once(const struct fdref *r, struct sockaddr *sa, socklen_t *len, int flags)
{
	struct sock *s = sock_of(r);
	int fd = -EAGAIN;
	bool may;

	if (!atomic_load(&s->dual))
		return accept_engine(r, sa, len, flags);
	may = kernel_may(s, io_now());
	if (may && atomic_load(&s->kernel_turn))
		fd = accept_kernel(r, sa, len, flags);
	if (fd == -EAGAIN) {
		fd = accept_engine(r, sa, len, flags);
		if (fd >= 0) {
			atomic_store(&s->kernel_turn, true);
			return fd;
		}
		if (fd == -EAGAIN && may && !atomic_load(&s->kernel_turn))
			fd = accept_kernel(r, sa, len, flags);
	}
	if (fd >= 0)
		atomic_store(&s->kernel_turn, false);
	return fd;
}

/* Until there is a connection. */
static int accept_rounds(const struct fdref *r, struct sockaddr *sa, socklen_t *len, int flags)
{
	struct sock *s = sock_of(r);
	usec_t deadline = sock_deadline(s, TIMEOUT_RCV);
	int rc;

	for (;;) {
		rc = sock_wait_accept(s, deadline, atomic_load(&s->dual) ? r->fd : -1);
		if (rc <= 0)
			return rc ? rc : -EAGAIN;
		rc = accept_once(r, sa, len, flags);
		if (rc != -EAGAIN)
			return rc;
	}
}

int sock_accept(const struct fdref *r, struct sockaddr *sa, socklen_t *len, int flags)
{
	struct sock *s = sock_of(r);
	bool now = flags & ACCEPT_NOW;
	int rc;

	flags &= ~ACCEPT_NOW;
	if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	rc = accept_once(r, sa, len, flags);
	if (rc != -EAGAIN || now || atomic_load(&s->nonblock))
		return rc;
	if (!hold_more(s, r->gen))
		return -EBADF;
	rc = accept_rounds(r, sa, len, flags);
	sock_unhold(s);
	return rc;
}
