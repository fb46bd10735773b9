/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_by_symbol.c - one function per intercepted symbol: does it reach the core with what it was given, and come back with what
 * the core said?  The table at the end is made from intercept.def: a symbol without a function here fails.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#undef _FORTIFY_SOURCE
#include "tests/thin/scenarios.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the kernel says of wrong arguments is tested with wrong arguments. */
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"

ssize_t __read_chk(int fd, void *buf, size_t n, size_t buflen);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t buflen, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t buflen, int flags, struct sockaddr *sa, socklen_t *len);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t fdslen);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t fdslen);
int __dprintf_chk(int fd, int flag, const char *format, ...);
int __vdprintf_chk(int fd, int flag, const char *format, va_list ap);

static struct fake_calls *c;
static int s; /* an engine socket, new for each symbol */
static char buf[256];

#define TEXT "hello, engine"
#define LEN ((ssize_t)sizeof(TEXT) - 1)

static void put(void)
{
	CHECK(send(s, TEXT, LEN, 0) == LEN);
	memset(buf, 0, sizeof(buf));
}

/* A receiving call returned n: the whole text, once. */
static void got(ssize_t n)
{
	CHECK(n == LEN && !memcmp(buf, TEXT, LEN));
	CHECK_FAILS(recv(s, buf, 1, 0), EAGAIN);
}

/* A sending call returned n: the text is in the socket. */
static void sent(ssize_t n)
{
	CHECK(n == LEN);
	memset(buf, 0, sizeof(buf));
	got(recv(s, buf, sizeof(buf), 0));
}

/* Does f() abort the process? */
static void aborts(void (*f)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		CHECK(freopen("/dev/null", "w", stderr));
		signal(SIGABRT, SIG_DFL);
		f();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* ---- sockets ----------------------------------------------------------------------------------------------------------------
 */

static void t_socket(void)
{
	unsigned taken = c->take;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	struct sockaddr_in to = v4(ENGINE_PEER, 7);
	int udp = socket(AF_INET, SOCK_DGRAM, 0);

	CHECK(fd >= 0 && udp >= 0);
	CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(c->take == taken);
	CHECK_FAILS(connect(fd, (struct sockaddr *)&to, sizeof(to)), EINPROGRESS);
	CHECK(c->take == taken + 1 && c->nonblock);
	CHECK(connect(udp, (struct sockaddr *)&to, sizeof(to)) < 0 || c->take == taken + 1);
	CHECK_FAILS(socket(AF_INET, 0x7777, 0), EINVAL);
	close(fd);
	close(udp);
}

static void t_socketpair(void)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(write(pair[0], "x", 1) == 1 && read(pair[1], buf, 1) == 1);
	close(pair[0]);
	close(pair[1]);
}

static void t_bind(void)
{
	struct sockaddr_in mine = v4(ENGINE_ADDR, 4711), any = v4("0.0.0.0", 0), taken = v4(ENGINE_ADDR, 1);
	int fd = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
	unsigned binds = c->bind;

	CHECK(bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0);
	CHECK(c->bind == binds); /* nobody's yet */
	CHECK(bind(other, (struct sockaddr *)&mine, sizeof(mine)) == 0);
	CHECK(c->bind == binds + 1 && c->port == 4711);
	close(fd);
	/* The kernel reserves the port ... */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_FAILS(bind(fd, (struct sockaddr *)&mine, sizeof(mine)), EADDRINUSE);
	close(other);
	CHECK(bind(fd, (struct sockaddr *)&mine, sizeof(mine)) == 0);
	close(fd);
	/* ... and lets go of one that the engine refuses. */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&taken, sizeof(taken)) < 0 && errno == EADDRINUSE) {
		other = socket(AF_INET, SOCK_STREAM, 0);
		any.sin_port = htons(1);
		CHECK(bind(other, (struct sockaddr *)&any, sizeof(any)) == 0);
		close(other);
	} else {
		CHECK(errno == EACCES); /* not root */
	}
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_FAILS(bind(fd, (struct sockaddr *)&mine, 4), EINVAL);
	CHECK_FAILS(bind(fd, NULL, 16), EFAULT);
	close(fd);
}

static void t_listen(void)
{
	struct sockaddr_in mine = v4(ENGINE_ADDR, 0);
	int any = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0), on;
	socklen_t len = sizeof(on);

	CHECK(listen(any, INT_MAX) == 0);
	CHECK(c->kernel_too && c->backlog == INT_MAX && c->port != 0);
	CHECK(syscall(SYS_getpid) == getpid());
	CHECK(listen(any, 3) == 0 && c->kernel_too && c->backlog == 3);
	CHECK(bind(fd, (struct sockaddr *)&mine, sizeof(mine)) == 0 && listen(fd, -1) == 0);
	CHECK(!c->kernel_too && c->backlog == -1);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on == 99);
	close(any);
	close(fd);
}

