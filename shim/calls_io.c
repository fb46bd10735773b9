/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_io.c - reading and writing: read, recv, write, send and their vector, message, fortified and file forms.
 *
 * On a kernel descriptor each costs one look at the table.  Checks that Linux makes before it looks at the connection are made
 * here, in its order; what the connection says is the core's.  SIGPIPE is raised here, on the calling thread.
 */
#include "calls.h"

#include "cmsg.h"
#include "deadline.h"
#include "own.h"
#include "relay.h"
#include "user.h"

#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Linux's MAX_RW_COUNT: no single call moves more. */
#define RW_MAX ((size_t)INT_MAX & ~4095ul)

#ifndef RWF_NOWAIT
#define RWF_NOWAIT 0x08
#endif
/* HIPRI, DSYNC, SYNC, NOWAIT, APPEND: what sockets accept. */
#define RWF_KNOWN 0x1f

/* Total of a vector, or -errno as import_iovec(): EINVAL for its shape, EFAULT where it is not, or points beyond all memory. */
static ssize_t iov_total(const struct iovec *iov, size_t n)
{
	size_t total = 0;

	if (n > IOV_MAX)
		return -EINVAL;
	if (user_readable(iov, n * sizeof(*iov)))
		return -EFAULT;
	for (size_t i = 0; i < n; i++) {
		if ((ssize_t)iov[i].iov_len < 0)
			return -EINVAL;
		if (!user_range(iov[i].iov_base, iov[i].iov_len))
			return -EFAULT;
		total += iov[i].iov_len;
		if (total > RW_MAX)
			total = RW_MAX;
	}
	return (ssize_t)total;
}

/* What copy_msghdr_from_user() refuses, in its order. */
static int msg_check(const struct msghdr *msg)
{
	ssize_t total;

	if (user_readable(msg, sizeof(*msg)))
		return -EFAULT;
	if (msg->msg_name && (int)msg->msg_namelen < 0)
		return -EINVAL;
	if (msg->msg_iovlen > IOV_MAX)
		return -EMSGSIZE;
	total = iov_total(msg->msg_iov, msg->msg_iovlen);
	return total < 0 ? (int)total : 0;
}

/* As much of n bytes as the user has room for: how many, -EFAULT. */
static ssize_t scatter(const struct iovec *iov, int iovcnt, const char *from, size_t n)
{
	size_t done = 0;

	for (int i = 0; i < iovcnt && done < n; i++) {
		size_t part = iov[i].iov_len < n - done ? iov[i].iov_len : n - done;

		if (user_copy(iov[i].iov_base, from + done, part))
			return -EFAULT;
		done += part;
	}
	return (ssize_t)done;
}

/* The error queue: its data is what an error quotes of a packet. */
static ssize_t recv_queued(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags, struct recv_extra *x)
{
	char quote[RECV_QUOTE_MAX];
	ssize_t n, got;

	x->quote = quote;
	n = GUARDED(core()->recvmsg(r, iov, iovcnt, flags, x));
	if (n <= 0)
		return n;
	got = scatter(iov, iovcnt, quote, (size_t)n);
	x->cut = got < n;
	return got;
}

/* An error of the queue, for a call that has no room for what is beside its data. */
static __attribute__((cold)) ssize_t recv_unseen(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags)
{
	struct recv_extra unseen;

	return recv_queued(r, iov, iovcnt, flags, &unseen);
}

/* The data alone. */
static inline ssize_t recv_data(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags)
{
	if (__builtin_expect(r->kind != FD_SOCK, 0))
		return -EBADF;
	cancel_point();
	if (__builtin_expect(flags & MSG_ERRQUEUE, 0))
		return recv_unseen(r, iov, iovcnt, flags);
	return GUARDED(core()->recv(r, iov, iovcnt, flags));
}

