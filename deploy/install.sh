#!/usr/bin/env bash
# Installs netwright's chat for one person: a virtual environment of its own, the command `netwright`, and, where asked,
# a service that serves the default model from now on. Nothing needs root; --remove takes it all away but the chats.
#
#   deploy/install.sh                  into ~/.local/share/netwright, with ~/.local/bin/netwright
#   deploy/install.sh --service        the same, and a systemd user service on http://127.0.0.1:8000
#   deploy/install.sh --prefix DIR     somewhere else
#   deploy/install.sh --remove
set -euo pipefail

source=$(cd "$(dirname "$0")/.." && pwd)
prefix=${XDG_DATA_HOME:-$HOME/.local/share}/netwright
bin=$HOME/.local/bin
units=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
service=no remove=no

fail() { echo "install.sh: $1" >&2; exit 2; }

while [ $# -gt 0 ]; do
    case $1 in
        --service) service=yes ;;
        --remove) remove=yes ;;
        --prefix)
            [ $# -gt 1 ] && [ -n "$2" ] || fail "--prefix wants a folder"
            case $2 in *[!A-Za-z0-9/._-]*) fail "--prefix $2: letters, digits and / . _ - only" ;; esac
            prefix=$(mkdir -p "$2" && cd "$2" && pwd)
            bin=$prefix/bin
            shift
            ;;
        -h|--help) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) fail "unknown option $1; known: --service, --prefix DIR, --remove, --help" ;;
    esac
    shift
done

if [ "$remove" = yes ]; then
    if [ -f "$units/netwright.service" ]; then
        systemctl --user disable --now netwright.service || true
        rm -f "$units/netwright.service"
    fi
    rm -rf "$prefix/venv"
    rm -f "$bin/netwright"
    echo "Removed. Models and chats stay in $prefix/runs"
    exit 0
fi

python=
for one in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    if "$one" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
        python=$one
        break
    fi
done
[ -n "$python" ] || fail "Python 3.11, 3.12 or 3.13 with the module venv is needed; on Debian: apt-get install python3-venv"

mkdir -p "$prefix/runs" "$bin"
free=$(df -Pk "$prefix" | awk 'NR == 2 {print $4}')
[ "$free" -ge 4000000 ] || fail "$prefix has $((free / 1000)) MB free, and 4000 MB are needed"
[ -x "$prefix/venv/bin/python" ] || "$python" -m venv "$prefix/venv"
pip=("$prefix/venv/bin/python" -m pip install --disable-pip-version-check -c "$source/constraints.txt")
echo "1/2 PyTorch: 200 MB for processors alone, gigabytes where the index has builds for CUDA only"
"${pip[@]}" "$(sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' "$source/pyproject.toml")"
echo "2/2 netwright, with its server and its runtimes"
"${pip[@]}" "$source[serve]"
ln -sf "$prefix/venv/bin/netwright" "$bin/netwright"

if [ "$service" = yes ]; then
    command -v systemctl >/dev/null || fail "no systemd here; start $bin/netwright serve yourself"
    mkdir -p "$units"
    sed "s|@PREFIX@|$prefix|g" "$source/deploy/netwright.service" > "$units/netwright.service"
    systemctl --user daemon-reload
    systemctl --user enable --now netwright.service
    echo "The service runs: http://127.0.0.1:8000 (log: journalctl --user -u netwright)"
    exit 0
fi
echo "Done. Start it: cd $prefix && $bin/netwright serve, then open http://127.0.0.1:8000"
case ":$PATH:" in *":$bin:"*) ;; *) echo "$bin is not on your PATH" ;; esac
