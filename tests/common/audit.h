/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * audit.h - looks into an engine and adds up: are the queues in order, is what is charged what is there, does the scoreboard say
 * what the packets say?  For tests that drive an engine through anything; to be called between two calls of the engine.
 */
#ifndef TEST_AUDIT_H
#define TEST_AUDIT_H

#include <stdint.h>

struct conn;
struct engine;

/* NULL, or what does not add up. */
const char *audit_engine(struct engine *e);
/* Sequence numbers of a socket: the next byte that send() will queue, the next that recv() will return. */
uint32_t audit_send_seq(const struct conn *c);
uint32_t audit_recv_seq(const struct conn *c);
/* Packets that wait for a neighbour's address. */
uint32_t audit_waiting(const struct engine *e);

#endif
