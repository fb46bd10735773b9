/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sets.h - the three sets of select() as the bit arrays they are, and what they mean in terms of poll(): as in the kernel's
 * fs/select.c (POLLIN_SET, POLLOUT_SET, POLLEX_SET).
 */
#ifndef SHIM_SETS_H
#define SHIM_SETS_H

#include <poll.h>

#define LONG_BITS (8 * (int)sizeof(long))

enum { SET_IN, SET_OUT, SET_EX, SET_KINDS };

/* Of n bits, whatever FD_SETSIZE says; NULL: no such set. */
struct sets {
	unsigned long *bits[SET_KINDS];
	int n;
};

/* What poll() is to be asked for; which of its answers count. */
static const short sets_ask[SET_KINDS] = {
    POLLIN | POLLRDNORM | POLLRDBAND,
    POLLOUT | POLLWRNORM | POLLWRBAND,
    POLLPRI,
};
static const short sets_count[SET_KINDS] = {
    POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR,
    POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR,
    POLLPRI,
};

/* The bits of a word of one set, from bit first on; none if there is no such set. */
static inline unsigned long sets_word(const struct sets *s, int set, int first)
{
	return s->bits[set] ? s->bits[set][first / LONG_BITS] : 0;
}

/* Those of the word that stand for one of the n descriptors. */
static inline unsigned long sets_within(const struct sets *s, int first)
{
	return s->n - first < LONG_BITS ? ~(~0ul << (s->n - first)) : ~0ul;
}

#endif
