/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * path.h - a stretch of code under the stopwatch: what lies between path_begin() and path_end() is timed, and counted by
 * callgrind (--collect-atstart=no), one profile for each path, named after it.
 */
#ifndef BENCH_PATH_H
#define BENCH_PATH_H

struct path {
	const char *name;
	void (*run)(void); /* sets up, and calls path_begin() and path_end() around what is measured */
	unsigned caps;	   /* ENGINE_*: what the port does itself; 0: checksums in software, as over memif */
};

/* Best many operations between the two: the clock itself takes 25 ns. */
void path_begin(void);
void path_end(unsigned operations);
/* Run it often, after some warm-up, and print "name,operations,ns for one". */
void path_measure(const struct path *p);
/* Is it named among the program's arguments, or are there none? */
int path_wanted(const struct path *p, int argc, char **argv);

#endif
