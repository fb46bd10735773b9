/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sock.h - one open file description that the engine serves: a connection of one stack, or, with several stacks, one of each
 * until it is known which of them it belongs to (a bound or listening socket).
 *
 * References: every descriptor holds one, and so does every call that blocks, as a system call holds its file: the last one to go
 * closes the connection.  A call that does not block holds none: inside the stack's lock it checks the generation instead.
 */
#ifndef SHIM_SOCK_H
#define SHIM_SOCK_H

#include "shim/arena.h"
#include "shim/hold.h"
#include "shim/runtime.h"
#include "shim/wait.h"

#include <sys/epoll.h>

/* As Linux's SS_*: whether connect() has reported its result. */
enum sock_phase { PHASE_UNCONNECTED, PHASE_CONNECTING, PHASE_CONNECTED };

/*
 * The connections of a socket that is not yet bound to one stack, by stack: each is changed under that stack's lock, and looked
 * at outside for its readiness alone.  NULL: whoever puts the spread together or takes it apart has not been there yet, or has.
 */
struct spread {
	struct object obj;
	struct conn *_Atomic conn[IO_QUEUES_MAX];
};

struct sock {
	struct owned own;
	struct pollable poll;
	/* What readiness and data calls look at: one cache line. */
	/* Changed under the lock of the stack named here, which owns the socket; read by anybody. */
	struct conn *_Atomic conn;
	struct spread *_Atomic spread; /* NULL: only conn */
	_Atomic uint32_t stack;
	_Atomic int error; /* pending, positive: of a connection that the socket no longer has */
	_Atomic uint32_t rcvlowat;
	_Atomic uint32_t notices; /* enum notice: 0 in most, and then nothing below counts that belongs to them */
	_Atomic bool nonblock;
	_Atomic bool deferred; /* TCP_FASTOPEN_CONNECT: connect() has returned, the SYN waits for data */
	_Atomic bool dual;     /* the placeholder listens too */
	_Atomic bool told;     /* signals for its owner (sigio.h): some process watches it for that */

	_Atomic int fl;	 /* O_ASYNC, O_APPEND, O_NOATIME as set; they do nothing */
	uint16_t family; /* AF_INET, AF_INET6 */
	bool v6only;
	bool unheeded;		    /* what happens now is no news to the owner of its signals; under the stack's lock */
	bool named;		    /* bind() gave it a name: rare.name */
	_Atomic bool dirty;	    /* the placeholder was used: not to be recycled */
	_Atomic uint8_t phase;	    /* enum sock_phase */
	_Atomic bool lingers;	    /* SO_LINGER was set, on or off: close() asks for it */
	_Atomic uint16_t old_port;  /* of the connection it had: Linux goes on to show it (inet_put_port() leaves inet_sport) */
	_Atomic bool kernel_turn;   /* as kernel_asked */
	_Atomic bool has_rare;	    /* struct sock_rare holds something */
	_Atomic uint32_t receivers; /* with told: threads in recv() */
	int backlog;		    /* as given to listen(); -1 before */
	_Atomic int peek_off;	    /* SO_PEEK_OFF, with NOTICE_PEEK_OFF */
	/* Dual-homed listener: wait_may_ask()'s, and what was known when the kernel had no connection. */
	_Atomic usec_t kernel_asked;
	_Atomic uint32_t kernel_epoch;
	/* With told: EPOLL* that nobody has taken. */
	_Atomic uint32_t due;
};
/* With its member of an epoll set, this is what a connection takes beside the engine's control block. */
_Static_assert(sizeof(struct sock) <= 128, "two cache lines");

enum sock_timeout { TIMEOUT_RCV, TIMEOUT_SND };

/* What few sockets have, beside the socket (arena_beside()): zero until it is set for the first time, and again at the end. */
struct sock_rare {
	struct endpoint name;
	_Atomic usec_t timeout[2];	    /* SO_RCVTIMEO, SO_SNDTIMEO, by enum sock_timeout; 0: for ever */
	_Atomic uint32_t tsflags, bind_phc; /* SO_TIMESTAMPING */
	usec_t recv_at;			    /* engine_recv_at() of the last receive, with any notices; under the stack's lock */
	uint32_t zc_first, zc_next; /* sends with MSG_ZEROCOPY: the first not told of, the next one; under the stack's lock */
};
/* To be written; to be read. */
static inline struct sock_rare *sock_set_rare(struct sock *s)
{
	atomic_store_explicit(&s->has_rare, true, memory_order_relaxed);
	return arena_beside(s);
}
static inline const struct sock_rare *sock_rare(const struct sock *s)
{
	static const struct sock_rare none;

	return atomic_load_explicit(&s->has_rare, memory_order_relaxed) ? arena_beside(s) : &none;
}

