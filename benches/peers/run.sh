#!/bin/sh
# Cairn beside its peers, in one sitting: benches/peers/run.sh --data DIR [--record]
#
# Builds release, makes a Python environment under the target directory, and passes all arguments
# on to compare.py.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
case $target in /*) ;; *) target=$PWD/$target ;; esac
manifest=$root/Cargo.toml
cargo build --locked --release --manifest-path "$manifest" --target-dir "$target" -p cairn --bin cairn
cargo build --locked --release --manifest-path "$manifest" --target-dir "$target" -p benches --bins
venv=$target/peers-venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$root/benches/peers/requirements.txt"
exec "$venv/bin/python" "$root/benches/peers/compare.py" --bin "$target/release" "$@"
