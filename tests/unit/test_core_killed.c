/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_core_killed.c - what a process that is killed leaves to its family: a child is stepped through a call, and killed after
 * each instruction that changed what both share.  Whatever it was about, its parent's set tells of every member afterwards, and
 * can be changed and closed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/epoll.h"
#include "tests/unit/core_step.h"
#include "tests/unit/core_world.h"

#define ECHO_PORT 7
#define LIMIT_S 100
#define SOCKS 3
/* Instructions of one call that change something. */
#define STATES_MAX 400

static struct {
	int epfd, fd[SOCKS];
} shared;

/* The set, its members and what they watch, as far as the child's calls change it. */
struct state {
	struct epset set;
	struct sock sock[SOCKS];
	char members[8][sizeof(struct member)];
	struct proc procs[8];
	unsigned nprocs;
};

static void state_take(void *at)
{
	struct state *s = at;

	memcpy(&s->set, world_ref(shared.epfd).obj, sizeof(s->set));
	for (int i = 0; i < SOCKS; i++)
		memcpy(&s->sock[i], world_ref(shared.fd[i]).obj, sizeof(s->sock[i]));
	for (unsigned i = 0; i < sizeof(s->members) / sizeof(s->members[0]) && i < arena_count(SLAB_MEMBER); i++)
		memcpy(s->members[i], arena_at(SLAB_MEMBER, i), sizeof(s->members[i]));
	memcpy(s->procs, rt.shared->procs, sizeof(s->procs));
	s->nprocs = rt.shared->nprocs;
}

static int ctl(int op, int i)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = i};

	return core->epoll_ctl(shared.epfd, op, shared.fd[i], &ev);
}

/* Which members have something, by bits. */
static unsigned ready(void)
{
	struct epoll_event ev[2 * SOCKS];
	unsigned bits = 0;
	int n;

	world_pass(100);
	n = core->epoll_wait(shared.epfd, ev, 2 * SOCKS, &(struct timespec){0}, NULL);
	assert_in_range(n, 0, SOCKS);
	for (int i = 0; i < n; i++)
		bits |= 1u << ev[i].data.fd;
	return bits;
}

static void call_add(void)
{
	ctl(EPOLL_CTL_ADD, 0);
}

static void call_nothing(void)
{
}

static void die(void)
{
	step_kill(step_begin(call_nothing));
}

/* Two members with something to read, of which call_add() puts the first in, and one with nothing. */
static void set_up(void (*call)(void))
{
	shared.epfd = world_epoll();
	for (int i = 0; i < SOCKS; i++) {
		shared.fd[i] = world_connect(ECHO_PORT);
		if (i > 0 || call != call_add)
			assert_int_equal(ctl(EPOLL_CTL_ADD, i), 0);
		if (i < SOCKS - 1)
			assert_int_equal(world_send(shared.fd[i], "x", 1), 1);
	}
	peer_turn();
	assert_int_equal(ready(), call == call_add ? 2 : 3);
	if (call == family_bury_dead)
		die();
}

static void tear_down(void)
{
	for (int i = 0; i < SOCKS; i++)
		world_close(shared.fd[i]);
	world_close(shared.epfd);
}

/* When the call has left something that was not there before. */
static struct {
	unsigned n;
	struct moment at[STATES_MAX];
} moments;

static void note(const struct moment *m, const void *state)
{
	assert_true(moments.n < STATES_MAX);
	moments.at[moments.n] = *m;
	step_keep(&moments.at[moments.n++]);
}

static void find_moments(void (*call)(void))
{
	static const struct step_view view = {state_take, sizeof(struct state)};
	pid_t child;

	set_up(call);
	child = step_begin(call);
	moments.n = 0;
	step_changes(child, &view, note);
	step_kill(child);
	family_bury_dead();
	tear_down();
	assert_true(moments.n > 0);
}

/* All members are there, or can be put in again; those with something to read tell, then the third. */
static void check(void)
{
	for (int i = 0; i < SOCKS; i++) {
		int rc = ctl(EPOLL_CTL_ADD, i);

		assert_true(rc == 0 || rc == -EEXIST);
	}
	assert_int_equal(ready(), 3);
	assert_int_equal(world_send(shared.fd[SOCKS - 1], "x", 1), 1);
	peer_turn();
	assert_int_equal(ready(), 7);
	for (int i = 0; i < SOCKS; i++) {
		assert_int_equal(ctl(EPOLL_CTL_DEL, i), 0);
		assert_int_equal(ready(), 7 & ~((2u << i) - 1));
	}
}

