#!/usr/bin/env bash
# Two gateways brought up by the stock wg-quick from exported files, a host behind each, and packets between the hosts.
# Runs in namespaces of its own (network, mount, process), so nothing of it outlives it.
# Usage: wg-quick.sh EXPORT_DIR KEY_DIR
set -euo pipefail
export_dir=$1 keys=$2
export PATH="$PATH:/usr/sbin:/sbin"

mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/wireguard
ip link set lo up
for ns in host-east east-a west-a host-west; do
  ip netns add $ns
  ip -n $ns link set lo up
done

# join NS1 ADDRESS1 NS2 ADDRESS2: a cable
join() {
  ip -n "$1" link add "to-${3:0:9}" type veth peer name "to-${1:0:9}" netns "$3"
  ip -n "$1" addr add "$2" dev "to-${3:0:9}"
  ip -n "$3" addr add "$4" dev "to-${1:0:9}"
  ip -n "$1" link set "to-${3:0:9}" up
  ip -n "$3" link set "to-${1:0:9}" up
}
join east-a 203.0.113.10/24 west-a 203.0.113.20/24
join host-east 10.10.0.2/16 east-a 10.10.0.1/16
join host-west 10.20.0.2/16 west-a 10.20.0.1/16
ip -n host-east route add default via 10.10.0.1
ip -n host-west route add default via 10.20.0.1

# on GATEWAY COMMAND...: with that gateway's /etc/wireguard and sockets
on() {
  local gateway=$1
  shift
  ip netns exec "$gateway" bash -euc '
    mount --bind "/run/etc-$0" /etc/wireguard
    mount --bind "/run/sockets-$0" /run/wireguard
    "$@"' "$gateway" "$@"
}
for gateway in east-a west-a; do
  mkdir -p "/run/etc-$gateway/keys" "/run/sockets-$gateway"
  cp "$export_dir/$gateway"/* "/run/etc-$gateway/"
  cp "$keys/$gateway.key" "/run/etc-$gateway/keys/"
  on $gateway wg-quick up rw0
done

fail() { echo "FAILED: $*"; exit 1; }
sends() { ip netns exec "$1" ping -c 1 -W 5 -M "do" -s $(($3 - 28)) "$2" >/dev/null; }

sends host-east 10.20.0.2 84 || sends host-east 10.20.0.2 84 || fail "the allowed ping"
sends host-east 10.20.0.2 1440 || fail "an allowed packet of 1440 bytes"
if sends host-east 10.20.0.2 1441; then fail "a packet of 1441 bytes got through"; fi
if sends host-west 10.10.0.2 84; then fail "the ping back, which no access names, got through"; fi
ip -n east-a route show 10.30.0.0/16 | grep -q 'mtu 1360' || fail "the route to the place with the small underlay: $(ip -n east-a route show)"
[ "$(on east-a wg show rw0 private-key)" = "$(cat "$keys/east-a.key")" ] || fail "the private key is another"

for gateway in east-a west-a; do
  on $gateway wg-quick down rw0
  [ -z "$(ip netns exec $gateway nft list tables)" ] || fail "$gateway: a table is left"
  [ -z "$(ip -n $gateway link show rw0 2>/dev/null)" ] || fail "$gateway: the device is left"
done
echo "all as planned"
