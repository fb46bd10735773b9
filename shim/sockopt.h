/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sockopt.h - between sockopt.c and sockopt_own.c, which answers for the descriptor rather than the connection.
 */
#ifndef SHIM_SOCKOPT_H
#define SHIM_SOCKOPT_H

#include "shim/sock.h"

/* An answer that is not the engine's. */
struct own_answer {
	int rc;		 /* 0, or the option's -errno */
	bool whole;	 /* more room than this is an error (SO_PEERNAME) */
	bool any_length; /* a negative one is large */
	socklen_t size;	 /* at first what there is room for */
	unsigned char val[64];
};

/* Inside the stack: is it such an option?  Then *a is filled in. */
bool sockopt_own(struct sock *s, int level, int name, struct own_answer *a);
/* Copy it out as sock_getsockopt() of the kernel does: cut to *len, which becomes its size.  a->rc, -EINVAL. */
int sockopt_answer(const struct own_answer *a, void *val, socklen_t *len);
/* What the kernel said of a socket without data is made true: val is its struct tcp_zerocopy_receive, of len bytes. */
int sockopt_zerocopy_receive(const struct fdref *r, void *val, socklen_t len);

#endif
