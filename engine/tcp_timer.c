/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp_timer.c - events in, deadlines out: others say what happened, only this file arms a timer and says what its end means.
 *
 * TIMER_LOSS       the end of the reordering window, or of the wait before a tail loss probe (RFC 8985); or, with nothing in
 * flight, of the wait for what would undo the last episode of repair. TIMER_RTX        something unacknowledged waits (RFC 6298
 * 5), or data waits for a closed window (persist, RFC 9293 3.8.6.1). TIMER_DELACK     an ACK is owed (RFC 9293 3.8.6.3).
 * TIMER_KEEPALIVE  nothing has been heard for long (RFC 9293 3.8.4).
 * TIMER_PACE       the next quantum of a paced connection may leave.
 * TIMER_LIFE       an orphan in FIN-WAIT-2, or a child whose accept() is deferred, has waited long enough.
 *
 * A control block has one entry in the wheel, at or before the earliest of its deadlines: moving a deadline later, as every ACK
 * does, touches the wheel only when the entry fires.
 */
#include <errno.h>

#include "engine/ahead.h"
#include "engine/fastopen.h"

_Static_assert(RTO_MAX_US <= SHORT_TIMER_MAX_US, "a timeout is a short timer");
#define CORK_US 200000 /* a corked small segment waits no longer */
#define ORPHAN_RETRIES 8

/* The entry is at or before the other deadlines already. */
static void schedule(struct engine *e, struct conn *c, usec_t at)
{
	if (at && (!wheel_armed(&c->wheel) || at < wheel_at(&e->wheel, &c->wheel)))
		wheel_arm(&e->wheel, &c->wheel, at);
}

/* 0: off.  One that would be 0 as its low half is put off by a microsecond. */
static usec_t put(const struct engine *e, struct conn *c, enum conn_timer t, usec_t at)
{
	if (at > e->now + SHORT_TIMER_MAX_US)
		at = e->now + SHORT_TIMER_MAX_US;
	if (at && !(uint32_t)at)
		at++;
	c->deadline[t] = (uint32_t)at;
	return at;
}

static void set(struct engine *e, struct conn *c, enum conn_timer t, usec_t at)
{
	schedule(e, c, put(e, c, t, at));
}

static void clear(struct conn *c, enum conn_timer t)
{
	if (t < SHORT_TIMERS)
		c->deadline[t] = 0;
	else if (t == TIMER_LIFE)
		c->life_deadline = 0;
	else if (c->extra)
		c->extra->keepalive_at = 0;
}

static void set_long(struct engine *e, struct conn *c, enum conn_timer t, usec_t at)
{
	if (!at)
		clear(c, t);
	else if (t == TIMER_LIFE)
		c->life_deadline = at;
	else
		extra_of(e, c)->keepalive_at = at;
	schedule(e, c, at);
}

/*
 * Nothing is in flight any more.  An entry that was for what is over fires in vain: among many connections that is one more time
 * that all of this one has to come from memory.  Now it is at hand, and so are its neighbours in the wheel, armed just before.
 */
static void rest(struct engine *e, struct conn *c)
{
	usec_t at;

	if (!ahead_many(e) || !wheel_armed(&c->wheel))
		return;
	at = conn_next_deadline(c, e->now);
	if (at == USEC_NEVER)
		wheel_disarm(&e->wheel, &c->wheel);
	else if (at > wheel_at(&e->wheel, &c->wheel))
		wheel_arm(&e->wheel, &c->wheel, at);
}

void timer_stop_all(struct engine *e, struct conn *c)
{
	for (enum conn_timer t = 0; t < TIMERS; t++)
		clear(c, t);
	c->loss_is_reordering = false;
	wheel_disarm(&e->wheel, &c->wheel);
}

/* ---- events ---- */

static void rtx_starts(struct conn *c, usec_t at)
{
	if (c->rtx_started_ms)
		return;
	c->rtx_started_ms = (uint32_t)(at / 1000);
	if (!c->rtx_started_ms)
		c->rtx_started_ms = 1;
}

/* Since then; there must have been one. */
static uint32_t rtx_gone_ms(const struct engine *e, const struct conn *c)
{
	return (uint32_t)(e->now / 1000) - c->rtx_started_ms;
}

/* TCP_USER_TIMEOUT; 0: none. */
static uint32_t user_timeout_ms(const struct conn *c)
{
	return conn_extra(c)->user_timeout_ms;
}

/* Milliseconds that it leaves; 0: none, or that there is no such limit. */
static uint32_t user_time_left(const struct engine *e, const struct conn *c)
{
	uint32_t gone_ms = rtx_gone_ms(e, c);

	return c->rtx_started_ms && gone_ms < user_timeout_ms(c) ? user_timeout_ms(c) - gone_ms : 0;
}

