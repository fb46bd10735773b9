/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_opt.c - getsockopt, setsockopt and ioctl.
 */
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tests/script/calls.h"

#define OPT_BYTES 512

/* The bytes of an option's value: a number as int, a string, or a struct of ints in the order of its fields. */
static socklen_t encode(struct app *a, const struct value *v, void *out)
{
	int *words = out, n = 0;

	if (v->type == VALUE_LIST)
		v = v->items;
	if (!v || v->type == VALUE_ANY)
		return 0;
	if (v->type == VALUE_STRING) {
		strncpy(out, v->text, OPT_BYTES - 1);
		return (socklen_t)strlen(v->text);
	}
	if (v->type == VALUE_INT) {
		words[0] = (int)v->num;
		return sizeof(int);
	}
	for (const struct value *i = v->items; i && n < OPT_BYTES / 4; i = i->next) {
		if (i->type != VALUE_INT)
			call_fail(a, "the fields of an option must be numbers");
		words[n++] = (int)i->num;
	}
	return (socklen_t)n * sizeof(int);
}

static int64_t do_setsockopt(struct app *a)
{
	uint8_t val[OPT_BYTES] = {0};
	struct fd *f = arg_fd(a, 0);

	encode(a, a->pending.call->args[3], val);
	if (!f)
		return -EBADF;
	return engine_setsockopt(a->host->e, f->c, (int)arg_int(a, 1), (int)arg_int(a, 2), val, (socklen_t)arg_int(a, 4),
				 a->host->now);
}

static int64_t do_getsockopt(struct app *a)
{
	uint8_t want[OPT_BYTES] = {0}, got[OPT_BYTES] = {0};
	const struct value *expect = a->pending.call->args[3];
	const struct value *lens = a->pending.call->args[4];
	struct fd *f = arg_fd(a, 0);
	socklen_t len, want_len = encode(a, expect, want);
	int rc;

	if (!f)
		return -EBADF;
	/* "[4]": the room given and the length returned; "[16, 6]" (own): first the one, then the other. */
	len = (socklen_t)(lens->items ? lens->items->num : OPT_BYTES);
	rc = engine_getsockopt(a->host->e, f->c, (int)arg_int(a, 1), (int)arg_int(a, 2), got, &len, a->host->now);
	if (rc)
		return rc;
	if (lens->items && lens->items->type == VALUE_INT) {
		int64_t want_out = lens->items->next ? lens->items->next->num : lens->items->num;

		if (want_out != (int64_t)len)
			call_fail(a, "getsockopt() says %u bytes", len);
	}
	if (want_len && memcmp(want, got, want_len))
		call_fail(a, "getsockopt() gives %d (\"%.16s\"), expected %d (\"%.16s\")", *(int *)(void *)got, got,
			  *(int *)(void *)want, want);
	return 0;
}

static int64_t do_ioctl(struct app *a)
{
	const struct value *expect = a->pending.call->args[2];
	struct fd *f = arg_fd(a, 0);
	int64_t request = arg_int(a, 1), got;

	if (!f)
		return -EBADF;
	if (request == FIONBIO) {
		f->nonblock = arg_int(a, 2) != 0;
		return 0;
	}
	if (request == SIOCINQ)
		got = engine_inq(f->c);
	else if (request == SIOCOUTQ)
		got = engine_outq(f->c);
	else if (request == SIOCOUTQNSD)
		got = engine_outq_unsent(f->c);
	else if (request == SIOCATMARK)
		got = engine_at_mark(f->c);
	else
		return -ENOTTY;
	if (expect->type != VALUE_ANY && arg_int(a, 2) != got)
		call_fail(a, "ioctl() gives %lld, expected %lld", (long long)got, (long long)arg_int(a, 2));
	return 0;
}

/* Own: the link came up, engine_announce(). */
static int64_t do_announce(struct app *a)
{
	engine_announce(a->host->e, a->host->now);
	return 0;
}

const struct call_row calls_opt[] = {{"setsockopt", 5, do_setsockopt},
				     {"getsockopt", 5, do_getsockopt},
				     {"ioctl", 3, do_ioctl},
				     {"announce", 0, do_announce},
				     {NULL, 0, NULL}};
