/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_fault.c - pointers to nowhere: EFAULT where Linux gives it and after what Linux finds first, nothing lost by it; and the
 * program's own faults, which stay its own.
 */
#include "posix.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096
/* Beyond what any process can map; not even an address (AMD64's hole). */
#define KERNELS ((void *)-PAGE)
#define HOLE ((void *)(1ul << 60))

/* A page that can be read and written, one that can be read, one that is not there; `edge` is the end of the first. */
static char *good, *readonly, *nowhere, *edge;

static void pages_make(void)
{
	good = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(good == MAP_FAILED ? -1 : 0);
	edge = good + PAGE;
	readonly = good + 2 * PAGE;
	nowhere = good + 3 * PAGE;
	MUST(munmap(good + PAGE, PAGE));
	MUST(mprotect(readonly, PAGE, PROT_READ));
	MUST(munmap(nowhere, PAGE));
}

static void pages_free(void)
{
	MUST(munmap(good, PAGE));
	MUST(munmap(readonly, PAGE));
}

/* ---- payload ------------------------------------------------------------------------------------------------------------------
 */

static void receiving_server(void)
{
	int fd;
	char buf[32];

	pages_make();
	fd = pair();
	say("before there is data");
	T(recv(fd, NULL, 10, MSG_DONTWAIT));
	T(recv(fd, nowhere, 10, MSG_DONTWAIT));
	T(recv(fd, KERNELS, 10, MSG_DONTWAIT));
	T(recv(fd, HOLE, 10, MSG_DONTWAIT));
	tell("go");
	await_inq(fd, 20);
	say("with data");
	T(read(fd, NULL, 10));
	T(read(fd, nowhere, 10));
	T(read(fd, readonly, 10));
	T(read(fd, KERNELS, 10));
	T(read(fd, HOLE, 10));
	T(read(fd, good, -1ul));
	T(recv(fd, nowhere, 10, MSG_PEEK));
	T(recv(fd, edge - 5, 10, 0));
	T(recv(fd, edge - 5, 10, MSG_PEEK));
	T(recv(fd, nowhere, 0, 0));
	T(readv(fd, (struct iovec[]){{buf, 5}, {nowhere, 5}}, 2));
	T(readv(fd, (struct iovec[]){{buf, 0}, {NULL, 5}}, 2));
	T(readv(fd, (void *)nowhere, 2));
	T(readv(fd, NULL, 1));
	T(recv(fd, NULL, 4, MSG_TRUNC));
	T(recv(fd, edge - 6, 6, 0));
	T(read(fd, buf, sizeof(buf)));
	say("last: %.10s", buf);
	T(close(fd));
	pages_free();
}

static void receiving_client(void)
{
	int fd = pair();

	hear("go");
	MUST(send(fd, "0123456789abcdefghij", 20, 0));
	T(recv(fd, &(char){0}, 1, 0));
	T(close(fd));
}

static void sending_server(void)
{
	char buf[64];
	int fd = pair();
	ssize_t n = 0, got;

	while ((got = MUST(read(fd, buf + n, sizeof(buf) - n))) > 0)
		n += got;
	say("got %zd: %.*s", n, (int)n, buf);
	T(close(fd));
}

static void sending_client(void)
{
	char word[] = "word";
	int fd;

	pages_make();
	fd = pair();
	memcpy(edge - 5, "12345", 5);
	T(write(fd, NULL, 10));
	T(write(fd, nowhere, 10));
	T(write(fd, KERNELS, 10));
	T(write(fd, HOLE, 10));
	T(write(fd, nowhere, 0));
	T(send(fd, edge - 5, 10, 0));
	T(send(fd, edge - 5, 5, MSG_MORE));
	T(send(fd, edge - 5, 10, 0));
	T(writev(fd, (struct iovec[]){{word, 4}, {nowhere, 5}}, 2));
	T(writev(fd, (struct iovec[]){{word, 0}, {NULL, 5}}, 2));
	T(writev(fd, (void *)nowhere, 2));
	T(writev(fd, (struct iovec[]){{word, 4}, {NULL, 0}}, 2));
	T(sendto(fd, word, 4, 0, (void *)nowhere, 16));
	T(send(fd, readonly, 2, MSG_OOB | MSG_DONTWAIT));
	T(send(fd, nowhere, 1, MSG_OOB));
	T(shutdown(fd, SHUT_WR));
	T(send(fd, nowhere, 10, MSG_NOSIGNAL));
	T(send(fd, KERNELS, 10, MSG_NOSIGNAL));
	T(close(fd));
	pages_free();
}

