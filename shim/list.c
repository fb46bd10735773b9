/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * list.c - see list.h.  States, addresses and queues are asked for with the calls that a program would use, which this library
 * answers for engine sockets as the kernel does for its own.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "list.h"

#include "config.h"
#include "fdtab.h"
#include "loader.h"
#include "placeholder.h"
#include "real.h"
#include "relay_name.h"
#include "route.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

/* For a client that does not read. */
#define SEND_SECONDS 5

static int listener = -1;
static bool runs;

/* ---- one socket --------------------------------------------------------------------------------------------------------------
 */

static const char *state_name(int state)
{
	static const char *const names[] = {"-",	 "ESTAB",  "SYN-SENT",	 "SYN-RECV", "FIN-WAIT-1", "FIN-WAIT-2",
					    "TIME-WAIT", "UNCONN", "CLOSE-WAIT", "LAST-ACK", "LISTEN",	   "CLOSING"};

	return state > 0 && (size_t)state < sizeof(names) / sizeof(names[0]) ? names[state] : names[0];
}

/* "address:port", IPv4 also where the socket is AF_INET6; the address of nobody is "*". */
static void addr_text(char *text, size_t size, int rc, const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *in6 = (const void *)ss;
	const struct sockaddr_in *in = (const void *)ss;
	char ip[INET6_ADDRSTRLEN] = "*";
	bool v4 = ss->ss_family == AF_INET;
	bool mapped = !v4 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

	if (rc || (ss->ss_family != AF_INET && ss->ss_family != AF_INET6)) {
		snprintf(text, size, "*:*");
		return;
	}
	if (v4 && in->sin_addr.s_addr)
		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
	else if (mapped)
		inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], ip, sizeof(ip));
	else if (!v4 && !IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
	snprintf(text, size, v4 || mapped || ip[0] == '*' ? "%s:%u" : "[%s]:%u", ip, ntohs(in->sin_port));
}

/* Why the engine or the kernel has it: what the rules say now of where it listens or leads. */
static const char *route_reason(bool engine, bool listens, const struct sockaddr_storage *ss)
{
	socklen_t len = ss->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	struct route_addr a;
	enum route who;

	if (!config_get()->enabled)
		return "no MTCPSHIM_DEV, or a bad setting";
	if (!route_addr_parse(ss->ss_family, (const struct sockaddr *)ss, len, &a))
		return "not bound or connected";
	who = listens ? route_listen(config_get(), &a) : route_connect(config_get(), &a);
	if (engine || who == ROUTE_KERNEL)
		return route_why();
	return "it came from a listener of the kernel's, was inherited, or the engine had no room";
}

static void reason(const struct fdref *r, bool listens, const struct sockaddr_storage *ss, char *text, size_t size)
{
	char how[100] = "";

	if (r->kind == FD_SOCK)
		core()->describe(r, how, sizeof(how));
	snprintf(text, size, "%s%s%s",
		 r->kind == FD_FRESH ? "decided at bind, connect or listen" : route_reason(*how, listens, ss), *how ? "; " : "",
		 how);
}

static const char *owner_of(const struct fdref *r)
{
	return r->kind == FD_SOCK ? "engine" : r->kind == FD_FRESH ? "nobody" : "kernel";
}

static void say_tcp(FILE *out, const struct fdref *r)
{
	struct sockaddr_storage local = {0}, peer = {0};
	socklen_t len = sizeof(local), peer_len = sizeof(peer), info_len = sizeof(struct tcp_info);
	char own[64], other[64], why[200];
	struct relay_ends ends;
	struct tcp_info info = {0};
	int in = 0, queued = 0, rc;

	rc = getsockname(r->fd, (struct sockaddr *)&local, &len);
	addr_text(own, sizeof(own), rc, &local);
	rc = getpeername(r->fd, (struct sockaddr *)&peer, &peer_len);
	addr_text(other, sizeof(other), rc, &peer);
	getsockopt(r->fd, IPPROTO_TCP, TCP_INFO, &info, &info_len);
	if (info.tcpi_state == TCP_LISTEN) {
		/* ss(8): connections that wait, and how many may. */
		in = (int)info.tcpi_unacked;
		queued = (int)info.tcpi_sacked;
	} else {
		ioctl(r->fd, SIOCINQ, &in);
		ioctl(r->fd, SIOCOUTQ, &queued);
	}
	if (r->kind != FD_SOCK && relay_ends_of(r->fd, &ends))
		snprintf(why, sizeof(why), "through a relay: inherited from a program that has the engine");
	else
		reason(r, info.tcpi_state == TCP_LISTEN, info.tcpi_state == TCP_LISTEN ? &local : &peer, why, sizeof(why));
	fprintf(out, "%-5d %-7s %-10s %7d %7d %-21s %-21s %s\n", r->fd, owner_of(r), state_name(info.tcpi_state), in, queued, own,
		other, why);
}

