/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sockio.c - data through a socket: what recv() and send() do inside the stack, when they block, and for what.
 *
 * A call that finds what it wants makes no system call and polls no port, unless nobody has for a while: a program that only
 * sends must take in ACKs, and one that only reads must not let the port's ring run over.
 */
#include "shim/notice.h"
#include "shim/sock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

/* Flags that concern the engine; the others concern the call. */
#define RECV_FLAGS (MSG_PEEK | MSG_TRUNC | MSG_OOB)
#define SEND_FLAGS (MSG_MORE | MSG_OOB)
/* Linux's UIO_MAXIOV. */
#define VEC_MAX 1024

/* ---- blocking ---------------------------------------------------------------------------------------------------------------
 */

struct sock_wait {
	struct waiting w;
	struct sock *s;
	uint32_t events;
	bool exclusive;
	struct watch *watch;
	struct thread *t;
	struct pollfd fds[1 + WAIT_EXTRA_FDS];
};

static bool sock_wait_ready(struct waiting *w)
{
	struct sock_wait *sw = container_of(w, struct sock_wait, w);

	return (sock_ready(sw->s) & (sw->events | EPOLLERR | EPOLLHUP)) && sw->events;
}

static bool sock_wait_kernel(struct waiting *w)
{
	struct sock_wait *sw = container_of(w, struct sock_wait, w);
	const struct timespec none = {0};
	struct pollfd fd = sw->fds[0];

	if (wait_ppoll(&fd, 1, &none, NULL) != 1)
		return false;
	atomic_fetch_add(&rt.shared->kernel_epoch, 1);
	return true;
}

static int sock_wait_enroll(struct waiting *w, struct thread *t)
{
	struct sock_wait *sw = container_of(w, struct sock_wait, w);

	/* The thread's own watch is in use when a signal handler waits inside a wait. */
	sw->watch = t->watch_busy ? arena_get(SLAB_WATCH) : &t->watch;
	if (!sw->watch)
		return -ENOBUFS;
	sw->t = t;
	if (sw->watch == &t->watch)
		t->watch_busy = true;
	sw->watch->kind = WATCH_THREAD;
	sw->watch->thread = t;
	sw->watch->mask = sw->events;
	sw->watch->exclusive = sw->exclusive;
	pollable_add(&sw->s->poll, sw->watch);
	return 0;
}

static void sock_wait_resign(struct waiting *w)
{
	struct sock_wait *sw = container_of(w, struct sock_wait, w);

	if (!sw->watch)
		return;
	pollable_remove(sw->watch);
	if (sw->watch == &sw->t->watch)
		sw->t->watch_busy = false;
	else
		arena_put(sw->watch);
}

static int wait_with(struct sock_wait *sw, usec_t deadline)
{
	sw->w.ready = sock_wait_ready;
	sw->w.enroll = sock_wait_enroll;
	sw->w.resign = sock_wait_resign;
	sw->w.fds = sw->fds;
	sw->w.deadline = deadline;
	sw->w.restart = deadline == USEC_NEVER;
	return wait_for(&sw->w);
}

int sock_wait(struct sock *s, uint32_t events, usec_t deadline)
{
	struct sock_wait sw = {.s = s, .events = events};

	return wait_with(&sw, deadline);
}

int sock_wait_accept(struct sock *s, usec_t deadline, int kernel_fd)
{
	struct sock_wait sw = {.s = s, .events = EPOLLIN, .exclusive = true};
	int rc;

	if (kernel_fd >= 0) {
		sw.fds[0] = (struct pollfd){.fd = kernel_fd, .events = POLLIN};
		sw.w.nfds = 1;
		sw.w.kernel_asked = io_now();
		sw.w.ask_kernel = sock_wait_kernel;
	}
	rc = wait_with(&sw, deadline);
	if (rc == 1 && kernel_fd >= 0 && sw.fds[0].revents)
		atomic_fetch_add(&rt.shared->kernel_epoch, 1);
	return rc;
}

usec_t sock_deadline(const struct sock *s, enum sock_timeout which)
{
	usec_t us = atomic_load_explicit(&sock_rare(s)->timeout[which], memory_order_relaxed);

	return us ? io_now() + us : USEC_NEVER;
}

/* ---- vectors ----------------------------------------------------------------------------------------------------------------
 */

/* What is left of a vector of which some bytes are done. */
struct cursor {
	const struct iovec *iov;
	int n;
	struct iovec rest[VEC_MAX];
};

