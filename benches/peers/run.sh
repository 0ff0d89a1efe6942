#!/bin/sh
# Cairn beside its peers, in one run: benches/peers/run.sh [--data DIR] [--quick] [--record]
#
# Builds release, makes a Python environment under the target directory, and passes all arguments
# on to compare.py. With CAIRN_BIN=DIR it builds nothing and takes `cairn`, `search` and `filtered` from there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
if [ -z "${CAIRN_BIN:-}" ]; then
  set_up="--locked --release --manifest-path $root/Cargo.toml --target-dir $target"
  # shellcheck disable=SC2086
  cargo build $set_up -p cairn --bin cairn
  # shellcheck disable=SC2086
  cargo build $set_up -p benches --bin search --bin filtered
  CAIRN_BIN=$target/release
fi
venv=$target/peers-venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
pip="$venv/bin/python -m pip install --quiet --disable-pip-version-check"
# One that does not install here must not keep out the others: the table names it.
$pip -r "$here/requirements.txt" || while read -r package; do
  $pip "$package" || echo "$package does not install here" >&2
done <"$here/requirements.txt"
exec "$venv/bin/python" "$here/compare.py" --bin "$CAIRN_BIN" --out "$target/peers-results" "$@"
