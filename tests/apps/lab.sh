# SPDX-License-Identifier: BSD-3-Clause
# lab.sh - two hosts in a box: the network namespaces, links and processes that the application tests and the benchmarks use.
#
# Two ends, a (10.9.0.1) and b (10.9.0.2), each a network namespace of its own; lab_link joins them:
#   linux         a veth pair, Linux on both ends
#   linux-raw     the same without tso, gso, gro and checksum offload, so that frames no larger than the MTU cross it
#   lo            Linux over 127.0.0.1, both programs on end a: the baseline without root;  api: none, for what joins its ends by itself
#   memif         the shim on both ends over a memif; the namespaces hold nothing but lo and know no route to the other end
#   shim-a        the shim on end a, Linux on end b, over veth;  shim-b: the other way round.  Linux's end without those offloads, the shim's as it is
#   shim-a-raw    the same, both ends without offloads: the kernel cuts the shim's large frames up;  shim-b-raw: likewise
# With LAB_RELAY set ("SEED LOSS DELAY REORDER", relay.c) links of veth lead through a bad network in a third namespace.
# Programs run on an end with lab_start (in the background) and lab_run (until it ends), both on a leash (leash.c): nothing outlives the script, and
# nothing is ever killed but by its process id.  Without root the ends are user namespaces, or where those are forbidden the host itself.
#
# Source it, then lab_open.  It sets LAB_TMP (removed at the end), LAB_MODE (netns, userns, none) and the EXIT trap.

LAB_ADDR_a=10.9.0.1
LAB_ADDR_b=10.9.0.2
LAB_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB_BUILD=${BUILD:-build}
[[ $LAB_BUILD = /* ]] || LAB_BUILD=$LAB_ROOT/$LAB_BUILD
LAB_LEASH=$LAB_BUILD/tests/apps/leash
LAB_RELAY=
LAB_SHIM=$LAB_BUILD/libmtcpshim.so
LAB_HUGE_FILE=${TMPDIR:-/tmp}/mtcpshim-huge.users
declare -A LAB_HOLDER=() LAB_USES_SHIM=() LAB_CPU=() LAB_PID=()

lab_die() {
	echo "$0: $*" >&2
	exit 1
}

# ---- life -------------------------------------------------------------------------------------------------------------------------

lab_open() {
	[ -x "$LAB_LEASH" ] || lab_die "$LAB_LEASH is not built: run make first"
	LAB_TMP=$(mktemp -d "${TMPDIR:-/tmp}/mts-XXXXXX") || lab_die "no temporary directory"
	# Servers that are not root look for their files and make their sockets here.
	chmod 711 "$LAB_TMP" && mkdir -m 1777 "$LAB_TMP/run"
	LAB_ID=${LAB_TMP##*/}
	LAB_LINK=none
	trap lab_close EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	if [ "$(id -u)" = 0 ] && ip netns add "$LAB_ID-a" 2>"$LAB_TMP/netns"; then
		LAB_MODE=netns
		ip netns add "$LAB_ID-b"
		lab_end_up a
		lab_end_up b
	elif unshare -Urn true 2>/dev/null; then
		LAB_MODE=userns
		lab_hold a
		lab_hold b
	else
		LAB_MODE=none
	fi
}

lab_close() {
	local name status=$?

	trap - EXIT
	trap '' HUP INT TERM
	for name in "${!LAB_PID[@]}"; do
		lab_stop "$name"
	done
	for name in "${!LAB_HOLDER[@]}"; do
		kill "${LAB_HOLDER[$name]}" 2>/dev/null
	done
	if [ "$LAB_MODE" = netns ]; then
		lab_unlink
		ip netns del "$LAB_ID-a"
		ip netns del "$LAB_ID-b"
		[ ! -e "/run/netns/$LAB_ID-r" ] || ip netns del "$LAB_ID-r"
	fi
	lab_huge_leave
	[ -n "${LAB_KEEP:-}" ] && echo "kept: $LAB_TMP" >&2 || rm -rf "$LAB_TMP"
	exit $status
}

