/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symbols_fd.c - descriptors, streams, processes and system calls by number.
 */
#include "tests/thin/symbols.h"

#include <asm/sockios.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int __dprintf_chk(int fd, int flag, const char *format, ...);
int __vdprintf_chk(int fd, int flag, const char *format, va_list ap);

/* ---- descriptors ------------------------------------------------------------------------------------------------------------
 */

void t_close(void)
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

void t_close_range(void)
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

void t_closefrom(void)
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

void t_dup(void)
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

void t_dup2(void)
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

void t_dup3(void)
{
	CHECK_FAILS(dup3(s, s, 0), EINVAL);
	CHECK(dup3(s, 310, O_CLOEXEC) == 310 && fcntl(310, F_GETFD) == FD_CLOEXEC);
	is_twin(310);
}

static void fcntl_with(int (*f)(int, int, ...))
{
	unsigned n = c->sigio;
	int fd = f(s, F_DUPFD, 320);

	CHECK(fd >= 320);
	is_twin(fd);
	fd = f(s, F_DUPFD_CLOEXEC, 320);
	CHECK(f(fd, F_GETFD) == FD_CLOEXEC);
	is_twin(fd);
	CHECK(f(s, F_GETFL) == O_RDWR);
	CHECK(f(s, F_SETFL, O_NONBLOCK) == 0 && f(s, F_GETFL) == (O_RDWR | O_NONBLOCK));
	CHECK(f(s, F_SETFD, FD_CLOEXEC) == 0 && f(s, F_GETFD) == FD_CLOEXEC);
	CHECK(f(s, F_SETOWN, getpid()) == 0 && f(s, F_GETOWN) == getpid() && c->sigio == n + 1);
	CHECK(f(s, F_SETFL, O_ASYNC) == 0 && f(s, F_GETFL) == (O_RDWR | O_ASYNC) && c->sigio == n + 2);
	CHECK(f(s, F_SETFL, O_ASYNC) == 0 && c->sigio == n + 2);
	CHECK(f(s, F_SETFL, 0) == 0 && f(s, F_GETFL) == O_RDWR && c->sigio == n + 3);
	CHECK_FAILS(f(s, 9999), EINVAL);
}

void t_fcntl(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	fcntl_with(fcntl);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && fcntl(fd, F_GETFL) == (O_RDWR | O_NONBLOCK));
	CHECK(fcntl(fd, F_SETFL, 0) == 0 && fcntl(fd, F_GETFL) == O_RDWR);
	CHECK(fcntl(fd, F_SETFL, O_APPEND) == 0 && fcntl(fd, F_GETFL) == (O_RDWR | O_APPEND));
	close(fd);
}

void t_fcntl64(void)
{
	fcntl_with(fcntl64);
}

void t_ioctl(void)
{
	int n = -1, pid, fd = socket(AF_INET, SOCK_STREAM, 0);
	unsigned told = c->sigio;

	put();
	CHECK(ioctl(s, FIONREAD, &n) == 0 && n == LEN);
	n = 1;
	CHECK(ioctl(s, FIONBIO, &n) == 0 && (fcntl(s, F_GETFL) & O_NONBLOCK));
	CHECK(ioctl(s, FIOASYNC, &n) == 0 && (fcntl(s, F_GETFL) & O_ASYNC) && c->sigio == told + 1);
	pid = getpid();
	CHECK(ioctl(s, FIOSETOWN, &pid) == 0 && fcntl(s, F_GETOWN) == pid && c->sigio == told + 2);
	CHECK(ioctl(s, SIOCSPGRP, &pid) == 0 && c->sigio == told + 3);
	CHECK(ioctl(s, FIOCLEX) == 0 && fcntl(s, F_GETFD) == FD_CLOEXEC);
	CHECK_FAILS(ioctl(s, 0x12345678, &n), ENOTTY); /* the placeholder's answer */
	CHECK(ioctl(fd, FIONBIO, &n) == 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK));
	close(fd);
}

/* Each socket has an inode of its own, whatever stands in its place. */
#define CHECK_INODES(kind, call)                                                                         \
	do {                                                                                             \
		struct kind ours, other;                                                                 \
		int fd = engine_socket();                                                                \
		CHECK(call(s, &ours) == 0 && call(fd, &other) == 0);                                     \
		CHECK(S_ISSOCK(ours.st_mode) && S_ISSOCK(other.st_mode) && ours.st_ino != other.st_ino); \
		close(fd);                                                                               \
	} while (0)

void t_fstat(void)
{
	CHECK_INODES(stat, fstat);
}

void t_fstat64(void)
{
	CHECK_INODES(stat64, fstat64);
}

