/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_ioctl.c - ioctl() and fcntl() on fresh, listening and connected sockets.
 */
#include "posix.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static const struct {
	unsigned long request;
	const char *what;
} counts[] = {{FIONREAD, "FIONREAD"}, {SIOCOUTQ, "SIOCOUTQ"}, {SIOCOUTQNSD, "SIOCOUTQNSD"}, {SIOCATMARK, "SIOCATMARK"}};

static void say_counts(const char *when, int fd)
{
	for (size_t i = 0; i < LEN(counts); i++) {
		int value = -77;

		if (ioctl(fd, counts[i].request, &value) < 0)
			say("%s: %s: %s", when, counts[i].what, errno_name(errno));
		else
			say("%s: %s: %d", when, counts[i].what, value);
	}
}

static void counts_server(void)
{
	char buf[8];
	int listener = listen_at(SERVER_IP, port(1)), fresh = tcp_socket(), fd = pair();

	say_counts("fresh", fresh);
	say_counts("listening", listener);
	MUST(close(fresh));
	MUST(close(listener));
	say_counts("connected", fd);
	tell("send");
	await_inq(fd, 10);
	say_counts("10 bytes", fd);
	T(read(fd, buf, 3));
	say_counts("7 left", fd);
	hear("closed");
	await(fd, POLLRDHUP);
	say_counts("7 and the end", fd);
	T(read(fd, buf, 7));
	say_counts("the end", fd);
	T(read(fd, buf, 7));
	say_counts("the end was read", fd);
	T(close(fd));
}

static void counts_client(void)
{
	int fd = pair();

	hear("send");
	T(write(fd, "0123456789", 10));
	await_acked(fd);
	say_counts("acknowledged", fd);
	T(close(fd));
	tell("closed");
}

/* SIOCOUTQ counts what the peer has not acknowledged; nothing is acknowledged beyond a window that stays shut. */
static void unacknowledged_server(void)
{
	int fd = pair_small();
	long sent;

	sent = hear_num();
	say_if("all arrived", recv_pattern(fd, sent, 0) == (size_t)sent);
	hear("acknowledged");
	T(close(fd));
}

static void unacknowledged_client(void)
{
	static char buf[50000];
	int fd = pair_small(), outq = -1, unsent = -1;
	size_t sent = 0;

	set_nonblock(fd, true);
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};
		ssize_t n;

		fill(buf, sizeof(buf), sent);
		n = send(fd, buf, sizeof(buf), 0);
		if (n > 0)
			sent += n;
		else if (poll(&p, 1, 300) == 0)
			break;
	}
	T(ioctl(fd, SIOCOUTQ, &outq));
	T(ioctl(fd, SIOCOUTQNSD, &unsent));
	say_if("something is not acknowledged", outq > 0);
	say_if("something is not sent", unsent > 0);
	say_if("no more unsent than unacknowledged", unsent <= outq);
	say_if("no more unacknowledged than sent", outq <= (int)sent);
	tell_num(sent);
	await_acked(fd);
	T(ioctl(fd, SIOCOUTQ, &outq));
	say("unacknowledged %d", outq);
	tell("acknowledged");
	T(close(fd));
}

