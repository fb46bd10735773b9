/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_fork.c - fork() and what follows it when the child only closes, ends or runs another program: the parent's connections must
 * not notice.  (A child that goes on using a connection is a matter for other tests.)
 */
#include "posix.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A word there and back proves that the connection works. */
static void echo_server(int fd)
{
	recv_and_say("ping", fd, 4);
	MUST(send(fd, "pong", 4, 0));
}

static void echo_client(int fd)
{
	MUST(send(fd, "ping", 4, 0));
	recv_and_say("pong", fd, 4);
}

/* The client of all cases of one connection: a word before, a word after, then the end. */
static void one_connection_client(void)
{
	char c;
	int fd = pair();

	echo_client(fd);
	hear("child is gone");
	say_poll("still open", fd);
	echo_client(fd);
	T(recv(fd, &c, 1, 0));
	T(close(fd));
}

static void child_exits_server(void)
{
	int fd = pair();
	pid_t pid;

	echo_server(fd);
	pid = MUST(fork());
	if (pid == 0)
		_exit(7);
	say_child("child", pid);
	tell("child is gone");
	echo_server(fd);
	T(close(fd));
}

/* exit() runs destructors in the child: they must leave the parent's connections alone. */
static void child_exits_fully_server(void)
{
	int fd = pair();
	pid_t pid;

	echo_server(fd);
	fflush(stdout);
	pid = MUST(fork());
	if (pid == 0)
		exit(8);
	say_child("child", pid);
	tell("child is gone");
	echo_server(fd);
	T(close(fd));
}

static void child_closes_server(void)
{
	int fd = pair();
	pid_t pid;

	echo_server(fd);
	pid = MUST(fork());
	if (pid == 0)
		_exit(close(fd) == 0 && close(fd) == -1 && errno == EBADF ? 0 : 1);
	say_child("child", pid);
	tell("child is gone");
	echo_server(fd);
	T(close(fd));
}

static void child_execs_server(void)
{
	int fd = pair();
	pid_t pid;

	echo_server(fd);
	pid = MUST(fork());
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "exit 5", NULL);
		_exit(99);
	}
	say_child("child", pid);
	tell("child is gone");
	echo_server(fd);
	T(close(fd));
}

static void child_vforks_server(void)
{
	int fd = pair();
	pid_t pid;

	echo_server(fd);
	pid = vfork();
	if (pid == 0) {
		execl("/bin/true", "true", NULL);
		_exit(99);
	}
	say_child("child", pid);
	tell("child is gone");
	echo_server(fd);
	T(close(fd));
}

static void child_spawned_server(void)
{
	char *argv[] = {"sh", "-c", "exit 6", NULL};
	posix_spawn_file_actions_t actions;
	int fd = pair();
	pid_t pid;

	echo_server(fd);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclose(&actions, fd);
	T(posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ));
	posix_spawn_file_actions_destroy(&actions);
	say_child("child", pid);
	tell("child is gone");
	echo_server(fd);
	T(close(fd));
}

static void popen_server(void)
{
	char line[64];
	int fd = pair();
	FILE *f;

	echo_server(fd);
	f = popen("echo from the child", "r");
	say("popen: %s", fgets(line, sizeof(line), f) ? strtok(line, "\n") : "nothing");
	T(pclose(f));
	T(system("exit 3") >> 8);
	tell("child is gone");
	echo_server(fd);
	T(close(fd));
}

/* The usual daemon: the parent leaves, the child goes on, and only then opens sockets.  Here: all before the first connection of
 * the child. */
static void child_uses_kernel_server(void)
{
	int fd = pair();
	pid_t pid;

	echo_server(fd);
	pid = MUST(fork());
	if (pid == 0) {
		/* Kernel descriptors work in the child as ever. */
		struct epoll_event ev = {.events = EPOLLIN};
		int pipes[2], epfd = epoll_create1(0);
		char c = 0;

		if (pipe(pipes) < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, pipes[0], &ev) < 0)
			_exit(1);
		if (write(pipes[1], "x", 1) != 1 || epoll_wait(epfd, &ev, 1, 1000) != 1 || read(pipes[0], &c, 1) != 1)
			_exit(2);
		int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
		struct sockaddr_in sa = addr4("127.0.0.1", port(3));

		if (bind(listener, SA(sa), sizeof(sa)) < 0 || listen(listener, 1) < 0 || connect(client, SA(sa), sizeof(sa)) < 0)
			_exit(3);
		_exit(accept(listener, NULL, NULL) >= 0 ? 0 : 4);
	}
	say_child("child", pid);
	tell("child is gone");
	echo_server(fd);
	T(close(fd));
}

