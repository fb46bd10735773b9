/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model.h - what the equations of congestion control allow: the measure for goodput where loss, not the link, is the limit.
 */
#ifndef MODEL_H
#define MODEL_H

/*
 * Segments a second that this algorithm is predicted to send at a loss probability of p (above 0) and a round trip of so many
 * seconds.  Algorithms that don't answer to loss have no such limit: 1e12.
 */
double model_rate(const char *cc, double p, double rtt);

#endif
