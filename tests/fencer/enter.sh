#!/bin/sh
# The inside of tests/fencer/fencer.py: first process of fresh net, mount, ipc, uts and pid namespaces.
#
#   enter.sh FOLDER NAME=PROGRAM...
#
# Gives Pacemaker directories of its own, puts each PROGRAM under /usr/sbin/NAME, says "ready" and waits
# for the end of its standard input. When it ends, for whatever reason, the kernel kills all that runs here and
# takes the mounts away; nothing outside is ever changed.
set -e
folder=$1
shift
ip link set lo up
mount -t tmpfs tmpfs /run
# A /dev of our own, for a /dev/log that the test reads and shared memory that others do not see.
mkdir /run/dev /run/sbin
mount --rbind /dev /run/dev
mount -t tmpfs tmpfs /dev
ln -s /run/dev/* /dev/
rm -f /dev/shm /dev/log
mkdir /dev/shm
mount -t tmpfs tmpfs /dev/shm
ln -s "$folder/log.sock" /dev/log
# The machine's /usr/sbin as links, so that names can be added and replaced without an overlay file
# system (which a container may not allow) and our launchers find their library from where they really are.
mount --rbind /usr/sbin /run/sbin
mount -t tmpfs tmpfs /usr/sbin
ln -s /run/sbin/* /usr/sbin/
for pair; do
    ln -sf "${pair#*=}" "/usr/sbin/${pair%%=*}"
done
for own in /var/lib/pacemaker /var/log/pacemaker /var/lib/corosync; do
    mount -t tmpfs tmpfs "$own"
done
install -d -o hacluster -g haclient /var/lib/pacemaker/cores /run/crm
echo ready
read -r _ || :
