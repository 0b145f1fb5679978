#!/bin/sh
# What a node of tests/heartbeat boots into: failover-kit as `make install` leaves it, Debian's Heartbeat, and
# whatever `systemctl enable` was said of. Below the node's pid 1, in its own mount namespace: nothing here is seen
# by the machine. What survives a power cut is /etc/ha.d and the node's disk, /var/lib/failover-kit.
set -e
# Everything below covers directories of whoever runs it.
[ -e /run/rehearsal/boot ] || {
    echo "nodestart.sh: this is no node of the rehearsal; run tests/heartbeat instead" >&2
    exit 2
}
kit=/run/rehearsal/kit
disk=/var/lib/failover-kit/lab

# failoverd.service says --self-reset: sysrq knows no namespaces, it would be the machine that resets.
[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
mkdir -p "$disk/log" "$disk/enabled" /run/.node/usr/upper /run/.node/usr/work
mount --bind "$disk/log" /var/log
# /usr as it is, and over it what make install has put into a tree of its own, with programs of the test.
mount -t overlay overlay -o "lowerdir=$kit:/usr,upperdir=/run/.node/usr/upper,workdir=/run/.node/usr/work" /usr

# The shared disk under one name, as udev would give it.
mkdir /run/etherd
ln -s "$(cat /etc/ha.d/lab-disk)" /run/etherd/e0.0

# Witnesses in the places of agents, launchers and plugin; each runs what it stands for.
for agent in IPaddr Filesystem; do
    mount --bind /etc/ha.d/resource.d/recordd "/usr/lib/ocf/resource.d/failover-kit/$agent"
done
mount --bind "$kit/lib/lab/witness" /usr/lib/failover-kit/compat/resource.d/failover-kit
mount --bind "$kit/lib/lab/witness" /usr/lib/stonith/plugins/external/failover-kit-wti

# What systemd-tmpfiles leaves for Heartbeat, and its own directory on the node's disk.
for name in /run/heartbeat /run/heartbeat/ccm /run/heartbeat/crm /run/heartbeat/dopd /run/crm; do
    install -d -o hacluster -g haclient -m 0750 "$name"
done
install -d -m 1755 /run/resource-agents
if [ ! -e "$disk/heartbeat" ]; then
    mkdir "$disk/heartbeat.new"
    for name in api casual ccm ckpt cores cores/root cores/hacluster cores/nobody crm lrm pengine; do
        install -d -o hacluster -g haclient -m 0755 "$disk/heartbeat.new/$name"
    done
    mv "$disk/heartbeat.new" "$disk/heartbeat"
fi
mkdir -p /var/lib/heartbeat
mount --bind "$disk/heartbeat" /var/lib/heartbeat

for unit in "$disk/enabled"/*; do
    [ ! -e "$unit" ] || systemctl start "${unit##*/}" || true
done
touch /run/booted
exec sleep infinity
