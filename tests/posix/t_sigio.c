/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_sigio.c - what is signalled to who owns a descriptor, and when: SIGIO or a real-time signal (F_SETSIG, O_ASYNC), SIGURG; and
 * programs whose work is done by signals.
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

/* ---- kinds of events --------------------------------------------------------------------------------------------------------
 */

static void data_server(void)
{
	char buf[16];
	int fd = pair();

	signals_block();
	T(fcntl(fd, F_GETOWN));
	T(fcntl(fd, F_GETSIG));
	T(fcntl(fd, F_SETOWN, getpid()));
	say_if("the owner is this process", fcntl(fd, F_GETOWN) == getpid());
	T(fcntl(fd, F_SETFL, O_ASYNC));
	T(fcntl(fd, F_GETFL) == (O_RDWR | O_ASYNC));
	tell("send");
	signals_expect(SIGIO, SI_KERNEL, fd);
	T(recv(fd, buf, sizeof(buf), 0));
	T(fcntl(fd, F_SETSIG, SIG_RT));
	T(fcntl(fd, F_GETSIG) == SIG_RT);
	for (int i = 0; i < 3; i++) {
		tell("send");
		signals_expect(SIG_RT, POLL_IN, fd);
		T(recv(fd, buf, sizeof(buf), 0));
	}
	signals_only(IN);
	MUST(close(fd));
}

static void data_client(void)
{
	char c;
	int fd = pair();

	for (int i = 0; i < 4; i++) {
		hear("send");
		MUST(send(fd, "hello", 5, 0));
	}
	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

/* Data behind data that was not read is news as well. */
static void more_data_server(void)
{
	char buf[16];
	int fd = pair();

	signals_block();
	signals_owned(fd, SIG_RT);
	for (int i = 0; i < 3; i++) {
		tell("send");
		signals_expect(SIG_RT, POLL_IN, fd);
	}
	await_inq(fd, 15);
	T(recv(fd, buf, sizeof(buf), 0));
	tell("send");
	T(recv(fd, buf, sizeof(buf), 0));
	signals_only(IN);
	MUST(close(fd));
}

/* The end of the peer's half is POLL_IN, that of both POLL_HUP and POLL_IN, a reset POLL_ERR. */
static void ends_server(void)
{

	signals_block();
	for (int i = 0; i < 3; i++) {
		int fd = pair_at(i);

		signals_owned(fd, SIG_RT);
		if (i == 1)
			T(shutdown(fd, SHUT_WR));
		tell("end");
		signals_expect(SIG_RT, i == 0 ? POLL_IN : i == 1 ? POLL_HUP : POLL_ERR, fd);
		if (i == 1)
			signals_expect(SIG_RT, POLL_IN, fd);
		signals_only(i == 0 ? IN : i == 1 ? HUP | IN : ERR);
		MUST(close(fd));
	}
}

static void ends_client(void)
{
	struct linger reset = {1, 0};
	char c;

	for (int i = 0; i < 3; i++) {
		int fd = pair_at(i);

		hear("end");
		if (i == 1)
			T(recv(fd, &c, 1, 0));
		if (i == 2)
			MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)));
		MUST(close(fd));
	}
}

/* What the owner does itself is no news. */
static void own_shutdown_server(void)
{
	struct timespec moment = {.tv_nsec = 50000000};
	int fd = pair();

	signals_block();
	signals_owned(fd, SIG_RT);
	T(shutdown(fd, SHUT_WR));
	T(shutdown(fd, SHUT_RD));
	nanosleep(&moment, NULL);
	signals_only(0);
	tell("done");
	MUST(close(fd));
}

static void until_done_client(void)
{
	int fd = pair();

	hear("done");
	MUST(close(fd));
}

static void room_server(void)
{
	int fd = pair_small();

	hear("full");
	recv_and_say("got", fd, 100000);
	hear("done");
	MUST(close(fd));
}

/* POLL_OUT comes when a buffer that was found full has room. */
static void room_client(void)
{
	static char buf[100000];
	int fd = pair_small();
	ssize_t n, sent = 0;

	signals_block();
	signals_owned(fd, SIG_RT);
	set_nonblock(fd, true);
	while ((n = send(fd, buf, sizeof(buf) - sent, 0)) > 0)
		sent += n;
	say("full: %zd %s", n, errno_name(errno));
	signals_only(0);
	tell("full");
	while (sent < (ssize_t)sizeof(buf)) {
		signals_expect(SIG_RT, POLL_OUT, fd);
		/* Once is enough to print. */
		set_nonblock(fd, false);
		sent += MUST(send(fd, buf, sizeof(buf) - sent, 0));
	}
	signals_only(OUT);
	tell("done");
	MUST(close(fd));
}

