/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * goodput.h - the table of goodput over loss and round-trip time.
 */
#ifndef GOODPUT_H
#define GOODPUT_H

#include <stdio.h>

#include "tests/sim/world.h"

/* Run every row and print the table; 0, or 1 after a line that says which row failed and why. */
int goodput_print(FILE *out, struct rte_mempool *const pools[2][STACKS_MAX]);
/* Print it to memory and compare with the file: 0 if equal. */
int goodput_compare(const char *path, struct rte_mempool *const pools[2][STACKS_MAX]);

#endif
