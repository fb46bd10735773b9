/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay_name.c - the names of relay_name.h, and what calls that ask for addresses and options answer on a socket that has one.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "relay_name.h"

#include "fdtab.h"
#include "real.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define MAGIC "mtcpshim-relay"
#define NAME_AT offsetof(struct sockaddr_un, sun_path)
/* How many numbers that others hold too are remembered, and how long an end waits for the relay. */
#define HELD_MAX 16
#define TAKEN_NAP_US 20
#define TAKEN_MOST_US 100000

/* ---- making and reading ------------------------------------------------------------------------------------------------------
 */

void relay_addr(struct sockaddr_in *to, const struct sockaddr_storage *from)
{
	const struct sockaddr_in6 *in6 = (const void *)from;

	if (from->ss_family == AF_INET) {
		memcpy(to, from, sizeof(*to));
		return;
	}
	*to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = in6->sin6_port};
	memcpy(&to->sin_addr, &in6->sin6_addr.s6_addr[12], 4);
}

socklen_t relay_name_make(struct sockaddr_un *un, const struct relay_ends *ends)
{
	static unsigned count;
	char local[INET_ADDRSTRLEN], peer[INET_ADDRSTRLEN];
	int n;

	inet_ntop(AF_INET, &ends->local.sin_addr, local, sizeof(local));
	inet_ntop(AF_INET, &ends->peer.sin_addr, peer, sizeof(peer));
	*un = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, MAGIC " %c%d %s %u %s %u %d.%u", ends->listens ? 'l' : 'c',
		     ends->family == AF_INET6 ? 6 : 4, local, ntohs(ends->local.sin_port), peer, ntohs(ends->peer.sin_port),
		     (int)getpid(), __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED));
	return (socklen_t)(NAME_AT + 1 + (size_t)n);
}

/* The next word of a text, as an IPv4 address and a port. */
static bool take_addr(char **text, struct sockaddr_in *in)
{
	const char *addr = strsep(text, " "), *port = strsep(text, " ");

	*in = (struct sockaddr_in){.sin_family = AF_INET};
	if (!addr || !port || inet_pton(AF_INET, addr, &in->sin_addr) != 1)
		return false;
	for (unsigned n = 0; *port; port++) {
		if (*port < '0' || *port > '9' || (n = n * 10 + (unsigned)(*port - '0')) > 65535)
			return false;
		in->sin_port = htons((uint16_t)n);
	}
	return true;
}

bool relay_name_parse(const struct sockaddr_un *un, socklen_t len, struct relay_ends *ends)
{
	char copy[sizeof(un->sun_path) + 1] = "", *text = copy;
	const char *kind;

	if (len <= NAME_AT + 1 || len > sizeof(*un) || un->sun_family != AF_UNIX || un->sun_path[0])
		return false;
	memcpy(copy, un->sun_path + 1, len - NAME_AT - 1);
	if (strcmp(strsep(&text, " "), MAGIC))
		return false;
	kind = strsep(&text, " ");
	if (!kind || strlen(kind) != 2 || !strchr("lc", kind[0]) || !strchr("46", kind[1]))
		return false;
	ends->listens = kind[0] == 'l';
	ends->family = kind[1] == '6' ? AF_INET6 : AF_INET;
	return take_addr(&text, &ends->local) && take_addr(&text, &ends->peer);
}

static bool name_of(int fd, bool peer, struct relay_ends *ends, bool *unnamed)
{
	struct sockaddr_un un;
	socklen_t len = sizeof(un);

	memset(&un, 0, sizeof(un));
	if ((peer ? REAL(getpeername)(fd, (struct sockaddr *)&un, &len) : REAL(getsockname)(fd, (struct sockaddr *)&un, &len)) <
	    0)
		return false;
	*unnamed = un.sun_family == AF_UNIX && len <= NAME_AT;
	return relay_name_parse(&un, len, ends);
}

