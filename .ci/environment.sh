# shellcheck shell=bash
# Makes a virtual environment under constraints.txt; sourced by run.sh and test.sh.
# RANNI_PYTHON names the Python to use; without it the best one found is taken.

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

# find_python: sets PYTHON to a Python >= 3.10 that can make environments. Versions the pinned packages
# were built for come first. Each candidate is run, not only looked up: a version manager's shims exist
# for versions that do not.
find_python() {
    local candidate
    for candidate in ${RANNI_PYTHON:+"$RANNI_PYTHON"} \
        python3.11 python3.10 python3 python python3.12 python3.13 python3.14; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            PYTHON="$candidate"
            return 0
        fi
        if [ -n "${RANNI_PYTHON:-}" ]; then
            say "RANNI_PYTHON=$RANNI_PYTHON is not a Python >= 3.10 with venv"
            return 1
        fi
    done
    say "No Python >= 3.10 with the venv module was found."
    say "Install one (on Debian and Ubuntu: apt-get install python3 python3-venv), or set RANNI_PYTHON to its path."
    return 1
}

# environment_key EXTRAS: what an environment depends on: where it is and its Python (line 1), and what is
# installed in it (line 2).
environment_key() {
    "$PYTHON" - "$1" "$ROOT" <<'PY'
import hashlib, pathlib, sys
extras, root = sys.argv[1:]
print(root, sys.executable, *sys.version.split())
wanted = [pathlib.Path(root, name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
print(extras, hashlib.sha256(b"".join(wanted)).hexdigest())
PY
}

# make_environment FOLDER EXTRAS: sets ENV_BIN to the environment's folder of programs. Does nothing more
# when the environment is as it should be.
make_environment() {
    local folder="$ROOT/$1" extras="$2" key made_for
    find_python || return 1
    key="$(environment_key "$extras")" || return 1
    ENV_BIN="$folder/bin"
    [ -d "$folder/Scripts" ] && ENV_BIN="$folder/Scripts"
    made_for="$(cat "$folder/.made-for" 2>/dev/null || true)"
    if ! "$ENV_BIN/python" -c '' 2>/dev/null || [ "${made_for%%$'\n'*}" != "${key%%$'\n'*}" ]; then
        say "Making the environment $1 with $("$PYTHON" --version 2>&1) (once; a few minutes)"
        "$PYTHON" -m venv --clear "$folder" || return 1
        [ -d "$folder/Scripts" ] && ENV_BIN="$folder/Scripts"
    elif [ "$made_for" = "$key" ]; then
        say "Environment $1 is up to date"
        return 0
    fi
    say "Installing lib-ranni[$extras] under constraints.txt"
    (
        cd "$ROOT" &&
            "$ENV_BIN/python" -m pip install --disable-pip-version-check --prefer-binary \
                --constraint constraints.txt --editable ".[$extras]"
    ) >&2 || {
        say "The installation failed; the lines above say why. Fix that and run this again."
        return 1
    }
    printf '%s\n' "$key" > "$folder/.made-for"
    say "Environment $1 is ready"
}