static int listener(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	CHECK(listen(fd, 1) == 0);
	return fd;
}

static void accept_by(int (*how)(int fd, int flags))
{
	int l = listener(), fd = how(l, SOCK_CLOEXEC);

	CHECK(fd >= 0 && write(fd, TEXT, LEN) == LEN && read(fd, buf, sizeof(buf)) == LEN);
	close(fd);
	close(l);
}

static int plain_accept(int fd, int flags)
{
	socklen_t len = 16;

	CHECK_FAILS(accept(fd, (struct sockaddr *)buf, NULL), EFAULT);
	CHECK_FAILS(accept(fd, (struct sockaddr *)buf, &(socklen_t){-1}), EINVAL);
	return accept(fd, (struct sockaddr *)buf, &len);
}

static void t_accept(void)
{
	accept_by(plain_accept);
	CHECK(c->flags == 0);
}

static int flagged_accept(int fd, int flags)
{
	int got;

	CHECK_FAILS(accept4(fd, NULL, NULL, 0x1234), EINVAL);
	got = accept4(fd, NULL, NULL, flags);
	CHECK(c->flags == flags && fcntl(got, F_GETFD) == FD_CLOEXEC);
	return got;
}

static void t_accept4(void)
{
	accept_by(flagged_accept);
}

static void t_connect(void)
{
	struct sockaddr_in to = v4(ENGINE_PEER, 80), lo = v4("127.0.0.1", 1);
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(81)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	unsigned n = c->connect;

	CHECK_FAILS(connect(fd, (struct sockaddr *)&to, 3), EINVAL);
	CHECK_FAILS(connect(fd, NULL, sizeof(to)), EFAULT);
	CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && c->connect == n + 1 && c->port == 80);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK_FAILS(connect(fd, (struct sockaddr *)&lo, sizeof(lo)), ECONNREFUSED);
	CHECK(c->connect == n + 1);
	close(fd);
	memcpy(&mapped.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xcb\x00\x71\x09", 16);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	CHECK(connect(fd, (struct sockaddr *)&mapped, sizeof(mapped)) == 0 && c->connect == n + 2 && c->port == 81);
	close(fd);
	/* IPv6 only: no business of the engine's. */
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	CHECK(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)) == 0);
	CHECK_FAILS(connect(fd, (struct sockaddr *)&mapped, sizeof(mapped)), ENETUNREACH);
	CHECK(c->connect == n + 2);
	close(fd);
}

static void t_shutdown(void)
{
	unsigned n = c->shutdown;

	CHECK(shutdown(s, SHUT_WR) == 0 && c->shutdown == n + 1);
	CHECK_FAILS(shutdown(s, 3), EINVAL);
}

static void t_getsockname(void)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);

	CHECK(getsockname(s, (struct sockaddr *)&in, &len) == 0 && len == 16 && ntohs(in.sin_port) == 1111);
	len = 0;
	CHECK(getsockname(s, NULL, &len) == 0 && len == 16);
	CHECK_FAILS(getsockname(s, NULL, &len), EFAULT);
	CHECK_FAILS(getsockname(s, (struct sockaddr *)&in, NULL), EFAULT);
	len = -1;
	CHECK_FAILS(getsockname(s, (struct sockaddr *)&in, &len), EINVAL);
}

static void t_getpeername(void)
{
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	int l = listener();

	CHECK(getpeername(s, (struct sockaddr *)&in, &len) == 0 && ntohs(in.sin_port) == 2222);
	len = -1;
	CHECK_FAILS(getpeername(s, (struct sockaddr *)&in, &len), EINVAL);
	CHECK_FAILS(getpeername(l, (struct sockaddr *)&in, &len), ENOTCONN);
	close(l);
}

static void t_getsockopt(void)
{
	int v = 0, fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(v);

	CHECK(getsockopt(s, SOL_SOCKET, SO_SNDBUF, &v, &len) == 0 && v == 99 && c->option == SO_SNDBUF);
	CHECK_FAILS(getsockopt(s, SOL_SOCKET, SO_SNDBUF, &v, NULL), EFAULT);
	/* Undecided: the kernel knows what was put off. */
	CHECK(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int)) == 0);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, &len) == 0 && v == 1);
	close(fd);
}

static void t_setsockopt(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	struct sockaddr_in to = v4(ENGINE_PEER, 80);

	CHECK(setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) == 0 && c->option == SO_KEEPALIVE);
	CHECK_FAILS(setsockopt(s, SOL_SOCKET, 9999, &one, sizeof(one)), ENOPROTOOPT);
	CHECK_FAILS(setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, NULL, 4), EFAULT);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) == 0);
	CHECK(setsockopt(fd, IPPROTO_TCP, 1, &one, sizeof(one)) == 0);
	CHECK_FAILS(setsockopt(fd, SOL_SOCKET, 9999, &one, sizeof(one)), ENOPROTOOPT);
	CHECK_FAILS(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)), ENOPROTOOPT);
	CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 && c->nopts == 2);
	close(fd);
	/* Bound to a device: only the kernel can serve that. */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) == 0) {
		unsigned n = c->take;

		CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && c->take == n);
	}
	close(fd);
}

