# SPDX-License-Identifier: BSD-3-Clause
# measure_conns.sh - measurements with conn_server and conn_client, plain programs with an epoll loop each: new connections, requests, many connections
# that are held, latency under load and from idle, idle CPU, memory.
#
# Source after measure.sh, whose conventions these follow.

CONTROL_BLOCK=640 # sizeof(struct conn), asserted in engine/conn.h
CONNS_PORTS=4 # more connections than one pair of addresses and a port have ports need several

# conns_server REQUESTS [PORTS]
conns_server() {
	PORT=$((PORT + CONNS_PORTS))
	measure_begin "$LAB_BUILD/bench/conn_server" $PORT "$@"
}

# conns_client CONNECTIONS SECONDS options...
conns_client() {
	local connections=$1 seconds=$2

	shift 2
	measure_client "$LAB_BUILD/bench/conn_client" "$@" "$(lab_address a)" $PORT "$connections" "$seconds"
}

# conns_figures: from what the client printed, per second in RATE, and the latencies.
conns_figures() {
	read -r WORK RATE P50 P99 P999 < <(awk '/ requests in / { print $1, $6, $(NF - 4), $(NF - 2), $NF }' "$LAB_TMP/client.log")
}

# measure_conns SECONDS [CONCURRENCY [REQUESTS]]: requests per second, so many in each connection, 0: without end.
measure_conns() {
	conns_server "${3:-1}" && conns_client "${2:-64}" "$1" -n "${3:-1}" || return
	conns_figures
	measure_end "$RATE"
}

# scale_run THREADS SECONDS: connections per second in RATE, of as many threads on as many cores, with as many stacks if the shim serves them.
scale_run() {
	local -A LAB_CPU=()
	local LAB_EXTRA=("${LAB_EXTRA[@]}" MTCPSHIM_LOOPBACK=1 MTCPSHIM_CORES="$1")

	PORT=$((PORT + CONNS_PORTS))
	lab_run client a $MEASURE_LIMIT "$LAB_BUILD/bench/scale" $PORT "$1" "$2" >"$LAB_TMP/client.log" 2>"$LAB_TMP/client.err" ||
		measure_fail "the program failed" "$LAB_TMP/client.err" "$LAB_TMP/client.log" || return
	RATE=$(awk '/ connections in / { printf "%.0f", $1 / $4 }' "$LAB_TMP/client.log")
	[ "${RATE:-0}" -gt 0 ] || measure_fail "no figure in the output" "$LAB_TMP/client.log"
}

# measure_scale SECONDS: short connections on two cores, times those on one.  A core for each end of each stack would need four: here both ends of a
# connection are the same thread's, over 127.0.0.1 (the shim's own with the shim), and a core more has one such thread, and one stack, more.
measure_scale() {
	local one

	measure_reset
	if [ "$(nproc)" -lt 2 ]; then
		WHY="one core only"
		return 2
	fi
	scale_run 1 "$1" && one=$RATE && scale_run 2 "$1" || return
	VALUE=$(awk "BEGIN { printf \"%.2f\", $RATE / $one }")
}

# measure_held SECONDS COUNT: requests per second, 64 under way, that take turns over so many open connections.  Status 2: more than may be open.
measure_held() {
	local LAB_EXTRA=("${LAB_EXTRA[@]}")

	if [ "$(ulimit -n)" -lt $(($2 + 100)) ]; then
		WHY="only $(ulimit -n) descriptors are allowed here"
		return 2
	fi
	# 100,000 control blocks and their TIME-WAIT entries want more than the default memory.
	[ "$2" -lt 50000 ] || LAB_EXTRA+=(MTCPSHIM_MEM=1024)
	conns_server 0 $CONNS_PORTS && conns_client "$2" "$1" -n 0 -w 64 -p $CONNS_PORTS || return
	conns_figures
	measure_end "$RATE"
}

# measure_held_api COUNT: nanoseconds of CPU for a request among so many connections, without sockets or a link.  Status 2: more than memory holds.
measure_held_api() {
	local need=$(($1 / 1000 * 2500 / 1024 + 512))

	measure_reset
	if [ ! -x "$LAB_BUILD/bench/micro/held" ]; then
		WHY="bench/micro/held is not built: make micro"
		return 2
	fi
	if [ "$(awk '/^MemAvailable/ { printf "%d", $2 / 1024 }' /proc/meminfo)" -lt $need ]; then
		WHY="needs $need MB of free memory"
		return 2
	fi
	taskset -c 1 timeout 300 "$LAB_BUILD/bench/micro/held" "$1" >"$LAB_TMP/client.log" 2>"$LAB_TMP/client.err" ||
		measure_fail "held failed" "$LAB_TMP/client.err" || return
	VALUE=$(awk -F , 'NR == 2 { print $2 }' "$LAB_TMP/client.log")
	[[ $VALUE =~ ^[0-9]+$ ]] || measure_fail "no figure in the output" "$LAB_TMP/client.log"
}

# measure_load SECONDS [windows]: the 99th percentile at half of the rate that these two ends can do, of 64 connections, of the whole time or the median
# of its windows of 10 ms.  Latencies from when a request was due, so that one that had to wait is not forgotten.
measure_load() {
	conns_server 0 && conns_client 64 1 -n 0 || return
	conns_figures
	conns_client 64 "$1" -n 0 -r $((RATE / 2)) || return
	load_end "${2:-}"
}

