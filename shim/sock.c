/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sock.c - a socket's life: taken over from its placeholder, named, connected or listening, shut down, let go.
 * Data and accept() are in sockio.c and accept.c, options in sockopt.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_DIRECT, O_NOATIME */
#endif
#include "shim/sock.h"
#include "shim/epoll.h"
#include "shim/sigio.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>

/* A bound port has to be free in every stack: how often another one is tried when the user leaves the choice to us. */
#define PORT_TRIES 16
/* Acknowledgements make no event: how often SO_LINGER's wait looks for the last one. */
#define LINGER_LOOK_US 2000
/* A thread that uses a socket while the process exits is about to end: it is held up rather than told of an error. */
#define EXIT_HOLD_MS 3000

/* Why no socket can be used at the moment. */
static __attribute__((cold)) int not_up(void)
{
	static _Atomic bool said;

	if (atomic_load(&rt.state) == RT_EXITING) {
		const struct timespec hold = {.tv_sec = EXIT_HOLD_MS / 1000, .tv_nsec = EXIT_HOLD_MS % 1000 * 1000000L};

		if (lock_tid() != rt.exiter)
			rt.real->ppoll(NULL, 0, &hold, NULL);
		return -EBADF;
	}
	if (!atomic_exchange(&said, true))
		rt.thin->log(LOG_LEVEL_WARN,
			     "this process could not join its parent's engine: connections that it inherited fail with EIO");
	return -EIO;
}

struct stack *sock_enter(const struct fdref *r, usec_t *now, int *err)
{
	struct sock *s = sock_of(r);
	struct stack *st;
	bool current;

	if (!rt_up()) {
		*err = not_up();
		return NULL;
	}
	for (;;) {
		st = rt.stacks[atomic_load_explicit(&s->stack, memory_order_relaxed)];
		if (!stack_enter(st, now)) {
			*err = -EAGAIN;
			return NULL;
		}
		current = object_is(s, r->gen);
		if (current && st->id == atomic_load_explicit(&s->stack, memory_order_relaxed))
			return st;
		stack_leave(st, *now);
		if (!current) {
			*err = -EBADF;
			return NULL;
		}
	}
}

struct sock *sock_make(struct conn *c, unsigned stack, int family)
{
	struct sock *s = arena_get(SLAB_SOCK);

	if (!s)
		return NULL;
	s->family = (uint16_t)family;
	hold_first(s);
	s->rcvlowat = 1;
	s->backlog = -1;
	atomic_store_explicit(&s->stack, stack, memory_order_relaxed);
	atomic_store_explicit(&s->conn, c, memory_order_release);
	engine_set_user(c, (uintptr_t)s);
	return s;
}

void sock_conn_close(struct stack *st, struct conn *c, bool reset, usec_t now)
{
	if (!c)
		return;
	engine_set_user(c, 0);
	if (reset)
		engine_abort(st->engine, c, now);
	else
		engine_close(st->engine, c, now);
}

struct conn *sock_conn_new(struct stack *st, struct sock *s, const struct kept_options *opts, usec_t now)
{
	struct conn *c = engine_socket(st->engine);

	if (!c)
		return NULL;
	engine_set_user(c, (uintptr_t)s);
	sockopt_give(st, c, opts, now);
	return c;
}

/* Inside the stack: put a new, unbound connection with the same options in the place of the socket's own. */
static int conn_renew(struct stack *st, struct sock *s, bool reset, usec_t now)
{
	struct conn *old = atomic_load(&s->conn), *c;
	struct kept_options opts;

	sockopt_keep(st, old, &opts, now);
	c = sock_conn_new(st, s, &opts, now);
	if (!c)
		return -ENOBUFS;
	engine_move_notices(st->engine, old, c);
	atomic_store(&s->conn, c);
	sock_conn_close(st, old, reset, now);
	return 0;
}

/* A call that goes in and out of stacks holds the socket meanwhile: 0, or why it can't be used. */
static int hold_for_call(const struct fdref *r)
{
	if (!rt_up())
		return not_up();
	return hold_more(r->obj, r->gen) ? 0 : -EBADF;
}

struct sock *sock_take(int fd, const struct fresh_info *fresh, uint32_t *gen, int *err)
{
	struct sock *s = NULL;
	struct stack *st;
	struct conn *c;
	usec_t now;

