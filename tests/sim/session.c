/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session.c - the applications of the simulation.  They are edge-triggered: a side goes on only when the engine reported an event
 * for its socket or its pause is over, so that an event that the engine forgets ends in a standstill that the world notices.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>

#include "tests/sim/world.h"

#define CHUNK_MAX 65536
#define STATE_SYN_SENT 2
#define STATE_SYN_RECV 3

static uint8_t buffer[CHUNK_MAX];

static uint8_t stream_byte(const struct session *s, unsigned from, uint64_t offset)
{
	return (uint8_t)(offset * 167 + (offset >> 8) * 13 + s->salt + from * 101);
}

/* Keep-alives end the side whose peer's reset was lost. */
static void set_options(struct world *w, struct engine *e, struct conn *c)
{
	static const struct {
		int level, name, value;
	} opts[] = {{SOL_SOCKET, SO_KEEPALIVE, 1},
		    {IPPROTO_TCP, TCP_KEEPIDLE, 30},
		    {IPPROTO_TCP, TCP_KEEPINTVL, 10},
		    {IPPROTO_TCP, TCP_KEEPCNT, 9}};

	for (unsigned i = 0; i < sizeof(opts) / sizeof(opts[0]); i++)
		if (engine_setsockopt(e, c, opts[i].level, opts[i].name, &opts[i].value, sizeof(int), w->now))
			world_fail(w, "setsockopt(%d, %d) failed", opts[i].level, opts[i].name);
}

/* The engine that serves a side. */
static struct engine *engine_of(const struct world *w, const struct session *s, unsigned node)
{
	return w->node[node].stack[s->side[node].stack].e;
}

static void attach(struct world *w, struct session *s, unsigned node, struct conn *c)
{
	s->side[node].c = c;
	s->side[node].runnable = true;
	engine_set_user(c, (uint64_t)(s - w->session) + 1);
	set_options(w, engine_of(w, s, node), c);
}

static void begin(struct world *w, struct session *s)
{
	unsigned me = s->initiator;
	struct endpoint to = {node_addr(!me), LISTEN_PORT}, local;
	struct conn *c = engine_socket(engine_of(w, s, me));
	int rc;

	if (!c)
		world_fail(w, "no socket left");
	attach(w, s, me, c);
	s->begun = true;
	s->side[me].connecting = true;
	rc = engine_connect(engine_of(w, s, me), c, &to, w->now);
	if (rc != -EINPROGRESS)
		world_fail(w, "connect() returned %d", rc);
	engine_sockname(c, &local);
	s->port = local.port;
}

bool sessions_begin(struct world *w)
{
	bool any = false;

	for (unsigned i = 0; i < w->nsessions; i++) {
		if (w->session[i].begun || w->session[i].begin > w->now)
			continue;
		begin(w, &w->session[i]);
		any = true;
	}
	return any;
}

/* The session that a connection from this port of the other node belongs to. */
static struct session *find_session(struct world *w, unsigned node, uint16_t port)
{
	for (unsigned i = 0; i < w->nsessions; i++) {
		struct session *s = &w->session[i];

		if (s->begun && s->initiator != node && s->port == port && !s->side[node].c && !s->side[node].done)
			return s;
	}
	world_fail(w, "a connection from port %u was accepted that nobody made", port);
}

static void accept_all(struct world *w, unsigned node, unsigned stack)
{
	struct stack *st = &w->node[node].stack[stack];
	struct endpoint peer;
	struct session *s;
	struct conn *c;
	int err;

	while ((c = engine_accept(st->e, st->listener, &err))) {
		if (engine_peername(c, &peer)) {
			engine_abort(st->e, c, w->now); /* reset while it waited */
			continue;
		}
		s = find_session(w, node, peer.port);
		s->side[node].stack = stack;
		attach(w, s, node, c);
	}
	if (err != -EAGAIN)
		world_fail(w, "accept() returned %d", err);
}

