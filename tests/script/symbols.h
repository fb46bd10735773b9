/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symbols.h - the C constants that scripts may name.
 */
#ifndef SYMBOLS_H
#define SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

/* The value of a constant (SOL_SOCKET, EAGAIN, ...) by its C name. */
bool symbol_find(const char *name, int64_t *value);
/* The name of an errno value, "?" if not known here. */
const char *symbol_errno(int error);

#endif
