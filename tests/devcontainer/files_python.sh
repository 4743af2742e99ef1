# The dev container and .vscode name only what is there. TENON_DEVCONTAINER_SCHEMA is the specification's schema, if it
# is to be asked, and TENON_PYTHON a Python with jsonschema.
# SPDX-License-Identifier: MIT
schema=${TENON_DEVCONTAINER_SCHEMA:-} python=${TENON_PYTHON:-python3}
source "$(dirname "$0")/../support/common.sh"
need "$python"
"$python" "$root/tests/devcontainer/files.py" "$root" ${schema:+"$schema"} || fail "see above"
