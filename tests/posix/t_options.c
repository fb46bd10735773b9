/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_options.c - every option number of every level that TCP has to do with, and of some that it has not: what it reads as into
 * buffers of several sizes, and what becomes of several values, as int and in other lengths; on a fresh, a bound, a listening and
 * both ends of a connected socket.  Where the kernel is the newer one it may know more options than our headers: numbers.
 */
#include "posix.h"

#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_ 1000
#define VALUE_SHOWN 8

static const struct {
	const char *name;
	int level, last;
} levels[] = {
    {"SOL_SOCKET", SOL_SOCKET, 90},
    {"TCP", IPPROTO_TCP, 50},
    {"IP", IPPROTO_IP, 70},
    {"IPV6", IPPROTO_IPV6, 80},
    {"UDP", IPPROTO_UDP, 2},
    {"SOL_TLS", 282, 3},
    {"2", 2, 1},
    {"999", 999, 1},
    {"-1", -1, 1},
};

/* Values that are not the same twice, or that may differ. */
static const struct {
	int level, name;
} varies[] = {
    {SOL_SOCKET, SO_SNDBUF},	     /* grows with the connection; the engine charges what its packets occupy */
    {SOL_SOCKET, SO_RCVBUF},	     /* so does this */
    {SOL_SOCKET, SO_PEERNAME},	     /* an ephemeral port */
    {SOL_SOCKET, 49},		     /* SO_INCOMING_CPU */
    {SOL_SOCKET, 55},		     /* SO_MEMINFO: as the buffers */
    {SOL_SOCKET, 57},		     /* SO_COOKIE */
    {SOL_SOCKET, 71},		     /* SO_NETNS_COOKIE */
    {IPPROTO_TCP, TCP_WINDOW_CLAMP}, /* as the buffers */
    {IPPROTO_TCP, TCP_INFO},	     /* t_info; longer where the kernel is newer */
    {IPPROTO_TCP, TCP_TIMESTAMP},
    {IPPROTO_TCP, TCP_FASTOPEN_KEY}, /* the kernel makes its key when it is first needed, the engine has one */
    {IPPROTO_IP, 33},		     /* IP_MULTICAST_TTL: Linux takes that of the SYN; TCP has no use for it */
    {IPPROTO_IP, 52},		     /* IP_PROTOCOL: of TCP, the port */
};

/* Not set. */
static const struct {
	int level, name;
} left_alone[] = {
    {IPPROTO_TCP, TCP_REPAIR}, /* the engine cannot: as a kernel that was built without */
    {SOL_SOCKET, 68},	       /* SO_DETACH_REUSEPORT_BPF: nor this, and the errno depends on what other sockets share */
    {IPPROTO_IP, 14},	       /* IP_MTU: some options make the kernel forget the route, and this answer with it */
    {IPPROTO_IPV6, 24},	       /* IPV6_MTU: the same */
};

static char line[LINE_MAX_];
static size_t used;

static __attribute__((format(printf, 1, 2))) void add(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	used += (size_t)vsnprintf(line + used, sizeof(line) - used, fmt, ap);
	va_end(ap);
}

static bool value_varies(int level, int name)
{
	for (size_t i = 0; i < LEN(varies); i++)
		if (varies[i].level == level && varies[i].name == name)
			return true;
	return false;
}

static bool is_left_alone(int level, int name)
{
	for (size_t i = 0; i < LEN(left_alone); i++)
		if (left_alone[i].level == level && left_alone[i].name == name)
			return true;
	return false;
}

static void add_value(const unsigned char *value, socklen_t len)
{
	add("=");
	for (socklen_t i = 0; i < len && i < VALUE_SHOWN; i++)
		add("%02x", value[i]);
}

static void add_get(int fd, int level, int name, socklen_t room)
{
	unsigned char value[512] = {0};
	socklen_t len = room;
	int rc = getsockopt(fd, level, name, value, &len);

	add(" [%d]", (int)room);
	if (rc < 0) {
		add("%s", errno_name(errno));
		return;
	}
	if (value_varies(level, name))
		return;
	if (len != room)
		add("(%d)", (int)len);
	add_value(value, len);
}

static void add_set(int fd, int level, int name, int value, socklen_t len)
{
	char wide[64] = {0};
	int rc;

	memcpy(wide, &value, sizeof(value));
	rc = setsockopt(fd, level, name, wide, len);
	add(" %d[%d]%s", value, (int)len, rc < 0 ? errno_name(errno) : "ok");
}

static void say_get(int fd, const char *level_name, int level, int name)
{
	static const int rooms[] = {-1, 0, 1, 4, 8, 16, 500};

	used = 0;
	add("get %s %d:", level_name, name);
	for (size_t i = 0; i < LEN(rooms); i++)
		add_get(fd, level, name, (socklen_t)rooms[i]);
	say("%s", line);
}

static void say_set(int fd, const char *level_name, int level, int name)
{
	static const int values[] = {1, -1, 0x7fffff, 0};
	static const int lens[] = {-1, 0, 1, 2, 64};

	if (is_left_alone(level, name))
		return;
	used = 0;
	add("set %s %d:", level_name, name);
	for (size_t i = 0; i < LEN(values); i++) {
		add_set(fd, level, name, values[i], sizeof(int));
		add_get(fd, level, name, VALUE_SHOWN);
	}
	for (size_t i = 0; i < LEN(lens); i++)
		add_set(fd, level, name, 1, (socklen_t)lens[i]);
	say("%s", line);
}

static void for_all(int fd, void (*what)(int fd, const char *level_name, int level, int name))
{
	for (size_t i = 0; i < LEN(levels); i++)
		for (int name = 0; name <= levels[i].last; name++)
			what(fd, levels[i].name, levels[i].level, name);
}

/* All that can be read before anything was changed, then the changes. */
static void probe(int fd)
{
	for_all(fd, say_get);
	for_all(fd, say_set);
	MUST(close(fd));
}

static void fresh(void)
{
	probe(tcp_socket());
}

static void bound(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket();

	MUST(bind(fd, SA(sa), sizeof(sa)));
	probe(fd);
}

static void listening(void)
{
	probe(listen_at(SERVER_IP, port(0)));
}

static void accepted_server(void)
{
	int fd = pair();

	meet();
	probe(fd);
	meet();
}

static void accepted_client(void)
{
	int fd = pair();

	meet();
	/* What was set on the other end is nothing to work with: no end of it may ever arrive. */
	meet();
	MUST(close(fd));
}

static void connected_server(void)
{
	accepted_client();
}

static void connected_client(void)
{
	accepted_server();
}

/* IPv4 through IPv6 sockets. */
static void mapped_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd;

	tell("listening");
	fd = accept_one(listener);
	meet();
	meet();
	MUST(close(fd));
	MUST(close(listener));
}

static void mapped_client(void)
{
	struct sockaddr_in6 sa = addr6("::ffff:" SERVER_IP, port(0));
	int fd = MUST(socket(AF_INET6, SOCK_STREAM, 0));

	hear("listening");
	MUST(connect(fd, SA(sa), sizeof(sa)));
	meet();
	probe(fd);
	meet();
}

static const struct posix_case cases[] = {
    ALONE(fresh), ALONE(bound), ALONE(listening), BOTH(accepted), BOTH(connected), BOTH(mapped),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