/* ---- receiving --------------------------------------------------------------------------------------------------------------
 */

static struct iovec halves[2] = {{buf, 5}, {buf + 5, 200}};

static void t_read(void)
{
	put();
	CHECK(read(s, NULL, 0) == 0);
	CHECK_FAILS(read(s, NULL, 1), EFAULT);
	got(read(s, buf, sizeof(buf)));
}

static void overflow_read(void)
{
	__read_chk(s, buf, 10, 9);
}

static void t___read_chk(void)
{
	put();
	got(__read_chk(s, buf, sizeof(buf), sizeof(buf)));
	aborts(overflow_read);
}

static void t_readv(void)
{
	put();
	CHECK(readv(s, halves, 0) == 0);
	CHECK_FAILS(readv(s, halves, -1), EINVAL);
	CHECK_FAILS(readv(s, halves, 1025), EINVAL);
	CHECK_FAILS(readv(s, NULL, 1), EFAULT);
	CHECK_FAILS(readv(s, &(struct iovec){buf, (size_t)-1}, 1), EINVAL);
	got(readv(s, halves, 2));
}

static void preadv_with(ssize_t (*f)(int, const struct iovec *, int, off64_t, int))
{
	put();
	CHECK_FAILS(f(s, halves, 2, 0, 0), ESPIPE);
	CHECK_FAILS(f(s, halves, 2, -2, 0), EINVAL);
	CHECK_FAILS(f(s, halves, 2, -1, 0x8000), EOPNOTSUPP);
	got(f(s, halves, 2, -1, RWF_NOWAIT));
}

static void t_preadv2(void)
{
	preadv_with(preadv2);
}

static void t_preadv64v2(void)
{
	preadv_with(preadv64v2);
}

static void t_recv(void)
{
	put();
	CHECK(recv(s, buf, 5, MSG_PEEK) == 5 && c->flags == MSG_PEEK);
	CHECK_FAILS(recv(s, buf, 5, MSG_ERRQUEUE), EAGAIN);
	got(recv(s, buf, sizeof(buf), 0));
}

static void overflow_recv(void)
{
	__recv_chk(s, buf, 10, 9, 0);
}

static void t___recv_chk(void)
{
	put();
	got(__recv_chk(s, buf, sizeof(buf), sizeof(buf), MSG_DONTWAIT));
	aborts(overflow_recv);
}

static void t_recvfrom(void)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);

	put();
	CHECK_FAILS(recvfrom(s, buf, 1, 0, (struct sockaddr *)&from, &(socklen_t){-1}), EINVAL);
	CHECK(recvfrom(s, buf, 1, MSG_PEEK, NULL, NULL) == 1);
	got(recvfrom(s, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len));
	CHECK(len == 0);
}

static void overflow_recvfrom(void)
{
	__recvfrom_chk(s, buf, 10, 9, 0, NULL, NULL);
}

static void t___recvfrom_chk(void)
{
	put();
	got(__recvfrom_chk(s, buf, sizeof(buf), sizeof(buf), 0, NULL, NULL));
	aborts(overflow_recvfrom);
}

static void t_recvmsg(void)
{
	struct sockaddr_in from;
	char control[64];
	struct msghdr m = {&from, sizeof(from), halves, 2, control, sizeof(control), 0x7777};

	put();
	CHECK_FAILS(recvmsg(s, NULL, 0), EFAULT);
	m.msg_iovlen = 1025;
	CHECK_FAILS(recvmsg(s, &m, 0), EMSGSIZE);
	m.msg_iovlen = 2;
	got(recvmsg(s, &m, MSG_CMSG_CLOEXEC));
	CHECK(m.msg_namelen == 0 && m.msg_controllen == 0 && m.msg_flags == MSG_CMSG_CLOEXEC);
}

static void t_recvmmsg(void)
{
	struct mmsghdr m[3] = {{.msg_hdr = {.msg_iov = halves, .msg_iovlen = 2}},
			       {.msg_hdr = {.msg_iov = halves, .msg_iovlen = 2}}};
	struct timespec bad = {0, -1}, second = {1, 0};

	put();
	CHECK_FAILS(recvmmsg(s, m, 2, 0, &bad), EINVAL);
	CHECK(recvmmsg(s, m, 0, 0, NULL) == 0);
	CHECK(recvmmsg(s, m, 2, 0, &second) == 1);
	CHECK(second.tv_sec == 0 && second.tv_nsec > 0);
	got(m[0].msg_len);
}

/* ---- sending ----------------------------------------------------------------------------------------------------------------
 */

static const struct iovec text_halves[2] = {{(void *)TEXT, 5}, {(char *)TEXT + 5, LEN - 5}};

