/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_timers.c - programs that live on signals: profilers at 1 kHz, alarms as time limits, signalfd in an event loop, and SIGSEGV
 * that the program itself handles.
 */
#include "posix_sig.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BULK (16 << 20)

static volatile sig_atomic_t samples;

static void on_sample(int signo)
{
	samples++;
}

static void every_ms(int which, int signo, int flags)
{
	struct sigaction sa = {.sa_handler = on_sample, .sa_flags = flags};
	struct itimerval it = {{0, 1000}, {0, 1000}};

	samples = 0;
	MUST(sigaction(signo, &sa, NULL));
	MUST(setitimer(which, &it, NULL));
}

static void no_more(int which)
{
	const struct itimerval off = {0};

	MUST(setitimer(which, &off, NULL));
	say_if("there were samples", samples > 0);
}

/* Count what calls return beside bytes. */
struct tally {
	long bytes, interrupted, others;
	uint32_t sum;
};

static bool count(struct tally *t, ssize_t n)
{
	if (n > 0)
		t->bytes += n;
	else if (n < 0 && errno == EINTR)
		t->interrupted++;
	else
		t->others++;
	return n > 0;
}

static void receive_bulk(int fd, struct tally *t)
{
	static char buf[50000];
	ssize_t n;

	*t = (struct tally){.sum = SUM_INIT};
	while (t->bytes < BULK && !t->others)
		if (count(t, n = read(fd, buf, sizeof(buf))))
			t->sum = sum(t->sum, buf, n);
}

static void send_bulk(int fd, struct tally *t)
{
	static char buf[50000];
	size_t left;

	*t = (struct tally){.sum = SUM_INIT};
	while (t->bytes < BULK && !t->others) {
		left = BULK - t->bytes < (long)sizeof(buf) ? (size_t)(BULK - t->bytes) : sizeof(buf);
		fill(buf, left, t->bytes);
		count(t, write(fd, buf, left));
	}
}

/* With SA_RESTART no call of a transfer returns because of a sample. */
static void profiled(bool sends)
{
	struct tally t;
	int fd = pair();

	for (int round = 0; round < 2; round++) {
		every_ms(round ? ITIMER_PROF : ITIMER_REAL, round ? SIGPROF : SIGALRM, SA_RESTART);
		if (sends)
			send_bulk(fd, &t);
		else
			receive_bulk(fd, &t);
		no_more(round ? ITIMER_PROF : ITIMER_REAL);
		say("%ld bytes, %ld interrupted, %ld others, %08x", t.bytes, t.interrupted, t.others, t.sum);
		meet();
	}
	MUST(close(fd));
}

static void profiled_server(void)
{
	profiled(false);
}

static void profiled_client(void)
{
	profiled(true);
}

/* Without, EINTR is all that happens, and every byte comes once. */
static void interrupted(bool sends)
{
	struct tally t;
	int fd = pair();

	every_ms(ITIMER_REAL, SIGALRM, 0);
	if (sends)
		send_bulk(fd, &t);
	else
		receive_bulk(fd, &t);
	no_more(ITIMER_REAL);
	say("%ld bytes, %ld others, %08x", t.bytes, t.others, t.sum);
	meet();
	MUST(close(fd));
}

static void interrupted_server(void)
{
	interrupted(false);
}

static void interrupted_client(void)
{
	interrupted(true);
}

/* An event loop whose every wait a sample may end. */
static void loop_server(void)
{
	char buf[4096];
	struct epoll_event ev = {.events = EPOLLIN};
	int fd = pair(), epfd = MUST(epoll_create1(0));
	long bytes = 0, others = 0;
	uint32_t all = SUM_INIT;
	ssize_t n;

	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	every_ms(ITIMER_REAL, SIGALRM, SA_RESTART);
	while (bytes < 1000000 && !others) {
		int got = epoll_wait(epfd, &ev, 1, -1);

		others += got == 0 || (got < 0 && errno != EINTR);
		n = got > 0 ? recv(fd, buf, sizeof(buf), MSG_DONTWAIT) : 0;
		others += n < 0 && errno != EAGAIN;
		bytes += n > 0 ? n : 0;
		all = n > 0 ? sum(all, buf, n) : all;
	}
	no_more(ITIMER_REAL);
	say("%ld bytes, %ld others, %08x", bytes, others, all);
	meet();
	MUST(close(epfd));
	MUST(close(fd));
}

static void loop_client(void)
{
	int fd = pair();

	for (size_t at = 0; at < 1000000; at += 1000)
		send_pattern(fd, 1000, at);
	meet();
	MUST(close(fd));
}

/* ---- alarms as time limits --------------------------------------------------------------------------------------------------
 */

static sigjmp_buf out;

static void jump_out(int signo)
{
	siglongjmp(out, signo);
}

