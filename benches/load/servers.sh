# Starts and stops the servers under comparison. Sourced by run; needs DIR, MEMORY, MEMORY_BYTES.
# Each has one worker on core 0; the origin and the load are on core 1.

BASE=${BASE:-9500}
ORIGIN=$((BASE + 99))
declare -A NUMBER=([nginx]=1 [varnish]=2 [haproxy]=3 [ats]=4 [larder]=5 [floor]=6)

port() { echo $((BASE + NUMBER[$1])); }
tls_port() { echo $((BASE + 50 + NUMBER[$1])); }

installed() {
  case $1 in
  nginx) [ -x /usr/sbin/nginx ] ;;
  varnish) [ -x /usr/sbin/varnishd ] ;;
  haproxy) [ -x /usr/sbin/haproxy ] ;;
  ats) [ -x /usr/bin/traffic_server ] ;;
  larder | floor) true ;;
  esac
}

# A peer's configuration with its places filled in.
filled() {
  local name=$1 server=$2
  sed "s#@DIR@#$DIR#g; s#@ORIGIN@#$ORIGIN#g; s#@PORT@#$([ "$server" = origin ] || port "$server")#g
       s#@TLS@#$([ "$server" = origin ] || tls_port "$server")#g; s#@ADMIN@#$((BASE + 90))#g; s#@LOG@#${ACCESS_LOG:-off}#g
       s#@MEMORY@#$MEMORY#g; s#@MEMORY_BYTES@#$MEMORY_BYTES#g; s#@FILL@#$(printf 'x%.0s' $(seq 4000))#" \
    "$here/peers/$name" >"$DIR/$server-$name"
  echo "$DIR/$server-$name"
}

certificate() {
  [ -f "$DIR/cert.pem" ] && return
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$DIR/key.pem" -out "$DIR/cert.pem" 2>/dev/null
  cat "$DIR/cert.pem" "$DIR/key.pem" >"$DIR/both.pem"
  chmod 644 "$DIR"/*.pem # Traffic Server reads them as its own user; they are good for this run only
}

start() {
  case $1 in
  origin)
    mkdir -p "$DIR/www" "$DIR/tmp"
    for size in 1k:1024 64k:65536 1m:1048576; do head -c "${size##*:}" /dev/urandom >"$DIR/www/${size%%:*}"; done
    taskset -c 1 nginx -c "$(filled origin.conf origin)"
    ;;
  nginx) rm -rf "$DIR/nginx-cache" && mkdir -p "$DIR/nginx-cache" && taskset -c 0 nginx -c "$(filled nginx.conf nginx)" ;;
  varnish)
    taskset -c 0 varnishd -j none -a "127.0.0.1:$(port varnish)" -f "$(filled varnish.vcl varnish)" \
      -s "$([ "$MEMORY" = 32MiB ] && echo "file,$DIR/varnish.store,4G" || echo malloc,4G)" \
      -n "$DIR/varnish" -P "$DIR/varnish.pid" -p thread_pools=1 -p thread_pool_min=100 -p thread_pool_max=1000 >"$DIR/varnish.log" 2>&1
    ;;
  haproxy) taskset -c 0 haproxy -D -p "$DIR/haproxy.pid" -f "$(filled haproxy.cfg haproxy)" ;;
  ats) start_ats ;;
  floor)
    taskset -c 0 "$FLOOR" "127.0.0.1:$(port floor)" >"$DIR/floor.log" 2>&1 &
    echo $! >"$DIR/floor.pid"
    ;;
  larder)
    rm -rf "$DIR/larder-cache"
    [ -f "$DIR/admin.token" ] || (umask 077 && head -c 24 /dev/urandom | base64 >"$DIR/admin.token")
    taskset -c 0 "$LARDER" run --config "$(filled larder.toml larder)" >"$DIR/larder.log" 2>&1 &
    echo $! >"$DIR/larder.pid"
    ;;
  esac
}

start_ats() {
  local root=$DIR/ats
  rm -rf "$root" && mkdir -p "$root"/{etc,var,log,cache} && cp -r /etc/trafficserver/. "$root/etc/"
  cp "$(filled ats.config ats)" "$root/etc/records.config"
  echo "map http://127.0.0.1:$(port ats)/ http://127.0.0.1:$ORIGIN/
map https://127.0.0.1:$(tls_port ats)/ http://127.0.0.1:$ORIGIN/" >"$root/etc/remap.config"
  echo "$root/cache 2G" >"$root/etc/storage.config"
  echo "ssl_cert_name=$DIR/cert.pem ssl_key_name=$DIR/key.pem dest_ip=*" >"$root/etc/ssl_multicert.config"
  cat >"$root/runroot.yaml" <<Y
prefix: /usr
sysconfdir: $root/etc
localstatedir: $root/var
runtimedir: $root/var
logdir: $root/log
cachedir: $root/cache
bindir: /usr/bin
libdir: /usr/lib/trafficserver
libexecdir: /usr/lib/trafficserver/modules
datadir: $root/var
Y
  chown -R trafficserver "$root"
  (cd "$root" && exec taskset -c 0 traffic_server --run-root="$root/runroot.yaml" >"$DIR/ats.log" 2>&1) &
  echo $! >"$DIR/ats.pid"
}

stop() {
  [ -f "$DIR/$1.pid" ] && kill "$(cat "$DIR/$1.pid")" 2>/dev/null && rm -f "$DIR/$1.pid"
}

# Waits until a server answers through to the origin.
answers() {
  for _ in $(seq 100); do
    curl -s -o /dev/null -m 2 "http://127.0.0.1:$(port "$1")/1k" && return
    sleep 0.1
  done
  echo "$1 does not answer" >&2
  return 1
}

# The processes of a server: the one that was started and what it has started.
processes() {
  local all next
  all=$(cat "$DIR/$1.pid")
  next=$all
  while next=$(for pid in $next; do pgrep -P "$pid"; done) && [ -n "$next" ]; do all="$all $next"; done
  echo $all
}

# Processor time of a server so far: "user system", in ticks of 10 ms.
ticks() {
  for pid in $(processes "$1"); do cat "/proc/$pid/stat" 2>/dev/null; done |
    sed 's/.*) //' | awk '{ user += $12; kernel += $13 } END { print user + 0, kernel + 0 }'
}

# Resident memory of a server, MiB. What its processes share is counted once for each.
resident() {
  for pid in $(processes "$1"); do grep VmRSS "/proc/$pid/status" 2>/dev/null; done |
    awk '{ sum += $2 } END { printf "%.0f\n", sum / 1024 }'
}
