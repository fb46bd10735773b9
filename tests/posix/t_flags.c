/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_flags.c - the MSG_* flags of recv() and send(), SIGPIPE, time limits, SO_RCVLOWAT, urgent data.
 */
#include "posix.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

static volatile size_t four = 4;

/* A line for what a recv() gave, with the bytes themselves. */
static void take(const char *what, int fd, size_t len, int flags)
{
	char buf[64] = "";
	ssize_t n = recv(fd, buf, len, flags);

	if (n < 0)
		say("%s: %s", what, errno_name(errno));
	else
		say("%s: %zd \"%.*s\"", what, n, (int)n, buf);
}

/* The client side of most cases: send these pieces, each when the server says so, then close when told. */
static void send_pieces(const char *const *pieces, int n)
{
	int fd = pair();

	for (int i = 0; i < n; i++) {
		MUST(send(fd, pieces[i], strlen(pieces[i]), 0));
		tell("sent");
		hear("next");
	}
	MUST(close(fd));
	tell("closed");
}

static void peek_server(void)
{
	char buf[3];
	struct iovec iov = {buf, 3};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int fd = pair();

	hear("sent");
	await_inq(fd, 6);
	take("peek 4", fd, four, MSG_PEEK);
	take("peek 4 again", fd, four, MSG_PEEK);
	take("peek 40", fd, 40, MSG_PEEK);
	T(recvmsg(fd, &msg, MSG_PEEK));
	say("flags %x", (unsigned)msg.msg_flags);
	take("read 2", fd, 2, 0);
	take("peek 40", fd, 40, MSG_PEEK | MSG_DONTWAIT);
	take("read 40", fd, 40, 0);
	take("peek none", fd, 40, MSG_PEEK | MSG_DONTWAIT);
	tell("next");
	hear("closed");
	await(fd, POLLRDHUP);
	take("peek end", fd, 40, MSG_PEEK);
	take("read end", fd, 40, 0);
	T(close(fd));
}

static void peek_client(void)
{
	send_pieces((const char *const[]){"abcdef"}, 1);
}

static void waitall_server(void)
{
	int fd = pair();

	hear("sent");
	tell("next");
	/* The rest comes while we wait. */
	take("waitall 8", fd, 8, MSG_WAITALL);
	hear("sent");
	tell("next");
	hear("sent");
	await_inq(fd, 3);
	take("waitall, dontwait", fd, 8, MSG_WAITALL | MSG_DONTWAIT);
	tell("next");
	take("waitall at the end", fd, 8, MSG_WAITALL);
	hear("closed");
	T(close(fd));
}

static void waitall_client(void)
{
	send_pieces((const char *const[]){"abc", "defgh", "ijk"}, 3);
}

static void waitall_end_server(void)
{
	int fd = pair();

	hear("sent");
	await_inq(fd, 3);
	take("peek all", fd, 3, MSG_WAITALL | MSG_PEEK);
	tell("next");
	take("waitall 8, the end comes", fd, 8, MSG_WAITALL);
	take("then", fd, 8, MSG_WAITALL);
	hear("closed");
	T(close(fd));
}

static void waitall_end_client(void)
{
	send_pieces((const char *const[]){"abc"}, 1);
}

static void dontwait_server(void)
{
	int fd = pair();

	take("nothing", fd, four, MSG_DONTWAIT);
	take("nothing, waitall", fd, four, MSG_DONTWAIT | MSG_WAITALL);
	tell("go");
	hear("sent");
	await_inq(fd, 4);
	take("something", fd, 40, MSG_DONTWAIT);
	tell("next");
	hear("closed");
	await(fd, POLLRDHUP);
	take("the end", fd, 40, MSG_DONTWAIT);
	T(close(fd));
}

static void dontwait_client(void)
{
	int fd = pair();

	hear("go");
	MUST(send(fd, "data", 4, MSG_DONTWAIT));
	tell("sent");
	hear("next");
	MUST(close(fd));
	tell("closed");
}

/* MSG_TRUNC throws bytes away, for TCP; the buffer is not touched. */
static void trunc_server(void)
{
	char buf[128];
	struct iovec iov = {buf, 3};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	int fd = pair();

	hear("sent");
	await_inq(fd, 16);
	memset(buf, '-', sizeof(buf));
	T(recv(fd, buf, 4, MSG_TRUNC));
	say("buffer \"%.4s\"", buf);
	T(recv(fd, NULL, 4, MSG_TRUNC));
	T(recv(fd, buf, 100, MSG_TRUNC | MSG_PEEK));
	say("buffer \"%.4s\"", buf);
	T(recvmsg(fd, &msg, MSG_TRUNC));
	say("buffer \"%.4s\", flags %x", buf, (unsigned)msg.msg_flags);
	take("the rest", fd, 40, 0);
	tell("next");
	hear("closed");
	T(close(fd));
}

