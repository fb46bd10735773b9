/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symbols.c - calls every intercepted symbol on an engine socket: does it reach the core with what it was given, and come back
 * with what the core said?  The tables are made from intercept.def: a symbol without a test does not link.
 */
#include "tests/thin/symbols.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/wait.h>

struct fake_calls *c;
int s;
char buf[256];

void put(void)
{
	CHECK(send(s, TEXT, LEN, 0) == LEN);
	memset(buf, 0, sizeof(buf));
}

/* A receiving call returned n: the whole text, once. */
void got(ssize_t n)
{
	CHECK(n == LEN && !memcmp(buf, TEXT, LEN));
	CHECK_FAILS(recv(s, buf, 1, 0), EAGAIN);
}

/* A sending call returned n: the text is in the socket. */
void sent(ssize_t n)
{
	CHECK(n == LEN);
	memset(buf, 0, sizeof(buf));
	got(recv(s, buf, sizeof(buf), 0));
}

/* Does f() abort the process? */
void aborts(void (*f)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		CHECK(freopen("/dev/null", "w", stderr));
		signal(SIGABRT, SIG_DFL);
		f();
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int listener(void)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	CHECK(listen(fd, 1) == 0);
	return fd;
}

enum symbol {
#define INTERCEPT(ret, name, args) SYM_##name,
#include "shim/intercept.def"
	SYMBOLS
};

static void (*const tests[SYMBOLS])(void) = {
#define INTERCEPT(ret, name, args) [SYM_##name] = t_##name,
#include "shim/intercept.def"
};

static const char *const names[SYMBOLS] = {
#define INTERCEPT(ret, name, args) [SYM_##name] = #name,
#include "shim/intercept.def"
};

void scenario_symbols(void)
{
	close(engine_socket()); /* loads the core */
	c = calls_now();
	CHECK(c);
	for (int i = 0; i < SYMBOLS; i++) {
		int saved;

		fprintf(stderr, "%s\n", names[i]);
		s = engine_socket();
		errno = saved = 4321;
		CHECK(send(s, "", 0, 0) == 0 && errno == saved); /* success leaves errno alone */
		tests[i]();
		close(s);
	}
}
