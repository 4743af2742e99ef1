# The dev container and .vscode refer only to things that exist. Optional: TENON_DEVCONTAINER_SCHEMA, the schema of the
# specification, and TENON_PYTHON, a Python with jsonschema.
# SPDX-License-Identifier: MIT
schema=${TENON_DEVCONTAINER_SCHEMA:-} python=${TENON_PYTHON:-python3}
source "$(dirname "$0")/../support/common.sh"
need "$python"
"$python" "$root/tests/devcontainer/files.py" "$root" ${schema:+"$schema"} || fail "see above"