/* The parent closes at once, the child a little later: the peer sees the end when both have. */
static void many_children_server(void)
{
	int fd = pair();

	echo_server(fd);
	for (int i = 0; i < 20; i++) {
		pid_t pid = MUST(fork());

		if (pid == 0) {
			close(fd);
			_exit(i);
		}
		MUST(waitpid(pid, NULL, 0));
	}
	say("twenty children");
	tell("child is gone");
	echo_server(fd);
	T(close(fd));
}

/* While the child lives the parent's traffic goes on. */
static void child_sleeps_server(void)
{
	int fd = pair(), pipes[2];
	pid_t pid;
	char c;

	echo_server(fd);
	MUST(pipe(pipes));
	pid = MUST(fork());
	if (pid == 0) {
		close(pipes[1]);
		_exit(read(pipes[0], &c, 1) == 0 ? 0 : 1);
	}
	MUST(close(pipes[0]));
	recv_and_say("bulk", fd, 500000);
	send_pattern(fd, 500000, 0);
	MUST(close(pipes[1]));
	say_child("child", pid);
	T(close(fd));
}

static void child_sleeps_client(void)
{
	char c;
	int fd = pair();

	echo_client(fd);
	send_pattern(fd, 500000, 0);
	recv_and_say("bulk", fd, 500000);
	T(recv(fd, &c, 1, 0));
	T(close(fd));
}

/* Waits all the time: the connection that it waits for gets nothing before the end. */
static void *wait_for_end(void *arg)
{
	struct pollfd p = {.fd = *(int *)arg, .events = POLLIN};

	poll(&p, 1, -1);
	return NULL;
}

/*
 * A child is killed that alone held a connection: the peer is told.  Not the first child of the process, and while another thread
 * waits all the time: the pauses give whoever watches over children the time to fall asleep; without them less is proven.
 */
static void child_killed_server(void)
{
	int idle = pair_at(0), fd = pair_at(1);
	pthread_t waiter;
	pid_t pid;

	errno = pthread_create(&waiter, NULL, wait_for_end, &idle);
	for (int i = 0; i < 3; i++) {
		poll(NULL, 0, 150);
		pid = MUST(fork());
		if (pid == 0)
			_exit(0);
		MUST(waitpid(pid, NULL, 0));
	}
	poll(NULL, 0, 150);
	pid = MUST(fork());
	if (pid == 0)
		for (;;)
			pause();
	MUST(close(fd));
	MUST(kill(pid, SIGKILL));
	MUST(waitpid(pid, NULL, 0));
	tell("killed");
	pthread_join(waiter, NULL);
	T(close(idle));
}

static void child_killed_client(void)
{
	int idle = pair_at(0), fd = pair_at(1);
	char c;

	hear("killed");
	await(fd, POLLIN);
	T(recv(fd, &c, 1, 0));
	T(close(fd));
	T(close(idle));
}

/* A listener, with clients before and after the fork. */
static void listener_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd;
	pid_t pid;

	tell("listening");
	fd = accept_one(listener);
	echo_server(fd);
	MUST(close(fd));
	pid = MUST(fork());
	if (pid == 0)
		_exit(close(listener) == 0 ? 0 : 1);
	say_child("child", pid);
	tell("child is gone");
	fd = accept_one(listener);
	echo_server(fd);
	MUST(close(fd));
	T(close(listener));
	tell("closed");
}

static void listener_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	echo_client(fd);
	MUST(close(fd));
	hear("child is gone");
	fd = connect_to(SERVER_IP, port(0));
	echo_client(fd);
	MUST(close(fd));
	hear("closed");
	fd = tcp_socket();
	T(connect(fd, SA(sa), sizeof(sa)));
	T(close(fd));
}

static const struct posix_case cases[] = {
    {"child_exits", child_exits_server, one_connection_client},
    {"child_exits_fully", child_exits_fully_server, one_connection_client},
    {"child_closes", child_closes_server, one_connection_client},
    {"child_execs", child_execs_server, one_connection_client},
    {"child_vforks", child_vforks_server, one_connection_client},
    {"child_spawned", child_spawned_server, one_connection_client},
    {"popen", popen_server, one_connection_client},
    {"child_uses_kernel", child_uses_kernel_server, one_connection_client},
    {"many_children", many_children_server, one_connection_client},
    BOTH(child_sleeps),
    BOTH(child_killed),
    BOTH(listener),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
