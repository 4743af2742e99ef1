# SIGKILL at random instants: see support/kill_and_load.sh; train_kill_slow.sh does it more often.
# SPDX-License-Identifier: MIT
times=20
source "$(dirname "$0")/../support/kill_and_load.sh"
