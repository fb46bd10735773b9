/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * runtime.c - driving a stack: frames from the port into the engine, time, frames from the engine to the port, events to the
 * waiters.
 */
#include "shim/runtime.h"
#include "shim/sock.h"

#include <linux/futex.h>
#include <sys/syscall.h>

#include <rte_mbuf.h>
#include <rte_ring.h>

/* Bursts taken in one go while the port has more: bounds the time under the lock. */
/* A doorbell that costs a system call is not rung more often than this unless a full burst waits. */
#define DOORBELL_US 20
#define LINK_CHECK_US 1000
/* Without a link for this long, the user is told once what is missing. */
#define LINK_SAY_US 500000
/* Rounds of packets to ourselves in one call. */
#define LOOP_TURNS 64
#define FOREIGN_BURST 32
/* Turns: see there. */
#define TURN_EVENTS 2
#define TURN_CALLS 8
#define TURN_MOST_US 1000
#define TURN_LATE_US 50
/* An answer is likely to be the last where one in so many calls that send, of so many, was followed by a close. */
#define LASTS_SHARE 4
#define LEARN_FROM 16u
/* Of eight times as many, up to so often, after one whose close was late; of half as many with each time that it was not. */
#define DOUBT_MORE 3
#define DOUBT_MOST 12
/* Late less often than once in so many calls: another process or another virtual machine had the core, not the program. */
#define LATE_RARELY 1024
#define LATE_MOST (2 * LATE_RARELY)
#define DISTRUST_LEAST_US 2000
#define DISTRUST_MOST_US 5000000
#define DISTRUST_DECAY 64

struct runtime rt;

/* ---- turns of an event loop -------------------------------------------------------------------------------------------------
 */

/* Call after call is about to come, for each of the events. */
static void turn_prolong(struct stack *st, unsigned events, usec_t now)
{
	if (events && !st->turn.calls) {
		/* What the turn before has left waiting was to wait no longer than that. */
		if (!engine_has_output(st->engine))
			st->turn.ends = now + TURN_MOST_US;
		st->turn.holds = false;
	}
	st->turn.calls += events * TURN_CALLS;
}

/* Do answers end their connections?  By how often users close, against how often they send. */
static void turn_learn(struct turn *t, struct engine_spoken now)
{
	uint32_t sent = now.data - t->learned.data;

	if (sent < LEARN_FROM << t->doubt)
		return;
	t->doubt -= t->doubt > 0;
	t->lasts = (now.fins - t->learned.fins) >= sent / LASTS_SHARE;
	t->learned = now;
}

/*
 * A drive that brings news begins a turn of somebody's event loop: the program is about to make call after call.  Until it comes
 * to wait again, or the turn has lasted too long, ACKs that need not go at once wait for the data that it is likely to send. With
 * news of several sockets what its calls have to send waits as well, for a few microseconds at a time, so that an answer and the
 * end of the connection become one segment, and what several connections have to say one burst.  With news of one socket alone
 * it waits only where the turns before closed what they had answered: a FIN that comes behind its data lets the peer close
 * first, who then keeps the TIME-WAIT, and at 28,232 of them can't connect any more.  The next drive sends what is left.
 *
 * A program that computes between its calls would hold up its own answers: then the helper sends them within two of its ticks
 * (helper.c), and the data of a program that does so more than rarely does not wait for a while, which grows with each time that
 * it disappoints.  The peer waits for no ACK.  Data for a socket of the same engine never waits: as on Linux's loopback it is
 * there when the call returns.
 */
static void turn_begin(struct stack *st, unsigned events, usec_t now)
{
	if (!events)
		return;
	st->turn.calls = events * TURN_CALLS;
	turn_learn(&st->turn, engine_spoken(st->engine));
	st->turn.lone = events < TURN_EVENTS;
	st->turn.holds = (!st->turn.lone || st->turn.lasts) && now >= st->turn.trust_at;
	st->turn.until = now + TURN_US;
	st->turn.ends = now + TURN_MOST_US;
}

