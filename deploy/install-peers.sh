#!/usr/bin/env bash
# Programs that the tests talk to: the Debian packages listed in the files that are named, or in
# apt-test.txt. As root they are installed; otherwise their tests are skipped, each with its reason.
# In CI a missing peer fails the tests. A program of a package's name will do: npm comes with other
# builds of Node.js than Debian's, and does not go with them.
set -euo pipefail
missing=()
while read -r package; do
    dpkg -s "$package" >/dev/null 2>&1 || command -v "$package" >/dev/null || missing+=("$package")
done < <(cat "${@:-deploy/apt-test.txt}")
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "Not installed, their tests will be skipped: ${missing[*]}"
    echo "As root: apt-get install --no-install-recommends ${missing[*]}"
    exit 0
fi
apt-get update -qq
# A package's own service must not start: the tests run their own copies on free ports.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
