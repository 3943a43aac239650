#!/bin/sh
# Brings Redis 8 and Valkey 8 of Debian's release 13 for the tests that need servers newer than the system's.
#
# Nothing is installed: the packages come from the mirror that apt already uses, are checked by the archive's signature, and
# are unpacked with the libraries that they need into target/servers. Run again, it does nothing. IDEMPOTENCY_SERVERS names
# another folder, to this script and to the tests.
set -eu
cd "$(dirname "$0")/.."

folder="${IDEMPOTENCY_SERVERS:-target/servers}"
mkdir -p "$folder"
folder="$(cd "$folder" && pwd)"
release=trixie
# Complete for both servers: whatever else their packages ask for is for services that are installed.
packages="redis-server redis-tools valkey-server valkey-tools libc6 libgcc-s1 libstdc++6 libatomic1 libjemalloc2 liblzf1
    libssl3t64 libsystemd0 libcap2 libzstd1 zlib1g"

fail() {
    echo "tests/servers.sh: $*" >&2
    exit 1
}

if [ -x "$folder/redis-8" ] && [ -x "$folder/valkey-8" ]; then
    exit 0
fi
for tool in apt-get apt-cache dpkg-deb; do
    command -v "$tool" >/dev/null 2>&1 || fail "there is no $tool here; Redis 8 and Valkey 8 must be put into $folder by hand"
done

work="$(mktemp -d "$folder/work.XXXXXX")"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/root"
: >"$work/status"
mirror="$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)"
[ -n "$mirror" ] || mirror="$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/*$' | head -n 1)"
[ -n "$mirror" ] || fail "apt knows no mirror of Debian; run 'apt-get update' first"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || fail "$keyring is missing; install debian-archive-keyring"
echo "deb [signed-by=$keyring] $mirror $release main" >"$work/sources"

cat >"$work/apt.conf" <<CONF
Dir::Etc::SourceList "$work/sources";
Dir::Etc::SourceParts "-";
Dir::State::Lists "$work/lists";
Dir::State::Status "$work/status";
Dir::Cache "$work";
APT::Sandbox::User "";
CONF
export APT_CONFIG="$work/apt.conf"

echo "tests/servers.sh: fetching Redis 8 and Valkey 8 of Debian's $release into $folder"
apt-get update -q >"$work/log" 2>&1 || fail "the package lists cannot be had: $(cat "$work/log")"
# shellcheck disable=SC2086 # a list of words
(cd "$work/archives" && apt-get download -q $packages >"$work/log" 2>&1) ||
    fail "the packages cannot be had: $(cat "$work/log")"
for package in "$work"/archives/*.deb; do
    dpkg-deb -x "$package" "$work/root"
done

rm -rf "$folder/root"
mv "$work/root" "$folder/root"
loader="$(find "$folder/root" -name 'ld-linux*.so*' | head -n 1)"
[ -n "$loader" ] || fail "the packages bring no loader"
libraries="$(dirname "$(find "$folder/root" -name libc.so.6 | head -n 1)")"

# The libraries are newer than the system's, so each program is started by the loader that belongs to them.
wrap() {
    printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' "$loader" "$libraries" "$folder/root/usr/bin/$2" >"$folder/$1"
    chmod +x "$folder/$1"
    "$folder/$1" --version || fail "$1 does not start"
}
wrap redis-8 redis-server
wrap valkey-8 valkey-server
