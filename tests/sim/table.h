/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table.h - the figures in git: goodput over loss and round-trip time for each congestion control, fairness and delay of a shared
 * queue, and the figures that are promised.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdbool.h>
#include <stdio.h>

/* Compute it on so many cores and print it; false if a row's world failed. */
bool table_print(FILE *out, unsigned workers);
/* Compare it with the file in git; false if it differs, or a promised figure is not reached. */
bool table_compare(unsigned workers);

#endif
