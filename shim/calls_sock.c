/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_sock.c - making sockets, naming, connecting and configuring them.
 */
#include "calls.h"

#include "config.h"
#include "placeholder.h"
#include "user.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

/* ---- socket -----------------------------------------------------------------------------------------------------------------
 */

/* The longest answer to getsockopt(): headers of a SYN are some hundred bytes, TCP_INFO less. */
#define OPTION_ROOM 2048

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

/*
 * move_addr_to_kernel() refuses it before anything is known of the socket: so does the kernel, of whatever it is.  No address of
 * a closed one is looked at.
 */
static bool address_is_bad(int fd, const struct sockaddr *sa, socklen_t len)
{
	return (len > sizeof(struct sockaddr_storage) || user_readable(sa, len)) && fdtab_kind(fd) != FD_SPARE;
}

int bind(int fd, const struct sockaddr *sa, socklen_t len)
{
	struct fdref r;

	if (fdtab_is_kernel(fd) || address_is_bad(fd, sa, len))
		return REAL(bind)(fd, sa, len);
	return (int)OWNED(fd, r, own_bind(&r, sa, len), own_bind_taken(&r, sa, len), REAL(bind)(fd, sa, len));
}

int listen(int fd, int backlog)
{
	struct fdref r;

	if (fdtab_is_kernel(fd))
		return REAL(listen)(fd, backlog);
	return (int)OWNED(fd, r, own_listen(&r, backlog), own_listen_taken(&r, backlog), REAL(listen)(fd, backlog));
}

/* What the kernel is about to read at len; in a process without configuration nobody catches a fault. */
static socklen_t room_at(const socklen_t *len)
{
	socklen_t room = 0;

	if (config_is_enabled())
		user_copy(&room, len, sizeof(room));
	else if (len)
		room = *len;
	return room;
}

/* move_addr_to_user(): an address of `have` bytes, cut to the room there is, and its true length. */
static int name_out(const struct sockaddr_storage *name, socklen_t have, struct sockaddr *sa, socklen_t *len)
{
	socklen_t room;

	if (user_copy(&room, len, sizeof(room)))
		return -EFAULT;
	if ((int)room < 0)
		return -EINVAL;
	if (user_copy(sa, name, room < have ? room : have))
		return -EFAULT;
	return user_copy(len, &have, sizeof(have));
}

/* Who cannot be told of a connection loses it (__sys_accept4). */
static int accept_ours(const struct fdref *r, struct sockaddr *sa, socklen_t *len, int flags)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof(peer);
	int fd, rc;

	if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK))
		return -EINVAL;
	cancel_point();
	fd = (int)GUARDED(core()->accept(r, sa ? (struct sockaddr *)&peer : NULL, sa ? &size : NULL, flags));
	if (fd < 0 || !sa)
		return fd;
	rc = name_out(&peer, size, sa, len);
	if (rc)
		close(fd);
	return rc ? rc : fd;
}

int accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
	socklen_t room;
	struct fdref r;
	int saved = errno;
	int got;

	if (io_ours(fd, &r))
		return (int)finish(saved, r.kind == FD_SOCK ? accept_ours(&r, sa, len, flags) : -EBADF);
	room = sa ? room_at(len) : 0;
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

int connect(int fd, const struct sockaddr *sa, socklen_t len)
{
	struct fdref r;

	if (fdtab_is_kernel(fd) || address_is_bad(fd, sa, len))
		return REAL(connect)(fd, sa, len);
	cancel_point();
	return (int)OWNED(fd, r, own_connect(&r, sa, len), core()->connect(&r, sa, len), REAL(connect)(fd, sa, len));
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

typedef int name_call(const struct fdref *r, struct sockaddr *sa, socklen_t *len);

static int name_ours(const struct fdref *r, name_call *get, struct sockaddr *sa, socklen_t *len)
{
	struct sockaddr_storage name;
	socklen_t size = sizeof(name);
	int rc = r->kind == FD_SOCK ? (int)GUARDED(get(r, (struct sockaddr *)&name, &size)) : -EBADF;

	return rc ? rc : name_out(&name, size, sa, len);
}

int getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
	struct fdref r;
	int saved = errno;

	if (!io_ours(fd, &r)) {
		socklen_t room = room_at(len);

		return relay_name_fix(REAL(getsockname)(fd, sa, len), fd, false, sa, len, room);
	}
	return (int)finish(saved, name_ours(&r, core()->getsockname, sa, len));
}

int getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
	struct fdref r;
	int saved = errno;

	if (!io_ours(fd, &r)) {
		socklen_t room = room_at(len);

		return relay_name_fix(REAL(getpeername)(fd, sa, len), fd, true, sa, len, room);
	}
	return (int)finish(saved, name_ours(&r, core()->getpeername, sa, len));
}

/* ---- options ----------------------------------------------------------------------------------------------------------------
 */

/* Does the caller say something by what lies in the buffer? */
static bool getsockopt_in_out(int level, int name)
{
	return level == IPPROTO_TCP && name == TCP_ZEROCOPY_RECEIVE;
}

/* As sk_getsockopt(): what option it is comes before where the answer is to go. */
static int getsockopt_ours(const struct fdref *r, int level, int name, void *val, socklen_t *len)
{
	char answer[OPTION_ROOM];
	socklen_t size, room;
	int rc;

	if (user_copy(&size, len, sizeof(size)))
		return -EFAULT;
	room = size;
	if ((int)size > (int)sizeof(answer))
		size = sizeof(answer);
	if (getsockopt_in_out(level, name) && (int)size > 0 && user_copy(answer, val, size))
		return -EFAULT;
	rc = core()->getsockopt(r, level, name, answer, &size);
	/* Too little room: it says how much is needed (TCP_SAVED_SYN). */
	if (rc == -EINVAL && (int)room >= 0 && size != room && size != sizeof(answer) && user_copy(len, &size, sizeof(size)))
		return -EFAULT;
	if (rc < 0)
		return rc;
	return user_copy(len, &size, sizeof(size)) || user_copy(val, answer, size) ? -EFAULT : rc;
}

static int getsockopt_kernel(int fd, int level, int name, void *val, socklen_t *len)
{
	socklen_t room = room_at(len);

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

static int setsockopt_kernel(int fd, int level, int name, const void *val, socklen_t len)
{
	return relay_setsockopt_fix(REAL(setsockopt)(fd, level, name, val, len), fd, level);
}

/* As address_is_bad(); of what is longer than any option's value no more is looked at than the longest. */
static bool option_is_bad(int fd, const void *val, socklen_t len)
{
	const socklen_t most = sizeof(((struct early_opt *)0)->val);

	return ((int)len < 0 || user_readable(val, len < most ? len : most)) && fdtab_kind(fd) != FD_SPARE;
}

int setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
	struct fdref r;

	if (fdtab_is_kernel(fd) || option_is_bad(fd, val, len))
		return setsockopt_kernel(fd, level, name, val, len);
	return (int)OWNED(fd, r, own_setsockopt(&r, level, name, val, len), core()->setsockopt(&r, level, name, val, len),
			  setsockopt_kernel(fd, level, name, val, len));
}
