/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_exec.c - connections and listeners that another program gets: by exec, under the standard numbers (inetd(8)) or others, by
 * posix_spawn(3) and system(3), by SCM_RIGHTS (unix(7)).  The program is this one again, in one of the roles below, or cat(1).
 */
#include "posix.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define SELF "/proc/self/exe"
#define BULK 3000000

/* ---- the new program's roles; they answer through the connection, and by their exit status
 * ----------------------------------------- */

static void put_addr(char *out, size_t size, const struct sockaddr_storage *ss, socklen_t len)
{
	const struct sockaddr_in *in = (const void *)ss;

	snprintf(out, size, "family %d, %u bytes, %s", ss->ss_family, len, inet_ntoa(in->sin_addr));
}

/* What the socket says of itself. */
static int role_names(int fd, const char *arg)
{
	struct sockaddr_storage own, peer;
	socklen_t own_len = sizeof(own), peer_len = sizeof(peer), len = sizeof(int);
	char text[600], own_text[100], peer_text[100];
	int type = -1, domain = -1, protocol = -1, listens = -1, on = 1, rc[6];

	rc[0] = getsockname(fd, (struct sockaddr *)&own, &own_len);
	rc[1] = getpeername(fd, (struct sockaddr *)&peer, &peer_len);
	rc[2] = getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) | getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) |
		getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len);
	rc[3] = getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len);
	rc[4] = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	rc[5] = setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	put_addr(own_text, sizeof(own_text), &own, own_len);
	put_addr(peer_text, sizeof(peer_text), &peer, peer_len);
	snprintf(text, sizeof(text),
		 "own %d %s port %d; peer %d %s; %d type %d domain %d protocol %d; %d listens %d; %d %d; fl %o\n", rc[0],
		 own_text, ntohs(((struct sockaddr_in *)&own)->sin_port) - atoi(arg), rc[1], peer_text, rc[2], type, domain,
		 protocol, rc[3], listens, rc[4], rc[5], fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : 1;
}

static int role_echo(int fd, const char *arg)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t done = 0, k; done < n; done += k)
			if ((k = write(fd, buf + done, (size_t)(n - done))) < 0)
				return 1;
	return n == 0 ? 0 : 2;
}

/* The environment is what it was given: nothing. */
static int role_environment(int fd, const char *arg)
{
	char text[100];

	snprintf(text, sizeof(text), "variables: %s\n", environ && environ[0] ? environ[0] : "none");
	return write(fd, text, strlen(text)) > 0 ? role_names(fd, arg) : 1;
}

static int role_is_closed(int fd, const char *arg)
{
	return fcntl(fd, F_GETFD) == -1 && errno == EBADF ? 0 : 1;
}

/* Take one connection, answer it, and one more. */
static int role_accept(int fd, const char *arg)
{
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in from;
		socklen_t len = sizeof(from);
		char text[100];
		int c = accept(fd, (struct sockaddr *)&from, &len);

		if (c < 0)
			return 1;
		snprintf(text, sizeof(text), "accepted from family %d, %u bytes, %s\n", from.sin_family, len,
			 inet_ntoa(from.sin_addr));
		if (write(c, text, strlen(text)) < 0 || role_names(c, arg) || close(c))
			return 2;
	}
	return 0;
}

/* Wait for a word, exec once more. */
static int role_again(int fd, const char *arg)
{
	char number[16], c;

	if (read(fd, &c, 1) != 1)
		return 1;
	snprintf(number, sizeof(number), "%d", fd);
	execl(SELF, "t_exec", "as", "names", number, arg, NULL);
	return 3;
}

static const struct {
	const char *name;
	int (*run)(int fd, const char *arg);
} roles[] = {
    {"names", role_names},	   {"echo", role_echo},	    {"environment", role_environment},
    {"is_closed", role_is_closed}, {"accept", role_accept}, {"again", role_again},
};

/* ---- starting it -------------------------------------------------------------------------------------------------------------
 */

/* What to run, for an exec: this program in a role on a descriptor. */
struct command {
	char fd[16], port[16];
	char *argv[6];
};

