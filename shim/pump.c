/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pump.c - the relay process: carries bytes between engine sockets and the kernel sockets that other programs have in their
 * place.
 *
 * Written against the library's own wrappers, as a program under the shim would be: an accepted connection may as well be the
 * kernel's.  What is carried over: the end of each direction by itself, a close with unread data as a reset, the peer's reset as
 * the end (as a reset where the program left data unread in the kernel).  Urgent data travels as ordinary bytes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "relay.h"

#include "fdtab.h"
#include "loader.h"
#include "placeholder.h"
#include "real.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define BUFFER 65536
/* How often it looks whether the sockets that others hold too are its own by now: at first, and at most. */
#define LOOK_MS 2
#define LOOK_MOST_MS 100
/* How often it looks whether a listener is still open, and whether there is room in its queue. */
#define LISTEN_LOOK_MS 500
#define QUEUE_LOOK_MS 5
/* What is polled for each link. */
#define FDS_EACH 3

/* Bytes on their way in one direction. */
struct flow {
	size_t at, end;
	bool ended;   /* no more will come */
	bool broken;  /* ... because of an error */
	bool shut;    /* the destination knows */
	bool refused; /* the destination takes no more: what comes is dropped */
	bool peeked;  /* the source has these bytes still */
	char buf[BUFFER];
};

struct link {
	struct link *next;
	int engine, local;
	int bell;     /* rings when the program first uses it; -1: that is known */
	bool eager;   /* bytes from the engine are meant for this program */
	bool listens; /* engine is a listener; local is unused */
	bool waiting; /* local is not connected yet: its listener's queue is full */
	bool gone;    /* the program has closed its end */
	bool over;
	struct relay_ends ends;
	struct sockaddr_un name; /* of the program's listener */
	socklen_t name_len;
	struct flow in, out; /* to the program, from it */
};

static struct link *links;

static bool is_empty(const struct flow *f)
{
	return f->at == f->end;
}

/* ---- bytes -------------------------------------------------------------------------------------------------------------------
 */

static void fill(struct flow *f, int fd, bool peek)
{
	ssize_t n = recv(fd, f->buf, sizeof(f->buf), MSG_DONTWAIT | (peek ? MSG_PEEK : 0));

	if (n > 0) {
		f->at = 0;
		f->end = (size_t)n;
		f->peeked = peek;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		f->ended = true;
		f->broken = n < 0;
	}
}