# A user namespace lives as long as a process in it.
lab_hold() {
	"$LAB_LEASH" unshare -Urn sh -c "ip link set lo up; echo \$\$ >$LAB_TMP/holder.$1; exec sleep 100000" &
	LAB_HOLDER[$1]=$!
	lab_until 5 test -s "$LAB_TMP/holder.$1" || lab_die "cannot create a user namespace"
}

lab_end_up() {
	ip -n "$LAB_ID-$1" link set lo up
	# Neighbour and router discovery of IPv6 on the link would only be noise in captures and counters.
	ip netns exec "$LAB_ID-$1" sh -c 'echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6'
	# The same congestion control for Linux and, as the engine takes the host's settings, for the shim.
	ip netns exec "$LAB_ID-$1" sh -c 'echo cubic >/proc/sys/net/ipv4/tcp_congestion_control' 2>/dev/null
}

# Repeat a condition until it holds; 1 when SECONDS have passed.  Polling with a deadline: nothing depends on how long it takes.
lab_until() {
	local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))

	shift
	until "$@"; do
		[ "${EPOCHREALTIME/[.,]/}" -lt "$deadline" ] || return 1
		sleep 0.01
	done
}

# ---- links ------------------------------------------------------------------------------------------------------------------------

# lab_link KIND [MTU]: what the two ends are joined with from now on.
lab_link() {
	local kind=$1 raw=

	[ "$LAB_MODE" = netns ] && lab_unlink
	LAB_LINK=$kind LAB_MTU=${2:-1500}
	LAB_USES_SHIM=([a]=no [b]=no)
	LAB_SOCK=$LAB_TMP/run/memif.$RANDOM$RANDOM
	case $kind in
	linux | linux-raw) ;;
	lo | api) return 0 ;;
	memif) LAB_USES_SHIM=([a]=yes [b]=yes) ;;
	shim-a | shim-a-raw) LAB_USES_SHIM[a]=yes ;;
	shim-b | shim-b-raw) LAB_USES_SHIM[b]=yes ;;
	*) lab_die "no link of kind $kind" ;;
	esac
	[ "$kind" != memif ] || return 0
	[[ $kind != *-raw ]] || raw=raw
	[ "$LAB_MODE" = netns ] || lab_die "link $kind needs root"
	lab_veth "$raw"
}

lab_veth() {
	local end

	if [ -n "$LAB_RELAY" ]; then
		lab_relay_veths
	else
		ip link add veth0 netns "$LAB_ID-a" mtu "$LAB_MTU" type veth peer name veth0 netns "$LAB_ID-b" mtu "$LAB_MTU"
	fi
	for end in a b; do
		if [ ${LAB_USES_SHIM[$end]} = no ]; then
			local -n address=LAB_ADDR_$end
			ip -n "$LAB_ID-$end" addr add "$address/24" dev veth0
		fi
		# A packet that Linux left unsegmented or without checksum for the veth to finish would reach the shim as it is.
		if [ -n "$1" ] || [ -n "$LAB_RELAY" ] || { [[ $LAB_LINK = shim-* ]] && [ ${LAB_USES_SHIM[$end]} = no ]; }; then
			ip netns exec "$LAB_ID-$end" ethtool -K veth0 tx off tso off gso off gro off >/dev/null 2>&1
		fi
		ip -n "$LAB_ID-$end" link set veth0 up
	done
	# Last: only what it finds up can it listen on.
	[ -z "$LAB_RELAY" ] || lab_relay_start
}

# What an end receives is handled on its own core from now on (receive packet steering), as between two machines.  Else Linux handles it on the core of
# whoever sent it: part of a sender's work, what acknowledgments let it send, is then done on the receiver's core.
lab_own_cores() {
	local end

	for end in a b; do
		lab_in $end sh -c "printf %x $((1 << LAB_CPU[$end])) >/sys/class/net/veth0/queues/rx-0/rps_cpus" || return
	done
}