static char *const *command(struct command *c, const char *role, int fd)
{
	snprintf(c->fd, sizeof(c->fd), "%d", fd);
	snprintf(c->port, sizeof(c->port), "%d", port(0));
	c->argv[0] = "t_exec";
	c->argv[1] = "as";
	c->argv[2] = (char *)role;
	c->argv[3] = c->fd;
	c->argv[4] = c->port;
	c->argv[5] = NULL;
	return c->argv;
}

/* The frame's sockets are close-on-exec. */
static int inheritable(int fd)
{
	MUST(fcntl(fd, F_SETFD, 0));
	return fd;
}

/* A child with the connection as its standard input and output. */
static pid_t start_on_stdio(int fd, const char *role)
{
	struct command c;
	pid_t pid = MUST(fork());

	if (pid)
		return pid;
	dup2(fd, 0);
	dup2(fd, 1);
	close(fd);
	execv(SELF, command(&c, role, 0));
	_exit(99);
}

/* What the server answers until it closes. */
static void say_text(int fd)
{
	char text[4096], *line, *save;
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, text + len, sizeof(text) - 1 - len, 0)) > 0)
		len += (size_t)n;
	text[len] = 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		say("%s", line);
	say("then %zd", n);
}

static void text_client(void)
{
	int fd = pair();

	say_text(fd);
	T(close(fd));
}

static void echo_client(void)
{
	int fd = pair();

	send_pattern(fd, 10000, 0);
	T(shutdown(fd, SHUT_WR));
	say_if("all of it", recv_pattern(fd, 10000, 0) == 10000);
	say_text(fd);
	T(close(fd));
}

/* ---- exec --------------------------------------------------------------------------------------------------------------------
 */

static void inetd_server(void)
{
	int fd = pair();
	pid_t pid = start_on_stdio(fd, "echo");

	T(close(fd));
	say_child("child", pid);
}

static void cat_server(void)
{
	int fd = pair();
	pid_t pid = MUST(fork());

	if (pid == 0) {
		dup2(fd, 0);
		dup2(fd, 1);
		close(fd);
		execlp("cat", "cat", NULL);
		_exit(99);
	}
	T(close(fd));
	say_child("child", pid);
}

static void names_server(void)
{
	int fd = pair();
	pid_t pid = start_on_stdio(fd, "names");

	T(close(fd));
	say_child("child", pid);
}

static void clean_environment_server(void)
{
	char *const none[] = {NULL};
	int fd = pair();
	struct command c;
	pid_t pid = MUST(fork());

	if (pid == 0) {
		dup2(fd, 0);
		execve(SELF, command(&c, "environment", 0), none);
		_exit(99);
	}
	T(close(fd));
	say_child("child", pid);
}

/* Both ends of one socket at once: more than any buffer holds. */
static void bulk_server(void)
{
	inetd_server();
}

static void bulk_client(void)
{
	int fd = pair();
	pid_t pid = MUST(fork());

	if (pid == 0) {
		send_pattern(fd, BULK, 0);
		_exit(shutdown(fd, SHUT_WR) ? 1 : 0);
	}
	say_if("all of it", recv_pattern(fd, BULK, 0) == BULK);
	say_text(fd);
	say_child("sender", pid);
	T(close(fd));
}

/* A number that the parent keeps too while the program begins: closed, it is the program's alone. */
static void number_server(void)
{
	int fd = inheritable(pair());
	struct command c;
	pid_t pid = MUST(fork());

	if (pid == 0) {
		execv(SELF, command(&c, "echo", fd));
		_exit(99);
	}
	T(close(fd));
	say_child("child", pid);
}

/* The parent keeps it all the time, and only the program reads. */
static void kept_server(void)
{
	int fd = inheritable(pair());
	struct command c;
	pid_t pid = MUST(fork());

	if (pid == 0) {
		execv(SELF, command(&c, "echo", fd));
		_exit(99);
	}
	say_child("child", pid);
	MUST(send(fd, "parent\n", 7, 0));
	T(close(fd));
}

