/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * symbols.c - the table of constants; a missing one is one more row.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tests/script/symbols.h"

struct symbol {
	const char *name;
	int64_t value;
};

#define ROW(name) {#name, name},

static const struct symbol errnos[] = {
    ROW(EPERM) ROW(EINTR) ROW(EBADF) ROW(EAGAIN) ROW(ENOMEM) ROW(EACCES) ROW(EFAULT) ROW(EBUSY) ROW(EINVAL) ROW(EPIPE) ROW(EPROTO)
	ROW(ENOTSOCK) ROW(EDESTADDRREQ) ROW(EMSGSIZE) ROW(ENOPROTOOPT) ROW(EPROTONOSUPPORT) ROW(EOPNOTSUPP) ROW(EAFNOSUPPORT)
	    ROW(EADDRINUSE) ROW(EADDRNOTAVAIL) ROW(ENETDOWN) ROW(ENETUNREACH) ROW(ECONNABORTED) ROW(ECONNRESET) ROW(ENOBUFS)
		ROW(EISCONN) ROW(ENOTCONN) ROW(ETIMEDOUT) ROW(ECONNREFUSED) ROW(EHOSTUNREACH) ROW(EALREADY) ROW(EINPROGRESS)
		    ROW(EDOM) ROW(ENOENT) ROW(ENOTTY) ROW(EHOSTDOWN)};

static const struct symbol others[] = {
    ROW(AF_INET) ROW(PF_INET) ROW(AF_INET6) ROW(AF_UNSPEC) ROW(SOCK_STREAM) ROW(SOCK_NONBLOCK) ROW(SOCK_CLOEXEC) ROW(IPPROTO_TCP)
	ROW(IPPROTO_IP) ROW(INADDR_ANY) ROW(O_RDWR) ROW(O_NONBLOCK) ROW(F_GETFL) ROW(F_SETFL) ROW(SHUT_RD) ROW(SHUT_WR)
	    ROW(SHUT_RDWR) ROW(SOL_SOCKET) ROW(SOL_TCP) ROW(SOL_IP) ROW(SO_REUSEADDR) ROW(SO_REUSEPORT) ROW(SO_ERROR) ROW(
		SO_KEEPALIVE) ROW(SO_LINGER) ROW(SO_RCVBUF) ROW(SO_SNDBUF) ROW(SO_RCVLOWAT) ROW(SO_OOBINLINE) ROW(SO_ACCEPTCONN)
		ROW(SO_SNDLOWAT) ROW(SO_PRIORITY) ROW(SO_BROADCAST) ROW(SO_DONTROUTE) ROW(SO_MARK) ROW(SO_INCOMING_CPU)
		    ROW(SO_ZEROCOPY) ROW(SO_MAX_PACING_RATE) ROW(SO_BUSY_POLL) ROW(TCP_NODELAY) ROW(TCP_CORK) ROW(TCP_QUICKACK)
			ROW(TCP_MAXSEG) ROW(TCP_KEEPIDLE) ROW(TCP_KEEPINTVL) ROW(TCP_KEEPCNT) ROW(TCP_SYNCNT) ROW(TCP_LINGER2)
			    ROW(TCP_DEFER_ACCEPT) ROW(TCP_WINDOW_CLAMP) ROW(TCP_INFO) ROW(TCP_CONGESTION) ROW(TCP_CC_INFO)
				ROW(TCP_USER_TIMEOUT) ROW(TCP_NOTSENT_LOWAT) ROW(TCP_FASTOPEN) ROW(TCP_FASTOPEN_CONNECT)
				    ROW(TCP_FASTOPEN_KEY) ROW(TCP_FASTOPEN_NO_COOKIE) ROW(TCP_SAVE_SYN) ROW(TCP_SAVED_SYN)
					ROW(MSG_FASTOPEN) ROW(TCPI_OPT_SYN_DATA)

					    ROW(TCP_INQ) ROW(IP_RECVERR) ROW(IP_TOS) ROW(IP_TTL) ROW(IP_MTU) ROW(IP_MTU_DISCOVER)
						ROW(MSG_PEEK) ROW(MSG_DONTWAIT) ROW(MSG_WAITALL) ROW(MSG_TRUNC) ROW(MSG_OOB)
						    ROW(MSG_MORE) ROW(MSG_NOSIGNAL) ROW(MSG_EOR) ROW(POLLIN) ROW(POLLOUT)
							ROW(POLLPRI) ROW(POLLERR) ROW(POLLHUP) ROW(POLLNVAL) ROW(POLLRDNORM)
							    ROW(POLLWRNORM){"POLLRDHUP", 0x2000},
    ROW(SIOCINQ) ROW(SIOCOUTQ) ROW(SIOCOUTQNSD) ROW(SIOCATMARK) ROW(FIONREAD) ROW(FIONBIO){"TCP_ESTABLISHED", 1},
    {"TCP_SYN_SENT", 2},
    {"TCP_SYN_RECV", 3},
    {"TCP_FIN_WAIT1", 4},
    {"TCP_FIN_WAIT2", 5},
    {"TCP_TIME_WAIT", 6},
    {"TCP_CLOSE", 7},
    {"TCP_CLOSE_WAIT", 8},
    {"TCP_LAST_ACK", 9},
    {"TCP_LISTEN", 10},
    {"TCP_CLOSING", 11},
    {"TCP_CA_Open", 0},
    {"TCP_CA_Disorder", 1},
    {"TCP_CA_CWR", 2},
    {"TCP_CA_Recovery", 3},
    {"TCP_CA_Loss", 4},
    ROW(IP_PMTUDISC_DONT) ROW(IP_PMTUDISC_WANT) ROW(IP_PMTUDISC_DO) ROW(IP_PMTUDISC_PROBE) ROW(IP_PMTUDISC_INTERFACE)
	ROW(IP_PMTUDISC_OMIT){"TFO_COOKIE_UNAVAILABLE", 1},
    {"TFO_DATA_NOT_ACKED", 2},
    {"TFO_SYN_RETRANSMITTED", 3}};

static bool find_in(const struct symbol *table, size_t n, const char *name, int64_t *value)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(table[i].name, name))
			continue;
		*value = table[i].value;
		return true;
	}
	return false;
}

bool symbol_find(const char *name, int64_t *value)
{
	return find_in(others, sizeof(others) / sizeof(others[0]), name, value) ||
	       find_in(errnos, sizeof(errnos) / sizeof(errnos[0]), name, value);
}

const char *symbol_errno(int error)
{
	for (size_t i = 0; i < sizeof(errnos) / sizeof(errnos[0]); i++)
		if (errnos[i].value == error)
			return errnos[i].name;
	return "?";
}