/* RFC 5482: the last retransmission before the user's timeout is cut short to meet it. */
static usec_t rtx_deadline(const struct engine *e, const struct conn *c)
{
	usec_t rto = rtt_rto(c), left = user_timeout_ms(c) ? (usec_t)user_time_left(e, c) * 1000 : 0;

	return e->now + (left && left < rto ? left : rto);
}

void timer_data_sent(struct engine *e, struct conn *c)
{
	/* Until the SYN,ACK of a Fast Open is acknowledged the timer is its own. */
	if (c->fo_child && c->deadline[TIMER_RTX])
		return;
	/* The first in flight: what was armed before was for a window or a cork. */
	if (!c->deadline[TIMER_RTX] || !conn_flight(c))
		put(e, c, TIMER_RTX, rtx_deadline(e, c));
}

void timer_all_sent(struct engine *e, struct conn *c)
{
	schedule(e, c, conn_deadline(c, TIMER_RTX, e->now));
}

void timer_acked(struct engine *e, struct conn *c, bool advanced)
{
	if (!conn_flight(c))
		set(e, c, TIMER_RTX, 0);
	else if (advanced)
		set(e, c, TIMER_RTX, rtx_deadline(e, c));
}

void timer_head_resent(struct engine *e, struct conn *c)
{
	set(e, c, TIMER_RTX, rtx_deadline(e, c));
}

void timer_repair(struct engine *e, struct conn *c, usec_t at)
{
	set(e, c, TIMER_LOSS, at);
}

void timer_reneged(struct engine *e, struct conn *c, usec_t us)
{
	set(e, c, TIMER_RTX, e->now + us);
}

void timer_reordering(struct engine *e, struct conn *c, usec_t us)
{
	if (!us && !c->loss_is_reordering)
		return;
	c->loss_is_reordering = us;
	set(e, c, TIMER_LOSS, us ? e->now + us : 0);
}

/* RFC 8985 7.2: never later than the timeout would be. */
void timer_tail(struct engine *e, struct conn *c, bool restart)
{
	bool wanted;
	usec_t rtx, at;

	if (c->loss_is_reordering)
		return;
	wanted = tlp_wanted(e, c);
	if (!wanted)
		clear(c, TIMER_LOSS);
	if (!conn_flight(c))
		rest(e, c);
	if (!wanted || !restart)
		return;
	rtx = conn_deadline(c, TIMER_RTX, e->now);
	at = tlp_deadline(e, c);
	set(e, c, TIMER_LOSS, rtx && at > rtx ? rtx : at);
}

void timer_ack_delayed(struct engine *e, struct conn *c)
{
	if (!c->deadline[TIMER_DELACK])
		set(e, c, TIMER_DELACK, e->now + DELACK_US);
}

void timer_ack_sent(struct engine *e, struct conn *c)
{
	set(e, c, TIMER_DELACK, 0);
}

static usec_t keepidle_us(const struct engine *e, const struct conn *c)
{
	uint16_t s = conn_extra(c)->keepidle_s;

	return (usec_t)(s ? s : e->cfg.tcp.keepalive_time) * 1000000;
}

static usec_t keepintvl_us(const struct engine *e, const struct conn *c)
{
	uint16_t s = conn_extra(c)->keepintvl_s;

	return (usec_t)(s ? s : e->cfg.tcp.keepalive_intvl) * 1000000;
}

void timer_keepalive_changed(struct engine *e, struct conn *c)
{
	bool connected = STATE_BIT(c->state) & (SYNCHRONIZED & ~STATE_BIT(TIME_WAIT));

	set_long(e, c, TIMER_KEEPALIVE, c->keepalive && connected ? e->now + keepidle_us(e, c) : 0);
}

void timer_established(struct engine *e, struct conn *c)
{
	set(e, c, TIMER_RTX, 0);
	set_long(e, c, TIMER_KEEPALIVE, c->keepalive ? e->now + keepidle_us(e, c) : 0);
}

void timer_life(struct engine *e, struct conn *c, usec_t at)
{
	set_long(e, c, TIMER_LIFE, at);
}

void timer_pace(struct engine *e, struct conn *c, usec_t at)
{
	set(e, c, TIMER_PACE, at);
}

void timer_window_closed(struct engine *e, struct conn *c)
{
	usec_t pause = rtt_rto(c);

	if (c->deadline[TIMER_RTX])
		return;
	if ((c->cork || c->more) && c->snd_wnd >= c->mss)
		pause = CORK_US;
	set(e, c, TIMER_RTX, e->now + pause);
}

usec_t fin_wait_2_time(const struct engine *e, const struct conn *c)
{
	return (usec_t)(conn_extra(c)->linger2_s > 0 ? conn_extra(c)->linger2_s : e->cfg.tcp.fin_timeout) * 1000000;
}

