#!/bin/sh
# Makes the file system of the container image in the folder DEST: the program, the libraries that it asks for, and nothing else.
# No shell, no package manager, nobody's account but the program's.
#
#   sh root.sh PROGRAM DEST
set -eu

program=$1
dest=$2
uid=65532

mkdir -p "$dest/opt/defender-mssp" "$dest/etc/defender-mssp" "$dest/var/lib/defender-mssp" "$dest/tmp" "$dest/proc" "$dest/dev"
install -m 755 "$program" "$dest/opt/defender-mssp/defender-mssp"

# The C library has looked up hosts and accounts by itself since 2.34, so what ldd prints is all:
# "NAME => PATH (address)", and for the loader "PATH (address)".
ldd "$program" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' | while read -r library; do
  install -D "$(readlink -f "$library")" "$dest$library"
done

printf 'defender-mssp:x:%s:%s::/var/lib/defender-mssp:/usr/sbin/nologin\n' "$uid" "$uid" >"$dest/etc/passwd"
printf 'defender-mssp:x:%s:\n' "$uid" >"$dest/etc/group"
printf 'hosts: files dns\n' >"$dest/etc/nsswitch.conf"
chmod 755 "$dest" "$dest/etc" "$dest/etc/defender-mssp"
chmod 1777 "$dest/tmp"
chown "$uid:$uid" "$dest/var/lib/defender-mssp"
chmod 700 "$dest/var/lib/defender-mssp"
