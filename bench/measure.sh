# SPDX-License-Identifier: BSD-3-Clause
# measure.sh - one measurement each of iperf3, sockperf and the start of a program: measure_bulk, measure_loss, measure_pingpong, measure_start.
#
# Source after lab.sh; the link is set (lab_link).  Each starts its server on end a, its client on end b, and stops both.  Results: VALUE (its unit is the
# measurement's), RETRANS (bulk only), CPU_A and CPU_B (CPU seconds of server and client, start and end included), WORK (requests or bytes that they were
# spent on), P50, P99 and P999 (microseconds, where latencies are known).  Status 1 and WHY if there is none.

PORT=5200 # the next one for each measurement: some programs don't set SO_REUSEADDR, and the one before left TIME-WAITs
MEASURE_LIMIT=30
CORES_NEAR=150 CORES_TRIES=3 # nanoseconds for a line of cache there and back; one last-level cache is 50 to 110, two of them 300
STILL_MOST=100               # milliseconds for which a host may stop the machine in the midst of a measurement

# measure_cubic END: the same congestion control everywhere, whatever the host prefers: for Linux and, as the engine takes the host's values, for the shim.
measure_cubic() {
	local allowed=/proc/sys/net/ipv4/tcp_allowed_congestion_control

	# A namespace may choose only what is allowed to all; adding to that list changes nothing for anybody else.
	grep -qw cubic $allowed || echo "$(<$allowed) cubic" >$allowed
	lab_in "$1" sh -c 'echo cubic >/proc/sys/net/ipv4/tcp_congestion_control'
}

# measure_tune END: what every load generator is tuned with, for Linux and, as the engine takes the host's values, for the shim.  Where the client closes first (wrk with
# Connection: close), TIME-WAIT would use up the default range of ports in seconds; a thousand connections at once overflow the default backlogs.
measure_tune() {
	measure_cubic "$1"
	lab_in "$1" sh -c 'cd /proc/sys/net && echo 1 >ipv4/tcp_tw_reuse && echo 1024 65535 >ipv4/ip_local_port_range &&
		echo 65535 >core/somaxconn && echo 65535 >ipv4/tcp_max_syn_backlog'
}

measure_reset() {
	VALUE='' RETRANS=- CPU_A=- CPU_B=- WORK=- P50=- P99=- P999=- WHY=''
}

# cores_apart: how far the two cores are from each other (cores.c), after a wait of up to SECONDS for them to be near.
cores_apart() {
	if [ "$(nproc)" -lt 2 ]; then echo 0; else "$LAB_BUILD/bench/cores" 0 1 $CORES_NEAR "$1"; fi
}

# watch_begin, watch_end: how far the cores are while something is measured, into CORES, and for how many milliseconds the machine stood still, into STILL
# (cores.c).
watch_begin() {
	WATCH=
	[ "$(nproc)" -ge 2 ] || return 0
	"$LAB_BUILD/bench/cores" -w 0 1 $((MEASURE_LIMIT * 3)) >"$LAB_TMP/cores" &
	WATCH=$!
}

watch_end() {
	CORES=0 STILL=0
	[ -n "$WATCH" ] || return 0
	kill "$WATCH" 2>/dev/null
	wait "$WATCH"
	read -r CORES STILL <"$LAB_TMP/cores"
}

# while_near MEASUREMENT...: a virtual machine's cores wander, and whatever two programs hand over to each other costs six times as much while they are on
# different caches.  That is not what is compared here: a measurement that begins so waits for up to 3 s, one that spent a tenth of its time so is made
# again, up to CORES_TRIES times, for Linux as for the shim; and so is one in which the host stopped the machine.  Sets CORES, how far they were for nine
# tenths of the time at most; the measurement's status.
while_near() {
	local try status WATCH STILL

	for ((try = 1; try <= CORES_TRIES; try++)); do
		cores_apart 3 >/dev/null
		watch_begin
		"$@"
		status=$?
		watch_end
		if [ "$STILL" -le $STILL_MOST ]; then
			[ $status = 0 ] && [ "$CORES" -gt $CORES_NEAR ] || break
		fi
	done
	return $status
}

# measure_begin program...: the server.
measure_begin() {
	measure_reset
	lab_start server a $((MEASURE_LIMIT * 2)) "$@"
	lab_listening server a $PORT && return
	measure_fail "the server did not start" "$LAB_TMP/server.log"
}

measure_client() {
	lab_run client b $MEASURE_LIMIT "$@" >"$LAB_TMP/client.log" 2>"$LAB_TMP/client.err" && return
	measure_fail "the client failed" "$LAB_TMP/client.err" "$LAB_TMP/client.log"
}

# measure_fail REASON FILE...: the reason and the last lines of the files.
measure_fail() {
	local reason=$1

	shift
	WHY="$reason: $(cat "$@" 2>/dev/null | grep -v '^ *$' | tail -n 4 | tr -d '\t' | tr '\n' ' ' | cut -c 1-200)"
	[ -z "${LAB_PID[server]:-}" ] || lab_stop server
	VALUE=
	return 1
}