# Each end's veth leads to the namespace r.
lab_relay_veths() {
	local end

	if [ ! -e "/run/netns/$LAB_ID-r" ]; then
		ip netns add "$LAB_ID-r"
		lab_end_up r
	fi
	for end in a b; do
		ip link add veth0 netns "$LAB_ID-$end" mtu "$LAB_MTU" type veth peer name "to-$end" netns "$LAB_ID-r" mtu "$LAB_MTU"
		lab_in r ethtool -K "to-$end" tx off tso off gso off gro off >/dev/null 2>&1
		ip -n "$LAB_ID-r" link set "to-$end" up
	done
}

# The words of LAB_RELAY are to be split.
lab_relay_start() {
	[ -z "${LAB_PID[relay]:-}" ] || lab_stop relay
	lab_start relay r 600 "$LAB_BUILD/tests/apps/relay" to-a to-b $LAB_RELAY
	lab_until 5 grep -qx ready "$LAB_TMP/relay.log" || lab_die "the relay does not start: $(<"$LAB_TMP/relay.log")"
}

# lab_drop NAMESPACE DEVICE HOOK N: of the packets that come in (HOOK ingress) or go out (egress) there, N in 1000 are dropped, by chance.
lab_drop() {
	lab_in "$1" nft -f - <<-END
		table netdev drop-$2 {
			chain $3 {
				type filter hook $3 device "$2" priority 0
				numgen random mod 1000 < $4 counter drop
			}
		}
	END
}

# lab_dropped NAMESPACE: how many so far.
lab_dropped() {
	lab_in "$1" nft list ruleset | awk '{ for (i = 1; i < NF; i++) if ($i == "packets") n += $(i + 1) } END { print n + 0 }'
}

lab_unlink() {
	[ -z "${LAB_PID[relay]:-}" ] || lab_stop relay
	ip -n "$LAB_ID-a" link del veth0 2>/dev/null
	ip -n "$LAB_ID-b" link del veth0 2>/dev/null
	return 0
}

# lab_env END: the variables that a program on that end runs with, in LAB_ENV; none if LAB_PLAIN is set.
lab_env() {
	local -n address=LAB_ADDR_$1
	local role=server

	LAB_ENV=()
	[ "${LAB_USES_SHIM[$1]:-no}" = yes ] && [ -z "${LAB_PLAIN:-}" ] || return 0
	[ "$1" = a ] || role=client
	LAB_ENV=(MTCPSHIM_IP="$address/24" MTCPSHIM_MTU="$LAB_MTU" MTCPSHIM_STRICT=1 "${LAB_EXTRA[@]}" LD_PRELOAD="$LAB_SHIM")
	if [ "$LAB_LINK" = memif ]; then
		LAB_ENV+=(MTCPSHIM_DEV="net_memif0,role=$role,socket=$LAB_SOCK")
	else
		LAB_ENV+=(MTCPSHIM_DEV=veth0)
	fi
}
LAB_EXTRA=()

# lab_address END: where programs on the other end reach it.
lab_address() {
	local -n address=LAB_ADDR_$1

	[ "$LAB_LINK" = lo ] && echo 127.0.0.1 || echo "$address"
}

# lab_enter END: in LAB_ENTER, the words that run a command inside that end.
lab_enter() {
	local namespace=$1

	[ "$LAB_LINK" != lo ] || namespace=a
	case $LAB_MODE in
	netns) LAB_ENTER=(ip netns exec "$LAB_ID-$namespace") ;;
	userns) LAB_ENTER=(nsenter -t "$(<"$LAB_TMP/holder.$namespace")" -U -n --preserve-credentials) ;;
	none) LAB_ENTER=() ;;
	esac
	[ -z "${LAB_CPU[$1]:-}" ] || LAB_ENTER+=(taskset -c "${LAB_CPU[$1]}")
}

# lab_in END command...: run a tool (never with the shim) there.
lab_in() {
	lab_enter "$1"
	shift
	"${LAB_ENTER[@]}" "$@"
}

# ---- processes --------------------------------------------------------------------------------------------------------------------

# lab_start NAME END LIMIT program...: in the background; its output goes to the file LAB_TMP/NAME.log.
lab_start() {
	local name=$1 end=$2 limit=$3

	shift 3
	lab_enter "$end"
	lab_env "$end"
	"$LAB_LEASH" -t "$limit" -u "$LAB_TMP/$name.usage" "${LAB_ENTER[@]}" env "${LAB_ENV[@]}" "$@" \
		</dev/null >"$LAB_TMP/$name.log" 2>&1 &
	LAB_PID[$name]=$!
}

