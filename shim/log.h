/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.h - lines for the user: "mtcpshim: ..." on standard error, one write() each, errno left alone.
 *
 * Nothing is written while descriptor 2 is a socket of the engine (or about to become one): the program's peer must not read our
 * log.
 */
#ifndef SHIM_LOG_H
#define SHIM_LOG_H

#include "config.h"

/* Lines above this level are dropped; errors and warnings come through from the start. */
void log_set_level(enum log_level level);
/* Would a line of this level be written?  For those that are dear to put together. */
bool log_wants(enum log_level level);
/* One line, cut at 511 bytes, newline added.  Any thread, also in a signal handler. */
void log_line(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
