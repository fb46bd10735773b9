/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scenarios.h - what the programs under the preloaded library share: checks, and sockets of either owner.
 */
#ifndef TESTS_THIN_SCENARIOS_H
#define TESTS_THIN_SCENARIOS_H

#include <stdio.h>
#include <stdlib.h>

#include "tests/thin/fake.h"

/* Under the preloaded library no framework: the first thing that is wrong ends the process. */
#define CHECK(cond)                                                                           \
	do {                                                                                  \
		if (!(cond)) {                                                                \
			fprintf(stderr, "%s:%d: %s (errno %m)\n", __FILE__, __LINE__, #cond); \
			_exit(1);                                                             \
		}                                                                             \
	} while (0)
#define CHECK_FAILS(call, err) CHECK((errno = 0, (call) == -1 && errno == (err)))

/* The engine's prefix in all scenarios, and an address in it; nobody's on this machine (RFC 5737). */
#define ENGINE_PREFIX "203.0.113.5/24"
#define ENGINE_ADDR "203.0.113.5"
#define ENGINE_PEER "203.0.113.9"

struct sockaddr_in;
/* Fill in an IPv4 address. */
struct sockaddr_in v4(const char *addr, int port);
/* The fake core's counters; NULL while no core is loaded. */
struct fake_calls *calls_now(void);
/* A socket connected to ENGINE_PEER: the engine's. */
int engine_socket(void);

/* symbols.c: every intercepted symbol on an engine socket. */
void scenario_symbols(void);

#endif
