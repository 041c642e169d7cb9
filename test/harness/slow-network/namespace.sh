#!/bin/sh
# namespace.sh HOSTS_FILE COMMAND...: runs a command in a network of its own, as root:
#   unshare --net --mount sh namespace.sh HOSTS_FILE COMMAND...
# 10.99.0.1 is this machine. 10.99.0.2 is this machine as well, but 200 ms away in each direction.
# IPv6 is link-local only. With IPV6=silent there is also a global IPv6 network that answers nothing.
set -e
here=$(dirname "$0")
mount --bind "$1" /etc/hosts
shift
ip link set lo up
ip -6 address del ::1/128 dev lo 2>/dev/null || true
ip tuntap add dev slow0 mode tun
ip link set slow0 up
ip address add 10.99.0.1/24 dev slow0
ip -6 address add fe80::99/64 dev slow0 nodad 2>/dev/null || true
[ "$IPV6" != silent ] || ip -6 address add fd00:99::1/64 dev slow0 nodad
perl "$here/reflector.pl" slow0 0.2 &
reflector=$!
trap 'kill $reflector' EXIT
"$@"