# measure_end VALUE: stop the server and see that a number came out.
measure_end() {
	lab_stop server
	CPU_A=$(lab_cpu server) CPU_B=$(lab_cpu client)
	VALUE=$1
	[[ $VALUE =~ ^[0-9]*[.]?[0-9]+$ ]] && return
	measure_fail "no figure in the output" "$LAB_TMP/client.log"
}

# measure_bulk SECONDS options...: iperf3 goodput at the receiver, Gbit/s.
measure_bulk() {
	local seconds=$1

	shift
	PORT=$((PORT + 1))
	measure_begin iperf3 -s -p $PORT && measure_client iperf3 -c "$(lab_address a)" -p $PORT -J -t "$seconds" "$@" || return
	# With -J it ends with status 0 whatever happened.
	jq -e '.end.sum_received.bytes > 0' "$LAB_TMP/client.log" >/dev/null 2>&1 ||
		measure_fail "iperf3 did not finish" "$LAB_TMP/client.err" "$LAB_TMP/client.log" || return
	WORK=$(jq '.end.sum_received.bytes' "$LAB_TMP/client.log")
	RETRANS=$(jq -r '.end.sum_sent.retransmits // "-"' "$LAB_TMP/client.log")
	measure_end "$(jq '.end.sum_received.bits_per_second / 1e9' "$LAB_TMP/client.log" | xargs printf '%.3f')"
}

# measure_stream SECONDS SIZE: goodput of one connection written to in pieces of that size, by plain programs, Gbit/s at the receiver.
measure_stream() {
	PORT=$((PORT + 1))
	measure_begin "$LAB_BUILD/bench/stream" $PORT && measure_client "$LAB_BUILD/bench/stream" "$(lab_address a)" $PORT "$2" "$1" || return
	WORK=$(awk '/ bytes in / { print $1 }' "$LAB_TMP/client.log")
	measure_end "$(awk '/ bytes in / { printf "%.3f", $1 * 8 / $4 / 1e9 }' "$LAB_TMP/client.log")"
}

# measure_loss SECONDS N [own]: the same while end a, a Linux, loses N in 1000 of what comes in, by chance; own: with lab_own_cores.
measure_loss() {
	lab_in a nft flush ruleset
	[ -z "${3:-}" ] || lab_own_cores || measure_fail "no receive packet steering" || return
	lab_drop a veth0 ingress "$2"
	measure_bulk "$1" -l 128K || return
	[ "$(lab_dropped a)" -gt 0 ] || measure_fail "nothing was dropped"
	lab_in a nft flush ruleset
}

# measure_floor SECONDS: the 99th percentile within 10 ms of what the two cores add to any latency, microseconds (floor.c).
measure_floor() {
	measure_reset
	[ "$(nproc)" -ge 2 ] || { WHY="there is one core" && return 2; }
	read -r P99 VALUE < <("$LAB_BUILD/bench/floor" 0 1 "$1")
	[[ $VALUE =~ ^[0-9.]+$ ]] || measure_fail "no figure from floor"
}

# measure_pingpong SECONDS [SIZE]: half round trip of messages of that size (64 bytes), microseconds, with percentiles.
measure_pingpong() {
	PORT=$((PORT + 1))
	measure_begin sockperf server --tcp -i 0.0.0.0 -p $PORT &&
		measure_client sockperf ping-pong --tcp -i "$(lab_address a)" -p $PORT -t "$1" -m "${2:-64}" || return
	P50=$(sockperf_percentile 50.000) P99=$(sockperf_percentile 99.000) P999=$(sockperf_percentile 99.900)
	WORK=$(sed -n 's/.*ReceivedMessages=\([0-9]*\).*/\1/p' "$LAB_TMP/client.log" | tail -n 1)
	measure_end "$(sed -n 's/.*Latency is \([0-9.]*\) usec.*/\1/p' "$LAB_TMP/client.log")"
}

sockperf_percentile() {
	sed -n "s/.*percentile $1 *= *\([0-9.]*\).*/\1/p" "$LAB_TMP/client.log"
}

# measure_start SECONDS: microseconds that `true` takes, from fork to wait; with the shim preloaded and configured if the link has one.
measure_start() {
	measure_reset
	lab_env b
	VALUE=$(
		[ ${#LAB_ENV[@]} = 0 ] || export "${LAB_ENV[@]}"
		from=${EPOCHREALTIME/[.,]/} runs=0
		until [ $((${EPOCHREALTIME/[.,]/} - from)) -gt $(($1 * 1000000)) ]; do
			/bin/true && runs=$((runs + 1))
		done
		echo $(((${EPOCHREALTIME/[.,]/} - from) / runs))
	) 2>"$LAB_TMP/client.err"
	[ ! -s "$LAB_TMP/client.err" ] || measure_fail "a program without sockets printed something" "$LAB_TMP/client.err"
}