static void drain(struct flow *f, int fd)
{
	while (!is_empty(f) && !f->refused) {
		ssize_t n = send(fd, f->buf + f->at, f->end - f->at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			f->refused = true;
		else
			f->at += (size_t)n;
	}
	if (f->refused)
		f->at = f->end;
}

/* What was peeked at is under way. */
static void take_peeked(struct flow *f, int fd)
{
	ssize_t n;

	while (f->peeked && f->end) {
		n = recv(fd, f->buf, f->end, MSG_DONTWAIT);
		if (n > 0)
			f->end -= (size_t)n;
		else if (n == 0 || errno != EINTR)
			break;
	}
	f->peeked = false;
	f->at = f->end = 0;
}

/* How many processes hold the engine's socket; a kernel connection, which the relay accepted, is its own. */
static unsigned holders(int fd)
{
	struct fdref r = fdtab_get(fd);

	return r.kind == FD_SOCK ? core()->holders(&r) : 1;
}

/* Whose it is is known. */
static void want(struct link *l)
{
	l->eager = true;
	if (l->bell >= 0)
		close(l->bell);
	l->bell = -1;
}

/* Both ends are let go.  As close() does: bytes that the program was not given, or did not read, make it a reset. */
static void finish(struct link *l)
{
	static const struct linger at_once = {.l_onoff = 1};

	if (l->eager && l->gone && (!is_empty(&l->in) || l->out.broken) && holders(l->engine) == 1)
		setsockopt(l->engine, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(l->engine);
	close(l->local);
	want(l);
	l->over = true;
}

static void move_in(struct link *l)
{
	struct flow *f = &l->in;

	if (l->eager && is_empty(f) && !f->ended)
		fill(f, l->engine, false);
	drain(f, l->local);
	if (!f->ended || !is_empty(f) || f->shut)
		return;
	f->shut = true;
	if (f->broken)
		finish(l);
	else
		shutdown(l->local, SHUT_WR);
}

static void move_out(struct link *l)
{
	struct flow *f = &l->out;

	/* A program that ends waits until its bytes are taken, for those who send after it (relay_await_taken()). */
	if (is_empty(f) && !f->ended)
		fill(f, l->local, holders(l->engine) > 1);
	if (!is_empty(f))
		want(l);
	drain(f, l->engine);
	if (is_empty(f) && f->peeked)
		take_peeked(f, l->local);
	if (f->refused && !f->ended)
		shutdown(l->local, SHUT_RD);
	if (!f->ended || !is_empty(f) || f->shut)
		return;
	f->shut = true;
	if (!l->gone)
		shutdown(l->engine, SHUT_WR);
}

static void carry(struct link *l, short engine, short local)
{
	l->gone |= (local & (POLLHUP | POLLERR)) != 0;
	/* Nobody asks for what the others have: the connection's end is its own, whoever reads what came before. */
	if (!l->eager && (engine & (POLLERR | POLLHUP)))
		l->in.ended = l->in.broken = true;
	move_out(l);
	if (!l->over)
		move_in(l);
	if (!l->over && ((l->gone && l->out.shut) || (l->in.shut && l->out.shut)))
		finish(l);
}

/* ---- listeners ---------------------------------------------------------------------------------------------------------------
 */

static struct link *link_new(int engine, int local, bool eager)
{
	struct link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->engine = engine;
	l->local = local;
	l->bell = -1;
	l->eager = eager;
	l->next = links;
	links = l;
	return l;
}

/* Nobody can take a name that is in use. */
static bool is_listening(const struct link *l)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool used = fd < 0 || bind(fd, (const struct sockaddr *)&l->name, l->name_len) < 0;

	if (fd >= 0)
		close(fd);
	return used;
}

static void try_connect(struct link *l)
{
	int rc = connect(l->local, (struct sockaddr *)&l->name, l->name_len);

	l->waiting = rc < 0 && errno == EAGAIN;
	/* Nobody listens any more: the peer is refused, late. */
	if (rc < 0 && !l->waiting)
		l->gone = l->out.ended = l->out.broken = true;
}

static void accepted(struct link *listener, int engine)
{
	struct sockaddr_storage at, peer;
	socklen_t at_len = sizeof(at), peer_len = sizeof(peer), len;
	int local = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct link *l = local < 0 ? NULL : link_new(engine, local, true);
	struct sockaddr_un name;

	if (!l || getsockname(engine, (struct sockaddr *)&at, &at_len) ||
	    getpeername(engine, (struct sockaddr *)&peer, &peer_len)) {
		close(engine);
		if (local >= 0)
			close(local);
		if (l)
			l->over = true;
		return;
	}
	l->ends.family = at.ss_family;
	relay_addr(&l->ends.local, &at);
	relay_addr(&l->ends.peer, &peer);
	l->name = listener->name;
	l->name_len = listener->name_len;
	len = relay_name_make(&name, &l->ends);
	bind(local, (struct sockaddr *)&name, len);
	l->waiting = true;
}

static void serve_listener(struct link *l)
{
	struct fdref r = fdtab_get(l->engine);
	int fd;

	if (!is_listening(l)) {
		close(l->engine);
		want(l);
		l->over = true;
		return;
	}
	while (l->eager && (fd = core()->accept(&r, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK | ACCEPT_NOW)) >= 0)
		accepted(l, fd);
}

/* ---- the loop ----------------------------------------------------------------------------------------------------------------
 */

static void ask(const struct link *l, struct pollfd *engine, struct pollfd *local)
{
	bool wants_in = l->eager && is_empty(&l->in) && !l->in.ended;

	*engine = (struct pollfd){.fd = l->engine};
	*local = (struct pollfd){.fd = l->local};
	if (l->listens) {
		engine->events = l->eager ? POLLIN : 0;
		local->fd = -1;
		return;
	}
	engine->events = (short)((wants_in ? POLLIN : 0) | (is_empty(&l->out) ? 0 : POLLOUT));
	local->events = (short)((is_empty(&l->out) && !l->out.ended ? POLLIN : 0) | (is_empty(&l->in) ? 0 : POLLOUT));
	/* What is known already must not end each wait. */
	if (!engine->events && l->eager)
		engine->fd = -1;
	if (l->waiting || (!local->events && l->gone))
		local->fd = -1;
}

/* What is not told by any descriptor: how long until it is looked for; -1: there is nothing of the kind. */
static int until_look(const struct link *l, int look)
{
	if (l->waiting)
		return QUEUE_LOOK_MS;
	if (!l->eager)
		return look;
	return l->listens ? LISTEN_LOOK_MS : -1;
}

static void turn(struct link *l, const struct pollfd *engine, const struct pollfd *local, const struct pollfd *bell)
{
	if (!l->eager && (bell->revents || holders(l->engine) == 1))
		want(l);
	if (l->listens)
		serve_listener(l);
	else if (l->waiting)
		try_connect(l);
	if (!l->listens && !l->waiting)
		carry(l, engine->revents, local->revents);
}

static void forget_over(void)
{
	struct link **at = &links, *l;

	while ((l = *at)) {
		if (!l->over) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		free(l);
	}
}

static struct pollfd *room_for(unsigned n)
{
	static struct pollfd *fds;
	static unsigned room;

	if (n > room) {
		room = n * 2;
		free(fds);
		fds = calloc(room, sizeof(*fds));
	}
	return fds;
}

static void pump(void)
{
	int look = LOOK_MS, timeout, t;
	struct pollfd *fds;
	unsigned n;

	for (;;) {
		n = 0;
		timeout = -1;
		for (struct link *l = links; l; l = l->next)
			n += FDS_EACH;
		fds = n ? room_for(n) : NULL;
		if (!fds)
			return;
		n = 0;
		for (struct link *l = links; l; l = l->next, n += FDS_EACH) {
			ask(l, &fds[n], &fds[n + 1]);
			fds[n + 2] = (struct pollfd){.fd = l->bell, .events = POLLIN};
			t = until_look(l, look);
			timeout = t >= 0 && (timeout < 0 || t < timeout) ? t : timeout;
		}
		poll(fds, n, timeout);
		look = look * 2 < LOOK_MOST_MS ? look * 2 : LOOK_MOST_MS;
		for (struct link *l = links, *next; l; l = next) {
			/* New ones are put in front. */
			next = l->next;
			turn(l, fds, fds + 1, fds + 2);
			fds += FDS_EACH;
		}
		forget_over();
	}
}

/* ---- birth -------------------------------------------------------------------------------------------------------------------
 */

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/*
 * The epoll sets first: what is closed then is in none of this process's, and stays in the program's (an undecided socket would
 * leave them by its number).
 */
static void close_ours(const int *keep, unsigned n)
{
	for (int sets = 1; sets >= 0; sets--)
		for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1)) {
			enum fd_kind kind = fdtab_get(fd).kind;

			if (kind != FD_PRIVATE && (!sets || kind == FD_EPOLL) && !bsearch(&fd, keep, n, sizeof(*keep), by_number))
				close(fd);
		}
	placeholder_drain();
}

