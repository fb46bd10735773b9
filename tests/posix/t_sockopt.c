/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_sockopt.c - socket options: what is there at first, what each value becomes, odd lengths and levels, on a fresh, a listening
 * and a connected socket.
 */
#include "posix.h"

#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

struct option {
	int level, name;
	const char *what;
	int values[7];
	int n;
};

#define OPTION(level, name, ...)                                               \
	{                                                                      \
		level, name, #name, {__VA_ARGS__}, LEN(((int[]){__VA_ARGS__})) \
	}

static const struct option options[] = {
    OPTION(SOL_SOCKET, SO_REUSEADDR, 1, 0, -1, 77),
    OPTION(SOL_SOCKET, SO_REUSEPORT, 1, 0, -1),
    OPTION(SOL_SOCKET, SO_KEEPALIVE, 1, 0, 5),
    OPTION(SOL_SOCKET, SO_OOBINLINE, 1, 0, 5),
    OPTION(SOL_SOCKET, SO_RCVBUF, 0, 1, 2000, 65536, 100000, -1),
    OPTION(SOL_SOCKET, SO_SNDBUF, 0, 1, 2000, 65536, 100000, -1),
    OPTION(SOL_SOCKET, SO_RCVLOWAT, 1, 0, 100, -1),
    OPTION(SOL_SOCKET, SO_SNDLOWAT, 1, 100),
    OPTION(SOL_SOCKET, SO_ERROR, 1),
    OPTION(SOL_SOCKET, SO_TYPE, 1),
    OPTION(SOL_SOCKET, SO_DOMAIN, 1),
    OPTION(SOL_SOCKET, SO_PROTOCOL, 1),
    OPTION(SOL_SOCKET, SO_ACCEPTCONN, 1),
    OPTION(SOL_SOCKET, SO_BROADCAST, 1, 0),
    OPTION(SOL_SOCKET, SO_DONTROUTE, 1, 0),
    OPTION(SOL_SOCKET, SO_PRIORITY, 1, 6, 0, -1),
    OPTION(SOL_SOCKET, SO_TIMESTAMP, 1, 0),
    OPTION(SOL_SOCKET, SO_PASSCRED, 1),
    OPTION(IPPROTO_TCP, TCP_NODELAY, 1, 0, 2, -1),
    OPTION(IPPROTO_TCP, TCP_CORK, 1, 0, 2),
    OPTION(IPPROTO_TCP, TCP_QUICKACK, 0, 1, 2),
    OPTION(IPPROTO_TCP, TCP_DEFER_ACCEPT, 1, 5, 0, -1, 1000),
    OPTION(IPPROTO_TCP, TCP_KEEPIDLE, 1, 32767, 32768, 0, -1),
    OPTION(IPPROTO_TCP, TCP_KEEPINTVL, 1, 32767, 32768, 0, -1),
    OPTION(IPPROTO_TCP, TCP_KEEPCNT, 1, 127, 128, 0, -1),
    OPTION(IPPROTO_TCP, TCP_SYNCNT, 1, 127, 128, 0, -1),
    OPTION(IPPROTO_TCP, TCP_LINGER2, 10, 0, -1, 100000),
    OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT, 1000, 0, -1, INT_MAX),
    OPTION(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384, 0, -1),
    OPTION(IPPROTO_IP, IP_TOS, 0x10, 0xff, 256, 0),
    OPTION(IPPROTO_IP, IP_TTL, 1, 255, 0, 256, -1),
    OPTION(IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT, IP_PMTUDISC_DO, 9),
    OPTION(IPPROTO_IP, IP_RECVERR, 1, 0),
};

static void say_option(const struct option *o, int fd)
{
	int value = 0x5a5a5a5a;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, o->level, o->name, &value, &len) < 0)
		say("%s: get %s", o->what, errno_name(errno));
	else
		say("%s: %d, length %u", o->what, value, len);
}

static void set_option(const struct option *o, int fd, int value)
{
	int n = setsockopt(fd, o->level, o->name, &value, sizeof(value));

	say("%s: set %d: %s", o->what, value, n < 0 ? errno_name(errno) : "ok");
}

static void say_all(int fd)
{
	for (size_t i = 0; i < LEN(options); i++)
		say_option(&options[i], fd);
}

static void set_all(int fd)
{
	for (size_t i = 0; i < LEN(options); i++) {
		for (int k = 0; k < options[i].n; k++) {
			set_option(&options[i], fd, options[i].values[k]);
			say_option(&options[i], fd);
		}
	}
}

