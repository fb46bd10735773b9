/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symbols.h - what the tests of single symbols share.  Each symbol of intercept.def has a function t_NAME(), run with a new
 * engine socket.
 */
#ifndef TESTS_THIN_SYMBOLS_H
#define TESTS_THIN_SYMBOLS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#undef _FORTIFY_SOURCE
#include "tests/thin/scenarios.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define INTERCEPT(ret, name, args) void t_##name(void);
#include "shim/intercept.def"

extern struct fake_calls *c; /* the fake core's counters */
extern int s;		     /* the engine socket of this test */
extern char buf[256];

#define TEXT "hello, engine"
#define LEN ((ssize_t)sizeof(TEXT) - 1)

/* The socket has the text to read; buf is empty. */
void put(void);
/* A receiving call returned n: the whole text is in buf, and nothing is left. */
void got(ssize_t n);
/* A sending call returned n: the text is in the socket. */
void sent(ssize_t n);
/* f() ends the process by SIGABRT. */
void aborts(void (*f)(void));
/* A listener on any address. */
int listener(void);

#endif
