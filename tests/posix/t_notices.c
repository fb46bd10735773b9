/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_notices.c - what recvmsg() tells beside the data: completions of MSG_ZEROCOPY and ICMP errors on the error queue, time
 * stamps, TCP_INQ, and what becomes of a control buffer that is too small.
 */
#include "posix.h"

#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define ZC (MSG_ZEROCOPY | MSG_NOSIGNAL)
#define CONTROL_ROOM 256
/* Stamps begin a while after they were first asked for: the kernel switches them on for the whole host, in a thread of its own.
 */
#define STAMP_TRIES 2000
#define STAMP_NAP_US 1000

/* Where recvmsg() puts its answers. */
struct inbox {
	char data[64];
	union {
		char control[CONTROL_ROOM];
		struct cmsghdr align;
	};
	struct iovec iov;
	struct msghdr msg;
};

static struct msghdr *inbox(struct inbox *in, size_t data, size_t control)
{
	memset(in, 0, sizeof(*in));
	in->iov = (struct iovec){in->data, data};
	in->msg = (struct msghdr){.msg_iov = &in->iov, .msg_iovlen = 1, .msg_control = in->control, .msg_controllen = control};
	return &in->msg;
}

/* ---- the error queue ----------------------------------------------------------------------------------------------------------
 */

static const char *level_name(int level)
{
	return level == SOL_SOCKET     ? "SOCKET"
	       : level == IPPROTO_TCP  ? "TCP"
	       : level == IPPROTO_IP   ? "IP"
	       : level == IPPROTO_IPV6 ? "IPV6"
				       : "other";
}

static void say_headers(const char *what, struct msghdr *m)
{
	say("%s: control %zu, flags %s%s%s", what, m->msg_controllen, m->msg_flags & MSG_ERRQUEUE ? "ERRQUEUE " : "",
	    m->msg_flags & MSG_CTRUNC ? "CTRUNC " : "", m->msg_flags & ~(MSG_ERRQUEUE | MSG_CTRUNC) ? "others" : "");
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		say("  level %s, type %d, length %zu", level_name(c->cmsg_level), c->cmsg_type, (size_t)c->cmsg_len);
}

/*
 * Completions come when the kernel likes, in ranges as they were merged: take entries until this one was reported.  True if all
 * numbers from *next on came once and in order.
 */
static bool take_completions(int fd, uint32_t *next, uint32_t last)
{
	bool right = true;

	while (right && *next <= last) {
		struct inbox in;
		struct msghdr *m = inbox(&in, 0, CONTROL_ROOM);
		struct sock_extended_err *ee;

		await(fd, POLLERR);
		MUST(recvmsg(fd, m, MSG_ERRQUEUE));
		ee = (struct sock_extended_err *)CMSG_DATA(CMSG_FIRSTHDR(m));
		right = ee->ee_errno == 0 && ee->ee_origin == SO_EE_ORIGIN_ZEROCOPY && ee->ee_type == 0 &&
			(ee->ee_code & ~SO_EE_CODE_ZEROCOPY_COPIED) == 0 && ee->ee_info == *next && ee->ee_data >= ee->ee_info &&
			ee->ee_data <= last;
		*next = ee->ee_data + 1;
	}
	return right;
}

static void zerocopy_client(void)
{
	static char data[100000];
	int fd = pair();
	struct inbox in;
	struct msghdr *m;
	uint32_t next = 0;

	T(recvmsg(fd, inbox(&in, 8, CONTROL_ROOM), MSG_ERRQUEUE));
	T(recv(fd, data, 8, MSG_ERRQUEUE));
	T(send(fd, data, 10, ZC));
	T(recvmsg(fd, inbox(&in, 8, CONTROL_ROOM), MSG_ERRQUEUE | MSG_DONTWAIT));
	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	T(send(fd, data, 10, 0));
	T(send(fd, data, 0, ZC));
	T(recv(fd, data, 8, MSG_ERRQUEUE));
	say_poll("before", fd);
	T(send(fd, data, 10, ZC));
	await(fd, POLLERR);
	say_poll("one is complete", fd);
	say("SO_ERROR %d", get_int(fd, SOL_SOCKET, SO_ERROR));
	m = inbox(&in, 8, CONTROL_ROOM);
	m->msg_name = &(struct sockaddr_in){0};
	m->msg_namelen = sizeof(struct sockaddr_in);
	T(recvmsg(fd, m, MSG_ERRQUEUE));
	say_headers("entry", m);
	say("name length %u", m->msg_namelen);
	say_poll("after", fd);
	next = 1;
	T(send(fd, data, sizeof(data), ZC));
	T(send(fd, data, sizeof(data), ZC));
	say_if("completions in order", take_completions(fd, &next, 2));
	for (int i = 0; i < 10; i++)
		MUST(send(fd, data, 100, ZC));
	say_if("completions in order", take_completions(fd, &next, 12));
	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 0);
	T(send(fd, data, 10, ZC));
	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	T(send(fd, data, 10, ZC));
	say_if("numbers go on", take_completions(fd, &next, 13));
	T(shutdown(fd, SHUT_WR));
	T(send(fd, data, 10, ZC));
	T(recv(fd, data, 8, MSG_ERRQUEUE));
	say_poll("at the end", fd);
	meet();
	T(close(fd));
}