static size_t iov_total(const struct iovec *iov, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += iov[i].iov_len;
	return sum;
}

/* Are there more than n bytes in it?  As a rule the first part says so. */
static inline bool iov_exceeds(const struct iovec *iov, int iovcnt, size_t n)
{
	if (__builtin_expect(iovcnt == 1, 1))
		return iov->iov_len > n;
	return iov_total(iov, iovcnt) > n;
}

/* Make c what is left of iov after its first `done` bytes. */
static void cursor_set(struct cursor *c, const struct iovec *iov, int n, size_t done)
{
	while (n && done >= iov->iov_len) {
		done -= iov->iov_len;
		iov++;
		n--;
	}
	if (n > VEC_MAX)
		n = VEC_MAX;
	memcpy(c->rest, iov, (size_t)n * sizeof(*iov));
	if (n) {
		c->rest[0].iov_base = (char *)c->rest[0].iov_base + done;
		c->rest[0].iov_len -= done;
	}
	c->iov = c->rest;
	c->n = n;
}

/* The error that an earlier connection left behind: reported once (sock_error()). */
static int take_error(const struct fdref *r)
{
	struct sock *s = sock_of(r);
	int error;

	if (__builtin_expect(atomic_load_explicit(&s->error, memory_order_relaxed) == 0, 1))
		return 0;
	/* If the descriptor was closed meanwhile, it is another socket's. */
	if (!hold_more(s, r->gen))
		return -EBADF;
	error = -atomic_exchange(&s->error, 0);
	sock_unhold(s);
	return error;
}

void sock_fail_next(const struct fdref *r, int err)
{
	struct sock *s = sock_of(r);

	if (!hold_more(s, r->gen))
		return;
	atomic_store(&s->error, err);
	sock_unhold(s);
}

/* ---- receive ----------------------------------------------------------------------------------------------------------------
 */

/* SO_PEEK_OFF: where the next MSG_PEEK begins; -1: at the beginning, always. */
static int peek_offset(struct sock *s)
{
	return atomic_load(&s->notices) & NOTICE_PEEK_OFF ? atomic_load(&s->peek_off) : -1;
}

static inline ssize_t recv_or_peek(struct stack *st, struct sock *s, const struct iovec *iov, int n, int flags, usec_t now)
{
	int from = __builtin_expect(flags & MSG_PEEK, 0) ? peek_offset(s) : -1;

	if (from > 0 && !(flags & MSG_OOB))
		return engine_peek(st->engine, s->conn, iov, n, (uint32_t)from, flags & RECV_FLAGS, now);
	return engine_recv(st->engine, s->conn, iov, n, flags & RECV_FLAGS, now);
}

/*
 * The application's memory ended, and engine_recv() was left in the midst of it: once more for what there was room for, which
 * goes on here again should even that have gone.
 */
static __attribute__((noinline)) ssize_t recv_broke(struct stack *st, struct sock *s, const struct iovec *iov, int n, int flags)
{
	size_t whole = engine_recv_broke(st->engine);
	struct iovec fits[VEC_MAX];
	int k = 0;

	for (; whole && k < n && k < VEC_MAX; k++) {
		fits[k] = iov[k];
		if (fits[k].iov_len > whole)
			fits[k].iov_len = whole;
		whole -= fits[k].iov_len;
	}
	return k ? recv_or_peek(st, s, fits, k, flags, st->now) : -EFAULT;
}

/* recv() of no bytes waits for some all the same (tcp_recvmsg: the target is at least one). */
static __attribute__((cold)) bool waits_for_none(struct sock *s)
{
	return engine_state(s->conn) == TCP_ESTABLISHED && !(sock_ready(s) & (EPOLLIN | EPOLLERR));
}

/*
 * All that a fault is caught for.  A function of its own, as what lives across a __builtin_setjmp() has to lie in memory; so it
 * must not become a part of its caller.
 */
static __attribute__((noinline)) ssize_t recv_caught(struct stack *st, struct sock *s, const struct iovec *iov, int n, int flags,
						     usec_t now)
{
	if (__builtin_setjmp(st->trap))
		return recv_broke(st, s, iov, n, flags);
	return recv_or_peek(st, s, iov, n, flags, now);
}

