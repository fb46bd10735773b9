/* SPDX-License-Identifier: BSD-3-Clause */
/* stats.c - the counters' names and sentences, from the list that makes the struct. */
#include "engine/engine.h"

struct stat_row {
	const char *name, *text;
};

static const struct stat_row rows[] = {
#define STAT(field, mib, text) {mib, text},
#include "engine/stats.def"
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))
_Static_assert(ROWS * sizeof(uint64_t) == sizeof(struct engine_stats), "a counter is a uint64_t");

const char *engine_stat_name(unsigned i)
{
	return i < ROWS ? rows[i].name : NULL;
}

const char *engine_stat_text(unsigned i)
{
	return i < ROWS ? rows[i].text : NULL;
}
