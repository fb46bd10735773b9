/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_core_turn.c - the run loop, in time that passes by hand: what the calls of an event loop's turn send waits for the turn's
 * end, unless the program comes late too often (runtime.c), and nobody falls asleep while packets wait on the port.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/io.h"
#include "shim/runtime.h"
#include "tests/unit/core_world.h"

#define ECHO_PORT 7
#define LIMIT_S 20
#define CONNS 2
#define NEW 8
/* runtime.c: so many calls that send tell whether answers are the last. */
#define LEARN_FROM 16
/* Longer than a call waits before it looks for packets, and still in time. */
#define SOON_US 25
/* Late for the rest of the turn. */
#define LATE_US 60
/* runtime.c: two such within so many calls are too many, then for this long at first. */
#define RARELY 1024
#define DISTRUST_US 2000
#define TURN_MOST_US 1000
/* Shorter than any timer of a connection that is idle. */
#define SLEEP_US 1000

/* An event loop of several connections. */
static struct {
	int epfd, fd[CONNS];
} loop;

static int loop_start(void **state)
{
	loop.epfd = world_epoll();
	for (int i = 0; i < CONNS; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = i};

		loop.fd[i] = world_connect(ECHO_PORT);
		assert_true(loop.fd[i] >= 0);
		assert_int_equal(core->epoll_ctl(loop.epfd, EPOLL_CTL_ADD, loop.fd[i], &ev), 0);
	}
	return 0;
}

static int loop_end(void **state)
{
	for (int i = 0; i < CONNS; i++)
		world_close(loop.fd[i]);
	world_close(loop.epfd);
	return 0;
}

/* As many events as there are, without waiting. */
static int events(void)
{
	struct epoll_event ev[CONNS];

	return core->epoll_wait(loop.epfd, ev, CONNS, &(struct timespec){0}, NULL);
}

/* Something for each connection, found in one look: a turn begins. */
static void turn_begins(void)
{
	for (int i = 0; i < CONNS; i++)
		assert_int_equal(world_send(loop.fd[i], "x", 1), 1);
	/* What these have to send goes with the next look at the latest. */
	world_pass(SOON_US);
	assert_int_equal(events(), 0);
	peer_turn();
	world_pass(SOON_US);
	assert_int_equal(events(), CONNS);
}

/* The answers of a turn: how many frames have left before it ends. */
static unsigned answer_all(void)
{
	unsigned before = world_sent();
	char c;

	for (int i = 0; i < CONNS; i++) {
		assert_int_equal(world_recv(loop.fd[i], &c, 1, MSG_DONTWAIT), 1);
		assert_int_equal(world_send(loop.fd[i], "y", 1), 1);
	}
	return world_sent() - before;
}

/* The end of one, `us` after its last call: what it has sent is echoed. */
static void turn_ends(unsigned us)
{
	char echo[8];

	world_pass(us);
	assert_int_equal(events(), 0);
	peer_turn();
	world_pass(SOON_US);
	assert_int_equal(events(), CONNS);
	for (int i = 0; i < CONNS; i++)
		assert_true(world_recv(loop.fd[i], echo, sizeof(echo), MSG_DONTWAIT) > 0);
	world_pass(SOON_US);
	assert_int_equal(events(), 0);
}

/* A turn whose next call comes so late.  Were its answers held? */
static bool turn(unsigned us)
{
	bool held;

	turn_begins();
	held = answer_all() == 0;
	turn_ends(us);
	return held;
}

static void answers_leave_together_with_their_acks(void **state)
{
	unsigned before;

	turn_begins();
	before = world_sent();
	assert_int_equal(answer_all(), 0);
	world_pass(SOON_US);
	assert_int_equal(events(), 0);
	assert_int_equal(world_sent() - before, CONNS);
	turn_ends(SOON_US);
}

static void several_sends_become_one_segment(void **state)
{
	unsigned before;

	turn_begins();
	before = world_sent();
	assert_int_equal(answer_all(), 0);
	assert_int_equal(world_send(loop.fd[0], "z", 1), 1);
	world_pass(SOON_US);
	assert_int_equal(events(), 0);
	assert_int_equal(world_sent() - before, CONNS);
	turn_ends(SOON_US);
}

/* The calls of a turn hold what they have to send for ten microseconds at a time. */
static void nothing_is_held_for_long(void **state)
{
	unsigned before;
	char c;

	turn_begins();
	before = world_sent();
	assert_int_equal(answer_all(), 0);
	world_pass(11);
	assert_int_equal(world_recv(loop.fd[0], &c, 1, MSG_DONTWAIT), -EAGAIN);
	assert_int_equal(world_sent() - before, CONNS);
	turn_ends(SOON_US);
}