static void fresh_defaults(void)
{
	int fd = tcp_socket();

	say_all(fd);
	T(close(fd));
}

static void fresh_values(void)
{
	int fd = tcp_socket();

	set_all(fd);
	T(close(fd));
}

static void listening_values(void)
{
	int fd = listen_at(SERVER_IP, port(0));

	set_all(fd);
	T(close(fd));
}

/* Buffers are grown by Linux itself once data flows; here none does. */
static void connected_defaults_server(void)
{
	int fd = pair();

	for (size_t i = 0; i < LEN(options); i++)
		if (options[i].name != SO_SNDBUF && options[i].name != SO_RCVBUF)
			say_option(&options[i], fd);
	meet();
	T(close(fd));
}

static void connected_defaults_client(void)
{
	connected_defaults_server();
}

static void connected_values_server(void)
{
	int fd = pair();

	set_all(fd);
	meet();
	T(close(fd));
}

static void connected_values_client(void)
{
	connected_values_server();
}

/* What programs set in passing, and expect to be taken: curl, nginx, haproxy, memcached, Go, Java. */
static void in_passing_on(int fd)
{
	static const struct option few[] = {
	    OPTION(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1),
	    OPTION(IPPROTO_IP, IP_FREEBIND, 1),
	    OPTION(IPPROTO_IP, IP_RECVTOS, 1),
	    OPTION(SOL_SOCKET, SO_MARK, 7),
	    OPTION(SOL_SOCKET, SO_BUSY_POLL, 0),
	    OPTION(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1),
	    OPTION(IPPROTO_TCP, TCP_SAVE_SYN, 1),
	};

	for (size_t i = 0; i < LEN(few); i++) {
		set_option(&few[i], fd, few[i].values[0]);
		say_option(&few[i], fd);
	}
}

static void in_passing_server(void)
{
	int fd = tcp_socket();

	say("fresh");
	in_passing_on(fd);
	MUST(close(fd));
	fd = listen_at(SERVER_IP, port(1));
	say("listening");
	in_passing_on(fd);
	MUST(close(fd));
	say("connected");
	fd = pair();
	in_passing_on(fd);
	T(close(fd));
}

static void in_passing_client(void)
{
	T(close(pair()));
}

/* Every length with which an int can be asked for. */
static void get_lengths(void)
{
	static const int lens[] = {-1, 0, 1, 2, 3, 4, 5, 8, 100};
	static const struct option few[] = {
	    OPTION(SOL_SOCKET, SO_KEEPALIVE, 0), OPTION(SOL_SOCKET, SO_RCVBUF, 0),     OPTION(SOL_SOCKET, SO_LINGER, 0),
	    OPTION(SOL_SOCKET, SO_TYPE, 0),	 OPTION(SOL_SOCKET, SO_ERROR, 0),      OPTION(SOL_SOCKET, SO_RCVTIMEO, 0),
	    OPTION(IPPROTO_TCP, TCP_NODELAY, 0), OPTION(IPPROTO_TCP, TCP_KEEPIDLE, 0), OPTION(IPPROTO_TCP, TCP_CONGESTION, 0),
	    OPTION(IPPROTO_IP, IP_TTL, 0),
	};
	int fd = tcp_socket();

	for (size_t i = 0; i < LEN(few); i++) {
		for (size_t k = 0; k < LEN(lens); k++) {
			uint8_t buf[128];
			socklen_t len = lens[k];
			int n, written = 0;

			memset(buf, 0xee, sizeof(buf));
			n = getsockopt(fd, few[i].level, few[i].name, buf, &len);
			for (int b = 0; b < (int)sizeof(buf); b++)
				if (buf[b] != 0xee)
					written = b + 1;
			say("%s length %d: %s, stored %d, %d bytes written", few[i].what, lens[k],
			    n < 0 ? errno_name(errno) : "ok", (int)len, written);
		}
	}
	T(close(fd));
}

