#!/bin/sh
# Runs a command as a container engine would: on a file system of its own, as another user, with
# nothing in its environment but what is said. To be started in new mount and pid namespaces.
# usage: container.sh ROOT USER SOURCE:TARGET:ro|rw... -- NAME=VALUE... COMMAND...
set -eu
root=$1 user=$2
shift 2

mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$root"
for top in bin sbin lib lib32 lib64 usr etc opt; do
    if [ -L "/$top" ]; then
        ln -s "$(readlink "/$top")" "$root/$top"
    elif [ -d "/$top" ]; then
        mkdir "$root/$top"
        mount --rbind "/$top" "$root/$top"
        mount -o remount,bind,ro "$root/$top"
    fi
done
mkdir "$root/proc" "$root/dev"
mkdir -m 1777 "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
while [ "$1" != -- ]; do
    target=$(echo "$1" | cut -d: -f2)
    mkdir -p "$root$target"
    mount --bind "${1%%:*}" "$root$target"
    mount -o "remount,bind,${1##*:}" "$root$target"
    shift
done
shift
mount -o remount,ro "$root"
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups --no-new-privs \
    --bounding-set=-all --inh-caps=-all env -i "$@"
