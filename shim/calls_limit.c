/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calls_limit.c - a program that forbids itself new threads (haproxy, once it has its own): the engine's must run by then.
 */
#include "calls.h"

#include "config.h"
#include "relay_name.h"

/* Privileged programs are exempt (setrlimit(2)), but may not stay so. */
static void forbids(int resource, const void *limit)
{
	/* The same as struct rlimit, on 64-bit machines. */
	const struct rlimit64 *most = limit;

	if (resource != RLIMIT_NPROC || !most || most->rlim_cur || !config_is_enabled())
		return;
	/* A second engine on the same device would take it away from the one that carries its connections. */
	if (relay_is_met() || !loader_up())
		return;
	GUARDED_DO(core()->threads_up());
}

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	forbids((int)resource, limit);
	return REAL(setrlimit)(resource, limit);
}

int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
	forbids((int)resource, limit);
	return REAL(setrlimit64)(resource, limit);
}

static bool is_us(__pid_t pid)
{
	return !pid || pid == getpid();
}

int prlimit(__pid_t pid, enum __rlimit_resource resource, const struct rlimit *limit, struct rlimit *old)
{
	forbids((int)resource, is_us(pid) ? limit : NULL);
	return REAL(prlimit)(pid, resource, limit, old);
}

int prlimit64(__pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *limit, struct rlimit64 *old)
{
	forbids((int)resource, is_us(pid) ? limit : NULL);
	return REAL(prlimit64)(pid, resource, limit, old);
}