static void zerocopy_server(void)
{
	int fd = pair();
	char buf[4096];
	size_t got = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		got += (size_t)n;
	say("got %zu", got);
	meet();
	T(close(fd));
}

/* Entries are there: who reads, writes or asks for SO_ERROR does not care. */
static void bystanders_client(void)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	int fd = pair(), epfd = MUST(epoll_create1(EPOLL_CLOEXEC));
	uint32_t next = 0;
	char buf[16];
	fd_set in, ex;

	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	T(epoll_wait(epfd, &ev, 1, 0));
	T(send(fd, "0123456789", 10, ZC));
	T(epoll_wait(epfd, &ev, 1, 1000));
	say("events %s", events_name(ev.events));
	T(epoll_wait(epfd, &ev, 1, 0));
	tell("answer");
	/* Blocks, whatever the error queue holds. */
	T(recv(fd, buf, sizeof(buf), 0));
	FD_ZERO(&in);
	FD_ZERO(&ex);
	FD_SET(fd, &in);
	FD_SET(fd, &ex);
	T(select(fd + 1, &in, NULL, &ex, NULL));
	say("select: in %d, ex %d", FD_ISSET(fd, &in) != 0, FD_ISSET(fd, &ex) != 0);
	T(recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
	T(send(fd, "x", 1, 0));
	say_if("still there", take_completions(fd, &next, 0));
	T(recv(fd, buf, sizeof(buf), MSG_ERRQUEUE));
	MUST(close(epfd));
	T(close(fd));
}

static void bystanders_server(void)
{
	int fd = pair();
	char buf[16];

	T(recv(fd, buf, 10, MSG_WAITALL));
	hear("answer");
	MUST(usleep(20000));
	T(send(fd, "ok", 2, 0));
	T(recv(fd, buf, sizeof(buf), 0));
	T(recv(fd, buf, sizeof(buf), 0));
	T(close(fd));
}

/* Each entry into less room than it needs. */
static void small_control_client(void)
{
	static const size_t rooms[] = {0, 8, 15, 16, 17, 30, 47, 48, 49, 56};
	int fd = pair();
	struct inbox in;

	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	for (size_t i = 0; i < LEN(rooms); i++) {
		MUST(send(fd, "x", 1, ZC));
		await(fd, POLLERR);
		T(recvmsg(fd, inbox(&in, 8, rooms[i]), MSG_ERRQUEUE));
		say_headers("entry", &in.msg);
	}
	MUST(send(fd, "x", 1, ZC));
	await(fd, POLLERR);
	inbox(&in, 8, CONTROL_ROOM)->msg_control = NULL;
	T(recvmsg(fd, &in.msg, MSG_ERRQUEUE));
	say_headers("nowhere to put it", &in.msg);
	MUST(send(fd, "x", 1, ZC));
	await(fd, POLLERR);
	inbox(&in, 8, CONTROL_ROOM)->msg_control = (void *)8;
	T(recvmsg(fd, &in.msg, MSG_ERRQUEUE));
	say("a wild place: control %zu, CTRUNC %d", in.msg.msg_controllen, (in.msg.msg_flags & MSG_CTRUNC) != 0);
	T(recv(fd, in.data, 1, MSG_ERRQUEUE));
	T(close(fd));
}

