/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_io.c - every call that moves bytes over a connection, its odd arguments, and large transfers with their checksums.
 */
#include "posix.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

/* The compiler must not know lengths, or the fortified build would not check them at run time. */
static volatile size_t ten = 10;

static void each_call_server(void)
{
	char buf[64], more[64];
	struct iovec iov[2] = {{buf, 3}, {more, sizeof(more)}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	int fd = pair();

	T(read(fd, buf, ten));
	tell("next");
	T(recv(fd, buf, ten, 0));
	tell("next");
	T(recvfrom(fd, buf, ten, 0, NULL, NULL));
	tell("next");
	T(readv(fd, iov, 2));
	tell("next");
	T(recvmsg(fd, &msg, 0));
	tell("next");
	T(preadv2(fd, iov, 2, -1, 0));
	tell("next");
	say("last sum %08x", sum(sum(SUM_INIT, buf, 3), more, 4));
	T(read(fd, buf, ten));
	T(close(fd));
}

static void each_call_client(void)
{
	char buf[8] = "message";
	struct iovec iov[2] = {{buf, 3}, {buf + 3, 4}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	int fd = pair();

	T(write(fd, buf, 7));
	hear("next");
	T(send(fd, buf, 7, 0));
	hear("next");
	T(sendto(fd, buf, 7, 0, NULL, 0));
	hear("next");
	T(writev(fd, iov, 2));
	hear("next");
	T(sendmsg(fd, &msg, 0));
	hear("next");
	T(pwritev2(fd, iov, 2, -1, 0));
	hear("next");
	T(close(fd));
}

/* Nothing to move. */
static void zero_lengths_body(int fd)
{
	char buf[4];
	struct iovec none = {buf, 0};
	struct msghdr msg = {.msg_iov = &none, .msg_iovlen = 1}, empty = {0};

	T(read(fd, buf, 0));
	T(read(fd, NULL, 0));
	/* recv() of nothing waits for something on Linux. */
	T(recv(fd, buf, 0, MSG_DONTWAIT));
	T(recv(fd, NULL, 0, MSG_DONTWAIT));
	T(readv(fd, &none, 0));
	T(readv(fd, &none, 1));
	T(recvmsg(fd, &msg, MSG_DONTWAIT));
	T(recvmsg(fd, &empty, MSG_DONTWAIT));
	T(write(fd, buf, 0));
	T(write(fd, NULL, 0));
	T(send(fd, buf, 0, 0));
	T(send(fd, NULL, 0, 0));
	T(writev(fd, &none, 0));
	T(writev(fd, &none, 1));
	T(sendmsg(fd, &msg, 0));
	T(sendmsg(fd, &empty, 0));
	tell("done");
	hear("sent");
	await(fd, POLLIN);
	T(read(fd, buf, 0));
	T(recv(fd, buf, 0, 0));
	T(recv(fd, buf, 4, 0));
	T(close(fd));
}

static void zero_lengths_client(void)
{
	int fd = pair();

	hear("done");
	T(send(fd, "data", 4, 0));
	tell("sent");
	meet();
	T(close(fd));
}

static void zero_lengths_server(void)
{
	zero_lengths_body(pair());
	meet();
}

static void null_pointers_server(void)
{
	struct iovec iov = {NULL, 4};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	char buf[8];
	int fd = pair();

	await_inq(fd, 4);
	T(read(fd, NULL, ten));
	T(recv(fd, NULL, ten, 0));
	T(recvfrom(fd, NULL, ten, 0, NULL, NULL));
	T(readv(fd, &iov, 1));
	T(readv(fd, NULL, 1));
	T(recvmsg(fd, &msg, 0));
	T(recvmsg(fd, NULL, 0));
	T(write(fd, NULL, ten));
	T(send(fd, NULL, ten, 0));
	T(writev(fd, &iov, 1));
	T(writev(fd, NULL, 1));
	T(sendmsg(fd, &msg, 0));
	T(sendmsg(fd, NULL, 0));
	/* None of them consumed anything. */
	T(read(fd, buf, sizeof(buf)));
	T(close(fd));
}

static void null_pointers_client(void)
{
	char buf[8];
	int fd = pair();

	T(write(fd, "data", 4));
	T(read(fd, buf, sizeof(buf)));
	T(close(fd));
}

static void iov_limits_server(void)
{
	static struct iovec iov[IOV_MAX + 1];
	char buf[4] = "xxx";
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = IOV_MAX + 1};
	int fd = pair();

	for (int i = 0; i <= IOV_MAX; i++)
		iov[i] = (struct iovec){buf, 1};
	T(writev(fd, iov, IOV_MAX + 1));
	T(writev(fd, iov, -1));
	T(readv(fd, iov, IOV_MAX + 1));
	T(readv(fd, iov, -1));
	T(sendmsg(fd, &msg, 0));
	T(recvmsg(fd, &msg, 0));
	msg.msg_iovlen = IOV_MAX;
	T(writev(fd, iov, IOV_MAX));
	T(sendmsg(fd, &msg, 0));
	iov[0].iov_len = (size_t)1 << 63;
	T(writev(fd, iov, 2));
	T(readv(fd, iov, 2));
	msg.msg_iovlen = 2;
	T(sendmsg(fd, &msg, 0));
	T(recvmsg(fd, &msg, 0));
	T(close(fd));
}

static void iov_limits_client(void)
{
	int fd = pair();

	recv_and_say("got", fd, 1 << 20);
	T(close(fd));
}

/* The address given with a message is none of TCP's business. */
static void with_address_server(void)
{
	struct sockaddr_in sa = addr4(NOBODY_IP, port(1));
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	char buf[16];
	struct iovec iov = {buf, sizeof(buf)};
	struct msghdr msg = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
	int fd = pair();

	memset(&from, 0xee, sizeof(from));
	T(recvfrom(fd, buf, ten, 0, SA(from), &len));
	say("length %u, family %04x", len, from.ss_family);
	tell("next");
	T(recvmsg(fd, &msg, 0));
	say("name length %u, family %04x, control length %zu, flags %x", msg.msg_namelen, from.ss_family, msg.msg_controllen,
	    (unsigned)msg.msg_flags);
	T(sendto(fd, "reply", 5, 0, SA(sa), sizeof(sa)));
	T(recvfrom(fd, buf, ten, 0, SA(from), NULL));
	len = -1;
	T(recvfrom(fd, buf, ten, 0, SA(from), &len));
	T(close(fd));
}

static void with_address_client(void)
{
	struct sockaddr_in sa = addr4(NOBODY_IP, port(1));
	struct iovec iov = {"hello", 5};
	struct msghdr msg = {.msg_name = &sa, .msg_namelen = sizeof(sa), .msg_iov = &iov, .msg_iovlen = 1};
	int fd = pair();

	T(sendto(fd, "hello", 5, 0, SA(sa), sizeof(sa)));
	hear("next");
	T(sendmsg(fd, &msg, 0));
	recv_and_say("reply", fd, 5);
	T(sendto(fd, "12345", 5, 0, SA(sa), 3));
	T(sendto(fd, "12345", 5, 0, SA(sa), -1));
	T(sendto(fd, "12345", 5, 0, SA(sa), 4000));
	T(close(fd));
}

/* sendto() with an address on a socket that is not connected: TCP would need Fast Open for that. */
static void unconnected_with_address(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket();

	T(sendto(fd, "x", 1, MSG_NOSIGNAL, SA(sa), sizeof(sa)));
	T(recvfrom(fd, &sa, 1, 0, SA(sa), &(socklen_t){sizeof(sa)}));
	T(close(fd));
}

static void control_data_server(void)
{
	char buf[16], control[64];
	struct iovec iov = {buf, sizeof(buf)};
	struct msghdr msg = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control), .msg_flags = 0x7fff};
	int fd = pair();

	T(recvmsg(fd, &msg, 0));
	tell("next");
	say("control length %zu, flags %x", msg.msg_controllen, (unsigned)msg.msg_flags);
	T(recvmsg(fd, &msg, MSG_CMSG_CLOEXEC));
	say("control length %zu, flags %x", msg.msg_controllen, (unsigned)msg.msg_flags);
	T(close(fd));
}