/* ---- what the end of a deadline means; false: the control block is gone ---- */

static bool give_up(struct engine *e, struct conn *c)
{
	e->stats.abort_on_timeout++;
	fastopen_timeout(e, c, true);
	conn_fail(e, c, c->soft_error ? c->soft_error : ETIMEDOUT);
	return false;
}

static bool user_timed_out(const struct engine *e, const struct conn *c)
{
	return user_timeout_ms(c) && c->rtx_started_ms && !user_time_left(e, c);
}

/* RFC 9293 3.8.3: a SYN that is not answered. */
static bool syn_timeout(struct engine *e, struct conn *c)
{
	int64_t most = c->state == SYN_SENT ? e->cfg.tcp.syn_retries : e->cfg.tcp.synack_retries + c->fo_child;

	if (c->syn_retries && (c->state == SYN_SENT || c->fo_child))
		most = c->syn_retries;
	fastopen_timeout(e, c, false);

	if (c->retransmits >= most || user_timed_out(e, c))
		return give_up(e, c);
	c->retransmits++;
	c->backoff++;
	c->retrans_seen = true;
	extra_of(e, c)->total_retrans++;
	e->stats.syn_retrans++;
	e->stats.retrans_segs++;
	rtx_starts(c, e->now - c->rto_us);
	c->syn_due = true;
	tcp_want_output(e, c);
	if (c->fo_child)
		c->cc.cwnd = c->mss; /* RFC 5681 3.1, as conn_init_transfer() has it for others */
	set(e, c, TIMER_RTX, rtx_deadline(e, c));
	return true;
}

/* R2 of RFC 9293 3.8.3: tcp_retries2, less for an orphan. */
static int64_t retries_allowed(const struct engine *e, const struct conn *c)
{
	int64_t orphan = e->cfg.tcp.orphan_retries ? e->cfg.tcp.orphan_retries : ORPHAN_RETRIES;

	return c->orphan && orphan < e->cfg.tcp.retries2 ? orphan : e->cfg.tcp.retries2;
}

/*
 * R2 is a time as well, as in Linux's tcp_model_timeout(): that many doublings of the least RTO.  A sample from a SACK begins the
 * doubling anew in the midst of a row; the number alone would be reached long before a network of that patience is back.
 */
static bool r2_reached(const struct engine *e, const struct conn *c)
{
	uint64_t least = 0, rto = RTO_MIN_US;
	int64_t allowed = retries_allowed(e, c);

	if (c->retransmits < allowed)
		return false;
	for (int64_t i = 0; i <= allowed; i++) {
		least += rto;
		rto = rto * 2 < RTO_MAX_US ? rto * 2 : RTO_MAX_US;
	}
	/* Timers count in microseconds, the row's beginning in milliseconds. */
	return (rtx_gone_ms(e, c) + 1ull) * 1000 >= least;
}

/*
 * As Linux's tcp_out_of_resources(): the fewer orphans may stay the less their peer does for them.  Twice as many count where it
 * has let nothing be sent for long, twice again where ICMP said that it is not there.
 */
static bool orphan_too_many(struct engine *e, struct conn *c)
{
	unsigned shift = (e->now - c->last_snd_at > 2 * RTO_MAX_US) + (c->soft_error != 0);

	if (!c->orphan || e->norphans << shift <= e->cfg.tcp.max_orphans)
		return false;
	e->stats.abort_on_memory++;
	tcp_send_rst(e, c);
	conn_closed(e, c);
	return true;
}

static bool retransmission_timeout(struct engine *e, struct conn *c)
{
	if (orphan_too_many(e, c))
		return false;
	rtx_starts(c, e->now - c->rto_us);
	if ((!user_timeout_ms(c) && r2_reached(e, c)) || user_timed_out(e, c))
		return give_up(e, c);
	e->stats.timeouts++;
	fastopen_timeout(e, c, false);
	if (c->retransmits >= e->cfg.tcp.retries1) {
		neigh_doubt(e, c->neigh);
		mtu_probe_black_hole(e, c);
	}
	pmtu_timed_out(e, c);
	recovery_on_timeout(e, c); /* with the segment size as it is now */
	if (c->retransmits < UINT8_MAX)
		c->retransmits++;
	c->backoff++;
	tcp_want_output(e, c);
	set(e, c, TIMER_RTX, rtx_deadline(e, c));
	return true;
}

/*
 * As Linux's tcp_probe_timer(): who answers every probe and never opens the window keeps a connection that has a user for ever,
 * but an orphan only until the pause between probes cannot grow any more and tcp_orphan_retries is reached too.
 */
static bool orphan_starved(const struct engine *e, const struct conn *c)
{
	return c->orphan && rtt_rto(c) >= RTO_MAX_US && c->backoff >= e->cfg.tcp.orphan_retries;
}

