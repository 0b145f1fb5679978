#!/bin/sh
# What a node of tests/pacemaker boots into: corosync and Pacemaker, Debian's, with our agents where they look.
#
#   nodestart.sh KIT
#
# Runs below the node's pid 1, in its own mount namespace: nothing here is seen by the machine, and it ends with
# the node. What survives a power cut is on the node's disk, /var/lib/failover-kit.
set -e
# Everything below covers directories of whoever runs it.
[ -e /run/rehearsal/boot ] || {
    echo "nodestart.sh: this is no node of the rehearsal; run tests/pacemaker instead" >&2
    exit 2
}
kit=$1
disk=/var/lib/failover-kit

# Pacemaker panics by sysrq, which knows no namespaces: it would be the machine that reboots.
[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
mount -t tmpfs tmpfs /var/log
install -d -o hacluster -g haclient -m 0770 /var/log/pacemaker /var/log/pacemaker/bundles
install -d /var/log/corosync
install -d -o hacluster -g haclient -m 0750 /run/crm
install -d -m 1755 /run/resource-agents

overlay() {
    install -d "/run/.node/$2/upper" "/run/.node/$2/work"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=/run/.node/$2/upper,workdir=/run/.node/$2/work" "$1"
}
overlay /usr/lib/ocf/resource.d ocf
ln -sfn "$kit/ocf" /usr/lib/ocf/resource.d/failover-kit
overlay /usr/sbin sbin
ln -sf "$kit/stonith/fence_wti_ips800" /usr/sbin/fence_wti_ips800
# The rehearsal's service as an init script, which takes no arguments: the witness, as everywhere.
cat >/etc/init.d/recordd <<'END'
#!/bin/sh
exec /etc/ha.d/resource.d/recordd /mnt/e0.0 7000 "$@"
END
chmod 755 /etc/init.d/recordd

install -d -o hacluster -g haclient -m 0750 "$disk/pacemaker"
for own in cib cores pengine blackbox; do
    install -d -o hacluster -g haclient -m 0750 "$disk/pacemaker/$own"
done
if [ ! -e "$disk/pacemaker/cib/cib.xml" ]; then
    install -o hacluster -g haclient -m 0600 /etc/ha.d/cib.xml "$disk/pacemaker/cib/cib.xml"
fi
mount --bind "$disk/pacemaker" /var/lib/pacemaker
install -d "$disk/corosync"
mount --bind "$disk/corosync" /var/lib/corosync

install -d /etc/corosync
sed 's|to_syslog: yes|to_syslog: no\n    to_logfile: yes\n    logfile: /var/log/corosync/corosync.log|' \
    /etc/ha.d/corosync.conf >/etc/corosync/corosync.conf
install -m 0400 /etc/ha.d/corosync.authkey /etc/corosync/authkey
corosync
PCMK_logfile=/var/log/pacemaker/pacemaker.log PCMK_logfacility=none
export PCMK_logfile PCMK_logfacility
exec pacemakerd -f
