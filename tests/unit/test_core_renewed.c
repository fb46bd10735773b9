/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_core_renewed.c - a stack is renewed, as after a process that was killed inside it, while another process is in the midst
 * of a call: a child is stepped through the call, and each stack that it is not inside is renewed after each instruction that
 * changed what they share.  Whatever the child was about, sockets and connections belong together afterwards: none is lost, none
 * has two.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/sock.h"
#include "tests/unit/core_step.h"
#include "tests/unit/core_world.h"

#define STACKS 2
#define LIMIT_S 100
#define PORT 4000
/* Sockets and spreads that these tests use. */
#define OBJECTS 24
/* Of one call. */
#define MOMENTS_MAX 400

static struct fdref sock;

/* What the child's calls change, as far as the tests look at it; and when they come and go in the stacks. */
struct state {
	uint32_t owner[STACKS];
	char socks[OBJECTS][sizeof(struct sock)];
	char spreads[OBJECTS][sizeof(struct spread)];
};

/* Those that are no longer what they were, or not yet, are as good as empty. */
static void slab_take(enum slab slab, char *to, size_t size)
{
	memset(to, 0, OBJECTS * size);
	for (uint32_t i = 0; i < OBJECTS && i < arena_count(slab); i++)
		if (object_is(arena_at(slab, i), object_gen(arena_at(slab, i))))
			memcpy(to + i * size, arena_at(slab, i), size);
}

static void state_take(void *at)
{
	struct state *s = at;

	for (unsigned i = 0; i < STACKS; i++)
		s->owner[i] = lock_owner(&rt.stacks[i]->lock);
	slab_take(SLAB_SOCK, s->socks[0], sizeof(s->socks[0]));
	slab_take(SLAB_SPREAD, s->spreads[0], sizeof(s->spreads[0]));
}

static struct sockaddr_in address(const char *addr, unsigned port)
{
	return (struct sockaddr_in){
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {.s_addr = inet_addr(addr)}};
}

/* ---- the calls ----------------------------------------------------------------------------------------------------------------
 */

static void call_socket(void)
{
	world_socket();
}

static void bind_to(const struct fdref *r, unsigned port)
{
	struct sockaddr_in at = address(OUR_ADDR, port);

	core->bind(r, (struct sockaddr *)&at, sizeof(at));
}

static void call_bind(void)
{
	bind_to(&sock, PORT);
}

static void call_listen(void)
{
	core->listen(&sock, 8, false);
}

/* A port of the peer's that is served by another stack than the socket's first. */
static unsigned foreign_port(void)
{
	struct endpoint local = {.addr = ip_from_v4(inet_addr(OUR_ADDR)), .port = PORT};
	struct endpoint remote = {.addr = ip_from_v4(inet_addr(PEER_ADDR)), .port = PORT};
	unsigned home = sock_of(&sock)->stack;

	while (engine_owner(rt.stacks[home]->engine, &local, &remote) == home)
		remote.port++;
	return remote.port;
}

static void call_connect(void)
{
	struct sockaddr_in to = address(PEER_ADDR, foreign_port());

	core->setfl(&sock, O_NONBLOCK);
	core->connect(&sock, (struct sockaddr *)&to, sizeof(to));
}

static void call_disconnect(void)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	core->connect(&sock, &none, sizeof(none));
}