static void small_control_server(void)
{
	int fd = pair();

	recv_and_say("bytes", fd, 100);
	T(close(fd));
}

static void inherited_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd;
	uint32_t next = 0;

	set_int(listener, SOL_SOCKET, SO_ZEROCOPY, 1);
	set_int(listener, IPPROTO_TCP, TCP_INQ, 1);
	set_int(listener, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	set_int(listener, SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_SOFTWARE);
	tell("listening");
	fd = accept_one(listener);
	say("zerocopy %d, inq %d, stamps %d %d", get_int(fd, SOL_SOCKET, SO_ZEROCOPY), get_int(fd, IPPROTO_TCP, TCP_INQ),
	    get_int(fd, SOL_SOCKET, SO_TIMESTAMPNS), get_int(fd, SOL_SOCKET, SO_TIMESTAMP));
	T(send(fd, "x", 1, ZC));
	say_if("completed", take_completions(fd, &next, 0));
	meet();
	MUST(close(fd));
	MUST(close(listener));
}

static void inherited_client(void)
{
	int fd;

	hear("listening");
	fd = connect_to(SERVER_IP, port(0));
	meet();
	MUST(close(fd));
}

/* IPv4 through an IPv6 socket: the error queue is IPv6's. */
static void mapped_client(void)
{
	struct sockaddr_in6 sa = addr6("::ffff:" SERVER_IP, port(0));
	struct inbox in;
	int fd = MUST(socket(AF_INET6, SOCK_STREAM, 0));

	hear("listening");
	MUST(connect(fd, SA(sa), sizeof(sa)));
	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	MUST(send(fd, "x", 1, ZC));
	await(fd, POLLERR);
	T(recvmsg(fd, inbox(&in, 8, CONTROL_ROOM), MSG_ERRQUEUE));
	say_headers("entry", &in.msg);
	T(close(fd));
}

static void mapped_server(void)
{
	int listener = listen_at(SERVER_IP, port(0)), fd;

	tell("listening");
	fd = accept_one(listener);
	recv_and_say("bytes", fd, 100);
	MUST(close(fd));
	MUST(close(listener));
}

/* The first data goes with the SYN, or is put off until there is a connection. */
static void fastopen_client(void)
{
	struct sockaddr_in sa = addr4(SERVER_IP, port(0));
	int fd = tcp_socket();
	uint32_t next = 0;

	hear("listening");
	set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1);
	T(sendto(fd, "hello", 5, MSG_FASTOPEN | ZC, SA(sa), sizeof(sa)));
	say_if("completed", take_completions(fd, &next, 0));
	T(recv(fd, &(char){0}, 1, MSG_ERRQUEUE));
	T(close(fd));
}

static void fastopen_server(void)
{
	mapped_server();
}

/* ---- beside data --------------------------------------------------------------------------------------------------------------
 */

static bool is_recent(const struct timespec *ts)
{
	struct timespec now;

	MUST(clock_gettime(CLOCK_REALTIME, &now));
	return ts->tv_sec <= now.tv_sec && ts->tv_sec >= now.tv_sec - 10 && ts->tv_nsec >= 0 && ts->tv_nsec < 1000000000;
}

/* What a stamp says, in whichever form. */
static void say_stamps(struct msghdr *m)
{
	struct timespec ts[3];

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		memset(ts, 0, sizeof(ts));
		if (c->cmsg_level == SOL_SOCKET)
			memcpy(ts, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
		if (c->cmsg_level == SOL_SOCKET)
			say("  type %d: recent %d, others %ld %ld", c->cmsg_type, is_recent(ts), (long)ts[1].tv_sec,
			    (long)ts[2].tv_sec);
		else
			say("  level %s, type %d: %d", level_name(c->cmsg_level), c->cmsg_type, *(int *)CMSG_DATA(c));
	}
}

static void recv_and_say_stamps(int fd, size_t control)
{
	struct inbox in;

	T(recvmsg(fd, inbox(&in, 1, control), 0));
	say_headers("message", &in.msg);
	if (!(in.msg.msg_flags & MSG_CTRUNC))
		say_stamps(&in.msg);
}