/* Nothing is connected: EPIPE, and SIGPIPE for this thread unless it is declined. */
static volatile sig_atomic_t pipes;

static void count_pipe(int sig)
{
	pipes++;
}

static void t_write(void)
{
	int l = listener();

	CHECK_FAILS(write(s, NULL, 1), EFAULT);
	sent(write(s, TEXT, LEN));
	signal(SIGPIPE, count_pipe);
	CHECK_FAILS(write(l, "x", 1), EPIPE);
	CHECK(pipes == 1);
	CHECK_FAILS(send(l, "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK(pipes == 1);
	signal(SIGPIPE, SIG_DFL);
	close(l);
}

static void t_writev(void)
{
	CHECK_FAILS(writev(s, text_halves, 1025), EINVAL);
	sent(writev(s, text_halves, 2));
}

static void pwritev_with(ssize_t (*f)(int, const struct iovec *, int, off64_t, int))
{
	CHECK_FAILS(f(s, text_halves, 2, 0, 0), ESPIPE);
	CHECK_FAILS(f(s, text_halves, 2, -1, 0x8000), EOPNOTSUPP);
	sent(f(s, text_halves, 2, -1, RWF_DSYNC));
}

static void t_pwritev2(void)
{
	pwritev_with(pwritev2);
}

static void t_pwritev64v2(void)
{
	pwritev_with(pwritev64v2);
}

static void t_send(void)
{
	sent(send(s, TEXT, LEN, MSG_MORE));
	CHECK(c->flags == 0);
	CHECK(send(s, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 && c->flags == (MSG_DONTWAIT | MSG_NOSIGNAL));
}

static void t_sendto(void)
{
	struct sockaddr_in elsewhere = v4("192.0.2.77", 9);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in to = v4(ENGINE_PEER, 80);

	CHECK_FAILS(sendto(s, TEXT, LEN, 0, (struct sockaddr *)&elsewhere, 1000), EINVAL);
	sent(sendto(s, TEXT, LEN, 0, (struct sockaddr *)&elsewhere, sizeof(elsewhere)));
	/* Connecting by sending. */
	CHECK(sendto(fd, "x", 1, MSG_FASTOPEN, (struct sockaddr *)&to, sizeof(to)) == 1);
	CHECK(read(fd, buf, 2) == 1);
	close(fd);
}

static void t_sendmsg(void)
{
	struct {
		struct cmsghdr h;
		int value;
	} control = {{CMSG_LEN(sizeof(int)), SOL_SOCKET, 77}, 0};
	struct msghdr m = {.msg_iov = (struct iovec *)text_halves, .msg_iovlen = 2};

	sent(sendmsg(s, &m, 0));
	m.msg_control = &control;
	m.msg_controllen = sizeof(control);
	CHECK_FAILS(sendmsg(s, &m, 0), EINVAL);
	control.h.cmsg_level = IPPROTO_IP;
	sent(sendmsg(s, &m, 0));
}

static void t_sendmmsg(void)
{
	struct mmsghdr m[2] = {{.msg_hdr = {.msg_iov = (struct iovec *)text_halves, .msg_iovlen = 1}},
			       {.msg_hdr = {.msg_iov = (struct iovec *)text_halves + 1, .msg_iovlen = 1}}};

	CHECK(sendmmsg(s, m, 2, 0) == 2 && m[0].msg_len == 5 && m[1].msg_len == LEN - 5);
	CHECK(recv(s, buf, sizeof(buf), 0) == LEN && !memcmp(buf, TEXT, LEN));
}

static int text_file(void)
{
	char path[] = "/tmp/mtcpshim-thin-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0 && write(fd, "ab" TEXT, LEN + 2) == LEN + 2);
	unlink(path);
	return fd;
}

static void sendfile_with(ssize_t (*f)(int, int, off64_t *, size_t))
{
	int file = text_file(), pair[2];
	off64_t off = 2;

	CHECK(pipe(pair) == 0);
	sent(f(s, file, &off, 1000));
	CHECK(off == LEN + 2);
	CHECK(lseek(file, 2, SEEK_SET) == 2);
	sent(f(s, file, NULL, 1000));
	CHECK(lseek(file, 0, SEEK_CUR) == LEN + 2);
	off = -1;
	CHECK_FAILS(f(s, file, &off, 1), EINVAL);
	CHECK_FAILS(f(s, pair[0], NULL, 1), EINVAL);
	CHECK_FAILS(f(s, 9999, NULL, 1), EBADF);
	CHECK_FAILS(f(s, pair[1], NULL, 1), EBADF);
	close(file);
	close(pair[0]);
	close(pair[1]);
}

static void t_sendfile(void)
{
	sendfile_with(sendfile);
}

static void t_sendfile64(void)
{
	sendfile_with(sendfile64);
}

static void t_splice(void)
{
	int pair[2];

	CHECK(pipe(pair) == 0);
	CHECK(write(pair[1], TEXT, LEN) == LEN);
	sent(splice(pair[0], NULL, s, NULL, 1000, 0));
	put();
	CHECK(splice(s, NULL, pair[1], NULL, 5, 0) == 5);
	CHECK(splice(s, NULL, pair[1], NULL, 1000, SPLICE_F_NONBLOCK) == LEN - 5);
	got(read(pair[0], buf, sizeof(buf)));
	CHECK_FAILS(splice(s, NULL, s, NULL, 1, 0), EINVAL);
	CHECK_FAILS(splice(s, NULL, pair[1], &(off64_t){0}, 1, 0), ESPIPE);
	CHECK_FAILS(splice(pair[0], NULL, s, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
	close(pair[0]);
	close(pair[1]);
}

/* ---- descriptors ------------------------------------------------------------------------------------------------------------
 */

static void t_close(void)
{
	unsigned n = c->release;
	int fd = engine_socket(), again;

	CHECK(close(fd) == 0 && c->release == n + 1);
	CHECK_FAILS(close(fd), EBADF);
	CHECK_FAILS(read(fd, buf, 1), EBADF);
	CHECK_FAILS(write(fd, buf, 1), EBADF);
	CHECK_FAILS(fcntl(fd, F_GETFL), EBADF);
	CHECK_FAILS(dup(fd), EBADF);
	CHECK_FAILS(bind(fd, NULL, 0), EBADF);
	CHECK_FAILS(getsockname(fd, NULL, NULL), EBADF);
	CHECK(poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 0) == 1);
	/* The next one gets its placeholder. */
	again = engine_socket();
	CHECK(again == fd);
	close(again);
	CHECK(dup2(2, fd) == fd && write(fd, "", 0) == 0 && close(fd) == 0);
	n = c->fd_closing;
	fd = dup(2);
	CHECK(close(fd) == 0 && c->fd_closing == n + 1 && c->closing == fd);
}

static void t_close_range(void)
{
	unsigned n = c->release;
	int fd = dup(2), high = dup2(s, 300);

	CHECK(high == 300);
	CHECK_FAILS(close_range(5, 3, 0), EINVAL);
	CHECK(close_range(200, 400, 4 /* CLOSE_RANGE_CLOEXEC */) == 0);
	CHECK(fcntl(300, F_GETFD) == FD_CLOEXEC);
	CHECK(close_range(200, ~0u, 0) == 0 && c->release == n + 1);
	CHECK_FAILS(write(300, "x", 1), EBADF);
	CHECK(write(s, "x", 1) == 1);
	close(fd);
}

static void t_closefrom(void)
{
	unsigned n = c->release;

	CHECK(dup2(s, 300) == 300 && dup2(2, 301) == 301);
	closefrom(200);
	CHECK(c->release == n + 1);
	CHECK_FAILS(fcntl(300, F_GETFD), EBADF);
	CHECK_FAILS(fcntl(301, F_GETFD), EBADF);
}

/* fd is a second name of s. */
static void is_twin(int fd)
{
	CHECK(fd >= 0 && fd != s);
	CHECK(write(fd, TEXT, LEN) == LEN);
	got(read(s, buf, sizeof(buf)));
	close(fd);
	sent(write(s, TEXT, LEN));
}

static void t_dup(void)
{
	unsigned n = c->retain;
	struct sockaddr_in to = v4(ENGINE_PEER, 80);
	int fresh = socket(AF_INET, SOCK_STREAM, 0), twin = dup(fresh);

	is_twin(dup(s));
	CHECK(c->retain == n + 1);
	/* Decided by one name, known by the other. */
	CHECK(connect(twin, (struct sockaddr *)&to, sizeof(to)) == 0 && c->retain == n + 2);
	CHECK(write(fresh, "x", 1) == 1 && read(twin, buf, 2) == 1);
	close(fresh);
	close(twin);
}

static void t_dup2(void)
{
	int other = engine_socket();
	unsigned n = c->release;

	CHECK(dup2(s, s) == s);
	CHECK_FAILS(dup2(s, -1), EBADF);
	CHECK(dup2(s, other) == other && c->release == n + 1);
	is_twin(other);
	other = dup(2);
	is_twin(dup2(s, other));
	other = engine_socket();
	CHECK(dup2(2, other) == other && write(other, "", 0) == 0);
	CHECK(close(other) == 0);
}

static void t_dup3(void)
{
	CHECK_FAILS(dup3(s, s, 0), EINVAL);
	CHECK(dup3(s, 310, O_CLOEXEC) == 310 && fcntl(310, F_GETFD) == FD_CLOEXEC);
	is_twin(310);
}

static void fcntl_with(int (*f)(int, int, ...))
{
	int fd = f(s, F_DUPFD, 320);

	CHECK(fd >= 320);
	is_twin(fd);
	fd = f(s, F_DUPFD_CLOEXEC, 320);
	CHECK(f(fd, F_GETFD) == FD_CLOEXEC);
	is_twin(fd);
	CHECK(f(s, F_GETFL) == O_RDWR);
	CHECK(f(s, F_SETFL, O_NONBLOCK) == 0 && f(s, F_GETFL) == (O_RDWR | O_NONBLOCK));
	CHECK(f(s, F_SETFD, FD_CLOEXEC) == 0 && f(s, F_GETFD) == FD_CLOEXEC);
	CHECK(f(s, F_SETOWN, getpid()) == 0 && f(s, F_GETOWN) == getpid());
	CHECK_FAILS(f(s, 9999), EINVAL);
}

static void t_fcntl(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	fcntl_with(fcntl);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
	CHECK(fcntl(fd, F_SETFL, 0) == 0 && fcntl(fd, F_GETFL) == O_RDWR);
	CHECK(fcntl(fd, F_SETFL, O_APPEND) == 0 && fcntl(fd, F_GETFL) == (O_RDWR | O_APPEND));
	close(fd);
}

static void t_fcntl64(void)
{
	fcntl_with(fcntl64);
}

static void t_ioctl(void)
{
	int n = -1, fd = socket(AF_INET, SOCK_STREAM, 0);

	put();
	CHECK(ioctl(s, FIONREAD, &n) == 0 && n == LEN);
	n = 1;
	CHECK(ioctl(s, FIONBIO, &n) == 0 && (fcntl(s, F_GETFL) & O_NONBLOCK));
	CHECK(ioctl(s, FIOCLEX) == 0 && fcntl(s, F_GETFD) == FD_CLOEXEC);
	CHECK_FAILS(ioctl(s, 0x12345678, &n), ENOTTY); /* the placeholder's answer */
	CHECK(ioctl(fd, FIONBIO, &n) == 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK));
	close(fd);
}

static int print_with(int (*f)(int, const char *, va_list), const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = f(s, format, ap);
	va_end(ap);
	return n;
}

static int print_chk(int fd, const char *format, va_list ap)
{
	return __vdprintf_chk(fd, 1, format, ap);
}

static void t_dprintf(void)
{
	sent(dprintf(s, "%s, %s", "hello", "engine"));
}

static void t_vdprintf(void)
{
	sent(print_with(vdprintf, "%s, %s", "hello", "engine"));
}

static void t___dprintf_chk(void)
{
	sent(__dprintf_chk(s, 1, "%s, %s", "hello", "engine"));
}

static void t___vdprintf_chk(void)
{
	sent(print_with(print_chk, "%s, %s", "hello", "engine"));
}

static void t_fdopen(void)
{
	int fd = dup(s);
	unsigned n;
	FILE *f = fdopen(fd, "r+");

	CHECK(f && fileno(f) == fd);
	CHECK(fprintf(f, "%s\n", TEXT) == LEN + 1 && fflush(f) == 0);
	CHECK(fgets(buf, sizeof(buf), f) && !strcmp(buf, TEXT "\n"));
	CHECK(fseek(f, 0, SEEK_SET) < 0 && errno == ESPIPE);
	n = c->release;
	CHECK(fclose(f) == 0 && c->release == n + 1);
	f = fdopen(dup(2), "w");
	CHECK(f && fileno(f) > 2 && fclose(f) == 0);
}

static void fileno_with(int (*f)(FILE *))
{
	int fd = dup(s);
	FILE *stream = fdopen(fd, "w");

	CHECK(f(stderr) == 2 && f(stream) == fd);
	fclose(stream);
}

static void t_fileno(void)
{
	fileno_with(fileno);
}

static void t_fileno_unlocked(void)
{
	fileno_with(fileno_unlocked);
}

/* ---- waiting ----------------------------------------------------------------------------------------------------------------
 */

/* s and a pipe's end are asked; both are ready. */
static void select_with(int (*f)(int, fd_set *, fd_set *, fd_set *))
{
	int pair[2];
	fd_set in, out;
	unsigned n = c->poll;

	CHECK(pipe(pair) == 0);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(s, &in);
	FD_SET(pair[0], &in);
	FD_SET(s, &out);
	FD_SET(pair[1], &out);
	CHECK(f(FD_SETSIZE, &in, &out, NULL) == 2 && c->poll == n + 1);
	CHECK(!FD_ISSET(s, &in) && !FD_ISSET(pair[0], &in) && FD_ISSET(s, &out) && FD_ISSET(pair[1], &out));
	put();
	FD_SET(s, &in);
	FD_CLR(s, &out);
	CHECK(f(s + 1, &in, &out, NULL) >= 1 && FD_ISSET(s, &in));
	close(pair[0]);
	close(pair[1]);
	FD_SET(pair[0], &in);
	FD_SET(s, &in);
	CHECK_FAILS(f(FD_SETSIZE, &in, NULL, NULL), EBADF);
}

static int plain_select(int n, fd_set *in, fd_set *out, fd_set *ex)
{
	struct timeval tv = {5, 0};
	int rc = select(n, in, out, ex, &tv);

	CHECK(tv.tv_sec == 4 && tv.tv_usec > 0);
	return rc;
}

static void t_select(void)
{
	fd_set in;

	select_with(plain_select);
	FD_ZERO(&in);
	FD_SET(s, &in);
	CHECK_FAILS(select(s + 1, &in, NULL, NULL, &(struct timeval){-1, 0}), EINVAL);
}

static int masked_select(int n, fd_set *in, fd_set *out, fd_set *ex)
{
	return pselect(n, in, out, ex, &(struct timespec){5, 0}, NULL);
}

static void t_pselect(void)
{
	fd_set in;

	select_with(masked_select);
	FD_ZERO(&in);
	FD_SET(s, &in);
	CHECK_FAILS(pselect(s + 1, &in, NULL, NULL, &(struct timespec){0, -1}, NULL), EINVAL);
}

static void poll_with(int (*f)(struct pollfd *, nfds_t))
{
	int closed = dup(s);
	struct pollfd fds[3] = {{.fd = s, .events = POLLIN}, {.fd = -1}, {.fd = closed, .events = POLLIN}};
	unsigned n = c->poll;

	close(closed);
	put();
	CHECK(f(fds, 3) == 2 && c->poll == n + 1);
	CHECK(fds[0].revents == POLLIN && fds[1].revents == 0 && fds[2].revents == POLLNVAL);
	/* None of ours in it: none of the core's business. */
	n = c->poll;
	CHECK(f(fds + 1, 1) == 0 && c->poll == n);
}

static int plain_poll(struct pollfd *fds, nfds_t n)
{
	return poll(fds, n, 0);
}

static void t_poll(void)
{
	poll_with(plain_poll);
}

static int checked_poll(struct pollfd *fds, nfds_t n)
{
	return __poll_chk(fds, n, 0, n * sizeof(*fds));
}

static void overflow_poll(void)
{
	struct pollfd one = {.fd = s};

	__poll_chk(&one, 2, 0, sizeof(one));
}

static void t___poll_chk(void)
{
	poll_with(checked_poll);
	aborts(overflow_poll);
}

static int timed_poll(struct pollfd *fds, nfds_t n)
{
	return ppoll(fds, n, &(struct timespec){0, 0}, NULL);
}

static void t_ppoll(void)
{
	poll_with(timed_poll);
	CHECK_FAILS(ppoll(&(struct pollfd){.fd = s}, 1, &(struct timespec){0, -1}, NULL), EINVAL);
}

static int checked_ppoll(struct pollfd *fds, nfds_t n)
{
	return __ppoll_chk(fds, n, &(struct timespec){0, 0}, NULL, n * sizeof(*fds));
}

static void overflow_ppoll(void)
{
	struct pollfd one = {.fd = s};

	__ppoll_chk(&one, 2, NULL, NULL, sizeof(one));
}

static void t___ppoll_chk(void)
{
	poll_with(checked_ppoll);
	aborts(overflow_ppoll);
}

/* A set with an engine member, and what it reports. */
static void epoll_with(int epfd, int (*wait)(int epfd, struct epoll_event *ev))
{
	struct epoll_event ev = {.events = EPOLLIN};
	unsigned ctl = c->epoll_ctl, waits = c->epoll_wait, refs = c->epoll_retain;
	int twin;

	CHECK(epfd >= 0);
	/* Kernel members of a set without others go straight into it. */
	CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, dup(0), &ev) == 0 || errno == EPERM);
	CHECK(c->epoll_ctl == ctl);
	twin = dup(epfd);
	CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, s, &ev) == 0 && c->epoll_ctl == ctl + 1);
	CHECK(c->epoll_retain == refs + 1); /* for its second name */
	CHECK(wait(epfd, &ev) == 1 && ev.data.u64 == FAKE_EVENT_DATA && c->epoll_wait == waits + 1);
	refs = c->epoll_release;
	CHECK(close(epfd) == 0 && close(twin) == 0 && c->epoll_release == refs + 2);
}

