/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ls.c - mtcpshim-ls PID: prints what the process says of its sockets (shim/list.h), or why it says nothing.  `mtcpshim ls PID`
 * calls it.  For a process in another network namespace it goes there, which takes root.
 */
#include "shim/list.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A process that does not answer within this is stopped, or its engine is stuck. */
#define ANSWER_SECONDS 5

static _Noreturn void die(const char *what, long pid)
{
	fprintf(stderr, "mtcpshim ls: process %ld: %s\n", pid, what);
	exit(1);
}

/* Does a line of /proc/PID/NAME hold this text?  *value: what follows the last of its tabs and blanks. */
static bool look_for(long pid, const char *name, const char *text, long *value)
{
	char path[64], line[8192];
	bool found = false;
	const char *last;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/%s", pid, name);
	f = fopen(path, "re");
	if (!f)
		die(strerror(errno), pid);
	while (!found && fgets(line, sizeof(line), f)) {
		found = strstr(line, text) != NULL;
		last = strrchr(line, '\t');
		if (found && value && last)
			*value = atol(last);
	}
	fclose(f);
	return found;
}

/* Abstract names are those of a network namespace. */
static void go_there(long pid)
{
	char path[64];
	struct stat here, there;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/ns/net", pid);
	if (stat("/proc/self/ns/net", &here) || stat(path, &there))
		die(strerror(errno), pid);
	if (here.st_ino == there.st_ino)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die("it is in another network namespace, which takes root to enter", pid);
	close(fd);
}

static int reach(long pid)
{
	const struct timeval limit = {.tv_sec = ANSWER_SECONDS};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	long inside = pid;
	int fd, n;

	/* The process's id in its own namespace is the last one. */
	look_for(pid, "status", "NSpid:", &inside);
	go_there(pid);
	n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, LIST_NAME, (int)inside);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)))
		return fd;
	if (look_for(pid, "maps", "/libmtcpshim.so", NULL))
		die("it has the shim, but does not use the engine: the kernel serves all its sockets (ss -tnp lists them)", pid);
	die("it does not have the shim: the kernel serves all its sockets (ss -tnp lists them)", pid);
}

int main(int argc, char **argv)
{
	char buf[65536];
	size_t total = 0;
	char *end = NULL;
	long pid = argc == 2 ? strtol(argv[1], &end, 10) : 0;
	ssize_t n;
	int fd;

	if (pid <= 0 || *end) {
		fprintf(stderr, "usage: mtcpshim ls PID\n");
		return 2;
	}
	fd = reach(pid);
	while ((n = read(fd, buf, sizeof(buf))) > 0 && fwrite(buf, 1, (size_t)n, stdout) == (size_t)n)
		total += (size_t)n;
	if (n < 0 && errno == EAGAIN)
		die("it does not answer: stopped?", pid);
	if (!total)
		die("it does not answer this user", pid);
	return 0;
}
