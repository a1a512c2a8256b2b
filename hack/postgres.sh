#!/usr/bin/env bash
# Finds a real PostgreSQL, 15 or later, for tests and benchmarks, and notes in DIRECTORY where it is:
#
#   DIRECTORY/bindir   a symbolic link to the folder of initdb and postgres
#   DIRECTORY/lib      shared libraries that the loader would not find by itself; only if the server was unpacked
#
# It takes one that is installed. If there is none it downloads Debian's packages and unpacks them into DIRECTORY, which
# takes no root and starts no server. Run again, it does nothing. With --download it does not look for an installed one.
set -euo pipefail

oldest=15 # the oldest version that Edict supports
download=
if [[ ${1-} == --download ]]; then
  download=yes
  shift
fi
out=${1:?usage: hack/postgres.sh [--download] DIRECTORY}
mkdir -p "$out"
out=$(cd "$out" && pwd)

remedy="Install PostgreSQL $oldest or later (on Debian: apt-get install postgresql), and run this again; or set
EDICT_POSTGRES to the folder that holds its initdb and postgres."

fail() {
  printf 'hack/postgres.sh: %s\n%s\n' "$1" "$remedy" >&2
  exit 1
}

# version BINDIR prints the major version of the server there, if it can be run and is not too old.
version() {
  local number
  [[ -x $1/initdb && -x $1/postgres ]] || return 1
  number=$(LD_LIBRARY_PATH=$out/lib "$1/postgres" --version 2>/dev/null) || return 1
  number=${number#* (PostgreSQL) } # "postgres (PostgreSQL) 15.18 (Debian …)"; also 19beta1
  number=${number%%[!0-9]*}
  [[ -n $number ]] && ((number >= oldest)) && echo "$number"
}

# installed prints the folders in which a server may be, the newest of Debian's first.
installed() {
  if command -v pg_config >/dev/null; then pg_config --bindir; fi
  find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort --reverse --version-sort
  if command -v initdb >/dev/null; then dirname "$(readlink -f "$(command -v initdb)")"; fi
}

# note BINDIR makes DIRECTORY say where the server is.
note() {
  ln -sfn "$1" "$out/bindir"
  echo "PostgreSQL $2 for the tests: $1"
  exit 0
}

# libraries PACKAGE... prints the packages of shared libraries that these need and this machine does not have. LLVM is left
# out: only compiling queries needs it, and the tests switch that off.
libraries() {
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
    grep -E '^lib[a-z0-9.+-]+$' | sort -u | grep -Ev '^libllvm|-perl$' |
    while read -r package; do
      [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *" installed" ]] || echo "$package"
    done
}

# fetch PACKAGE... downloads and unpacks Debian's packages; nothing of the system is changed.
fetch() {
  local deb
  echo "Downloading $*"
  (cd "$out/debs" && apt-get download -q "$@") || return 1
  for deb in "$out"/debs/*.deb; do
    dpkg-deb -x "$deb" "$out/root" && rm "$deb" || return 1
  done
  find "$out/root/lib" "$out/root/usr/lib" -maxdepth 2 -name 'lib*.so*' -exec cp -P {} "$out/lib/" \; 2>/dev/null || true
}

# unfound prints the shared libraries that the unpacked programs need and the loader does not find.
unfound() {
  LD_LIBRARY_PATH=$out/lib ldd "$out"/root/usr/lib/postgresql/*/bin/{postgres,initdb} 2>/dev/null | grep 'not found' || true
}

# unpack makes a server of Debian's packages in DIRECTORY/root.
unpack() {
  local server client needed
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || {
    echo "There is no apt-get here to download a server with." >&2
    return 1
  }
  server=$(apt-cache depends postgresql 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^postgresql-[0-9]+$/ {print $2; exit}')
  [[ -n $server ]] || {
    echo "apt knows no package postgresql: its lists may be missing; apt-get update fetches them." >&2
    return 1
  }
  client=${server/-/-client-}
  rm -rf "$out/debs" "$out/root" "$out/lib"
  mkdir -p "$out/debs" "$out/root" "$out/lib"
  chmod 755 "$out" "$out/root" "$out/lib" # a server does not run as root, and must get in
  fetch "$server" "$client" libpq5 || return 1
  if [[ -n $(unfound) ]]; then
    mapfile -t needed < <(libraries "$server" "$client")
    fetch "${needed[@]}" || return 1
  fi
  rm -rf "$out/debs"
}

# install lets apt install the server, without the cluster that Debian would create and start.
install() {
  ((EUID == 0)) && command -v apt-get >/dev/null || return 1
  echo "Installing the package postgresql, without a cluster."
  mkdir -p /etc/postgresql-common/createcluster.d
  echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/edict.conf
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends postgresql
}

if [[ -x $out/initdb && -x $out/postgres ]]; then
  found=$(version "$out") || fail "the server in $out cannot be run, or is older than $oldest."
  echo "PostgreSQL $found for the tests: $out"
  exit 0
fi
if found=$(version "$out/bindir"); then
  echo "PostgreSQL $found for the tests: $(readlink -f "$out/bindir")"
  exit 0
fi
if [[ -z $download ]]; then
  while read -r bindir; do
    if found=$(version "$bindir"); then note "$bindir" "$found"; fi
  done < <(installed)
  echo "No PostgreSQL $oldest or later is installed here."
fi
if unpack; then
  for bindir in "$out"/root/usr/lib/postgresql/*/bin; do
    if found=$(version "$bindir"); then note "root/${bindir#"$out"/root/}" "$found"; fi
    echo "The unpacked server does not run. Missing libraries:" >&2
    unfound >&2
  done
fi
if install; then
  while read -r bindir; do
    if found=$(version "$bindir"); then note "$bindir" "$found"; fi
  done < <(installed)
fi
fail "no PostgreSQL could be had."
