/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_sock.c - making sockets, naming, connecting and configuring them.
 */
#include "calls.h"

#include "early.h"
#include "placeholder.h"

#include <netinet/in.h>
#include <sys/ioctl.h>

/* ---- socket -----------------------------------------------------------------------------------------------------------------
 */

static bool is_tcp(int domain, int type, int protocol)
{
	return (domain == AF_INET || domain == AF_INET6) && (type & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) == SOCK_STREAM &&
	       (protocol == 0 || protocol == IPPROTO_TCP);
}

static int kernel_socket(int domain, int type, int protocol)
{
	int fd = REAL(socket)(domain, type, protocol);

	if (fd < 0 && errno == EMFILE && placeholder_drain())
		fd = REAL(socket)(domain, type, protocol);
	fdtab_forget(fd);
	return fd;
}

int socket(int domain, int type, int protocol)
{
	int saved = errno;
	int fd;

	if (!is_tcp(domain, type, protocol) || !loader_wanted())
		return kernel_socket(domain, type, protocol);
	fd = (int)GUARDED(own_socket(domain, type & (SOCK_CLOEXEC | SOCK_NONBLOCK)));
	/* No room for our table, or a number beyond it: what the kernel says goes. */
	return fd == -ENOMEM ? kernel_socket(domain, type, protocol) : (int)finish(saved, fd);
}

int socketpair(int domain, int type, int protocol, int sv[2])
{
	int rc = REAL(socketpair)(domain, type, protocol, sv);

	if (rc < 0 && errno == EMFILE && placeholder_drain())
		rc = REAL(socketpair)(domain, type, protocol, sv);
	if (rc == 0) {
		fdtab_forget(sv[0]);
		fdtab_forget(sv[1]);
	}
	return rc;
}

/* ---- bind, listen, accept, connect, shutdown
 * ----------------------------------------------------------------------------------- */

/* Call a function of own.h until it is not overtaken by another thread's decision, then the one for what the descriptor is now.
 */
#define OWNED(fd, r, fresh_call, sock_call, kernel_call)                         \
	({                                                                       \
		int saved_ = errno;                                              \
		long rc_ = OWN_AGAIN;                                            \
		while (rc_ == OWN_AGAIN && (r = fdtab_get(fd)).kind == FD_FRESH) \
			rc_ = GUARDED(fresh_call);                               \
		if (rc_ == OWN_AGAIN && r.kind == FD_SOCK)                       \
			rc_ = GUARDED(sock_call);                                \
		else if (rc_ == OWN_AGAIN && r.kind == FD_SPARE)                 \
			rc_ = -EBADF;                                            \
		rc_ == OWN_AGAIN ? kernel_call : finish(saved_, rc_);            \
	})

/* move_addr_to_kernel(): before anything is known of the socket. */
static int address_check(const struct sockaddr *sa, socklen_t len)
{
	if (len > sizeof(struct sockaddr_storage))
		return -EINVAL;
	return len && !sa ? -EFAULT : 0;
}

static int bind_ours(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	int rc = address_check(sa, len);

	return rc ? rc : own_bind_taken(r, sa, len);
}

int bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	struct fdref r;

	if (fdtab_is_kernel(fd))
		return REAL(bind)(fd, sa, len);
	return (int)OWNED(fd, r, own_bind(&r, sa, len), bind_ours(&r, sa, len), REAL(bind)(fd, sa, len));
}

int listen(int fd, int backlog)
{
	struct fdref r;

	if (fdtab_is_kernel(fd))
		return REAL(listen)(fd, backlog);
	return (int)OWNED(fd, r, own_listen(&r, backlog), own_listen_taken(&r, backlog), REAL(listen)(fd, backlog));
}

static int accept_ours(const struct fdref *r, struct sockaddr *sa, socklen_t *len, int flags)
{
	if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	if (sa && !len)
		return -EFAULT;
	if (sa && (int)*len < 0)
		return -EINVAL;
	cancel_point();
	return (int)GUARDED(core()->accept(r, sa, len, flags));
}

int accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	socklen_t room = sa && len ? *len : 0;
	struct fdref r;
	int saved = errno;
	int got;

	if (io_ours(fd, &r))
		return (int)finish(saved, r.kind == FD_SOCK ? accept_ours(&r, sa, len, flags) : -EBADF);
	got = REAL(accept4)(fd, sa, len, flags);
	if (got < 0 && errno == EMFILE && placeholder_drain())
		got = REAL(accept4)(fd, sa, len, flags);
	fdtab_forget(got);
	if (got >= 0)
		relay_name_fix(0, got, true, sa, len, room);
	return got;
}

int accept(int fd, struct sockaddr *sa, socklen_t *len)
{
	return accept4(fd, sa, len, 0);
}

