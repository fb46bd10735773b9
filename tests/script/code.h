/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * code.h - the assertions of a script: %{ assert tcpi_snd_cwnd == 10 }%.
 */
#ifndef CODE_H
#define CODE_H

#include "tests/script/calls.h"

/*
 * Evaluate "assert EXPRESSION" lines, separated by line ends or ";", now.  Expressions are C's (and Python's and, or, not) over
 * numbers, constants, the fields of TCP_INFO (tcpi_...) of the connection made last, or of descriptor N as tcpi_...@N, counters
 * by their MIB names (TcpRetransSegs), and the engine's usage (usage_conns, usage_timewaits, usage_half_open, usage_mbufs). Fails
 * at the line if one is false.
 */
void code_run(struct app *a, const char *code, int line);

#endif
