/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_handlers.c - what a signal handler may do to a call: leave it by siglongjmp(), close or read what it waits for; masks that
 * hold for the wait alone; signals of sockets (SIGIO); cancellation of a thread in a call.
 *
 * A call that is left must leave nothing behind: the same call afterwards, and the same socket, work as before.
 */
#include "posix.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/time.h>
#include <unistd.h>

static sigjmp_buf out;
static volatile sig_atomic_t ran;

static void jump(int sig)
{
	siglongjmp(out, 1);
}

static void handle(int sig, void (*handler)(int), int flags)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = flags};

	ran = 0;
	MUST(sigaction(sig, &sa, NULL));
}

static void alarm_in(int ms, int every_ms)
{
	struct itimerval it = {.it_value.tv_usec = ms * 1000, .it_interval.tv_usec = every_ms * 1000};

	MUST(setitimer(ITIMER_REAL, &it, NULL));
}

/* Run a call that the alarm's handler leaves by a jump. */
#define LEFT(call)                                                   \
	do {                                                         \
		handle(SIGALRM, jump, 0);                            \
		if (!sigsetjmp(out, 1)) {                            \
			alarm_in(30, 0);                             \
			say("%s returned %ld", #call, (long)(call)); \
		} else {                                             \
			say("%s was left", #call);                   \
		}                                                    \
	} while (0)

static void left_waits(int fd, int epfd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct epoll_event ev;
	fd_set in;
	char c;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	for (int i = 0; i < 3; i++) {
		LEFT(recv(fd, &c, 1, 0));
		LEFT(poll(&p, 1, -1));
		LEFT(select(fd + 1, &in, NULL, NULL, NULL));
		LEFT(epoll_wait(epfd, &ev, 1, -1));
	}
}

static void jumped_server(void)
{
	int fd = pair(), listener = listen_at(SERVER_IP, port(1)), epfd = epoll_create1(0), from;
	struct epoll_event ev = {.events = EPOLLIN};

	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	left_waits(fd, epfd);
	LEFT(accept(listener, NULL, NULL));
	/* Everything works as if nothing had been. */
	tell("send");
	T(epoll_wait(epfd, &ev, 1, 5000));
	recv_and_say("got", fd, 5);
	from = accept_one(listener);
	MUST(close(epfd));
	MUST(close(from));
	MUST(close(listener));
	/* The last reference goes: nobody who was left holds another. */
	MUST(close(fd));
}

static void jumped_client(void)
{
	char c;
	int fd = pair(), other;

	hear("send");
	MUST(send(fd, "hello", 5, 0));
	other = connect_to(SERVER_IP, port(1));
	T(recv(fd, &c, 1, 0));
	T(recv(other, &c, 1, 0));
	MUST(close(other));
	MUST(close(fd));
}

/* Thousands of calls that do not wait, with a jump out of any of them at any time: the stream goes on, one byte for each. */
static void jumped_everywhere_server(void)
{
	volatile unsigned jumps = 0;
	volatile long sent = 0;
	int fd = pair();
	char c = 'x';

	set_nonblock(fd, true);
	handle(SIGALRM, jump, 0);
	sigsetjmp(out, 1);
	jumps++;
	alarm_in(1, 0);
	while (jumps < 200) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		poll(&p, 1, 0);
		recv(fd, &c, 1, MSG_PEEK);
		get_int(fd, SOL_SOCKET, SO_ERROR);
		sent += send(fd, &c, 1, 0) == 1;
	}
	alarm_in(0, 0);
	say_if("sent", sent > 0);
	MUST(shutdown(fd, SHUT_WR));
	set_nonblock(fd, false);
	T(recv(fd, &c, 1, 0));
	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

static void jumped_everywhere_client(void)
{
	static char buf[65536];
	long total = 0;
	int fd = pair();
	ssize_t n;

	while ((n = MUST(recv(fd, buf, sizeof(buf), 0))) > 0)
		total += n;
	say_if("received", total > 0);
	MUST(send(fd, "e", 1, 0));
	MUST(close(fd));
}

static int victim;

static void close_it(int sig)
{
	close(victim);
	ran++;
}

/* The handler closes what the call waits for: the call ends with EINTR, and one that is begun anew finds nothing. */
static void closed_in_handler_server(void)
{
	char c;

	victim = pair();
	handle(SIGALRM, close_it, 0);
	alarm_in(30, 0);
	T(recv(victim, &c, 1, 0));
	victim = pair_at(1);
	handle(SIGALRM, close_it, SA_RESTART);
	alarm_in(30, 0);
	T(recv(victim, &c, 1, 0));
	T(ran);
}

static void closed_in_handler_client(void)
{
	int fd = pair(), other;
	char c;

	T(recv(fd, &c, 1, 0));
	other = pair_at(1);
	T(recv(other, &c, 1, 0));
	MUST(close(other));
	MUST(close(fd));
}

static void read_it(int sig)
{
	char buf[8];

	if (recv(victim, buf, sizeof(buf), 0) == 5)
		ran++;
}

/* The handler takes, blocking, what the interrupted call waited for; that call goes on to wait for what comes later. */
static void taken_in_handler_server(void)
{
	char buf[8];

	victim = pair();
	handle(SIGALRM, read_it, SA_RESTART);
	alarm_in(50, 0);
	tell("first");
	T(recv(victim, buf, sizeof(buf), MSG_WAITALL) > 0);
	MUST(close(victim));
}

static void taken_in_handler_client(void)
{
	int fd = pair();
	char c;

	hear("first");
	MUST(send(fd, "hello", 5, 0));
	usleep(100000);
	MUST(send(fd, "12345678", 8, 0));
	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

/* ---- masks for the wait alone -------------------------------------------------------------------------------------------------
 */

static bool is_blocked(int sig)
{
	sigset_t now;

	MUST(sigprocmask(SIG_BLOCK, NULL, &now));
	return sigismember(&now, sig) == 1;
}

static void block(int sig)
{
	sigset_t one;

	sigemptyset(&one);
	sigaddset(&one, sig);
	MUST(sigprocmask(SIG_BLOCK, &one, NULL));
}

static bool seen_blocked;

static void look_at_mask(int sig)
{
	seen_blocked = is_blocked(SIGUSR2);
	ran++;
}

/* A signal that is blocked outside and was sent before: it ends the wait, its handler runs once, and it is blocked again. */
static void one_mask(const char *what, int (*wait)(int fd, const sigset_t *mask), int fd)
{
	sigset_t open;

	handle(SIGUSR1, look_at_mask, 0);
	sigfillset(&open);
	sigdelset(&open, SIGUSR1);
	block(SIGUSR1);
	raise(SIGUSR1);
	say("%s", what);
	T(wait(fd, &open));
	T(ran);
	say_if("the wait's mask was in force", seen_blocked);
	say_if("blocked again", is_blocked(SIGUSR1));
	say_if("and the others not", !is_blocked(SIGUSR2));
	T(wait(fd, NULL));
}

static int by_ppoll(int fd, const sigset_t *mask)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return ppoll(&p, 1, &(struct timespec){0, mask ? 900000000 : 1000000}, mask);
}

static int by_ppoll_at_once(int fd, const sigset_t *mask)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return ppoll(&p, 1, &(struct timespec){0, 0}, mask);
}

static int by_pselect(int fd, const sigset_t *mask)
{
	fd_set in;

	FD_ZERO(&in);
	FD_SET(fd, &in);
	return pselect(fd + 1, &in, NULL, NULL, &(struct timespec){0, mask ? 900000000 : 1000000}, mask);
}

static int by_epoll(int fd, const sigset_t *mask)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int epfd = epoll_create1(0), n;

	MUST(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev));
	n = epoll_pwait(epfd, &ev, 1, mask ? 900 : 1, mask);
	MUST(close(epfd));
	return n;
}

