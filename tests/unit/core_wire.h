/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core_wire.h - what the halves of core_world.h's world have of each other: the thin library and our side (core_world.c), the
 * wire, the peer and the clock (core_wire.c).
 */
#ifndef TEST_CORE_WIRE_H
#define TEST_CORE_WIRE_H

#include <poll.h>
#include <stdbool.h>
#include <time.h>

#include "engine/engine.h"
#include "tests/unit/core_world.h"

struct ip_addr world_address(const char *text);
/* Before that: as world_family(). */
void wire_family(unsigned stacks);
/* The wire and the peer, with its thread unless the world is driven by hand. */
void wire_start(enum world_wait wait, bool by_hand);
/* ppoll() of the thread that tests, by hand: the peer has its turn, and if nothing rings, the time-out passes. */
int wire_sleep(struct pollfd *fds, nfds_t n, const struct timespec *timeout);

#endif
