/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session.c - the applications of the simulation.  They are edge-triggered: a side goes on only when the engine reported an event
 * for its socket or its pause is over, so that an event that the engine forgets ends in a standstill that the world notices.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "tests/sim/record.h"
#include "tests/sim/world.h"

#define CHUNK_MAX 65000
#define PATTERN 65521 /* a prime: no buffer or segment size fits into it */
/* All SYN,ACKs were sent in vain by then, and accept() was called. */
#define CHILD_US 200000000
#define STATE_SYN_SENT 2
#define STATE_SYN_RECV 3

/* What every stream is made of, from its own offset on; one chunk beyond the end, so that each is in one piece. */
static const uint8_t *pattern(uint64_t at)
{
	static uint8_t bytes[PATTERN + CHUNK_MAX];
	struct rng r = {.state = 1};

	for (unsigned i = 0; !bytes[PATTERN] && i < PATTERN; i++)
		bytes[i] = (uint8_t)rng_next(&r) | 1;
	if (!bytes[PATTERN])
		memcpy(bytes + PATTERN, bytes, CHUNK_MAX);
	return bytes + at % PATTERN;
}

struct engine *session_engine(const struct world *w, const struct side *me)
{
	return w->host[me->host].stack[me->stack].e;
}

void session_fail(struct world *w, const struct session *s, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	w->suspect = s;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	world_fail(w, "session %u, host %u port %u to host %u: %s", (unsigned)(s - w->session), s->side[0].host, s->port,
		   s->side[1].host, text);
}

static const char *name(unsigned who)
{
	return who ? "acceptor" : "opener";
}

void session_finish(struct world *w, struct session *s, unsigned who, bool abort)
{
	struct side *me = &s->side[who];

	record_call(w, s, who, "close(%u) = 0%s", 3 + who, abort ? " // abort" : "");
	if (abort)
		engine_abort(session_engine(w, me), me->c, host_clock(w, me->host));
	else
		engine_close(session_engine(w, me), me->c, host_clock(w, me->host));
	me->c = NULL;
	me->done = true;
	me->connecting = false;
}

void session_error(struct world *w, struct session *s, unsigned who, int error)
{
	struct side *me = &s->side[who];

	/* Three lost ARP packets in a row make the peer unreachable: an honest answer on a bad link; try again. */
	if (error == EHOSTUNREACH && me->connecting && !s->simultaneous && history_explains(w, s, who, error)) {
		session_finish(w, s, who, false);
		me->done = s->begun = false;
		s->begin = w->now + 1000;
		return;
	}
	if (!history_explains(w, s, who, error))
		session_fail(w, s, "%s: %s after %llu bytes sent and %llu received", name(who), strerror(error),
			     (unsigned long long)me->sent, (unsigned long long)me->received);
	me->error = error;
	session_finish(w, s, who, false);
}

/* After a call: a pause, or another option. */
static void by_chance(struct world *w, struct side *me)
{
	if (rng_chance(&w->rng, me->option_ppm))
		session_change_option(w, me);
	if (!rng_chance(&w->rng, me->pause_ppm))
		return;
	me->paused_until = w->now + 1 + rng_below(&w->rng, me->pause_us);
	me->paused_us += me->paused_until - w->now;
}

/* Write until the socket is full, the plan is fulfilled or a pause comes; false if the side is over. */
static bool write_some(struct world *w, struct session *s, unsigned who)
{
	struct side *me = &s->side[who];
	struct iovec iov;
	ssize_t n = 0;

	while (me->sent < me->to_send && !me->paused_until) {
		int flags = rng_chance(&w->rng, me->urgent_ppm) ? MSG_OOB : 0;

		iov.iov_base = (void *)(uintptr_t)pattern(me->offset + me->sent);
		iov.iov_len = 1 + rng_below(&w->rng, me->write_max);
		if (iov.iov_len > me->to_send - me->sent)
			iov.iov_len = me->to_send - me->sent;
		n = engine_send(session_engine(w, me), me->c, &iov, 1, flags, host_clock(w, me->host));
		if (n < 0)
			break;
		record_call(w, s, who, "write(%u, ..., %zu) = %zd", 3 + who, iov.iov_len, n);
		me->sent += (uint64_t)n;
		me->progress_at = w->now;
		by_chance(w, me);
	}
	if (n >= 0 || n == -EAGAIN)
		return true;
	session_error(w, s, who, (int)-n);
	return false;
}

static void check_read(struct world *w, const struct session *s, unsigned who, const uint8_t *got, size_t n)
{
	const struct side *peer = &s->side[!who];
	uint64_t at = s->side[who].received;
	const uint8_t *want = pattern(peer->offset + at);
	size_t i = 0;

	if (at + n > peer->sent)
		session_fail(w, s, "%s: more was received than was sent", name(who));
	if (!memcmp(got, want, n))
		return;
	while (got[i] == want[i])
		i++;
	session_fail(w, s, "%s: byte %llu is wrong", name(who), (unsigned long long)(at + i));
}

static bool read_some(struct world *w, struct session *s, unsigned who)
{
	static uint8_t buffer[CHUNK_MAX];
	struct side *me = &s->side[who];
	struct iovec iov = {.iov_base = buffer};
	ssize_t n = 0;

	while (!me->eof && !me->paused_until) {
		iov.iov_len = 1 + rng_below(&w->rng, me->read_max);
		n = engine_recv(session_engine(w, me), me->c, &iov, 1, 0, host_clock(w, me->host));
		if (n < 0)
			break;
		record_call(w, s, who, "read(%u, ..., %zu) = %zd", 3 + who, iov.iov_len, n);
		check_read(w, s, who, buffer, (size_t)n);
		me->received += (uint64_t)n;
		me->progress_at = w->now;
		w->bytes += (uint64_t)n;
		me->eof = n == 0;
		by_chance(w, me);
	}
	if (n >= 0 || n == -EAGAIN)
		return true;
	session_error(w, s, who, (int)-n);
	return false;
}