static void masks_server(void)
{
	int fd = pair();

	one_mask("ppoll", by_ppoll, fd);
	one_mask("ppoll without waiting", by_ppoll_at_once, fd);
	one_mask("pselect", by_pselect, fd);
	one_mask("epoll_pwait", by_epoll, fd);
	MUST(close(fd));
}

static void wait_for_end(void)
{
	int fd = pair();
	char c;

	T(recv(fd, &c, 1, 0));
	MUST(close(fd));
}

/* ---- cancellation -------------------------------------------------------------------------------------------------------------
 */

static int cancel_fd;
static bool cleaned;

static void clean(void *arg)
{
	cleaned = true;
}

static void *in_recv(void *arg)
{
	char c;

	pthread_cleanup_push(clean, NULL);
	recv(cancel_fd, &c, 1, 0);
	pthread_cleanup_pop(0);
	return NULL;
}

static void *in_poll(void *arg)
{
	struct pollfd p = {.fd = cancel_fd, .events = POLLIN};

	poll(&p, 1, -1);
	return NULL;
}

static void *in_accept(void *arg)
{
	accept(*(int *)arg, NULL, NULL);
	return NULL;
}

/* Disabled, a cancellation does not end the call; enabled, the next one does not begin. */
static void *disabled(void *arg)
{
	char c;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	say("received %zd", recv(cancel_fd, &c, 1, 0));
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	recv(cancel_fd, &c, 1, MSG_DONTWAIT);
	say("not reached");
	return NULL;
}

static void cancel(const char *what, void *(*thread)(void *), void *arg, const char *then)
{
	pthread_t t;
	void *how;

	MUST(pthread_create(&t, NULL, thread, arg));
	usleep(50000);
	MUST(pthread_cancel(t));
	if (then)
		tell(then);
	MUST(pthread_join(t, &how));
	say_if(what, how == PTHREAD_CANCELED);
}

static void cancelled_server(void)
{
	int listener = listen_at(SERVER_IP, port(1));

	cancel_fd = pair();
	cancel("recv was cancelled", in_recv, NULL, NULL);
	say_if("its clean-up ran", cleaned);
	cancel("poll was cancelled", in_poll, NULL, NULL);
	cancel("accept was cancelled", in_accept, &listener, NULL);
	cancel("the disabled one was, later", disabled, NULL, "send");
	/* Nothing of them is left. */
	MUST(close(listener));
	MUST(close(cancel_fd));
}

static const struct posix_case cases[] = {
    BOTH(jumped),
    BOTH(jumped_everywhere),
    BOTH(closed_in_handler),
    BOTH(taken_in_handler),
    {"masks", masks_server, wait_for_end},
    SERVED(cancelled, sends_byte),
};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
