/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * deadline.h - time-outs that survive being interrupted: an end on the monotonic clock, and how much is left of it.
 */
#ifndef SHIM_DEADLINE_H
#define SHIM_DEADLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC 1000000000ll

struct deadline {
	int64_t at; /* nanoseconds; INT64_MAX: never */
};

/* NULL is valid: no time-out. */
static inline bool timespec_valid(const struct timespec *t)
{
	return !t || (t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < NSEC_PER_SEC);
}

static inline int64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

/* The end of a valid time-out that begins now; one of centuries is none. */
static inline struct deadline deadline_in(const struct timespec *t)
{
	struct deadline d = {INT64_MAX};

	if (t && t->tv_sec < INT64_MAX / NSEC_PER_SEC / 2)
		d.at = clock_ns() + t->tv_sec * NSEC_PER_SEC + t->tv_nsec;
	return d;
}

/* What is left, in *left; NULL: for ever. */
static inline const struct timespec *deadline_left(const struct deadline *d, struct timespec *left)
{
	int64_t ns;

	if (d->at == INT64_MAX)
		return NULL;
	ns = d->at - clock_ns();
	if (ns < 0)
		ns = 0;
	left->tv_sec = ns / NSEC_PER_SEC;
	left->tv_nsec = ns % NSEC_PER_SEC;
	return left;
}

/* poll(2)'s milliseconds; NULL: for ever. */
static inline const struct timespec *timespec_of_ms(int ms, struct timespec *t)
{
	if (ms < 0)
		return NULL;
	t->tv_sec = ms / 1000;
	t->tv_nsec = ms % 1000 * 1000000l;
	return t;
}

#endif
