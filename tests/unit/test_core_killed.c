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
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/epoll.h"
#include "tests/unit/core_world.h"

#define ECHO_PORT 7
#define LIMIT_S 100
#define SOCKS 3
/* Instructions of one call that change something; of one call. */
#define STATES_MAX 400
#define STEPS_MAX 200000

static struct {
	int epfd, fd[SOCKS];
} shared;

/* The set, its members and what they watch, as far as the child's calls change it. */
struct state {
	struct epset set;
	struct sock sock[SOCKS];
	char members[8][sizeof(struct member)];
};

static void state_take(struct state *s)
{
	memcpy(&s->set, world_ref(shared.epfd).obj, sizeof(s->set));
	for (int i = 0; i < SOCKS; i++)
		memcpy(&s->sock[i], world_ref(shared.fd[i]).obj, sizeof(s->sock[i]));
	for (unsigned i = 0; i < sizeof(s->members) / sizeof(s->members[0]) && i < arena_count(SLAB_MEMBER); i++)
		memcpy(s->members[i], arena_at(SLAB_MEMBER, i), sizeof(s->members[i]));
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
}

static void tear_down(void)
{
	for (int i = 0; i < SOCKS; i++)
		world_close(shared.fd[i]);
	world_close(shared.epfd);
}

/* A call in the child, in its copy of the engine. */
static pid_t begin(void (*call)(void))
{
	pid_t child;

	core->fork_prepare();
	child = fork();
	if (child == 0) {
		if (!core->fork_child())
			_exit(1);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		call();
		_exit(0);
	}
	core->fork_parent();
	assert_int_equal(waitpid(child, NULL, 0), child);
	return child;
}

/* True if it is still there. */
static bool step(pid_t child)
{
	int status;

	assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSTOPPED(status) || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
	return WIFSTOPPED(status);
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* After which steps does the call leave something that was not there before? */
static unsigned find_changes(void (*call)(void), unsigned *at)
{
	static struct state was, is;
	unsigned n = 0;
	pid_t child;

	set_up(call);
	child = begin(call);
	state_take(&was);
	for (unsigned i = 1; step(child); i++) {
		assert_true(i < STEPS_MAX);
		state_take(&is);
		if (!memcmp(&was, &is, sizeof(was)))
			continue;
		was = is;
		assert_true(n < STATES_MAX);
		at[n++] = i;
	}
	family_bury_dead();
	tear_down();
	return n;
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

static void killed_in(void (*call)(void))
{
	unsigned at[STATES_MAX], n = find_changes(call, at);

	assert_true(n > 0);
	for (unsigned i = 0; i < n; i++) {
		pid_t child;

		set_up(call);
		child = begin(call);
		for (unsigned k = 0; k < at[i]; k++)
			step(child);
		end(child);
		/* Buried before its parent comes, or after. */
		if (i % 2)
			family_bury_dead();
		check();
		family_bury_dead();
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(killed_in_an_event),
	    cmocka_unit_test(killed_in_epoll_wait),
	    cmocka_unit_test(killed_in_epoll_ctl),
	    cmocka_unit_test(buried_behind_a_renewal),
	};

	alarm(LIMIT_S);
	world_by_hand();
	world_start(WORLD_NAPS, 0);
	peer_echo(ECHO_PORT);
	return cmocka_run_group_tests_name("killed at any instruction", tests, NULL, NULL);
}