/* The caller of a call of this turn will be back soon. */
static bool turn_goes_on(struct stack *st, usec_t now)
{
	if (__builtin_expect(!st->turn.calls, 1) || now >= st->turn.ends || engine_next_deadline(st->engine) <= now)
		return false;
	/* Who sleeps for all would have to be woken. */
	if (atomic_load_explicit(&rt.shared->watcher, memory_order_relaxed))
		return false;
	st->turn.calls--;
	return true;
}

/* A lone answer waited for a close that took its time: there is nobody else for whom that would pay off. */
static void turn_doubt(struct turn *t)
{
	t->lasts = false;
	t->doubt = t->doubt + DOUBT_MORE < DOUBT_MOST ? t->doubt + DOUBT_MORE : DOUBT_MOST;
}

/* Entered again after so long, with something held. */
static void turn_judge(struct turn *t, usec_t now, usec_t away)
{
	if (away <= TURN_LATE_US) {
		t->distrust -= t->distrust / DISTRUST_DECAY;
		t->late -= t->late > 0;
		return;
	}
	if (t->holds && t->lone)
		turn_doubt(t);
	t->holds = false;
	t->late += LATE_RARELY;
	if (t->late <= LATE_RARELY)
		return;
	/* However often it was: so many calls later it is forgotten. */
	if (t->late > LATE_MOST)
		t->late = LATE_MOST;
	t->distrust *= 2;
	if (t->distrust < DISTRUST_LEAST_US)
		t->distrust = DISTRUST_LEAST_US;
	if (t->distrust > DISTRUST_MOST_US)
		t->distrust = DISTRUST_MOST_US;
	t->trust_at = now + t->distrust;
}

/* ---- in and out of a stack ---------------------------------------------------------------------------------------------------
 */

bool stack_outlasts(struct stack *st)
{
	while (atomic_load(&rt.gone)) {
		lock_drop(&st->lock);
		if (atomic_load(&rt.execing))
			rt.real->syscall(SYS_futex, &rt.execing, FUTEX_WAIT, 1, NULL, NULL, 0);
		else if (atomic_load(&rt.gone))
			return false;
		lock_take(&st->lock);
	}
	return true;
}

void stack_take_up(struct stack *st, bool torn, usec_t away)
{
	if (st->turn.held)
		turn_judge(&st->turn, st->now, away);
	if (torn)
		stack_renew(st, st->now);
}

bool stack_enter(struct stack *st, usec_t *now)
{
	return stack_enter_fast(st, now);
}

void stacks_recover(void)
{
	usec_t now;

	for (unsigned i = 0; i < rt.nstacks; i++) {
		uint32_t owner = lock_owner(&rt.stacks[i]->lock);

		if (owner && family_is_gone(owner) && stack_enter(rt.stacks[i], &now))
			stack_leave(rt.stacks[i], now);
	}
}

void stacks_abandon(void)
{
	atomic_store(&rt.gone, true);
	for (unsigned i = 0; i < rt.nstacks; i++) {
		lock_take(&rt.stacks[i]->lock);
		lock_drop(&rt.stacks[i]->lock);
	}
}

void stacks_suspend(void)
{
	atomic_store(&rt.execing, 1);
	atomic_store(&rt.gone, true);
	for (unsigned i = 0; i < rt.nstacks; i++) {
		/* A signal handler that interrupted a call of the core. */
		if (lock_mine(&rt.stacks[i]->lock))
			continue;
		lock_take(&rt.stacks[i]->lock);
		lock_drop(&rt.stacks[i]->lock);
	}
}

