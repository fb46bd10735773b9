/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scan.h - reading a script's text from left to right: blanks, words, numbers, times.  Shared by the parts of the parser; every
 * function jumps to the error handler with the line when the text is not what it must be.
 */
#ifndef SCAN_H
#define SCAN_H

#include "tests/script/script.h"

struct scan {
	const char *p; /* next character; the text ends in NUL */
	int line;
	struct script *script;
	struct script_error *err;
};

/* Give up at the current line. */
#define scan_fail(s, ...) script_fail((s)->err, (s)->line, __VA_ARGS__)
/* Skip blanks within the line. */
void scan_blank(struct scan *s);
/* Skip blanks, line ends and comments. */
void scan_space(struct scan *s);
/* Take text if it comes next (after blanks of the line); a word must end there as well. */
bool scan_take(struct scan *s, const char *text);
/* As scan_take(), or fail. */
void scan_expect(struct scan *s, const char *text);
/* True if text comes next; takes nothing. */
bool scan_sees(struct scan *s, const char *text);
/* A word of letters, digits and _ into buf; fails if there is none or it is too long. */
void scan_word(struct scan *s, char *buf, size_t size);
/* A decimal or hexadecimal number, with sign. */
int64_t scan_number(struct scan *s);
/* Seconds with up to six decimals, as microseconds. */
int64_t scan_time(struct scan *s);
/* Four numbers with dots: network order. */
uint32_t scan_ip(struct scan *s);
/* Copy len bytes into the script's arena as a string. */
const char *scan_copy(struct scan *s, const char *text, size_t len);

/* The parts of the parser: the lines before the first event, and the action behind an event's time. */
void settings_parse(struct scan *s);
struct packet *parse_packet(struct scan *s, bool inbound);
struct call *parse_call(struct scan *s);

#endif
