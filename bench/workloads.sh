# SPDX-License-Identifier: BSD-3-Clause
# workloads.sh - what the bench measures: one line a workload, for bench/ab.
#
# name | group | x | unit | link A, MTU | link B, MTU | link C, MTU or - | target | what | measurement
# group: what is plotted together, and W=GROUP selects; x: its place on that plot's axis.  Links are lab.sh's: A is Linux, B the shim, C (where it says
# something) the shim on one end only, over AF_XDP; A is - where there is nothing to compare with.  target: "2": at least so many times Linux; "<2", ">2":
# less or more than that, in the row's unit; "<+1000": at most so much more than Linux; several in turn.  Those with ">" (and "<1.53") are what the best of
# F-Stack, mTCP and VPP did on a machine like the reference report's, each with its own programs and native API (redis: VPP's preload).  The measurement is a function of measure*.sh; SECONDS stands for the length of one.

WORKLOADS=()

# row NAME GROUP X UNIT TARGET WHAT measurement...: Linux and the shim at MTU 1500, unless A, B or C say otherwise.
row() {
	local name=$1 group=$2 x=$3 unit=$4 target=$5 what=$6

	shift 6
	WORKLOADS+=("$name|$group|$x|$unit|${A:-linux 1500}|${B:-memif 1500}|${C:--}|$target|$what|$*")
}

rows_bulk() {
	local n

	B="memif 9000" row bulk9000 bulk MTU9000 Gbit/s 2 "iperf3 -l 128K, MTU 9000 (Linux as it is)" measure_bulk SECONDS -l 128K
	A="linux-raw 1500" C="shim-b 1500" row bulk1500 bulk MTU1500 Gbit/s "5 >11.8" "iperf3 -l 128K, MTU 1500 (Linux: tso/gso/gro off)" measure_bulk SECONDS -l 128K
	A="linux-raw 1500" B="shim-b-raw 1500" row bulk1500-cut bulk MTU1500-cut Gbit/s 1 "iperf3 to Linux, MTU 1500, both ends of the veth without offloads: large frames cut up by the kernel" measure_bulk SECONDS -l 128K
	C="shim-a 1500" row bulk1500-gso bulk MTU1500-gso Gbit/s 1 "iperf3 -l 128K, MTU 1500 (Linux as it is)" measure_bulk SECONDS -l 128K
	for n in 8 64; do
		row "bulk-p$n" bulk "$n-streams" Gbit/s "" "iperf3 -l 128K, $n streams" measure_bulk SECONDS -l 128K -P $n
	done
	row small write 64 Gbit/s 10 "iperf3 -l 64" measure_bulk SECONDS -l 64
	row write-loop loop 64 Gbit/s ">5.98" "write() of 64 B in a loop, a plain program" measure_stream SECONDS 64
	row iperf3-l256 write 256 Gbit/s "" "iperf3 -l 256" measure_bulk SECONDS -l 256
	row iperf3-l1024 write 1024 Gbit/s 8 "iperf3 -l 1024" measure_bulk SECONDS -l 1024
	for n in 4096 16384 65536 262144 1048576; do
		row "iperf3-l$n" write $n Gbit/s "" "iperf3 -l $n" measure_bulk SECONDS -l $n
	done
	for n in 16 64 256 1024 4096; do
		row "sockbuf-${n}k" sockbuf $n Gbit/s "" "iperf3 -l 128K, socket buffers of $n KiB" measure_bulk SECONDS -l 128K -w ${n}K
	done
	for n in "0.1 1" "1 10"; do
		set -- $n
		B="shim-b 1500" row "loss$1" loss "$1" Gbit/s 1 "iperf3 to Linux, which loses $1 % of frames at random (Linux as it is)" measure_loss SECONDS "$2"
		A="linux-raw 1500" B="shim-b-raw 1500" row "loss$1-cut" loss "$1-cut" Gbit/s 1 "the same without offloads: $1 % of segments lost" measure_loss SECONDS "$2"
		A="linux-raw 1500" B="shim-b-raw 1500" row "loss$1-own" loss "$1-own" Gbit/s 1 "... and what an end receives handled on its own core" measure_loss SECONDS "$2" own
	done
}

rows_latency() {
	local n

	row pingpong latency 64 us "30 <1.53" "sockperf ping-pong 64 B, half round trip" measure_pingpong SECONDS 64
	for n in 256 1024 4096 16384; do
		row "pingpong-$n" latency $n us "" "sockperf ping-pong $n B, half round trip" measure_pingpong SECONDS $n
	done
	row load50 load half us 10 "64 B requests on 64 connections at half of the most: p99" measure_load SECONDS
	row load50-10ms load half-10ms us 10 "the same: p99 within 10 ms, the median window (what a host takes away left out)" measure_load SECONDS windows
	row load50-same load same us 10 "64 B requests on 64 connections, half of Linux's most on both: p99" measure_load_same SECONDS
	row load50-same-10ms load same-10ms us 10 "the same: p99 within 10 ms, the median window" measure_load_same SECONDS windows
	A=- B="api 1500" row load-floor load floor us "" "what the cores add to any latency: p99 within 10 ms of looking at the clock" measure_floor SECONDS
	row wake load idle us "" "64 B request after 20 ms of silence: median round trip" measure_wake SECONDS
}