/* A blocking read waits first, and then has nowhere to put what came. */
static void waits_first_server(void)
{
	int64_t start;
	int fd;

	pages_make();
	fd = pair();
	tell("go");
	start = now_ms();
	T(read(fd, nowhere, 10));
	say_elapsed("it waited", start, 100);
	T(read(fd, good, 10));
	T(close(fd));
	pages_free();
}

static void waits_first_client(void)
{
	int fd = pair();

	hear("go");
	MUST(usleep(150000));
	MUST(send(fd, "0123456789", 10, 0));
	T(recv(fd, &(char){0}, 1, 0));
	T(close(fd));
}

static void urgent_server(void)
{
	int fd;
	char c = 0;

	pages_make();
	fd = pair();
	tell("go");
	await(fd, POLLPRI);
	T(recv(fd, nowhere, 1, MSG_OOB));
	T(recv(fd, &c, 1, MSG_OOB));
	T(close(fd));
	pages_free();
}

static void urgent_client(void)
{
	int fd = pair();

	hear("go");
	MUST(send(fd, "x", 1, MSG_OOB));
	T(recv(fd, &(char){0}, 1, 0));
	T(close(fd));
}

/* ---- messages -----------------------------------------------------------------------------------------------------------------
 */

static void messages_server(void)
{
	char buf[16], control[64];
	struct iovec iov = {buf, 4}, bad = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1}, *there;
	struct mmsghdr two[2] = {{.msg_hdr = msg}, {.msg_hdr = msg}};
	int fd;

	pages_make();
	bad = (struct iovec){nowhere, 4};
	fd = pair();
	tell("go");
	await_inq(fd, 32);
	T(recvmsg(fd, NULL, 0));
	T(recvmsg(fd, (void *)nowhere, 0));
	msg.msg_iov = (void *)nowhere;
	T(recvmsg(fd, &msg, 0));
	msg.msg_iov = &bad;
	T(recvmsg(fd, &msg, 0));
	msg.msg_iov = &iov;
	msg.msg_control = nowhere;
	msg.msg_controllen = sizeof(control);
	T(recvmsg(fd, &msg, 0));
	say("control length %zu", msg.msg_controllen);
	msg.msg_name = nowhere;
	msg.msg_namelen = 16;
	T(recvmsg(fd, &msg, 0));
	say("name length %u", msg.msg_namelen);
	there = (struct msghdr *)readonly;
	T(recvmsg(fd, there, MSG_DONTWAIT));
	two[1].msg_hdr.msg_iov = &bad;
	T(recvmmsg(fd, two, 2, MSG_DONTWAIT, NULL));
	say("first length %u", two[0].msg_len);
	T(recvmmsg(fd, (void *)nowhere, 2, MSG_DONTWAIT, NULL));
	T(recvmmsg(fd, two, 1, MSG_DONTWAIT, (void *)nowhere));
	T(recvfrom(fd, buf, 2, 0, (void *)nowhere, NULL));
	T(recvfrom(fd, buf, 2, 0, (void *)nowhere, (void *)nowhere));
	T(recvfrom(fd, buf, 2, 0, (void *)nowhere, &(socklen_t){16}));
	T(recvfrom(fd, buf, 2, 0, (void *)good, &(socklen_t){-1}));
	T(recv(fd, buf, sizeof(buf), 0));
	T(close(fd));
	pages_free();
}

