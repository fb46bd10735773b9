/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * path.c - the stopwatch; see path.h.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <valgrind/callgrind.h>

#include "bench/micro/path.h"
#include "bench/clock.h"

#define ROUNDS 400
#define WARM_ROUNDS 40

static uint64_t begun_ns, spent_ns;
static unsigned long operations;
static bool counting;

void path_begin(void)
{
	if (!counting)
		return;
	begun_ns = now_ns();
	CALLGRIND_TOGGLE_COLLECT;
}

void path_end(unsigned n)
{
	if (!counting)
		return;
	CALLGRIND_TOGGLE_COLLECT;
	spent_ns += now_ns() - begun_ns;
	operations += n;
}

void path_measure(const struct path *p)
{
	operations = spent_ns = 0;
	for (unsigned i = 0; i < WARM_ROUNDS; i++)
		p->run();
	counting = true;
	for (unsigned i = 0; i < ROUNDS; i++)
		p->run();
	counting = false;
	CALLGRIND_DUMP_STATS_AT(p->name);
	printf("%s,%lu,%.1f\n", p->name, operations, operations ? (double)spent_ns / operations : 0.0);
	fflush(stdout);
}

int path_wanted(const struct path *p, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], p->name) == 0)
			return 1;
	}
	return argc == 1;
}