/* Nothing is held any more for those that died. */
static void check_buried(void)
{
	assert_false(family_is_many());
	assert_int_equal(hold_processes(world_ref(shared.epfd).obj), 1);
	for (int i = 0; i < SOCKS; i++)
		assert_int_equal(hold_processes(world_ref(shared.fd[i]).obj), 1);
}

static void killed_in(void (*call)(void))
{
	find_moments(call);
	for (unsigned i = 0; i < moments.n; i++) {
		pid_t child;

		set_up(call);
		child = step_begin(call);
		step_to(child, &moments.at[i]);
		step_kill(child);
		/* Buried before its parent comes, or after. */
		if (i % 2)
			family_bury_dead();
		check();
		family_bury_dead();
		check_buried();
		tear_down();
	}
}

static void call_tell(void)
{
	struct sock *s = world_ref(shared.fd[SOCKS - 1]).obj;

	pollable_notify(&s->poll, EPOLLIN);
}

/* One event at a time, beside a member that turns out to have nothing. */
static void call_wait(void)
{
	struct epoll_event ev;

	call_tell();
	for (int i = 0; i < SOCKS; i++)
		core->epoll_wait(shared.epfd, &ev, 1, &(struct timespec){0}, NULL);
}

static void call_change(void)
{
	ctl(EPOLL_CTL_MOD, 0);
}

static void call_remove(void)
{
	ctl(EPOLL_CTL_DEL, 0);
}

static void killed_in_epoll_wait(void **state)
{
	killed_in(call_wait);
}

static void killed_in_epoll_ctl(void **state)
{
	killed_in(call_add);
	killed_in(call_change);
	killed_in(call_remove);
}

/* Who buries another one: the next goes on with both. */
static void killed_as_it_buries(void **state)
{
	killed_in(family_bury_dead);
}

static void killed_in_an_event(void **state)
{
	killed_in(call_tell);
}

/*
 * A process was killed as it let go of a socket's last hold, and another one inside the stack: the one that buries the socket
 * must not close what is in the place of its connection now.
 */
static void buried_behind_a_renewal(void **state)
{
	int fd = world_connect(ECHO_PORT), other;
	struct fdref r = world_ref(fd);
	usec_t now;
	char c;

	world_forget(fd);
	assert_int_equal(hold_none(r.obj), HOLD_NOBODY);
	assert_true(stack_enter(rt.stacks[0], &now));
	stack_renew(rt.stacks[0], now);
	stack_leave(rt.stacks[0], now);
	other = world_connect(ECHO_PORT);
	sock_bury(r.obj);
	assert_int_equal(world_send(other, "x", 1), 1);
	assert_int_equal(world_recv(other, &c, 1, 0), 1);
	world_close(other);
	close(fd);
}

/* It has inherited, and has not said that it lives: what it holds is let go when it is dead, and not before. */
static void killed_at_birth(void **state)
{
	int fd = world_connect(ECHO_PORT);
	struct fdref r = world_ref(fd);
	pid_t child;

	core->fork_prepare();
	child = fork();
	if (!child)
		for (;;)
			pause();
	core->fork_parent();
	family_bury_dead();
	assert_int_equal(hold_processes(r.obj), 2);
	step_kill(child);
	family_bury_dead();
	assert_int_equal(hold_processes(r.obj), 1);
	/* One that lives is not taken for dead. */
	child = step_begin(call_nothing);
	family_bury_dead();
	assert_int_equal(hold_processes(r.obj), 2);
	step_kill(child);
	family_bury_dead();
	assert_int_equal(hold_processes(r.obj), 1);
	world_close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(killed_in_an_event),      cmocka_unit_test(killed_in_epoll_wait),
	    cmocka_unit_test(killed_in_epoll_ctl),     cmocka_unit_test(killed_at_birth),
	    cmocka_unit_test(buried_behind_a_renewal), cmocka_unit_test(killed_as_it_buries),
	};

	alarm(LIMIT_S);
	world_by_hand();
	world_start(WORLD_NAPS, 0);
	peer_echo(ECHO_PORT);
	return cmocka_run_group_tests_name("killed at any instruction", tests, NULL, NULL);
}