static int plain_wait(int epfd, struct epoll_event *ev)
{
	CHECK_FAILS(epoll_wait(epfd, ev, 0, 0), EINVAL);
	CHECK_FAILS(epoll_wait(s, ev, 1, 0), EINVAL);
	return epoll_wait(epfd, ev, 1, -1);
}

static void t_epoll_create(void)
{
	CHECK_FAILS(epoll_create(0), EINVAL);
	epoll_with(epoll_create(1), plain_wait);
}

static void t_epoll_create1(void)
{
	CHECK_FAILS(epoll_create1(0x77), EINVAL);
	epoll_with(epoll_create1(EPOLL_CLOEXEC), plain_wait);
}

static void t_epoll_ctl(void)
{
	int epfd = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN};

	CHECK_FAILS(epoll_ctl(epfd, 99, s, &ev), EINVAL);
	CHECK_FAILS(epoll_ctl(s, EPOLL_CTL_ADD, epfd, &ev), EINVAL);
	CHECK_FAILS(epoll_ctl(epfd, EPOLL_CTL_ADD, 9999, &ev) < 0 ? -1 : (errno = EBADF, -1), errno);
	close(epfd);
}

static void t_epoll_wait(void)
{
	epoll_with(epoll_create1(0), plain_wait);
}

static int masked_wait(int epfd, struct epoll_event *ev)
{
	sigset_t none;

	sigemptyset(&none);
	return epoll_pwait(epfd, ev, 1, 1000, &none);
}