/*
 * Nothing in flight and data waits: for a window that is closed or too small, or under a cork. A window with some room is filled
 * whatever its size, a closed one is probed for ever as long as the peer answers.
 */
static bool persist_timeout(struct engine *e, struct conn *c)
{
	if (!c->snd_new) {
		/* There was no memory for the FIN. */
		tcp_want_output(e, c);
		return true;
	}
	rtx_starts(c, e->now);
	if (c->probes >= retries_allowed(e, c) || user_timed_out(e, c) || orphan_starved(e, c))
		return give_up(e, c);
	if (orphan_too_many(e, c))
		return false;
	if (seq_lt(c->snd_nxt, c->snd_una + c->snd_wnd)) {
		c->force_probe = true;
		tcp_want_output(e, c);
		return true;
	}
	c->probes++;
	if (c->backoff < UINT8_MAX)
		c->backoff++;
	tcp_send_probe(e, c, false);
	set(e, c, TIMER_RTX, rtx_deadline(e, c));
	return true;
}

static bool rtx_expired(struct engine *e, struct conn *c)
{
	if ((STATE_BIT(c->state) & (STATE_BIT(SYN_SENT) | STATE_BIT(SYN_RECEIVED))) || c->fo_child)
		return syn_timeout(e, c);
	if (conn_flight(c))
		return retransmission_timeout(e, c);
	return persist_timeout(e, c);
}

static bool loss_expired(struct engine *e, struct conn *c)
{
	if (c->loss_is_reordering) {
		c->loss_is_reordering = false;
		recovery_on_reordering_timeout(e, c);
		repair_settle(e, c);
		return true;
	}
	if (!tlp_wanted(e, c)) {
		repair_settle(e, c);
		return true;
	}
	/* RFC 8985 7.3: a probe puts the timeout off. */
	rtx_starts(c, c->last_snd_at);
	c->probe_due = true;
	set(e, c, TIMER_RTX, rtx_deadline(e, c));
	tcp_want_output(e, c);
	return true;
}

static bool delack_expired(struct engine *e, struct conn *c)
{
	if (!c->ack_pending)
		return true;
	/* The user had no answer: not an interactive flow after all. */
	c->pingpong = false;
	e->stats.delayed_acks++;
	c->ack_now = true;
	tcp_want_output(e, c);
	return true;
}

/* Linux's tcp_keepalive_timer(): TCP_USER_TIMEOUT, if set, takes the place of the count of probes. */
static bool keepalive_failed(const struct conn *c, usec_t idle)
{
	if (user_timeout_ms(c))
		return c->probes && idle >= (usec_t)user_timeout_ms(c) * 1000;
	return c->probes >= c->keepcnt;
}

static bool keepalive_expired(struct engine *e, struct conn *c)
{
	usec_t idle = e->now - c->last_rcv_at, limit = keepidle_us(e, c);

	if (!c->keepalive)
		return true;
	if (conn_flight(c) || c->snd_new) {
		set_long(e, c, TIMER_KEEPALIVE, e->now + limit);
		return true;
	}
	if (idle < limit) {
		set_long(e, c, TIMER_KEEPALIVE, c->last_rcv_at + limit);
		return true;
	}
	if (keepalive_failed(c, idle)) {
		tcp_send_rst(e, c);
		return give_up(e, c);
	}
	c->probes++;
	tcp_send_probe(e, c, true);
	set_long(e, c, TIMER_KEEPALIVE, e->now + keepintvl_us(e, c));
	return true;
}

static bool life_expired(struct engine *e, struct conn *c)
{
	if (c->orphan) {
		e->stats.abort_on_linger++;
		conn_closed(e, c);
		return false;
	}
	listener_child_data(e, c);
	return true;
}

static bool pace_expired(struct engine *e, struct conn *c)
{
	tcp_want_output(e, c);
	return true;
}

void timer_expired(struct engine *e, struct conn *c)
{
	static bool (*const handlers[TIMERS])(struct engine *, struct conn *) = {
	    [TIMER_LOSS] = loss_expired,	   [TIMER_RTX] = rtx_expired,	[TIMER_DELACK] = delack_expired,
	    [TIMER_KEEPALIVE] = keepalive_expired, [TIMER_LIFE] = life_expired, [TIMER_PACE] = pace_expired,
	};

	for (enum conn_timer t = 0; t < TIMERS; t++) {
		usec_t at = conn_deadline(c, t, e->now);

		if (!at || at > e->now)
			continue;
		clear(c, t);
		if (!handlers[t](e, c) || c->state == CLOSED)
			return;
	}
	for (enum conn_timer t = 0; t < TIMERS; t++)
		schedule(e, c, conn_deadline(c, t, e->now));
}
