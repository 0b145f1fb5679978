#!/bin/sh
# Bring a Debian-like machine to what a make target needs: look, list, ask, install.
#
#   tools/setup.sh rehearsal|lab|docs|test
#
# On a terminal it asks before installing; YES=1, or no terminal, goes on. Exit 2, with nothing changed,
# when the machine cannot be used: one line for each thing that is needed. POSIX sh, because Python
# itself may be what is missing.
set -eu

# What the programs of the project need at run time on one machine.
RUNTIME="python3 python3-pexpect python3-serial python3-lxml iproute2 xfsprogs util-linux mount procps"
# The lab: machines of its own, their disks, the shelf they share, and the host's way in.
LAB="qemu-system-x86 mmdebstrap vblade busybox-static cpio e2fsprogs openssh-client kmod make"
# The independent peers and tools that the tests compare with.
TESTS="python3-venv e2fsprogs resource-agents pacemaker pacemaker-cli-utils corosync fence-agents cluster-glue
       heartbeat powerman ansible openssh-server openssh-client openssl strace
       libxml2-utils xsltproc telnet psmisc kmod iputils-ping iputils-arping nfs-kernel-server nfs-common
       groff-base mandoc cmark-gfm pcs crmsh mon rpcbind zsh keepalived
       build-essential debhelper dh-python lintian rpm rpmlint"

case "${1:-}" in
rehearsal) wanted=$RUNTIME ;;
lab) wanted="$RUNTIME $LAB" ;;
docs) wanted="python3 python3-pexpect python3-serial python3-lxml cmark-gfm mandoc" ;;
test) wanted="$RUNTIME $LAB $TESTS" ;;
*)
    echo "usage: tools/setup.sh rehearsal|lab|docs|test" >&2
    exit 2
    ;;
esac

usable=yes
refuse() {
    echo "make $target: $1" >&2
    usable=no
}
target=$1
[ "$(uname -s)" = Linux ] || refuse "this is $(uname -s); a Linux machine is needed (namespaces, XFS)"
[ "$(id -u)" = 0 ] || refuse "not root; run it as root (namespaces, mounts and packages need it)"
command -v apt-get >/dev/null 2>&1 || refuse "no apt-get; a Debian-like machine is needed (Debian 12 or newer)"
[ "$usable" = yes ] || exit 2

missing=
for package in $wanted; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "make $target needs these packages, which are not installed:"
for package in $missing; do
    echo "  $package"
done
if [ "${YES:-}" != 1 ] && [ -t 0 ]; then
    printf 'Install them with apt-get now? [y/N] '
    read -r answer
    case "$answer" in
    y | Y | yes) ;;
    *)
        echo "nothing was changed" >&2
        exit 2
        ;;
    esac
fi
# The peers are compared with, never used: none of their services is started here (policy-rc.d is what
# invoke-rc.d and deb-systemd-invoke ask; 101 means no).
policy=/usr/sbin/policy-rc.d
if [ "$target" != rehearsal ] && [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086  # a list of package names
apt-get install -q -y --no-install-recommends $missing
