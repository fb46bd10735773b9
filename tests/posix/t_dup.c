/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_dup.c - several descriptors for one socket: dup(), dup2(), dup3(), F_DUPFD; closing many at once; stdio on a socket.
 */
#include "posix.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

/* From here on numbers are this program's own: the framework stays below. */
#define LOW 500

/* Wait for the end and say it, a line of its own per connection. */
static void say_end(int fd)
{
	char c;

	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

static void dup_keeps_open_server(void)
{
	int fd = pair(), copy = TFD(dup(fd));

	T(close(fd));
	T(send(fd, "x", 1, 0));
	T(send(copy, "by the copy", 11, 0));
	recv_and_say("by the copy", copy, 5);
	tell("still open");
	hear("seen");
	T(close(copy));
}

static void dup_keeps_open_client(void)
{
	int fd = pair();

	recv_and_say("got", fd, 11);
	T(send(fd, "hello", 5, 0));
	hear("still open");
	say_poll("open", fd);
	tell("seen");
	say_end(fd);
}

/* Status flags and options are the socket's, close-on-exec is the descriptor's. */
static void shared_flags_server(void)
{
	int fd = pair(), copy = dup(fd), exec_copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	set_nonblock(copy, true);
	T(fcntl(fd, F_GETFL) & O_NONBLOCK);
	set_int(copy, SOL_SOCKET, SO_KEEPALIVE, 1);
	T(get_int(fd, SOL_SOCKET, SO_KEEPALIVE));
	T(fcntl(fd, F_GETFD));
	T(fcntl(copy, F_GETFD));
	T(fcntl(exec_copy, F_GETFD));
	T(shutdown(copy, SHUT_WR));
	T(send(fd, "x", 1, MSG_NOSIGNAL));
	T(close(copy));
	T(close(exec_copy));
	T(close(fd));
}

static void shared_flags_client(void)
{
	say_end(pair());
}

static void fresh_copies_server(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket(), copy = TFD(dup(fd)), third, conn;

	set_int(copy, SOL_SOCKET, SO_REUSEADDR, 1);
	T(get_int(fd, SOL_SOCKET, SO_REUSEADDR));
	T(bind(copy, SA(sa), sizeof(sa)));
	third = TFD(dup(fd));
	T(listen(fd, 5));
	T(get_int(copy, SOL_SOCKET, SO_ACCEPTCONN));
	T(get_int(third, SOL_SOCKET, SO_ACCEPTCONN));
	T(close(fd));
	tell("listening");
	conn = TFD(accept(third, NULL, NULL));
	T(send(conn, "hello", 5, 0));
	MUST(close(conn));
	T(close(third));
	T(close(copy));
}

static void fresh_copies_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket(), copy = TFD(fcntl(fd, F_DUPFD, LOW)), second = TFD(dup2(copy, LOW + 50));

	hear("listening");
	set_nonblock(fd, true);
	T(fcntl(second, F_GETFL) & O_NONBLOCK);
	set_nonblock(second, false);
	T(connect(copy, SA(sa), sizeof(sa)));
	T(connect(fd, SA(sa), sizeof(sa)));
	recv_and_say("by the first", fd, 2);
	recv_and_say("by the third", second, 3);
	T(close(copy));
	T(close(fd));
	say_end(second);
}

/* A copy made before, used after the kernel got the socket: loopback. */
static void fresh_copies_kernel(void)
{
	struct sockaddr_in sa = addr4("127.0.0.1", port(0));
	int fd = tcp_socket(), copy = dup(fd), client = tcp_socket(), client_copy = dup(client), conn;

	T(bind(fd, SA(sa), sizeof(sa)));
	T(listen(copy, 5));
	T(close(fd));
	T(connect(client_copy, SA(sa), sizeof(sa)));
	conn = TFD(accept(copy, NULL, NULL));
	T(send(client, "hello", 5, 0));
	recv_and_say("got", conn, 5);
	MUST(close(conn));
	MUST(close(client));
	MUST(close(client_copy));
	MUST(close(copy));
}

static void dup2_over_server(void)
{
	int a = pair_at(0), b = pair_at(1), pipes[2];

	/* b's connection ends, its number goes on as a's. */
	T(dup2(a, b) == b);
	tell("over b");
	T(send(b, "to a", 4, 0));
	MUST(pipe(pipes));
	/* A pipe's number becomes the socket's, the socket's the pipe's. */
	T(dup2(a, pipes[1]) == pipes[1]);
	T(send(pipes[1], "to a", 4, 0));
	T(dup2(pipes[0], a) == a);
	T(read(a, &(char){0}, 1));
	T(send(a, "x", 1, 0));
	T(close(a));
	T(close(pipes[0]));
	T(close(pipes[1]));
	tell("last");
	T(close(b));
}

