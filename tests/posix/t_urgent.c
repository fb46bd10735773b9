/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_urgent.c - urgent data, out of line and in line: what is read when, the mark, and the events (RFC 6093 says: do not use it;
 * telnet and ftp still do).
 */
#include "posix.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <unistd.h>

static void take(const char *what, int fd, size_t len, int flags)
{
	char buf[64] = "";
	ssize_t n = recv(fd, buf, len, flags);

	if (n < 0)
		say("%s: %s", what, errno_name(errno));
	else
		say("%s: %zd \"%.*s\"", what, n, (int)n, buf);
}

static void say_mark(int fd)
{
	int mark = -1;

	T(ioctl(fd, SIOCATMARK, &mark));
	say("at the mark: %d", mark);
}

static void out_of_line_body(void)
{
	int fd = pair();

	take("none yet", fd, 1, MSG_OOB);
	tell("ready");
	hear("sent");
	await(fd, POLLPRI);
	await_inq(fd, 3);
	say_poll("abcXde", fd);
	say_mark(fd);
	take("peek the urgent byte", fd, 1, MSG_OOB | MSG_PEEK);
	take("before the mark", fd, 40, 0);
	say_mark(fd);
	take("the urgent byte", fd, 40, MSG_OOB);
	take("the urgent byte again", fd, 1, MSG_OOB);
	take("after the mark", fd, 40, 0);
	say_mark(fd);
	take("nothing left", fd, 40, MSG_DONTWAIT);
	T(close(fd));
}

static void out_of_line_client(void)
{
	int fd = pair();

	hear("ready");
	T(send(fd, "abcX", 4, MSG_OOB));
	T(send(fd, "de", 2, 0));
	tell("sent");
	meet();
	T(close(fd));
}

static void out_of_line_server(void)
{
	out_of_line_body();
	meet();
}

static void in_line_server(void)
{
	int fd = pair();

	set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
	tell("inline");
	hear("sent");
	await(fd, POLLPRI);
	await_inq(fd, 6);
	say_poll("abcXde", fd);
	take("with MSG_OOB", fd, 1, MSG_OOB);
	take("up to the mark", fd, 40, 0);
	say_mark(fd);
	take("behind the mark", fd, 40, 0);
	say_mark(fd);
	say_poll("read", fd);
	meet();
	T(close(fd));
}

static void in_line_client(void)
{
	int fd = pair();

	hear("inline");
	T(send(fd, "abcX", 4, MSG_OOB));
	T(send(fd, "de", 2, 0));
	tell("sent");
	meet();
	T(close(fd));
}

/* select()'s third set. */
static void exceptional_server(void)
{
	struct timeval tv = {5, 0};
	fd_set in, out, ex;
	int fd = pair();

	tell("ready");
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&ex);
	FD_SET(fd, &ex);
	T(select(fd + 1, NULL, NULL, &ex, &tv));
	say_if("exceptional", FD_ISSET(fd, &ex));
	tv = (struct timeval){0};
	FD_SET(fd, &in);
	FD_SET(fd, &out);
	FD_SET(fd, &ex);
	T(select(fd + 1, &in, &out, &ex, &tv));
	say("in %d, out %d, exceptional %d", FD_ISSET(fd, &in), FD_ISSET(fd, &out), FD_ISSET(fd, &ex));
	take("the byte", fd, 1, MSG_OOB);
	FD_SET(fd, &ex);
	T(select(fd + 1, NULL, NULL, &ex, &tv));
	meet();
	T(close(fd));
}

static void exceptional_client(void)
{
	int fd = pair();

	hear("ready");
	T(send(fd, "!", 1, MSG_OOB));
	meet();
	T(close(fd));
}

/* A second urgent byte before the first was read: the first falls back into the stream. */
static void twice_server(void)
{
	char c;
	int fd = pair();

	await_inq(fd, 4);
	hear("sent");
	await_inq(fd, 5);
	take("up to the mark", fd, 40, 0);
	take("the second urgent byte", fd, 1, MSG_OOB);
	take("the rest", fd, 40, MSG_DONTWAIT);
	T(recv(fd, &c, 1, MSG_OOB));
	meet();
	T(close(fd));
}

static void twice_client(void)
{
	int fd = pair();

	T(send(fd, "ab", 2, 0));
	T(send(fd, "X", 1, MSG_OOB));
	T(send(fd, "cd", 2, 0));
	T(send(fd, "Y", 1, MSG_OOB));
	tell("sent");
	meet();
	T(close(fd));
}

/* A read at the mark passes over the urgent byte, though nothing follows it: nothing is unread when the socket is closed. */
static void passed_over_server(void)
{
	int fd = pair();

	hear("sent");
	await(fd, POLLPRI);
	take("up to the mark", fd, 40, 0);
	say_mark(fd);
	take("a look", fd, 40, MSG_PEEK | MSG_DONTWAIT);
	say_mark(fd);
	take("a read", fd, 40, MSG_DONTWAIT);
	say_mark(fd);
	take("the byte", fd, 1, MSG_OOB);
	say_poll("then", fd);
	T(close(fd));
}

static void passed_over_client(void)
{
	int fd = pair();

	MUST(send(fd, "abc!", 4, MSG_OOB));
	tell("sent");
	T(recv(fd, &(char){0}, 1, 0));
	T(close(fd));
}

static const struct posix_case cases[] = {
    BOTH(out_of_line), BOTH(in_line), BOTH(exceptional), BOTH(twice), BOTH(passed_over),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
