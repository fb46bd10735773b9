/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fakecore.c - a libmtcpshim-core.so without an engine: see fake.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "shim/core.h"
#include "shim/fdtab.h"
#include "shim/guard.h"
#include "tests/thin/fake.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define SOCKS 256
#define BUFFER 65536

struct sock {
	uint32_t gen;
	int refs, family;
	bool nonblock, connected;
	size_t len;
	char buf[BUFFER];
};

static struct sock socks[SOCKS];
static struct fake_calls *calls;
static const struct thin_ops *thin;

__attribute__((visibility("default"))) struct fake_calls *fake_calls(void)
{
	return calls;
}

/* Several threads call. */
#define COUNT(what) __atomic_add_fetch(&calls->what, 1, __ATOMIC_RELAXED)

static struct sock *find(const struct fdref *r)
{
	struct sock *s = r->obj;

	return s->refs && s->gen == r->gen ? s : NULL;
}

static int env_error(const char *name)
{
	const char *v = getenv(name);

	return v ? atoi(v) : 0;
}

static int fake_up(void)
{
	int err = env_error(FAKE_UP);

	COUNT(up);
	if (err)
		thin->log(0, "the fake engine does not start: %s", strerror(-err));
	return err;
}

static struct sock *make(int family, bool nonblock, uint32_t *gen)
{
	for (unsigned i = 0; i < SOCKS; i++) {
		struct sock *s = &socks[i];
		int none = 0;

		if (!__atomic_compare_exchange_n(&s->refs, &none, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			continue;
		s->family = family;
		s->nonblock = nonblock;
		s->connected = false;
		s->len = 0;
		*gen = ++s->gen;
		return s;
	}
	return NULL;
}

static struct sock *fake_take(int fd, const struct fresh_info *fresh, uint32_t *gen, int *err)
{
	COUNT(take);
	calls->nopts = fresh->nopts;
	calls->nonblock = fresh->nonblock;
	*err = env_error(FAKE_TAKE);
	return *err ? NULL : make(fresh->family, fresh->nonblock, gen);
}

static uint16_t port_of(const struct sockaddr *sa)
{
	return ntohs(sa->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_port
					       : ((const struct sockaddr_in *)sa)->sin_port);
}

static int fake_bind(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	COUNT(bind);
	calls->port = port_of(sa);
	/* One port is always taken: what a refusal does can be tried. */
	return !find(r) ? -EBADF : calls->port == 1 ? -EADDRINUSE : 0;
}

static int fake_listen(const struct fdref *r, int backlog, bool kernel_too)
{
	COUNT(listen);
	calls->backlog = backlog;
	calls->kernel_too = kernel_too;
	return find(r) ? 0 : -EBADF;
}

static bool fake_listens(const struct sockaddr *sa, socklen_t len)
{
	return true;
}

static bool fake_port_used(const struct sockaddr *sa, socklen_t len)
{
	return false;
}

static int fake_connect(const struct fdref *r, const struct sockaddr *sa, socklen_t len)
{
	struct sock *s = find(r);

	COUNT(connect);
	calls->port = port_of(sa);
	if (!s)
		return -EBADF;
	s->connected = true;
	return s->nonblock ? -EINPROGRESS : 0;
}

static int fake_accept(const struct fdref *r, struct sockaddr *sa, socklen_t *len, int flags)
{
	struct sock *l = find(r);
	uint32_t gen;
	struct sock *s;
	int fd;

	COUNT(accept);
	calls->flags = flags;
	if (!l)
		return -EBADF;
	fd = thin->placeholder_get(l->family, flags & SOCK_CLOEXEC, PLACEHOLDER_ANY);
	if (fd < 0)
		return fd;
	s = make(l->family, flags & SOCK_NONBLOCK, &gen);
	s->connected = true;
	thin->fd_set(fd, FD_SOCK, s, gen);
	return fd;
}

static int fake_shutdown(const struct fdref *r, int how)
{
	COUNT(shutdown);
	return how < 0 || how > 2 ? -EINVAL : 0;
}

static void fake_retain(const struct fdref *r)
{
	struct sock *s = find(r);

	COUNT(retain);
	if (s)
		__atomic_add_fetch(&s->refs, 1, __ATOMIC_ACQ_REL);
}

static int fake_release(const struct fdref *r, bool *pristine)
{
	struct sock *s = find(r);

	COUNT(release);
	*pristine = s && __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0;
	return s ? 0 : -EBADF;
}

static ssize_t fake_recv(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags)
{
	struct sock *s = find(r);
	size_t done = 0;

	COUNT(recv);
	calls->flags = flags;
	if (!s)
		return -EBADF;
	if (calls->raises) {
		raise(calls->raises);
		calls->raises = 0;
		if (calls->restarts)
			return GUARD_RESTART;
	}
	if (!s->len)
		return -EAGAIN;
	for (int i = 0; i < iovcnt && done < s->len; i++) {
		size_t n = iov[i].iov_len < s->len - done ? iov[i].iov_len : s->len - done;

		if (!(flags & MSG_TRUNC))
			memcpy(iov[i].iov_base, s->buf + done, n);
		done += n;
	}
	if (!(flags & MSG_PEEK)) {
		memmove(s->buf, s->buf + done, s->len - done);
		s->len -= done;
	}
	return (ssize_t)done;
}

/* Nothing was asked for beside the data, and no error is queued. */
static ssize_t fake_recvmsg(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags, struct recv_extra *x)
{
	*x = (struct recv_extra){0};
	return flags & MSG_ERRQUEUE ? -EAGAIN : fake_recv(r, iov, iovcnt, flags);
}

static void fake_fail_next(const struct fdref *r, int err)
{
}

static ssize_t fake_send(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags)
{
	struct sock *s = find(r);
	size_t done = 0;

	COUNT(send);
	calls->flags = flags;
	if (!s)
		return -EBADF;
	if (!s->connected)
		return -EPIPE;
	for (int i = 0; i < iovcnt; i++) {
		size_t n = iov[i].iov_len < BUFFER - s->len ? iov[i].iov_len : BUFFER - s->len;

		memcpy(s->buf + s->len, iov[i].iov_base, n);
		s->len += n;
		done += n;
	}
	calls->iov_bytes = done;
	return done || !iovcnt || !iov[0].iov_len ? (ssize_t)done : -EAGAIN;
}

static ssize_t fake_fastopen(const struct fdref *r, const struct msghdr *msg, int flags)
{
	int rc = fake_connect(r, msg->msg_name, msg->msg_namelen);

	return rc ? rc : fake_send(r, msg->msg_iov, (int)msg->msg_iovlen, flags & ~MSG_FASTOPEN);
}

static int fake_getsockopt(const struct fdref *r, int level, int name, void *val, socklen_t *len)
{
	COUNT(getsockopt);
	calls->option = name;
	/* No error waits; anything else is something that only we would say. */
	*(int *)val = name == SO_ERROR ? 0 : 99;
	*len = sizeof(int);
	return 0;
}

static int fake_setsockopt(const struct fdref *r, int level, int name, const void *val, socklen_t len)
{
	COUNT(setsockopt);
	calls->option = name;
	return name == 9999 ? -ENOPROTOOPT : 0;
}

static int give_name(struct sockaddr *sa, socklen_t *len, uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

	memcpy(sa, &in, *len < sizeof(in) ? *len : sizeof(in));
	*len = sizeof(in);
	return 0;
}

static int fake_getsockname(const struct fdref *r, struct sockaddr *sa, socklen_t *len)
{
	COUNT(getsockname);
	return give_name(sa, len, 1111);
}

static int fake_getpeername(const struct fdref *r, struct sockaddr *sa, socklen_t *len)
{
	COUNT(getpeername);
	return find(r)->connected ? give_name(sa, len, 2222) : -ENOTCONN;
}

static int fake_ioctl(const struct fdref *r, unsigned long request, int *value)
{
	struct sock *s = find(r);

	COUNT(ioctl);
	switch (request) {
	case FIONREAD:
		*value = (int)s->len;
		return 0;
	case FIONBIO:
		s->nonblock = *value;
		return 0;
	default:
		return -ENOTTY;
	}
}

static void **fake_copying(void)
{
	return NULL;
}

static int fake_getfl(const struct fdref *r)
{
	COUNT(getfl);
	return O_RDWR | (find(r)->nonblock ? O_NONBLOCK : 0);
}

static int fake_setfl(const struct fdref *r, int flags)
{
	COUNT(setfl);
	find(r)->nonblock = flags & O_NONBLOCK;
	return 0;
}

static void fake_sigio(const struct fdref *r)
{
	COUNT(sigio);
}

/* Engine sockets are always writable, and readable when they hold something. */
static int fake_poll(struct pollfd *fds, nfds_t n, struct timespec *timeout, const sigset_t *sigmask)
{
	int found = 0;

	/* As the core does: what is left. */
	if (timeout && timeout->tv_sec > 0)
		*timeout = (struct timespec){.tv_sec = timeout->tv_sec - 1, .tv_nsec = 999999000};
	COUNT(poll);
	for (nfds_t i = 0; i < n; i++) {
		struct fdref r = fdtab_get_in(thin->fds, fds[i].fd);
		struct sock *s = r.kind == FD_SOCK ? find(&r) : NULL;

		fds[i].revents = 0;
		if (s)
			fds[i].revents = (short)(fds[i].events & (POLLOUT | POLLWRNORM | (s->len ? POLLIN | POLLRDNORM : 0)));
		else if (fds[i].fd >= 0)
			thin->real->poll(&fds[i], 1, 0);
		found += fds[i].revents != 0;
	}
	return found;
}

/* Of engine sockets alone. */
static int fake_select(const struct sets *s, unsigned long (*found)[SET_KINDS])
{
	int count = 0;

	COUNT(select);
	memset(found, 0, (size_t)(s->n + LONG_BITS - 1) / LONG_BITS * sizeof(*found));
	for (int bit = 0; bit < s->n; bit++) {
		unsigned long in = sets_word(s, SET_IN, bit) >> bit % LONG_BITS & 1;
		unsigned long out = sets_word(s, SET_OUT, bit) >> bit % LONG_BITS & 1;
		struct fdref r = fdtab_get_in(thin->fds, bit);

		if ((in || out) && r.kind != FD_SOCK)
			return 0;
		in &= in && find(&r)->len;
		found[bit / LONG_BITS][SET_IN] |= in << bit % LONG_BITS;
		found[bit / LONG_BITS][SET_OUT] |= out << bit % LONG_BITS;
		count += (int)(in + out);
	}
	return count;
}

static int fake_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
	static int set;
	struct fdref r = fdtab_get_in(thin->fds, epfd);

	COUNT(epoll_ctl);
	if (!r.obj)
		thin->epoll_set(&r, &set, 7);
	return op == 99 ? -EINVAL : 0;
}

static int fake_epoll_wait(int epfd, struct epoll_event *evs, int max, const struct timespec *timeout, const sigset_t *sigmask)
{
	COUNT(epoll_wait);
	evs[0] = (struct epoll_event){.events = EPOLLIN, .data.u64 = FAKE_EVENT_DATA};
	return 1;
}

static void fake_threads_up(void)
{
	COUNT(threads_up);
}

static void fake_epoll_retain(const struct fdref *r)
{
	COUNT(epoll_retain);
}

static void fake_epoll_release(const struct fdref *r)
{
	COUNT(epoll_release);
}

static void fake_cancelled(pthread_t thread)
{
	COUNT(cancelled);
}

static void fake_fd_closing(int fd)
{
	COUNT(fd_closing);
	calls->closing = fd;
}

static void fake_describe(const struct fdref *r, char *buf, size_t size)
{
	snprintf(buf, size, "fake");
}

static void fake_exiting(void)
{
	COUNT(exiting);
}

static unsigned fake_holders(const struct fdref *r)
{
	return 1;
}

static bool fake_fork_child(void)
{
	return false;
}

static void fake_fork(void)
{
}

static void fake_birth(bool (*keeps)(const void *sock))
{
}

__attribute__((visibility("default"))) const struct core_ops *mtcpshim_core(const struct thin_ops *ops)
{
	static const struct core_ops fake = {
	    .abi = CORE_ABI,
	    .engine_up = fake_up,
	    .take = fake_take,
	    .bind = fake_bind,
	    .listen = fake_listen,
	    .connect = fake_connect,
	    .listens = fake_listens,
	    .port_used = fake_port_used,
	    .accept = fake_accept,
	    .shutdown = fake_shutdown,
	    .retain = fake_retain,
	    .release = fake_release,
	    .recv = fake_recv,
	    .fail_next = fake_fail_next,
	    .recvmsg = fake_recvmsg,
	    .send = fake_send,
	    .fastopen = fake_fastopen,
	    .getsockopt = fake_getsockopt,
	    .setsockopt = fake_setsockopt,
	    .getsockname = fake_getsockname,
	    .getpeername = fake_getpeername,
	    .ioctl = fake_ioctl,
	    .holders = fake_holders,
	    .getfl = fake_getfl,
	    .setfl = fake_setfl,
	    .sigio = fake_sigio,
	    .poll = fake_poll,
	    .select = fake_select,
	    .epoll_ctl = fake_epoll_ctl,
	    .epoll_wait = fake_epoll_wait,
	    .epoll_retain = fake_epoll_retain,
	    .threads_up = fake_threads_up,
	    .epoll_release = fake_epoll_release,
	    .cancelled = fake_cancelled,
	    .fd_closing = fake_fd_closing,
	    .copying = fake_copying,
	    .describe = fake_describe,
	    .exiting = fake_exiting,
	    .fork_prepare = fake_fork,
	    .fork_parent = fake_fork,
	    .fork_child = fake_fork_child,
	    .exec_begin = fake_fork,
	    .exec_failed = fake_fork,
	    .birth_begin = fake_birth,
	    .birth_end = fake_fork,
	};

	thin = ops;
	calls = mmap(NULL, sizeof(*calls), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return calls == MAP_FAILED ? NULL : &fake;
}
