/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scan.c - reading a script's text; see scan.h.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/scan.h"

void scan_blank(struct scan *s)
{
	while (*s->p == ' ' || *s->p == '\t' || *s->p == '\r')
		s->p++;
}

static bool skip_comment(struct scan *s)
{
	if (*s->p == '#' || !strncmp(s->p, "//", 2)) {
		s->p += strcspn(s->p, "\n");
		return true;
	}
	if (strncmp(s->p, "/*", 2))
		return false;
	for (s->p += 2; strncmp(s->p, "*/", 2); s->p++) {
		if (!*s->p)
			scan_fail(s, "comment without an end");
		if (*s->p == '\n')
			s->line++;
	}
	s->p += 2;
	return true;
}

void scan_space(struct scan *s)
{
	do {
		for (; isspace((unsigned char)*s->p); s->p++)
			if (*s->p == '\n')
				s->line++;
	} while (skip_comment(s));
}

bool scan_sees(struct scan *s, const char *text)
{
	size_t n = strlen(text);

	scan_blank(s);
	if (strncmp(s->p, text, n))
		return false;
	return !isalnum((unsigned char)text[n - 1]) || !(isalnum((unsigned char)s->p[n]) || s->p[n] == '_');
}

bool scan_take(struct scan *s, const char *text)
{
	if (!scan_sees(s, text))
		return false;
	s->p += strlen(text);
	return true;
}

void scan_expect(struct scan *s, const char *text)
{
	if (!scan_take(s, text))
		scan_fail(s, "\"%s\" expected before \"%.20s\"", text, s->p);
}

void scan_word(struct scan *s, char *buf, size_t size)
{
	size_t n = 0;

	scan_blank(s);
	while (isalnum((unsigned char)s->p[n]) || s->p[n] == '_')
		n++;
	if (!n || n >= size)
		scan_fail(s, "a word expected before \"%.20s\"", s->p);
	memcpy(buf, s->p, n);
	buf[n] = '\0';
	s->p += n;
}

int64_t scan_number(struct scan *s)
{
	char *end;
	long long v;
	bool minus;

	scan_blank(s);
	minus = *s->p == '-';
	if (!isdigit((unsigned char)s->p[minus]))
		scan_fail(s, "a number expected before \"%.20s\"", s->p);
	/* Never octal: packetdrill's numbers may have leading zeros. */
	v = strtoll(s->p, &end, s->p[minus] == '0' && tolower((unsigned char)s->p[minus + 1]) == 'x' ? 16 : 10);
	s->p = end;
	return v;
}

int64_t scan_time(struct scan *s)
{
	int64_t usec = 0, unit = 100000;

	scan_blank(s);
	if (!isdigit((unsigned char)*s->p) && *s->p != '.')
		scan_fail(s, "a time expected before \"%.20s\"", s->p);
	for (; isdigit((unsigned char)*s->p); s->p++)
		usec = usec * 10 + (*s->p - '0');
	usec *= 1000000;
	if (*s->p != '.' || s->p[1] == '.')
		return usec;
	for (s->p++; isdigit((unsigned char)*s->p); s->p++, unit /= 10) {
		if (!unit)
			scan_fail(s, "a time finer than a microsecond");
		usec += (*s->p - '0') * unit;
	}
	return usec;
}

uint32_t scan_ip(struct scan *s)
{
	char buf[16];
	struct in_addr a;
	size_t n;

	scan_blank(s);
	n = strspn(s->p, "0123456789.");
	if (n >= sizeof(buf))
		scan_fail(s, "an IPv4 address expected before \"%.20s\"", s->p);
	memcpy(buf, s->p, n);
	buf[n] = '\0';
	if (inet_pton(AF_INET, buf, &a) != 1)
		scan_fail(s, "\"%s\" is no IPv4 address", buf);
	s->p += n;
	return a.s_addr;
}

const char *scan_copy(struct scan *s, const char *text, size_t len)
{
	char *copy = script_alloc(s->script, len + 1);

	memcpy(copy, text, len);
	return copy;
}
