/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_sigown.c - to whom the signals of a descriptor go: F_SETOWN and its kin, threads and groups, across dup and fork.
 */
#include "posix_sig.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <asm/sockios.h>

static void say_owner(const char *what, int fd)
{
	struct f_owner_ex o = {-1, -1};
	int pid = -1;

	T(fcntl(fd, F_GETOWN_EX, &o));
	say("%s: type %d, %s", what, o.type,
	    o.pid == getpid()	 ? "me"
	    : o.pid == getpgrp() ? "my group"
	    : o.pid		 ? "another"
				 : "none");
	T(ioctl(fd, FIOGETOWN, &pid));
	say("FIOGETOWN: %s", pid == getpid() ? "me" : pid == -getpgrp() ? "my group" : pid ? "another" : "none");
	T(ioctl(fd, SIOCGPGRP, &pid));
}

static void owners_server(void)
{
	struct f_owner_ex o = {.type = F_OWNER_PID, .pid = getpid()};
	int fd = pair(), pid = getpid(), on = 1;

	signals_block();
	MUST(setpgid(0, 0));
	say_owner("at first", fd);
	T(fcntl(fd, F_SETOWN_EX, &o));
	say_owner("F_OWNER_PID", fd);
	o = (struct f_owner_ex){F_OWNER_PGRP, getpgrp()};
	T(fcntl(fd, F_SETOWN_EX, &o));
	say_owner("F_OWNER_PGRP", fd);
	T(ioctl(fd, FIOSETOWN, &pid));
	say_owner("FIOSETOWN", fd);
	pid = -getpgrp();
	T(ioctl(fd, SIOCSPGRP, &pid));
	say_owner("SIOCSPGRP", fd);
	T(fcntl(fd, F_SETOWN, 0));
	say_owner("F_SETOWN 0", fd);
	T(fcntl(fd, F_SETOWN, -getpgrp()));
	o.type = 99;
	T(fcntl(fd, F_SETOWN_EX, &o));
	T(fcntl(fd, F_SETOWN, 0x3fffffff));
	T(fcntl(fd, F_SETSIG, 99));
	T(fcntl(fd, F_SETSIG, -1));
	T(fcntl(fd, F_SETSIG, SIG_RT));
	T(ioctl(fd, FIOASYNC, &on));
	T(fcntl(fd, F_GETFL) == (O_RDWR | O_ASYNC));
	tell("send");
	signals_expect(SIG_RT, POLL_IN, fd);
	on = 0;
	T(ioctl(fd, FIOASYNC, &on));
	T(fcntl(fd, F_GETFL) == O_RDWR);
	tell("send");
	await_inq(fd, 10);
	signals_only(0);
	tell("send");
	MUST(close(fd));
}

static void owners_client(void)
{
	greeter(2);
}

static void *wait_in_thread(void *arg)
{
	int *ends = arg;
	struct f_owner_ex o = {F_OWNER_TID, gettid()};

	T(fcntl(ends[0], F_SETOWN_EX, &o));
	MUST(write(ends[1], "x", 1));
	signals_expect(SIG_RT, POLL_IN, ends[0]);
	return NULL;
}

/* To one thread, and to no other. */
static void thread_server(void)
{
	pthread_t t;
	sigset_t pending;
	int p[2], ends[2];
	char c;

	MUST(pipe(p));
	ends[0] = pair();
	ends[1] = p[1];
	signals_block();
	signals_owned(ends[0], SIG_RT);
	MUST(pthread_create(&t, NULL, wait_in_thread, ends) ? -1 : 0);
	MUST(read(p[0], &c, 1));
	tell("send");
	MUST(pthread_join(t, NULL) ? -1 : 0);
	MUST(sigpending(&pending));
	say_if("pending for the process", sigismember(&pending, SIG_RT));
	MUST(close(p[0]));
	MUST(close(p[1]));
	tell("send");
	MUST(close(ends[0]));
}

static void once_client(void)
{
	greeter(1);
}