static void control_data_client(void)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {"hello", 5};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	int fd = pair();

	msg.msg_controllen = 4;
	T(sendmsg(fd, &msg, 0));
	hear("next");
	msg.msg_controllen = sizeof(control);
	control.head.cmsg_len = 1;
	T(sendmsg(fd, &msg, 0));
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	control.head.cmsg_type = 99;
	T(sendmsg(fd, &msg, 0));
	msg.msg_control = NULL;
	msg.msg_controllen = 0;
	T(sendmsg(fd, &msg, 0));
	T(close(fd));
}

static void mmsg_server(void)
{
	char buf[4][8];
	struct iovec iov[4];
	struct mmsghdr msgs[4] = {0};
	struct timespec none = {0};
	int fd = pair();

	for (int i = 0; i < 4; i++) {
		iov[i] = (struct iovec){buf[i], 5};
		msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	await_inq(fd, 15);
	T(recvmmsg(fd, msgs, 4, MSG_DONTWAIT, NULL));
	for (int i = 0; i < 4; i++)
		say("message %d: %u bytes, sum %08x", i, msgs[i].msg_len, sum(SUM_INIT, buf[i], msgs[i].msg_len));
	T(recvmmsg(fd, msgs, 4, MSG_DONTWAIT, NULL));
	T(recvmmsg(fd, msgs, 0, 0, NULL));
	tell("more");
	T(recvmmsg(fd, msgs, 4, MSG_WAITFORONE, NULL));
	tell("more");
	await_inq(fd, 5);
	T(recvmmsg(fd, msgs, 1, 0, &none));
	none.tv_nsec = -1;
	T(recvmmsg(fd, msgs, 1, 0, &none));
	tell("close");
	T(recvmmsg(fd, msgs, 2, 0, NULL));
	say("lengths %u %u", msgs[0].msg_len, msgs[1].msg_len);
	T(close(fd));
	T(recvmmsg(fd, msgs, 1, 0, NULL));
	T(sendmmsg(fd, msgs, 1, 0));
}

static void mmsg_client(void)
{
	static char text[3][6] = {"first", "secnd", "third"};
	struct iovec iov[3];
	struct mmsghdr msgs[3] = {0};
	int fd = pair();

	for (int i = 0; i < 3; i++) {
		iov[i] = (struct iovec){text[i], 5};
		msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	T(sendmmsg(fd, msgs, 3, 0));
	say("lengths %u %u %u", msgs[0].msg_len, msgs[1].msg_len, msgs[2].msg_len);
	T(sendmmsg(fd, msgs, 0, 0));
	hear("more");
	T(sendmmsg(fd, msgs, 1, 0));
	hear("more");
	T(sendmmsg(fd, msgs, 1, 0));
	hear("close");
	T(close(fd));
}

/* A socket has no position, no size and no pages. */
static void not_a_file_server(void)
{
	struct stat st;
	char buf[4] = "xxx";
	struct iovec iov = {buf, 4};
	int fd = pair();

	T(lseek(fd, 0, SEEK_SET));
	T(lseek(fd, 0, SEEK_CUR));
	T(pread(fd, buf, 4, 0));
	T(pwrite(fd, buf, 4, 0));
	T(preadv(fd, &iov, 1, 0));
	T(pwritev(fd, &iov, 1, 0));
	T(preadv2(fd, &iov, 1, 0, 0));
	T(pwritev2(fd, &iov, 1, 0, 0));
	T(preadv2(fd, &iov, 1, -1, RWF_NOWAIT));
	T(preadv2(fd, &iov, 1, -1, 0x10000000));
	T(fsync(fd));
	T(fdatasync(fd));
	T(ftruncate(fd, 0));
	T(posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL));
	T(fallocate(fd, 0, 0, 1));
	T(fstat(fd, &st));
	say_if("fstat says socket", S_ISSOCK(st.st_mode));
	T(isatty(fd));
	tell("close");
	T(read(fd, buf, 4));
	T(close(fd));
}

static void not_a_file_client(void)
{
	int fd = pair();

	hear("close");
	T(close(fd));
}

/* One case, many sizes: the checksum of the receiver must be the one on the kernel. */
static void sizes_server(void)
{
	static const size_t sizes[] = {1, 2, 1447, 1448, 1449, 4096, 65535, 65536, 65537, 1 << 20, 5000003};
	int fd = pair();

	for (size_t i = 0; i < LEN(sizes); i++) {
		recv_and_say("got", fd, sizes[i]);
		send_pattern(fd, sizes[i], i);
	}
	T(close(fd));
}

static void sizes_client(void)
{
	static const size_t sizes[] = {1, 2, 1447, 1448, 1449, 4096, 65535, 65536, 65537, 1 << 20, 5000003};
	int fd = pair();

	for (size_t i = 0; i < LEN(sizes); i++) {
		send_pattern(fd, sizes[i], i);
		recv_and_say("back", fd, sizes[i]);
	}
	T(close(fd));
}

/* 20,000 writes of odd sizes, read in other odd sizes. */
static void crumbs_server(void)
{
	char buf[512];
	uint32_t s = SUM_INIT;
	size_t total = 0, i = 0;
	ssize_t n;
	int fd = pair();

	while ((n = MUST(read(fd, buf, 1 + i++ * 37 % sizeof(buf)))) > 0) {
		s = sum(s, buf, n);
		total += n;
	}
	say("%zu bytes, sum %08x", total, s);
	T(close(fd));
}

static void crumbs_client(void)
{
	size_t at = 0;
	int fd = pair();

	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	for (size_t i = 0; i < 20000; i++) {
		size_t len = 1 + i * 13 % 200;

		send_pattern(fd, len, at);
		at += len;
	}
	T(close(fd));
}

/* A writer that nobody reads stops at EAGAIN; all that was accepted arrives. */
static void full_server(void)
{
	int fd = pair_small();
	long sent = hear_num();

	say_if("all arrived in order", recv_pattern(fd, sent, 0) == (size_t)sent);
	tell("read");
	T(recv_pattern(fd, 10, sent));
	T(close(fd));
}

static void full_client(void)
{
	static uint8_t buf[100000];
	size_t sent = 0;
	int fd = pair_small();

	set_nonblock(fd, true);
	for (;;) {
		ssize_t n;

		fill(buf, sizeof(buf), sent);
		n = send(fd, buf, sizeof(buf), 0);
		if (n < 0) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};

			MUST(errno == EAGAIN ? 0 : -1);
			/* The buffers on the way still take some: full is when nothing moves for a while. */
			if (poll(&p, 1, 300) == 0)
				break;
			continue;
		}
		if (sent == 0)
			say_if("the first send was partial", n > 0 && n < (ssize_t)sizeof(buf));
		sent += n;
	}
	tell_num(sent);
	hear("read");
	await(fd, POLLOUT);
	send_pattern(fd, 10, sent);
	T(close(fd));
}