/* ... and what is beside it. */
static ssize_t recv_ours(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags, struct recv_extra *x)
{
	if (r->kind != FD_SOCK)
		return -EBADF;
	cancel_point();
	if (flags & MSG_ERRQUEUE)
		return recv_queued(r, iov, iovcnt, flags, x);
	return GUARDED(core()->recvmsg(r, iov, iovcnt, flags, x));
}

/* As sk_stream_error(): a signal for this thread, unless it was declined. */
static inline ssize_t with_sigpipe(ssize_t n, int flags)
{
	if (__builtin_expect(n == -EPIPE, 0) && !(flags & MSG_NOSIGNAL))
		REAL(syscall)(SYS_tgkill, (long)getpid(), (long)gettid(), (long)SIGPIPE);
	return n;
}

static inline ssize_t send_ours(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags)
{
	if (__builtin_expect(r->kind != FD_SOCK, 0))
		return -EBADF;
	cancel_point();
	return with_sigpipe(GUARDED(core()->send(r, iov, iovcnt, flags)), flags);
}

/* MSG_FASTOPEN connects: on an undecided socket the address decides who does. */
static ssize_t fastopen(int fd, const struct msghdr *msg, int flags)
{
	int saved = errno, rc = msg_check(msg);
	ssize_t n = OWN_AGAIN;
	struct fdref r;

	if (!rc && msg->msg_namelen > sizeof(struct sockaddr_storage))
		rc = -EINVAL;
	if (!rc && msg->msg_name && user_readable(msg->msg_name, msg->msg_namelen))
		rc = -EFAULT;
	/* The engine copies into a SYN without a trap; Linux would connect first, and then say so. */
	for (size_t i = 0; !rc && i < msg->msg_iovlen; i++)
		rc = user_readable(msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
	if (rc)
		return fail(-rc);
	while (n == OWN_AGAIN && (r = fdtab_get(fd)).kind == FD_FRESH)
		n = GUARDED(own_fastopen(&r, msg, flags));
	if (n == OWN_AGAIN && r.kind == FD_SOCK)
		n = GUARDED(core()->fastopen(&r, msg, flags));
	if (n == OWN_AGAIN)
		return r.kind == FD_SPARE ? fail(EBADF) : REAL(sendmsg)(fd, msg, flags);
	return finish(saved, with_sigpipe(n, flags));
}

ssize_t io_recv(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags)
{
	int saved = errno;

	return finish(saved, recv_data(r, iov, iovcnt, flags));
}

ssize_t io_send(const struct fdref *r, const struct iovec *iov, int iovcnt, int flags)
{
	int saved = errno;

	return finish(saved, send_ours(r, iov, iovcnt, flags));
}

/* A socket of the engine's, and memory that is nothing special to any of the checks. */
static inline bool is_plain(const struct fdref *r, const void *buf, size_t n)
{
	return __builtin_expect(r->kind == FD_SOCK && n <= RW_MAX && (uintptr_t)buf <= USER_END - RW_MAX, 1);
}

/* One buffer is what most calls give: all of it in one piece. */
static inline ssize_t recv_buf(const struct fdref *r, void *buf, size_t n, int flags)
{
	struct iovec iov = {buf, n > RW_MAX ? RW_MAX : n};
	int saved = errno;

	if (__builtin_expect(!user_range(iov.iov_base, iov.iov_len), 0) && r->kind == FD_SOCK)
		return fail(EFAULT);
	return finish(saved, recv_data(r, &iov, 1, flags));
}

static inline ssize_t send_buf(const struct fdref *r, const void *buf, size_t n, int flags)
{
	struct iovec iov = {(void *)buf, n > RW_MAX ? RW_MAX : n};
	int saved = errno;

	if (__builtin_expect(!user_range(iov.iov_base, iov.iov_len), 0) && r->kind == FD_SOCK)
		return fail(EFAULT);
	return finish(saved, send_ours(r, &iov, 1, flags));
}

/* A vector as read and write calls take it: cut to RW_MAX by the core's counting in size_t; shape checked here. */
static ssize_t recv_iov(const struct fdref *r, const struct iovec *iov, int n, int flags)
{
	ssize_t total = r->kind == FD_SOCK ? iov_total(iov, (size_t)n) : -EBADF;

	if (total < 0)
		return fail((int)-total);
	/* sock_read_iter() returns before it looks at the connection. */
	return total ? io_recv(r, iov, n, flags) : 0;
}

static ssize_t send_iov(const struct fdref *r, const struct iovec *iov, int n, int flags)
{
	ssize_t total = r->kind == FD_SOCK ? iov_total(iov, (size_t)n) : -EBADF;

	return total < 0 ? fail((int)-total) : io_send(r, iov, n, flags);
}

/* ---- receiving --------------------------------------------------------------------------------------------------------------
 */

static inline ssize_t read_ours(const struct fdref *r, void *buf, size_t n)
{
	/* vfs_read() looks at the whole length, recv() at what it may be cut to. */
	if (r->kind == FD_SOCK && !user_range(buf, n))
		return fail(EFAULT);
	return n || r->kind != FD_SOCK ? recv_buf(r, buf, n, 0) : 0;
}

/*
 * The four calls that programs make most are split in three, so that on kernel descriptors no stack frame is built, a look at the
 * table and a jump, and what is rarely met costs the engine's sockets none either.
 */
static __attribute__((noinline)) ssize_t read_oddly(int fd, void *buf, size_t n)
{
	struct fdref r;

	return io_ours(fd, &r) ? read_ours(&r, buf, n) : REAL(read)(fd, buf, n);
}

static __attribute__((noinline)) ssize_t read_listed(int fd, void *buf, size_t n)
{
	struct fdref r = fdtab_get(fd);

	return n && is_plain(&r, buf, n) ? recv_buf(&r, buf, n, 0) : read_oddly(fd, buf, n);
}

ssize_t read(int fd, void *buf, size_t n)
{
	return fdtab_is_kernel(fd) ? real.read(fd, buf, n) : read_listed(fd, buf, n);
}

ssize_t __read_chk(int fd, void *buf, size_t n, size_t buflen)
{
	struct fdref r;

	if (!io_ours(fd, &r))
		return REAL(__read_chk)(fd, buf, n, buflen);
	if (n > buflen)
		__chk_fail();
	return read_ours(&r, buf, n);
}

ssize_t readv(int fd, const struct iovec *iov, int iovcnt)
{
	struct fdref r;

	return io_ours(fd, &r) ? recv_iov(&r, iov, iovcnt, 0) : REAL(readv)(fd, iov, iovcnt);
}

/* preadv2 and pwritev2 with offset -1 are readv and writev with flags; with any other the kernel says what is wrong. */
static int rwf_to_msg(int flags, int *msg)
{
	if (flags & ~RWF_KNOWN)
		return -EOPNOTSUPP;
	*msg = flags & RWF_NOWAIT ? MSG_DONTWAIT : 0;
	return 0;
}

ssize_t preadv64v2(int fd, const struct iovec *iov, int iovcnt, __off64_t off, int flags)
{
	struct fdref r;
	int msg = 0;

	if (!io_ours(fd, &r) || (off != -1 && r.kind == FD_SOCK))
		return REAL(preadv64v2)(fd, iov, iovcnt, off, flags);
	if (r.kind == FD_SOCK && rwf_to_msg(flags, &msg) < 0)
		return fail(EOPNOTSUPP);
	return recv_iov(&r, iov, iovcnt, msg);
}

ssize_t preadv2(int fd, const struct iovec *iov, int iovcnt, __off_t off, int flags)
{
	return preadv64v2(fd, iov, iovcnt, off, flags);
}

static __attribute__((noinline)) ssize_t recv_oddly(int fd, void *buf, size_t n, int flags)
{
	struct fdref r;

	return io_ours(fd, &r) ? recv_buf(&r, buf, n, flags) : REAL(recv)(fd, buf, n, flags);
}

static __attribute__((noinline)) ssize_t recv_listed(int fd, void *buf, size_t n, int flags)
{
	struct fdref r = fdtab_get(fd);

	return is_plain(&r, buf, n) ? recv_buf(&r, buf, n, flags) : recv_oddly(fd, buf, n, flags);
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
	return fdtab_is_kernel(fd) ? REAL(recv)(fd, buf, n, flags) : recv_listed(fd, buf, n, flags);
}

ssize_t __recv_chk(int fd, void *buf, size_t n, size_t buflen, int flags)
{
	struct fdref r;

	if (!io_ours(fd, &r))
		return REAL(__recv_chk)(fd, buf, n, buflen, flags);
	if (n > buflen)
		__chk_fail();
	return recv_buf(&r, buf, n, flags);
}

/* As move_addr_to_user(): TCP names no sender, an entry of the error queue whom its packet was for. */
static int give_name(struct msghdr *msg, const struct recv_extra *x)
{
	socklen_t room = msg->msg_namelen;

	if (!msg->msg_name)
		return 0;
	msg->msg_namelen = x->to_len;
	return user_copy(msg->msg_name, &x->to, room < x->to_len ? room : x->to_len);
}

static ssize_t recvmsg_ours(const struct fdref *r, struct msghdr *msg, int flags)
{
	int rc = r->kind == FD_SOCK ? msg_check(msg) : -EBADF;
	struct recv_extra x = {0};
	ssize_t n;

	if (rc)
		return rc;
	n = recv_ours(r, msg->msg_iov, (int)msg->msg_iovlen, flags, &x);
	if (n < 0)
		return n;
	if (user_writable(msg, sizeof(*msg)) || give_name(msg, &x))
		return -EFAULT;
	msg->msg_flags = (flags & MSG_CMSG_CLOEXEC) | (flags & MSG_OOB) | (x.cut ? MSG_TRUNC : 0);
	cmsg_write(msg, &x);
	return n;
}

/* recvfrom() with MSG_ERRQUEUE. */
static ssize_t recvfrom_queue(const struct fdref *r, struct iovec iov, int flags, struct sockaddr *sa, socklen_t *len)
{
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_name = sa};
	ssize_t n;

	if (user_copy(&msg.msg_namelen, len, sizeof(*len)))
		return -EFAULT;
	n = recvmsg_ours(r, &msg, flags);
	return n >= 0 && user_copy(len, &msg.msg_namelen, sizeof(*len)) ? -EFAULT : n;
}