static void connections_server(void)
{
	int fd, listener = listen_at(SERVER_IP, port(0));

	signals_block();
	signals_owned(listener, SIG_RT);
	for (int i = 0; i < 2; i++) {
		tell("connect");
		signals_expect(SIG_RT, POLL_IN, listener);
		fd = TFD(accept(listener, NULL, NULL));
		T(fcntl(fd, F_GETOWN));
		T(fcntl(fd, F_GETSIG));
		T(fcntl(fd, F_GETFL) == O_RDWR);
		tell("send");
		await_inq(fd, 1);
		signals_only(IN);
		MUST(close(fd));
	}
	MUST(close(listener));
}

static void connections_client(void)
{
	char c;

	for (int i = 0; i < 2; i++) {
		int fd;

		hear("connect");
		fd = connect_to(SERVER_IP, port(0));
		hear("send");
		MUST(send(fd, "x", 1, 0));
		recv(fd, &c, 1, 0);
		MUST(close(fd));
	}
}

/* Set before it is known who serves the socket; POLL_OUT when it is connected, POLL_ERR when it is refused. */
static void connecting_client(void)
{
	for (int i = 0; i < 2; i++) {
		struct sockaddr_in sa = addr4(SERVER_IP, port(i));
		int fd = tcp_socket();

		signals_block();
		signals_owned(fd, SIG_RT);
		T(fcntl(fd, F_GETFL) == (O_RDWR | O_ASYNC));
		set_nonblock(fd, true);
		if (i == 0)
			hear("listening");
		T(connect(fd, SA(sa), sizeof(sa)));
		say_if("the owner is this process", fcntl(fd, F_GETOWN) == getpid());
		T(fcntl(fd, F_GETFL) == (O_RDWR | O_ASYNC | O_NONBLOCK));
		signals_expect(SIG_RT, i == 0 ? POLL_OUT : POLL_ERR, fd);
		signals_only(i == 0 ? OUT : ERR);
		T(get_int(fd, SOL_SOCKET, SO_ERROR));
		MUST(close(fd));
	}
	tell("done");
}

static void connecting_server(void)
{
	int listener = listen_at(SERVER_IP, port(0));

	tell("listening");
	hear("done");
	MUST(close(listener));
}

/* SIGURG takes an owner alone, POLL_PRI O_ASYNC and a signal as well. */
static void urgent_server(void)
{
	char c;
	int fd = pair();

	signals_block();
	T(fcntl(fd, F_SETOWN, getpid()));
	for (int i = 0; i < 2; i++) {
		tell("send");
		signals_expect(SIGURG, SI_KERNEL, fd);
		if (i == 1)
			signals_expect(SIG_RT, POLL_PRI, fd);
		await(fd, POLLPRI);
		T(recv(fd, &c, 1, MSG_OOB));
		say("%c", c);
		signals_only(IN);
		signals_owned(fd, SIG_RT);
	}
	tell("send");
	MUST(close(fd));
}

static void urgent_client(void)
{
	int fd = pair();

	for (int i = 0; i < 2; i++) {
		hear("send");
		MUST(send(fd, i ? "b" : "a", 1, MSG_OOB));
	}
	hear("send");
	MUST(close(fd));
}

/* A thread in recv() gets the data without a signal. */
static void receiver_server(void)
{
	char buf[8];
	int fd = pair();

	signals_block();
	signals_owned(fd, SIG_RT);
	tell("wait and send");
	T(recv(fd, buf, 5, MSG_WAITALL));
	T(fcntl(fd, F_SETFL, 0));
	signals_only(IN);
	tell("send");
	await_inq(fd, 5);
	signals_only(0);
	T(fcntl(fd, F_SETFL, O_ASYNC));
	tell("send");
	signals_expect(SIG_RT, POLL_IN, fd);
	tell("send");
	MUST(close(fd));
}

