/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * handshake.h - of world.h what a fuzzer of engine/wire.h needs: both name TCP's options, so that one file can't include both.
 */
#ifndef FUZZ_HANDSHAKE_H
#define FUZZ_HANDSHAKE_H

#include "tests/fuzz/input.h"

void world_start(void);
void world_fault(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* The input's bytes as the options of the peer's SYN, or of its answer to ours; then data both ways by the book. */
void world_handshake(struct input_bytes *in, bool active);

#endif
