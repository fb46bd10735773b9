# SPDX-License-Identifier: BSD-3-Clause
# measure_apps.sh - measurements of well-known servers with their usual load generators: nginx and wrk, haproxy between them, redis, memcached.
#
# Source after measure.sh, whose conventions these follow.  Each server is one process with one thread of work: a core for each end.

# nginx_conf NAME ADDRESS:PORT [tls]: a configuration that serves LAB_TMP/www there, tuned as nginx's manual has it for many requests: without it nginx opens,
# asks and closes the file for each one, which is 56 % of its core on the shim and has nothing to do with the network.
nginx_conf() {
	local tls=

	[ -z "${3:-}" ] || tls="ssl_certificate $LAB_TMP/cert.pem; ssl_certificate_key $LAB_TMP/key.pem;"
	cat >"$LAB_TMP/$1.conf" <<-END
		user root; daemon off; master_process off; error_log stderr; pid $LAB_TMP/$1.pid;
		events { worker_connections 4096; }
		http {
			access_log off; open_file_cache max=100; keepalive_requests 1000000000;
			client_body_temp_path $LAB_TMP/body; proxy_temp_path $LAB_TMP/proxy; fastcgi_temp_path $LAB_TMP/fastcgi;
			uwsgi_temp_path $LAB_TMP/uwsgi; scgi_temp_path $LAB_TMP/scgi;
			server { listen $2${3:+ ssl} backlog=4096; $tls root $LAB_TMP/www; }
		}
	END
}

www_file() {
	mkdir -p "$LAB_TMP/www" && head -c "$1" /dev/zero | tr '\0' x >"$LAB_TMP/www/f"
}

certificate() {
	[ -e "$LAB_TMP/cert.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench \
		-keyout "$LAB_TMP/key.pem" -out "$LAB_TMP/cert.pem" 2>/dev/null
}

# wrk_run SECONDS URL [close]: and what it says in VALUE.
wrk_run() {
	measure_client wrk -t 1 -c 64 --latency -d "$1" ${3:+-H "Connection: $3"} "$2" || return
	if grep -q -e 'Socket errors' -e Non-2xx "$LAB_TMP/client.log"; then
		measure_fail "wrk met errors" "$LAB_TMP/client.log"
		return
	fi
	WORK=$(awk '/ requests in / { print $1 }' "$LAB_TMP/client.log")
	P50=$(wrk_percentile 50%) P99=$(wrk_percentile 99%)
	measure_end "$(awk '/^Requests\/sec/ { print $2 }' "$LAB_TMP/client.log")"
}

# wrk says 12.30us, 1.02ms or 1.10s.
wrk_percentile() {
	awk -v which="$1" '$1 == which { n = $2 + 0; print $2 ~ /ms$/ ? n * 1e3 : $2 ~ /us$/ ? n : n * 1e6; exit }' "$LAB_TMP/client.log"
}

# measure_http SECONDS SIZE [tls] [close]: nginx and wrk, requests per second for a file of that size on 64 connections.
measure_http() {
	local seconds=$1 size=$2 tls='' close=''

	shift 2
	[[ " $* " != *" tls "* ]] || tls=tls
	[[ " $* " != *" close "* ]] || close=close
	[ -z "$tls" ] || certificate
	PORT=$((PORT + 1))
	www_file "$size"
	nginx_conf nginx $PORT $tls
	measure_begin nginx -p "$LAB_TMP" -e stderr -c "$LAB_TMP/nginx.conf" || return
	wrk_run "$seconds" "http${tls:+s}://$(lab_address a):$PORT/f" $close
}

# measure_haproxy SECONDS: wrk, haproxy, nginx.  A process of the shim has one port, and there are two ends: haproxy and nginx share end a and speak over
# 127.0.0.1, which is Linux's in either case.
measure_haproxy() {
	local back

	PORT=$((PORT + 2)) back=$((PORT + 1))
	www_file 64
	nginx_conf back 127.0.0.1:$back
	LAB_PLAIN=yes lab_start back a $((MEASURE_LIMIT * 2)) nginx -p "$LAB_TMP" -e stderr -c "$LAB_TMP/back.conf"
	cat >"$LAB_TMP/haproxy.cfg" <<-END
		global
			nbthread 1
			maxconn 4096
		defaults
			mode http
			timeout connect 5s
			timeout client 30s
			timeout server 30s
		listen front
			bind 0.0.0.0:$PORT
			http-reuse always
			server back 127.0.0.1:$back
	END
	measure_begin haproxy -db -f "$LAB_TMP/haproxy.cfg" && wrk_run "$1" "http://$(lab_address a):$PORT/f"
	set -- $?
	lab_stop back
	return "$1"
}

# measure_redis SECONDS [PIPELINE]: GETs per second on 50 connections.  redis-benchmark counts requests, not seconds: so many that Linux takes about that
# long.
measure_redis() {
	local pipeline=${2:-1} rate=70000

	# About as many as are answered in that time.
	[ "$LAB_LINK" != memif ] || rate=350000
	PORT=$((PORT + 1))
	measure_begin redis-server --port $PORT --protected-mode no --save '' --appendonly no --dir "$LAB_TMP" || return
	WORK=$(($1 * rate * (pipeline > 1 ? 4 : 1)))
	measure_client redis-benchmark -h "$(lab_address a)" -p $PORT -t get -c 50 -n $WORK -P "$pipeline" --csv || return
	P50=$(awk -F '"' '$2 == "GET" { print $10 * 1e3 }' "$LAB_TMP/client.log") P99=$(awk -F '"' '$2 == "GET" { print $14 * 1e3 }' "$LAB_TMP/client.log")
	measure_end "$(awk -F '"' '$2 == "GET" { print $4 }' "$LAB_TMP/client.log")"
}

# measure_memcached SECONDS: requests per second on 64 connections, nine gets to a set.
measure_memcached() {
	PORT=$((PORT + 1))
	measure_begin memcached -u root -U 0 -l 0.0.0.0 -p $PORT -t 1 -c 4096 || return
	measure_client memcaslap -s "$(lab_address a):$PORT" -T 1 -c 64 -X 64 -t "$1s" || return
	WORK=$(sed -n 's/.*Ops: \([0-9]*\) TPS.*/\1/p' "$LAB_TMP/client.log")
	measure_end "$(sed -n 's/.*Ops: [0-9]* TPS: \([0-9]*\) .*/\1/p' "$LAB_TMP/client.log")"
}
