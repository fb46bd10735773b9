/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * core_world.h - a world for tests of the shim's core in one process: the real core and engine on one side of a wire of memory, a
 * second engine, the peer, on the other, driven by a thread of its own.  The thin library but for its table, and io/ are
 * replaced: the port is two queues, the clock is the system's.
 */
#ifndef TEST_CORE_WORLD_H
#define TEST_CORE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "shim/core.h"

#define OUR_ADDR "10.0.0.1"
#define PEER_ADDR "10.0.0.2"

extern const struct core_ops *core;

/* How the port tells of packets: not at all, by a descriptor, or by one that is silent until it is armed (as memif's). */
enum world_wait { WORLD_NAPS, WORLD_INTERRUPTS, WORLD_WEAK_INTERRUPTS, WORLD_WAITS };
/* Start both sides, once per process.  spin_us: MTCPSHIM_SPIN_US. */
void world_start(enum world_wait wait, long spin_us);
/* Tests that start a world, for each way to wait in a process of its own, as the core starts once: 0, or 1 if one failed. */
int world_each_wait(int (*tests)(enum world_wait));
/*
 * Before that: by hand.  Neither the peer nor the helper has a thread that does anything; the peer has its turn when it is told
 * or when the test's thread sleeps in the core, and time passes when it is told or by what that sleep has for a time-out.  A
 * sleep without one that nothing would end is an error.
 */
void world_by_hand(void);
void world_pass(unsigned us);
/* Before that: with so many stacks, and engines in memory that children share; their packets and their wire are their own. */
void world_family(unsigned stacks);
/* Warnings are expected. */
void world_silent(void);
void peer_turn(void);
/* So many frames that are nothing to us come over the wire; nobody rings. */
void peer_noise(unsigned n);
/* Frames that we have sent. */
unsigned world_sent(void);
/* Frames that the wire lost because a queue was full. */
unsigned world_lost(void);

/* The reference of one of our descriptors. */
struct fdref world_ref(int fd);
/* An engine socket. */
struct fdref world_socket(void);
/* One that is connected to the peer's listener; blocking.  Its descriptor. */
int world_connect(unsigned port);
/* The same to a listener anywhere. */
int world_connect_to(const char *addr, unsigned port);
/* Our listening engine socket. */
int world_listen(unsigned port);
/* As close(): release the reference and close the placeholder. */
void world_close(int fd);
/* As dup(): its number, or -errno.  The caller sees to it that nobody closes fd meanwhile. */
int world_dup(int fd);
/* The descriptor is nobody's any more; its reference is the caller's to release. */
void world_forget(int fd);
ssize_t world_send(int fd, const void *buf, size_t n);
ssize_t world_recv(int fd, void *buf, size_t n, int flags);
int world_epoll(void);

/*
 * The peer.  Its listeners echo what they receive, and close when they are closed.  Any thread may call these.
 */
void peer_echo(unsigned port);
/* Connect to our listener, send n bytes and close; returns when the connection is made. */
void peer_connect_and_send(unsigned port, size_t n);

#endif