/* Readiness as EPOLL* bits of the engine's side.  Any thread, no lock. */
uint32_t spread_ready(const struct spread *sp);
static inline uint32_t sock_ready(struct sock *s)
{
	struct conn *c = atomic_load_explicit(&s->conn, memory_order_acquire);
	struct spread *sp = atomic_load_explicit(&s->spread, memory_order_acquire);
	uint32_t ready = c ? engine_ready(c) : 0;

	if (__builtin_expect(atomic_load_explicit(&s->error, memory_order_relaxed) != 0, 0))
		ready |= EPOLLERR;
	return __builtin_expect(!sp, 1) ? ready : ready | spread_ready(sp);
}
/* The connection that it has in a stack; NULL: none.  Caller is inside the stack, or looks at its readiness alone. */
static inline struct conn *sock_conn_in(struct sock *s, unsigned stack)
{
	struct spread *sp = atomic_load(&s->spread);

	if (sp)
		return sp->conn[stack];
	return stack == atomic_load(&s->stack) ? atomic_load(&s->conn) : NULL;
}
/* The same as poll() has it: an error queue with something in it is an error. */
static inline uint32_t sock_poll_ready(struct sock *s)
{
	uint32_t ready = sock_ready(s);

	return ready & ENGINE_NOTICES ? ready | EPOLLERR : ready;
}
/* The socket of a descriptor if the reference still holds, inside its stack; NULL: *err is -EBADF, -EIO (forked child outside the
 * family), -EAGAIN (signal handler). */
struct stack *sock_enter(const struct fdref *r, usec_t *now, int *err);
static inline struct sock *sock_of(const struct fdref *r)
{
	return r->obj;
}
/* The same inline; what it takes a second time moves from stack to stack, or is closed, at this moment. */
static inline __attribute__((always_inline)) struct stack *sock_enter_fast(const struct fdref *r, usec_t *now, int *err)
{
	struct sock *s = sock_of(r);
	struct stack *st;

	if (__builtin_expect(!rt_up(), 0))
		return sock_enter(r, now, err);
	st = rt.stacks[atomic_load_explicit(&s->stack, memory_order_relaxed)];
	if (__builtin_expect(!stack_enter_fast(st, now), 0))
		return sock_enter(r, now, err);
	if (__builtin_expect(object_is(s, r->gen) && st->id == atomic_load_explicit(&s->stack, memory_order_relaxed), 1))
		return st;
	stack_leave(st, *now);
	return sock_enter(r, now, err);
}

/*
 * Wait for any of these events (and always for EPOLLERR and EPOLLHUP; 0: for none): 1, 0 at the deadline, -EINTR.  Without a
 * deadline, handlers with SA_RESTART don't end it.
 */
int sock_wait(struct sock *s, uint32_t events, usec_t deadline);
/* The same for a connection to accept, of which each wakes one of those that wait; kernel_fd: a descriptor that may become
 * readable as well, or -1. */
int sock_wait_accept(struct sock *s, usec_t deadline, int kernel_fd);
/* When a call that starts now times out by SO_RCVTIMEO or SO_SNDTIMEO; USEC_NEVER without. */
usec_t sock_deadline(const struct sock *s, enum sock_timeout which);
/* A new socket for a connection of a stack; NULL: no memory. */
struct sock *sock_make(struct conn *c, unsigned stack, int family);