static void t_epoll_pwait(void)
{
	epoll_with(epoll_create1(0), masked_wait);
}

static int timed_wait(int epfd, struct epoll_event *ev)
{
	CHECK_FAILS(epoll_pwait2(epfd, ev, 1, &(struct timespec){0, -1}, NULL), EINVAL);
	return epoll_pwait2(epfd, ev, 1, &(struct timespec){1, 0}, NULL);
}

static void t_epoll_pwait2(void)
{
	epoll_with(epoll_create1(0), timed_wait);
}

/* ---- processes and the rest
 * ----------------------------------------------------------------------------------------------------- */

static void t_syscall(void)
{
	struct sockaddr_in to = v4(ENGINE_PEER, 80);
	struct pollfd p;
	struct timespec second = {1, 0};
	uint64_t no_signals = 0;
	int fd = (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0), epfd;

	CHECK(fd >= 0 && syscall(SYS_connect, fd, &to, sizeof(to)) == 0);
	CHECK(syscall(SYS_sendto, fd, TEXT, LEN, MSG_NOSIGNAL, NULL, 0) == LEN && c->flags == MSG_NOSIGNAL);
	p = (struct pollfd){.fd = fd, .events = POLLIN};
	CHECK(syscall(SYS_poll, &p, 1, -1) == 1 && p.revents == POLLIN);
	CHECK(syscall(SYS_ppoll, &p, 1, &second, &no_signals, 8) == 1 && second.tv_sec == 0);
	CHECK_FAILS(syscall(SYS_ppoll, &p, 1, NULL, &no_signals, 4), EINVAL);
	CHECK(syscall(SYS_read, fd, buf, sizeof(buf)) == LEN && !memcmp(buf, TEXT, LEN));
	CHECK_FAILS(syscall(SYS_recvfrom, fd, buf, 1, 0, NULL, NULL), EAGAIN);
	epfd = (int)syscall(SYS_epoll_create1, 0);
	CHECK(syscall(SYS_epoll_ctl, epfd, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = EPOLLIN}) == 0);
	CHECK(syscall(SYS_epoll_pwait, epfd, buf, 1, -1, &no_signals, 8) == 1);
	CHECK(syscall(SYS_close, fd) == 0 && syscall(SYS_close, epfd) == 0);
	CHECK_FAILS(syscall(SYS_write, fd, "x", 1), EBADF);
	CHECK(syscall(SYS_gettid) == gettid());
	CHECK_FAILS(syscall(99999), ENOSYS);
}