	if (!rt_up() || !stack_enter(st = rt.stacks[thread_self()->home % rt.nstacks], &now)) {
		*err = -EIO;
		return NULL;
	}
	c = engine_socket(st->engine);
	if (c)
		s = sock_make(c, st->id, fresh->family);
	if (c && !s)
		engine_close(st->engine, c, now);
	stack_leave(st, now);
	if (!s) {
		*err = -ENOBUFS;
		return NULL;
	}
	atomic_store(&s->nonblock, fresh->nonblock);
	s->v6only = fresh->v6only;
	for (unsigned i = 0; i < fresh->nopts; i++) {
		const struct early_opt *o = &fresh->opts[i];
		int rc = sockopt_set(s, fd, o->level, o->name, o->val, o->len);

		if (rc < 0)
			rt.thin->log(LOG_LEVEL_DEBUG, "fd %d: option %d/%d is lost: %s", fd, o->level, o->name, strerror(-rc));
	}
	*gen = object_gen(s);
	epoll_adopt(fd, s);
	return s;
}

/* ---- bind ----------------------------------------------------------------------------------------------------------------- */

static int bind_here(const struct fdref *r, const struct endpoint *want, struct endpoint *got)
{
	struct sock *s = sock_of(r);
	usec_t now;
	int rc;
	struct stack *st = sock_enter(r, &now, &rc);

	if (!st)
		return rc;
	rc = engine_bind(st->engine, s->conn, want);
	if (!rc) {
		engine_sockname(s->conn, got);
		sock_set_rare(s)->name = *got;
		s->named = true;
	}
	stack_leave(st, now);
	return rc;
}

/* The name is taken in another stack. */
static int unbind(const struct fdref *r)
{
	usec_t now;
	int rc;
	struct stack *st = sock_enter(r, &now, &rc);

	if (!st)
		return rc;
	rc = conn_renew(st, sock_of(r), false, now);
	sock_of(r)->named = false;
	stack_leave(st, now);
	return rc;
}

static int bind_everywhere(const struct fdref *r, const struct endpoint *want)
{
	struct endpoint got;
	int rc = hold_for_call(r);

	if (rc)
		return rc;
	rc = bind_here(r, want, &got);
	for (int i = 0; !rc && rt.nstacks > 1; i++) {
		rc = spread_bind(r, &got);
		if (rc != -EADDRINUSE)
			break;
		if (unbind(r) || want->port || i == PORT_TRIES)
			break;
		rc = bind_here(r, want, &got);
	}
	sock_unhold(sock_of(r));
	return rc;
}

int sock_bind(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	struct endpoint local;
	int rc = addr_read(sock_of(r)->family, sa, len, &local);

	return rc ? rc : bind_everywhere(r, &local);
}

/* ---- listen --------------------------------------------------------------------------------------------------------------- */

/* listen() in one stack, for the connection that the socket has there. */
static int listen_in(const struct fdref *r, unsigned stack, int backlog)
{
	struct sock *s = sock_of(r);
	struct stack *st = rt.stacks[stack];
	struct conn *c;
	usec_t now;
	int rc = -EBADF;

	if (!stack_enter(st, &now))
		return -EAGAIN;
	c = sock_conn_in(s, stack);
	/* NULL: it connects or is disconnected at this moment. */
	if (object_is(s, r->gen))
		rc = c ? engine_listen(st->engine, c, backlog, now) : -EINVAL;
	if (!rc)
		s->backlog = backlog;
	stack_leave(st, now);
	return rc;
}

/* The placeholder listens beside the engine; it must never block, whatever the application believes of its descriptor. */
static int listen_dual(const struct fdref *r, int backlog)
{
	struct sock *s = sock_of(r);
	int flags = rt.real->fcntl(r->fd, F_GETFL);

	atomic_store(&s->dirty, true);
	if (rt.real->listen(r->fd, backlog) || flags < 0 || rt.real->fcntl(r->fd, F_SETFL, flags | O_NONBLOCK))
		return -errno;
	if (!atomic_exchange(&s->dual, true))
		epoll_dual(s);
	return 0;
}

