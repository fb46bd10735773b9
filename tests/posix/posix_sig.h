/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * posix_sig.h - what the programs about signals share: a timer whose signals meet blocking calls; and signals for a descriptor's
 * owner, SIGIO, SIGURG and one real-time signal, blocked and taken one by one.
 *
 * How often an event is signalled depends on how the data was cut into segments, so a case waits for the kind it expects and
 * prints that; the other kinds that came are printed at the end.
 */
#ifndef POSIX_SIG_H
#define POSIX_SIG_H

#include "posix.h"

#include <signal.h>

#define SIG_RT SIGRTMIN
/* Kinds, for signals_only(). */
#define IN (1 << POLL_IN)
#define OUT (1 << POLL_OUT)
#define ERR (1 << POLL_ERR)
#define PRI (1 << POLL_PRI)
#define HUP (1 << POLL_HUP)

sigset_t signals_all(void);
/* From here on they wait to be taken; none is left over from the last case. */
void signals_block(void);
const char *signals_code(int code);
/* Take signals until one of this number and code comes; print it.  fd: what si_fd is to be. */
void signals_expect(int signo, int code, int fd);
/* Print what came of the real-time signal since signals_block(), or the last call, beside these kinds. */
void signals_only(int kinds);
/* This process owns the descriptor, with O_ASYNC and this signal (0: SIGIO). */
void signals_owned(int fd, int sig);

/* SIGALRM every TICK_MS from now until quiet(), with these flags for its handler, so that no moment is missed; the third one
 * tells the other end this word, or nothing. */
#define TICK_MS 12
void ticking(int flags, const char *word);
/* Enough: were there any? */
void quiet(void);
extern volatile sig_atomic_t ticks;

#endif