/* TCP names no sender: the length becomes 0 (tcp_recvmsg sets none, move_addr_to_user() copies that, the bytes being taken). */
static ssize_t recvfrom_ours(const struct fdref *r, struct iovec iov, int flags, struct sockaddr *sa, socklen_t *len)
{
	const socklen_t none = 0;
	int saved = errno;
	socklen_t room;
	ssize_t n;

	if ((flags & MSG_ERRQUEUE) && sa)
		return finish(saved, recvfrom_queue(r, iov, flags, sa, len));
	n = recv_buf(r, iov.iov_base, iov.iov_len, flags);
	if (n < 0 || !sa)
		return n;
	if (user_copy(&room, len, sizeof(room)))
		return fail(EFAULT);
	if ((int)room < 0)
		return fail(EINVAL);
	return user_copy(len, &none, sizeof(none)) ? fail(EFAULT) : n;
}

ssize_t recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *sa, socklen_t *len)
{
	struct fdref r;

	if (!io_ours(fd, &r))
		return REAL(recvfrom)(fd, buf, n, flags, sa, len);
	return recvfrom_ours(&r, (struct iovec){buf, n}, flags, sa, len);
}

ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t buflen, int flags, struct sockaddr *sa, socklen_t *len)
{
	struct fdref r;

	if (!io_ours(fd, &r))
		return REAL(__recvfrom_chk)(fd, buf, n, buflen, flags, sa, len);
	if (n > buflen)
		__chk_fail();
	return recvfrom_ours(&r, (struct iovec){buf, n}, flags, sa, len);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct fdref r;
	int saved = errno;

	if (!io_ours(fd, &r))
		return REAL(recvmsg)(fd, msg, flags);
	return finish(saved, recvmsg_ours(&r, msg, flags));
}

