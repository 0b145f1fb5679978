#!/bin/sh
# Packages out of a copy of this tree: tools/packages.sh deb|rpm|source [DIRECTORY]. They end up in
# build/deb or build/rpm, checked by lintian or rpmlint; in DIRECTORY, which is emptied first, unchecked. Nothing is
# installed. No root needed.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
kind=${1:-}
out=${2:-$top/build/$kind}
checked=${2:+no} build=full
[ -z "$checked" ] || build=binary
version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' "$top/lib/failover_kit/__init__.py")
case $kind in
deb) programs="dpkg-buildpackage dh dh_python3 lintian" ;;
rpm) programs="rpmbuild rpmlint" ;;
source) programs=tar ;;
*)
    echo "usage: tools/packages.sh deb|rpm|source [DIRECTORY]" >&2
    exit 2
    ;;
esac
lacking=
for program in $programs; do
    command -v "$program" >/dev/null || lacking="$lacking $program"
done
if [ -n "$lacking" ]; then
    echo "make $kind: not installed:$lacking" >&2
    echo "apt-get install --no-install-recommends build-essential debhelper dh-python lintian rpm rpmlint" >&2
    exit 2
fi

rm -rf "$out"
mkdir -p "$out"
source=failover-kit-$version
# What belongs to the source, whether or not it is committed; build/ is where we are.
tar -C "$top" --exclude-vcs --exclude=./build --exclude=./dist --exclude='./.[a-z]*_cache' --exclude=./.venv \
    --exclude=./.lab --exclude=./.hypothesis --exclude=__pycache__ --exclude='*.egg-info' --exclude='./rehearsal.html' \
    --exclude='./howto*' --sort=name --owner=0 --group=0 --transform="s|^\.|$source|" -czf "$out/$source.tar.gz" .

[ "$kind" != source ] || exit 0
if [ "$kind" = deb ]; then
    tar -C "$out" -xzf "$out/$source.tar.gz"
    (cd "$out/$source" && dpkg-buildpackage --build="$build" --no-sign >"$out/build.log" 2>&1) || {
        tail -n 30 "$out/build.log" >&2
        exit 1
    }
    mv "$out/$source/debian" "$out/debian" # the trees as they were packed, for who wants to look
    rm -rf "$out/$source" "$out/$source.tar.gz"
    # Pedantic and informational tags, too. Overrides stand in debian/*.lintian-overrides, each with its reason. What
    # is suppressed is a matter of the lintian at hand: overrides of tags that Debian 13's no longer has, and its Policy.
    [ -n "$checked" ] || lintian --pedantic --display-info --info --fail-on=error,warning,info,pedantic --no-cfg \
        --suppress-tags alien-tag,out-of-date-standards-version "$out"/*.changes
else
    for folder in BUILD BUILDROOT RPMS SOURCES SPECS SRPMS; do mkdir "$out/$folder"; done
    mv "$out/$source.tar.gz" "$out/SOURCES"
    cp "$top/rpm/failover-kit.spec" "$out/SPECS"
    # --nodeps: on Debian rpm's database is empty, and says that even make is missing.
    rpmbuild --define "_topdir $out" --nodeps -ba "$out/SPECS/failover-kit.spec" >"$out/build.log" 2>&1 || {
        tail -n 30 "$out/build.log" >&2
        exit 1
    }
    mv "$out"/RPMS/*/*.rpm "$out"/SRPMS/*.rpm "$out"
    rm -rf "$out/BUILD" "$out/BUILDROOT" "$out/RPMS" "$out/SRPMS" "$out/SOURCES" "$out/SPECS"
    [ -n "$checked" ] || rpmlint --strict --config "$top/rpm/rpmlint.toml" "$top/rpm/failover-kit.spec" "$out"/*.rpm
fi
echo "make $kind: packages in $out:"
(cd "$out" && ls -- *."$kind")