static int connect_ours(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	int rc = address_check(sa, len);

	return rc ? rc : core()->connect(r, sa, len);
}

int connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	struct fdref r;

	if (fdtab_is_kernel(fd))
		return REAL(connect)(fd, sa, len);
	cancel_point();
	return (int)OWNED(fd, r, own_connect(&r, sa, len), connect_ours(&r, sa, len), REAL(connect)(fd, sa, len));
}

static int shutdown_ours(const struct fdref *r, int how)
{
	int rc = core()->shutdown(r, how);

	/* A listener's port is listened at in the kernel, too (own.c): not any more. */
	if (!rc && how != SHUT_WR && !(fdtab_traits(r->fd) & FD_POOLABLE))
		REAL(shutdown)(r->fd, how);
	return rc;
}

int shutdown(int fd, int how)
{
	struct fdref r;
	int saved = errno;

	if (!io_ours(fd, &r))
		return REAL(shutdown)(fd, how);
	return (int)finish(saved, r.kind == FD_SOCK ? GUARDED(shutdown_ours(&r, how)) : -EBADF);
}

/* ---- names ------------------------------------------------------------------------------------------------------------------
 */

/* move_addr_to_user(): the length is read first; with room for nothing no buffer is needed. */
static int name_check(const struct fdref *r, const struct sockaddr *sa, const socklen_t *len)
{
	if (r->kind != FD_SOCK)
		return -EBADF;
	if (!len)
		return -EFAULT;
	if ((int)*len < 0)
		return -EINVAL;
	return *len && !sa ? -EFAULT : 0;
}

int getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
	struct sockaddr_storage nowhere;
	struct fdref r;
	int saved = errno;
	int rc;

	if (!io_ours(fd, &r)) {
		socklen_t room = len ? *len : 0;

		return relay_name_fix(REAL(getsockname)(fd, sa, len), fd, false, sa, len, room);
	}
	rc = name_check(&r, sa, len);
	return (int)finish(saved, rc ? rc : GUARDED(core()->getsockname(&r, sa ? sa : (struct sockaddr *)&nowhere, len)));
}

int getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
	struct sockaddr_storage nowhere;
	struct fdref r;
	int saved = errno;
	int rc;

	if (!io_ours(fd, &r)) {
		socklen_t room = len ? *len : 0;

		return relay_name_fix(REAL(getpeername)(fd, sa, len), fd, true, sa, len, room);
	}
	rc = name_check(&r, sa, len);
	/* Not connected comes before a bad length (inet_getname). */
	if (rc == -EFAULT || rc == -EINVAL) {
		socklen_t size = sizeof(nowhere);
		int peer = (int)GUARDED(core()->getpeername(&r, (struct sockaddr *)&nowhere, &size));

		rc = peer < 0 ? peer : rc;
	}
	return (int)finish(saved, rc ? rc : GUARDED(core()->getpeername(&r, sa ? sa : (struct sockaddr *)&nowhere, len)));
}

/* ---- options ----------------------------------------------------------------------------------------------------------------
 */

static int getsockopt_ours(const struct fdref *r, int level, int name, void *val, socklen_t *len)
{
	if (!len)
		return -EFAULT;
	if ((int)*len < 0)
		return -EINVAL;
	if (!val && *len)
		return -EFAULT;
	return core()->getsockopt(r, level, name, val, len);
}

static int getsockopt_kernel(int fd, int level, int name, void *val, socklen_t *len)
{
	socklen_t room = len ? *len : 0;

	return relay_getsockopt_fix(REAL(getsockopt)(fd, level, name, val, len), fd, level, name, val, len, room);
}

int getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
	struct fdref r;

	if (fdtab_is_kernel(fd))
		return getsockopt_kernel(fd, level, name, val, len);
	return (int)OWNED(fd, r, own_getsockopt(&r, level, name, val, len), getsockopt_ours(&r, level, name, val, len),
			  getsockopt_kernel(fd, level, name, val, len));
}

static int setsockopt_ours(const struct fdref *r, int level, int name, const void *val, socklen_t len)
{
	if ((int)len < 0)
		return -EINVAL;
	if (!val && len)
		return -EFAULT;
	return early_refused(level, name) ? -EOPNOTSUPP : core()->setsockopt(r, level, name, val, len);
}

static int setsockopt_kernel(int fd, int level, int name, const void *val, socklen_t len)
{
	return relay_setsockopt_fix(REAL(setsockopt)(fd, level, name, val, len), fd, level);
}

int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	struct fdref r;

	if (fdtab_is_kernel(fd))
		return setsockopt_kernel(fd, level, name, val, len);
	return (int)OWNED(fd, r, own_setsockopt(&r, level, name, val, len), setsockopt_ours(&r, level, name, val, len),
			  setsockopt_kernel(fd, level, name, val, len));
}