/* What an earlier call, or the network, left behind: taken (SO_ERROR). */
static int pending_error(const struct fdref *r)
{
	socklen_t len = sizeof(int);
	int err = 0;

	return core()->getsockopt(r, SOL_SOCKET, SO_ERROR, &err, &len) ? 0 : err;
}

/* recvmmsg(2)'s time-out is looked at after each message only, on Linux too: a blocking call waits for ever for the first. */
static int recvmmsg_ours(const struct fdref *r, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
{
	struct timespec left = {0};
	struct deadline end;
	unsigned done = 0;
	ssize_t got = 0;

	if (timeout && user_copy(&left, timeout, sizeof(left)))
		return -EFAULT;
	if (!timespec_valid(&left))
		return -EINVAL;
	if (r->kind != FD_SOCK)
		return -EBADF;
	got = flags & MSG_ERRQUEUE ? 0 : -pending_error(r);
	if (got)
		return (int)got;
	end = deadline_in(timeout ? &left : NULL);
	while (done < n) {
		got = recvmsg_ours(r, &msgs[done].msg_hdr, flags & ~MSG_WAITFORONE);
		if (got < 0)
			break;
		msgs[done++].msg_len = (unsigned)got;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
		if (deadline_left(&end, &left) && !left.tv_sec && !left.tv_nsec)
			break;
		/* Urgent data ends it. */
		if (msgs[done - 1].msg_hdr.msg_flags & MSG_OOB)
			break;
	}
	/* The call succeeded: the error is the next one's. */
	if (done && got < 0 && got != -EAGAIN)
		core()->fail_next(r, (int)-got);
	if (timeout && done && user_copy(timeout, &left, sizeof(left)))
		return -EFAULT;
	return done ? (int)done : (int)got;
}

int recvmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags, struct timespec *timeout)
{
	struct fdref r;
	int saved = errno;

	if (!io_ours(fd, &r))
		return REAL(recvmmsg)(fd, msgs, n, flags, timeout);
	return (int)finish(saved, recvmmsg_ours(&r, msgs, n, flags, timeout));
}

