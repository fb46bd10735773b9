/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notice.h - what the user may be told beside the data: when a packet arrived (SO_TIMESTAMP), for connections with rx_stamp only,
 * and the ICMP errors that ended attempts to connect (IP_RECVERR).
 */
#ifndef ENGINE_NOTICE_H
#define ENGINE_NOTICE_H

#include "engine/stack.h"

/* A packet with text has arrived now. */
void notice_arrival(const struct engine *e, struct rte_mbuf *m);
/* The text of m was put behind that of tail: the two arrived when the later one did. */
void notice_merge(struct rte_mbuf *tail, struct rte_mbuf *m);
/* When the last packet of the first n bytes of the receive queue arrived, 0: not known. */
usec_t notice_arrived(const struct engine *e, const struct conn *c, uint32_t n);

/*
 * The error that is about to end c's attempt to connect is kept for engine_take_icmp_error(), until there are too many or no
 * memory: then the newest are lost, as on Linux.
 */
void notice_icmp(struct engine *e, struct conn *c, const struct icmp_report *r);
/* All that were kept are dropped; the caller looks after the readiness.  Not for a listener, which has none. */
void notice_forget_icmp(struct engine *e, struct conn *c);

#endif
