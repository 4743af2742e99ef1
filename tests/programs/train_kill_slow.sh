# SIGKILL at 200 random moments: see support/kill_and_load.sh.
# SPDX-License-Identifier: MIT
times=200
source "$(dirname "$0")/../support/kill_and_load.sh"
