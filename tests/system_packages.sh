#!/bin/sh
# Installs the servers and peers the tests use, where they are missing (Debian; needs root only then).
set -eu
missing=""
[ -x /usr/bin/chromium ] || missing="$missing chromium"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v redis-server >/dev/null || missing="$missing redis-server"
command -v mbpoll >/dev/null || missing="$missing mbpoll"
command -v socat >/dev/null || missing="$missing socat"
command -v tshark >/dev/null || missing="$missing tshark"
command -v npm >/dev/null || missing="$missing npm"
command -v msgfmt >/dev/null || missing="$missing gettext"
[ -z "$missing" ] && exit 0
echo "installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  the list is meant to be split
apt-get install -y -qq --no-install-recommends $missing >/dev/null
