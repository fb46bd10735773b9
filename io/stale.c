/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stale.c - socket files that a killed server left behind, in the way of the next one.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "internal.h"

/*
 * The errno of connect(2) with a socket of another type, which tells the same of the path (EPROTOTYPE: somebody is there) and
 * does not disturb a server: one of DPDK 22.11 panics when a client hangs up before it was greeted.
 */
static int try_connect(const char *path)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return errno;
	memcpy(sun.sun_path, path, strnlen(path, sizeof(sun.sun_path) - 1));
	rc = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) ? errno : 0;
	close(fd);
	return rc;
}

/* A socket file without a process behind it refuses: unix(7).  One that is served, or no socket at all, is left alone. */
int socket_remove_stale(const char *path, struct io_error *err)
{
	struct stat st;

	if (lstat(path, &st))
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return io_fail(err, -ENOTSOCK, "MTCPSHIM_DEV: socket=%s is there and no socket: give another path", path);
	if (try_connect(path) != ECONNREFUSED)
		return io_fail(err, -EADDRINUSE,
			       "MTCPSHIM_DEV: socket=%s is served by another process: stop it, or give another path", path);
	if (unlink(path) && errno != ENOENT)
		return io_fail(err, -errno, "MTCPSHIM_DEV: socket=%s is stale and cannot be removed (%s)", path, strerror(errno));
	return 0;
}