static void stamps_server(void)
{
	/* SO_TIMESTAMP, SO_TIMESTAMPNS, and both in their new forms. */
	static const int names[] = {29, 35, 63, 64, 0};
	struct inbox in;
	int fd = pair(), tries = 0;

	set_int(fd, SOL_SOCKET, names[0], 1);
	do {
		MUST(usleep(STAMP_NAP_US));
		tell_num(1);
		MUST(recvmsg(fd, inbox(&in, 1, CONTROL_ROOM), 0));
	} while (!in.msg.msg_controllen && ++tries < STAMP_TRIES);
	for (size_t i = 0; names[i]; i++) {
		set_int(fd, SOL_SOCKET, names[i], 1);
		for (size_t k = 0; names[k]; k++)
			say("option %d reads %d", names[k], get_int(fd, SOL_SOCKET, names[k]));
		tell_num(1);
		recv_and_say_stamps(fd, CONTROL_ROOM);
	}
	set_int(fd, SOL_SOCKET, names[3], 0);
	for (size_t k = 0; names[k]; k++)
		say("option %d reads %d", names[k], get_int(fd, SOL_SOCKET, names[k]));
	tell_num(1);
	recv_and_say_stamps(fd, CONTROL_ROOM);
	set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
	tell_num(1);
	recv_and_say_stamps(fd, CONTROL_ROOM);
	set_int(fd, SOL_SOCKET, names[1], 1);
	set_int(fd, IPPROTO_TCP, TCP_INQ, 1);
	tell_num(1);
	recv_and_say_stamps(fd, CONTROL_ROOM);
	for (size_t room = 0; room <= 136; room += 17) {
		tell_num(1);
		recv_and_say_stamps(fd, room);
	}
	tell_num(0);
	recv_and_say_stamps(fd, CONTROL_ROOM);
	T(close(fd));
}

/* A byte for each word: how many it takes until stamps begin is not ours to say. */
static void stamps_client(void)
{
	int fd = pair();

	while (hear_num())
		MUST(send(fd, "x", 1, 0));
	MUST(close(fd));
}

static void inq_server(void)
{
	struct inbox in;
	int fd = pair();

	tell("go");
	await_inq(fd, 30);
	recv_and_say_stamps(fd, CONTROL_ROOM);
	set_int(fd, IPPROTO_TCP, TCP_INQ, 1);
	say("reads %d", get_int(fd, IPPROTO_TCP, TCP_INQ));
	recv_and_say_stamps(fd, CONTROL_ROOM);
	T(recvmsg(fd, inbox(&in, 8, CONTROL_ROOM), MSG_PEEK));
	say_stamps(&in.msg);
	T(recvmsg(fd, inbox(&in, 8, 20), 0));
	say_headers("cut", &in.msg);
	T(recvmsg(fd, inbox(&in, 8, 0), 0));
	say_headers("no room", &in.msg);
	T(recvmsg(fd, inbox(&in, 8, CONTROL_ROOM), MSG_OOB));
	T(recvmsg(fd, inbox(&in, 64, CONTROL_ROOM), 0));
	say_stamps(&in.msg);
	T(recvmsg(fd, inbox(&in, 64, CONTROL_ROOM), MSG_DONTWAIT));
	tell("close");
	await(fd, POLLIN);
	T(recvmsg(fd, inbox(&in, 64, CONTROL_ROOM), 0));
	say_stamps(&in.msg);
	set_int(fd, IPPROTO_TCP, TCP_INQ, 0);
	T(recvmsg(fd, inbox(&in, 64, CONTROL_ROOM), 0));
	say_headers("switched off", &in.msg);
	T(close(fd));
}

static void inq_client(void)
{
	int fd = pair();

	hear("go");
	T(send(fd, "012345678901234567890123456789", 30, 0));
	hear("close");
	T(close(fd));
}

/* ---- ICMP errors --------------------------------------------------------------------------------------------------------------
 */

/* An attempt to connect to where no neighbour answers: an ICMP error of our own, the same for all of them. */
static int lost_attempt(int family)
{
	struct sockaddr_in sa = addr4(NOBODY_IP, port(0));
	struct sockaddr_in6 sa6 = addr6("::ffff:" NOBODY_IP, port(0));
	int fd = MUST(socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0));

	if (family == AF_INET)
		T(connect(fd, SA(sa), sizeof(sa)));
	else
		T(connect(fd, SA(sa6), sizeof(sa6)));
	return fd;
}

