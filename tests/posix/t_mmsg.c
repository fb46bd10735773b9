/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_mmsg.c - recvmmsg() and sendmmsg(): how many messages they do, what ends them, what is left for the next call; and
 * descriptors of connections passed by them.
 */
#include "posix.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define N 4
#define NOWHERE ((void *)16)

/* N messages of `size` bytes each. */
struct batch {
	char data[N][16];
	struct iovec iov[N];
	struct mmsghdr msgs[N];
};

static struct mmsghdr *batch(struct batch *b, size_t size)
{
	memset(b, 0, sizeof(*b));
	for (int i = 0; i < N; i++) {
		b->iov[i] = (struct iovec){b->data[i], size};
		b->msgs[i].msg_hdr = (struct msghdr){.msg_iov = &b->iov[i], .msg_iovlen = 1};
		b->msgs[i].msg_len = 99;
		memset(b->data[i], 'a' + i, size);
	}
	return b->msgs;
}

static void say_lengths(const char *what, const struct batch *b)
{
	say("%s: lengths %u %u %u %u", what, b->msgs[0].msg_len, b->msgs[1].msg_len, b->msgs[2].msg_len, b->msgs[3].msg_len);
}

static int pending(int fd)
{
	return get_int(fd, SOL_SOCKET, SO_ERROR);
}

/* ---- recvmmsg -----------------------------------------------------------------------------------------------------------------
 */

static void partial_server(void)
{
	struct batch b;
	int fd = pair();

	tell("go");
	await_inq(fd, 30);
	T(recvmmsg(fd, batch(&b, 4), 3, 0, NULL));
	say_lengths("whole", &b);
	batch(&b, 4)[1].msg_hdr.msg_iov = NOWHERE;
	T(recvmmsg(fd, b.msgs, N, 0, NULL));
	say_lengths("the second is bad", &b);
	/* The error of the second message is the next call's. */
	T(recvmmsg(fd, batch(&b, 4), 1, 0, NULL));
	T(recvmmsg(fd, batch(&b, 4), 1, 0, NULL));
	batch(&b, 4)[1].msg_hdr.msg_iovlen = 100000;
	T(recvmmsg(fd, b.msgs, N, 0, NULL));
	say("pending %s", errno_name(pending(fd)));
	T(recvmmsg(fd, batch(&b, 4), N, MSG_DONTWAIT, NULL));
	say_lengths("what is left", &b);
	say("pending %d", pending(fd));
	T(recvmmsg(fd, batch(&b, 4), N, MSG_DONTWAIT, NULL));
	T(recvmmsg(fd, batch(&b, 4), 0, 0, NULL));
	batch(&b, 4)[0].msg_hdr.msg_iov = NOWHERE;
	T(recvmmsg(fd, b.msgs, N, 0, NULL));
	say("pending %d", pending(fd));
	T(recvmmsg(fd, NOWHERE, N, 0, NULL));
	T(recvmmsg(fd, NULL, N, 0, NULL));
	tell("one");
	T(recvmmsg(fd, batch(&b, 4), N, MSG_WAITFORONE, NULL));
	say_lengths("wait for one", &b);
	tell("end");
	await(fd, POLLRDHUP);
	T(recvmmsg(fd, batch(&b, 4), N, 0, NULL));
	say_lengths("end of stream", &b);
	T(recvmmsg(fd, batch(&b, 4), N, MSG_ERRQUEUE, NULL));
	MUST(close(fd));
	T(recvmmsg(fd, batch(&b, 4), N, 0, NULL));
	fd = tcp_socket();
	T(recvmmsg(fd, batch(&b, 4), N, 0, NULL));
	MUST(close(fd));
}

static void partial_client(void)
{
	int fd = pair();

	hear("go");
	MUST(send(fd, "012345678901234567890123456789", 30, 0));
	hear("one");
	MUST(send(fd, "abcd", 4, 0));
	hear("end");
	MUST(close(fd));
}

