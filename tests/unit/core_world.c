/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core_world.c - the replaced thin library, and our side; see core_world.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/unit/core_wire.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/config.h"
#include "shim/fdtab.h"
#include "shim/guard.h"

const struct core_ops *core;

/* ---- the thin library
 * ------------------------------------------------------------------------------------------------------------ */

static struct config cfg = {.enabled = true, .dev = "wire", .naddrs = 1, .cores = 1, .mem_mb = 64, .mtu = 1500};

static bool by_hand, silent;

void world_by_hand(void)
{
	by_hand = true;
}

void world_family(unsigned stacks)
{
	cfg.cores = stacks;
	wire_family(stacks);
}

void world_silent(void)
{
	silent = true;
}

static long real_syscall(long number, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (by_hand && number == SYS_ppoll)
		return wire_sleep((struct pollfd *)a[0], (nfds_t)a[1], (const struct timespec *)a[2]);
	return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* Of the helper alone: by hand, the test's thread has the world to itself. */
static int real_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	while (by_hand)
		pause();
	return ppoll(fds, n, timeout, mask);
}

static const struct real_calls real_libc = {
    .socket = socket,
    .listen = listen,
    .accept4 = accept4,
    .shutdown = shutdown,
    .getsockopt = getsockopt,
    .setsockopt = setsockopt,
    .read = read,
    .write = write,
    .close = close,
    .fcntl = fcntl,
    .ioctl = ioctl,
    .ppoll = real_ppoll,
    .epoll_ctl = epoll_ctl,
    .epoll_wait = epoll_wait,
    .epoll_pwait2 = epoll_pwait2,
    .syscall = real_syscall,
};

static void world_log(int level, const char *fmt, ...)
{
	va_list ap;

	if (level > (silent ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN) && !getenv("MTCPSHIM_LOG"))
		return;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

struct fdref world_ref(int fd)
{
	return fdtab_get(fd);
}

static void world_set(int fd, enum fd_kind kind, void *obj, uint32_t gen)
{
	assert(!fdtab_set(fd, kind, obj, gen));
}

static bool world_epoll_set(const struct fdref *was, void *obj, uint32_t gen)
{
	return fdtab_swap(was, FD_EPOLL, obj, gen);
}

/*
 * The numbers of sockets and sets are made and closed by bare system calls, which ThreadSanitizer does not see: that one thread
 * closes what another uses is the program's own race, and the kernel settles it.
 */
static int world_placeholder(int family, int flags, enum placeholder_use use)
{
	int fd = (int)syscall(SYS_socket, family, SOCK_STREAM | flags, 0);

	return fd < 0 ? -errno : fd;
}

static void world_placeholder_put(int fd, bool pristine)
{
	syscall(SYS_close, fd);
}

static int world_placeholder_own(int fd)
{
	return 0;
}

static int world_private(int fd)
{
	return fd;
}

static void world_private_close(int fd)
{
	syscall(SYS_close, fd);
}

static void world_list_start(void)
{
}

/* No handler is put off here: these tests call the core, not the wrappers. */
static struct guard *world_guard(void)
{
	static __thread struct guard own;

	return &own;
}

static const struct thin_ops thin = {
    .cfg = &cfg,
    .real = &real_libc,
    .log = world_log,
    .fds = &fdtab,
    .fd_set = world_set,
    .epoll_set = world_epoll_set,
    .placeholder_get = world_placeholder,
    .placeholder_put = world_placeholder_put,
    .placeholder_own = world_placeholder_own,
    .fd_private = world_private,
    .fd_private_close = world_private_close,
    .fd_next = fdtab_next,
    .list_start = world_list_start,
    .guard = world_guard,
};

/* ---- our side
 * ------------------------------------------------------------------------------------------------------------------------ */

void world_start(enum world_wait wait, long spin_us)
{
	struct ip_addr ours = world_address(OUR_ADDR);

	cfg.spin_us = spin_us;
	memcpy(&cfg.addrs[0].addr, &ours, sizeof(ours));
	cfg.addrs[0].len = 120;
	wire_start(wait, by_hand);
	core = mtcpshim_core(&thin);
	assert(core && !core->engine_up());
}

static struct sockaddr_in name(const char *addr, unsigned port)
{
	return (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {.s_addr = inet_addr(addr)}};
}

struct fdref world_socket(void)
{
	struct fresh_info fresh = {.family = AF_INET};
	struct fdref r = {.fd = world_placeholder(AF_INET, 0, PLACEHOLDER_ANY), .kind = FD_SOCK};
	int err;

	r.obj = core->take(r.fd, &fresh, &r.gen, &err);
	assert(r.obj);
	world_set(r.fd, FD_SOCK, r.obj, r.gen);
	return r;
}

int world_connect(unsigned port)
{
	return world_connect_to(PEER_ADDR, port);
}

int world_connect_to(const char *addr, unsigned port)
{
	struct sockaddr_in to = name(addr, port);
	struct fdref r = world_socket();
	int rc = core->connect(&r, (struct sockaddr *)&to, sizeof(to));

	if (rc) {
		world_close(r.fd);
		return rc;
	}
	return r.fd;
}

int world_listen(unsigned port)
{
	struct sockaddr_in at = name(OUR_ADDR, port);
	struct fdref r = world_socket();
	int rc = core->bind(&r, (struct sockaddr *)&at, sizeof(at));

	if (!rc)
		rc = core->listen(&r, 128, false);
	return rc ? rc : r.fd;
}

void world_close(int fd)
{
	struct fdref r = world_ref(fd);
	bool pristine;

	world_set(fd, FD_KERNEL, NULL, 0);
	if (r.kind == FD_SOCK)
		core->release(&r, &pristine);
	else if (r.kind == FD_EPOLL)
		core->epoll_release(&r);
	syscall(SYS_close, fd);
}

int world_dup(int fd)
{
	struct fdref r = world_ref(fd);
	int copy = (int)syscall(SYS_dup, fd);

	if (copy < 0)
		return -errno;
	if (r.kind == FD_SOCK)
		core->retain(&r);
	else if (r.kind == FD_EPOLL)
		core->epoll_retain(&r);
	world_set(copy, r.kind, r.obj, r.gen);
	return copy;
}

void world_forget(int fd)
{
	world_set(fd, FD_KERNEL, NULL, 0);
}

ssize_t world_send(int fd, const void *buf, size_t n)
{
	struct iovec iov = {(void *)(uintptr_t)buf, n};
	struct fdref r = world_ref(fd);

	return core->send(&r, &iov, 1, 0);
}

ssize_t world_recv(int fd, void *buf, size_t n, int flags)
{
	struct iovec iov = {buf, n};
	struct fdref r = world_ref(fd);

	return core->recv(&r, &iov, 1, flags);
}

int world_epoll(void)
{
	static _Atomic uint32_t id;
	int fd = (int)syscall(SYS_epoll_create1, EPOLL_CLOEXEC);

	world_set(fd, FD_EPOLL, NULL, ++id);
	return fd;
}

int world_each_wait(int (*tests)(enum world_wait))
{
	int status, failed = 0;

	for (int i = 0; i < WORLD_WAITS; i++) {
		pid_t child = fork();

		if (!child)
			exit(tests(i) != 0);
		waitpid(child, &status, 0);
		failed |= status;
	}
	return failed != 0;
}