static void messages_client(void)
{
	struct iovec iov = {"0123456789abcdefghijklmnopqrstuv", 32};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct mmsghdr one = {.msg_hdr = msg};
	int fd;

	pages_make();
	fd = pair();
	hear("go");
	T(sendmsg(fd, NULL, 0));
	T(sendmsg(fd, (void *)nowhere, 0));
	msg.msg_control = nowhere;
	msg.msg_controllen = 24;
	T(sendmsg(fd, &msg, 0));
	msg.msg_control = NULL;
	T(sendmsg(fd, &msg, 0));
	msg.msg_controllen = 0;
	msg.msg_name = nowhere;
	msg.msg_namelen = 16;
	T(sendmsg(fd, &msg, 0));
	T(sendmmsg(fd, (void *)nowhere, 1, 0));
	T(sendmmsg(fd, NULL, 1, 0));
	T(sendmmsg(fd, &one, 1, 0));
	T(recv(fd, &(char){0}, 1, 0));
	T(close(fd));
	pages_free();
}

/* ---- names and options --------------------------------------------------------------------------------------------------------
 */

static void names_server(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(1));
	int listener, fd;
	socklen_t len = -1;

	pages_make();
	fd = tcp_socket();
	T(bind(fd, NULL, sizeof(sa)));
	T(bind(fd, (void *)nowhere, sizeof(sa)));
	T(bind(fd, KERNELS, sizeof(sa)));
	T(bind(fd, (void *)(edge - 8), sizeof(sa)));
	T(bind(fd, (void *)nowhere, 1000));
	MUST(close(fd));
	listener = listen_at(SERVER_IP, port(0));
	set_nonblock(listener, true);
	T(accept(listener, (void *)nowhere, NULL));
	T(accept(listener, (void *)nowhere, (void *)nowhere));
	T(accept4(listener, (void *)nowhere, (void *)nowhere, 12345));
	set_nonblock(listener, false);
	tell("listening");
	T(accept(listener, (void *)nowhere, &(socklen_t){16}));
	T(accept(listener, (void *)good, NULL));
	T(accept(listener, (void *)good, (void *)nowhere));
	T(accept(listener, (void *)good, &len));
	fd = TFD(accept(listener, NULL, (void *)nowhere));
	T(getsockname(fd, (void *)nowhere, &(socklen_t){16}));
	T(getsockname(fd, (void *)nowhere, &(socklen_t){0}));
	T(getsockname(fd, (void *)good, NULL));
	T(getsockname(fd, (void *)good, (void *)nowhere));
	T(getsockname(fd, (void *)nowhere, (void *)nowhere));
	T(getpeername(fd, (void *)readonly, &(socklen_t){16}));
	T(getpeername(fd, (void *)good, (void *)readonly));
	T(getpeername(listener, (void *)nowhere, (void *)nowhere));
	meet();
	T(close(fd));
	T(close(listener));
	pages_free();
}

static void names_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd, i;

	pages_make();
	fd = tcp_socket();
	T(connect(fd, NULL, sizeof(sa)));
	T(connect(fd, (void *)nowhere, sizeof(sa)));
	T(connect(fd, KERNELS, sizeof(sa)));
	T(connect(fd, (void *)nowhere, -1));
	T(connect(-1, (void *)nowhere, sizeof(sa)));
	hear("listening");
	for (i = 0; i < 4; i++) {
		int lost = MUST(socket(AF_INET, SOCK_STREAM, 0));

		MUST(connect(lost, SA(sa), sizeof(sa)));
		/* Nobody has it: its end is all that comes. */
		say("lost %d: %s", i, recv(lost, &(char){0}, 1, 0) <= 0 ? "ended" : "data");
		MUST(close(lost));
	}
	T(connect(fd, SA(sa), sizeof(sa)));
	T(connect(fd, (void *)nowhere, sizeof(sa)));
	meet();
	T(close(fd));
	pages_free();
}

