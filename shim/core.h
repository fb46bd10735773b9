/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core.h - the seam between the thin preloaded library (wrappers, descriptor table, configuration) and the core that it loads
 * with dlopen() when a socket is first to be served by the engine.
 *
 * libmtcpshim.so (thin):  preload.c calls.c fdtab.c config.c route.c log.c       needs libc and libdl only
 * libmtcpshim-core.so:    core.c runtime.c sock.c sockopt.c epoll.c poll.c ...   needs engine/, io/, DPDK
 *
 * Errors: every int/ssize_t function below returns >= 0 or -errno; the wrappers in calls.c alone set errno.
 * Objects: struct sock and struct epset live in memory shared across fork, of fixed type for ever: a stale pointer is never a
 * wild one, and the generation that travels with it tells that it is stale (-EBADF).
 */
#ifndef SHIM_CORE_H
#define SHIM_CORE_H

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

/* Needs the one above. */
#include <linux/errqueue.h>

#include "placeholder.h"
#include "sets.h"

#define CORE_ABI 10

struct mmsghdr;
struct stat;
struct rlimit64;
struct stat64;
struct config; /* config.h */
struct sock;   /* sock.h: one open file description served by the engine */
struct epset;  /* epoll.h: an epoll instance with engine members */
struct fdtab;
struct guard; /* guard.h: what this thread does with signals */

/* What a descriptor is, as fdtab knows it. */
enum fd_kind {
	FD_KERNEL = 0, /* the kernel's, or not open: libc decides; the default of every number */
	FD_FRESH,      /* TCP socket that nobody owns yet: bind, listen or connect will decide */
	FD_SOCK,       /* served by the engine: obj is a struct sock */
	FD_EPOLL,      /* an epoll instance: obj is a struct epset, or NULL while it has no engine member */
	FD_SPARE,      /* a placeholder in the pool: closed as far as the application can tell (EBADF) */
	FD_PRIVATE,    /* the shim's own: out of reach of the application (EBADF; close loops pass over it) */
	FD_RELAYED, /* the kernel's, in the place of an engine socket; its relay is to be told of the first use (relay_name.h) */
};

/* A descriptor looked up: valid as long as the generation is. */
struct fdref {
	int fd;
	enum fd_kind kind;
	uint32_t gen; /* generation of the object (sock or epset) */
	void *obj;
};

/* An option set on a FRESH socket, to be given to whoever gets it. */
struct early_opt {
	int level, name;
	socklen_t len;
	unsigned char val[32];
};

/* What is known of a FRESH socket when it is taken. */
struct fresh_info {
	int family;    /* AF_INET or AF_INET6 */
	bool nonblock; /* O_NONBLOCK */
	bool v6only;
	unsigned nopts;
	const struct early_opt *opts;
};

/* libc's own functions, as the thin library found them: the core never calls an interposed one. */
struct real_calls {
#define INTERCEPT(ret, name, args) ret(*name) args;
#include "intercept.def"
};

