/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * early.h - what setsockopt() on an undecided socket needs: a system call now, or only a note.
 */
#ifndef SHIM_EARLY_H
#define SHIM_EARLY_H

#include "core.h"

/*
 * Would Linux accept this option with this value on any unconnected TCP socket?  Then it need not be asked now.  unbound_v6: the
 * socket is AF_INET6 and not bound, as IPV6_V6ONLY demands.  val is the caller's pointer, o->val the copy.
 */
bool early_deferrable(const struct early_opt *o, const void *val, bool unbound_v6);
/* Does it ask for something that only the kernel's own stack can do (a filter, a device, TLS)? Then the kernel gets the socket.
 */
bool early_kernel_only(int level, int name);

#endif