static void options_of(int fd)
{
	socklen_t len = 4;

	T(getsockopt(fd, SOL_SOCKET, SO_TYPE, nowhere, &len));
	T(getsockopt(fd, SOL_SOCKET, SO_TYPE, NULL, &len));
	T(getsockopt(fd, SOL_SOCKET, SO_TYPE, good, NULL));
	T(getsockopt(fd, SOL_SOCKET, SO_TYPE, good, (void *)nowhere));
	T(getsockopt(fd, SOL_SOCKET, SO_TYPE, good, (void *)readonly));
	T(getsockopt(fd, SOL_SOCKET, SO_TYPE, readonly, &len));
	T(getsockopt(fd, SOL_SOCKET, SO_TYPE, nowhere, &(socklen_t){0}));
	T(getsockopt(fd, SOL_SOCKET, SO_TYPE, nowhere, &(socklen_t){-1}));
	T(getsockopt(fd, SOL_SOCKET, 9999, nowhere, &len));
	T(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, nowhere, &len));
	T(getsockopt(fd, IPPROTO_TCP, TCP_INFO, nowhere, &(socklen_t){100}));
	T(getsockopt(fd, IPPROTO_TCP, 9999, good, (void *)nowhere));
	T(getsockopt(fd, IPPROTO_IP, IP_TTL, nowhere, &len));
	T(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, nowhere, 4));
	T(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, NULL, 4));
	T(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, nowhere, 3));
	T(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, nowhere, 0));
	T(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, nowhere, -1));
	T(setsockopt(fd, SOL_SOCKET, 9999, nowhere, 4));
	T(setsockopt(fd, SOL_SOCKET, SO_LINGER, edge - 4, 8));
	T(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, nowhere, 16));
	T(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, nowhere, 4));
	T(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, nowhere, 5));
	T(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, nowhere, 0));
	T(setsockopt(fd, IPPROTO_TCP, 9999, nowhere, 4));
	T(setsockopt(fd, IPPROTO_IP, IP_TOS, nowhere, 1));
	T(setsockopt(fd, IPPROTO_IP, IP_TOS, nowhere, 4));
}

static void options_server(void)
{
	int fd;

	pages_make();
	fd = tcp_socket();
	say("of a new socket");
	options_of(fd);
	MUST(close(fd));
	T(getsockopt(fd, SOL_SOCKET, SO_TYPE, good, (void *)nowhere));
	T(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, nowhere, 4));
	fd = pair();
	say("of a connection");
	options_of(fd);
	meet();
	MUST(close(fd));
	pages_free();
}

static void connected_client(void)
{
	int fd = pair();

	meet();
	MUST(close(fd));
}

/* ---- waiting ------------------------------------------------------------------------------------------------------------------
 */

static void waiting_server(void)
{
	struct timespec none = {0};
	struct pollfd p[2];
	fd_set set;
	int fd;

	pages_make();
	fd = pair();
	p[0] = p[1] = (struct pollfd){.fd = fd, .events = POLLOUT};
	memcpy(edge - sizeof(p[0]), p, sizeof(p[0]));
	T(poll(NULL, 1, 0));
	T(poll(NULL, 0, 0));
	T(poll((void *)nowhere, 1, 0));
	T(poll((void *)(edge - sizeof(p[0])), 1, 0));
	T(poll((void *)(edge - sizeof(p[0])), 2, 0));
	/* By number: libc looks at time-outs itself. */
	T(syscall(SYS_ppoll, p, 1, nowhere, NULL, 8));
	T(syscall(SYS_ppoll, p, 1, NULL, nowhere, 8));
	T(ppoll(p, 1, &none, (void *)nowhere));
	FD_ZERO(&set);
	FD_SET(fd, &set);
	T(select(fd + 1, (void *)nowhere, NULL, NULL, NULL));
	T(select(fd + 1, NULL, &set, (void *)nowhere, NULL));
	T(syscall(SYS_pselect6, fd + 1, NULL, &set, NULL, nowhere, NULL));
	T(syscall(SYS_pselect6, fd + 1, NULL, &set, NULL, NULL, nowhere));
	T(select(-1, (void *)nowhere, NULL, NULL, NULL));
	T(pselect(fd + 1, NULL, &set, NULL, &none, (void *)nowhere));
	memcpy(good, &set, sizeof(set));
	MUST(mprotect(good, PAGE, PROT_READ));
	T(select(fd + 1, NULL, (void *)good, NULL, NULL));
	MUST(mprotect(good, PAGE, PROT_READ | PROT_WRITE));
	meet();
	MUST(close(fd));
	pages_free();
}