/* What the thin library does for the core. */
struct thin_ops {
	const struct config *cfg;
	const struct real_calls *real;
	/* Log one line "mtcpshim: ..." if level is on (levels of config.h). */
	void (*log)(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
	/* What each descriptor is (fdtab.h). */
	const struct fdtab *fds;
	/* Attach an object to a descriptor, replacing what it was (FRESH -> SOCK). */
	void (*fd_set)(int fd, enum fd_kind kind, void *obj, uint32_t gen);
	/* Give an epoll instance its set, under all its numbers.  False: it was closed since it was looked up, nothing is done.
	 */
	bool (*epoll_set)(const struct fdref *was, void *obj, uint32_t gen);
	/* placeholder.h: get one for an engine socket or give it back; a kernel socket of the number's own, before it is used. */
	int (*placeholder_get)(int family, int flags, enum placeholder_use use);
	void (*placeholder_put)(int fd, bool pristine);
	int (*placeholder_own)(int fd);
	/* Make a descriptor the shim's own: moved to a high number, close-on-exec, FD_PRIVATE.  Returns the new number or -errno.
	 */
	int (*fd_private)(int fd);
	void (*fd_private_close)(int fd);
	/* The first number at or above fd that is not FD_KERNEL; -1: none. */
	int (*fd_next)(int fd);
	/* Answer `mtcpshim ls` in this process from now on. */
	void (*list_start)(void);
	/* The calling thread's. */
	struct guard *(*guard)(void);
};

/* Who serves a destination or local address, and why (route.c's answer). */
enum route { ROUTE_KERNEL, ROUTE_ENGINE, ROUTE_BOTH /* wildcard listener */ };

/* A flag for accept() beside those of accept4(): do not wait, whatever O_NONBLOCK says. */
#define ACCEPT_NOW (1 << 30)

/* What was asked for of a socket beside its data. */
enum notice {
	NOTICE_STAMP = 1 << 0, /* SO_TIMESTAMP or one of its kin */
	NOTICE_STAMP_NS = 1 << 1,
	NOTICE_STAMP_NEW = 1 << 2,  /* in the forms for a 64-bit time_t */
	NOTICE_STAMPING = 1 << 3,   /* SO_TIMESTAMPING reports software's time stamps */
	NOTICE_INQ = 1 << 4,	    /* TCP_INQ */
	NOTICE_ZEROCOPY = 1 << 5,   /* SO_ZEROCOPY */
	NOTICE_PEEK_OFF = 1 << 6,   /* SO_PEEK_OFF */
	NOTICE_RX_SOFTWARE = 1 << 7 /* SO_TIMESTAMPING asks for the times of received packets */
};
union recv_name {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};
#define RECV_QUOTE_MAX 576
/* What recvmsg() has to tell beside the data. */
struct recv_extra {
	uint32_t asked;	       /* enum notice, as the socket is set */
	bool has_stamp;	       /* the data's last packet arrived at: */
	struct timespec stamp; /* CLOCK_REALTIME */
	bool has_inq;
	int inq;
	bool has_error; /* an entry of the error queue (MSG_ERRQUEUE) */
	int family;	/* of the socket */
	struct sock_extended_err error;
	union recv_name offender; /* who told of it; family 0: nobody */
	union recv_name to;	  /* whom the packet that it is about was for */
	socklen_t to_len;	  /* 0: it is about none */
	char *quote;		  /* given with MSG_ERRQUEUE: room of RECV_QUOTE_MAX for what is quoted of that packet */
	bool cut;		  /* the user's memory was too short for it */
};

struct core_ops {
	unsigned abi;
	/*
	 * Start the engine if it does not run: EAL, ports, stacks, helper thread.  0, or -errno after one line of log that says
	 * why; then it is not tried again.  Safe to call from any thread.
	 */
	int (*engine_up)(void);

	/*
	 * Sockets.  take() makes an engine socket of a FRESH descriptor, with the recorded options applied, its placeholder's
	 * number is fd; the caller attaches the result with fd_set.  *gen is its generation.  NULL: *err.
	 */
	struct sock *(*take)(int fd, const struct fresh_info *fresh, uint32_t *gen, int *err);
	int (*bind)(const struct fdref *r, const struct sockaddr *sa, socklen_t len);
	/* kernel_too: the placeholder is bound and listens already (dual-homed listener): accept() and readiness serve both. */
	int (*listen)(const struct fdref *r, int backlog, bool kernel_too);
	int (*connect)(const struct fdref *r, const struct sockaddr *sa, socklen_t len);
	/* The new descriptor (engine or kernel), installed in fdtab; flags as accept4(). */
	int (*accept)(const struct fdref *r, struct sockaddr *sa, socklen_t *len, int flags);
	/* Does one of the engine's sockets listen for connections to this address? */
	bool (*listens)(const struct sockaddr *sa, socklen_t len);
	/* Does anything of the engine's use this address and port, TIME-WAIT included? */
	bool (*port_used)(const struct sockaddr *sa, socklen_t len);
	int (*shutdown)(const struct fdref *r, int how);
	/* One more, one less descriptor refers to the socket; the last release closes the connection (SO_LINGER waits here). */
	void (*retain)(const struct fdref *r);
	/* *pristine: the placeholder was never used and may be recycled. Returns what close() is to return. */
	int (*release)(const struct fdref *r, bool *pristine);
	ssize_t (*recv)(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags);
	/* Leave an error (positive) for the socket's next call. */
	void (*fail_next)(const struct fdref *r, int err);
	/* recv(), and *x filled in; MSG_ERRQUEUE is for this one only, returns the bytes in x->quote and has no use for iov. */
	ssize_t (*recvmsg)(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags, struct recv_extra *x);
	ssize_t (*send)(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags);
	/* sendmsg() with MSG_FASTOPEN: connect to msg_name with data in the SYN; name and vector are within their limits. */
	ssize_t (*fastopen)(const struct fdref *r, const struct msghdr *msg, int flags);
	int (*getsockopt)(const struct fdref *r, int level, int name, void *val, socklen_t *len);
	int (*setsockopt)(const struct fdref *r, int level, int name, const void *val, socklen_t len);
	int (*getsockname)(const struct fdref *r, struct sockaddr *sa, socklen_t *len);
	int (*getpeername)(const struct fdref *r, struct sockaddr *sa, socklen_t *len);
	/* FIONREAD, SIOCINQ, SIOCOUTQ, SIOCOUTQNSD, SIOCATMARK write *value, FIONBIO reads it; -ENOTTY: all others. */
	int (*ioctl)(const struct fdref *r, unsigned long request, int *value);
	/* How many processes of the fork family hold it. */
	unsigned (*holders)(const struct fdref *r);
	/* File status flags (F_GETFL, F_SETFL): O_RDWR | O_NONBLOCK | O_ASYNC. */
	int (*getfl)(const struct fdref *r);
	int (*setfl)(const struct fdref *r, int flags);
	/* F_SETOWN, F_SETSIG or O_ASYNC was set on the placeholder, which is the descriptor's own: signals follow. */
	void (*sigio)(const struct fdref *r);

