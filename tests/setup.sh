#!/usr/bin/env bash
# Installs what the tests need beside Rust and Node: a browser, Postfix's load generator, and a Python environment with the notebook's packages and
# an SMTP server that is not ours. Says what to do where it cannot.
set -euo pipefail
cache=$1
here=$(cd "$(dirname "$0")" && pwd)

missing=()
command -v cc >/dev/null || missing+=(gcc libc6-dev)
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
command -v chromium >/dev/null || missing+=(chromium)
# Not in everybody's path.
PATH=$PATH:/usr/sbin command -v smtp-source >/dev/null || missing+=(postfix)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "The tests need these Debian packages: ${missing[*]}" >&2
    echo "Install them with: sudo apt-get install ${missing[*]}" >&2
    exit 1
  fi
  echo "Installing ${missing[*]} ..."
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
command -v node >/dev/null && command -v npm >/dev/null || {
  echo "The console needs Node.js 20 or newer with npm; install it and run make again." >&2
  exit 1
}

venv=$cache/venv
wanted=$(cat "$here/requirements.txt" "$here/../notebooks/requirements.txt")
if [ ! -x "$venv/bin/python" ] || [ "$(cat "$venv/installed" 2>/dev/null)" != "$wanted" ]; then
  echo "Making the Python environment in $venv ..."
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" -r "$here/../notebooks/requirements.txt"
  printf '%s\n' "$wanted" > "$venv/installed"
fi
