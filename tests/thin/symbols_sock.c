/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symbols_sock.c - sockets: made, named, connected, configured.
 */
#include "tests/thin/symbols.h"

#include <limits.h>
#include <netinet/in.h>
#include <sys/syscall.h>

/* What the kernel says of wrong arguments is tested with wrong arguments. */
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"

/* ---- sockets ----------------------------------------------------------------------------------------------------------------
 */

void t_socket(void)
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

void t_socketpair(void)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(write(pair[0], "x", 1) == 1 && read(pair[1], buf, 1) == 1);
	close(pair[0]);
	close(pair[1]);
}

void t_bind(void)
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

void t_listen(void)
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

void t_accept(void)
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

void t_accept4(void)
{
	accept_by(flagged_accept);
}

void t_connect(void)
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

void t_shutdown(void)
{
	unsigned n = c->shutdown;

	CHECK(shutdown(s, SHUT_WR) == 0 && c->shutdown == n + 1);
	CHECK_FAILS(shutdown(s, 3), EINVAL);
}

void t_getsockname(void)
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

void t_getpeername(void)
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

void t_getsockopt(void)
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

void t_setsockopt(void)
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
	/* Bound to a device: only the kernel can serve that.  Nobody answers there: not to be waited for. */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) == 0) {
		unsigned n = c->take;

		CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && c->take == n);
	}
	close(fd);
}
