/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * code.c - a small expression evaluator over TCP_INFO, counters and usage; see code.h.  Precedence climbing over a table of
 * operators.
 */
#include <ctype.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tcp_info.h"
#include "tests/script/code.h"
#include "tests/script/symbols.h"

struct eval {
	struct app *app;
	const char *p;
	int line;
};

static const struct {
	const char *name;
	size_t offset, size;
} info_fields[] = {
#define FIELD(name) {#name, offsetof(struct engine_info, name), sizeof(((struct engine_info *)0)->name)},
    FIELD(tcpi_state) FIELD(tcpi_ca_state) FIELD(tcpi_retransmits) FIELD(tcpi_probes) FIELD(tcpi_backoff) FIELD(tcpi_options)
	FIELD(tcpi_rto) FIELD(tcpi_ato) FIELD(tcpi_snd_mss) FIELD(tcpi_rcv_mss) FIELD(tcpi_unacked) FIELD(tcpi_sacked)
	    FIELD(tcpi_lost) FIELD(tcpi_retrans) FIELD(tcpi_fackets) FIELD(tcpi_last_data_sent) FIELD(tcpi_last_ack_sent)
		FIELD(tcpi_last_data_recv) FIELD(tcpi_last_ack_recv) FIELD(tcpi_pmtu) FIELD(tcpi_rcv_ssthresh) FIELD(tcpi_rtt)
		    FIELD(tcpi_rttvar) FIELD(tcpi_snd_ssthresh) FIELD(tcpi_snd_cwnd) FIELD(tcpi_advmss) FIELD(tcpi_reordering)
			FIELD(tcpi_rcv_rtt) FIELD(tcpi_rcv_space) FIELD(tcpi_total_retrans) FIELD(tcpi_pacing_rate)
			    FIELD(tcpi_max_pacing_rate) FIELD(tcpi_bytes_acked) FIELD(tcpi_bytes_received) FIELD(tcpi_segs_out)
				FIELD(tcpi_segs_in) FIELD(tcpi_notsent_bytes) FIELD(tcpi_min_rtt) FIELD(tcpi_data_segs_in)
				    FIELD(tcpi_data_segs_out) FIELD(tcpi_delivery_rate) FIELD(tcpi_busy_time)
					FIELD(tcpi_rwnd_limited) FIELD(tcpi_sndbuf_limited) FIELD(tcpi_delivered)
					    FIELD(tcpi_delivered_ce) FIELD(tcpi_bytes_sent) FIELD(tcpi_bytes_retrans)
						FIELD(tcpi_dsack_dups) FIELD(tcpi_reord_seen) FIELD(tcpi_rcv_ooopack)
						    FIELD(tcpi_snd_wnd) FIELD(tcpi_rcv_wnd) FIELD(tcpi_rehash)};

static int64_t binary(struct eval *e, int min_prec);

#define eval_fail(e, ...) script_fail((e)->app->err, (e)->line, __VA_ARGS__)

static void skip(struct eval *e)
{
	while (*e->p == ' ' || *e->p == '\t')
		e->p++;
}

static void read_info(struct eval *e, int fd, struct engine_info *info)
{
	socklen_t len = sizeof(*info);
	struct app *a = e->app;

	if (fd < 0 || fd >= FDS_MAX || !a->fd[fd].c)
		eval_fail(e, "no connection to take TCP_INFO of");
	memset(info, 0, sizeof(*info));
	if (engine_getsockopt(a->host->e, a->fd[fd].c, IPPROTO_TCP, TCP_INFO, info, &len, a->host->now))
		eval_fail(e, "getsockopt(TCP_INFO) failed");
}

static bool bit_field(const struct engine_info *i, const char *name, uint64_t *v)
{
	if (!strcmp(name, "tcpi_snd_wscale"))
		*v = i->tcpi_snd_wscale;
	else if (!strcmp(name, "tcpi_rcv_wscale"))
		*v = i->tcpi_rcv_wscale;
	else if (!strcmp(name, "tcpi_delivery_rate_app_limited"))
		*v = i->tcpi_delivery_rate_app_limited;
	else if (!strcmp(name, "tcpi_fastopen_client_fail"))
		*v = i->tcpi_fastopen_client_fail;
	else
		return false;
	return true;
}

static int64_t info_value(struct eval *e, const char *name)
{
	struct engine_info info;
	int fd = e->app->last;
	uint64_t v = 0;

	if (*e->p == '@')
		fd = (int)strtol(e->p + 1, (char **)(uintptr_t)&e->p, 10);
	read_info(e, fd, &info);
	if (bit_field(&info, name, &v))
		return (int64_t)v;
	for (unsigned i = 0; i < sizeof(info_fields) / sizeof(info_fields[0]); i++) {
		if (strcmp(info_fields[i].name, name))
			continue;
		memcpy(&v, (char *)&info + info_fields[i].offset, info_fields[i].size);
		return (int64_t)v;
	}
	eval_fail(e, "struct tcp_info has no %s", name);
}

