#!/usr/bin/env bash
# Installs what flagen needs to build and run its tests. Safe to run again: a second run takes a second.
#
#   ./setup.sh                        system packages (root or sudo) and the Python environment .venv
#   ./setup.sh --no-system-packages   .venv only; names the system packages that are missing
set -euo pipefail
cd "$(dirname "$0")"

readonly venv="${FLAGEN_VENV:-.venv}"
# Versions that the build is tested with.
readonly pip_packages=(torch==2.11.0 cmake==4.1.2 ninja==1.13.0 numpy==2.2.6 scipy==1.15.3 h5py==3.13.0 pyBigWig==0.3.29)
readonly system_packages=(
    g++ git pkg-config python3 python3-dev python3-venv ca-certificates unzip
    libhts-dev libboost-program-options-dev libhdf5-dev zlib1g-dev libspdlog-dev nlohmann-json3-dev
    libssl-dev libgloo-dev
    libgtest-dev libgmock-dev libbenchmark-dev
    ccache samtools bcftools tabix bedtools hdf5-tools
)

install_system=yes
for argument in "$@"; do
    case "$argument" in
        --no-system-packages) install_system=no ;;
        *) echo "setup.sh: unknown option: $argument (known: --no-system-packages)" >&2; exit 2 ;;
    esac
done

step() { printf '[setup] %s\n' "$*"; }

missing=()
if command -v dpkg-query >/dev/null; then
    for package in "${system_packages[@]}"; do
        status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
        [ "$status" = "install ok installed" ] || missing+=("$package")
    done
else
    step "no dpkg here: install the equivalents of ${system_packages[*]} yourself"
fi
if [ "${#missing[@]}" -gt 0 ]; then
    if [ "$install_system" = no ]; then
        echo "setup.sh: these system packages are missing: ${missing[*]}" >&2
        echo "          ask for: apt-get install ${missing[*]}" >&2
        exit 1
    fi
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "setup.sh: neither root nor sudo; install by hand: apt-get install ${missing[*]}" >&2
            exit 1
        }
        as_root=(sudo)
    fi
    step "system packages: ${missing[*]}"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null
else
    step "system packages: all there"
fi

readonly stamp="$venv/.flagen-packages"
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "${pip_packages[*]}" ]; then
    step "Python environment in $venv: ${pip_packages[*]}"
    python=python3
    [ -x /usr/bin/python3 ] && python=/usr/bin/python3
    [ -x "$venv/bin/python3" ] || "$python" -m venv "$venv"
    "$venv/bin/python3" -m pip install --quiet --disable-pip-version-check "${pip_packages[@]}"
    printf '%s' "${pip_packages[*]}" >"$stamp"
else
    step "Python environment: all there"
fi
step "done"
