#!/usr/bin/env bash
# Installs the Debian packages that the tests need and that are missing. Needs root only when something is missing.
# With "bench": those that the benchmark can measure beside; without them it measures the others.
set -euo pipefail

# A command, and the package that brings it.
needs=(
  gcc:gcc                            # the race detector
  git:git
  curl:curl                          # what the README shows
  node:nodejs                        # drives Chromium and Firefox
  npm:npm
  nginx:nginx-light                  # the proxy that tests put in front
  chromium:chromium
  firefox:firefox-esr
  WebKitWebDriver:webkit2gtk-driver
  Xvfb:xvfb                          # a display for WebKitGTK, which has no headless mode
  xauth:xauth
)

missing=()
if [[ ${1:-} == bench ]]; then
  needs=(nginx:nginx-light)
  # A module of nginx, no command.
  [[ -e /usr/lib/nginx/modules/ngx_nchan_module.so ]] || missing+=(libnginx-mod-nchan)
fi

PATH=$PATH:/usr/sbin:/sbin # where nginx lies, also for users who do not have it on their path
for need in "${needs[@]}"; do
  command -v "${need%%:*}" >/dev/null || missing+=("${need#*:}")
done
# gcc without its library's headers compiles nothing.
[[ -e /usr/include/stdlib.h ]] || missing+=(libc6-dev)

if ((${#missing[@]} == 0)); then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "install: this is not Debian; install yourself what these packages bring: ${missing[*]}" >&2
  exit 1
fi
if ((EUID != 0)); then
  echo "install: missing; run: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi

# Debian starts a service as it installs it; this file, while it exists, forbids that (invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi

echo "install: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -qq -y --no-install-recommends ca-certificates "${missing[@]}" >/dev/null