void stacks_resume(void)
{
	atomic_store(&rt.gone, false);
	atomic_store(&rt.execing, 0);
	rt.real->syscall(SYS_futex, &rt.execing, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Frames to the port; what it refuses stays for the next time. */
static void transmit(struct stack *st, usec_t now)
{
	unsigned sent = port_tx(rt.port, st->id, st->tx, st->ntx);

	/* From its end: a dear one takes as long as frames would wait for the next. */
	st->last_ring = rt.info.doorbell == IO_DOORBELL_CHEAP ? now : io_now();
	/* Nobody at the other end: as on a cable that is out, frames are lost and TCP's timers see to the rest. */
	if (!st->link_up && sent < st->ntx) {
		rte_pktmbuf_free_bulk(st->tx + sent, st->ntx - sent);
		sent = st->ntx;
	}
	st->ntx -= sent;
	for (unsigned i = 0; sent && i < st->ntx; i++)
		st->tx[i] = st->tx[i + sent];
}

/* What an engine says is to be sent: engine_output() or engine_output_pressing(). */
typedef unsigned (*fetch_fn)(struct engine *, struct rte_mbuf **, unsigned, usec_t);

/* May frames wait for more, so that one ring of a dear doorbell does for all?  Not if nobody comes by who would ring. */
static bool may_wait(const struct stack *st, usec_t now)
{
	return rt.info.doorbell != IO_DOORBELL_CHEAP && st->ntx < RX_BURST && (int64_t)(now - st->last_ring) < DOORBELL_US &&
	       !atomic_load_explicit(&rt.shared->watcher, memory_order_relaxed);
}

/* Fetch it, and give it to the port now or later. */
static void output(struct stack *st, usec_t now, bool ring, fetch_fn fetch)
{
	unsigned room, n;

	do {
		room = TX_PENDING - st->ntx;
		n = room ? fetch(st->engine, st->tx + st->ntx, room, now) : 0;
		st->ntx += n;
		if (!st->ntx)
			return;
		if (!ring && may_wait(st, now))
			return;
		transmit(st, now);
	} while (n == room && st->ntx < TX_PENDING);
}

void stack_flush(struct stack *st, usec_t now)
{
	output(st, now, true, engine_output);
}

void stack_settle(struct stack *st, usec_t now)
{
	if (st->ntx || engine_has_output(st->engine))
		output(st, now, false, engine_output);
	st->turn.held = false;
}

/* Frames that other queues received for this stack. */
static void take_over(struct stack *st, usec_t now)
{
	struct rte_mbuf *pkts[FOREIGN_BURST];
	unsigned n;

	if (!st->handed_over)
		return;
	n = rte_ring_dequeue_burst(st->handed_over, (void **)pkts, FOREIGN_BURST, NULL);
	if (n)
		engine_input(st->engine, pkts, n, now);
}

/* Frames that this queue received for other stacks. */
static void hand_over(struct stack *st)
{
	struct rte_mbuf *pkts[FOREIGN_BURST];
	uint8_t owner[FOREIGN_BURST];
	unsigned n;

	if (!st->handed_over)
		return;
	while ((n = engine_foreign(st->engine, pkts, owner, FOREIGN_BURST)))
		for (unsigned i = 0; i < n; i++)
			if (rte_ring_enqueue(rt.stacks[owner[i]]->handed_over, pkts[i]))
				rte_pktmbuf_free(pkts[i]);
}

static void check_link(struct stack *st, usec_t now)
{
	bool up;

	if (now - st->link_checked < LINK_CHECK_US)
		return;
	st->link_checked = now;
	up = port_link_up(rt.port);
	if (up != st->link_up) {
		st->link_changed = now;
		rt.thin->log(LOG_LEVEL_DEBUG, "stack %u: link %s", st->id, up ? "up" : "down");
	}
	if (up && !st->link_up)
		engine_announce(st->engine, now);
	st->link_up = up;
	if (!up && rt.shared->link_wanted && !rt.shared->link_said && now - st->link_changed > LINK_SAY_US) {
		rt.shared->link_said = true;
		rt.thin->log(LOG_LEVEL_WARN, "%s", port_link_text(rt.port));
	}
}

unsigned stack_notify(struct stack *st)
{
	struct conn *c;
	uint32_t edges;
	unsigned n = 0;

	while ((c = engine_next_event(st->engine, &edges))) {
		struct sock *s = (struct sock *)(uintptr_t)engine_user(c);
		unsigned waiting = s ? engine_unaccepted(c) : 0;

		if (s)
			pollable_tell(&s->poll, &(struct news){edges, waiting ? waiting : 1, (int)st->id});
		/* Who waits for accept() has no news of its own until then. */
		n += 1 + waiting;
	}
	return n;
}

unsigned stack_drive(struct stack *st, usec_t now)
{
	struct rte_mbuf *pkts[RX_BURST];
	unsigned n, total = 0;

	check_link(st, now);
	do {
		n = port_rx(rt.port, st->id, pkts, rt.rx_burst);
		if (n)
			engine_input(st->engine, pkts, n, now);
		total += n;
	} while (n == rt.rx_burst && total < rt.rx_turn);
	st->behind = total >= rt.rx_turn;
	if (total)
		atomic_fetch_add_explicit(&st->frames, total, memory_order_relaxed);
	take_over(st, now);
	hand_over(st);
	if (now >= engine_next_deadline(st->engine))
		engine_run(st->engine, now);
	atomic_store_explicit(&st->last_drive, now, memory_order_relaxed);
	return total;
}

/* Send.  What goes to ourselves arrives before the call returns, as on Linux's loopback; so do the answers. When to wake next. */
static usec_t send_all(struct stack *st, usec_t now, fetch_fn fetch)
{
	usec_t deadline;

	for (unsigned turn = 0;; turn++) {
		if (st->ntx || engine_has_output(st->engine))
			output(st, now, false, fetch);
		deadline = engine_next_deadline(st->engine);
		if (deadline > now || turn == LOOP_TURNS)
			return deadline;
		engine_run(st->engine, now);
	}
}

/*
 * Has what is held waited long enough?  Where an answer is likely to be the last, not right after a call that sent: the next one
 * may close the connection.
 */
static bool turn_is_due(struct stack *st, usec_t now)
{
	struct turn *t = &st->turn;
	uint32_t before = t->sent;

	t->sent = engine_spoken(st->engine).data;
	if (!t->lasts)
		return now >= t->until;
	if (!t->held && t->lone)
		t->until = now;
	return now >= t->until + (t->sent != before ? TURN_US : 0);
}

/* What a call has to send goes, or waits for the next one.  When to wake next. */
static usec_t finish_call(struct stack *st, usec_t now)
{
	usec_t deadline;

	if (!turn_goes_on(st, now)) {
		st->turn.calls = 0;
		st->turn.held = false;
		return send_all(st, now, engine_output);
	}
	if (!st->turn.holds || turn_is_due(st, now) || engine_has_own_peers(st->engine)) {
		deadline = send_all(st, now, engine_output_pressing);
		st->turn.until = now + TURN_US;
	} else {
		deadline = engine_next_deadline(st->engine);
	}
	st->turn.held = st->ntx || engine_output_presses(st->engine);
	return engine_has_output(st->engine) && deadline > st->turn.ends ? st->turn.ends : deadline;
}

usec_t stack_finish(struct stack *st, usec_t now)
{
	usec_t deadline = finish_call(st, now);

	/*
	 * Those that a call found, which looked for packets in passing.  ACKs may wait for what the program does about them; data
	 * may not, or two busy ends would each collect what the other one waits for, and take turns at sleeping.
	 */
	turn_prolong(st, stack_notify(st), now);
	/* Who sleeps for all would sleep on: what rang for these frames is gone. */
	return st->behind ? now : deadline;
}

void stack_wake(usec_t deadline)
{
	struct thread *w;

	thread_flush_wakes(thread_self());
	/* Whoever sleeps for all of us must not sleep past this. */
	if (deadline < atomic_load(&rt.shared->watch_until)) {
		w = atomic_load(&rt.shared->watcher);
		if (w)
			thread_wake(w);
	}
	helper_poke(deadline);
}

void stack_leave(struct stack *st, usec_t now)
{
	stack_leave_fast(st, now);
}

/* True if its queue was found empty. */
static bool try_drive(struct stack *st, bool ring, usec_t clock)
{
	unsigned got;
	usec_t now;

	if (!lock_try(&st->lock) || !stack_entered(st, clock, &now))
		return false;
	atomic_store_explicit(&st->driver, lock_tid(), memory_order_relaxed);
	st->turn.calls = 0;
	stack_settle(st, now);
	got = stack_drive(st, now);
	/* Nothing came, so nothing is about to join the frames that wait for the doorbell: they would only be late. */
	if (ring || (!got && st->ntx))
		stack_flush(st, now);
	if (!ring && got)
		turn_begin(st, stack_notify(st), now);
	stack_leave(st, now);
	return got < rt.rx_turn;
}

/* Whose turn is it?  A thread's own stack is its own; another one's only if its threads have left it to us. */
static bool is_ours(struct stack *st, usec_t now)
{
	return st->id == thread_self()->home || stack_stale(st, now, DRIVE_STALE_US) ||
	       atomic_load_explicit(&st->driver, memory_order_relaxed) == lock_tid();
}

/* before_sleep: all of them, as nobody else may be there to look. */
static bool drive_several(bool before_sleep)
{
	bool empty = true;
	usec_t now = io_now();

	/* Each thread begins at its own: those of several keep out of each other's way. */
	unsigned at = thread_self()->home;

	for (unsigned i = 0; i < rt.nstacks; i++, at++) {
		if (at >= rt.nstacks)
			at = 0;
		if (before_sleep || is_ours(rt.stacks[at], now))
			empty &= try_drive(rt.stacks[at], before_sleep, now = io_now());
	}
	/* A stack may have received frames for another one, whose threads sleep. */
	for (unsigned i = 0; i < rt.nstacks; i++)
		if (!rte_ring_empty(rt.stacks[i]->handed_over)) {
			try_drive(rt.stacks[i], before_sleep, io_now());
			empty &= rte_ring_empty(rt.stacks[i]->handed_over);
		}
	return empty;
}

bool stacks_drive(bool ring, usec_t now)
{
	return rt.nstacks == 1 ? try_drive(rt.stacks[0], ring, now) : drive_several(ring);
}

bool stacks_stale(usec_t now, usec_t us)
{
	for (unsigned i = 0; i < rt.nstacks; i++)
		if (stack_stale(rt.stacks[i], now, us))
			return true;
	return false;
}

void **stacks_copying(void)
{
	for (unsigned i = 0; rt_up() && i < rt.nstacks; i++)
		if (lock_mine(&rt.stacks[i]->lock) && engine_copying(rt.stacks[i]->engine))
			return rt.stacks[i]->trap;
	return NULL;
}

uint64_t stacks_frames(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < rt.nstacks; i++)
		sum += atomic_load_explicit(&rt.stacks[i]->frames, memory_order_relaxed);
	return sum;
}

usec_t stacks_deadline(void)
{
	usec_t first = USEC_NEVER, d;

	for (unsigned i = 0; i < rt.nstacks; i++) {
		d = atomic_load(&rt.stacks[i]->deadline);
		if (d < first)
			first = d;
	}
	return first;
}

bool watch_take(struct thread *t)
{
	struct thread *nobody = NULL;

	return atomic_compare_exchange_strong(&rt.shared->watcher, &nobody, t) || nobody == t;
}

void watch_drop(struct thread *t)
{
	atomic_store(&rt.shared->watch_until, 0);
	atomic_exchange(&rt.shared->watcher, NULL);
	helper_poke(io_now());
}