/* A program that has nothing to do with the connection it inherits takes nothing from it. */
static void leaked_server(void)
{
	int fd = inheritable(pair()), hold[2];
	char buf[100];
	pid_t pid;

	MUST(pipe(hold));
	pid = MUST(fork());
	if (pid == 0) {
		dup2(hold[0], 0);
		close(hold[0]);
		close(hold[1]);
		execlp("cat", "cat", NULL);
		_exit(99);
	}
	tell("started");
	for (int i = 0; i < 20; i++) {
		MUST(recv(fd, buf, sizeof(buf), MSG_WAITALL));
		MUST(send(fd, buf, sizeof(buf), 0));
	}
	MUST(close(hold[0]));
	MUST(close(hold[1]));
	say_child("child", pid);
	T(close(fd));
}

static void leaked_client(void)
{
	int fd = pair();
	size_t right = 0;

	hear("started");
	for (int i = 0; i < 20; i++) {
		send_pattern(fd, 100, 0);
		right += recv_pattern(fd, 100, 0);
	}
	say_if("all of it", right == 2000);
	say_text(fd);
	T(close(fd));
}

static void cloexec_server(void)
{
	int fd = pair();
	struct command c;
	pid_t pid;

	T(fcntl(fd, F_SETFD, FD_CLOEXEC));
	pid = MUST(fork());
	if (pid == 0) {
		execv(SELF, command(&c, "is_closed", fd));
		_exit(99);
	}
	say_child("child", pid);
	MUST(send(fd, "parent\n", 7, 0));
	T(close(fd));
}

/* What did not come about has changed nothing. */
static void fails_server(void)
{
	char *const argv[] = {"nothing", NULL};
	int fd = inheritable(pair());
	char buf[100];

	for (int i = 0; i < 3; i++) {
		T(execv("/nonexistent/program", argv));
		T(execvp("no-such-program", argv));
		T(execv("/", argv));
		MUST(recv(fd, buf, sizeof(buf), MSG_WAITALL));
		MUST(send(fd, buf, sizeof(buf), 0));
	}
	T(fcntl(fd, F_GETFD));
	T(close(fd));
}

static void fails_client(void)
{
	int fd = pair();

	for (int i = 0; i < 3; i++) {
		send_pattern(fd, 100, 0);
		say_if("answer", recv_pattern(fd, 100, 0) == 100);
	}
	say_text(fd);
	T(close(fd));
}

static void twice_server(void)
{
	int fd = pair();
	pid_t pid = start_on_stdio(fd, "again");

	T(close(fd));
	say_child("child", pid);
}

static void twice_client(void)
{
	int fd = pair();

	MUST(send(fd, "x", 1, 0));
	say_text(fd);
	T(close(fd));
}

static void killed_server(void)
{
	int fd = pair();
	pid_t pid = start_on_stdio(fd, "echo");

	T(close(fd));
	hear("kill it");
	MUST(kill(pid, SIGKILL));
	say_child("child", pid);
}

static void killed_client(void)
{
	int fd = pair();

	send_pattern(fd, 100, 0);
	say_if("answer", recv_pattern(fd, 100, 0) == 100);
	tell("kill it");
	say_text(fd);
	T(close(fd));
}

/* The peer's close ends the program. */
static void peer_closes_server(void)
{
	inetd_server();
}

static void peer_closes_client(void)
{
	int fd = pair();

	send_pattern(fd, 100, 0);
	say_if("answer", recv_pattern(fd, 100, 0) == 100);
	T(close(fd));
}

/* ---- posix_spawn, system -----------------------------------------------------------------------------------------------------
 */