static inline __attribute__((always_inline)) ssize_t recv_once(const struct fdref *r, const struct iovec *iov, int n, int flags)
{
	struct sock *s = sock_of(r);
	ssize_t got;
	usec_t now;
	int err;
	struct stack *st = sock_enter_fast(r, &now, &err);

	if (__builtin_expect(!st, 0))
		return err;
	if (__builtin_expect(!iov_exceeds(iov, n, 0), 0) && waits_for_none(s)) {
		stack_leave(st, now);
		return -EAGAIN;
	}
	got = recv_caught(st, s, iov, n, flags, now);
	if (__builtin_expect(got == -EAGAIN || stack_stale(st, now, DRIVE_STALE_US), 0))
		stack_drive(st, now);
	if (__builtin_expect(got == -EAGAIN, 0))
		got = recv_caught(st, s, iov, n, flags, now);
	if (__builtin_expect(atomic_load_explicit(&s->notices, memory_order_relaxed) != 0, 0))
		notice_received(st, s, got, flags);
	stack_leave_fast(st, now);
	return got;
}

/* A call for more than what the first look found. */
struct recv_state {
	const struct fdref *r;
	int flags;
	bool restarts; /* MSG_PEEK: each round sees everything again */
	size_t target, got;
	usec_t deadline;
	struct cursor rest;
};

/* Is the call over?  Otherwise it has to wait. */
static bool recv_done(const struct recv_state *rs, ssize_t n)
{
	if (n != -EAGAIN && n <= 0)
		return true;
	if (rs->got >= rs->target)
		return true;
	return atomic_load(&sock_of(rs->r)->nonblock) || (rs->flags & MSG_DONTWAIT);
}

/* The owner of the socket's signals is told nothing of what ends this wait (sigio.c). */
static int wait_to_receive(struct sock *s, uint32_t events, usec_t deadline)
{
	bool told = atomic_load_explicit(&s->told, memory_order_relaxed);
	int rc;

	if (told)
		atomic_fetch_add(&s->receivers, 1);
	rc = sock_wait(s, events, deadline);
	if (told)
		atomic_fetch_sub(&s->receivers, 1);
	return rc;
}

/*
 * Wait until there is more than what was got.  MSG_PEEK left what it saw in place, so that readiness says nothing: look at the
 * queue's length instead, at each event and every millisecond.  1, 0 at the timeout or when no more can come, -errno.
 */