static void receiver_client(void)
{
	int fd = pair();

	hear("wait and send");
	MUST(send(fd, "hello", 5, 0));
	for (int i = 0; i < 2; i++) {
		hear("send");
		MUST(send(fd, "hello", 5, 0));
	}
	hear("send");
	MUST(close(fd));
}

/* ---- programs that do nothing else ------------------------------------------------------------------------------------------
 */

static int served;
static volatile sig_atomic_t echoed;

static void echo_on_signal(int signo)
{
	char buf[64];
	ssize_t n;

	while ((n = recv(served, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		echoed += send(served, buf, n, 0);
}

static void echo_by_signals(int signo)
{
	struct sigaction sa = {.sa_handler = echo_on_signal};
	sigset_t set = signals_all();

	echoed = 0;
	served = pair();
	MUST(sigaction(signo, &sa, NULL));
	signals_block();
	MUST(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

/* All work is done in the handler. */
static void pausing_server(void)
{
	sigset_t set, before;

	echo_by_signals(SIGIO);
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	MUST(sigprocmask(SIG_BLOCK, &set, &before));
	signals_owned(served, 0);
	tell("go");
	while (echoed < 100)
		sigsuspend(&before);
	MUST(sigprocmask(SIG_SETMASK, &before, NULL));
	say("echoed %d", (int)echoed);
	hear("done");
	MUST(close(served));
}

/* The program computes. */
static void computing_server(void)
{
	int64_t start = now_ms();
	unsigned long sum = 0;

	echo_by_signals(SIG_RT);
	signals_owned(served, SIG_RT);
	tell("go");
	while (echoed < 100 && now_ms() - start < 5000)
		for (int i = 0; i < 1000; i++)
			sum += (unsigned long)i * sum + 1;
	say("echoed %d", (int)echoed);
	hear("done");
	MUST(close(served));
}

static void echo_client(void)
{
	char c = 0;
	int fd = pair(), right = 0;

	hear("go");
	for (int i = 0; i < 100; i++) {
		char sent = (char)i;

		MUST(send(fd, &sent, 1, 0));
		right += recv(fd, &c, 1, 0) == 1 && c == sent;
	}
	say("right %d", right);
	tell("done");
	MUST(close(fd));
}

static void once_client(void)
{
	greeter(1);
}

static void signalfd_server(void)
{
	struct signalfd_siginfo si;
	sigset_t set = signals_all();
	int fd = pair(), sfd;

	signals_block();
	signals_owned(fd, SIG_RT);
	sfd = MUST(signalfd(-1, &set, SFD_CLOEXEC));
	tell("send");
	T(read(sfd, &si, sizeof(si)) == sizeof(si));
	say("%s band %x", signals_code(si.ssi_code), si.ssi_band);
	say_if("its descriptor", si.ssi_fd == fd);
	tell("send");
	signals_only(IN);
	MUST(close(sfd));
	MUST(close(fd));
}

/* Many at once, each with its own number. */
static void many_server(void)
{
	int fds[8];

	signals_block();
	for (unsigned i = 0; i < LEN(fds); i++)
		fds[i] = pair_at(i);
	for (unsigned i = 0; i < LEN(fds); i++)
		signals_owned(fds[i], SIG_RT);
	for (unsigned i = 0; i < LEN(fds); i++) {
		tell("send");
		signals_expect(SIG_RT, POLL_IN, fds[i]);
		signals_only(IN);
	}
	tell("send");
	for (unsigned i = 0; i < LEN(fds); i++)
		MUST(close(fds[i]));
}

static void many_client(void)
{
	int fds[8];

	for (unsigned i = 0; i < LEN(fds); i++)
		fds[i] = pair_at(i);
	for (unsigned i = 0; i < LEN(fds); i++) {
		hear("send");
		MUST(send(fds[i], "x", 1, 0));
	}
	hear("send");
	for (unsigned i = 0; i < LEN(fds); i++)
		MUST(close(fds[i]));
}

static const struct posix_case cases[] = {
    BOTH(data),
    {"more_data", more_data_server, data_client},
    BOTH(ends),
    {"own_shutdown", own_shutdown_server, until_done_client},
    BOTH(room),
    BOTH(connections),
    BOTH(connecting),
    BOTH(urgent),
    BOTH(receiver),
    {"pausing", pausing_server, echo_client},
    {"computing", computing_server, echo_client},
    {"signalfd", signalfd_server, once_client},
    BOTH(many),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
