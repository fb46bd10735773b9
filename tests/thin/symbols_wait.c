/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symbols_wait.c - select, poll and epoll.
 */
#include "tests/thin/symbols.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t fdslen);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t fdslen);

/* ---- waiting ----------------------------------------------------------------------------------------------------------------
 */

/* Only s is asked, which has something to read: what is beyond the count stays as it is. */
static void select_alone(int (*f)(int, fd_set *, fd_set *, fd_set *))
{
	unsigned n = c->select, polled = c->poll;
	fd_set in, out, ex;

	FD_ZERO(&in);
	FD_ZERO(&ex);
	FD_SET(s, &in);
	FD_SET(s, &ex);
	FD_SET(FD_SETSIZE - 1, &ex);
	out = in;
	CHECK(f(s + 1, &in, &out, &ex) == 2 && c->select == n + 1 && c->poll == polled);
	CHECK(FD_ISSET(s, &in) && FD_ISSET(s, &out) && !FD_ISSET(s, &ex) && FD_ISSET(FD_SETSIZE - 1, &ex));
	CHECK(f(s + 1, &in, NULL, NULL) == 1 && FD_ISSET(s, &in));
}

/* s and a pipe's end are asked; both are ready. */
static void select_with(int (*f)(int, fd_set *, fd_set *, fd_set *))
{
	int pair[2];
	fd_set in, out;
	unsigned n = c->poll;

	CHECK(pipe(pair) == 0);
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(s, &in);
	FD_SET(pair[0], &in);
	FD_SET(s, &out);
	FD_SET(pair[1], &out);
	CHECK(f(FD_SETSIZE, &in, &out, NULL) == 2 && c->poll == n + 1);
	CHECK(!FD_ISSET(s, &in) && !FD_ISSET(pair[0], &in) && FD_ISSET(s, &out) && FD_ISSET(pair[1], &out));
	put();
	FD_SET(s, &in);
	FD_CLR(s, &out);
	CHECK(f(s + 1, &in, &out, NULL) >= 1 && FD_ISSET(s, &in));
	select_alone(f);
	close(pair[0]);
	close(pair[1]);
	FD_SET(pair[0], &in);
	FD_SET(s, &in);
	CHECK_FAILS(f(FD_SETSIZE, &in, NULL, NULL), EBADF);
}

static int plain_select(int n, fd_set *in, fd_set *out, fd_set *ex)
{
	struct timeval tv = {5, 0};
	int rc = select(n, in, out, ex, &tv);

	CHECK(tv.tv_sec == 4 && tv.tv_usec > 0);
	return rc;
}

void t_select(void)
{
	fd_set in;

	select_with(plain_select);
	FD_ZERO(&in);
	FD_SET(s, &in);
	CHECK_FAILS(select(s + 1, &in, NULL, NULL, &(struct timeval){-1, 0}), EINVAL);
}

static int masked_select(int n, fd_set *in, fd_set *out, fd_set *ex)
{
	return pselect(n, in, out, ex, &(struct timespec){5, 0}, NULL);
}

void t_pselect(void)
{
	fd_set in;

	select_with(masked_select);
	FD_ZERO(&in);
	FD_SET(s, &in);
	CHECK_FAILS(pselect(s + 1, &in, NULL, NULL, &(struct timespec){0, -1}, NULL), EINVAL);
}

static void poll_with(int (*f)(struct pollfd *, nfds_t))
{
	int closed = dup(s);
	struct pollfd fds[3] = {{.fd = s, .events = POLLIN}, {.fd = -1}, {.fd = closed, .events = POLLIN}};
	unsigned n = c->poll;

	close(closed);
	put();
	CHECK(f(fds, 3) == 2 && c->poll == n + 1);
	CHECK(fds[0].revents == POLLIN && fds[1].revents == 0 && fds[2].revents == POLLNVAL);
	/* None of ours in it: none of the core's business. */
	n = c->poll;
	CHECK(f(fds + 1, 1) == 0 && c->poll == n);
}

static int plain_poll(struct pollfd *fds, nfds_t n)
{
	return poll(fds, n, 0);
}

void t_poll(void)
{
	poll_with(plain_poll);
}

static int checked_poll(struct pollfd *fds, nfds_t n)
{
	return __poll_chk(fds, n, 0, n * sizeof(*fds));
}