static void set_lengths(void)
{
	static const int lens[] = {-1, 0, 1, 2, 3, 4, 5, 8, 16, 100};
	static const struct option few[] = {
	    OPTION(SOL_SOCKET, SO_KEEPALIVE, 0),    OPTION(SOL_SOCKET, SO_RCVBUF, 0),	 OPTION(SOL_SOCKET, SO_LINGER, 0),
	    OPTION(SOL_SOCKET, SO_RCVTIMEO, 0),	    OPTION(IPPROTO_TCP, TCP_NODELAY, 0), OPTION(IPPROTO_TCP, TCP_KEEPIDLE, 0),
	    OPTION(IPPROTO_TCP, TCP_CONGESTION, 0), OPTION(IPPROTO_IP, IP_TTL, 0),	 OPTION(IPPROTO_IP, IP_TOS, 0),
	};
	static const char one[128] = {1};

	for (size_t i = 0; i < LEN(few); i++) {
		int fd = tcp_socket();

		for (size_t k = 0; k < LEN(lens); k++) {
			int n = setsockopt(fd, few[i].level, few[i].name, one, lens[k]);

			say("%s length %d: %s", few[i].what, lens[k], n < 0 ? errno_name(errno) : "ok");
		}
		MUST(close(fd));
	}
}

static void bad_levels_on(int fd)
{
	static const int levels[] = {-1, 2, 99, IPPROTO_UDP, IPPROTO_ICMP, SOL_RAW, IPPROTO_IPV6};
	int value = 1;
	socklen_t len = sizeof(value);

	for (size_t i = 0; i < LEN(levels); i++) {
		say("level %d", levels[i]);
		T(setsockopt(fd, levels[i], 26, &value, sizeof(value)));
		T(getsockopt(fd, levels[i], 26, &value, &len));
	}
	T(setsockopt(fd, SOL_SOCKET, 9999, &value, sizeof(value)));
	T(getsockopt(fd, SOL_SOCKET, 9999, &value, &len));
	T(setsockopt(fd, IPPROTO_TCP, 9999, &value, sizeof(value)));
	T(getsockopt(fd, IPPROTO_TCP, 9999, &value, &len));
	T(setsockopt(fd, IPPROTO_IP, 9999, &value, sizeof(value)));
	T(getsockopt(fd, IPPROTO_IP, 9999, &value, &len));
	T(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, NULL, sizeof(value)));
	T(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, NULL, sizeof(value)));
	T(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, NULL, &len));
	T(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, NULL));
	T(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, NULL));
}

static void bad_levels_server(void)
{
	int fd = tcp_socket();

	say("fresh");
	bad_levels_on(fd);
	MUST(close(fd));
	say("connected");
	fd = pair();
	bad_levels_on(fd);
	T(close(fd));
}

static void bad_levels_client(void)
{
	T(close(pair()));
}

static void linger_values_on(int fd)
{
	static const struct linger values[] = {{1, 0}, {1, 5}, {0, 9}, {2, 70000}, {1, INT_MAX}};
	struct linger got;
	socklen_t len = sizeof(got);

	T(getsockopt(fd, SOL_SOCKET, SO_LINGER, &got, &len));
	say("linger %d %d", got.l_onoff, got.l_linger);
	for (size_t i = 0; i < LEN(values); i++) {
		say("set %d %d", values[i].l_onoff, values[i].l_linger);
		T(setsockopt(fd, SOL_SOCKET, SO_LINGER, &values[i], sizeof(values[i])));
		T(getsockopt(fd, SOL_SOCKET, SO_LINGER, &got, &len));
		say("linger %d %d, length %u", got.l_onoff, got.l_linger, len);
	}
	T(setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){0}, sizeof(struct linger)));
}

static void linger_values_server(void)
{
	int fd = tcp_socket();

	linger_values_on(fd);
	MUST(close(fd));
	fd = pair();
	linger_values_on(fd);
	T(close(fd));
}

static void linger_values_client(void)
{
	T(close(pair()));
}

/* The kernel counts in jiffies, whose length is a matter of how it was built: at most 10 ms more than asked for. */
static const char *kept(const struct timeval *set, const struct timeval *got)
{
	int64_t more = (got->tv_sec - set->tv_sec) * 1000000LL + got->tv_usec - set->tv_usec;

	return more >= 0 && more <= 10000 ? "as set, or rounded up a little" : "something else";
}