static void dup2_over_client(void)
{
	int a = pair_at(0), b = pair_at(1);

	hear("over b");
	say_end(b);
	recv_and_say("got", a, 8);
	hear("last");
	say_end(a);
}

static void dup_errors_server(void)
{
	int fd = pair();

	T(dup(-1));
	T(dup2(-1, fd));
	T(dup2(fd, -1));
	T(dup2(fd, INT_MAX));
	T(dup2(fd, fd) == fd);
	T(dup3(fd, fd, 0));
	T(dup3(fd, LOW, O_NONBLOCK));
	T(dup3(-1, LOW, 0));
	T(dup3(fd, LOW, O_CLOEXEC));
	T(fcntl(LOW, F_GETFD));
	T(fcntl(fd, F_DUPFD, -1));
	T(fcntl(fd, F_DUPFD, INT_MAX));
	T(fcntl(fd, F_DUPFD, LOW));
	T(fcntl(fd, F_DUPFD_CLOEXEC, LOW));
	T(fcntl(LOW + 2, F_GETFD));
	T(close(LOW));
	T(close(LOW + 1));
	T(close(LOW + 2));
	T(dup2(LOW, fd));
	T(send(fd, "alive", 5, 0));
	T(close(fd));
}

static void dup_errors_client(void)
{
	int fd = pair();

	recv_and_say("got", fd, 5);
	say_end(fd);
}

/* A copy of a closed number is a new descriptor, not the old socket. */
static void reused_number_server(void)
{
	int fd = pair(), copy = MUST(fcntl(fd, F_DUPFD, LOW + 20)), pipes[2];

	MUST(close(fd));
	MUST(pipe(pipes));
	T(send(copy, "x", 1, 0));
	T(dup2(pipes[0], copy) == copy);
	T(write(pipes[1], "pipe", 4));
	T(read(copy, (char[8]){0}, 8));
	T(send(copy, "x", 1, 0));
	MUST(close(copy));
	MUST(close(pipes[0]));
	MUST(close(pipes[1]));
}

static void reused_number_client(void)
{
	int fd = pair();

	recv_and_say("got", fd, 1);
	say_end(fd);
}

static void close_range_server(void)
{
	int a = pair_at(0), b = pair_at(1), c = pair_at(2), fresh = tcp_socket();

	MUST(dup2(a, LOW));
	MUST(dup2(b, LOW + 2));
	MUST(dup2(c, LOW + 4));
	MUST(dup2(fresh, LOW + 5));
	MUST(close(a));
	MUST(close(b));
	MUST(close(c));
	MUST(close(fresh));
	T(close_range(LOW + 4, LOW, 0));
	T(close_range(LOW, LOW + 9, 0x80));
	T(close_range(LOW + 3, LOW + 9, CLOSE_RANGE_CLOEXEC));
	T(fcntl(LOW + 2, F_GETFD));
	T(fcntl(LOW + 4, F_GETFD));
	T(close_range(LOW, LOW + 3, 0));
	T(send(LOW, "x", 1, 0));
	T(send(LOW + 2, "x", 1, 0));
	tell("two closed");
	hear("seen");
	T(send(LOW + 4, "alive", 5, 0));
	T(close_range(LOW + 4, LOW + 99, 0));
	T(send(LOW + 4, "x", 1, 0));
	T(fcntl(LOW + 5, F_GETFD));
}

static void close_range_client(void)
{
	int a = pair_at(0), b = pair_at(1), c = pair_at(2);

	hear("two closed");
	say_end(a);
	say_end(b);
	tell("seen");
	recv_and_say("got", c, 5);
	say_end(c);
}

/* What daemons do at start-up: close every number there may be.  The library's own descriptors are out of reach. */
static void close_all_server(void)
{
	int fd = pair(), epfd = epoll_create1(0), limit = sysconf(_SC_OPEN_MAX), closed = 0;
	struct epoll_event ev = {.events = EPOLLIN};

	MUST(dup2(fd, LOW));
	MUST(dup2(fd, LOW + 3));
	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	for (int i = 0; i < limit && i < 100000; i++)
		if (i != fd && i != epfd && !is_framework_fd(i))
			closed += close(i) == 0;
	say("closed by a loop: %d", closed);
	MUST(dup2(fd, LOW));
	closefrom(LOW);
	T(fcntl(LOW, F_GETFD));
	MUST(dup2(fd, LOW));
	T(close_range(LOW, ~0U, 0));
	T(fcntl(LOW, F_GETFD));
	tell("send");
	T(epoll_wait(epfd, &ev, 1, -1));
	recv_and_say("still working", fd, 5);
	T(send(fd, "and back", 8, 0));
	MUST(close(epfd));
	MUST(close(fd));
	fd = pair_at(1);
	recv_and_say("a new one too", fd, 5);
	MUST(close(fd));
}

