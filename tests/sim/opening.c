/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * opening.c - how the connections of a world come to be: connect() from a free port, from the port of the connection before, or
 * from both ends at once; accept() as soon as a listener says so or after a while; and the options that every socket gets.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "tests/sim/record.h"
#include "tests/sim/world.h"

#define RETRY_US 500000
#define SIMULTANEOUS_PORT 100 /* how far the acceptor's port is from the opener's */

struct option {
	int level, name, value;
};

static void set_options(struct world *w, struct side *me, const struct option *opts, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (engine_setsockopt(session_engine(w, me), me->c, opts[i].level, opts[i].name, &opts[i].value, sizeof(int),
				      host_clock(w, me->host)))
			world_fail(w, "setsockopt(%d, %d, %d) failed", opts[i].level, opts[i].name, opts[i].value);
}

/* Keep-alives end the side whose peer's reset was lost; urgent bytes stay in the stream. */
static const struct option usual[] = {{SOL_SOCKET, SO_KEEPALIVE, 1},	{SOL_SOCKET, SO_REUSEADDR, 1},
				      {SOL_SOCKET, SO_OOBINLINE, 1},	{IPPROTO_TCP, TCP_KEEPIDLE, 30},
				      {IPPROTO_TCP, TCP_KEEPINTVL, 10}, {IPPROTO_TCP, TCP_KEEPCNT, 9}};

/* What an application may change at any time without breaking its connection. */
static const struct option changes[] = {{IPPROTO_TCP, TCP_NODELAY, 1},
					{IPPROTO_TCP, TCP_NODELAY, 0},
					{IPPROTO_TCP, TCP_CORK, 1},
					{IPPROTO_TCP, TCP_CORK, 0},
					{IPPROTO_TCP, TCP_QUICKACK, 0},
					{IPPROTO_TCP, TCP_QUICKACK, 1},
					{SOL_SOCKET, SO_RCVBUF, 2048},
					{SOL_SOCKET, SO_RCVBUF, 65536},
					{SOL_SOCKET, SO_SNDBUF, 2048},
					{SOL_SOCKET, SO_SNDBUF, 100000},
					{IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096},
					{IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1},
					{IPPROTO_IP, IP_TOS, 0x10},
					{IPPROTO_TCP, TCP_WINDOW_CLAMP, 20000},
					{SOL_SOCKET, SO_KEEPALIVE, 1},
					{IPPROTO_TCP, TCP_KEEPIDLE, 20},
					{IPPROTO_TCP, TCP_NOTSENT_LOWAT, 1 << 20}};

void session_change_option(struct world *w, struct side *me)
{
	set_options(w, me, &changes[rng_below(&w->rng, sizeof(changes) / sizeof(changes[0]))], 1);
}

void session_attach(struct world *w, struct session *s, unsigned who, struct conn *c)
{
	struct side *me = &s->side[who];

	me->c = c;
	me->runnable = true;
	me->done = false;
	me->progress_at = w->now;
	engine_set_user(c, (uint64_t)(s - w->session) * 2 + who + 1);
	set_options(w, me, usual, sizeof(usual) / sizeof(usual[0]));
	w->host[me->host].touched = true;
}

/* ---- connect() ---- */

/* Not now: the host is gone, or has no control block left. */
static void postpone(struct world *w, struct session *s)
{
	s->begin = w->now + RETRY_US + rng_below(&w->rng, RETRY_US);
}

static bool open_socket(struct world *w, struct session *s, unsigned who)
{
	struct side *me = &s->side[who];
	struct conn *c = w->host[me->host].gone ? NULL : engine_socket(session_engine(w, me));

	if (!c)
		return false;
	record_call(w, s, who, "socket(..., SOCK_STREAM, IPPROTO_TCP) = 3");
	session_attach(w, s, who, c);
	return true;
}

static void let_go(struct world *w, struct side *me)
{
	if (me->c)
		engine_close(session_engine(w, me), me->c, host_clock(w, me->host));
	me->c = NULL;
	me->connecting = false;
}

/* 0, or the error of bind() or connect(). */
static int connect_side(struct world *w, struct session *s, unsigned who, uint16_t port, uint16_t to_port)
{
	struct side *me = &s->side[who];
	struct endpoint to = {host_addr(s->side[!who].host), to_port}, local = {.port = port};
	int rc = port ? engine_bind(session_engine(w, me), me->c, &local) : 0;

	if (rc)
		return -rc;
	me->connecting = true;
	rc = engine_connect(session_engine(w, me), me->c, &to, host_clock(w, me->host));
	record_call(w, s, who, "connect(3, ..., ...) = -1 EINPROGRESS");
	return rc == -EINPROGRESS ? 0 : rc ? -rc : EINVAL;
}

static bool begin_both(struct world *w, struct session *s)
{
	if (open_socket(w, s, 0) && open_socket(w, s, 1) && !connect_side(w, s, 0, s->port, s->port + SIMULTANEOUS_PORT) &&
	    !connect_side(w, s, 1, s->port + SIMULTANEOUS_PORT, s->port))
		return true;
	let_go(w, &s->side[0]);
	let_go(w, &s->side[1]);
	return false;
}

