/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * settings.c - TCP settings by Linux's sysctl names, with sysctl's syntax: one number, several separated by blanks or tabs, a
 * word, or several.  The table is made from sysctl.def.
 */
#include "engine/cc.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define VALUES_MAX 3
#define BLANKS " \t\r\n"

/* One row per setting: n numbers within [min, max], or with n == 0 a word, or names of congestion controls. */
struct setting {
	const char *name;
	size_t offset;
	unsigned n;
	int64_t min, max;
	int64_t values[VALUES_MAX];
	const char *word;
	bool ccs;
};

static const struct setting settings[] = {
#define SYSCTL_INT(field, path, dflt, min, max, text) \
	{path, offsetof(struct tcp_settings, field), 1, min, max, {dflt}, NULL, false},
/* Linux asks of a vector's numbers that they be positive. */
#define SYSCTL_VEC(field, path, n, dflt, text) {path, offsetof(struct tcp_settings, field), n, 1, INT_MAX, {dflt}, NULL, false},
#define SYSCTL_STR(field, path, dflt, text) {path, offsetof(struct tcp_settings, field), 0, 0, 0, {0}, dflt, false},
#define SYSCTL_CCS(field, path, dflt, text) {path, offsetof(struct tcp_settings, field), 0, 0, 0, {0}, dflt, true},
#include "engine/sysctl.def"
};

#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static const struct setting *find(const char *name)
{
	for (unsigned i = 0; i < SETTINGS; i++) {
		if (!strcmp(settings[i].name, name))
			return &settings[i];
	}
	return NULL;
}

static void *field(struct tcp_settings *s, const struct setting *row)
{
	return (char *)s + row->offset;
}

/* Read one number and step over it; false: none there, or out of range.  Not strtoll(), which writes errno. */
static bool parse_number(const char **p, const struct setting *row, int64_t *v)
{
	const char *s = *p + strspn(*p, BLANKS);
	bool negative = *s == '-';
	const char *digits = s + negative;
	int64_t n = 0;

	for (s = digits; *s >= '0' && *s <= '9'; s++) {
		n = n * 10 + (*s - '0');
		if (n > UINT32_MAX)
			return false; /* above every max, and far from overflow */
	}
	*v = negative ? -n : n;
	*p = s;
	return s > digits && strchr(BLANKS, *s) && *v >= row->min && *v <= row->max;
}

/* What Linux asks of particular settings beyond the range. */
static bool numbers_fit(const struct setting *row, const int64_t *v)
{
	if (row->offset == offsetof(struct tcp_settings, ip_local_port_range))
		return v[0] <= v[1] && v[1] <= UINT16_MAX;
	return true;
}

static int set_numbers(struct tcp_settings *s, const struct setting *row, const char *value)
{
	int64_t v[VALUES_MAX];

	for (unsigned i = 0; i < row->n; i++) {
		if (!parse_number(&value, row, &v[i]))
			return -EINVAL;
	}
	if (value[strspn(value, BLANKS)] || !numbers_fit(row, v))
		return -EINVAL;
	memcpy(field(s, row), v, row->n * sizeof(int64_t));
	return 0;
}

/* Read one word, which is the name of a congestion control, and step over it and the blanks behind; its index, or -ENOENT. */
static int next_cc(const char **p, char word[CC_NAME_MAX])
{
	size_t len = strcspn(*p, BLANKS), n = len < CC_NAME_MAX ? len : 0;

	memset(word, 0, CC_NAME_MAX);
	memcpy(word, *p, n);
	*p += len;
	*p += strspn(*p, BLANKS);
	return cc_find(word);
}

static int set_word(struct tcp_settings *s, const struct setting *row, const char *value)
{
	char word[CC_NAME_MAX];

	if (next_cc(&value, word) < 0 || *value)
		return -EINVAL;
	memcpy(field(s, row), word, sizeof(word));
	return 0;
}

/* The host may have others than the engine: they are passed over. */
static int set_ccs(struct tcp_settings *s, const struct setting *row, const char *value)
{
	uint32_t *set = field(s, row);
	char word[CC_NAME_MAX];

	*set = 0;
	while (*value) {
		int algo = next_cc(&value, word);

		if (algo >= 0)
			*set |= 1u << algo;
	}
	return 0;
}

static int set_text(struct tcp_settings *s, const struct setting *row, const char *value)
{
	value += strspn(value, BLANKS);
	return row->ccs ? set_ccs(s, row, value) : set_word(s, row, value);
}

void tcp_settings_init(struct tcp_settings *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < SETTINGS; i++) {
		const struct setting *row = &settings[i];

		if (row->n)
			memcpy(field(s, row), row->values, row->n * sizeof(int64_t));
		else
			set_text(s, row, row->word);
	}
}

int tcp_settings_set(struct tcp_settings *s, const char *name, const char *value)
{
	const struct setting *row = find(name);

	if (!row)
		return -ENOENT;
	return row->n ? set_numbers(s, row, value) : set_text(s, row, value);
}

const char *tcp_settings_name(unsigned i)
{
	return i < SETTINGS ? settings[i].name : NULL;
}

static int print_ccs(uint32_t set, char *buf, size_t size)
{
	size_t len = 0;

	for (unsigned i = 0; set >> i && len < size; i++)
		if (set & 1u << i)
			len += snprintf(buf + len, size - len, "%s%s", len ? " " : "", cc_ops(i)->name);
	if (!set && size)
		*buf = 0;
	return len < size ? 0 : -ENOSPC;
}

int tcp_settings_get(const struct tcp_settings *s, const char *name, char *buf, size_t size)
{
	const struct setting *row = find(name);
	const char *from;
	size_t len = 0;

	if (!row)
		return -ENOENT;
	from = (const char *)s + row->offset;
	if (row->ccs)
		return print_ccs(*(const uint32_t *)from, buf, size);
	if (!row->n)
		return (size_t)snprintf(buf, size, "%s", from) < size ? 0 : -ENOSPC;
	for (unsigned i = 0; i < row->n && len < size; i++)
		len += snprintf(buf + len, size - len, "%s%" PRId64, i ? "\t" : "", ((const int64_t *)from)[i]);
	return len < size ? 0 : -ENOSPC;
}