static int wait_for_more(struct recv_state *rs)
{
	const usec_t look_us = 1000;
	struct sock *s = sock_of(rs->r);
	int rc, offset = rs->flags & MSG_PEEK ? peek_offset(s) : -1;
	size_t seen = rs->restarts ? rs->got : offset > 0 ? (size_t)offset : 0;
	struct stack *st;
	unsigned inq;
	usec_t now;

	if (!seen)
		return wait_to_receive(s, EPOLLIN | EPOLLRDHUP, rs->deadline);
	for (;;) {
		st = sock_enter(rs->r, &now, &rc);
		if (!st)
			return rc;
		inq = engine_inq(s->conn);
		stack_leave(st, now);
		if (inq > seen)
			return 1;
		if (now >= rs->deadline || (sock_ready(s) & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
			return 0;
		rc = wait_to_receive(s, 0, now + look_us);
		if (rc < 0)
			return rc;
	}
}

/* The general case: several rounds until there is enough. */
static ssize_t recv_rounds(struct recv_state *rs, const struct iovec *iov, int iovcnt, ssize_t n)
{
	int rc;

	while (!recv_done(rs, n)) {
		rc = wait_for_more(rs);
		if (rc <= 0)
			return rs->got ? (ssize_t)rs->got : rc ? rc : -EAGAIN;
		/* An error that comes after data is for the next call (tcp_recvmsg: copied first). */
		if (rs->got && (sock_ready(sock_of(rs->r)) & EPOLLERR))
			break;
		cursor_set(&rs->rest, iov, iovcnt, rs->restarts ? 0 : rs->got);
		n = recv_once(rs->r, rs->rest.iov, rs->rest.n, rs->flags);
		if (n > 0)
			rs->got = rs->restarts ? (size_t)n : rs->got + (size_t)n;
	}
	return rs->got ? (ssize_t)rs->got : n;
}

/* The first look found n, which is less than this call is for: the vector's length, or SO_RCVLOWAT. */
static __attribute__((noinline)) ssize_t recv_more(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags,
						   ssize_t n)
{
	struct sock *s = sock_of(r);
	uint32_t lowat = atomic_load_explicit(&s->rcvlowat, memory_order_relaxed);
	size_t total = iov_total(iov, iovcnt);
	struct recv_state rs;

	rs.r = r;
	rs.flags = flags;
	rs.restarts = (flags & MSG_PEEK) && peek_offset(s) < 0;
	rs.target = (flags & MSG_WAITALL) || total < lowat ? total : lowat;
	rs.got = n > 0 ? (size_t)n : 0;
	if (!rs.target)
		rs.target = 1;
	if (recv_done(&rs, n))
		return rs.got ? (ssize_t)rs.got : n;
	rs.deadline = sock_deadline(s, TIMEOUT_RCV);
	if (!hold_more(s, r->gen))
		return n > 0 ? n : -EBADF;
	n = recv_rounds(&rs, iov, iovcnt, n);
	sock_unhold(s);
	return n;
}

ssize_t sock_recv(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags)
{
	ssize_t n = take_error(r);

	if (__builtin_expect(n != 0, 0))
		return n;
	n = recv_once(r, iov, iovcnt, flags);
	if ((n <= 0 && n != -EAGAIN) || (flags & MSG_OOB))
		return n;
	if (n > 0 && !(flags & MSG_WAITALL) && (size_t)n >= atomic_load_explicit(&sock_of(r)->rcvlowat, memory_order_relaxed))
		return n;
	return recv_more(r, iov, iovcnt, flags, n);
}

/* ---- send -------------------------------------------------------------------------------------------------------------------
 */

/* As recv_caught(). */
static __attribute__((noinline)) ssize_t send_caught(struct stack *st, struct sock *s, const struct iovec *iov, int n, int flags,
						     usec_t now)
{
	if (__builtin_setjmp(st->trap))
		return engine_send_broke(st->engine);
	return engine_send(st->engine, s->conn, iov, n, flags & SEND_FLAGS, now);
}

static inline __attribute__((always_inline)) ssize_t send_once(const struct fdref *r, const struct iovec *iov, int n, int flags)
{
	struct sock *s = sock_of(r);
	ssize_t sent;
	usec_t now;
	int err;
	struct stack *st = sock_enter_fast(r, &now, &err);

	if (__builtin_expect(!st, 0))
		return err;
	/* Not to wait for what this one waits for. */
	if (__builtin_expect(flags & (MSG_MORE | MSG_OOB), 0))
		stack_settle(st, now);
	sent = send_caught(st, s, iov, n, flags, now);
	if (__builtin_expect(sent == -EAGAIN || stack_stale(st, now, DRIVE_STALE_US), 0))
		stack_drive(st, now);
	if (__builtin_expect(sent == -EAGAIN, 0))
		sent = send_caught(st, s, iov, n, flags, now);
	stack_leave_fast(st, now);
	return sent;
}

/* The rest of a blocking send, of which `sent` bytes are queued: until all is. */
static ssize_t send_rounds(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags, size_t sent)
{
	struct sock *s = sock_of(r);
	usec_t deadline = sock_deadline(s, TIMEOUT_SND);
	size_t total = iov_total(iov, iovcnt);
	struct cursor rest;
	ssize_t n;
	int rc;

	for (;;) {
		rc = sock_wait(s, EPOLLOUT, deadline);
		if (rc <= 0)
			return sent ? (ssize_t)sent : rc ? rc : -EAGAIN;
		/* What was queued counts; the error is for the next call (tcp_sendmsg: copied first). */
		if (sent && (sock_ready(s) & (EPOLLERR | EPOLLHUP)))
			return (ssize_t)sent;
		cursor_set(&rest, iov, iovcnt, sent);
		n = send_once(r, rest.iov, rest.n, flags);
		if (n < 0 && n != -EAGAIN)
			return sent ? (ssize_t)sent : n;
		if (n > 0)
			sent += (size_t)n;
		if (sent >= total)
			return (ssize_t)sent;
	}
}

/* The first try took n, or said -EAGAIN: the rest, if the call is one that waits. */
static __attribute__((noinline)) ssize_t send_more(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags,
						   ssize_t n)
{
	struct sock *s = sock_of(r);

	if ((flags & MSG_DONTWAIT) || atomic_load_explicit(&s->nonblock, memory_order_relaxed))
		return n;
	if (!hold_more(s, r->gen))
		return n > 0 ? n : -EBADF;
	n = send_rounds(r, iov, iovcnt, flags, n > 0 ? (size_t)n : 0);
	sock_unhold(s);
	return n;
}

/* ---- Fast Open (RFC 7413), as tcp_sendmsg_fastopen()
 * -----------------------------------------------------------------------------
 */

/* Let the SYN go, with what it can carry: how much, -EINPROGRESS for nothing; 0: there is a connection, or was one, already. */
static ssize_t fastopen_start(const struct fdref *r, const struct endpoint *remote, const struct msghdr *msg)
{
	struct sock *s = sock_of(r);
	ssize_t n;
	usec_t now;
	int err;
	struct stack *st = sock_enter(r, &now, &err);

	if (!st)
		return err;
	if (s->phase == PHASE_CONNECTED)
		n = -EISCONN;
	else if (s->phase == PHASE_CONNECTING && !s->deferred)
		n = 0;
	else
		n = engine_fastopen(st->engine, s->conn, remote, msg->msg_iov, (int)msg->msg_iovlen, now);
	if (n > 0 || n == -EINPROGRESS) {
		s->phase = PHASE_CONNECTING;
		s->deferred = false;
	}
	stack_leave(st, now);
	return n;
}

static ssize_t fastopen_held(const struct fdref *r, const struct endpoint *remote, const struct msghdr *msg, int flags)
{
	ssize_t n = fastopen_start(r, remote, msg), more;
	struct cursor rest;
	int rc;

	if ((n < 0 && n != -EINPROGRESS) || (n && ((flags & MSG_DONTWAIT) || atomic_load(&sock_of(r)->nonblock))))
		return n;
	rc = sock_connect_wait(r, remote);
	if (n < 0)
		n = 0;
	/* SO_SNDTIMEO is over, the connection goes on: what went counts. */
	if (rc)
		return rc == -EINPROGRESS || rc == -EALREADY ? (n ? n : rc) : rc;
	if (n && (size_t)n >= iov_total(msg->msg_iov, (int)msg->msg_iovlen))
		return n;
	cursor_set(&rest, msg->msg_iov, (int)msg->msg_iovlen, (size_t)n);
	more = sock_send(r, rest.iov, rest.n, flags & ~MSG_FASTOPEN);
	return n ? n + (more > 0 ? more : 0) : more;
}

/* Without a name only if the SYN waits for data. */
ssize_t sock_fastopen(const struct fdref *r, const struct msghdr *msg, int flags)
{
	struct sock *s = sock_of(r);
	struct endpoint remote = {0};
	const struct sockaddr *sa = msg->msg_name;
	ssize_t n = 0;

	if (flags & MSG_ZEROCOPY) {
		n = sock_fastopen(r, msg, flags & ~MSG_ZEROCOPY);
		notice_sent(r, n);
		return n;
	}
	if (sa && msg->msg_namelen >= sizeof(sa->sa_family) && sa->sa_family == AF_UNSPEC)
		return -EOPNOTSUPP;
	if (!sa && atomic_load(&s->phase) == PHASE_UNCONNECTED)
		return -EINVAL;
	if (!atomic_load(&s->deferred))
		n = sock_connect_to(s, sa, sa ? msg->msg_namelen : 0, &remote);
	if (n)
		return n;
	if (!hold_more(s, r->gen))
		return -EBADF;
	n = fastopen_held(r, &remote, msg, flags);
	sock_unhold(s);
	return n;
}

/* The SYN has waited for this, or is to go with it. */
static __attribute__((cold)) ssize_t send_in_syn(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags)
{
	return sock_fastopen(r, &(struct msghdr){.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iovcnt}, flags);
}

ssize_t sock_send(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags)
{
	struct sock *s = sock_of(r);
	ssize_t n;

	if (__builtin_expect(flags & MSG_ZEROCOPY, 0)) {
		n = sock_send(r, iov, iovcnt, flags & ~MSG_ZEROCOPY);
		notice_sent(r, n);
		return n;
	}
	if (__builtin_expect((flags & MSG_FASTOPEN) || atomic_load_explicit(&s->deferred, memory_order_relaxed), 0))
		return send_in_syn(r, iov, iovcnt, flags);
	n = take_error(r);
	if (__builtin_expect(n != 0, 0))
		return n;
	n = send_once(r, iov, iovcnt, flags);
	if (n < 0 ? n != -EAGAIN : !iov_exceeds(iov, iovcnt, (size_t)n))
		return n;
	return send_more(r, iov, iovcnt, flags, n);
}
