#!/bin/sh
# throw_away.sh FOLDER COMMAND...: runs the command as root in a copy of this system whose changes are kept in memory and are
# gone afterwards, with processes and a loopback of its own. There the folder is /run/files; here it must hold an empty
# folder `copy`. Exits with 99 where that cannot be made (no root, no overlayfs).
if [ "$1" != --inside ]; then
	exec unshare --mount --pid --net --fork --kill-child "$0" --inside "$@"
fi
folder=$2
shift 2
base=$folder/copy
mount -t tmpfs -o mode=755 tmpfs "$base" &&
	mkdir "$base/upper" "$base/work" "$base/root" &&
	mount -t overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" overlay "$base/root" &&
	mount -t proc proc "$base/root/proc" &&
	mount --rbind /dev "$base/root/dev" &&
	mount -t tmpfs -o mode=1777 tmpfs "$base/root/var/tmp" &&
	mount -t tmpfs -o mode=755 tmpfs "$base/root/run" &&
	mkdir "$base/root/run/files" &&
	mount --bind "$folder" "$base/root/run/files" &&
	ip link set lo up || exit 99
exec chroot "$base/root" "$@"