void sessions_event(struct world *w, unsigned node, unsigned stack, struct conn *c)
{
	uint64_t user = engine_user(c);

	if (c == w->node[node].stack[stack].listener)
		accept_all(w, node, stack);
	else if (user)
		w->session[user - 1].side[node].runnable = true;
}

static void finish(struct world *w, struct session *s, unsigned node, bool abort)
{
	struct side *me = &s->side[node];

	if (abort)
		engine_abort(engine_of(w, s, node), me->c, w->now);
	else
		engine_close(engine_of(w, s, node), me->c, w->now);
	me->c = NULL;
	me->done = true;
}

/* An error ends the side; only some modes may have one. */
static void fail_side(struct world *w, struct session *s, unsigned node, int error)
{
	bool expected = s->mode == SESSION_ABORT || s->mode == SESSION_UNREAD;

	s->side[node].error = error;
	/* Three lost ARP packets in a row make the peer unreachable: an honest answer on a bad link; try again. */
	if (error == EHOSTUNREACH && s->side[node].connecting && w->link[0].cfg.loss_ppm) {
		engine_close(engine_of(w, s, node), s->side[node].c, w->now);
		s->side[node].c = NULL;
		s->side[node].connecting = s->begun = false;
		s->begin = w->now + 1000;
		return;
	}
	if (!expected)
		world_fail(w, "session %u, node %u: %s after %llu bytes sent and %llu received", (unsigned)(s - w->session), node,
			   strerror(error), (unsigned long long)s->side[node].sent, (unsigned long long)s->side[node].received);
	finish(w, s, node, false);
}

static void maybe_pause(struct world *w, struct side *me)
{
	if (rng_chance(&w->rng, me->pause_ppm))
		me->paused_until = w->now + 1 + rng_below(&w->rng, me->pause_us);
}

/* Write until the socket is full, the plan is fulfilled or a pause comes; false if the side is over. */
static bool write_some(struct world *w, struct session *s, unsigned node)
{
	struct side *me = &s->side[node];
	struct iovec iov = {.iov_base = buffer};
	ssize_t n = 0;

	while (me->sent < me->to_send && !me->paused_until) {
		iov.iov_len = 1 + rng_below(&w->rng, me->write_max);
		if (iov.iov_len > me->to_send - me->sent)
			iov.iov_len = me->to_send - me->sent;
		for (size_t i = 0; i < iov.iov_len; i++)
			buffer[i] = stream_byte(s, node, me->sent + i);
		n = engine_send(engine_of(w, s, node), me->c, &iov, 1, 0, w->now);
		if (n < 0)
			break;
		me->sent += (uint64_t)n;
		maybe_pause(w, me);
	}
	if (n >= 0 || n == -EAGAIN)
		return true;
	fail_side(w, s, node, (int)-n);
	return false;
}

static void check_read(struct world *w, const struct session *s, unsigned node, size_t n)
{
	uint64_t at = s->side[node].received;

	for (size_t i = 0; i < n; i++)
		if (buffer[i] != stream_byte(s, !node, at + i))
			world_fail(w, "session %u, node %u: byte %llu is wrong", (unsigned)(s - w->session), node,
				   (unsigned long long)(at + i));
	if (at + n > s->side[!node].sent)
		world_fail(w, "session %u, node %u: more was received than was sent", (unsigned)(s - w->session), node);
}

static bool read_some(struct world *w, struct session *s, unsigned node)
{
	struct side *me = &s->side[node];
	struct iovec iov = {.iov_base = buffer};
	ssize_t n = 0;

	while (!me->eof && !me->paused_until) {
		iov.iov_len = 1 + rng_below(&w->rng, me->read_max);
		n = engine_recv(engine_of(w, s, node), me->c, &iov, 1, 0, w->now);
		if (n < 0)
			break;
		check_read(w, s, node, (size_t)n);
		me->received += (uint64_t)n;
		w->bytes += (uint64_t)n;
		me->eof = n == 0;
		maybe_pause(w, me);
	}
	if (n >= 0 || n == -EAGAIN)
		return true;
	fail_side(w, s, node, (int)-n);
	return false;
}