static void timeout_values_on(int fd, int name)
{
	static const struct timeval values[] = {{0, 0}, {0, 1}, {0, 999}, {0, 12345}, {3, 500000}, {100000, 0}};
	static const struct timeval odd[] = {{0, 1000000}, {0, -1}, {-1, 0}, {LONG_MAX, 0}};
	struct timeval got;
	socklen_t len = sizeof(got);

	T(getsockopt(fd, SOL_SOCKET, name, &got, &len));
	say("at first %ld.%06ld", got.tv_sec, got.tv_usec);
	for (size_t i = 0; i < LEN(values); i++) {
		T(setsockopt(fd, SOL_SOCKET, name, &values[i], sizeof(values[i])));
		len = sizeof(got);
		T(getsockopt(fd, SOL_SOCKET, name, &got, &len));
		say("%ld.%06ld: %s, length %u", values[i].tv_sec, values[i].tv_usec, kept(&values[i], &got), len);
	}
	for (size_t i = 0; i < LEN(odd); i++) {
		say("odd %zu", i);
		T(setsockopt(fd, SOL_SOCKET, name, &odd[i], sizeof(odd[i])));
		T(getsockopt(fd, SOL_SOCKET, name, &got, &len));
		say("then %ld seconds", got.tv_sec);
	}
	T(setsockopt(fd, SOL_SOCKET, name, &(struct timeval){0}, 4));
	T(setsockopt(fd, SOL_SOCKET, name, &(struct timeval){0}, sizeof(struct timeval)));
}

static void timeout_values_server(void)
{
	int fd = tcp_socket();

	timeout_values_on(fd, SO_RCVTIMEO);
	timeout_values_on(fd, SO_SNDTIMEO);
	MUST(close(fd));
	fd = pair();
	timeout_values_on(fd, SO_RCVTIMEO);
	timeout_values_on(fd, SO_SNDTIMEO);
	T(close(fd));
}

static void timeout_values_client(void)
{
	T(close(pair()));
}

static void congestion_on(int fd)
{
	static const char *const names[] = {"reno", "cubic", "nonesuch", ""};
	char got[32];
	socklen_t len;

	for (size_t i = 0; i < LEN(names); i++) {
		say("set \"%s\"", names[i]);
		T(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, names[i], strlen(names[i])));
		memset(got, 0, sizeof(got));
		len = sizeof(got);
		T(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, got, &len));
		say("\"%s\", length %u", got, len);
	}
	len = 3;
	memset(got, '-', sizeof(got));
	T(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, got, &len));
	say("\"%.5s\", length %u", got, len);
	T(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 6));
	T(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic with a name much too long", 30));
	T(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno with a name much too long", 4));
}

static void congestion_server(void)
{
	int fd = tcp_socket();

	congestion_on(fd);
	MUST(close(fd));
	fd = pair();
	congestion_on(fd);
	T(close(fd));
}

static void congestion_client(void)
{
	T(close(pair()));
}

/* TCP_MAXSEG: the wish before, the truth (timestamps taken off) after. */
static void maxseg_server(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	static const int values[] = {1000, 88, 87, 0, 32767, 32768, -1};
	int fd = tcp_socket(), conn;

	for (size_t i = 0; i < LEN(values); i++) {
		T(get_int(fd, IPPROTO_TCP, TCP_MAXSEG));
		say("set %d", values[i]);
		T(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &values[i], sizeof(int)));
	}
	set_int(fd, IPPROTO_TCP, TCP_MAXSEG, 900);
	MUST(bind(fd, SA(sa), sizeof(sa)));
	MUST(listen(fd, 5));
	tell("listening");
	conn = accept_one(fd);
	T(get_int(conn, IPPROTO_TCP, TCP_MAXSEG));
	recv_and_say("got", conn, 50000);
	MUST(close(conn));
	MUST(close(fd));
}

static void maxseg_client(void)
{
	int fd;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	T(get_int(fd, IPPROTO_TCP, TCP_MAXSEG));
	send_pattern(fd, 50000, 0);
	T(close(fd));
}