static void overflow_poll(void)
{
	struct pollfd one = {.fd = s};

	__poll_chk(&one, 2, 0, sizeof(one));
}

void t___poll_chk(void)
{
	poll_with(checked_poll);
	aborts(overflow_poll);
}

static int timed_poll(struct pollfd *fds, nfds_t n)
{
	return ppoll(fds, n, &(struct timespec){0, 0}, NULL);
}

void t_ppoll(void)
{
	poll_with(timed_poll);
	CHECK_FAILS(ppoll(&(struct pollfd){.fd = s}, 1, &(struct timespec){0, -1}, NULL), EINVAL);
}

static int checked_ppoll(struct pollfd *fds, nfds_t n)
{
	return __ppoll_chk(fds, n, &(struct timespec){0, 0}, NULL, n * sizeof(*fds));
}

static void overflow_ppoll(void)
{
	struct pollfd one = {.fd = s};

	__ppoll_chk(&one, 2, NULL, NULL, sizeof(one));
}

void t___ppoll_chk(void)
{
	poll_with(checked_ppoll);
	aborts(overflow_ppoll);
}

/* A set with an engine member, and what it reports. */
static void epoll_with(int epfd, int (*wait)(int epfd, struct epoll_event *ev))
{
	struct epoll_event ev = {.events = EPOLLIN};
	unsigned ctl = c->epoll_ctl, waits = c->epoll_wait, refs = c->epoll_retain;
	int twin;

	CHECK(epfd >= 0);
	/* Kernel members of a set without others go straight into it. */
	CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, dup(0), &ev) == 0 || errno == EPERM);
	CHECK(c->epoll_ctl == ctl);
	twin = dup(epfd);
	CHECK(epoll_ctl(epfd, EPOLL_CTL_ADD, s, &ev) == 0 && c->epoll_ctl == ctl + 1);
	CHECK(c->epoll_retain == refs + 1); /* for its second name */
	CHECK(wait(epfd, &ev) == 1 && ev.data.u64 == FAKE_EVENT_DATA && c->epoll_wait == waits + 1);
	refs = c->epoll_release;
	CHECK(close(epfd) == 0 && close(twin) == 0 && c->epoll_release == refs + 2);
}

static int plain_wait(int epfd, struct epoll_event *ev)
{
	CHECK_FAILS(epoll_wait(epfd, ev, 0, 0), EINVAL);
	CHECK_FAILS(epoll_wait(s, ev, 1, 0), EINVAL);
	return epoll_wait(epfd, ev, 1, -1);
}

void t_epoll_create(void)
{
	CHECK_FAILS(epoll_create(0), EINVAL);
	epoll_with(epoll_create(1), plain_wait);
}

void t_epoll_create1(void)
{
	CHECK_FAILS(epoll_create1(0x77), EINVAL);
	epoll_with(epoll_create1(EPOLL_CLOEXEC), plain_wait);
}

void t_epoll_ctl(void)
{
	int epfd = epoll_create1(0);
	struct epoll_event ev = {.events = EPOLLIN};

	CHECK_FAILS(epoll_ctl(epfd, 99, s, &ev), EINVAL);
	CHECK_FAILS(epoll_ctl(s, EPOLL_CTL_ADD, epfd, &ev), EINVAL);
	CHECK_FAILS(epoll_ctl(epfd, EPOLL_CTL_ADD, 9999, &ev) < 0 ? -1 : (errno = EBADF, -1), errno);
	close(epfd);
}

void t_epoll_wait(void)
{
	epoll_with(epoll_create1(0), plain_wait);
}

static int masked_wait(int epfd, struct epoll_event *ev)
{
	sigset_t none;

	sigemptyset(&none);
	return epoll_pwait(epfd, ev, 1, 1000, &none);
}

void t_epoll_pwait(void)
{
	epoll_with(epoll_create1(0), masked_wait);
}

static int timed_wait(int epfd, struct epoll_event *ev)
{
	CHECK_FAILS(epoll_pwait2(epfd, ev, 1, &(struct timespec){0, -1}, NULL), EINVAL);
	return epoll_pwait2(epfd, ev, 1, &(struct timespec){1, 0}, NULL);
}

void t_epoll_pwait2(void)
{
	epoll_with(epoll_create1(0), timed_wait);
}
