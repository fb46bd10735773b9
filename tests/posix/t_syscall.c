/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_syscall.c - the socket calls by their numbers, through syscall(): a whole conversation, and errors in errno.
 */
#include "posix.h"

#include <fcntl.h>
#include <linux/time_types.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define KERNEL_SIGSET 8

static void conversation_server(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0)), peer;
	socklen_t len = sizeof(peer);
	int listener = syscall(SYS_socket, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, fd, value = 0;
	char buf[32];
	struct iovec iov = {buf, sizeof(buf)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	T(syscall(SYS_setsockopt, listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	T(syscall(SYS_bind, listener, &sa, sizeof(sa)));
	T(syscall(SYS_listen, listener, 5));
	tell("listening");
	fd = TFD(syscall(SYS_accept4, listener, &peer, &len, SOCK_CLOEXEC));
	say_addr("from", &peer, len);
	T(syscall(SYS_recvfrom, fd, buf, 5, 0, NULL, NULL));
	T(syscall(SYS_read, fd, buf, 5));
	T(syscall(SYS_recvmsg, fd, &msg, 0));
	tell("next");
	T(syscall(SYS_readv, fd, &iov, 1));
	T(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &value, &(socklen_t){sizeof(value)}));
	say("type %d", value);
	len = sizeof(peer);
	T(syscall(SYS_getsockname, fd, &peer, &len));
	say_addr("own", &peer, len);
	len = sizeof(peer);
	T(syscall(SYS_getpeername, fd, &peer, &len));
	say_addr("peer", &peer, len);
	T(syscall(SYS_shutdown, fd, SHUT_WR));
	T(syscall(SYS_sendto, fd, "x", 1, MSG_NOSIGNAL, NULL, 0));
	T(syscall(SYS_close, fd));
	T(syscall(SYS_close, fd));
	T(syscall(SYS_close, listener));
}

static void conversation_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = TFD(syscall(SYS_socket, AF_INET, SOCK_STREAM, IPPROTO_TCP));
	struct iovec iov = {"abcde", 5};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	char c;

	hear("listening");
	T(syscall(SYS_connect, fd, &sa, sizeof(sa)));
	T(syscall(SYS_sendto, fd, "abcde", 5, 0, NULL, 0));
	T(syscall(SYS_write, fd, "abcde", 5));
	T(syscall(SYS_sendmsg, fd, &msg, 0));
	hear("next");
	T(syscall(SYS_writev, fd, &iov, 1));
	T(syscall(SYS_read, fd, &c, 1));
	T(syscall(SYS_close, fd));
}

static void waiting_server(void)
{
	int fd = pair(), epfd = TFD(syscall(SYS_epoll_create1, 0));
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 7};
	struct timespec ts = {.tv_nsec = 1000000};
	struct timeval tv = {.tv_usec = 1000};
	struct {
		const void *mask;
		size_t size;
	} no_mask = {NULL, KERNEL_SIGSET};
	unsigned char empty[KERNEL_SIGSET] = {0};
	fd_set in;

	T(syscall(SYS_poll, &p, 1, 1));
	T(syscall(SYS_ppoll, &p, 1, &ts, NULL, KERNEL_SIGSET));
	T(syscall(SYS_ppoll, &p, 1, &(struct timespec){0}, empty, KERNEL_SIGSET));
	T(syscall(SYS_ppoll, &p, 1, &(struct timespec){0}, empty, 3));
	FD_ZERO(&in);
	FD_SET(fd, &in);
	T(syscall(SYS_select, fd + 1, &in, NULL, NULL, &tv));
	FD_SET(fd, &in);
	ts.tv_nsec = 1000000;
	T(syscall(SYS_pselect6, fd + 1, &in, NULL, NULL, &ts, &no_mask));
	T(syscall(SYS_epoll_ctl, epfd, EPOLL_CTL_ADD, fd, &ev));
	T(syscall(SYS_epoll_wait, epfd, &ev, 1, 1));
	tell("send");
	T(syscall(SYS_poll, &p, 1, -1));
	say("poll: %s", events_name(p.revents));
	T(syscall(SYS_ppoll, &p, 1, NULL, NULL, KERNEL_SIGSET));
	FD_SET(fd, &in);
	T(syscall(SYS_select, fd + 1, &in, NULL, NULL, NULL));
	T(syscall(SYS_pselect6, fd + 1, &in, NULL, NULL, NULL, &no_mask));
	T(syscall(SYS_epoll_wait, epfd, &ev, 1, -1));
	say("epoll: %s, data %d", events_name(ev.events), (int)ev.data.u64);
	T(syscall(SYS_epoll_pwait, epfd, &ev, 1, -1, NULL, KERNEL_SIGSET));
	T(syscall(SYS_epoll_pwait2, epfd, &ev, 1, NULL, NULL, KERNEL_SIGSET));
	T(syscall(SYS_close, epfd));
	MUST(close(fd));
}

static void descriptors_server(void)
{
	int fd = pair(), copy, high = 700, on = 1, inq;

	copy = TFD(syscall(SYS_dup, fd));
	T(syscall(SYS_dup2, fd, high) == high);
	T(syscall(SYS_dup3, fd, high + 1, O_CLOEXEC) == high + 1);
	T(syscall(SYS_fcntl, high + 1, F_GETFD));
	T(syscall(SYS_fcntl, fd, F_GETFL) & O_NONBLOCK);
	T(syscall(SYS_ioctl, fd, FIONBIO, &on));
	T(syscall(SYS_fcntl, copy, F_GETFL) & O_NONBLOCK);
	tell("send");
	await(fd, POLLIN);
	T(syscall(SYS_ioctl, copy, FIONREAD, &inq));
	say("to read %d", inq);
	T(syscall(SYS_close_range, high, high + 9, 0));
	T(syscall(SYS_fcntl, high, F_GETFD));
	T(syscall(SYS_close, copy));
	T(syscall(SYS_lseek, fd, 0, SEEK_SET));
	T(syscall(SYS_pread64, fd, &inq, 1, 0));
	T(syscall(SYS_fcntl, fd, F_GETFD));
	MUST(close(fd));
}

/* Other numbers go where they always went. */
static void others(void)
{
	int pipes[2];
	char buf[4];

	say_if("getpid", syscall(SYS_getpid) == getpid());
	T(syscall(SYS_pipe2, pipes, O_CLOEXEC));
	T(syscall(SYS_write, pipes[1], "abc", 3));
	T(syscall(SYS_read, pipes[0], buf, 3));
	T(syscall(SYS_close, pipes[0]));
	T(syscall(SYS_close, pipes[1]));
	T(syscall(SYS_read, -1, buf, 3));
	T(syscall(99999));
	T(syscall(SYS_bind, -1, NULL, 0));
	T(syscall(SYS_socket, -1, 0, 0));
}

static const struct posix_case cases[] = {BOTH(conversation), SERVED(waiting, sends_byte), SERVED(descriptors, sends_hello),
					  ALONE(others)};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
