#!/bin/sh
# A private virtual environment for test tools, pinned by tests/constraints.txt. Run-time libraries come
# from the distribution: the environment sees the system's packages and installs none of them.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
stamp="$top/.venv/constraints.txt"
cmp -s "$top/tests/constraints.txt" "$stamp" && exit 0
rm -rf "$top/.venv"
/usr/bin/python3 -m venv --system-site-packages "$top/.venv"
"$top/.venv/bin/pip" install --quiet --disable-pip-version-check --constraint "$top/tests/constraints.txt" \
    pytest pytest-rerunfailures pytest-subprocess pytest-xdist hypothesis ruff mypy
cp "$top/tests/constraints.txt" "$stamp"
