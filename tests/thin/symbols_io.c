/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symbols_io.c - receiving and sending.
 */
#include "tests/thin/symbols.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/sendfile.h>

/* What the kernel says of wrong arguments is tested with wrong arguments. */
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"

ssize_t __read_chk(int fd, void *buf, size_t n, size_t buflen);
ssize_t __recv_chk(int fd, void *buf, size_t n, size_t buflen, int flags);
ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t buflen, int flags, struct sockaddr *sa, socklen_t *len);

/* ---- receiving --------------------------------------------------------------------------------------------------------------
 */

static struct iovec halves[2] = {{buf, 5}, {buf + 5, 200}};

void t_read(void)
{
	put();
	CHECK(read(s, NULL, 0) == 0);
	CHECK_FAILS(read(s, (void *)-4096l, 1), EFAULT);
	got(read(s, buf, sizeof(buf)));
}

static void overflow_read(void)
{
	__read_chk(s, buf, 10, 9);
}

void t___read_chk(void)
{
	put();
	got(__read_chk(s, buf, sizeof(buf), sizeof(buf)));
	aborts(overflow_read);
}

void t_readv(void)
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

void t_preadv2(void)
{
	preadv_with(preadv2);
}

void t_preadv64v2(void)
{
	preadv_with(preadv64v2);
}

void t_recv(void)
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

void t___recv_chk(void)
{
	put();
	got(__recv_chk(s, buf, sizeof(buf), sizeof(buf), MSG_DONTWAIT));
	aborts(overflow_recv);
}

void t_recvfrom(void)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);

	put();
	CHECK_FAILS(recvfrom(s, buf, 1, MSG_PEEK, (struct sockaddr *)&from, &(socklen_t){-1}), EINVAL);
	CHECK(recvfrom(s, buf, 1, MSG_PEEK, NULL, NULL) == 1);
	got(recvfrom(s, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len));
	CHECK(len == 0);
}

static void overflow_recvfrom(void)
{
	__recvfrom_chk(s, buf, 10, 9, 0, NULL, NULL);
}

void t___recvfrom_chk(void)
{
	put();
	got(__recvfrom_chk(s, buf, sizeof(buf), sizeof(buf), 0, NULL, NULL));
	aborts(overflow_recvfrom);
}

void t_recvmsg(void)
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

void t_recvmmsg(void)
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

void t_write(void)
{
	int l = listener();

	CHECK_FAILS(write(s, (void *)-4096l, 1), EFAULT);
	sent(write(s, TEXT, LEN));
	signal(SIGPIPE, count_pipe);
	CHECK_FAILS(write(l, "x", 1), EPIPE);
	CHECK(pipes == 1);
	CHECK_FAILS(send(l, "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK(pipes == 1);
	signal(SIGPIPE, SIG_DFL);
	close(l);
}

void t_writev(void)
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

void t_pwritev2(void)
{
	pwritev_with(pwritev2);
}

void t_pwritev64v2(void)
{
	pwritev_with(pwritev64v2);
}

void t_send(void)
{
	sent(send(s, TEXT, LEN, MSG_MORE));
	CHECK(c->flags == 0);
	CHECK(send(s, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 && c->flags == (MSG_DONTWAIT | MSG_NOSIGNAL));
}

void t_sendto(void)
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

void t_sendmsg(void)
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

void t_sendmmsg(void)
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

void t_sendfile(void)
{
	sendfile_with(sendfile);
}

void t_sendfile64(void)
{
	sendfile_with(sendfile64);
}

void t_splice(void)
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
