/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_peekoff.c - SO_PEEK_OFF (socket(7)): where MSG_PEEK begins, and how looking and reading move that.  TCP has it since
 * Linux 6.9; before, the option is refused and every look begins at the beginning, which the cases print just as well.
 */
#include "posix.h"

#include <poll.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static void look(const char *what, int fd, size_t n, int flags)
{
	char buf[64] = "";
	ssize_t got = recv(fd, buf, n, flags);

	if (got < 0)
		say("%s: %s", what, errno_name(errno));
	else
		say("%s: %zd \"%.*s\"", what, got, (int)got, buf);
}

static void say_offset(int fd)
{
	int at = -99;
	socklen_t len = sizeof(at);

	if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &at, &len) < 0)
		say("offset: %s", errno_name(errno));
	else
		say("offset %d", at);
}

static void set_offset(int fd, int at)
{
	T(setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &at, sizeof(at)));
}

static void moves_server(void)
{
	struct timeval soon = {.tv_usec = 20000};
	int fd = pair();

	say_offset(fd);
	tell("send");
	await_inq(fd, 10);
	look("before", fd, 3, MSG_PEEK);
	set_offset(fd, -2);
	set_offset(fd, 0);
	look("first", fd, 3, MSG_PEEK);
	say_offset(fd);
	look("second", fd, 3, MSG_PEEK);
	look("a read", fd, 2, 0);
	say_offset(fd);
	look("third", fd, 3, MSG_PEEK);
	look("the rest", fd, 20, MSG_PEEK);
	say_offset(fd);
	look("no more", fd, 20, MSG_PEEK | MSG_DONTWAIT);
	say_poll("but readable", fd);
	MUST(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon)));
	look("no more, after a while", fd, 20, MSG_PEEK);
	set_offset(fd, 5);
	look("from the fifth", fd, 2, MSG_PEEK);
	look("a read beyond", fd, 8, 0);
	say_offset(fd);
	set_offset(fd, 100);
	look("far away", fd, 2, MSG_PEEK | MSG_DONTWAIT);
	set_offset(fd, -1);
	tell("send");
	await_inq(fd, 10);
	look("switched off", fd, 3, MSG_PEEK);
	look("again", fd, 3, MSG_PEEK);
	say_offset(fd);
	MUST(close(fd));
}

static void moves_client(void)
{
	int fd = pair();

	for (int i = 0; i < 2; i++) {
		hear("send");
		MUST(send(fd, "0123456789", 10, 0));
	}
	T(recv(fd, &(char){0}, 1, 0));
	MUST(close(fd));
}

/* A look that must wait for what comes behind what was seen already, in one piece and in two. */
static void waits_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd;
	char buf[64];

	set_offset(listener, 0);
	tell("listening");
	fd = accept_one(listener);
	say_offset(fd);
	await_inq(fd, 4);
	look("at once", fd, 10, MSG_PEEK);
	tell("more");
	look("what came", fd, 4, MSG_PEEK);
	tell("more");
	look("all", fd, 8, MSG_PEEK | MSG_WAITALL);
	say_offset(fd);
	tell("more");
	await(fd, POLLRDHUP);
	look("the end", fd, 8, MSG_PEEK);
	T(recv(fd, buf, sizeof(buf), 0));
	say_offset(fd);
	MUST(close(fd));
	MUST(close(listener));
}

static void waits_client(void)
{
	int fd;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	MUST(send(fd, "0123", 4, 0));
	hear("more");
	MUST(usleep(10000));
	MUST(send(fd, "4567", 4, 0));
	hear("more");
	MUST(send(fd, "89ab", 4, 0));
	await_acked(fd);
	MUST(usleep(10000));
	MUST(send(fd, "cdef", 4, 0));
	hear("more");
	MUST(close(fd));
}

static const struct posix_case cases[] = {
    BOTH(moves),
    BOTH(waits),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
