/* SPDX-License-Identifier: BSD-3-Clause */
/* seq.h - sequence numbers: modulo-2^32 arithmetic (RFC 9293 section 3.4). Never compare two seq_t with < or >. */
#ifndef ENGINE_SEQ_H
#define ENGINE_SEQ_H

#include <stdbool.h>
#include <stdint.h>

typedef uint32_t seq_t;

static inline bool seq_lt(seq_t a, seq_t b)
{
	return (int32_t)(a - b) < 0;
}
static inline bool seq_leq(seq_t a, seq_t b)
{
	return (int32_t)(a - b) <= 0;
}
static inline bool seq_gt(seq_t a, seq_t b)
{
	return (int32_t)(a - b) > 0;
}
static inline bool seq_geq(seq_t a, seq_t b)
{
	return (int32_t)(a - b) >= 0;
}
static inline seq_t seq_max(seq_t a, seq_t b)
{
	return seq_gt(a, b) ? a : b;
}
static inline seq_t seq_min(seq_t a, seq_t b)
{
	return seq_lt(a, b) ? a : b;
}

#endif