int sock_listen(const struct fdref *r, int backlog, bool kernel_too)
{
	struct sock *s = sock_of(r);
	struct endpoint local;
	usec_t now;
	int rc;
	struct stack *st = sock_enter(r, &now, &rc);

	if (!st)
		return rc;
	/* Only an unconnected one, or one that listens already (inet_listen). */
	rc = s->phase == PHASE_UNCONNECTED ? engine_sockname(s->conn, &local) : -EINVAL;
	stack_leave(st, now);
	if (rc)
		return rc;
	if (rt.nstacks > 1 && !local.port) {
		rc = bind_everywhere(r, &local);
		if (rc)
			return rc;
	}
	if (atomic_load(&s->spread)) {
		for (unsigned i = 0; !rc && i < rt.nstacks; i++)
			rc = listen_in(r, i, backlog);
	} else {
		rc = listen_in(r, atomic_load(&s->stack), backlog);
	}
	return rc || !kernel_too ? rc : listen_dual(r, backlog);
}

/* ---- connect -------------------------------------------------------------------------------------------------------------- */

/* The states whose connection tcp_disconnect() resets, and tells the user so (tcp_need_reset(), and SYN-SENT). */
static bool is_reset_by_disconnect(int state)
{
	return state == TCP_ESTABLISHED || state == TCP_CLOSE_WAIT || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 ||
	       state == TCP_SYN_RECV || state == TCP_SYN_SENT;
}

/* Back to the closed state, keeping options and the name that bind() gave (tcp_disconnect()).  The caller holds the socket. */
static int disconnect(const struct fdref *r)
{
	struct sock *s = sock_of(r);
	struct endpoint got;
	struct stack *st;
	bool reset;
	usec_t now;
	int rc;

	spread_end(s, atomic_load(&s->stack));
	st = sock_enter(r, &now, &rc);
	if (!st)
		return rc;
	reset = is_reset_by_disconnect(engine_state(s->conn));
	if (!engine_sockname(s->conn, &got) && got.port)
		atomic_store(&s->old_port, got.port);
	rc = conn_renew(st, s, true, now);
	if (!rc)
		atomic_store(&s->error, reset ? ECONNRESET : 0);
	atomic_store(&s->phase, PHASE_UNCONNECTED);
	atomic_store(&s->deferred, false);
	if (!rc && s->named)
		rc = engine_bind(st->engine, s->conn, &sock_rare(s)->name);
	stack_leave(st, now);
	return rc;
}

/*
 * Start it, or find out how far it is: 0 done, -EINPROGRESS or -EALREADY while it is under way, *failed when the other end
 * refused or did not answer.
 */
static int connect_step(const struct fdref *r, const struct endpoint *remote, bool *started, bool *failed)
{
	struct sock *s = sock_of(r);
	usec_t now;
	int rc, state;
	struct stack *st = sock_enter(r, &now, &rc);

	if (!st)
		return rc;
	if (s->phase == PHASE_CONNECTED) {
		rc = -EISCONN;
	} else if (s->phase == PHASE_UNCONNECTED) {
		rc = engine_connect(st->engine, s->conn, remote, now);
		if (rc == 0 || rc == -EINPROGRESS) {
			s->phase = PHASE_CONNECTING;
			s->deferred = rc == 0;
			*started = true;
		}
	} else if (s->deferred) {
		rc = -EISCONN;
	} else {
		stack_drive(st, now);
		state = engine_state(s->conn);
		rc = *started ? -EINPROGRESS : -EALREADY;
		if (state == TCP_CLOSE) {
			rc = engine_error(s->conn);
			rc = rc ? -rc : -ECONNABORTED;
			*failed = true;
		} else if (state != TCP_SYN_SENT && state != TCP_SYN_RECV) {
			s->phase = PHASE_CONNECTED;
			rc = 0;
		}
	}
	stack_leave(st, now);
	return rc;
}

int sock_connect_wait(const struct fdref *r, const struct endpoint *remote)
{
	struct sock *s = sock_of(r);
	usec_t deadline = sock_deadline(s, TIMEOUT_SND);
	bool started = false, failed = false;
	int rc, waited = 1;

	for (;;) {
		rc = connect_step(r, remote, &started, &failed);
		if (failed)
			disconnect(r);
		/* At SO_SNDTIMEO it goes on by itself (socket(7)). */
		if ((rc != -EINPROGRESS && rc != -EALREADY) || waited == 0 || atomic_load(&s->nonblock))
			return rc;
		waited = sock_wait(s, EPOLLIN | EPOLLOUT, deadline);
		if (waited < 0)
			return waited;
	}
}