/* The first number at or above from that is to stay; ~0u: none. */
static unsigned next_kept(unsigned from, const int *keep, unsigned n)
{
	int ours = fdtab_next((int)from);
	unsigned next = ours < 0 ? ~0u : (unsigned)ours;

	for (unsigned i = 0; i < n; i++)
		if ((unsigned)keep[i] >= from && (unsigned)keep[i] < next)
			next = (unsigned)keep[i];
	return next;
}

/* Close everything but these and what is the engine's; and have something harmless under the standard numbers. */
static void close_others(int *keep, unsigned n)
{
	unsigned next, from = 0;
	int fd;

	qsort(keep, n, sizeof(*keep), by_number);
	close_ours(keep, n);
	for (; (next = next_kept(from, keep, n)) != ~0u; from = next + 1)
		if (next > from)
			REAL(close_range)(from, next - 1, 0);
	REAL(close_range)(from, ~0u, 0);
	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd < STDERR_FILENO);
	if (fd > STDERR_FILENO)
		REAL(close)(fd);
}

static int bell_for(const struct relay_item *it)
{
	int fd = it->eager ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&it->name, it->name_len)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool take_items(struct relay_item *items, unsigned n, int line)
{
	int *keep = calloc(3 * n + 1, sizeof(*keep));
	unsigned kept = 0;
	struct link *l;

	for (unsigned i = 0; keep && i < n; i++) {
		struct relay_item *it = &items[i];
		struct sockaddr_storage at;
		socklen_t len = sizeof(at);

		/* In a child that is not of the family this fails. */
		if (it->outside < 0 || core()->getsockname(&it->r, (struct sockaddr *)&at, &len))
			continue;
		l = link_new(it->r.fd, it->inside, it->eager);
		if (!l)
			return false;
		l->listens = it->ends.listens;
		l->name = it->name;
		l->name_len = it->name_len;
		l->bell = bell_for(it);
		keep[kept++] = it->r.fd;
		if (it->inside >= 0)
			keep[kept++] = it->inside;
	}
	if (!kept)
		return false;
	for (l = links; l; l = l->next)
		if (l->bell >= 0)
			keep[kept++] = l->bell;
	keep[kept++] = line;
	close_others(keep, kept);
	free(keep);
	return true;
}

static void reset_signals(void)
{
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
}

void relay_run(struct relay_item *items, unsigned n, int line)
{
	char word = 0;

	reset_signals();
	setsid();
	prctl(PR_SET_NAME, "mtcpshim-relay");
	(void)!chdir("/");
	if (!take_items(items, n, line))
		REAL(_exit)(1);
	core()->birth_end();
	if (REAL(write)(line, "r", 1) != 1)
		REAL(_exit)(1);
	if (REAL(read)(line, &word, 1) == 1 && word == 'x')
		REAL(_exit)(0);
	REAL(close)(line);
	pump();
	_exit(0);
}
