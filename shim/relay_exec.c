/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * relay_exec.c - which engine sockets a program inherits or is sent, and their replacement by the relay's ends.
 *
 * Around an exec the table goes on saying "engine" while the kernel has the new end under the number already: if the exec fails,
 * the placeholder is put back and nothing has happened.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "relay.h"

#include "config.h"
#include "fdtab.h"
#include "fresh.h"
#include "inherit.h"
#include "loader.h"
#include "log.h"
#include "real.h"
#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* What one descriptor is, and what was there before. */
struct passed {
	int fd, placeholder;
	unsigned item;
};

/* The exec that is under way; one at a time: the first of several threads. */
static struct {
	struct passed *fds;
	struct relay_item *items;
	unsigned nfds, nitems;
	size_t size;
	int line;
	char expected[1024]; /* "": nothing */
	pid_t owner;	     /* the process that this was noted in: a child may have come in between */
} ex;

/* ---- what is inherited -------------------------------------------------------------------------------------------------------
 */

static bool is_inherited(int fd)
{
	return fdtab_kind(fd) == FD_SOCK && !(fdtab_traits(fd) & FD_CLOEXEC_ON);
}

static unsigned count_inherited(void)
{
	unsigned n = 0;

	for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1))
		n += is_inherited(fd);
	return n;
}

/* An undecided socket goes on as the kernel's, with all that was set on it. */
static void settle_fresh(const struct fdref *r)
{
	struct fresh *f = r->kind == FD_FRESH ? fresh_lock(r) : NULL;

	if (!f)
		return;
	fresh_flush(f, r->fd);
	REAL(ioctl)(r->fd, FIONBIO, &(int){f->nonblock});
	fresh_unlock(f);
}

static void settle_all_fresh(void)
{
	for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1)) {
		struct fdref r = fdtab_get(fd);

		if (!(fdtab_traits(fd) & FD_CLOEXEC_ON))
			settle_fresh(&r);
	}
}

/* Two descriptors of one socket are to be that in the new program too. */
static unsigned item_of(const struct fdref *r)
{
	unsigned i = 0;

	while (i < ex.nitems && ex.items[i].r.obj != r->obj)
		i++;
	if (i == ex.nitems)
		ex.items[ex.nitems++] = (struct relay_item){.r = *r, .outside = -1, .inside = -1};
	ex.items[i].eager |= r->fd <= STDERR_FILENO;
	return i;
}

static bool collect(unsigned n)
{
	size_t size = n * (sizeof(*ex.fds) + sizeof(*ex.items));
	char *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED)
		return false;
	ex.items = (struct relay_item *)room;
	ex.fds = (struct passed *)(room + n * sizeof(*ex.items));
	ex.size = size;
	ex.nfds = ex.nitems = 0;
	for (int fd = fdtab_next(0); fd >= 0 && ex.nfds < n; fd = fdtab_next(fd + 1)) {
		struct fdref r = fdtab_get(fd);

		if (is_inherited(fd))
			ex.fds[ex.nfds++] = (struct passed){.fd = fd, .placeholder = -1, .item = item_of(&r)};
	}
	return true;
}

/* ---- what the new program is to tell of --------------------------------------------------------------------------------------
 */

static void expect(int fd)
{
	size_t used = strlen(ex.expected);
	bool first = !used;
	int n = snprintf(ex.expected + used, sizeof(ex.expected) - used, "%s%d", first ? INHERIT_RELAYS : ",", fd);

	/* No room: the relay has to find out by itself. */
	if (n < 0 || used + (size_t)n >= sizeof(ex.expected))
		ex.expected[used] = 0;
}

/* Sockets that others hold too, and those of relays that we were given and did not use. */
static void list_expected(void)
{
	ex.expected[0] = 0;
	for (unsigned i = 0; i < ex.nfds; i++)
		if (ex.fds[i].placeholder >= 0 && !ex.items[ex.fds[i].item].eager)
			expect(ex.fds[i].fd);
	for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1))
		if (fdtab_kind(fd) == FD_RELAYED && !REAL(fcntl)(fd, F_GETFD))
			expect(fd);
}