static void spawned_server(void)
{
	int fd = pair();
	posix_spawn_file_actions_t fa;
	struct command c;
	pid_t pid;

	MUST(fcntl(fd, F_SETFD, FD_CLOEXEC));
	MUST(posix_spawn_file_actions_init(&fa));
	MUST(posix_spawn_file_actions_adddup2(&fa, fd, 0));
	MUST(posix_spawn_file_actions_adddup2(&fa, fd, 1));
	T(posix_spawn(&pid, SELF, &fa, NULL, command(&c, "names", 0), environ));
	say_child("child", pid);
	T(posix_spawn(&pid, "/nonexistent", &fa, NULL, command(&c, "names", 0), environ));
	T(posix_spawnp(&pid, "no-such-program", &fa, NULL, command(&c, "names", 0), environ));
	MUST(posix_spawn_file_actions_destroy(&fa));
	T(close(fd));
}

static void system_server(void)
{
	int fd = pair();
	pid_t pid = MUST(fork());

	if (pid == 0) {
		dup2(fd, 0);
		dup2(fd, 1);
		close(fd);
		_exit(system("read word; echo got $word; exit 7") >> 8);
	}
	T(close(fd));
	say_child("child", pid);
}

static void system_client(void)
{
	int fd = pair();

	MUST(send(fd, "hello\n", 6, 0));
	say_text(fd);
	T(close(fd));
}

/* ---- listeners ---------------------------------------------------------------------------------------------------------------
 */

static void listener_server(void)
{
	int fd = inheritable(listen_at(ANY_IP, port(0)));
	struct command c;
	pid_t pid = MUST(fork());

	if (pid == 0) {
		execv(SELF, command(&c, "accept", fd));
		_exit(99);
	}
	T(close(fd));
	tell("listening");
	say_child("child", pid);
}

static void listener_client(void)
{
	hear("listening");
	for (int i = 0; i < 2; i++) {
		int fd = connect_to(SERVER_IP, port(0));

		say_text(fd);
		T(close(fd));
	}
}

/* ---- SCM_RIGHTS --------------------------------------------------------------------------------------------------------------
 */

/* The receiver was there before the connection, as a worker that is handed its work. */
static void rights_server(void)
{
	int over[2], fd;
	char number[16];
	pid_t pid;

	snprintf(number, sizeof(number), "%d", port(0));
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, over));
	pid = MUST(fork());
	if (pid == 0) {
		close(over[0]);
		fd = receive_right(over[1]);
		_exit(fd < 0 ? 1 : role_names(fd, number) || role_echo(fd, NULL));
	}
	MUST(close(over[1]));
	fd = pair();
	T(send_right(over[0], fd));
	T(close(fd));
	say_child("child", pid);
	MUST(close(over[0]));
}

static void rights_client(void)
{
	int fd = pair();

	MUST(send(fd, "and back\n", 9, 0));
	T(shutdown(fd, SHUT_WR));
	say_text(fd);
	T(close(fd));
}

/* A message that cannot go leaves the connection where it is. */
static void rights_fail_server(void)
{
	int over[2], fd = pair();

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, over));
	MUST(close(over[1]));
	T(send_right(over[0], fd));
	MUST(close(over[0]));
	say("SIGPIPE: %d", sigpipes());
	MUST(send(fd, "still here\n", 11, 0));
	T(close(fd));
}

static const struct posix_case cases[] = {
    {"inetd", inetd_server, echo_client},
    {"cat", cat_server, echo_client},
    {"names", names_server, text_client},
    {"clean_environment", clean_environment_server, text_client},
    BOTH(bulk),
    {"number", number_server, echo_client},
    {"kept", kept_server, echo_client},
    BOTH(leaked),
    {"cloexec", cloexec_server, text_client},
    BOTH(fails),
    BOTH(twice),
    BOTH(killed),
    BOTH(peer_closes),
    {"spawned", spawned_server, text_client},
    BOTH(system),
    BOTH(listener),
    BOTH(rights),
    {"rights_fail", rights_fail_server, text_client},
};

int main(int argc, char **argv)
{
	if (argc != 5 || strcmp(argv[1], "as"))
		return posix_main(argc, argv, cases, LEN(cases));
	for (size_t i = 0; i < LEN(roles); i++)
		if (!strcmp(argv[2], roles[i].name))
			return roles[i].run(atoi(argv[3]), argv[4]);
	return 98;
}
