/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * t_info.c - TCP_INFO: the fields that programs print and that must be true.  Times differ from run to run and are judged, not
 * printed.
 */
#include "posix.h"

#include <linux/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static struct tcp_info info_of(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	return info;
}

static void say_plausible(const struct tcp_info *i)
{
	say_if("a round trip was measured, below a second", i->tcpi_rtt > 0 && i->tcpi_rtt < 1000000);
	say_if("its variance is below a second", i->tcpi_rttvar < 1000000);
	say_if("least of all, no more than smoothed by much", i->tcpi_min_rtt > 0 && i->tcpi_min_rtt <= 4 * i->tcpi_rtt + 1000);
	say_if("retransmission timeout from 200 ms to 3 s", i->tcpi_rto >= 200000 && i->tcpi_rto <= 3000000);
	say_if("congestion window of one segment at least", i->tcpi_snd_cwnd >= 1);
	say_if("receive window", i->tcpi_rcv_space > 0);
}

static void say_negotiated(const struct tcp_info *i)
{
	say("state %d, retransmits %d, probes %d, backoff %d", i->tcpi_state, i->tcpi_retransmits, i->tcpi_probes,
	    i->tcpi_backoff);
	say_if("timestamps", i->tcpi_options & TCPI_OPT_TIMESTAMPS);
	say_if("selective acknowledgements", i->tcpi_options & TCPI_OPT_SACK);
	say_if("window scaling", i->tcpi_options & TCPI_OPT_WSCALE);
	say_if("congestion notification", i->tcpi_options & TCPI_OPT_ECN);
	say("scales: send %d, receive %d", i->tcpi_snd_wscale, i->tcpi_rcv_wscale);
	say("segment %u, advertised %u, path MTU %u", i->tcpi_snd_mss, i->tcpi_advmss, i->tcpi_pmtu);
	say("reordering %u", i->tcpi_reordering);
}

static void established_server(void)
{
	int fd = pair();
	struct tcp_info i = info_of(fd);

	say_negotiated(&i);
	say("lost %u, retransmitted %u in all %u", i.tcpi_lost, i.tcpi_retrans, i.tcpi_total_retrans);
	meet();
	MUST(close(fd));
}

static void established_client(void)
{
	established_server();
}

/* After this much both ways, counted to the byte. */
#define REQUEST 100000
#define REPLY 250000

static void counters_server(void)
{
	int fd = pair();
	struct tcp_info i;

	recv_and_say("request", fd, REQUEST);
	send_pattern(fd, REPLY, 0);
	await_acked(fd);
	i = info_of(fd);
	/* A peer that gets no CPU for some milliseconds is probed for what it has not acknowledged (RFC 8985 7). */
	say("received %llu, acknowledged %llu, sent once %llu", (unsigned long long)i.tcpi_bytes_received,
	    (unsigned long long)i.tcpi_bytes_acked, (unsigned long long)(i.tcpi_bytes_sent - i.tcpi_bytes_retrans));
	say_if("next to nothing sent again", i.tcpi_bytes_retrans < REPLY / 10);
	say("unacknowledged %u, unsent %u, lost %u, sacked %u", i.tcpi_unacked, i.tcpi_notsent_bytes, i.tcpi_lost, i.tcpi_sacked);
	say_if("segments in and out",
	       i.tcpi_segs_in > 10 && i.tcpi_segs_out > 10 && i.tcpi_data_segs_in > 3 && i.tcpi_data_segs_out > 3);
	say_if("last data sent a moment ago", i.tcpi_last_data_sent < 5000);
	say_if("last data received a moment ago", i.tcpi_last_data_recv < 5000);
	say_if("last acknowledgement a moment ago", i.tcpi_last_ack_recv < 5000);
	say_if("delivery rate", i.tcpi_delivery_rate > 0);
	say_plausible(&i);
	meet();
	MUST(close(fd));
}

static void counters_client(void)
{
	int fd = pair();
	struct tcp_info i;

	send_pattern(fd, REQUEST, 0);
	recv_and_say("reply", fd, REPLY);
	i = info_of(fd);
	say("received %llu, acknowledged %llu, sent %llu", (unsigned long long)i.tcpi_bytes_received,
	    (unsigned long long)i.tcpi_bytes_acked, (unsigned long long)i.tcpi_bytes_sent);
	say_if("segment size received", i.tcpi_rcv_mss > 500);
	say_plausible(&i);
	meet();
	MUST(close(fd));
}

/* What is queued behind a window that stays shut. */
static void stalled_server(void)
{
	int fd = pair_small();

	hear("done");
	MUST(close(fd));
}

static void stalled_client(void)
{
	static char buf[50000];
	int fd = pair_small();
	struct tcp_info i;

	set_nonblock(fd, true);
	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLOUT};

		if (send(fd, buf, sizeof(buf), 0) < 0 && poll(&p, 1, 500) == 0)
			break;
	}
	i = info_of(fd);
	say_if("bytes not sent", i.tcpi_notsent_bytes > 0);
	say("state %d, lost %u", i.tcpi_state, i.tcpi_lost);
	tell("done");
	MUST(close(fd));
}