/* Set on the fresh socket, and still so once it is connected or listening. */
static void early_options_server(void)
{
	static const struct option early[] = {
	    OPTION(SOL_SOCKET, SO_KEEPALIVE, 1),   OPTION(SOL_SOCKET, SO_RCVBUF, 30000),
	    OPTION(SOL_SOCKET, SO_SNDBUF, 30000),  OPTION(SOL_SOCKET, SO_RCVLOWAT, 3),
	    OPTION(SOL_SOCKET, SO_OOBINLINE, 1),   OPTION(IPPROTO_TCP, TCP_NODELAY, 1),
	    OPTION(IPPROTO_TCP, TCP_KEEPIDLE, 33), OPTION(IPPROTO_TCP, TCP_KEEPINTVL, 44),
	    OPTION(IPPROTO_TCP, TCP_KEEPCNT, 5),   OPTION(IPPROTO_TCP, TCP_USER_TIMEOUT, 9999),
	    OPTION(IPPROTO_TCP, TCP_SYNCNT, 3),	   OPTION(IPPROTO_TCP, TCP_LINGER2, 9),
	    OPTION(IPPROTO_IP, IP_TOS, 0x20),	   OPTION(IPPROTO_IP, IP_TTL, 44),
	    OPTION(SOL_SOCKET, SO_REUSEADDR, 1),
	};
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	struct linger lg = {1, 7};
	struct timeval tv = {4, 0};
	socklen_t len = sizeof(lg);
	int fd = tcp_socket();

	if (!is_server)
		hear("listening");
	for (size_t i = 0; i < LEN(early); i++)
		set_int(fd, early[i].level, early[i].name, early[i].values[0]);
	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, sizeof(lg)));
	MUST(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)));
	MUST(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	if (is_server) {
		MUST(bind(fd, SA(sa), sizeof(sa)));
		MUST(listen(fd, 5));
		tell("listening");
		MUST(close(accept_one(fd)));
	} else {
		MUST(connect(fd, SA(sa), sizeof(sa)));
	}
	for (size_t i = 0; i < LEN(early); i++)
		say_option(&early[i], fd);
	T(getsockopt(fd, SOL_SOCKET, SO_LINGER, &lg, &len));
	say("linger %d %d", lg.l_onoff, lg.l_linger);
	len = sizeof(tv);
	T(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, &len));
	say("send timeout %ld.%06ld", tv.tv_sec, tv.tv_usec);
	congestion_on(fd);
	T(close(fd));
}

static void early_options_client(void)
{
	early_options_server();
}

/* AF_INET6 sockets that carry IPv4: options of both levels. */
static const struct option v6_options[] = {
    OPTION(IPPROTO_IPV6, IPV6_V6ONLY, 0, 1),
    OPTION(IPPROTO_IPV6, IPV6_TCLASS, 0x20, 256),
    OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 33, 0, 256, -1),
    OPTION(IPPROTO_IP, IP_TOS, 0x10),
    OPTION(IPPROTO_IP, IP_TTL, 44),
    OPTION(SOL_SOCKET, SO_KEEPALIVE, 1),
    OPTION(SOL_SOCKET, SO_DOMAIN, 1),
    OPTION(IPPROTO_TCP, TCP_NODELAY, 1),
};

static void set_v6(const char *what, int fd)
{
	say("%s", what);
	for (size_t i = 0; i < LEN(v6_options); i++) {
		say_option(&v6_options[i], fd);
		for (int k = 0; k < v6_options[i].n; k++) {
			set_option(&v6_options[i], fd, v6_options[i].values[k]);
			say_option(&v6_options[i], fd);
		}
	}
}

static void v6_server(void)
{
	struct sockaddr_in6 sa = addr6("::", port(0));
	int fd = MUST(socket(AF_INET6, SOCK_STREAM, 0)), conn;

	set_v6("fresh", fd);
	MUST(close(fd));
	fd = MUST(socket(AF_INET6, SOCK_STREAM, 0));
	set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	MUST(bind(fd, SA(sa), sizeof(sa)));
	MUST(listen(fd, 5));
	tell("listening");
	conn = accept_one(fd);
	set_v6("connected", conn);
	MUST(close(conn));
	MUST(close(fd));
}

static void v6_client(void)
{
	char c;
	int fd;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

/* TCP_INFO and others that are longer than an int, by length. */
static void long_options_server(void)
{
	static const int lens[] = {0, 1, 8, 104, 192};
	struct option o = OPTION(IPPROTO_TCP, TCP_INFO, 0);
	int fd = pair();

	for (size_t i = 0; i < LEN(lens); i++) {
		uint8_t buf[512];
		socklen_t len = lens[i];

		T(getsockopt(fd, o.level, o.name, buf, &len));
		say("TCP_INFO asked for %d, got %u", lens[i], len);
	}
	T(setsockopt(fd, o.level, o.name, lens, sizeof(lens)));
	T(close(fd));
}

static void long_options_client(void)
{
	T(close(pair()));
}

static const struct posix_case cases[] = {
    ALONE(fresh_defaults), ALONE(fresh_values), ALONE(listening_values), BOTH(connected_defaults), BOTH(connected_values),
    ALONE(get_lengths),	   ALONE(set_lengths),	BOTH(bad_levels),	 BOTH(linger_values),	   BOTH(timeout_values),
    BOTH(congestion),	   BOTH(maxseg),	BOTH(early_options),	 BOTH(in_passing),	   BOTH(v6),
    BOTH(long_options),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