static void say_left(const struct timespec *t, bool expected_all)
{
	say("left: %s", !t->tv_sec && !t->tv_nsec	   ? "nothing"
			: t->tv_sec < 0 || t->tv_sec > 100 ? "nonsense"
			: expected_all			   ? "most of it"
							   : "some");
}

/* The time-out is looked at behind each message only (recvmmsg(2), BUGS). */
static void timeouts_server(void)
{
	struct timespec t = {0}, bad = {.tv_sec = 1, .tv_nsec = 1000000000}, before = {.tv_sec = -1};
	struct batch b;
	int64_t start;
	int fd = pair();

	T(recvmmsg(fd, batch(&b, 4), N, 0, &bad));
	T(recvmmsg(fd, batch(&b, 4), N, 0, &before));
	T(recvmmsg(fd, batch(&b, 4), N, 0, NOWHERE));
	T(recvmmsg(fd, batch(&b, 4), N, MSG_DONTWAIT, &t));
	t = (struct timespec){.tv_sec = 50};
	T(recvmmsg(fd, batch(&b, 4), N, MSG_DONTWAIT, &t));
	say("untouched: %d", t.tv_sec == 50 && !t.tv_nsec);
	tell("sixteen");
	await_inq(fd, 16);
	T(recvmmsg(fd, batch(&b, 4), N, 0, &t));
	say_left(&t, true);
	tell("sixteen");
	await_inq(fd, 16);
	t = (struct timespec){0};
	T(recvmmsg(fd, batch(&b, 4), N, 0, &t));
	say_left(&t, false);
	T(recvmmsg(fd, batch(&b, 4), N, MSG_DONTWAIT, &t));
	say_left(&t, false);
	T(recvmmsg(fd, batch(&b, 4), N, MSG_DONTWAIT, NULL));
	/* Nothing is there: however short the time, the first message is waited for. */
	t = (struct timespec){.tv_nsec = 1000};
	start = now_ms();
	tell("late");
	T(recvmmsg(fd, batch(&b, 4), N, 0, &t));
	say_elapsed("waited", start, 100);
	say_left(&t, false);
	MUST(close(fd));
}

static void timeouts_client(void)
{
	int fd = pair();

	for (int i = 0; i < 2; i++) {
		hear("sixteen");
		MUST(send(fd, "0123456789abcdef", 16, 0));
	}
	hear("late");
	MUST(usleep(120000));
	MUST(send(fd, "late", 4, 0));
	T(recv(fd, &(char){0}, 1, 0));
	MUST(close(fd));
}

static void urgent_server(void)
{
	struct batch b;
	int fd = pair();

	tell("go");
	await(fd, POLLPRI);
	await_inq(fd, 4);
	batch(&b, 4);
	T(recvmmsg(fd, b.msgs, N, MSG_OOB, NULL));
	say("data '%c', flags OOB %d", b.data[0][0], (b.msgs[0].msg_hdr.msg_flags & MSG_OOB) != 0);
	T(recvmmsg(fd, batch(&b, 4), N, MSG_DONTWAIT, NULL));
	say_lengths("the stream", &b);
	MUST(close(fd));
}

static void urgent_client(void)
{
	int fd = pair();

	hear("go");
	MUST(send(fd, "abcd", 4, 0));
	MUST(send(fd, "!", 1, MSG_OOB));
	T(recv(fd, &(char){0}, 1, 0));
	MUST(close(fd));
}

/* ---- sendmmsg -----------------------------------------------------------------------------------------------------------------
 */

static void sending_server(void)
{
	int fd = pair();

	recv_and_say("all", fd, 1000);
	MUST(close(fd));
}

