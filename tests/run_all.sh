#!/bin/sh
# Sets up a fresh Debian machine and runs every test: packages, virtual environment, build, pytest.
set -eu
cd "$(dirname "$0")/.."
missing=""
for package in g++ doctest-dev pkg-config g++-aarch64-linux-gnu qemu-user; do
  dpkg -s "$package" >/dev/null 2>&1 || missing="$missing $package"
done
if [ -n "$missing" ]; then
  root=""
  [ "$(id -u)" = 0 ] || root=sudo
  $root apt-get update -q
  # shellcheck disable=SC2086  # a list of packages
  $root apt-get install -q -y --no-install-recommends $missing
fi
python3 -m venv --clear .venv-test
.venv-test/bin/pip install -q --config-settings cmake.define.AFFECTRT_WERROR=ON '.[test]'
# In the order of the files: the builds of C++, which take all cores, then end well before the rest.
.venv-test/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