/* The state comes before the address (__inet_stream_connect). */
int sock_connect_to(struct sock *s, const struct sockaddr *sa, socklen_t len, struct endpoint *remote)
{
	int rc = 0;

	if (atomic_load(&s->phase) == PHASE_UNCONNECTED)
		rc = addr_read(s->family, sa, len, remote);
	if (rc)
		return rc;
	if (atomic_load(&s->phase) == PHASE_UNCONNECTED)
		spread_settle(s, remote);
	/* Once: every call of every thread reads what lies beside it. */
	if (!atomic_load_explicit(&rt.shared->link_wanted, memory_order_relaxed))
		atomic_store_explicit(&rt.shared->link_wanted, true, memory_order_relaxed);
	return 0;
}

int sock_connect(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	struct sock *s = sock_of(r);
	struct endpoint remote = {0};
	int rc = len > sizeof(struct sockaddr_storage) || len < sizeof(sa->sa_family) ? -EINVAL : sa ? 0 : -EFAULT;

	if (rc)
		return rc;
	rc = hold_for_call(r);
	if (rc)
		return rc;
	if (sa->sa_family == AF_UNSPEC)
		rc = disconnect(r);
	else if (!(rc = sock_connect_to(s, sa, len, &remote)))
		rc = sock_connect_wait(r, &remote);
	sock_unhold(s);
	return rc;
}

/* ---- shutdown and the end ---------------------------------------------------------------------------------------------------
 */

int sock_shutdown(const struct fdref *r, int how)
{
	struct sock *s = sock_of(r);
	struct conn *c;
	usec_t now;
	int rc;
	struct stack *st = sock_enter(r, &now, &rc);

	if (!st)
		return rc;
	sigio_ignore(st, s);
	rc = engine_shutdown(st->engine, s->conn, how, now);
	sigio_heed(st, s);
	stack_leave(st, now);
	for (unsigned i = 0; atomic_load(&s->spread) && i < rt.nstacks; i++) {
		if (i == st->id || !stack_enter(rt.stacks[i], &now))
			continue;
		c = object_is(s, r->gen) ? sock_conn_in(s, i) : NULL;
		if (c)
			engine_shutdown(rt.stacks[i]->engine, c, how, now);
		stack_leave(rt.stacks[i], now);
	}
	if (!rc && atomic_load(&s->dual))
		rt.real->shutdown(r->fd, how);
	return rc;
}

void sock_retain(const struct fdref *r)
{
	hold_more(r->obj, r->gen);
}

/* Has the peer acknowledged all, the FIN included? */
static bool delivered(struct sock *s)
{
	struct stack *st = rt.stacks[s->stack];
	bool done;
	int state;
	usec_t now;

	if (!stack_enter(st, &now))
		return true;
	state = engine_state(s->conn);
	done = state != TCP_FIN_WAIT1 && state != TCP_CLOSING && state != TCP_LAST_ACK;
	stack_leave(st, now);
	return done;
}

/* close() with SO_LINGER waits until the peer has it all, or the time is over; unread data makes it a reset at once (RFC
 * 2525 2.17). */
static void linger(struct sock *s)
{
	struct stack *st = rt.stacks[s->stack];
	struct linger l = {0};
	socklen_t len = sizeof(l);
	usec_t now, end;

	if (!atomic_load_explicit(&s->lingers, memory_order_relaxed) || !stack_enter(st, &now))
		return;
	engine_getsockopt(st->engine, s->conn, SOL_SOCKET, SO_LINGER, &l, &len, now);
	if (!l.l_onoff || l.l_linger <= 0 || engine_inq(s->conn) || engine_shutdown(st->engine, s->conn, SHUT_WR, now)) {
		stack_leave(st, now);
		return;
	}
	stack_leave(st, now);
	end = now + (usec_t)l.l_linger * 1000000;
	while (!delivered(s) && io_now() < end)
		if (sock_wait(s, 0, io_now() + LINGER_LOOK_US) < 0)
			return;
}

