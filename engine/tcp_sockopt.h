/* SPDX-License-Identifier: BSD-3-Clause */
/* tcp_sockopt.h - between tcp_sockopt.c and tcp_info.c. */
#ifndef ENGINE_TCP_SOCKOPT_H
#define ENGINE_TCP_SOCKOPT_H

#include "engine/stack.h"
#include "engine/tcp_info.h"

/* Everything that TCP_INFO tells of a connection. */
void tcp_info_fill(struct engine *e, const struct conn *c, struct engine_info *i);

#endif
