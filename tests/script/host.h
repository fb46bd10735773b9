/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host.h - the machine under test: one engine, its clock and its wire.  Frames that the engine sends are checked (offload
 * requests are carried out in software), stamped with the time and queued for the script; neighbours answer ARP at once unless
 * the script does.
 */
#ifndef HOST_H
#define HOST_H

#include "tests/script/script.h"

/* One frame that the engine sent; offloads done, ready to be decoded. */
struct frame {
	struct frame *next;
	usec_t at;
	size_t len;
	uint8_t data[];
};

struct host {
	struct engine *e;
	void *region;
	struct rte_mempool *pool;
	unsigned pool_full; /* free mbufs before the engine was created */
	usec_t now, started;
	unsigned caps;
	bool answer_arp;
	struct frame *sent, **sent_tail;
	struct script_error *err;
	const struct script_settings *set;
	bool discard; /* drop what is sent: the clean-up phase */
};

/* MAC addresses of the engine and of everybody else on its network. */
extern const uint8_t host_mac[6], host_peer_mac[6];

/*
 * Make an engine with the script's settings.  offload: the port claims checksum and segmentation offload and scattered sending,
 * all done here.  Any fault jumps to err.
 */
void host_init(struct host *h, const struct script_settings *set, bool offload, struct rte_mempool *pool,
	       struct script_error *err);
/* Run due timers at the current time, let the engine send, answer ARP, until it has nothing more to do now. */
void host_settle(struct host *h);
/* Move the clock to the next deadline if that is not after `until`, else to `until`; settle.  True if a deadline was met. */
bool host_advance(struct host *h, usec_t until);
/* Give the engine a frame at the current time, without settling. */
void host_inject(struct host *h, const uint8_t *frame, size_t len);
/* Take the oldest sent frame, NULL if none; the caller frees it. */
struct frame *host_take(struct host *h);
/* Destroy the engine and see that every mbuf came back; fails with how many did not. */
void host_fini(struct host *h);
/* As host_fini() without any check: after another failure. */
void host_drop(struct host *h);

#endif