static void alarms_server(void)
{
	struct sigaction plain = {.sa_handler = on_sample}, jumps = {.sa_handler = jump_out};
	char c;
	int fd = pair();

	MUST(sigaction(SIGALRM, &plain, NULL));
	ualarm(30000, 0);
	T(read(fd, &c, 1));
	MUST(sigaction(SIGALRM, &jumps, NULL));
	if (sigsetjmp(out, 1) == 0) {
		ualarm(30000, 0);
		T(read(fd, &c, 1));
	} else {
		say("out of read");
	}
	/* In time: it does not go off. */
	tell("send");
	ualarm(999999, 0);
	T(read(fd, &c, 1));
	say_if("the alarm was still to come", ualarm(0, 0) > 0);
	MUST(close(fd));
}

/* ---- signalfd in an event loop ----------------------------------------------------------------------------------------------
 */

static int blocked_alarm(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	return MUST(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

/* Every message is answered, and signals come as descriptors' events beside them. */
static void signal_loop_server(void)
{
	struct epoll_event ev = {.events = EPOLLIN};
	struct signalfd_siginfo si;
	int fd = pair(), sfd = blocked_alarm(), epfd = MUST(epoll_create1(0)), messages = 0, signals = 0, others = 0;
	char c;

	ev.data.fd = fd;
	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	ev.data.fd = sfd;
	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, sfd, &ev));
	every_ms(ITIMER_REAL, SIGALRM, 0);
	tell("go");
	while (messages < 200 || signals < 20) {
		if (epoll_wait(epfd, &ev, 1, 5000) != 1)
			others++;
		else if (ev.data.fd == fd && recv(fd, &c, 1, 0) == 1)
			messages += send(fd, &c, 1, 0);
		else if (read(sfd, &si, sizeof(si)) == sizeof(si) && si.ssi_signo == SIGALRM)
			signals++;
		else
			others++;
		if (others)
			break;
	}
	say("%d messages, %d others, handled %d", messages, others, (int)samples);
	say_if("20 signals", signals >= 20);
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL));
	while (read(sfd, &si, sizeof(si)) > 0)
		;
	MUST(close(sfd));
	MUST(close(epfd));
	tell("done");
	MUST(close(fd));
}

static void signal_loop_client(void)
{
	char c;
	int fd = pair(), right = 0;

	hear("go");
	for (int i = 0; i < 200; i++) {
		MUST(send(fd, "x", 1, 0));
		right += recv(fd, &c, 1, 0) == 1;
	}
	say("answered %d", right);
	hear("done");
	MUST(close(fd));
}

/* ---- SIGSEGV ----------------------------------------------------------------------------------------------------------------
 */

static char *page;
static int told_of;
static volatile sig_atomic_t faults;

/* As collectors of garbage do: make the page accessible and go on. */
static void open_page(int signo, siginfo_t *si, void *context)
{
	faults++;
	if ((char *)si->si_addr < page || (char *)si->si_addr >= page + 4096)
		_exit(99);
	/* The connection can be used from here. */
	MUST(send(told_of, "f", 1, 0));
	MUST(mprotect(page, 4096, PROT_READ | PROT_WRITE));
}

static void segv_server(void)
{
	struct sigaction opens = {.sa_sigaction = open_page, .sa_flags = SA_SIGINFO}, jumps = {.sa_handler = jump_out};
	char c;
	int fd = pair();

	/* Two small ones in a row: not to wait for the first one's ACK. */
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	told_of = fd;
	faults = 0;
	page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(sigaction(SIGSEGV, &opens, NULL));
	for (int i = 0; i < 50; i++) {
		MUST(mprotect(page, 4096, PROT_NONE));
		page[i] = 'p';
		MUST(send(fd, page + i, 1, 0));
		MUST(recv(fd, &c, 1, 0));
	}
	say("%d faults, %c", (int)faults, page[49]);
	/* Out of the fault, a thousand times, and everything works. */
	MUST(sigaction(SIGSEGV, &jumps, NULL));
	MUST(mprotect(page, 4096, PROT_NONE));
	faults = 0;
	for (int i = 0; i < 1000; i++) {
		if (sigsetjmp(out, 1) == 0)
			*(volatile char *)page = 'x';
		else
			faults++;
	}
	say("%d jumps", (int)faults);
	/* The kernel's answer to a call with such a pointer is no signal. */
	T(recv(fd, page, 1, MSG_DONTWAIT));
	T(send(fd, page, 1, 0));
	MUST(signal(SIGSEGV, SIG_DFL) == SIG_ERR ? -1 : 0);
	MUST(munmap(page, 4096));
	MUST(shutdown(fd, SHUT_WR));
	recv_and_say("then", fd, 10);
	MUST(close(fd));
}

static void segv_client(void)
{
	char buf[2];
	int fd = pair(), right = 0;

	for (int i = 0; i < 50; i++) {
		MUST(recv(fd, buf, 2, MSG_WAITALL));
		right += buf[0] == 'f' && buf[1] == 'p';
		MUST(send(fd, "y", 1, 0));
	}
	say("right %d", right);
	recv_and_say("then", fd, 10);
	MUST(close(fd));
}

static const struct posix_case cases[] = {
    BOTH(profiled), BOTH(interrupted), BOTH(loop), SERVED(alarms, sends_byte), BOTH(signal_loop), BOTH(segv),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
