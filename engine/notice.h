/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notice.h - what the user may be told beside the data: when a packet arrived (SO_TIMESTAMP).  Nothing here is called for a
 * connection without rx_stamp.
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

#endif