static bool is_tcp(int fd)
{
	int domain = 0, protocol = 0;
	socklen_t len = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	       !getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) && (domain == AF_INET || domain == AF_INET6) &&
	       protocol == IPPROTO_TCP;
}

/* ---- all of them -------------------------------------------------------------------------------------------------------------
 */

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int *open_numbers(unsigned *n)
{
	DIR *dir = opendir("/proc/self/fd");
	int *fds = NULL, *more;
	struct dirent *e;
	unsigned room = 0;

	*n = 0;
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		if (*n == room) {
			room = room * 2 + 64;
			more = realloc(fds, room * sizeof(*fds));
			if (!more)
				break;
			fds = more;
		}
		fds[(*n)++] = atoi(e->d_name);
	}
	if (dir)
		closedir(dir);
	if (fds)
		qsort(fds, *n, sizeof(*fds), by_number);
	return fds;
}

static void say_all(FILE *out)
{
	unsigned n;
	int *fds = open_numbers(&n);

	fprintf(out, "%-5s %-7s %-10s %7s %7s %-21s %-21s %s\n", "FD", "OWNER", "STATE", "RECV-Q", "SEND-Q", "LOCAL", "PEER",
		"WHY");
	for (unsigned i = 0; i < n; i++) {
		struct fdref r = fdtab_get(fds[i]);

		if (r.kind == FD_SPARE || r.kind == FD_PRIVATE || r.kind == FD_EPOLL || !is_tcp(fds[i]))
			continue;
		say_tcp(out, &r);
	}
	free(fds);
}

/* The text is made first: whoever reads slowly holds nothing up but this. */
static void answer(int fd)
{
	static const struct timeval limit = {.tv_sec = SEND_SECONDS};
	struct ucred who = {.uid = (uid_t)-1};
	socklen_t len = sizeof(who);
	char *text = NULL;
	size_t size = 0, done = 0;
	FILE *out;

	if (REAL(getsockopt)(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) || (who.uid && who.uid != geteuid()))
		return;
	out = open_memstream(&text, &size);
	if (!out)
		return;
	say_all(out);
	fclose(out);
	REAL(setsockopt)(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	while (done < size) {
		ssize_t n = REAL(send)(fd, text + done, size - done, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	free(text);
}

static void *list_main(void *arg)
{
	int fd;

	prctl(PR_SET_NAME, "mtcpshim-list");
	while ((fd = REAL(accept4)(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0 || errno == EINTR || errno == ECONNABORTED) {
		if (fd < 0)
			continue;
		fd = private_fd(fd);
		if (fd < 0)
			break;
		answer(fd);
		private_fd_close(fd);
	}
	return arg;
}

/* ---- life --------------------------------------------------------------------------------------------------------------------
 */

static int listen_here(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int n = snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, LIST_NAME, (int)getpid());
	int fd = REAL(socket)(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (REAL(bind)(fd, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) ||
	    REAL(listen)(fd, 8)) {
		REAL(close)(fd);
		return -1;
	}
	return private_fd(fd);
}

void list_start(void)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int saved = errno;

	if (__atomic_exchange_n(&runs, true, __ATOMIC_ACQ_REL))
		return;
	listener = listen_here();
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (listener >= 0 && pthread_create(&thread, &attr, list_main, NULL)) {
		private_fd_close(listener);
		listener = -1;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	errno = saved;
}

void list_forget(void)
{
	if (listener >= 0)
		private_fd_close(listener);
	listener = -1;
	runs = false;
}