/* ---- sending ----------------------------------------------------------------------------------------------------------------
 */

static __attribute__((noinline)) ssize_t write_oddly(int fd, const void *buf, size_t n)
{
	struct fdref r;

	if (!io_ours(fd, &r))
		return REAL(write)(fd, buf, n);
	return r.kind == FD_SOCK && !user_range(buf, n) ? fail(EFAULT) : send_buf(&r, buf, n, 0);
}

static __attribute__((noinline)) ssize_t write_listed(int fd, const void *buf, size_t n)
{
	struct fdref r = fdtab_get(fd);

	return is_plain(&r, buf, n) ? send_buf(&r, buf, n, 0) : write_oddly(fd, buf, n);
}

ssize_t write(int fd, const void *buf, size_t n)
{
	return fdtab_is_kernel(fd) ? real.write(fd, buf, n) : write_listed(fd, buf, n);
}

ssize_t writev(int fd, const struct iovec *iov, int iovcnt)
{
	struct fdref r;

	return io_ours(fd, &r) ? send_iov(&r, iov, iovcnt, 0) : REAL(writev)(fd, iov, iovcnt);
}

ssize_t pwritev64v2(int fd, const struct iovec *iov, int iovcnt, __off64_t off, int flags)
{
	struct fdref r;
	int msg = 0;

	if (!io_ours(fd, &r) || (off != -1 && r.kind == FD_SOCK))
		return REAL(pwritev64v2)(fd, iov, iovcnt, off, flags);
	if (r.kind == FD_SOCK && rwf_to_msg(flags, &msg) < 0)
		return fail(EOPNOTSUPP);
	return send_iov(&r, iov, iovcnt, msg);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int iovcnt, __off_t off, int flags)
{
	return pwritev64v2(fd, iov, iovcnt, off, flags);
}

