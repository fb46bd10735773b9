/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * main.c - the packet-script runner: every *.pkt below a directory as a test of its own, once with a plain port and once with one
 * that offloads checksums and segmentation.  With -v: one file, with each packet as it passes.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <ftw.h>
#include <unistd.h>

#include "tests/common/testpool.h"
#include "tests/script/run.h"

#define SCRIPTS_MAX 65536 /* tests/script/mutants makes thousands */
#define REPORT_MAX 65536
#define POOL_MBUFS 4096
#define JUMBO_MBUFS 1024
#define JUMBO_MTU 9000
#define EAL_MB 128

struct job {
	char path[256];
	char name[288];
	struct run_options opt;
	bool broken; /* must fail, as its second line says */
};

static struct job jobs[2 * SCRIPTS_MAX];
static unsigned njobs;
static struct run_pools pools;
static char report[REPORT_MAX];
/* Of the tree being searched: where its scripts' names begin in their paths. */
static size_t root_len;
static bool root_broken;

static void add_job(const char *path, const char *title, bool offload)
{
	struct job *j = &jobs[njobs++];

	snprintf(j->path, sizeof(j->path), "%s", path);
	snprintf(j->name, sizeof(j->name), "%s%s%s", root_broken ? "must fail: " : "", title, offload ? " (offload)" : "");
	j->opt.offload = offload;
	j->broken = root_broken;
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	size_t len = strlen(path);

	(void)st;
	/* The root itself comes first: a directory, or the one script. */
	if (ftw->level == 0)
		root_len = type == FTW_F ? (size_t)ftw->base : len + 1;
	if (type != FTW_F || len < 4 || strcmp(path + len - 4, ".pkt"))
		return 0;
	if (njobs + 2 > 2 * SCRIPTS_MAX)
		return -1;
	add_job(path, path + root_len, false);
	add_job(path, path + root_len, true);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct job *)a)->name, ((const struct job *)b)->name);
}

/* The sentence that a broken script says it fails with. */
static void expected_failure(const char *path, char *buf, size_t size)
{
	static const char mark[] = "// fails: ";
	FILE *f = fopen(path, "r");

	buf[0] = '\0';
	while (f && fgets(buf, (int)size, f) && strncmp(buf, mark, sizeof(mark) - 1))
		;
	if (f)
		fclose(f);
	if (strncmp(buf, mark, sizeof(mark) - 1))
		fail_msg("%s: no line \"%s...\"", path, mark);
	memmove(buf, buf + sizeof(mark) - 1, strlen(buf + sizeof(mark) - 1) + 1);
	buf[strcspn(buf, "\n")] = '\0';
}

static void test_job(void **state)
{
	const struct job *j = *state;
	bool passed = run_script(j->path, &j->opt, &pools, report, sizeof(report));
	char expected[256];

	if (j->broken) {
		expected_failure(j->path, expected, sizeof(expected));
		if (passed || !strstr(report, expected))
			fail_msg("%s: expected to fail with \"%s\", but: %s", j->path, expected, passed ? "passed" : report);
	} else if (!passed) {
		/* cmocka would cut it short. */
		fputs(report, stderr);
		fail_msg("%s failed", j->path);
	}
}

static bool add_tree(const char *root, bool broken)
{
	unsigned before = njobs;

	root_broken = broken;
	if (!nftw(root, visit, 16, FTW_PHYS) && njobs > before)
		return true;
	fprintf(stderr, "%s: no scripts, or too many\n", root);
	return false;
}

static int run_trees(char *const *roots)
{
	struct CMUnitTest *tests;
	int failed;

	if (!add_tree(roots[0], false) || (roots[1] && !add_tree(roots[1], true)))
		return 2;
	qsort(jobs, njobs, sizeof(jobs[0]), by_name);
	tests = calloc(njobs, sizeof(*tests));
	if (!tests)
		return 2;
	for (unsigned i = 0; i < njobs; i++)
		tests[i] = (struct CMUnitTest){.name = jobs[i].name, .test_func = test_job, .initial_state = &jobs[i]};
	failed = _cmocka_run_group_tests("packet scripts", tests, njobs, NULL, NULL);
	free(tests);
	return failed != 0;
}

static int run_one(const char *path, bool offload)
{
	struct run_options opt = {.offload = offload, .verbose = true};
	bool passed = run_script(path, &opt, &pools, report, sizeof(report));

	printf("%s%s\n", passed ? "" : report, passed ? "passed" : "FAILED");
	return !passed;
}

static bool make_pools(void)
{
	pools.usual = testpool_create("usual", POOL_MBUFS, 1500);
	pools.jumbo = testpool_create("jumbo", JUMBO_MBUFS, JUMBO_MTU);
	return pools.usual && pools.jumbo;
}

int main(int argc, char **argv)
{
	bool one = false, offload = false;
	int c;

	while ((c = getopt(argc, argv, "vo")) != -1) {
		one |= c == 'v';
		offload |= c == 'o';
		if (c == '?')
			return 2;
	}
	if (optind + 1 != argc && (one || optind + 2 != argc)) {
		fprintf(stderr,
			"usage: %s SCRIPTS [BROKEN]   run all scripts below a directory, or one; those below the other must "
			"fail\n       "
			"%s -v [-o] FILE   one script with a trace, -o: "
			"with offloads\n",
			argv[0], argv[0]);
		return 2;
	}
	if (testpool_start(EAL_MB) || !make_pools()) {
		fprintf(stderr, "DPDK's EAL or the packet pools cannot start in %d MB of memory\n", EAL_MB);
		return 2;
	}
	return one ? run_one(argv[optind], offload) : run_trees(argv + optind);
}
