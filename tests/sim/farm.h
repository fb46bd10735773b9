/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * farm.h - many jobs on all cores: one process per core, each taking the next job.  A job that crashes or hangs costs its
 * process, is named, and another process goes on.
 */
#ifndef FARM_H
#define FARM_H

#include <stdbool.h>
#include <stdint.h>

/* What the workers counted so far, in memory that all share. */
struct farm_counts {
	uint64_t next, done, failed; /* jobs */
	uint64_t virtual_us, steps, bytes;
};

struct farm {
	uint64_t jobs;
	unsigned workers;
	unsigned patience_s;	  /* one job may take so long */
	bool progress;		  /* print how far it is now and then */
	bool (*start)(void *arg); /* in each worker, before its first job; false: it cannot work */
	bool (*job)(void *arg, uint64_t index, struct farm_counts *counts); /* false: failed */
	void (*crashed)(void *arg, uint64_t index, const char *how);	    /* in the parent */
	void *arg;
};

/* Memory that workers and parent share; zeroed; never freed. */
void *farm_memory(unsigned long size);
/* Run all jobs; counts are filled in.  False: a job failed, or no worker could start. */
bool farm_run(const struct farm *f, struct farm_counts *counts);
/* Add to a counter that workers share. */
static inline void farm_add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

#endif