load_end() {
	conns_figures
	[ -z "$1" ] || P99=$(awk '/^p99 within 10 ms: / { print $5 }' "$LAB_TMP/client.log")
	measure_end "$P99"
}

# measure_load_same SECONDS [windows]: the same at half of what Linux can do, whoever is measured: Linux before the shim.
measure_load_same() {
	conns_server 0 || return
	if [ "${LAB_USES_SHIM[a]}" = no ]; then
		conns_client 64 1 -n 0 || return
		conns_figures
		LINUX_HALF=$((RATE / 2))
	fi
	[ -n "${LINUX_HALF:-}" ] || measure_fail "Linux has not been measured before" || return
	conns_client 64 "$1" -n 0 -r "$LINUX_HALF" || return
	load_end "${2:-}"
}

# measure_wake SECONDS: the median round trip of a request every 20 ms: both ends have gone to sleep before.
measure_wake() {
	conns_server 0 && conns_client 1 "$1" -n 0 -r 50 || return
	conns_figures
	measure_end "$P50"
}

# conns_hold COUNT SECONDS options...: the connections are open when it returns; LAB_PID[client] runs on for so many seconds.
conns_hold() {
	local count=$1 seconds=$2

	shift 2
	lab_start client b $MEASURE_LIMIT "$LAB_BUILD/bench/conn_client" "$@" "$(lab_address a)" $PORT "$count" "$seconds"
	lab_until 20 grep -qx ready "$LAB_TMP/client.log" && return
	lab_stop client
	measure_fail "the connections did not come up" "$LAB_TMP/client.log"
}

# measure_idle SECONDS COUNT: percent of a core that the busier of server and client takes with so many open, idle connections.
measure_idle() {
	local a b pid_a pid_b

	conns_server 1 && conns_hold "${2:-100}" $(($1 + 2)) -i || return
	pid_a=$(pgrep -P "${LAB_PID[server]}") pid_b=$(pgrep -P "${LAB_PID[client]}")
	# The second after the last handshake belongs to it, not to idleness.
	sleep 1
	a=$(cpu_ns "$pid_a") b=$(cpu_ns "$pid_b")
	sleep "$1"
	a=$(($(cpu_ns "$pid_a") - a)) b=$(($(cpu_ns "$pid_b") - b))
	lab_wait client || { measure_fail "a connection did not stay idle" "$LAB_TMP/client.log" && return; }
	measure_end "$(awk "BEGIN { t = $a > $b ? $a : $b; printf \"%.2f\", t / 1e7 / $1 }")"
}

# CPU time of a process with all its threads so far, nanoseconds.  Not /proc/PID/stat, which counts whom the clock tick finds running: a program that naps on
# a timer is found more often than it runs.
cpu_ns() {
	cat /proc/"$1"/task/*/schedstat | awk '{ n += $1 } END { printf "%.0f", n }'
}

# measure_memory ACTIVE: bytes of memory that each of 10,000 connections takes at one end: what both programs and the kernel's sockets take more of than
# with 1,000 connections, halved; with fewer the memif's rings, which packets fill once and for all, would be taken for the connections'.  The shim runs
# without huge pages here: those are there from the start.  ACTIVE: 1 if requests go over the connections.
measure_memory() {
	local few many LAB_EXTRA=("${LAB_EXTRA[@]}" MTCPSHIM_HUGE=no)

	memory_with 1000 "$1" && few=$USED && memory_with 11000 "$1" && many=$USED || return
	VALUE=$(((many - few) / 20000))
	# Control blocks lie in memory that the engine has from its start, so they make no difference to what is counted.
	[ $LAB_LINK != memif ] || VALUE=$((VALUE + CONTROL_BLOCK))
}

# memory_with COUNT ACTIVE: in USED, the bytes taken while so many connections are open; both programs have ended afterwards.
memory_with() {
	local options=(-i) pid_a pid_b

	[ "$2" = 0 ] || options=(-n 0 -w 64)
	USED=$(memory_sockets)
	conns_server 0 && conns_hold "$1" 3 "${options[@]}" || return
	sleep 1
	pid_a=$(pgrep -P "${LAB_PID[server]}") pid_b=$(pgrep -P "${LAB_PID[client]}")
	USED=$(($(memory_sockets) - USED + $(memory_process "$pid_a") + $(memory_process "$pid_b")))
	lab_wait client || { measure_fail "the client failed" "$LAB_TMP/client.log" && return; }
	measure_end 0
}

# What a process takes, shared pages by share.
memory_process() {
	awk '/^Pss:/ { printf "%.0f", $2 * 1024 }' /proc/"$1"/smaps_rollup
}

# What sockets and their descriptors take in the kernel.
memory_sockets() {
	awk '/^(TCP|TCPv6|request_sock_TCP|sock_inode_cache|filp|dentry|eventpoll_epi|eventpoll_pwq|ep_head|skbuff_head_cache) / { n += $2 * $4 }
		END { printf "%.0f", n }' /proc/slabinfo
}