	/* Waiting.  timeout NULL: for ever; sigmask NULL: unchanged.  Serve engine and kernel descriptors together. */
	/* *timeout becomes what was left of it. */
	int (*poll)(struct pollfd *fds, nfds_t n, struct timespec *timeout, const sigset_t *sigmask);
	/*
	 * select() at a glance: what the engine alone can tell to be there at once, how many bits and in found, word by word,
	 * which.  0: that is nothing, or not all that there may be; poll() tells.
	 */
	int (*select)(const struct sets *s, unsigned long (*found)[SET_KINDS]);
	/* epoll_ctl on an epoll descriptor when the target is FRESH, SOCK or EPOLL, or the instance has engine members. */
	int (*epoll_ctl)(int epfd, int op, int fd, struct epoll_event *ev);
	int (*epoll_wait)(int epfd, struct epoll_event *evs, int max, const struct timespec *timeout, const sigset_t *sigmask);
	void (*epoll_retain)(const struct fdref *r);
	void (*epoll_release)(const struct fdref *r);
	/* A thread of this process was cancelled: if it waits, its call ends with GUARD_RESTART (guard.h). */
	void (*cancelled)(pthread_t thread);
	/* A kernel or FRESH descriptor number is about to be closed or replaced: drop it from the sets' books. */
	void (*fd_closing)(int fd);

	/* Start what threads this process will need: soon it may not be allowed to. */
	void (*threads_up)(void);
	/* This thread is copying the application's bytes: a trap as guard.trap, else NULL.  From a handler. */
	void **(*copying)(void);
	/* How the engine serves this descriptor, in words (for listings). */
	void (*describe)(const struct fdref *r, char *buf, size_t size);
	/*
	 * The process is about to end (destructor, _exit): close every connection as the kernel would and send what is queued,
	 * for a bounded time.  Idempotent.
	 */
	void (*exiting)(void);
	/*
	 * fork(): before, in the parent after, in the child after.  The child shares the engine, its sockets and epoll sets, as
	 * it would the kernel's.  False where it cannot: inherited sockets stay the parent's (EIO; closing them there does
	 * nothing to the connection), new ones go to the kernel.
	 */
	void (*fork_prepare)(void);
	void (*fork_parent)(void);
	bool (*fork_child)(void);
	/*
	 * This thread is about to exec: from begin() on no other thread of the process is inside a stack, where it would be torn
	 * away.  They wait; failed() lets them go on.
	 */
	void (*exec_begin)(void);
	void (*exec_failed)(void);
	/* A relay is forked, birth.h. */
	void (*birth_begin)(bool (*keeps)(const void *sock));
	void (*birth_end)(void);
};

/* The core's only exported symbol; NULL if it cannot serve (ABI mismatch). */
const struct core_ops *mtcpshim_core(const struct thin_ops *thin);
typedef const struct core_ops *mtcpshim_core_fn(const struct thin_ops *thin);

#endif
