#!/usr/bin/env bash
# Installs lib-ranni into .venv and runs its command line. Without arguments: a tour of the main job.
#   ./run.sh                          plan one prompt, draw it plain and guided, show where the pictures are
#   ./run.sh app                      the same in a browser: plan, edit and draw on one page
#   ./run.sh generate "a red circle"  any command; ./run.sh --help lists them
set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=.ci/environment.sh
source "$ROOT/.ci/environment.sh"

make_environment .venv standalone
if [ $# -eq 0 ]; then
    set -- tour
fi
exec "$ENV_BIN/lib-ranni" "$@"