/* A blocking send of more than all buffers hold returns only when everything is taken. */
static void blocking_large_server(void)
{
	int fd = pair_small();

	hear("go");
	recv_and_say("got", fd, 600000);
	T(close(fd));
}

static void blocking_large_client(void)
{
	size_t len = 600000;
	uint8_t *buf = malloc(len);
	int fd = pair_small();

	fill(buf, len, 0);
	tell("go");
	T(write(fd, buf, len));
	free(buf);
	T(close(fd));
}

/* Both ends send and receive 400 kB at the same time through small buffers, each with poll() and no thread. */
static void both_ways(int fd)
{
	enum { TOTAL = 400000 };
	size_t sent = 0, got = 0;
	uint32_t s = SUM_INIT;

	set_nonblock(fd, true);
	while (sent < TOTAL || got < TOTAL) {
		struct pollfd p = {.fd = fd, .events = (sent < TOTAL ? POLLOUT : 0) | (got < TOTAL ? POLLIN : 0)};
		uint8_t buf[7000];

		MUST(poll(&p, 1, -1));
		if (p.revents & POLLIN) {
			ssize_t n = MUST(recv(fd, buf, sizeof(buf), 0));

			s = sum(s, buf, n);
			got += n;
		}
		if (p.revents & POLLOUT) {
			size_t part = TOTAL - sent < sizeof(buf) ? TOTAL - sent : sizeof(buf);

			fill(buf, part, sent);
			sent += MUST(send(fd, buf, part, 0));
		}
	}
	say("sent %zu, got %zu, sum %08x", sent, got, s);
	meet();
	T(close(fd));
}

static void both_ways_server(void)
{
	both_ways(pair_small());
}

static void both_ways_client(void)
{
	both_ways(pair_small());
}

static const struct posix_case cases[] = {
    BOTH(each_call),	  BOTH(zero_lengths), BOTH(null_pointers),
    BOTH(iov_limits),	  BOTH(with_address), ALONE(unconnected_with_address),
    BOTH(control_data),	  BOTH(mmsg),	      BOTH(not_a_file),
    BOTH(sizes),	  BOTH(crumbs),	      BOTH(full),
    BOTH(blocking_large), BOTH(both_ways),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