/* Only programs built before glibc 2.33 link these: x86-64's version is 1. */
static int (*old_fstat)(int version, int fd, void *st);

static int fstat_of_old(int fd, void *st)
{
	return old_fstat(1, fd, st);
}

void t___fxstat(void)
{
	old_fstat = (int (*)(int, int, void *))dlsym(RTLD_DEFAULT, "__fxstat");
	CHECK_INODES(stat, fstat_of_old);
}

void t___fxstat64(void)
{
	old_fstat = (int (*)(int, int, void *))dlsym(RTLD_DEFAULT, "__fxstat64");
	CHECK_INODES(stat64, fstat_of_old);
}

/* No new threads for this program: the engine's own must run by then. */
#define CHECK_LIMIT(kind, set)                                                    \
	do {                                                                      \
		struct kind before, none;                                         \
		unsigned n = c->threads_up;                                       \
		CHECK(getrlimit(RLIMIT_NPROC, (struct rlimit *)&before) == 0);    \
		none = (struct kind){.rlim_cur = 0, .rlim_max = before.rlim_max}; \
		CHECK(set(&none) == 0 && c->threads_up == n + 1);                 \
		CHECK(set(&before) == 0);                                         \
	} while (0)

static int set_rlimit(const struct rlimit *l)
{
	return setrlimit(RLIMIT_NPROC, l);
}

static int set_rlimit64(const struct rlimit64 *l)
{
	return setrlimit64(RLIMIT_NPROC, l);
}

static int set_prlimit(const struct rlimit *l)
{
	return prlimit(0, RLIMIT_NPROC, l, NULL);
}

static int set_prlimit64(const struct rlimit64 *l)
{
	return prlimit64(getpid(), RLIMIT_NPROC, l, NULL);
}

void t_setrlimit(void)
{
	CHECK_LIMIT(rlimit, set_rlimit);
}

void t_setrlimit64(void)
{
	CHECK_LIMIT(rlimit64, set_rlimit64);
}

void t_prlimit(void)
{
	CHECK_LIMIT(rlimit, set_prlimit);
}

void t_prlimit64(void)
{
	CHECK_LIMIT(rlimit64, set_prlimit64);
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

void t_dprintf(void)
{
	sent(dprintf(s, "%s, %s", "hello", "engine"));
}

void t_vdprintf(void)
{
	sent(print_with(vdprintf, "%s, %s", "hello", "engine"));
}

void t___dprintf_chk(void)
{
	sent(__dprintf_chk(s, 1, "%s, %s", "hello", "engine"));
}

void t___vdprintf_chk(void)
{
	sent(print_with(print_chk, "%s, %s", "hello", "engine"));
}

void t_fdopen(void)
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

void t_fileno(void)
{
	fileno_with(fileno);
}

void t_fileno_unlocked(void)
{
	fileno_with(fileno_unlocked);
}

/* ---- processes and the rest
 * ----------------------------------------------------------------------------------------------------- */

void t_syscall(void)
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

void t__exit(void)
{
	ends_with(_exit);
}

void t__Exit(void)
{
	ends_with(_Exit);
}

/* A program that is started by `start` (its exit status) inherits nothing from the pool. */
static void starts_with(int (*start)(const char *command))
{
	char command[64];
	int fd = engine_socket();

	close(fd);
	CHECK_FAILS(fcntl(fd, F_GETFL), EBADF);
	snprintf(command, sizeof(command), "test ! -e /proc/self/fd/%d && exit 5", fd);
	CHECK(start(command) == 5);
}

static int start_spawn(const char *command)
{
	char *argv[] = {"sh", "-c", (char *)command, NULL};
	int status;
	pid_t pid;

	CHECK(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) == 0 && waitpid(pid, &status, 0) == pid);
	return WEXITSTATUS(status);
}

static int start_spawnp(const char *command)
{
	char *argv[] = {"sh", "-c", (char *)command, NULL};
	int status;
	pid_t pid;

	CHECK(posix_spawnp(&pid, "sh", NULL, NULL, argv, environ) == 0 && waitpid(pid, &status, 0) == pid);
	return WEXITSTATUS(status);
}

static int start_popen(const char *command)
{
	FILE *f = popen(command, "r");

	CHECK(f);
	return WEXITSTATUS(pclose(f));
}

static int start_system(const char *command)
{
	return WEXITSTATUS(system(command));
}

void t_posix_spawn(void)
{
	starts_with(start_spawn);
}

void t_posix_spawnp(void)
{
	starts_with(start_spawnp);
}

void t_popen(void)
{
	starts_with(start_popen);
}

void t_system(void)
{
	starts_with(start_system);
}

void t_vfork(void)
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