static void say_icmp(struct msghdr *m)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	const struct sock_extended_err *ee = (const struct sock_extended_err *)CMSG_DATA(c);
	uint16_t quoted[2];

	say("  errno %s, origin %u, type %u, code %u, pad %u, info %u, data %u", errno_name((int)ee->ee_errno), ee->ee_origin,
	    ee->ee_type, ee->ee_code, ee->ee_pad, ee->ee_info, ee->ee_data);
	say_addr("  offender", SO_EE_OFFENDER(ee), (socklen_t)(c->cmsg_len - CMSG_LEN(sizeof(*ee))));
	memcpy(quoted, m->msg_iov->iov_base, sizeof(quoted));
	say_if("the quote is of a packet to there", ntohs(quoted[1]) == port(0));
}

static void take_icmp(int fd, size_t room, socklen_t name_room)
{
	struct sockaddr_storage name = {0};
	struct inbox in;
	struct msghdr *m = inbox(&in, room, CONTROL_ROOM);

	m->msg_name = &name;
	m->msg_namelen = name_room;
	T(recvmsg(fd, m, MSG_ERRQUEUE));
	say("  cut: %d", (m->msg_flags & MSG_TRUNC) != 0);
	m->msg_flags &= ~MSG_TRUNC;
	say_headers("entry", m);
	say_icmp(m);
	say("  name of %u bytes", m->msg_namelen);
	say_addr("  for", &name, m->msg_namelen);
}

static void icmp_error(void)
{
	struct sockaddr_in name = addr4(NOBODY_IP, port(0));
	socklen_t len = sizeof(name);
	int blocking = tcp_socket();
	enum { WHOLE, AFTER_ERROR, NAMED, MAPPED, PURGED, PURGED6, N };
	int fds[N];
	char data[64];

	for (int i = 0; i < N; i++)
		fds[i] = lost_attempt(i == MAPPED || i == PURGED6 ? AF_INET6 : AF_INET);
	set_int(fds[PURGED], IPPROTO_IP, IP_RECVERR, 1);
	/* It says so at once, and the entry is there all the same. */
	T(connect(blocking, SA(name), sizeof(name)));
	T(get_int(blocking, SOL_SOCKET, SO_ERROR));
	take_icmp(blocking, sizeof(data), sizeof(struct sockaddr_in));
	MUST(close(blocking));
	for (int i = 0; i < N; i++)
		await(fds[i], POLLERR | POLLHUP);
	say_poll("failed", fds[WHOLE]);
	/* What is pending goes with the entry that tells of it. */
	take_icmp(fds[WHOLE], sizeof(data), sizeof(struct sockaddr_in));
	T(get_int(fds[WHOLE], SOL_SOCKET, SO_ERROR));
	say_poll("taken", fds[WHOLE]);
	T(recv(fds[WHOLE], data, sizeof(data), MSG_ERRQUEUE));
	T(get_int(fds[AFTER_ERROR], SOL_SOCKET, SO_ERROR));
	say_poll("the entry is left", fds[AFTER_ERROR]);
	take_icmp(fds[AFTER_ERROR], 10, 6);
	say_poll("taken", fds[AFTER_ERROR]);
	memset(&name, 0, sizeof(name));
	T(recvfrom(fds[NAMED], data, sizeof(data), MSG_ERRQUEUE, SA(name), &len));
	say_addr("for", &name, len);
	take_icmp(fds[MAPPED], sizeof(data), sizeof(struct sockaddr_in6));
	set_int(fds[PURGED], IPPROTO_IP, IP_RECVERR, 0);
	T(recv(fds[PURGED], data, sizeof(data), MSG_ERRQUEUE));
	T(get_int(fds[PURGED], SOL_SOCKET, SO_ERROR));
	say_poll("dropped", fds[PURGED]);
	set_int(fds[PURGED6], IPPROTO_IPV6, IPV6_RECVERR, 0);
	T(recv(fds[PURGED6], data, sizeof(data), MSG_ERRQUEUE));
	T(get_int(fds[PURGED6], SOL_SOCKET, SO_ERROR));
	for (int i = 0; i < N; i++)
		MUST(close(fds[i]));
}

static const struct posix_case cases[] = {
    BOTH(zerocopy), BOTH(bystanders), BOTH(small_control), BOTH(inherited),   BOTH(mapped),
    BOTH(fastopen), BOTH(stamps),     BOTH(inq),	   ALONE(icmp_error),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