/* A turn that is used up at the call that finds news begins anew; the ACKs that it leaves have waited already. */
static void acks_wait_for_one_turn(void **state)
{
	struct turn *turn = &rt.stacks[0]->turn;
	/* On a new connection an ACK goes at once, if nothing is about to carry it. */
	int fresh = world_connect(ECHO_PORT), other = world_connect(ECHO_PORT), on = 1;
	struct epoll_event ev = {.events = EPOLLIN};
	struct fdref r = world_ref(other);
	unsigned before;
	char echo[64];
	usec_t began;

	assert_int_equal(core->setsockopt(&r, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	assert_int_equal(core->epoll_ctl(loop.epfd, EPOLL_CTL_ADD, fresh, &ev), 0);
	assert_int_equal(world_send(fresh, "x", 1), 1);
	peer_turn();
	world_pass(SOON_US);
	began = io_now();
	assert_int_equal(events(), 1);
	while (turn->calls > 1)
		assert_int_equal(world_send(other, "y", 1), 1);
	peer_turn();
	world_pass(SOON_US);
	assert_true(world_recv(other, echo, sizeof(echo), MSG_DONTWAIT) > 0);
	assert_true(turn->calls > 1);
	world_pass((unsigned)(began + TURN_MOST_US - io_now()));
	before = world_sent();
	assert_int_equal(world_send(other, "y", 1), 1);
	/* The data, and the ACK of what was found first. */
	assert_int_equal(world_sent() - before, 2);
	world_close(fresh);
	world_close(other);
}

/* As on Linux's loopback: what is sent to a socket of the same process is there when the call returns. */
static void to_ourselves_at_once(void **state)
{
	int listener = world_listen(80), to, from, n;
	struct fdref r = world_ref(listener);

	to = world_connect_to(OUR_ADDR, 80);
	assert_true(to >= 0);
	from = core->accept(&r, NULL, NULL, ACCEPT_NOW);
	assert_true(from >= 0);
	turn_begins();
	for (int i = 0; i < 2; i++) {
		r = world_ref(i ? to : from);
		assert_int_equal(world_send(i ? from : to, "x", 1), 1);
		assert_int_equal(core->ioctl(&r, FIONREAD, &n), 0);
		assert_int_equal(n, 1);
	}
	world_close(to);
	world_close(from);
	world_close(listener);
	world_pass(SOON_US);
	assert_int_equal(events(), CONNS);
	assert_int_not_equal(answer_all(), -1);
	turn_ends(SOON_US);
	/* They are gone: data waits again. */
	assert_true(turn(SOON_US));
}

static void one_event_is_no_turn(void **state)
{
	unsigned before;
	char c;

	assert_int_equal(world_send(loop.fd[0], "x", 1), 1);
	for (int i = 0; i < 2; i++) {
		peer_turn();
		world_pass(SOON_US);
		assert_int_equal(events(), 1);
		assert_int_equal(world_recv(loop.fd[0], &c, 1, MSG_DONTWAIT), 1);
		before = world_sent();
		if (i == 0) {
			assert_int_equal(world_send(loop.fd[0], "y", 1), 1);
			assert_int_equal(world_sent() - before, 1);
		}
	}
	assert_int_equal(events(), 0);
}

/* Found in one look, but with no event of their own before accept(): answer and FIN of each leave as one segment all the same. */
static void waiting_connections_are_news(void **state)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int listener = world_listen(80), fd;
	struct fdref r = world_ref(listener);
	unsigned before;
	char c;

	assert_int_equal(core->epoll_ctl(loop.epfd, EPOLL_CTL_ADD, listener, &ev), 0);
	for (int i = 0; i < NEW; i++)
		peer_connect_and_send(80, 1);
	peer_turn();
	world_pass(SOON_US);
	assert_int_equal(events(), 0);
	peer_turn();
	world_pass(SOON_US);
	assert_int_equal(events(), 1);
	before = world_sent();
	for (int i = 0; i < NEW; i++) {
		fd = core->accept(&r, NULL, NULL, ACCEPT_NOW);
		assert_true(fd >= 0);
		assert_int_equal(world_recv(fd, &c, 1, MSG_DONTWAIT), 1);
		assert_int_equal(world_send(fd, "y", 1), 1);
		world_close(fd);
	}
	assert_int_equal(world_sent() - before, 0);
	world_pass(SOON_US);
	assert_int_equal(events(), 0);
	assert_int_equal(world_sent() - before, NEW);
	world_close(listener);
}

/* A connection whose news are a turn of their own.  Its descriptor. */
static int lone_request(void)
{
	struct epoll_event ev = {.events = EPOLLIN};
	int fd = world_connect(ECHO_PORT);
	char c;

	assert_int_equal(core->epoll_ctl(loop.epfd, EPOLL_CTL_ADD, fd, &ev), 0);
	assert_int_equal(world_send(fd, "x", 1), 1);
	world_pass(SOON_US);
	assert_int_equal(events(), 0);
	peer_turn();
	world_pass(SOON_US);
	assert_int_equal(events(), 1);
	assert_int_equal(world_recv(fd, &c, 1, MSG_DONTWAIT), 1);
	return fd;
}

/* Frames of a part of an answer. */
static unsigned say(int fd)
{
	unsigned before = world_sent();

	assert_int_equal(world_send(fd, "y", 1), 1);
	return world_sent() - before;
}

static unsigned hang_up(int fd)
{
	unsigned before = world_sent();

	world_close(fd);
	return world_sent() - before;
}

/* Turns of connections that stay. */
static void nobody_hangs_up(void)
{
	for (int i = 0; i < 2 * LEARN_FROM / CONNS; i++)
		assert_true(turn(SOON_US));
}

/* Where answers end their connections, also one in a turn of its own waits for its FIN; for a few microseconds, and for no other
 * call. */
static void a_last_answer_waits_for_its_end(void **state)
{
	unsigned before;
	char c;
	int fd;

	nobody_hangs_up();
	for (int i = 0; i < LEARN_FROM; i++) {
		fd = lone_request();
		if (say(fd) == 0)
			assert_true(i >= LEARN_FROM / 4);
		assert_int_equal(hang_up(fd), 1);
	}
	fd = lone_request();
	assert_int_equal(say(fd), 0);
	world_pass(5);
	assert_int_equal(say(fd), 0);
	assert_int_equal(hang_up(fd), 1);

	fd = lone_request();
	assert_int_equal(say(fd), 0);
	world_pass(11);
	assert_int_equal(say(fd), 1);
	assert_int_equal(hang_up(fd), 1);

	fd = lone_request();
	assert_int_equal(say(fd), 0);
	before = world_sent();
	assert_true(world_recv(fd, &c, 1, MSG_DONTWAIT) <= 0);
	assert_int_equal(world_sent() - before, 1);
	assert_int_equal(hang_up(fd), 1);
	nobody_hangs_up();
	one_event_is_no_turn(state);
}

/* Turns that go well, until what went badly is forgotten. */
static void go_well(unsigned calls)
{
	for (unsigned i = 0; i < calls; i++)
		turn(SOON_US);
}

/* After a close that came late it takes eight times as many of them. */
static void a_late_end_is_long_remembered(void **state)
{
	unsigned at_once = 0;
	int fd;

	for (bool held = false; !held; hang_up(fd)) {
		fd = lone_request();
		held = !say(fd);
	}
	fd = lone_request();
	assert_int_equal(say(fd), 0);
	world_pass(LATE_US);
	hang_up(fd);
	for (bool held = false; !held; hang_up(fd)) {
		fd = lone_request();
		held = !say(fd);
		at_once++;
	}
	/* Each sent twice, what it asked and what it answered. */
	assert_in_range(at_once, 7 * LEARN_FROM / 2, 9 * LEARN_FROM / 2);
	nobody_hangs_up();
	go_well(2 * RARELY);
}

static void late_once_is_forgiven(void **state)
{
	assert_true(turn(LATE_US));
	assert_true(turn(SOON_US));
	go_well(RARELY);
	assert_true(turn(LATE_US));
	assert_true(turn(SOON_US));
	go_well(RARELY);
}

static void late_again_soon_is_not_trusted_for_a_while(void **state)
{
	uint64_t late;

	assert_true(turn(LATE_US));
	turn_begins();
	assert_int_equal(answer_all(), 0);
	world_pass(LATE_US);
	assert_int_equal(events(), 0);
	late = io_now();
	turn_ends(SOON_US);
	assert_false(turn(SOON_US));
	while (io_now() + 100 < late + DISTRUST_US)
		assert_false(turn(SOON_US));
	world_pass(400);
	assert_int_equal(events(), 0);
	assert_true(turn(SOON_US));
	go_well(2 * RARELY);
}

/* However often it was late: the turns that went well since count. */
static void lateness_is_forgotten(void **state)
{
	for (int i = 0; i < 20; i++) {
		turn(LATE_US);
		/* The distrust grows: longer than the longest. */
		world_pass(5100000);
		assert_int_equal(events(), 0);
	}
	go_well(2 * RARELY);
	assert_true(turn(LATE_US));
	assert_true(turn(SOON_US));
	go_well(RARELY);
}

/*
 * More than one look takes in, and no frame behind it that would ring: who sleeps by an interrupt must look again soon.  The
 * calls before the sleep look as well.
 */
static void nobody_sleeps_on_frames(void **state)
{
	uint64_t before;
	char c;

	assert_int_equal(world_send(loop.fd[0], "x", 1), 1);
	peer_noise(900);
	peer_turn();
	before = io_now();
	assert_int_equal(world_recv(loop.fd[0], &c, 1, 0), 1);
	assert_true(io_now() - before < 1000);
}

/* Another thread, asleep for all until an interrupt or for long, or NULL: none. */
static void watch_by(struct thread *t)
{
	if (t)
		atomic_store(&t->sleeping, 1);
	atomic_store(&rt.shared->watcher, t);
	atomic_store(&rt.shared->watch_until, t ? io_now() + SLEEP_US : 0);
}

/* No record of a thread that lives. */
static struct thread watcher = {.obj.index = THREADS_MAX - 1};

/* A call's look takes the interrupt with the first of many frames: the watcher is told to see to the rest. */
static void frames_left_behind_are_the_watchers(void **state)
{
	char c;

	peer_noise(2 * rt.rx_turn - 1);
	for (int looks = 2; looks > 0; looks--) {
		watch_by(&watcher);
		world_pass(SOON_US);
		assert_int_equal(world_recv(loop.fd[0], &c, 1, MSG_DONTWAIT), -EAGAIN);
		assert_int_equal(atomic_load(&watcher.sleeping), looks == 1);
	}
	watch_by(NULL);
}

/* Frames wait for a dear doorbell only while somebody comes by who rings it. */
static void doorbell_rings_beside_a_watcher(void **state)
{
	enum io_doorbell before = rt.info.doorbell;
	unsigned sent;

	rt.info.doorbell = IO_DOORBELL_SYSCALL;
	for (int watched = 0; watched < 2; watched++) {
		watch_by(watched ? &watcher : NULL);
		assert_int_equal(world_send(loop.fd[0], "x", 1), 1);
		sent = world_sent();
		assert_int_equal(world_send(loop.fd[1], "x", 1), 1);
		assert_int_equal(world_sent() - sent, watched);
		watch_by(NULL);
		turn_ends(SOON_US);
	}
	rt.info.doorbell = before;
}

static int run_in_world(enum world_wait wait)
{
	const struct CMUnitTest turns[] = {
	    cmocka_unit_test(answers_leave_together_with_their_acks),
	    cmocka_unit_test(several_sends_become_one_segment),
	    cmocka_unit_test(nothing_is_held_for_long),
	    cmocka_unit_test(one_event_is_no_turn),
	    cmocka_unit_test(acks_wait_for_one_turn),
	    cmocka_unit_test(to_ourselves_at_once),
	    cmocka_unit_test(waiting_connections_are_news),
	    cmocka_unit_test(a_last_answer_waits_for_its_end),
	    cmocka_unit_test(a_late_end_is_long_remembered),
	    cmocka_unit_test(late_once_is_forgiven),
	    cmocka_unit_test(late_again_soon_is_not_trusted_for_a_while),
	    cmocka_unit_test(lateness_is_forgotten),
	};
	const struct CMUnitTest rests[] = {
	    cmocka_unit_test(nobody_sleeps_on_frames),
	    cmocka_unit_test(frames_left_behind_are_the_watchers),
	    cmocka_unit_test(doorbell_rings_beside_a_watcher),
	};

	alarm(LIMIT_S);
	world_by_hand();
	world_start(wait, 0);
	peer_echo(ECHO_PORT);
	if (wait == WORLD_NAPS)
		return cmocka_run_group_tests_name("turns of an event loop", turns, loop_start, loop_end);
	return cmocka_run_group_tests_name(wait == WORLD_INTERRUPTS ? "sleep by interrupts" : "sleep by weak interrupts", rests,
					   loop_start, loop_end);
}

int main(void)
{
	return world_each_wait(run_in_world);
}
