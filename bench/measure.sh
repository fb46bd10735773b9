# SPDX-License-Identifier: BSD-3-Clause
# measure.sh - one measurement each: measure_bulk, measure_loss, measure_pingpong, measure_conns, measure_http, measure_redis, measure_idle, measure_start.
#
# Source after lab.sh; the link is set (lab_link).  Each starts its server on end a, its client on end b, and stops both.  Results: VALUE (its unit is the
# measurement's), RETRANS (bulk only), CPU_A and CPU_B (CPU seconds of server and client, start and end included).  Status 1 and WHY if there is none.

PORT=5200 # the next one for each measurement: some programs don't set SO_REUSEADDR, and the one before left TIME-WAITs
MEASURE_LIMIT=30

# measure_begin program...: the server.
measure_begin() {
	VALUE= RETRANS=- CPU_A=- CPU_B=- WHY=
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
	RETRANS=$(jq -r '.end.sum_sent.retransmits // "-"' "$LAB_TMP/client.log")
	measure_end "$(jq '.end.sum_received.bits_per_second / 1e9' "$LAB_TMP/client.log" | xargs printf '%.3f')"
}

# measure_loss SECONDS: the same while end a, a Linux, loses 1 % of what comes in, by chance.
measure_loss() {
	lab_in a nft flush ruleset
	lab_drop a veth0 ingress 10
	measure_bulk "$1" -l 128K || return
	[ "$(lab_dropped a)" -gt 0 ] || measure_fail "nothing was dropped"
	lab_in a nft flush ruleset
}

# measure_pingpong SECONDS: half round trip of 64-byte messages, microseconds.
measure_pingpong() {
	PORT=$((PORT + 1))
	measure_begin sockperf server --tcp -i 0.0.0.0 -p $PORT &&
		measure_client sockperf ping-pong --tcp -i "$(lab_address a)" -p $PORT -t "$1" -m 64 || return
	measure_end "$(sed -n 's/.*Latency is \([0-9.]*\) usec.*/\1/p' "$LAB_TMP/client.log")"
}

# measure_conns SECONDS: new connections per second, one 64-byte request in each, 64 at a time.
measure_conns() {
	PORT=$((PORT + 1))
	measure_begin "$LAB_BUILD/bench/conn_server" $PORT &&
		measure_client "$LAB_BUILD/bench/conn_client" "$(lab_address a)" $PORT 64 "$1" || return
	measure_end "$(sed -n 's/.*s: \([0-9]*\) per second.*/\1/p' "$LAB_TMP/client.log")"
}

# measure_http SECONDS [close]: nginx and wrk, requests per second for a file of 64 bytes on 64 connections.
measure_http() {
	local conf=$LAB_TMP/nginx.conf

	PORT=$((PORT + 1))
	mkdir -p "$LAB_TMP/www" && head -c 64 /dev/zero | tr '\0' x >"$LAB_TMP/www/f"
	cat >"$conf" <<-END
		user root; daemon off; master_process off; error_log stderr; pid $LAB_TMP/nginx.pid;
		events { worker_connections 4096; }
		http {
			access_log off; keepalive_requests 1000000000;
			client_body_temp_path $LAB_TMP/body; proxy_temp_path $LAB_TMP/proxy; fastcgi_temp_path $LAB_TMP/fastcgi;
			uwsgi_temp_path $LAB_TMP/uwsgi; scgi_temp_path $LAB_TMP/scgi;
			server { listen $PORT backlog=4096; root $LAB_TMP/www; }
		}
	END
	measure_begin nginx -p "$LAB_TMP" -e stderr -c "$conf" &&
		measure_client wrk -t 1 -c 64 -d "$1" ${2:+-H "Connection: $2"} "http://$(lab_address a):$PORT/f" || return
	if grep -q -e 'Socket errors' -e Non-2xx "$LAB_TMP/client.log"; then
		measure_fail "wrk met errors" "$LAB_TMP/client.log"
		return
	fi
	measure_end "$(awk '/^Requests\/sec/ { print $2 }' "$LAB_TMP/client.log")"
}

# measure_redis SECONDS: GETs per second on 50 connections.  redis-benchmark counts requests, not seconds: so many that Linux takes about that long.
measure_redis() {
	PORT=$((PORT + 1))
	measure_begin redis-server --port $PORT --protected-mode no --save '' --appendonly no --dir "$LAB_TMP" &&
		measure_client redis-benchmark -h "$(lab_address a)" -p $PORT -t get -c 50 -n $(($1 * 70000)) --csv || return
	measure_end "$(awk -F '"' '$2 == "GET" { print $4 }' "$LAB_TMP/client.log")"
}

# measure_idle SECONDS: percent of a core that the busier of server and client takes with 100 open, idle connections.
measure_idle() {
	local a b pid_a pid_b

	PORT=$((PORT + 1))
	measure_begin "$LAB_BUILD/bench/conn_server" $PORT || return
	lab_start client b $MEASURE_LIMIT "$LAB_BUILD/bench/conn_client" -i "$(lab_address a)" $PORT 100 $(($1 + 2))
	if ! lab_until 10 grep -qx ready "$LAB_TMP/client.log"; then
		lab_stop client
		measure_fail "the connections did not come up" "$LAB_TMP/client.log"
		return
	fi
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

# measure_start SECONDS: microseconds that `true` takes, from fork to wait; with the shim preloaded and configured if the link has one.
measure_start() {
	CPU_A=- CPU_B=- RETRANS=- WHY=
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