/* The child ends by `leave`: with the core told first. */
static void ends_with(void (*leave)(int))
{
	unsigned n = c->exiting;
	int status;
	pid_t pid = fork();

	if (!pid)
		leave(7);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	CHECK(c->exiting > n);
}

static void t__exit(void)
{
	ends_with(_exit);
}

static void t__Exit(void)
{
	ends_with(_Exit);
}

static void t_vfork(void)
{
	unsigned n = c->release;
	int status;
	pid_t pid = vfork();

	/* What the child does to descriptors is its own affair. */
	if (!pid) {
		close(s);
		dup2(2, s);
		_exit(3);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
	CHECK(c->release == n + 1); /* counted in shared memory: by the child */
	sent(write(s, TEXT, LEN));
}

enum symbol {
#define INTERCEPT(ret, name, args) SYM_##name,
#include "shim/intercept.def"
	SYMBOLS
};

static void (*const tests[SYMBOLS])(void) = {
#define INTERCEPT(ret, name, args) [SYM_##name] = t_##name,
#include "shim/intercept.def"
};

static const char *const names[SYMBOLS] = {
#define INTERCEPT(ret, name, args) [SYM_##name] = #name,
#include "shim/intercept.def"
};

void scenario_symbols(void)
{
	close(engine_socket()); /* loads the core */
	c = calls_now();
	CHECK(c);
	for (int i = 0; i < SYMBOLS; i++) {
		int saved;

		fprintf(stderr, "%s\n", names[i]);
		s = engine_socket();
		errno = saved = 4321;
		CHECK(send(s, "", 0, 0) == 0 && errno == saved); /* success leaves errno alone */
		tests[i]();
		close(s);
	}
}
