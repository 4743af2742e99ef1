# The programs on a file system or kernel without some features: if data stay safe, they continue with a note; otherwise
# they end before the work.
# SPDX-License-Identifier: MIT
source "$(dirname "$0")/../support/programs.sh"
need cc
small_data data 200 50
printf '#include <sys/syscall.h>\nflock SYS_flock\nfsync SYS_fsync\nwrite SYS_write\nstatx SYS_statx\nclone3 SYS_clone3\nfaccessat2 SYS_faccessat2\nrenameat SYS_renameat\nrename SYS_rename\n' |
  cc -E -P - | grep -E '^[a-z0-9]+ [0-9]+$' >numbers # system calls that this architecture has
cc -O1 -o deny "$root/tests/support/deny.c"
got=0
./deny 999999 1 -- true || got=$?
[ "$got" = 0 ] || skip "no seccomp here"

# deny NAME... =ERROR COMMAND...: runs COMMAND with these system calls failing with ERROR.
deny() {
  local arguments=() names=()
  while [ "${1#=}" = "$1" ]; do names+=("$1"); shift; done
  for name in "${names[@]}"; do
    number=$(sed -n "s/^$name //p" numbers)
    [ -z "$number" ] || arguments+=("$number" "${1#=}")
  done
  shift
  ./deny "${arguments[@]}" -- "$@"
}
mlp=("$train" --data data --model mlp --epochs 1 --test-limit 10 --threads 2)
succeed "${mlp[@]}" --out whole
EPERM=1 EIO=5 EINVAL=22 EROFS=30 ENOLCK=37 ENOSYS=38 EOPNOTSUPP=95

# --- no locks, no syncing: one note each, and the same files
for error in $ENOSYS $ENOLCK $EOPNOTSUPP $EINVAL $EPERM; do
  rm -f model* m.jsonl
  succeed deny flock =$error "${mlp[@]}" --metrics m.jsonl
  [ "$(grep -c '^note    the file system of \. has no locks (.*): do not let two programs write the same file there$' "$out")" = 1 ] ||
    fail "expected one note: $(cat "$out")"
  same whole model.safetensors
done
for error in $EINVAL $EROFS $ENOSYS $EOPNOTSUPP; do
  rm -f model*
  succeed deny fsync =$error "${mlp[@]}" --checkpoint-every 1
  [ "$(grep -c '^note    the file system of \. cannot sync files (.*): a power failure can lose what was written last$' "$out")" = 1 ] ||
    fail "expected one note: $(cat "$out")"
  same whole model.safetensors
done
succeed deny flock fsync =$ENOSYS "$evaluate" whole --data data --json r.json --predictions p.csv
[ "$(grep -c '^note  ' "$out")" = 2 ] || fail "expected two notes: $(cat "$out")"
[ -s r.json ] && [ -s p.csv ] || fail "nothing was written"
[ -z "$(ls .*.tenon-* 2>/dev/null)" ] || fail "left $(ls -A)"

# --- if saving would be impossible, the training does not start
refused() { # refused ERROR WORDS NAME...
  local got=0
  rm -f model*
  deny "${@:3}" "=$1" "${mlp[@]}" >"$out" 2>"$err" || got=$?
  [ "$got" = 1 ] || fail "expected status 1 without ${*:3}, got $got: $(cat "$err")"
  has "$err" "^tenon-train: \[write_file\] $2 \(model.safetensors\)$"
  [ ! -s "$out" ] || fail "it began: $(cat "$out")"
  [ -z "$(ls -A | grep -E '^\.?model' | grep -v '[.]tenon-lock$')" ] || fail "left $(ls -A)"
}
refused $ENOSYS 'cannot write and rename files in the folder: Function not implemented' rename renameat
refused $EIO 'cannot write and rename files in the folder: Input/output error' rename renameat
refused $EIO 'cannot lock the file: Input/output error' flock

# --- newer system calls, which old seccomp profiles forbid
if [ "$device" = cpu ] && grep -q clone3 numbers && [ "$slowness" = 1 ]; then
  succeed deny clone3 =$EPERM "${mlp[@]}"
  has "$out" '^device  cpu, 1 thread, isa [a-z0-9]+; the system does not start the other 1: '
  same whole model.safetensors
  succeed deny clone3 =$ENOSYS "${mlp[@]}"
  has "$out" '^device  cpu, 2 threads, isa [a-z0-9]+$'
fi
for error in $EPERM $ENOSYS; do
  succeed deny faccessat2 statx =$error "${mlp[@]}" # replaces the previous model
  same whole model.safetensors
done
exit 0