static __attribute__((noinline)) ssize_t send_oddly(int fd, const void *buf, size_t n, int flags)
{
	struct fdref r;

	return io_ours(fd, &r) ? send_buf(&r, buf, n, flags) : REAL(send)(fd, buf, n, flags);
}

static __attribute__((noinline)) ssize_t send_listed(int fd, const void *buf, size_t n, int flags)
{
	struct fdref r = fdtab_get(fd);

	return is_plain(&r, buf, n) ? send_buf(&r, buf, n, flags) : send_oddly(fd, buf, n, flags);
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
	return fdtab_is_kernel(fd) ? REAL(send)(fd, buf, n, flags) : send_listed(fd, buf, n, flags);
}

/* TCP ignores the address of a connected socket, except for its length. */
ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *sa, socklen_t len)
{
	struct fdref r;

	if ((flags & MSG_FASTOPEN) && !fdtab_is_kernel(fd)) {
		struct iovec iov = {(void *)buf, n > RW_MAX ? RW_MAX : n};
		struct msghdr msg = {.msg_name = (void *)sa, .msg_namelen = sa ? len : 0, .msg_iov = &iov, .msg_iovlen = 1};

		return fastopen(fd, &msg, flags);
	}
	if (!io_ours(fd, &r))
		return REAL(sendto)(fd, buf, n, flags, sa, len);
	if (sa && len > sizeof(struct sockaddr_storage) && r.kind == FD_SOCK)
		return fail(EINVAL);
	if (sa && r.kind == FD_SOCK && user_readable(sa, len))
		return fail(EFAULT);
	return send_buf(&r, buf, n, flags);
}

static ssize_t sendmsg_ours(const struct fdref *r, const struct msghdr *msg, int flags)
{
	int rc = r->kind == FD_SOCK ? msg_check(msg) : -EBADF;

	if (!rc && msg->msg_name && user_readable(msg->msg_name, msg->msg_namelen))
		rc = -EFAULT;
	if (!rc)
		rc = cmsg_check(msg);
	return rc ? rc : send_ours(r, msg->msg_iov, (int)msg->msg_iovlen, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct fdref r;
	int saved = errno;

	if ((flags & MSG_FASTOPEN) && !fdtab_is_kernel(fd))
		return fastopen(fd, msg, flags);
	if (!io_ours(fd, &r))
		return relay_needed(msg) ? relay_sendmsg(fd, msg, flags) : REAL(sendmsg)(fd, msg, flags);
	return finish(saved, sendmsg_ours(&r, msg, flags));
}

static int sendmmsg_ours(const struct fdref *r, struct mmsghdr *msgs, unsigned n, int flags)
{
	unsigned done = 0;
	ssize_t sent = 0;

	if (r->kind != FD_SOCK)
		return -EBADF;
	for (n = n > IOV_MAX ? IOV_MAX : n; done < n; done++) {
		sent = sendmsg_ours(r, &msgs[done].msg_hdr, flags);
		if (sent < 0)
			break;
		if (user_writable(&msgs[done].msg_len, sizeof(msgs[done].msg_len)))
			return done ? (int)done : -EFAULT;
		msgs[done].msg_len = (unsigned)sent;
		/* A message that went only in part ends the batch (___sys_sendmsg's msg_data_left). */
		if (sent < iov_total(msgs[done].msg_hdr.msg_iov, msgs[done].msg_hdr.msg_iovlen))
			return (int)done + 1;
	}
	return done ? (int)done : (int)sent;
}

int sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	struct fdref r;
	int saved = errno;

	if (!io_ours(fd, &r))
		return relay_needed_by_any(msgs, n) ? relay_sendmmsg(fd, msgs, n, flags) : REAL(sendmmsg)(fd, msgs, n, flags);
	return (int)finish(saved, sendmmsg_ours(&r, msgs, n, flags));
}