static void trunc_client(void)
{
	send_pieces((const char *const[]){"0123456789abcdef"}, 1);
}

static void other_flags_server(void)
{
	int fd = pair();

	take("errqueue", fd, 4, MSG_ERRQUEUE);
	take("errqueue, dontwait", fd, 4, MSG_ERRQUEUE | MSG_DONTWAIT);
	hear("sent");
	await_inq(fd, 24);
	take("oob without any", fd, 4, MSG_OOB);
	take("eor", fd, 4, MSG_EOR);
	take("nosignal", fd, 4, MSG_NOSIGNAL);
	take("confirm", fd, 4, MSG_CONFIRM);
	take("unknown", fd, 4, 0x00400000);
	take("more", fd, 4, MSG_MORE);
	take("cmsg cloexec", fd, 4, MSG_CMSG_CLOEXEC);
	tell("next");
	hear("closed");
	T(close(fd));
}

static void other_flags_client(void)
{
	static const int flags[] = {0, MSG_EOR, MSG_CONFIRM, MSG_NOSIGNAL | MSG_DONTWAIT, MSG_ZEROCOPY, MSG_DONTROUTE};
	int fd = pair();

	for (size_t i = 0; i < LEN(flags); i++) {
		say("send with %x", (unsigned)flags[i]);
		T(send(fd, "data", 4, flags[i]));
	}
	tell("sent");
	hear("next");
	T(close(fd));
	tell("closed");
}

/* MSG_MORE holds a part of a segment back until the rest comes, or until 200 ms have passed. */
static void more_body(void)
{
	int fd = pair();
	int64_t start;

	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	hear("held");
	take("held back", fd, 40, MSG_DONTWAIT);
	tell("rest");
	hear("sent");
	await_inq(fd, 8);
	take("together", fd, 40, 0);
	tell("alone");
	start = now_ms();
	take("alone, in the end", fd, 40, 0);
	say_elapsed("within a moment", start, 0);
	tell("cork");
	hear("corked");
	take("corked", fd, 40, MSG_DONTWAIT);
	tell("uncork");
	await_inq(fd, 9);
	take("uncorked", fd, 40, 0);
	T(close(fd));
}

static void more_client(void)
{
	int fd = pair();

	T(send(fd, "head", 4, MSG_MORE));
	tell("held");
	hear("rest");
	T(send(fd, "tail", 4, 0));
	tell("sent");
	hear("alone");
	T(send(fd, "lone", 4, MSG_MORE));
	hear("cork");
	set_int(fd, IPPROTO_TCP, TCP_CORK, 1);
	T(send(fd, "one", 3, 0));
	T(send(fd, "two", 3, 0));
	tell("corked");
	hear("uncork");
	T(send(fd, "six", 3, 0));
	set_int(fd, IPPROTO_TCP, TCP_CORK, 0);
	meet();
	T(close(fd));
}

/* The end of a case is a meeting too: the extra one keeps the descriptor open until the server has read. */
static void more_server(void)
{
	more_body();
	meet();
}

static void sigpipe_server(void)
{
	T(close(pair()));
	tell("closed");
}