static void epolls_server(void)
{
	struct epoll_event ev = {.events = EPOLLOUT | EPOLLET};
	int fd, epfd = MUST(epoll_create1(EPOLL_CLOEXEC));

	pages_make();
	fd = pair();
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, (void *)nowhere));
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, NULL));
	T(epoll_ctl(-1, EPOLL_CTL_ADD, fd, (void *)nowhere));
	T(epoll_ctl(epfd, EPOLL_CTL_MOD, fd, (void *)nowhere));
	T(epoll_ctl(epfd, EPOLL_CTL_DEL, fd, (void *)nowhere));
	T(epoll_ctl(epfd, 77, fd, (void *)nowhere));
	T(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	T(epoll_wait(epfd, (void *)nowhere, 1, 0));
	T(epoll_wait(epfd, NULL, 1, -1));
	T(epoll_wait(epfd, (void *)readonly, 1, 0));
	T(epoll_wait(epfd, KERNELS, 1, 0));
	T(epoll_wait(epfd, (void *)nowhere, 0, 0));
	/* The event was not used up by that. */
	T(epoll_wait(epfd, &ev, 1, 0));
	T(epoll_wait(epfd, (void *)nowhere, 1, 0));
	T(epoll_wait(epfd, KERNELS, 1, 0));
	T(epoll_pwait(epfd, &ev, 1, 0, (void *)nowhere));
	T(epoll_pwait2(epfd, &ev, 1, (void *)nowhere, NULL));
	T(epoll_wait(-1, (void *)nowhere, 1, 0));
	meet();
	MUST(close(fd));
	MUST(close(epfd));
	pages_free();
}

static void controls_server(void)
{
	int fd, file = MUST(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	off_t off = 0;

	pages_make();
	fd = pair();
	T(ioctl(fd, FIONREAD, NULL));
	T(ioctl(fd, FIONREAD, nowhere));
	T(ioctl(fd, FIONREAD, readonly));
	T(ioctl(fd, FIONBIO, nowhere));
	T(ioctl(fd, FIOASYNC, nowhere));
	T(ioctl(fd, TIOCOUTQ, nowhere));
	T(ioctl(fd, SIOCATMARK, nowhere));
	T(ioctl(fd, 0x12345, nowhere));
	T(fcntl(fd, F_GETLK, nowhere));
	T(fcntl(fd, F_GETOWN_EX, nowhere));
	T(fcntl(fd, F_SETOWN_EX, nowhere));
	T(sendfile(fd, file, (void *)nowhere, 10));
	T(sendfile(fd, -1, (void *)nowhere, 10));
	T(sendfile(fd, file, &off, 0));
	T(splice(fd, (void *)nowhere, file, NULL, 10, 0));
	meet();
	MUST(close(fd));
	MUST(close(file));
	pages_free();
}

/* ---- the program's own faults -------------------------------------------------------------------------------------------------
 */

static sigjmp_buf back;
static volatile void *fault_at;
static volatile int fault_code;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	fault_at = info->si_addr;
	fault_code = info->si_code;
	siglongjmp(back, 1);
}

