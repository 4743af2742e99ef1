# SIGKILL at random moments: see support/kill_and_load.sh. train_kill_slow.sh kills more often.
# SPDX-License-Identifier: MIT
times=20
source "$(dirname "$0")/../support/kill_and_load.sh"