static void nonblock_by_ioctl_server(void)
{
	int fd = pair(), on = 1;
	char c;

	T(ioctl(fd, FIONBIO, &on));
	T(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	T(recv(fd, &c, 1, 0));
	on = 0;
	T(ioctl(fd, FIONBIO, &on));
	T(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	on = 123;
	T(ioctl(fd, FIONBIO, &on));
	T(fcntl(fd, F_GETFL) & O_NONBLOCK);
	T(ioctl(fd, FIONBIO, NULL));
	T(close(fd));
	fd = tcp_socket();
	on = 1;
	T(ioctl(fd, FIONBIO, &on));
	T(fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
	T(close(fd));
}

static void nonblock_by_ioctl_client(void)
{
	char c;
	int fd = pair();

	T(recv(fd, &c, 1, 0));
	T(close(fd));
}

static void odd_requests_on(int fd)
{
	struct termios tio;
	struct winsize ws;
	int value = 0;

	T(ioctl(fd, TCGETS, &tio));
	T(ioctl(fd, TIOCGWINSZ, &ws));
	T(ioctl(fd, 0x12345678, &value));
	T(ioctl(fd, 0, &value));
	T(ioctl(fd, FIONREAD, NULL));
	T(ioctl(fd, SIOCOUTQ, NULL));
	T(ioctl(fd, FIOCLEX));
	T(fcntl(fd, F_GETFD));
	T(ioctl(fd, FIONCLEX));
	T(fcntl(fd, F_GETFD));
	value = 0;
	T(ioctl(fd, FIOASYNC, &value));
	T(ioctl(fd, SIOCGIFINDEX, NULL));
}

static void odd_requests_server(void)
{
	int fd = tcp_socket();

	say("fresh");
	odd_requests_on(fd);
	MUST(close(fd));
	say("connected");
	fd = pair();
	odd_requests_on(fd);
	T(close(fd));
	T(ioctl(fd, FIONREAD, &fd));
	T(ioctl(-1, FIONBIO, &fd));
}

static void odd_requests_client(void)
{
	T(close(pair()));
}

/* A socket is the usual way to ask for interfaces. */
static void interfaces_server(void)
{
	struct ifreq ifr = {.ifr_name = "lo"};
	int fd = pair();

	T(ioctl(fd, SIOCGIFINDEX, &ifr));
	say_if("lo has an index", ifr.ifr_ifindex > 0);
	T(ioctl(fd, SIOCGIFFLAGS, &ifr));
	say_if("lo is a loopback", ifr.ifr_flags & IFF_LOOPBACK);
	strcpy(ifr.ifr_name, "nonesuch");
	T(ioctl(fd, SIOCGIFINDEX, &ifr));
	T(close(fd));
}

static void interfaces_client(void)
{
	T(close(pair()));
}

static void status_flags_on(int fd)
{
	T(fcntl(fd, F_GETFL));
	T(fcntl(fd, F_SETFL, O_NONBLOCK));
	T(fcntl(fd, F_GETFL));
	/* What cannot be changed is ignored. */
	T(fcntl(fd, F_SETFL, O_RDONLY | O_CREAT | O_TRUNC));
	T(fcntl(fd, F_GETFL));
	T(fcntl(fd, F_SETFL, O_RDWR | O_APPEND));
	T(fcntl(fd, F_GETFL));
	T(fcntl(fd, F_SETFL, O_RDWR));
	T(fcntl(fd, F_SETFL, O_DIRECT));
	T(fcntl(fd, F_GETFL));
}

static void status_flags_server(void)
{
	int fd = tcp_socket();

	say("fresh");
	status_flags_on(fd);
	MUST(close(fd));
	fd = listen_at(SERVER_IP, port(1));
	say("listening");
	status_flags_on(fd);
	MUST(close(fd));
	say("connected");
	fd = pair();
	status_flags_on(fd);
	T(close(fd));
}

static void status_flags_client(void)
{
	T(close(pair()));
}

static void other_commands_on(int fd)
{
	struct flock lock = {.l_type = F_WRLCK};

	T(fcntl(fd, F_GETFD));
	T(fcntl(fd, F_SETFD, 0));
	T(fcntl(fd, F_GETFD));
	T(fcntl(fd, F_SETFD, FD_CLOEXEC));
	T(fcntl(fd, F_GETFD));
	T(fcntl(fd, F_SETFD, 0xff));
	T(fcntl(fd, F_GETFD));
	T(fcntl(fd, F_GETOWN));
	T(fcntl(fd, F_SETOWN, getpid()));
	say_if("owner is this process", fcntl(fd, F_GETOWN) == getpid());
	T(fcntl(fd, F_SETOWN, 0));
	T(fcntl(fd, F_GETSIG));
	T(fcntl(fd, F_SETSIG, SIGUSR1));
	T(fcntl(fd, F_GETSIG));
	T(fcntl(fd, F_SETSIG, 0));
	T(fcntl(fd, F_GETLK, &lock));
	T(fcntl(fd, F_GETPIPE_SZ));
	T(fcntl(fd, F_GETLEASE));
	T(fcntl(fd, 9999));
	T(flock(fd, LOCK_EX | LOCK_NB));
	T(flock(fd, LOCK_UN));
}

static void other_commands_server(void)
{
	int fd = tcp_socket();

	say("fresh");
	other_commands_on(fd);
	MUST(close(fd));
	say("connected");
	fd = pair();
	other_commands_on(fd);
	T(close(fd));
	T(fcntl(fd, F_GETFL));
	T(fcntl(fd, F_SETFL, O_NONBLOCK));
	T(fcntl(fd, F_GETFD));
	T(fcntl(fd, F_DUPFD, 0));
}

static void other_commands_client(void)
{
	T(close(pair()));
}

static const struct posix_case cases[] = {
    BOTH(counts),     BOTH(unacknowledged), BOTH(nonblock_by_ioctl), BOTH(odd_requests),
    BOTH(interfaces), BOTH(status_flags),   BOTH(other_commands),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
