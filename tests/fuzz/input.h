/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * input.h - a fuzzer's input, read field by field.  Behind its end come zeros, so that every input means something and the short
 * ones are the plain ones.
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct input_bytes {
	const uint8_t *p;
	size_t left;
};

static inline bool in_more(const struct input_bytes *in)
{
	return in->left > 0;
}

static inline uint8_t in_u8(struct input_bytes *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

static inline uint16_t in_u16(struct input_bytes *in)
{
	uint16_t high = in_u8(in);

	return (uint16_t)(high << 8 | in_u8(in));
}

static inline uint32_t in_u32(struct input_bytes *in)
{
	uint32_t high = in_u16(in);

	return high << 16 | in_u16(in);
}

/* A small distance to either side. */
static inline int32_t in_step(struct input_bytes *in)
{
	return (int16_t)in_u16(in);
}

/* Up to n bytes: how many. */
static inline size_t in_bytes(struct input_bytes *in, void *to, size_t n)
{
	if (n > in->left)
		n = in->left;
	if (n)
		memcpy(to, in->p, n);
	in->p += n;
	in->left -= n;
	return n;
}

#endif