static void call_setsockopt(void)
{
	int on = 1;

	core->setsockopt(&sock, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static void call_close(void)
{
	world_close(sock.fd);
}

/* What comes before a call, in the parent. */
static void nothing(void)
{
}

static void bound_and_listening(void)
{
	call_bind();
	call_listen();
}

/* ---- what must hold -----------------------------------------------------------------------------------------------------------
 */

static unsigned nconns;

/* A connection in use is its socket's. */
static void check_conn(struct conn *c, void *stack)
{
	struct sock *s = (struct sock *)(uintptr_t)engine_user(c);

	nconns++;
	assert_non_null(s);
	assert_true(object_is(s, object_gen(s)));
	assert_ptr_equal(sock_conn_in(s, *(unsigned *)stack), c);
}

/* ... and each of a socket's is in use. */
static void check(void)
{
	unsigned found = 0, here;

	nconns = 0;
	for (unsigned i = 0; i < rt.nstacks; i++)
		engine_each(rt.stacks[i]->engine, check_conn, &i);
	for (uint32_t i = 0; i < arena_count(SLAB_SOCK); i++) {
		struct sock *s = arena_at(SLAB_SOCK, i);

		if (!object_is(s, object_gen(s)))
			continue;
		here = 0;
		for (unsigned k = 0; k < rt.nstacks; k++)
			here += sock_conn_in(s, k) != NULL;
		assert_int_equal(here, atomic_load(&s->spread) ? rt.nstacks : 1);
		found += here;
	}
	assert_int_equal(found, nconns);
}

/* ---- the moments --------------------------------------------------------------------------------------------------------------
 */

/* Another socket has the first connections of all stacks: who comes by a renewal has not those that it had before. */
static void set_up(void (*before)(void))
{
	struct fdref first = world_socket();

	bind_to(&first, PORT + 1);
	sock = world_socket();
	before();
	world_close(first.fd);
}

static void tear_down(pid_t child)
{
	step_kill(child);
	family_bury_dead();
	world_close(sock.fd);
	check();
}

/* When the call has left something that was not there before: stacks that it is not inside then. */
static struct {
	unsigned n;
	struct moment at[MOMENTS_MAX];
	struct stack *stack[MOMENTS_MAX];
} moments;

static void note(const struct moment *m, const void *state)
{
	const struct state *is = state;

	for (unsigned i = 0; i < STACKS; i++) {
		if (is->owner[i])
			continue;
		assert_true(moments.n < MOMENTS_MAX);
		moments.at[moments.n] = *m;
		step_keep(&moments.at[moments.n]);
		moments.stack[moments.n++] = rt.stacks[i];
	}
}

static void find_moments(void (*before)(void), void (*call)(void))
{
	static const struct step_view view = {state_take, sizeof(struct state)};
	pid_t child;

	set_up(before);
	child = step_begin(call);
	moments.n = 0;
	step_changes(child, &view, note);
	tear_down(child);
	assert_true(moments.n > 0);
}

static void renew(struct stack *st)
{
	usec_t now;

	assert_true(stack_enter(st, &now));
	stack_renew(st, now);
	stack_leave(st, now);
}

static void renewed_amid(void (*before)(void), void (*call)(void))
{
	find_moments(before, call);
	for (unsigned i = 0; i < moments.n; i++) {
		pid_t child;

		set_up(before);
		child = step_begin(call);
		if (step_to(child, &moments.at[i])) {
			renew(moments.stack[i]);
			step_rest(child);
		}
		check();
		tear_down(child);
	}
}

static void amid_socket(void **state)
{
	renewed_amid(nothing, call_socket);
}

static void amid_bind(void **state)
{
	renewed_amid(nothing, call_bind);
}

static void amid_listen(void **state)
{
	renewed_amid(nothing, call_listen);
	renewed_amid(call_bind, call_listen);
}

static void amid_connect(void **state)
{
	renewed_amid(nothing, call_connect);
	renewed_amid(call_bind, call_connect);
}

static void amid_disconnect(void **state)
{
	renewed_amid(nothing, call_disconnect);
	renewed_amid(call_connect, call_disconnect);
	renewed_amid(bound_and_listening, call_disconnect);
}

static void amid_setsockopt(void **state)
{
	renewed_amid(call_bind, call_setsockopt);
}

static void amid_close(void **state)
{
	renewed_amid(bound_and_listening, call_close);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(amid_socket),  cmocka_unit_test(amid_bind),       cmocka_unit_test(amid_listen),
	    cmocka_unit_test(amid_connect), cmocka_unit_test(amid_disconnect), cmocka_unit_test(amid_setsockopt),
	    cmocka_unit_test(amid_close),
	};

	alarm(LIMIT_S);
	world_by_hand();
	world_family(STACKS);
	world_silent();
	world_start(WORLD_NAPS, 0);
	return cmocka_run_group_tests_name("a stack is renewed at any moment", tests, NULL, NULL);
}