static void close_all_client(void)
{
	int fd = pair();

	hear("send");
	MUST(send(fd, "hello", 5, 0));
	recv_and_say("got", fd, 8);
	say_end(fd);
	fd = pair_at(1);
	MUST(send(fd, "hello", 5, 0));
	MUST(close(fd));
}

/* No number left: the connection waits in the queue until there is one. */
static void no_numbers_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd[64], n = 0;
	struct rlimit limit, tight;

	getrlimit(RLIMIT_NOFILE, &limit);
	tight = limit;
	tight.rlim_cur = listener + 20;
	tell("listening");
	hear("connected");
	await(listener, POLLIN);
	MUST(setrlimit(RLIMIT_NOFILE, &tight));
	while (n < (int)LEN(fd) && (fd[n] = dup(STDIN_FILENO)) >= 0)
		n++;
	T(accept(listener, NULL, NULL));
	T(socket(AF_INET, SOCK_STREAM, 0));
	T(dup(listener));
	say_poll("still waiting", listener);
	MUST(close(fd[--n]));
	fd[n] = TFD(accept(listener, NULL, NULL));
	T(send(fd[n], "hello", 5, 0));
	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	while (n >= 0)
		MUST(close(fd[n--]));
	MUST(close(listener));
}

static void no_numbers_client(void)
{
	int fd;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	tell("connected");
	recv_and_say("got", fd, 5);
	say_end(fd);
}

/* ---- stdio -------------------------------------------------------------------------------------------------------------------
 */

static void stdio_server(void)
{
	char line[64];
	int fd = pair();
	FILE *f = fdopen(fd, "r+");

	say_if("fdopen", f != NULL);
	say_if("fileno is the descriptor", fileno(f) == fd);
	say("line: %s", fgets(line, sizeof(line), f) ? strtok(line, "\n") : "none");
	fseek(f, 0, SEEK_CUR);
	T(fprintf(f, "number %d\n", 42));
	T(fflush(f));
	say("line: %s", fgets(line, sizeof(line), f) ? strtok(line, "\n") : "none");
	say("line: %s", fgets(line, sizeof(line), f) ? strtok(line, "\n") : "none");
	say_if("end of file", feof(f));
	say_if("error", ferror(f));
	T(fclose(f));
	T(fcntl(fd, F_GETFD));
}

static void stdio_client(void)
{
	char line[64] = "";
	int fd = pair();
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");

	setvbuf(out, NULL, _IOLBF, BUFSIZ);
	T(fputs("hello, world\n", out));
	say("line: %s", fgets(line, sizeof(line), in) ? strtok(line, "\n") : "none");
	T(fwrite("second", 1, 6, out));
	T(fputc('\n', out));
	T(fclose(out));
	T(shutdown(fd, SHUT_WR));
	say_if("end of file", fgetc(in) == EOF && feof(in));
	T(fclose(in));
}

static void stdio_modes_server(void)
{
	int fd = pair();
	FILE *f;

	f = fdopen(fd, "nonsense");
	say("a mode that is none: %s", f ? "a stream" : errno_name(errno));
	f = fdopen(-1, "r");
	say("no descriptor: %s", f ? "a stream" : errno_name(errno));
	f = fdopen(fd, "w");
	T(fseek(f, 0, SEEK_SET));
	T(ftell(f));
	T(fputs("some text", f));
	T(fclose(f));
}

static void stdio_modes_client(void)
{
	int fd = pair();

	recv_and_say("got", fd, 9);
	say_end(fd);
}

/* A large text through stdio, line by line. */
static void stdio_many_lines_server(void)
{
	char *line = NULL;
	size_t room = 0;
	uint32_t s = SUM_INIT;
	int lines = 0;
	FILE *f = fdopen(pair(), "r");
	ssize_t n;

	while ((n = getline(&line, &room, f)) > 0) {
		s = sum(s, line, n);
		lines++;
	}
	say("%d lines, sum %08x", lines, s);
	free(line);
	T(fclose(f));
}

static void stdio_many_lines_client(void)
{
	FILE *f = fdopen(pair(), "w");

	for (int i = 0; i < 20000; i++)
		fprintf(f, "line %d of many: %x\n", i, i * 2654435761u);
	T(fclose(f));
}

static void dprintf_server(void)
{
	int fd = pair();

	T(dprintf(fd, "%s %d\n", "text", 7));
	T(close(fd));
}

static void dprintf_client(void)
{
	int fd = pair();

	recv_and_say("got", fd, 7);
	say_end(fd);
}

static const struct posix_case cases[] = {
    BOTH(dup_keeps_open), BOTH(shared_flags), BOTH(fresh_copies),     ALONE(fresh_copies_kernel),
    BOTH(dup2_over),	  BOTH(dup_errors),   BOTH(reused_number),    BOTH(close_range),
    BOTH(stdio),	  BOTH(stdio_modes),  BOTH(stdio_many_lines), BOTH(dprintf),
    BOTH(close_all),	  BOTH(no_numbers),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