static bool begin_one(struct world *w, struct session *s)
{
	struct endpoint local;
	int error;

	if (!open_socket(w, s, 0))
		return false;
	error = connect_side(w, s, 0, s->port, LISTEN_PORT);
	if (error) {
		let_go(w, &s->side[0]);
		/* The port's last connection is still there, or may not be replaced: any other will do. */
		if (!s->port || (error != EADDRINUSE && error != EADDRNOTAVAIL))
			session_fail(w, s, "connect() returned %s", strerror(error));
		s->port = 0;
		return false;
	}
	engine_sockname(s->side[0].c, &local);
	s->port = local.port;
	return true;
}

static bool over(const struct session *s)
{
	return s->begun && s->side[0].done && (s->side[1].done || !s->side[1].accepted);
}

/* The same port again: as soon as the connection before is over, or a while later. */
static bool waits_for_another(struct world *w, struct session *s)
{
	if (!s->after)
		return false;
	if (!over(s->after))
		return true;
	s->port = s->after->port;
	s->begin += w->now;
	s->after = NULL;
	return s->begin > w->now;
}

bool sessions_begin(struct world *w)
{
	bool any = false;

	for (unsigned i = 0; i < w->nsessions; i++) {
		struct session *s = &w->session[i];

		if (s->begun || waits_for_another(w, s) || s->begin > w->now)
			continue;
		s->begun = s->simultaneous ? begin_both(w, s) : begin_one(w, s);
		if (!s->begun) {
			postpone(w, s);
			continue;
		}
		s->iss = look_iss(s->side[0].c);
		any = true;
	}
	return any;
}

/* ---- accept() ---- */

/* The session that an accepted connection belongs to: from this port of this host, beginning with this number. */
static struct session *find_session(struct world *w, unsigned host, const struct endpoint *peer, uint32_t irs)
{
	for (unsigned i = 0; i < w->nsessions; i++) {
		struct session *s = &w->session[i];
		struct ip_addr from = host_addr(s->side[0].host);

		if (s->begun && s->side[1].host == host && s->port == peer->port && ip_equal(&from, &peer->addr) && s->iss == irs)
			return s;
	}
	return NULL;
}

/* Settings with which an old segment can make a connection that nobody wants (RFC 4987 3.6, RFC 7413 6.1). */
static bool may_be_ghost(const struct world *w, unsigned host)
{
	static const char *const names[] = {"net.ipv4.tcp_syncookies", "net.ipv4.tcp_fastopen"};
	char value[64];

	for (unsigned i = 0; i < 2; i++)
		if (!tcp_settings_get(&w->host[host].cfg.tcp, names[i], value, sizeof(value)) && strcmp(value, "0"))
			return true;
	return false;
}

static void take_child(struct world *w, unsigned host, unsigned stack, struct conn *c)
{
	struct engine *e = w->host[host].stack[stack].e;
	struct endpoint peer;
	struct session *s;

	if (engine_peername(c, &peer)) {
		engine_abort(e, c, host_clock(w, host)); /* reset while it waited */
		return;
	}
	s = find_session(w, host, &peer, look_irs(c));
	if (!s || s->side[1].accepted) {
		if (!may_be_ghost(w, host))
			world_fail(w, "host %u accepted a connection from port %u that nobody made", host, peer.port);
		engine_abort(e, c, host_clock(w, host));
		return;
	}
	record_call(w, s, 1, "accept(3, ..., ...) = 4");
	s->side[1].stack = stack;
	s->side[1].accepted = true;
	session_attach(w, s, 1, c);
}

static bool accept_some(struct world *w, unsigned host, unsigned stack)
{
	struct stack *st = &w->host[host].stack[stack];
	bool one = w->host[host].cfg.lazy_us && rng_next(&w->rng) & 1;
	struct conn *c;
	int err = 0;

	if (!st->accept_at || st->accept_at > w->now)
		return false;
	st->accept_at = 0;
	w->host[host].touched = true;
	while ((c = engine_accept(st->e, st->listener, &err))) {
		take_child(w, host, stack, c);
		if (one)
			break;
	}
	if (c)
		st->accept_at = w->now + 1 + rng_below(&w->rng, w->host[host].cfg.lazy_us + 1);
	else if (err != -EAGAIN)
		world_fail(w, "accept() returned %d", err);
	return true;
}

bool sessions_accept(struct world *w)
{
	bool any = false;

	for (unsigned i = 0; i < w->nhosts * STACKS_MAX; i++)
		any |= accept_some(w, i / STACKS_MAX, i % STACKS_MAX);
	return any;
}

void sessions_event(struct world *w, unsigned host, unsigned stack, struct conn *c)
{
	struct stack *st = &w->host[host].stack[stack];
	uint64_t user = engine_user(c);

	if (c != st->listener) {
		if (user)
			w->session[(user - 1) / 2].side[(user - 1) % 2].runnable = true;
	} else if (!st->accept_at) {
		st->accept_at = w->now + (w->host[host].cfg.lazy_us ? rng_below(&w->rng, w->host[host].cfg.lazy_us) : 0);
	}
}