/* core_ops, see core.h. */
struct sock *sock_take(int fd, const struct fresh_info *fresh, uint32_t *gen, int *err);
int sock_bind(const struct fdref *r, const struct sockaddr *sa, socklen_t len);
int sock_listen(const struct fdref *r, int backlog, bool kernel_too);
bool sock_listens(const struct sockaddr *sa, socklen_t len);
bool sock_port_used(const struct sockaddr *sa, socklen_t len);
int sock_connect(const struct fdref *r, const struct sockaddr *sa, socklen_t len);
int sock_accept(const struct fdref *r, struct sockaddr *sa, socklen_t *len, int flags);
int sock_shutdown(const struct fdref *r, int how);
void sock_retain(const struct fdref *r);
int sock_release(const struct fdref *r, bool *pristine);
ssize_t sock_recv(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags);
void sock_fail_next(const struct fdref *r, int err);
ssize_t sock_send(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags);
ssize_t sock_fastopen(const struct fdref *r, const struct msghdr *msg, int flags);
int sock_getsockopt(const struct fdref *r, int level, int name, void *val, socklen_t *len);
int sock_setsockopt(const struct fdref *r, int level, int name, const void *val, socklen_t len);
int sock_getsockname(const struct fdref *r, struct sockaddr *sa, socklen_t *len);
int sock_getpeername(const struct fdref *r, struct sockaddr *sa, socklen_t *len);
int sock_ioctl(const struct fdref *r, unsigned long request, int *value);
unsigned sock_holders(const struct fdref *r);
int sock_getfl(const struct fdref *r);
int sock_setfl(const struct fdref *r, int flags);
void sock_describe(const struct fdref *r, char *buf, size_t size);

/* The steps of connect(), for MSG_FASTOPEN: the address and the stack for it; wait until it is done (0), has failed (-errno, and
 * the socket is unconnected again) or is left to itself (-EINPROGRESS, -EALREADY).  The caller holds the socket. */
int sock_connect_to(struct sock *s, const struct sockaddr *sa, socklen_t len, struct endpoint *remote);
int sock_connect_wait(const struct fdref *r, const struct endpoint *remote);

/* End a hold that a blocking call took with hold_more(): may be the last. */
void sock_unhold(struct sock *s);
/* Nobody holds it any more, and nobody waits for SO_LINGER: close its connections and give it back. */
void sock_bury(struct sock *s);
/* Let go of the socket's connections, without SO_LINGER's wait: nobody may use it any more. */
void sock_end(struct sock *s);
/* Set one recorded option as setsockopt() would; used for a FRESH socket's and for the options a connection's successor inherits.
 */
int sockopt_set(struct sock *s, int fd, int level, int name, const void *val, socklen_t len);
/* Set an option in all connections that the socket has. */
int sockopt_engine(struct sock *s, int level, int name, const void *val, socklen_t len);
/* The options that a connection's successor is to have: take note of them inside its stack, give them to the successor inside
 * that one's. */
#define KEPT_OPTIONS 30
struct kept_options {
	struct {
		socklen_t len; /* 0: not known */
		unsigned char val[64];
	} opt[KEPT_OPTIONS];
};
void sockopt_keep(struct stack *st, struct conn *c, struct kept_options *kept, usec_t now);
void sockopt_give(struct stack *st, struct conn *c, const struct kept_options *kept, usec_t now);

/* Inside the stack: a closed connection with these options, which tells the socket of its events. NULL: none left. */
struct conn *sock_conn_new(struct stack *st, struct sock *s, const struct kept_options *opts, usec_t now);
/* Inside the stack: close a connection that is its user's no more; NULL: there is none. */
void sock_conn_close(struct stack *st, struct conn *c, bool reset, usec_t now);

/* With several stacks (spread.c), inside none of them; the caller holds the socket, or nobody uses it any more. */
/* Give every other stack a connection bound to the same address and port: 0, -EADDRINUSE in one of them and the like. */
int spread_bind(const struct fdref *r, const struct endpoint *local);
/* Close them all but the one in that stack, and forget the spread, if there is one. */
void spread_end(struct sock *s, unsigned keep);
/* A bound socket connects in the stack that the replies will arrive at, which becomes its own. */
void spread_settle(struct sock *s, const struct endpoint *remote);

/* Addresses (addr.c): from a sockaddr for a socket of this family; -EINVAL, -EAFNOSUPPORT. */
int addr_read(int family, const struct sockaddr *sa, socklen_t len, struct endpoint *ep);
/* Write one as accept() and getsockname() do: cut to *len, *len set to its true length. -EINVAL, -EFAULT. */
int addr_write(int family, const struct endpoint *ep, struct sockaddr *sa, socklen_t *len);

#endif