static void sending_client(void)
{
	struct batch b;
	int fd = pair();

	T(sendmmsg(fd, batch(&b, 4), N, 0));
	say_lengths("sent", &b);
	batch(&b, 4)[2].msg_hdr.msg_iov = NOWHERE;
	T(sendmmsg(fd, b.msgs, N, 0));
	say_lengths("the third is bad", &b);
	/* Unlike recvmmsg(), nothing is left for the next call. */
	say("pending %d", pending(fd));
	T(sendmmsg(fd, batch(&b, 0), N, 0));
	say_lengths("empty", &b);
	batch(&b, 4)[1].msg_hdr.msg_iovlen = 100000;
	T(sendmmsg(fd, b.msgs, N, 0));
	batch(&b, 4)[0].msg_hdr.msg_iovlen = 100000;
	T(sendmmsg(fd, b.msgs, N, 0));
	batch(&b, 4)[1].msg_hdr.msg_control = NOWHERE;
	b.msgs[1].msg_hdr.msg_controllen = 32;
	T(sendmmsg(fd, b.msgs, N, 0));
	T(sendmmsg(fd, batch(&b, 4), 0, 0));
	T(sendmmsg(fd, batch(&b, 4), 2, MSG_DONTWAIT | MSG_MORE));
	T(sendmmsg(fd, batch(&b, 4), 1, 0));
	MUST(shutdown(fd, SHUT_WR));
	T(sendmmsg(fd, batch(&b, 4), N, 0));
	T(sendmmsg(fd, batch(&b, 4), N, MSG_NOSIGNAL));
	say("signals %d", sigpipes());
	say_lengths("after the end", &b);
	MUST(close(fd));
	T(sendmmsg(fd, batch(&b, 4), N, 0));
}

/* ---- descriptors --------------------------------------------------------------------------------------------------------------
 */

union rights {
	char buf[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static void put_right(struct msghdr *msg, union rights *control, int fd)
{
	struct cmsghdr *c;

	msg->msg_control = control->buf;
	msg->msg_controllen = sizeof(control->buf);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
}

/* Two connections come with two of three messages: a greeting goes out on each. */
static int take_rights(int over)
{
	union rights control[3] = {0};
	struct batch b;

	batch(&b, 1);
	for (int i = 0; i < 3; i++) {
		b.msgs[i].msg_hdr.msg_control = control[i].buf;
		b.msgs[i].msg_hdr.msg_controllen = sizeof(control[i].buf);
	}
	if (recvmmsg(over, b.msgs, 3, MSG_WAITALL, NULL) != 3 || b.msgs[1].msg_hdr.msg_controllen)
		return 1;
	for (int i = 0; i < 3; i += 2) {
		struct cmsghdr *c = CMSG_FIRSTHDR(&b.msgs[i].msg_hdr);
		int fd;

		if (!c || c->cmsg_type != SCM_RIGHTS)
			return 2;
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		if (write(fd, i ? "second" : "first", 6) != 6 || close(fd))
			return 3;
	}
	return 0;
}

static void rights_server(void)
{
	union rights control[2] = {0};
	int over[2], first, second;
	struct batch b;
	pid_t pid;

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, over));
	pid = MUST(fork());
	if (pid == 0) {
		close(over[0]);
		_exit(take_rights(over[1]));
	}
	MUST(close(over[1]));
	first = pair_at(0);
	second = pair_at(1);
	batch(&b, 1);
	put_right(&b.msgs[0].msg_hdr, &control[0], first);
	put_right(&b.msgs[2].msg_hdr, &control[1], second);
	T(sendmmsg(over[0], b.msgs, 3, 0));
	say_lengths("sent", &b);
	MUST(close(first));
	MUST(close(second));
	say_child("child", pid);
	MUST(close(over[0]));
}

static void rights_client(void)
{
	int first = pair_at(0), second = pair_at(1);

	recv_and_say("first", first, 100);
	recv_and_say("second", second, 100);
	MUST(close(first));
	MUST(close(second));
}

static const struct posix_case cases[] = {
    BOTH(partial), BOTH(timeouts), BOTH(urgent), BOTH(sending), BOTH(rights),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