static void say_fault(const char *what)
{
	say("%s: at nowhere %d, code %s", what, fault_at == (void *)nowhere,
	    fault_code == SEGV_MAPERR	? "MAPERR"
	    : fault_code == SEGV_ACCERR ? "ACCERR"
					: "other");
}

static void own_handler_server(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, was;
	int fd;

	pages_make();
	fd = pair();
	T(sigaction(SIGSEGV, NULL, &was));
	say("at first: default %d, flags %x", was.sa_handler == SIG_DFL, was.sa_flags & ~0x04000000);
	T(sigaction(SIGSEGV, &sa, &was));
	say("before: default %d", was.sa_handler == SIG_DFL);
	T(write(fd, nowhere, 10));
	if (!sigsetjmp(back, 1))
		*(volatile char *)nowhere = 1;
	say_fault("a store of its own");
	T(write(fd, nowhere, 10));
	if (!sigsetjmp(back, 1))
		*(volatile char *)readonly = 1;
	say("code %d", fault_code == SEGV_ACCERR);
	if (!sigsetjmp(back, 1))
		raise(SIGSEGV);
	say("raised: code %d", fault_code == SI_TKILL);
	T(sigaction(SIGSEGV, NULL, &was));
	say("still its own: %d, flags %x", was.sa_sigaction == on_fault, was.sa_flags & ~0x04000000);
	MUST(signal(SIGSEGV, SIG_DFL) == SIG_ERR ? -1 : 0);
	T(write(fd, nowhere, 10));
	T(recv(fd, good, 10, MSG_DONTWAIT));
	meet();
	MUST(close(fd));
	pages_free();
}

static void die_by(void (*how)(void))
{
	pid_t pid = MUST(fork());

	if (!pid) {
		how();
		_exit(0);
	}
	say_child("child", pid);
}

static void by_store(void)
{
	*(volatile char *)nowhere = 1;
}

static void by_raise(void)
{
	raise(SIGSEGV);
}

static void by_second_store(void)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER};

	MUST(sigaction(SIGSEGV, &sa, NULL));
	if (!sigsetjmp(back, 1))
		by_store();
	by_store();
}

static void by_ignored_store(void)
{
	MUST(signal(SIGSEGV, SIG_IGN) == SIG_ERR ? -1 : 0);
	raise(SIGSEGV);
	by_store();
}

static void by_bus(void)
{
	raise(SIGBUS);
}

static void deaths_server(void)
{
	int fd;

	pages_make();
	fd = pair();
	T(write(fd, nowhere, 10));
	die_by(by_store);
	die_by(by_raise);
	die_by(by_second_store);
	die_by(by_ignored_store);
	die_by(by_bus);
	T(write(fd, nowhere, 10));
	meet();
	MUST(close(fd));
	pages_free();
}

/* A mapped file that has become shorter: SIGBUS, to calls EFAULT. */
static void bus_server(void)
{
	FILE *f = tmpfile();
	char *map;
	int fd = pair();

	MUST(f ? ftruncate(fileno(f), PAGE) : -1);
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
	MUST(map == MAP_FAILED ? -1 : 0);
	MUST(ftruncate(fileno(f), 0));
	T(write(fd, map, 10));
	T(getsockname(fd, (void *)map, &(socklen_t){16}));
	meet();
	MUST(munmap(map, PAGE));
	fclose(f);
	MUST(close(fd));
}

static const struct posix_case cases[] = {
    BOTH(receiving),
    BOTH(sending),
    BOTH(waits_first),
    BOTH(urgent),
    BOTH(messages),
    BOTH(names),
    {"options", options_server, connected_client},
    {"waiting", waiting_server, connected_client},
    {"epolls", epolls_server, connected_client},
    {"controls", controls_server, connected_client},
    {"own_handler", own_handler_server, connected_client},
    {"deaths", deaths_server, connected_client},
    {"bus", bus_server, connected_client},
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
