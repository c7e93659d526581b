#!/bin/sh
# Becomes a command in another root; run by the first process of new namespaces, as their root.
#   enter.sh ROOT writable|readonly UID:GID DIRECTORY PLACES COMMAND...
# PLACES: of the machine, seen in the root as well, only to read; separated by spaces.
set -eu
root=$1 access=$2 user=$3 directory=$4 places=$5
shift 5

mount --bind "$root" "$root"
for place in $places; do
  mkdir -p "$root$place"
  mount --rbind "$place" "$root$place"
  mount -o remount,bind,ro "$root$place"
done
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
if [ "$access" = writable ]; then
  mkdir -m 1777 "$root/dev/shm"
else
  mount -o remount,bind,ro "$root"
  mount -o remount,bind,ro "$root/dev"
fi

exec unshare --user --map-user="${user%:*}" --map-group="${user#*:}" \
  --root="$root" --wd="$directory" -- "$@"