/* Is the connection still being made?  Its end may be an error. */
static bool still_connecting(struct world *w, struct session *s, unsigned node)
{
	struct side *me = &s->side[node];
	int state = engine_state(me->c), error;

	if (!me->connecting)
		return false;
	if (state == STATE_SYN_SENT || state == STATE_SYN_RECV)
		return true;
	error = engine_error(me->c);
	if (error) {
		fail_side(w, s, node, error);
		return true;
	}
	me->connecting = false;
	return false;
}

static void end_of_sending(struct world *w, struct session *s, unsigned node)
{
	struct side *me = &s->side[node];
	int rc;

	if (s->mode == SESSION_CLOSE && me->to_send) {
		finish(w, s, node, false);
		return;
	}
	rc = engine_shutdown(engine_of(w, s, node), me->c, SHUT_WR, w->now);
	if (rc && rc != -ENOTCONN)
		world_fail(w, "shutdown() returned %d", rc);
	me->shut = true;
}

static void run_side(struct world *w, struct session *s, unsigned node)
{
	struct side *me = &s->side[node];

	me->runnable = false;
	me->paused_until = 0;
	if (still_connecting(w, s, node))
		return;
	if (!write_some(w, s, node) || !read_some(w, s, node))
		return;
	if (me->sent + me->received >= me->quit_at) {
		finish(w, s, node, s->mode == SESSION_ABORT);
		return;
	}
	if (me->sent == me->to_send && !me->shut)
		end_of_sending(w, s, node);
	if (me->c && me->shut && me->eof)
		finish(w, s, node, false);
}

bool sessions_run(struct world *w)
{
	bool any = false;

	for (unsigned i = 0; i < 2 * w->nsessions; i++) {
		struct session *s = &w->session[i / 2];
		struct side *me = &s->side[i % 2];

		if (!me->c || (me->paused_until ? me->paused_until > w->now : !me->runnable))
			continue;
		run_side(w, s, i % 2);
		any = true;
	}
	return any;
}

usec_t sessions_next(const struct world *w)
{
	usec_t next = USEC_NEVER;

	for (unsigned i = 0; i < w->nsessions; i++) {
		const struct session *s = &w->session[i];

		if (!s->begun && s->begin < next)
			next = s->begin;
		for (unsigned n = 0; n < 2; n++)
			if (s->side[n].c && s->side[n].paused_until && s->side[n].paused_until < next)
				next = s->side[n].paused_until;
	}
	return next;
}

/* A side whose peer gave up before the connection was accepted never comes to be. */
static bool never_accepted(const struct session *s, unsigned node)
{
	return node != s->initiator && !s->side[node].c && s->side[s->initiator].done &&
	       (s->mode == SESSION_ABORT || s->mode == SESSION_UNREAD);
}

bool sessions_done(const struct world *w)
{
	for (unsigned i = 0; i < 2 * w->nsessions; i++) {
		const struct session *s = &w->session[i / 2];

		if (!s->side[i % 2].done && !never_accepted(s, i % 2))
			return false;
	}
	return true;
}

void sessions_check(struct world *w)
{
	for (unsigned i = 0; i < 2 * w->nsessions; i++) {
		const struct session *s = &w->session[i / 2];
		const struct side *me = &s->side[i % 2], *peer = &s->side[!(i % 2)];

		if ((s->mode == SESSION_CLEAN || s->mode == SESSION_CLOSE) &&
		    (me->received != peer->to_send || me->sent != me->to_send))
			world_fail(w, "session %u, node %u: %llu bytes of %llu received", i / 2, i % 2,
				   (unsigned long long)me->received, (unsigned long long)peer->to_send);
	}
}