static void other_states_server(void)
{
	int listener = listen_at(SERVER_IP, port(1)), fresh = tcp_socket();
	struct tcp_info i = info_of(fresh);

	say("fresh: state %d", i.tcpi_state);
	i = info_of(listener);
	say("listening: state %d", i.tcpi_state);
	MUST(close(fresh));
	MUST(close(listener));
	MUST(close(pair()));
}

static void other_states_client(void)
{
	struct sockaddr_in sa = addr4(NOBODY_IP, port(0));
	int fd = tcp_socket();
	struct tcp_info i;

	set_nonblock(fd, true);
	MUST(connect(fd, SA(sa), sizeof(sa)) < 0 && errno == EINPROGRESS ? 0 : -1);
	i = info_of(fd);
	say("connecting: state %d", i.tcpi_state);
	MUST(close(fd));
	fd = pair();
	await(fd, POLLRDHUP);
	i = info_of(fd);
	say("peer closed: state %d", i.tcpi_state);
	MUST(close(fd));
}

/* All that a handshake alone settles: printed where it is a number that both must say, else judged. */
static void say_young(const struct tcp_info *i)
{
	say("segments in %u, out %u, with data in %u, out %u", i->tcpi_segs_in, i->tcpi_segs_out, i->tcpi_data_segs_in,
	    i->tcpi_data_segs_out);
	say("delivered %u, marked %u, acknowledged %llu, received %llu", i->tcpi_delivered, i->tcpi_delivered_ce,
	    (unsigned long long)i->tcpi_bytes_acked, (unsigned long long)i->tcpi_bytes_received);
	say("sent %llu, resent %llu, unsent %u, unacknowledged %u", (unsigned long long)i->tcpi_bytes_sent,
	    (unsigned long long)i->tcpi_bytes_retrans, i->tcpi_notsent_bytes, i->tcpi_unacked);
	say("recovery %u, sacked %u, lost %u, being resent %u, resent in all %u", i->tcpi_ca_state, i->tcpi_sacked, i->tcpi_lost,
	    i->tcpi_retrans, i->tcpi_total_retrans);
	say("duplicates %u, reordering seen %u, out of order %u", i->tcpi_dsack_dups, i->tcpi_reord_seen, i->tcpi_rcv_ooopack);
	say("cwnd %u, ssthresh %u, acknowledgment timeout %u", i->tcpi_snd_cwnd, i->tcpi_snd_ssthresh, i->tcpi_ato);
	say("segment received %u, round trip of the receiver %u", i->tcpi_rcv_mss, i->tcpi_rcv_rtt);
	say("busy %llu, held by the window %llu, by the buffer %llu", (unsigned long long)i->tcpi_busy_time,
	    (unsigned long long)i->tcpi_rwnd_limited, (unsigned long long)i->tcpi_sndbuf_limited);
	say_if("pacing is not limited", i->tcpi_max_pacing_rate == UINT64_MAX);
	say_if("the peer offers a window", i->tcpi_snd_wnd > 0);
	say_if("so do we", i->tcpi_rcv_ssthresh > 0);
}

static void young_server(void)
{
	int fd = pair();
	struct tcp_info i = info_of(fd);

	say_young(&i);
	meet();
	MUST(close(fd));
}

static void young_client(void)
{
	young_server();
}

/* A caller may know less of the struct than the system, or more. */
static void lengths_server(void)
{
	static const socklen_t lens[] = {0, 1, 8, 104, 232};
	int fd = pair();
	uint8_t buf[1024];

	for (unsigned i = 0; i < LEN(lens); i++) {
		socklen_t len = lens[i];

		memset(buf, 0xee, sizeof(buf));
		MUST(getsockopt(fd, IPPROTO_TCP, TCP_INFO, buf, &len));
		say("asked for %u: %u", (unsigned)lens[i], (unsigned)len);
		say_if("nothing is written beyond", buf[lens[i]] == 0xee);
	}
	meet();
	MUST(close(fd));
}

static void lengths_client(void)
{
	int fd = pair();

	meet();
	MUST(close(fd));
}

static void path_server(void)
{
	static const struct {
		const char *name;
		int option;
	} options[] = {{"IP_MTU", IP_MTU}, {"IP_MTU_DISCOVER", IP_MTU_DISCOVER}};
	int fd = tcp_socket(), value;
	socklen_t len;

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < LEN(options); i++) {
			len = sizeof(value);
			value = -1;
			T(getsockopt(fd, IPPROTO_IP, options[i].option, &value, &len));
			say("%s: %d", options[i].name, value);
		}
		for (value = -1; value <= 6; value++)
			T(setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, sizeof(value)));
		MUST(close(fd));
		fd = round ? -1 : pair();
	}
}

static void path_client(void)
{
	int fd = pair();

	await(fd, POLLRDHUP);
	MUST(close(fd));
}

static const struct posix_case cases[] = {BOTH(established), BOTH(counters), BOTH(stalled), BOTH(other_states),
					  BOTH(young),	     BOTH(lengths),  BOTH(path)};

int main(int argc, char **argv)
{
	return posix_main(argc, argv, cases, LEN(cases));
}
