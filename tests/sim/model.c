/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model.c - the equations; see model.h.  For Reno that of Mathis, Semke, Mahdavi and Ott with b = 1, because windows grow by
 * bytes here (RFC 3465), and without the timeouts of RFC 5348's: with SACK they are to be rare.  For CUBIC that of RFC 9438
 * section 5.1, where it exceeds its own Reno-friendly region (section 4.3).
 */
#include <math.h>
#include <string.h>

#include "tests/sim/model.h"

#define CUBIC_C 0.4
#define CUBIC_BETA 0.7
#define NO_LIMIT 1e12

static double reno_window(double p)
{
	return sqrt(3 / (2 * p));
}

static double cubic_window(double p, double rtt)
{
	double w = pow(CUBIC_C * (3 + CUBIC_BETA) / (4 * (1 - CUBIC_BETA)), 0.25) * pow(rtt / p, 0.75);

	return w > reno_window(p) ? w : reno_window(p);
}

double model_rate(const char *cc, double p, double rtt)
{
	double window;

	if (!strcmp(cc, "cubic"))
		window = cubic_window(p, rtt);
	else if (!strcmp(cc, "reno") || !strcmp(cc, "dctcp"))
		window = reno_window(p);
	else
		return NO_LIMIT;
	return window / rtt;
}
