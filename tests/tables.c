/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tables.c - prints the README's tables from the lists in the code: tables sysctl | sysctl-other | counters | symbols
 *
 * tests/readme puts them into README.md; `make lint` fails if that would change it.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void vec(const char *path, int n, const long *v, const char *text)
{
	printf("| `%s` |", path);
	for (int i = 0; i < n; i++)
		printf(" %ld", v[i]);
	printf(" | | %s |\n", text);
}

static void sysctls(void)
{
	printf("| setting | default | range | meaning |\n|---|---|---|---|\n");
#define SYSCTL_INT(field, path, dflt, min, max, text) printf("| `%s` | %s | %s to %s | %s |\n", path, #dflt, #min, #max, text);
#define SYSCTL_VEC(field, path, n, dflt, text) vec(path, n, (const long[])SYSCTL_BRACES(dflt), text);
#define SYSCTL_STR(field, path, dflt, text) printf("| `%s` | %s | | %s |\n", path, dflt, text);
#define SYSCTL_CCS(field, path, dflt, text) printf("| `%s` | %s | | %s |\n", path, dflt, text);
#define SYSCTL_BRACES(...)  \
	{                   \
		__VA_ARGS__ \
	}
#include "engine/sysctl.def"
}

static bool honoured(const char *name)
{
	static const char *const names[] = {
#define SYSCTL_INT(field, path, dflt, min, max, text) path,
#define SYSCTL_VEC(field, path, n, dflt, text) path,
#define SYSCTL_STR(field, path, dflt, text) path,
#define SYSCTL_CCS(field, path, dflt, text) path,
#include "engine/sysctl.def"
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void others(void)
{
	printf("| setting | why it has no effect |\n|---|---|\n");
#define SYSCTL_OTHER(path, text) \
	if (!honoured(path))     \
		printf("| `%s` | %s |\n", path, text);
#include "engine/sysctl_other.def"
}

static void counters(void)
{
	printf("| counter | meaning |\n|---|---|\n");
#define STAT(field, mib, text) printf("| `%s` | %s |\n", mib, text);
#include "engine/stats.def"
}

static void symbols(void)
{
	const char *sep = "";

#define INTERCEPT(ret, name, args) printf("%s`%s`", sep, #name), sep = ", ";
#include "shim/intercept.def"
	printf("\n");
}

int main(int argc, char **argv)
{
	const struct {
		const char *name;
		void (*print)(void);
	} tables[] = {{"sysctl", sysctls}, {"sysctl-other", others}, {"counters", counters}, {"symbols", symbols}};

	for (unsigned i = 0; argc == 2 && i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (strcmp(argv[1], tables[i].name) == 0) {
			tables[i].print();
			return 0;
		}
	}
	fprintf(stderr, "usage: tables sysctl | sysctl-other | counters | symbols\n");
	return 2;
}