rows_conns() {
	row conns conns 64 conn/s "25 >133000" "a new connection per 64 B request, 64 at a time" measure_conns SECONDS 64 1
	row conns-c1 conns 1 conn/s "" "a new connection per 64 B request, one at a time" measure_conns SECONDS 1 1
	row conns-c1000 conns 1000 conn/s 25 "a new connection per 64 B request, 1000 at a time" measure_conns SECONDS 1000 1
	row conns-c8000 conns 8000 conn/s "" "a new connection per 64 B request, 8000 at a time" measure_conns SECONDS 8000 1
	row stacks stacks two "x one core" ">1.9" "a new connection per 64 B request, within a thread: two cores and stacks against one" measure_scale SECONDS
	row requests-8 requests 8 req/s "" "64 B requests, 8 per connection, 64 at a time" measure_conns SECONDS 64 8
	row requests-64 requests 64 req/s "" "64 B requests, 64 per connection, 64 at a time" measure_conns SECONDS 64 64
	row requests requests unlimited req/s ">905000" "64 B requests on 64 connections that stay" measure_conns SECONDS 64 0
}

rows_apps() {
	C="shim-a 1500" row http http 64 req/s 5 "nginx, wrk -c 64, 64 B, keep-alive" measure_http SECONDS 64
	row http-4k http 4096 req/s "" "nginx, wrk -c 64, 4 KiB, keep-alive" measure_http SECONDS 4096
	row http-64k http 65536 req/s "" "nginx, wrk -c 64, 64 KiB, keep-alive" measure_http SECONDS 65536
	row http-1m http 1048576 req/s "" "nginx, wrk -c 64, 1 MiB, keep-alive" measure_http SECONDS 1048576
	C="shim-a 1500" row http_close apps nginx-close req/s 10 "nginx, wrk -c 64, 64 B, Connection: close" measure_http SECONDS 64 close
	row https apps nginx-TLS req/s "" "nginx, wrk -c 64, 64 B, TLS, keep-alive" measure_http SECONDS 64 tls
	row https_close apps nginx-TLS-close req/s "" "nginx, wrk -c 64, 64 B, TLS, Connection: close" measure_http SECONDS 64 tls close
	row haproxy apps haproxy req/s "" "nginx behind haproxy, wrk -c 64, 64 B (between the two: Linux, 127.0.0.1)" measure_haproxy SECONDS
	row redis apps redis req/s "5 >83000" "redis-benchmark -t get -c 50" measure_redis SECONDS 1
	row redis-p16 apps redis-P16 req/s "" "redis-benchmark -t get -c 50 -P 16" measure_redis SECONDS 16
	row memcached apps memcached req/s "" "memcached, memcaslap -c 64 (9 gets to a set)" measure_memcached SECONDS
}

rows_cost() {
	local n

	row start cost start us "<+1000" "true, started from a shell" measure_start SECONDS
	row idle idle 100 "% core" "<2" "100 idle connections, CPU of the busier end" measure_idle SECONDS 100
	row idle-10k idle 10000 "% core" "<1" "10,000 idle connections, CPU of the busier end" measure_idle SECONDS 10000
	row memory memory idle B/conn "<1024" "memory of an idle connection, of 10,000, one end (shim: its control block included)" measure_memory 0
	row memory-active memory active B/conn "" "memory of a connection that was active, of 10,000, one end (shim: likewise)" measure_memory 1
	row held-1k held 1000 req/s "" "64 B requests, 64 at a time, among 1,000 connections" measure_held SECONDS 1000
	row held-10k held 10000 req/s "" "64 B requests, 64 at a time, among 10,000 connections" measure_held SECONDS 10000
	row held-100k held 100000 req/s "" "64 B requests, 64 at a time, among 100,000 connections" measure_held SECONDS 100000
	for n in 1000 10000 100000 1000000 10000000; do
		A=- B="api 1500" row "api-$n" api $n ns "" "a request and its answer among $n connections, both ends by the engine's API on one core" measure_held_api $n
	done
}

rows_bulk
rows_latency
rows_conns
rows_apps
rows_cost

# workload_fields LINE: into the variables that a measurement needs.
workload_fields() {
	IFS='|' read -r NAME GROUP X UNIT LINK_A LINK_B LINK_C TARGET WHAT MEASURE <<<"$1"
}

# workloads_named NAME...: the lines of these workloads and groups, all without a name; status 1 and the name that is none.
workloads_named() {
	local name line wanted known=" all "

	[ $# != 0 ] || set -- all
	for line in "${WORKLOADS[@]}"; do
		workload_fields "$line"
		known+="$NAME $GROUP " wanted=
		for name; do
			[[ " all $NAME $GROUP " != *" $name "* ]] || wanted=yes
		done
		[ -z "$wanted" ] || echo "$line"
	done
	for name; do
		[[ $known = *" $name "* ]] || { echo "$name" && return 1; }
	done
}
