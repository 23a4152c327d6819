#!/usr/bin/env bash
# Make the virtual environment $2 with the interpreter $1; Debian splits venv off python3.
set -euo pipefail
python=$1 venv=$2
command -v "$python" >/dev/null || python=python3
if ! command -v "$python" >/dev/null; then
    echo "Python 3.11 is not installed: apt-get install python3" >&2
    exit 1
fi
if [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi
rm -rf "$venv"
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "Python's venv module is missing. As root: apt-get install python3-venv" >&2
        exit 1
    fi
    apt-get update -qq
    xargs -a deploy/apt-run.txt apt-get install -y -qq --no-install-recommends
fi
"$python" -m venv "$venv"