const char *relay_exec_expected(void)
{
	return ex.owner == getpid() && ex.expected[0] ? ex.expected : NULL;
}

/* ---- exec --------------------------------------------------------------------------------------------------------------------
 */

/* The new ends under the numbers; no descriptor left for the placeholder: that number stays as it is. */
static void put_ends(void)
{
	for (unsigned i = 0; i < ex.nfds; i++) {
		struct passed *p = &ex.fds[i];
		int outside = ex.items[p->item].outside;

		if (outside < 0)
			continue;
		p->placeholder = REAL(fcntl)(p->fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		if (p->placeholder >= 0)
			REAL(dup2)(outside, p->fd);
	}
	for (unsigned i = 0; i < ex.nitems; i++)
		if (ex.items[i].outside >= 0)
			REAL(close)(ex.items[i].outside);
}

static void take_back(void)
{
	for (unsigned i = 0; i < ex.nfds; i++) {
		struct passed *p = &ex.fds[i];

		if (p->placeholder < 0)
			continue;
		REAL(dup2)(p->placeholder, p->fd);
		REAL(close)(p->placeholder);
	}
}

static void pass_on(unsigned n)
{
	ex.line = -1;
	if (!collect(n))
		return;
	ex.line = relay_start(ex.items, ex.nitems);
	if (ex.line >= 0)
		put_ends();
	else if (ex.line != -ENOTCONN)
		log_line(LOG_LEVEL_WARN,
			 "a program was started that inherits engine sockets, and they could not be passed on: %s",
			 strerror(-ex.line));
}

bool relay_exec_begin(void)
{
	int saved = errno;
	unsigned n;

	/* Not in a child that shares our memory, made by a clone() of its own: its numbers are not those of the table. */
	if (!fdtab.size || !loader_is_here() || __atomic_exchange_n(&ex.owner, getpid(), __ATOMIC_ACQ_REL) == getpid())
		return false;
	settle_all_fresh();
	n = core() ? count_inherited() : 0;
	ex.size = 0;
	ex.nfds = 0;
	if (n)
		pass_on(n);
	list_expected();
	/* No other thread may be at work in a stack when it ceases to exist. */
	if (core())
		core()->exec_begin();
	errno = saved;
	return true;
}

void relay_exec_failed(void)
{
	int saved = errno;

	if (core())
		core()->exec_failed();
	if (ex.size) {
		if (ex.line >= 0) {
			take_back();
			relay_settle(ex.line, false);
		}
		munmap(ex.items, ex.size);
	}
	__atomic_store_n(&ex.owner, 0, __ATOMIC_RELEASE);
	errno = saved;
}

/* ---- SCM_RIGHTS --------------------------------------------------------------------------------------------------------------
 */

/* SCM_MAX_FD: as many as the kernel takes in one message (unix(7)). */
#define RIGHTS_MAX 253

static bool has_rights(const struct cmsghdr *c)
{
	return c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len >= CMSG_LEN(0);
}

static unsigned rights_in(const struct cmsghdr *c)
{
	return (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
}

static int right_at(const struct cmsghdr *c, unsigned i)
{
	int fd;

	memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
	return fd;
}

/* Call what for each descriptor in the message's rights. */
static void each_right(struct msghdr *msg, void (*what)(struct cmsghdr *c, unsigned i, void *arg), void *arg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t left = (size_t)((char *)msg->msg_control + msg->msg_controllen - (char *)c);

		/* The kernel says what is wrong with it. */
		if (c->cmsg_len < sizeof(*c) || c->cmsg_len > left)
			return;
		for (unsigned i = 0; has_rights(c) && i < rights_in(c); i++)
			what(c, i, arg);
	}
}

static void look(struct cmsghdr *c, unsigned i, void *arg)
{
	enum fd_kind kind = fdtab_get(right_at(c, i)).kind;

	*(bool *)arg |= kind == FD_SOCK || kind == FD_FRESH;
}

bool relay_needed(const struct msghdr *msg)
{
	bool needed = false;

	if (!fdtab.size || user_readable(msg, sizeof(*msg)) || !msg->msg_control || !msg->msg_controllen ||
	    user_readable(msg->msg_control, msg->msg_controllen))
		return false;
	each_right((struct msghdr *)msg, look, &needed);
	return needed;
}

struct rights {
	struct relay_item items[RIGHTS_MAX];
	unsigned n;
};

static void take_right(struct cmsghdr *c, unsigned i, void *arg)
{
	struct rights *rights = arg;
	struct fdref r = fdtab_get(right_at(c, i));

	settle_fresh(&r);
	if (r.kind == FD_SOCK && rights->n < RIGHTS_MAX)
		rights->items[rights->n++] = (struct relay_item){.r = r, .eager = true, .outside = -1, .inside = -1};
}

static void put_right(struct cmsghdr *c, unsigned i, void *arg)
{
	struct rights *rights = arg;
	int fd = right_at(c, i);

	for (unsigned k = 0; k < rights->n; k++)
		if (rights->items[k].r.fd == fd && rights->items[k].outside >= 0)
			memcpy(CMSG_DATA(c) + i * sizeof(fd), &rights->items[k].outside, sizeof(fd));
}

static ssize_t send_rights(int fd, const struct msghdr *msg, int flags, struct rights *rights, int line)
{
	char control[msg->msg_controllen];
	struct msghdr copy = *msg;
	ssize_t n;
	int saved;

	memcpy(control, msg->msg_control, msg->msg_controllen);
	copy.msg_control = control;
	each_right(&copy, put_right, rights);
	n = REAL(sendmsg)(fd, &copy, flags);
	saved = errno;
	relay_settle(line, n >= 0);
	errno = saved;
	return n;
}

ssize_t relay_sendmsg(int fd, const struct msghdr *msg, int flags)
{
	struct rights *rights = mmap(NULL, sizeof(*rights), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int before = errno, saved, line = -ENOTCONN;
	ssize_t n;

	if (rights == MAP_FAILED)
		return -1;
	each_right((struct msghdr *)msg, take_right, rights);
	if (rights->n)
		line = relay_start(rights->items, rights->n);
	n = line >= 0 ? send_rights(fd, msg, flags, rights, line) : REAL(sendmsg)(fd, msg, flags);
	saved = errno;
	for (unsigned i = 0; line >= 0 && i < rights->n; i++)
		if (rights->items[i].outside >= 0)
			REAL(close)(rights->items[i].outside);
	munmap(rights, sizeof(*rights));
	errno = n >= 0 ? before : saved;
	return n;
}

bool relay_needed_by_any(const struct mmsghdr *msgs, unsigned n)
{
	for (unsigned i = 0; fdtab.size && i < n && i < IOV_MAX; i++)
		if (relay_needed(&msgs[i].msg_hdr))
			return true;
	return false;
}

int relay_sendmmsg(int fd, struct mmsghdr *msgs, unsigned n, int flags)
{
	unsigned done = 0;
	int before = errno;

	for (; done < n && done < IOV_MAX; done++) {
		ssize_t sent = relay_needed(&msgs[done].msg_hdr) ? relay_sendmsg(fd, &msgs[done].msg_hdr, flags)
								 : REAL(sendmsg)(fd, &msgs[done].msg_hdr, flags);
		unsigned len = (unsigned)sent;

		if (sent < 0)
			break;
		if (user_copy(&msgs[done].msg_len, &len, sizeof(len))) {
			errno = EFAULT;
			break;
		}
	}
	if (done)
		errno = before;
	return done ? (int)done : n ? -1 : 0;
}