void sock_end(struct sock *s)
{
	struct stack *st = rt.stacks[atomic_load(&s->stack)];
	usec_t now;

	spread_end(s, st->id);
	if (!atomic_load(&s->conn) || !stack_enter(st, &now))
		return;
	/*
	 * Taken inside: who is killed while it waits for the lock leaves it to whoever buries the socket, and if the stack was
	 * renewed meanwhile, this is not a connection of an earlier age (stack_renew()).
	 */
	sock_conn_close(st, atomic_exchange(&s->conn, NULL), false, now);
	stack_leave(st, now);
}

void sock_bury(struct sock *s)
{
	epoll_forget(&s->poll);
	sock_end(s);
	if (s->has_rare)
		memset(arena_beside(s), 0, sizeof(struct sock_rare));
	arena_put(s);
}

/* The last reference is gone. */
static void destroy(struct sock *s)
{
	epoll_forget(&s->poll);
	linger(s);
	sock_bury(s);
}

void sock_unhold(struct sock *s)
{
	if (sigio_hold_less(s, object_gen(s)) == HOLD_NOBODY)
		destroy(s);
}

int sock_release(const struct fdref *r, bool *pristine)
{
	struct sock *s = sock_of(r);

	*pristine = false;
	if (sigio_hold_less(s, r->gen) == HOLD_NOBODY) {
		*pristine = !atomic_load(&s->dirty);
		destroy(s);
	}
	return 0;
}

/* ---- names and flags --------------------------------------------------------------------------------------------------------
 */

static int name_of(const struct fdref *r, struct sockaddr *sa, socklen_t *len, bool peer)
{
	struct sock *s = sock_of(r);
	struct endpoint ep = {0};
	usec_t now;
	int rc, family;
	struct stack *st = sock_enter(r, &now, &rc);

	if (!st)
		return rc;
	rc = peer ? engine_peername(s->conn, &ep) : engine_sockname(s->conn, &ep);
	if (!peer && !ep.port)
		ep.port = atomic_load(&s->old_port);
	family = s->family;
	/* From here on another thread may close it, and open another in its place. */
	stack_leave(st, now);
	return rc ? rc : addr_write(family, &ep, sa, len);
}

int sock_getsockname(const struct fdref *r, struct sockaddr *sa, socklen_t *len)
{
	return name_of(r, sa, len, false);
}

int sock_getpeername(const struct fdref *r, struct sockaddr *sa, socklen_t *len)
{
	return name_of(r, sa, len, true);
}

unsigned sock_holders(const struct fdref *r)
{
	return object_is(r->obj, r->gen) ? hold_processes(r->obj) : 0;
}

int sock_getfl(const struct fdref *r)
{
	struct sock *s = sock_of(r);

	if (!object_is(s, r->gen))
		return -EBADF;
	return O_RDWR | (atomic_load(&s->nonblock) ? O_NONBLOCK : 0) | atomic_load(&s->fl);
}

int sock_setfl(const struct fdref *r, int flags)
{
	struct sock *s = sock_of(r);

	if (!object_is(s, r->gen))
		return -EBADF;
	if (flags & O_DIRECT)
		return -EINVAL;
	atomic_store(&s->nonblock, (flags & O_NONBLOCK) != 0);
	atomic_store(&s->fl, flags & (O_ASYNC | O_APPEND | O_NOATIME));
	return 0;
}

void sock_describe(const struct fdref *r, char *buf, size_t size)
{
	struct sock *s = sock_of(r);
	unsigned procs = hold_processes(s);
	usec_t now;
	int rc, n;
	struct stack *st = sock_enter(r, &now, &rc);

	if (!st) {
		snprintf(buf, size, "%s", strerror(-rc));
		return;
	}
	stack_leave(st, now);
	n = snprintf(buf, size, "stack %u%s%s", st->id, atomic_load(&s->spread) ? " and all others" : "",
		     atomic_load(&s->dual) ? ", the kernel listens too" : "");
	if (procs > 1 && n > 0 && (size_t)n < size)
		snprintf(buf + n, size - (size_t)n, ", shared by %u processes", procs);
}
