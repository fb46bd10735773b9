/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * onestack.h - for unit tests of the engine's network layers: one engine, frames in and out as plain bytes, a clock that the test
 * moves, and a look at what is left behind.  The engine is 10.0.0.1/24 with gateway 10.0.0.254 unless the test changes the
 * configuration.
 */
#ifndef TEST_ONESTACK_H
#define TEST_ONESTACK_H

#include "engine/stack.h"

#define OUR_IP "10.0.0.1"
#define PEER_IP "10.0.0.2"
#define GATEWAY_IP "10.0.0.254"
#define FRAME_MAX 65600

extern const uint8_t our_mac[6], peer_mac[6], broadcast_mac[6];

struct onestack {
	struct engine *e;
	struct rte_mempool *pool;
	void *region;
	usec_t now;
};

/* cmocka group setup: starts EAL. */
int onestack_eal(void **state);
/* A configuration to change and to open with. */
struct engine_config onestack_config(void);
void onestack_open(struct onestack *s, const struct engine_config *cfg);
/* Destroys the engine and asserts that every mbuf is back in the pool and no timer armed. */
void onestack_close(struct onestack *s);

/* Let time pass, timers included. */
void onestack_run(struct onestack *s, usec_t for_us);
/* A frame as a device delivers it, cut into segments of at most seg bytes (0: one). Not given to the engine. */
struct rte_mbuf *onestack_frame(struct onestack *s, const void *bytes, size_t len, size_t seg);
/* The engine receives a frame of one segment. */
void onestack_in(struct onestack *s, const void *bytes, size_t len);
/*
 * The next frame that the engine sends, its segments (which the configuration must allow) joined: its length, 0 for none.  out
 * has FRAME_MAX bytes.
 */
size_t onestack_out(struct onestack *s, uint8_t *out);
/* Time passes, in steps of a millisecond, in which the engine talks to itself; asserts that nothing leaves it. */
void onestack_alone(struct onestack *s, usec_t for_us);

struct ip_addr v4(const char *text);
/* An ARP packet to dst: the frame's length. */
size_t build_arp(uint8_t *frame, const uint8_t dst[6], uint16_t op, const uint8_t sha[6], const char *spa, const uint8_t tha[6],
		 const char *tpa);
/* An IPv4 packet from from to to with a payload: the frame's length. */
size_t build_ip(uint8_t *frame, const char *from, const char *to, uint8_t proto, const void *payload, size_t len);
/* Set the header checksum of the IPv4 packet in the frame anew. */
void seal_ip(uint8_t *frame);
/* Is this frame an ARP packet of this kind? */
bool frame_is_arp(const uint8_t *frame, size_t len, const uint8_t dst[6], uint16_t op, const char *spa, const char *tpa);

#endif