static void sigpipe_client(void)
{
	struct iovec iov = {"x", 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	struct mmsghdr mmsg = {.msg_hdr = msg};
	int fd = pair();

	hear("closed");
	await(fd, POLLRDHUP);
	T(send(fd, "first", 5, 0));
	await(fd, POLLHUP);
	T(send(fd, "x", 1, MSG_NOSIGNAL));
	T(sigpipes());
	T(send(fd, "x", 1, 0));
	T(sigpipes());
	T(write(fd, "x", 1));
	T(sigpipes());
	T(writev(fd, &iov, 1));
	T(sigpipes());
	T(sendto(fd, "x", 1, 0, NULL, 0));
	T(sigpipes());
	T(sendmsg(fd, &msg, 0));
	T(sigpipes());
	T(sendmsg(fd, &msg, MSG_NOSIGNAL));
	T(sigpipes());
	T(sendmmsg(fd, &mmsg, 1, 0));
	T(sigpipes());
	T(pwritev2(fd, &iov, 1, -1, 0));
	T(sigpipes());
	T(write(fd, "x", 0));
	T(sigpipes());
	T(close(fd));
}

static void sigpipe_after_shutdown_server(void)
{
	int fd = pair();

	T(shutdown(fd, SHUT_WR));
	T(write(fd, "x", 1));
	T(sigpipes());
	T(send(fd, "x", 1, MSG_NOSIGNAL));
	T(sigpipes());
	T(send(fd, "", 0, MSG_NOSIGNAL));
	recv_and_say("still reading", fd, 5);
	T(close(fd));
}

static void sigpipe_after_shutdown_client(void)
{
	int fd = pair();
	char c;

	T(recv(fd, &c, 1, 0));
	T(send(fd, "hello", 5, 0));
	T(close(fd));
}

static void receive_timeout_server(void)
{
	static const long usecs[] = {1, 30000, 100000};
	struct timeval tv = {0};
	int fd = pair();

	for (size_t i = 0; i < LEN(usecs); i++) {
		int64_t start = now_ms();

		tv.tv_usec = usecs[i];
		MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
		take("timeout", fd, 4, 0);
		say_elapsed("in time", start, usecs[i] / 1000);
	}
	tell("send");
	await_inq(fd, 3);
	/* What is there comes back at once, also if more was asked for; with MSG_WAITALL after the time. */
	take("some", fd, 2, MSG_WAITALL);
	take("less than wanted", fd, 4, MSG_WAITALL);
	take("nothing, dontwait", fd, 4, MSG_DONTWAIT);
	tv.tv_usec = 0;
	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	tell("more");
	take("no timeout", fd, 4, 0);
	T(close(fd));
}

static void receive_timeout_client(void)
{
	int fd = pair();

	hear("send");
	T(send(fd, "abc", 3, 0));
	hear("more");
	T(send(fd, "defg", 4, 0));
	T(close(fd));
}

static void send_timeout_server(void)
{
	int fd = pair_small();

	hear("done");
	T(close(fd));
}

static void send_timeout_client(void)
{
	static char buf[4000000];
	struct timeval tv = {.tv_usec = 80000};
	int64_t start;
	ssize_t n;
	int fd = pair_small();

	MUST(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	start = now_ms();
	n = send(fd, buf, sizeof(buf), 0);
	say_if("a partial count", n > 0 && n < (ssize_t)sizeof(buf));
	say_elapsed("after 80 ms", start, 80);
	/* The link may still take a little; in the end it is EAGAIN after the time. */
	do {
		start = now_ms();
		n = send(fd, buf, sizeof(buf), 0);
	} while (n > 0);
	say("then %zd %s", n, errno_name(errno));
	say_elapsed("after 80 ms", start, 80);
	tell("done");
	T(close(fd));
}

static void low_water_server(void)
{
	int fd = pair();

	set_int(fd, SOL_SOCKET, SO_RCVLOWAT, 5);
	hear("sent");
	await_inq(fd, 3);
	say_poll("3 bytes, 5 wanted", fd);
	take("dontwait", fd, 40, MSG_DONTWAIT);
	tell("next");
	/* In one piece: Linux does not wake a reader that took 3 bytes before by the 2 that were missing. */
	take("blocks until there are 5", fd, 40, 0);
	hear("sent");
	tell("next");
	hear("sent");
	await_inq(fd, 2);
	say_poll("2 bytes", fd);
	take("asked for less than the mark", fd, 2, 0);
	tell("next");
	hear("closed");
	await(fd, POLLIN);
	say_poll("the end", fd);
	take("the end", fd, 40, 0);
	T(close(fd));
}

static void low_water_client(void)
{
	send_pieces((const char *const[]){"abc", "defgh", "ij"}, 3);
}

/* A completion in the error queue for the one call that was made. */
static bool completed(int fd)
{
	char control[128];
	struct msghdr msg = {.msg_control = control, .msg_controllen = sizeof(control)};

	await(fd, POLLERR);
	return recvmsg(fd, &msg, MSG_ERRQUEUE) >= 0 && CMSG_FIRSTHDR(&msg);
}

static void zerocopy_server(void)
{
	int fd = pair();

	recv_and_say("got", fd, 1 << 20);
	MUST(close(fd));
}

/* Who takes the option must tell when the buffer is free again; refusing it is fair. */
static void zerocopy_client(void)
{
	static char buf[50000];
	int fd = pair(), on = 1;
	bool taken = setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)) == 0;

	fill(buf, sizeof(buf), 0);
	T(send(fd, buf, sizeof(buf), MSG_ZEROCOPY));
	say_if("refused, or completed", !taken || completed(fd));
	MUST(close(fd));
}

static const struct posix_case cases[] = {
    BOTH(peek),
    BOTH(waitall),
    BOTH(waitall_end),
    BOTH(dontwait),
    BOTH(trunc),
    BOTH(other_flags),
    BOTH(more),
    BOTH(sigpipe),
    BOTH(sigpipe_after_shutdown),
    BOTH(receive_timeout),
    BOTH(send_timeout),
    BOTH(low_water),
    BOTH(zerocopy),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