static bool usage_value(const struct app *a, const char *name, int64_t *v)
{
	struct engine_usage u;

	engine_usage(a->host->e, &u);
	if (!strcmp(name, "usage_conns"))
		*v = u.conns;
	else if (!strcmp(name, "usage_repairs"))
		*v = u.repairs;
	else if (!strcmp(name, "usage_timewaits"))
		*v = u.timewaits;
	else if (!strcmp(name, "usage_half_open"))
		*v = u.half_open;
	else if (!strcmp(name, "usage_mbufs"))
		*v = u.mbufs;
	else if (!strcmp(name, "usage_neighbours"))
		*v = u.neighbours;
	else
		return false;
	return true;
}

static bool counter_value(const struct app *a, const char *name, int64_t *v)
{
	const uint64_t *counters = (const uint64_t *)engine_stats(a->host->e);
	const char *mib;

	for (unsigned i = 0; (mib = engine_stat_name(i)); i++) {
		if (strcmp(mib, name))
			continue;
		*v = (int64_t)counters[i];
		return true;
	}
	return false;
}

static int64_t name_value(struct eval *e)
{
	char name[64];
	size_t n = 0;
	int64_t v;

	while (isalnum((unsigned char)e->p[n]) || e->p[n] == '_')
		n++;
	if (!n || n >= sizeof(name))
		eval_fail(e, "a value expected before \"%.20s\"", e->p);
	memcpy(name, e->p, n);
	name[n] = '\0';
	e->p += n;
	if (!strcmp(name, "not"))
		return !binary(e, 3);
	if (!strncmp(name, "tcpi_", 5))
		return info_value(e, name);
	if (usage_value(e->app, name, &v) || counter_value(e->app, name, &v) || symbol_find(name, &v))
		return v;
	eval_fail(e, "\"%s\" is not known", name);
}

static int64_t unary(struct eval *e)
{
	int64_t v;

	skip(e);
	if (*e->p == '!' || *e->p == '-') {
		bool minus = *e->p++ == '-';

		v = unary(e);
		return minus ? -v : !v;
	}
	if (*e->p == '(') {
		e->p++;
		v = binary(e, 0);
		skip(e);
		if (*e->p++ != ')')
			eval_fail(e, "\")\" is missing");
		return v;
	}
	if (isdigit((unsigned char)*e->p))
		return strtoll(e->p, (char **)(uintptr_t)&e->p, 0);
	return name_value(e);
}

static const struct {
	const char *text;
	int prec;
} operators[] = {{"||", 1}, {"or ", 1}, {"&&", 2}, {"and ", 2}, {"&", 3}, {"==", 4}, {"!=", 4}, {"<=", 5},
		 {">=", 5}, {"<", 5},	{">", 5},  {"+", 6},	{"-", 6}, {"*", 7},  {"/", 7},	{"%", 7}};

static int64_t apply(struct eval *e, char op, char second, int64_t a, int64_t b)
{
	switch (op) {
	case '|':
	case 'o':
		return a || b;
	case '&':
		return second == '&' ? a && b : a & b;
	case 'a':
		return a && b;
	case '=':
		return a == b;
	case '!':
		return a != b;
	case '<':
		return second == '=' ? a <= b : a < b;
	case '>':
		return second == '=' ? a >= b : a > b;
	case '+':
		return a + b;
	case '-':
		return a - b;
	case '*':
		return a * b;
	}
	if (!b)
		eval_fail(e, "division by zero");
	return op == '/' ? a / b : a % b;
}

static int64_t binary(struct eval *e, int min_prec)
{
	int64_t left = unary(e);
	unsigned i;

	for (;;) {
		skip(e);
		for (i = 0; i < sizeof(operators) / sizeof(operators[0]); i++)
			if (!strncmp(e->p, operators[i].text, strlen(operators[i].text)))
				break;
		if (i == sizeof(operators) / sizeof(operators[0]) || operators[i].prec < min_prec)
			return left;
		e->p += strlen(operators[i].text);
		left = apply(e, operators[i].text[0], operators[i].text[1], left, binary(e, operators[i].prec + 1));
	}
}

static void assert_one(struct eval *e)
{
	const char *start = e->p += strspn(e->p, " \t");
	int64_t v = binary(e, 0);
	const char *end = e->p;
	struct eval side = *e;

	skip(e);
	if (!v) {
		/* Say the left side's value: most assertions are "field == number". */
		side.p = start;
		v = binary(&side, 6);
		while (end > start && end[-1] == ' ')
			end--;
		eval_fail(e, "assertion failed: %.*s (left side: %lld)", (int)(end - start), start, (long long)v);
	}
	if (*e->p && !strchr("\n;,#", *e->p))
		eval_fail(e, "end of the assertion expected before \"%.20s\"", e->p);
	e->p += strcspn(e->p, "\n;");
}

void code_run(struct app *a, const char *code, int line)
{
	struct eval e = {.app = a, .p = code, .line = line};

	for (;;) {
		for (; isspace((unsigned char)*e.p) || *e.p == ';'; e.p++)
			e.line += *e.p == '\n';
		if (!*e.p)
			return;
		if (strncmp(e.p, "assert", 6))
			script_fail(a->err, e.line, "\"assert\" expected before \"%.20s\"", e.p);
		e.p += 6;
		assert_one(&e);
	}
}
