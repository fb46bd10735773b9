# SPDX-License-Identifier: BSD-3-Clause
# words.sh - the words that the application cases are written in: serve, client, fail, same, data and the proofs about the kernel.
#
# A case runs in a subshell: `fail` ends it.  PORT is the case's own port on end a, SERVER the address of end a as seen from end b, LAB_WORK an
# empty directory.

LIMIT=40 # seconds, for each program of a case that does not say otherwise

fail() {
	echo "$*" >&2
	exit 1
}

# serve NAME program...: start a server on end a and wait until it listens on PORT.
serve() {
	local name=$1

	shift
	lab_start "$name" a $((LIMIT * 2)) "$@"
	lab_listening "$name" a $PORT || fail "the server ($*) does not listen on port $PORT"
	SERVER=$(lab_address a)
}

# as USER: in AS, the words that run a server which refuses to be root.  A kernel interface takes two capabilities, a memif none.
as() {
	local need=-all

	[[ $LAB_LINK != shim-a* ]] || need=+net_raw,+net_admin
	AS=(setpriv --reuid="$1" --regid="$(id -g "$1")" --clear-groups --inh-caps="$need" --ambient-caps="$need")
}

# client program...: run a client on end b; the case fails if it does.
client() {
	lab_run client b $LIMIT "$@" || fail "status $?: $*"
}

# try program...: the same, its status is the caller's business; a crash or hang never is.
try() {
	local status

	lab_run client b $LIMIT "$@"
	status=$?
	sound $status || fail "status $status (crash or time limit): $*"
	return $status
}

# sound STATUS: neither a crash (abort, bus error, arithmetic, segmentation fault, kill) nor the time limit.
sound() {
	case $1 in
	124 | 134 | 135 | 136 | 137 | 139) return 1 ;;
	esac
}

# stop NAME: end a server, which must not crash or hang on the way.
stop() {
	local status

	lab_stop "$1"
	status=$?
	sound $status || fail "$1 ended with status $status"
}

# Kill a server as a crash would: no exit handler runs.
murder() {
	local name=$1 leash=${LAB_PID[$1]}

	kill -KILL "$(pgrep -P "$leash" | head -n 1)" || fail "no process of $name"
	lab_wait "$name"
}

servers_stop() {
	local name

	for name in "${!LAB_PID[@]}"; do
		stop "$name"
	done
}

# same A B: two files with the same bytes.
same() {
	cmp "$1" "$2" && return
	ls -l "$1" "$2"
	sha256sum "$1" "$2"
	fail "contents differ: $1 $2"
}

# data FILE BYTES: a file of that many bytes that don't repeat; made once in a run.
data() {
	local made=$LAB_TMP/data.$2

	[ -s "$made" ] || openssl enc -aes-128-ctr -nosalt -pass "pass:$2" -pbkdf2 -iter 1 -in /dev/zero 2>/dev/null | head -c "$2" >"$made"
	[ "$(stat -c %s "$made")" = "$2" ] || fail "cannot make $2 bytes of test data"
	ln "$made" "$1"
}

# positive NAME VALUE: a number above zero.
positive() {
	[[ ${2:-} =~ ^[0-9]+([.][0-9]+)?$ ]] && awk "BEGIN { exit !($2 > 0) }" || fail "$1 is not positive: '${2:-}'"
}

# alike program...: it prints the same and ends the same with and without the shim (on end a).
alike() {
	local plain

	LAB_PLAIN=yes lab_run alike a $LIMIT "$@" >"$LAB_WORK/plain.out" 2>"$LAB_WORK/plain.err"
	plain=$?
	lab_run alike a $LIMIT "$@" >"$LAB_WORK/shim.out" 2>"$LAB_WORK/shim.err"
	[ $? = $plain ] || fail "status $? with the shim, $plain without: $*: $(cat "$LAB_WORK/shim.err")"
	same "$LAB_WORK/plain.out" "$LAB_WORK/shim.out"
	same "$LAB_WORK/plain.err" "$LAB_WORK/shim.err"
}

# ---- proofs about the kernel ------------------------------------------------------------------------------------------------------

# On an end that the shim serves: does its kernel stay out of it?  Meaningless where the ends share the host's network.
kernel_ends() {
	local end

	[ "$LAB_MODE" = none ] && return
	for end in a b; do
		[ "${LAB_USES_SHIM[$end]}" = no ] || echo $end
	done
}

kernel_note() {
	local end

	for end in $(kernel_ends); do
		lab_kernel_tcp $end >"$LAB_TMP/kernel.$end"
		[ "$LAB_LINK" != memif ] || ! lab_in $end ip route get "$(lab_address a)" 2>/dev/null || fail "end $end has a route to end a"
	done
}

# No case but those that also use kernel addresses may move the kernel's TCP counters on an end with the shim.
KERNEL_MAY_MOVE=no
kernel_untouched() {
	local end now

	[ "$KERNEL_MAY_MOVE" = no ] || return 0
	for end in $(kernel_ends); do
		now=$(lab_kernel_tcp $end)
		[ "$now" = "$(<"$LAB_TMP/kernel.$end")" ] || fail "the kernel's TCP carried something on end $end: $now, was $(<"$LAB_TMP/kernel.$end")"
	done
}
