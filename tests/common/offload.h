/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * offload.h - what a network card does for an engine that asks for it: checksums and TCP segmentation of sent mbufs, checksum
 * verdicts on received ones.  In software, and strict: a request that a real card would misunderstand is a fault.
 */
#ifndef TEST_OFFLOAD_H
#define TEST_OFFLOAD_H

#include <stddef.h>
#include <stdint.h>

struct rte_mbuf;

struct offload_card {
	unsigned caps;	/* ENGINE_* bits that may be asked for */
	unsigned parts; /* most mbufs of a packet; 0: any number */
	unsigned mtu;
};

/* Hand the frame or frames that m stands for to sink(), checksums filled in.  NULL, or the fault found.  m stays the caller's. */
const char *offload_finish(const struct rte_mbuf *m, const struct offload_card *card,
			   void (*sink)(void *arg, const uint8_t *frame, size_t len), void *arg);
/* Set the RX checksum flags of an mbuf as a card would. */
void offload_mark_received(struct rte_mbuf *m);

#endif