/* Is the connection still being made?  Its end may be an error. */
static bool still_connecting(struct world *w, struct session *s, unsigned who)
{
	struct side *me = &s->side[who];
	int state = engine_state(me->c), error;

	if (!me->connecting)
		return false;
	if (state == STATE_SYN_SENT || state == STATE_SYN_RECV)
		return true;
	error = engine_error(me->c);
	if (error) {
		session_error(w, s, who, error);
		return true;
	}
	record_call(w, s, who, "getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0");
	me->connecting = false;
	me->accepted = true;
	return false;
}

static void shut(struct world *w, struct session *s, unsigned who, int how)
{
	struct side *me = &s->side[who];
	int rc = engine_shutdown(session_engine(w, me), me->c, how, host_clock(w, me->host));

	record_call(w, s, who, "shutdown(%u, %s) = 0", 3 + who, how == SHUT_WR ? "SHUT_WR" : "SHUT_RDWR");
	if (rc && rc != -ENOTCONN)
		session_fail(w, s, "shutdown() returned %d", rc);
	me->shut = true;
}

static void end_of_sending(struct world *w, struct session *s, unsigned who)
{
	if (s->mode == SESSION_CLOSE && s->side[who].to_send)
		session_finish(w, s, who, false);
	else
		shut(w, s, who, SHUT_WR);
}

/* The end on the way, as the mode has it. */
static void quit(struct world *w, struct session *s, unsigned who)
{
	static const struct linger at_once = {.l_onoff = 1};
	struct side *me = &s->side[who];

	me->quit = true;
	if (s->mode == SESSION_SHUT)
		shut(w, s, who, SHUT_RDWR);
	if (s->mode == SESSION_LINGER && engine_setsockopt(session_engine(w, me), me->c, SOL_SOCKET, SO_LINGER, &at_once,
							   sizeof(at_once), host_clock(w, me->host)))
		session_fail(w, s, "SO_LINGER is refused");
	session_finish(w, s, who, s->mode == SESSION_ABORT);
}

static void run_side(struct world *w, struct session *s, unsigned who)
{
	struct side *me = &s->side[who];

	me->runnable = false;
	me->paused_until = 0;
	w->host[me->host].touched = true;
	if (still_connecting(w, s, who))
		return;
	if (!write_some(w, s, who) || !read_some(w, s, who))
		return;
	if (me->sent + me->received >= me->quit_at) {
		quit(w, s, who);
		return;
	}
	if (me->sent == me->to_send && !me->shut)
		end_of_sending(w, s, who);
	if (me->c && me->shut && me->eof)
		session_finish(w, s, who, false);
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

		if (!s->begun && !s->after && s->begin < next)
			next = s->begin;
		if (s->side[0].done && !s->side[1].c && s->side[0].progress_at + CHILD_US > w->now)
			next = s->side[0].progress_at + CHILD_US < next ? s->side[0].progress_at + CHILD_US : next;
		for (unsigned n = 0; n < 2; n++)
			if (s->side[n].c && s->side[n].paused_until && s->side[n].paused_until < next)
				next = s->side[n].paused_until;
	}
	for (unsigned i = 0; i < w->nhosts * STACKS_MAX; i++) {
		usec_t at = w->host[i / STACKS_MAX].stack[i % STACKS_MAX].accept_at;

		if (at && at < next)
			next = at;
	}
	return next;
}

static bool troubled(const struct side *s)
{
	return s->error || s->lost || s->quit;
}

/* A side whose peer gave up before the connection was accepted never comes to be, nor does one that was lost with its listener.
 */
static bool side_over(const struct world *w, const struct session *s, unsigned who)
{
	if (s->side[who].done)
		return true;
	if (who == 0 || s->side[1].c || !s->begun || !s->side[0].done)
		return false;
	return troubled(&s->side[0]) || (history_lost_child(w, s) && w->now - s->side[0].progress_at >= CHILD_US);
}

bool sessions_done(const struct world *w)
{
	for (unsigned i = 0; i < 2 * w->nsessions; i++)
		if (!side_over(w, &w->session[i / 2], i % 2))
			return false;
	return true;
}

void sessions_check(struct world *w)
{
	for (unsigned i = 0; i < 2 * w->nsessions; i++) {
		const struct session *s = &w->session[i / 2];
		const struct side *me = &s->side[i % 2], *peer = &s->side[!(i % 2)];

		if (troubled(me) || troubled(peer) || !s->side[1].accepted)
			continue;
		if (me->received != peer->to_send || me->sent != me->to_send)
			session_fail(w, s, "%s: %llu bytes of %llu received", name(i % 2), (unsigned long long)me->received,
				     (unsigned long long)peer->to_send);
	}
}

/* Its memory is lost, and so is a child that waited for accept(). */
void sessions_lose(struct world *w, unsigned host)
{
	for (unsigned i = 0; i < 2 * w->nsessions; i++) {
		struct session *s = &w->session[i / 2];
		struct side *me = &s->side[i % 2];

		if (me->host != host || me->done || !s->begun)
			continue;
		me->lost = true;
		me->done = me->c != NULL;
		me->c = NULL;
		me->connecting = false;
	}
}

void sessions_close(struct world *w, unsigned host)
{
	for (unsigned i = 0; i < 2 * w->nsessions; i++) {
		struct side *me = &w->session[i / 2].side[i % 2];

		if (me->host == host && me->c)
			session_finish(w, &w->session[i / 2], i % 2, true);
	}
}