/* Any process may take such a name; the user's own and root's are believed. */
static bool is_trusted(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return REAL(getsockopt)(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

/* A relay's socket was seen in this process. */
static bool met;
/* The first few of those whose engine sockets others hold too. */
static struct {
	int fds[HELD_MAX];
	unsigned n;
} held;

/*
 * Its own end has no name, or its listener's; a socket that has another was not made by a relay, whoever may be connected to it.
 */
bool relay_ends_of(int fd, struct relay_ends *ends)
{
	struct relay_ends own = {.listens = false};
	bool unnamed = false, ignored, is_relays;
	int saved = errno;

	is_relays = name_of(fd, false, &own, &unnamed);
	if (is_relays || unnamed) {
		is_relays = name_of(fd, true, ends, &ignored) && !ends->listens && is_trusted(fd);
		if (!is_relays && own.listens) {
			*ends = own;
			is_relays = true;
		}
	}
	errno = saved;
	if (is_relays)
		met = true;
	return is_relays;
}

bool relay_is_met(void)
{
	return met;
}

/* ---- the first use -----------------------------------------------------------------------------------------------------------
 */

/* The relay listens for it under the same name, as a datagram socket: those names are apart from the streams' (unix(7)). */
void relay_touch(int fd)
{
	struct sockaddr_un un;
	struct relay_ends ends;
	socklen_t len = sizeof(un);
	int saved = errno, to;

	fdtab_forget(fd);
	to = relay_ends_of(fd, &ends) ? REAL(socket)(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
	if (to >= 0) {
		if (!(ends.listens ? REAL(getsockname)(fd, (struct sockaddr *)&un, &len)
				   : REAL(getpeername)(fd, (struct sockaddr *)&un, &len)))
			REAL(sendto)(to, "t", 1, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&un, len);
		REAL(close)(to);
	}
	errno = saved;
}

void relay_expect(const char *numbers)
{
	struct relay_ends ends;
	char *end;
	long fd;

	for (; *numbers; numbers = *end ? end + 1 : end) {
		fd = strtol(numbers, &end, 10);
		if (end == numbers)
			return;
		if (fd < 0 || fd > INT32_MAX || !relay_ends_of((int)fd, &ends))
			continue;
		fdtab_set((int)fd, FD_RELAYED, NULL, 0);
		if (held.n < HELD_MAX)
			held.fds[held.n++] = (int)fd;
	}
}

/* Has the relay anything of it to take yet? */
static bool is_waiting(int fd)
{
	struct relay_ends ends;
	int left = 0;

	return relay_ends_of(fd, &ends) && !ends.listens && !REAL(ioctl)(fd, SIOCOUTQ, &left) && left;
}

void relay_await_taken(void)
{
	const struct timespec nap = {.tv_nsec = TAKEN_NAP_US * 1000};

	for (unsigned i = 0, naps = 0; i < held.n; i++)
		for (; naps < TAKEN_MOST_US / TAKEN_NAP_US && is_waiting(held.fds[i]); naps++)
			nanosleep(&nap, NULL);
}

/* ---- answers -----------------------------------------------------------------------------------------------------------------
 */

static void write_addr(int family, const struct sockaddr_in *in, struct sockaddr *sa, socklen_t *len, socklen_t room)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = in->sin_port};
	const void *from = family == AF_INET6 ? (const void *)&in6 : in;
	socklen_t size = family == AF_INET6 ? sizeof(in6) : sizeof(*in);

	if (in->sin_addr.s_addr) {
		memset(&in6.sin6_addr.s6_addr[10], 0xff, 2);
		memcpy(&in6.sin6_addr.s6_addr[12], &in->sin_addr, 4);
	}
	memcpy(sa, from, room < size ? room : size);
	*len = size;
}

int relay_name_fix(int rc, int fd, bool peer, struct sockaddr *sa, socklen_t *len, socklen_t room)
{
	struct relay_ends ends;

	if (rc || !sa || room < sizeof(sa->sa_family) || sa->sa_family != AF_UNIX || !relay_ends_of(fd, &ends))
		return rc;
	if (!peer || !ends.listens)
		write_addr(ends.family, peer ? &ends.peer : &ends.local, sa, len, room);
	return rc;
}

static bool is_of_tcp(int level)
{
	return level == IPPROTO_TCP || level == IPPROTO_IP || level == IPPROTO_IPV6;
}

/* Options of TCP itself are out of reach: as they are on a new socket, and no IP options. */
static int fake_option(int level, int name, void *val, socklen_t *len, socklen_t room)
{
	struct tcp_info info = {.tcpi_state = TCP_ESTABLISHED};
	socklen_t size = sizeof(int);

	memset(val, 0, room < size ? room : size);
	if (level == IPPROTO_TCP && name == TCP_INFO) {
		size = sizeof(info);
		memcpy(val, &info, room < size ? room : size);
	} else if (level == IPPROTO_IP && name == IP_OPTIONS) {
		size = 0;
	}
	*len = room < size ? room : size;
	return 0;
}

int relay_getsockopt_fix(int rc, int fd, int level, int name, void *val, socklen_t *len, socklen_t room)
{
	bool asks_kind = level == SOL_SOCKET && (name == SO_DOMAIN || name == SO_PROTOCOL);
	bool refused = rc < 0 && errno == EOPNOTSUPP && is_of_tcp(level);
	struct relay_ends ends;
	int saved = errno;

	if (!(refused && val) && !(asks_kind && rc == 0 && *len == sizeof(int)))
		return rc;
	if (asks_kind && *(int *)val != (name == SO_DOMAIN ? AF_UNIX : 0))
		return rc;
	if (!relay_ends_of(fd, &ends))
		return rc;
	if (refused)
		return fake_option(level, name, val, len, room);
	*(int *)val = name == SO_DOMAIN ? ends.family : IPPROTO_TCP;
	errno = saved;
	return 0;
}

int relay_setsockopt_fix(int rc, int fd, int level)
{
	struct relay_ends ends;

	return rc < 0 && errno == EOPNOTSUPP && is_of_tcp(level) && relay_ends_of(fd, &ends) ? 0 : rc;
}