/* O_ASYNC belongs to the description; si_fd is the number that it was set by, open or not. */
static void dup_server(void)
{
	int fd = pair(), twin = MUST(dup(fd));

	signals_block();
	signals_owned(fd, SIG_RT);
	T(fcntl(twin, F_GETFL) == (O_RDWR | O_ASYNC));
	say_if("the twin's owner is this process", fcntl(twin, F_GETOWN) == getpid());
	MUST(close(fd));
	tell("send");
	signals_expect(SIG_RT, POLL_IN, fd);
	tell("send");
	MUST(close(twin));
	signals_only(IN);
}

/* The child names itself; the parent, which has closed its descriptor, hears nothing. */
static void child_server(void)
{
	int fd = pair();
	pid_t pid;

	signals_block();
	pid = MUST(fork());
	if (pid == 0) {
		signals_owned(fd, SIG_RT);
		tell("send");
		signals_expect(SIG_RT, POLL_IN, fd);
		tell("send");
		signals_only(IN);
		_exit(7);
	}
	MUST(close(fd));
	say_child("the child", pid);
	signals_only(0);
}

/* Set by the parent, who goes on to be told while its child has the descriptor; the child that outlives it is told next. */
static void family_server(void)
{
	int fd = pair(), p[2];
	char c;
	pid_t pid;

	MUST(pipe(p));
	signals_block();
	signals_owned(fd, SIG_RT);
	pid = MUST(fork());
	if (pid == 0) {
		MUST(read(p[0], &c, 1));
		MUST(fcntl(fd, F_SETOWN, getpid()));
		tell("send");
		signals_expect(SIG_RT, POLL_IN, fd);
		tell("send");
		signals_only(IN);
		_exit(7);
	}
	tell("send");
	signals_expect(SIG_RT, POLL_IN, fd);
	signals_only(IN);
	MUST(close(fd));
	MUST(write(p[1], "x", 1));
	say_child("the child", pid);
	signals_only(0);
	MUST(close(p[0]));
	MUST(close(p[1]));
}

static void family_client(void)
{
	greeter(2);
}

/* A process group: each member has it. */
static void group_server(void)
{
	int fd = pair(), p[2];
	char c;
	pid_t pid;

	MUST(pipe(p));
	signals_block();
	MUST(setpgid(0, 0));
	pid = MUST(fork());
	if (pid == 0) {
		MUST(write(p[1], "x", 1));
		signals_expect(SIG_RT, POLL_IN, fd);
		_exit(7);
	}
	MUST(read(p[0], &c, 1));
	MUST(fcntl(fd, F_SETOWN, -getpgrp()));
	MUST(fcntl(fd, F_SETSIG, SIG_RT));
	MUST(fcntl(fd, F_SETFL, O_ASYNC));
	tell("send");
	say_child("the child", pid);
	signals_expect(SIG_RT, POLL_IN, fd);
	tell("send");
	MUST(close(p[0]));
	MUST(close(p[1]));
	MUST(close(fd));
}

/* Owned sockets take along what was made for them. */
static void closed_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), before = 0;

	signals_block();
	tell("connect");
	for (int i = 0; i < 40; i++) {
		int fd = accept_one(listener);

		signals_owned(fd, SIG_RT);
		tell("send");
		await_inq(fd, 1);
		MUST(close(fd));
		if (i == 10)
			before = descriptors();
	}
	say_if("more descriptors", descriptors() > before);
	signals_only(IN);
	MUST(close(listener));
}

static void closed_client(void)
{
	char c;

	hear("connect");
	for (int i = 0; i < 40; i++) {
		int fd = connect_to(SERVER_IP, port(0));

		hear("send");
		MUST(send(fd, "x", 1, 0));
		recv(fd, &c, 1, 0);
		MUST(close(fd));
	}
}

static const struct posix_case cases[] = {
    BOTH(owners),
    {"thread", thread_server, once_client},
    {"dup", dup_server, once_client},
    {"child", child_server, once_client},
    BOTH(family),
    {"group", group_server, once_client},
    BOTH(closed),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