# lab_stop NAME: ask it to end, wait for it; its exit status.
lab_stop() {
	kill "${LAB_PID[$1]}" 2>/dev/null
	lab_wait "$1"
}

# lab_wait NAME: wait for it to end by itself.
lab_wait() {
	wait "${LAB_PID[$1]}" 2>/dev/null
	local status=$?

	unset "LAB_PID[$1]"
	return $status
}

lab_alive() {
	kill -0 "${LAB_PID[$1]}" 2>/dev/null
}

# lab_run NAME END LIMIT program...: with our standard input and output; its status when it has ended.
lab_run() {
	local name=$1 end=$2 limit=$3

	shift 3
	lab_enter "$end"
	lab_env "$end"
	# In the background all the same: a trap waits for a program in the foreground, but not for `wait`.
	"$LAB_LEASH" -t "$limit" -u "$LAB_TMP/$name.usage" "${LAB_ENTER[@]}" env "${LAB_ENV[@]}" "$@" <&0 &
	LAB_PID[$name]=$!
	lab_wait "$name"
}

# lab_listening NAME END PORT: 0 once a listener on a wildcard address is there (the shim's placeholder listens too), 1 if the program died.
lab_listening() {
	lab_until 15 lab_listening_or_dead "$@" && lab_alive "$1"
}

lab_listening_or_dead() {
	local port

	lab_alive "$1" || return 0
	port=$(printf %04X "$3")
	lab_in "$2" cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q ":$port [0-9A-F]*:0000 0A"
}

# lab_cpu NAME: CPU seconds, user and system, of a program that has ended.
lab_cpu() {
	awk '{ printf "%.2f", $1 + $2 }' "$LAB_TMP/$1.usage" 2>/dev/null || echo -
}

# lab_kernel_tcp END: the counters of /proc/net/snmp Tcp that move when the kernel's TCP carries anything.  Not OutSegs alone: connections of a link that is
# gone, to a peer that is gone, still send probes into the void.
lab_kernel_tcp() {
	lab_in "$1" awk '/^Tcp: [0-9]/ { print "active", $6, "passive", $7, "in", $11 }' /proc/net/snmp
}

# ---- huge pages -------------------------------------------------------------------------------------------------------------------

# lab_huge_enter MEGABYTES: raise the number of free huge pages if that is not there.  Labs that run at the same time share a file: what the
# number was before, then one line for each lab; the last to leave restores it (not with LAB_KEEP_HUGE set).
lab_huge_enter() {
	local pages=$(($1 / 2)) free nr=/proc/sys/vm/nr_hugepages

	[ -w $nr ] || return 1
	(
		flock 9
		[ -s "$LAB_HUGE_FILE" ] || cat $nr >"$LAB_HUGE_FILE"
		echo $$ >>"$LAB_HUGE_FILE"
		free=$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)
		[ "$free" -ge $pages ] || echo $(($(cat $nr) + pages - free)) >$nr
	) 9<"${LAB_HUGE_FILE%/*}"
	LAB_HUGE=entered
	free=$(awk '/^HugePages_Free/ { print $2 }' /proc/meminfo)
	[ "$free" -ge $pages ]
}

lab_huge_leave() {
	local before pid users=()

	[ "${LAB_HUGE:-}" = entered ] || return 0
	(
		flock 9
		for pid in $(tail -n +2 "$LAB_HUGE_FILE"); do
			[ "$pid" = $$ ] || ! kill -0 "$pid" 2>/dev/null || users+=("$pid")
		done
		read -r before <"$LAB_HUGE_FILE"
		if [ ${#users[@]} != 0 ]; then
			printf '%s\n' "$before" "${users[@]}" >"$LAB_HUGE_FILE"
			exit
		fi
		rm -f "$LAB_HUGE_FILE"
		[ -n "${LAB_KEEP_HUGE:-}" ] || echo "$before" >/proc/sys/vm/nr_hugepages
	) 9<"${LAB_HUGE_FILE%/*}"
}
