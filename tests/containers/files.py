#!/usr/bin/env python3
"""tests/containers/files.py ROOT: what docker/, compose.yaml and docker-bake.hcl say of one another, without building.

Needs PyYAML for compose.yaml and python-hcl2 for docker-bake.hcl; what is absent is named and left out.
SPDX-License-Identifier: MIT
"""
import fnmatch
import pathlib
import re
import subprocess
import sys
import tempfile

root = pathlib.Path(sys.argv[1])
dockerfiles = sorted((root / "docker").glob("*.dockerfile"))
left_out = []


def fail(message):
    sys.exit(f"FAILED: {message}")


def shared_stages(path):
    text = path.read_text()
    found = re.search(r"# --- shared stages: begin\n(.*)# --- shared stages: end\n", text, re.S)
    return found.group(1) if found else None


def instructions(path):
    """(name, arguments) of each instruction, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.M).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def allowed(dockerfile, path):
    """Whether a path of the repository is let into the build: by DOCKERFILE.dockerignore, else by .dockerignore."""
    let_in = True
    ignore = dockerfile.with_name(dockerfile.name + ".dockerignore")
    for line in (ignore if ignore.exists() else root / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern, wanted = line.lstrip("!"), line.startswith("!")
        if pattern == "*" or path == pattern or path.startswith(pattern + "/") or fnmatch.fnmatch(path, pattern):
            let_in = wanted
    return let_in


# --- the dockerfiles
train, evaluate = (shared_stages(root / "docker" / f"{name}.dockerfile") for name in ("train", "evaluate"))
if not train or train != evaluate:
    fail("expected train.dockerfile and evaluate.dockerfile to share their first stages to the letter")
arguments = {}
for path in dockerfiles:
    found = instructions(path)
    arguments[path.name] = {rest.split("=")[0] for name, rest in found if name == "ARG"}
    for name, rest in found:
        if name == "COPY" and "--from=" not in rest:
            for source in [word for word in rest.split() if not word.startswith("--")][:-1]:
                source = source.rstrip("/")
                if source != "dvc.lock" and not (root / source).exists():  # the user's repository has it
                    fail(f"{path.name}: COPY {source}, which is not there")
                if not allowed(path, source):
                    fail(f"{path.name}: COPY {source}, which its .dockerignore keeps out")
        if re.search(r"[.]so[.][0-9]", rest):
            fail(f"{path.name}: {name} {rest}: a library by the number of its version, which CUDA_VERSION changes")
        if name == "VOLUME":
            fail(f"{path.name}: VOLUME, which makes an anonymous volume for each container")
        if name in ("ENTRYPOINT", "CMD") and not rest.lstrip().startswith("["):
            fail(f"{path.name}: {name} through a shell, which takes the signals")
        if name in ("ARG", "ENV") and re.search(r"(SECRET|PASSWORD|TOKEN|_KEY)\w*=", rest, re.I):
            fail(f"{path.name}: {name} {rest}: a secret in an image's history; use --mount=type=secret")
        if name == "FROM" and re.match(r"docker\.io/\S+", rest) and ":" not in rest:
            fail(f"{path.name}: FROM {rest} without a tag")
    users = [rest for name, rest in found if name == "USER"]
    if not users or users[-1].startswith(("0", "root")):
        fail(f"{path.name}: expected a USER that is not root, got {users}")


# --- cuBLAS is found for any version of CUDA: runs the command of its stage in folders made for the test
def run_cublas_stage(present):
    """The files that the stage `cublas` of train.dockerfile leaves, or None if its command fails."""
    found = instructions(root / "docker/train.dockerfile")
    start = found.index(("FROM", "dependencies-cuda AS cublas"))
    name, command = found[start + 1]
    if name != "RUN":
        fail(f"train.dockerfile: expected RUN in the stage cublas, got {name}")
    with tempfile.TemporaryDirectory() as folder:
        toolkit = pathlib.Path(folder) / "lib64-12"
        toolkit.mkdir()
        (pathlib.Path(folder) / "lib64").symlink_to(toolkit)
        for library, target in present.items():
            if target:
                (toolkit / library).symlink_to(target)
            else:
                (toolkit / library).write_text(library)
        command = command.replace("/usr/local/cuda/lib64", f"{folder}/lib64").replace("/cublas/", f"{folder}/out/")
        if subprocess.run(["sh", "-c", command]).returncode != 0:
            return None
        return {p.name: p.read_text() for p in (pathlib.Path(folder) / "out/usr/lib").iterdir() if not p.is_symlink()}


for whole in ("12.4.5.8", "12.9.1.4", "13.0.2.14", "14.1.0.0"):
    major, toolkit = whole.split(".")[0], {}
    for library in ("libcublas", "libcublasLt"):
        toolkit |= {f"{library}.so": f"{library}.so.{major}", f"{library}.so.{major}": f"{library}.so.{whole}",
                    f"{library}.so.{whole}": None, f"{library}_static.a": None, f"lib{library}.so.{major}": None}
    toolkit |= {f"libnvblas.so.{major}": None, f"libcudart.so.{major}": None}
    expected = {f"{library}.so.{major}": f"{library}.so.{whole}" for library in ("libcublas", "libcublasLt")}
    if (got := run_cublas_stage(toolkit)) != expected:
        fail(f"train.dockerfile, stage cublas: expected {expected} of CUDA {major}, got {got}")
    del toolkit[f"libcublasLt.so.{major}"]
    if (got := run_cublas_stage(toolkit)) is not None:
        fail(f"train.dockerfile, stage cublas: expected a failure without libcublasLt, got {got}")


def check_build(where, dockerfile, names):
    if not (root / dockerfile).is_file():
        fail(f"{where}: {dockerfile}, which is not there")
    unknown = set(names) - arguments[pathlib.Path(dockerfile).name]
    if unknown:
        fail(f"{where}: {dockerfile} has no ARG {', '.join(sorted(unknown))}")


# --- compose.yaml
try:
    import yaml
except ImportError:
    left_out.append("compose.yaml (no PyYAML)")
else:
    compose = yaml.safe_load((root / "compose.yaml").read_text())
    for name, service in compose["services"].items():
        check_build(f"compose.yaml, {name}", service["build"]["dockerfile"], service["build"]["args"])
        for volume in service["volumes"]:
            if volume.split(":")[0] not in compose["volumes"]:
                fail(f"compose.yaml, {name}: the volume {volume} is not declared")
        devices = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
        if bool(devices) != name.endswith("-gpu") or bool(devices) != (service.get("profiles") == ["gpu"]):
            fail(f"compose.yaml, {name}: expected a GPU and the profile gpu together")

# --- docker-bake.hcl
try:
    import hcl2
except ImportError:
    left_out.append("docker-bake.hcl (no python-hcl2)")
else:
    def plain(value):  # python-hcl2 5 and later keep some quotes
        if isinstance(value, str):
            return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value
        if isinstance(value, list):
            return [plain(v) for v in value]
        if isinstance(value, dict):
            return {plain(k): plain(v) for k, v in value.items() if not k.startswith("__")}
        return value

    bake = plain(hcl2.loads((root / "docker-bake.hcl").read_text()))
    targets = {name: body for item in bake["target"] for name, body in item.items()}
    groups = {name: body["targets"] for item in bake["group"] for name, body in item.items()}

    def resolved(name):
        whole = {"args": {}}
        for parent in targets[name].get("inherits", []):
            inherited = resolved(parent)
            whole = {**whole, **inherited, "args": {**whole["args"], **inherited["args"]}}
        own = targets[name]
        return {**whole, **own, "args": {**whole["args"], **own.get("args", {})}}

    for name in ("train", "evaluate", "train-cuda", "evaluate-cuda"):
        for target in (name, f"{name}-release"):
            body = resolved(target)
            check_build(f"docker-bake.hcl, {target}", body["dockerfile"], body["args"])
            if body["args"]["TENON_DEVICE"] != ("cuda" if "cuda" in name else "cpu"):
                fail(f"docker-bake.hcl, {target}: TENON_DEVICE is {body['args']['TENON_DEVICE']}")
            if not body["dockerfile"].endswith(f"{name.split('-')[0]}.dockerfile"):
                fail(f"docker-bake.hcl, {target}: {body['dockerfile']}")
        release = resolved(f"{name}-release")
        if release["platforms"] != (["linux/amd64"] if "cuda" in name else ["linux/amd64", "linux/arm64"]):
            fail(f"docker-bake.hcl, {name}-release: {release['platforms']}")
        if not any("provenance" in a for a in release["attest"]) or not any("sbom" in a for a in release["attest"]):
            fail(f"docker-bake.hcl, {name}-release: {release['attest']}")
    for group, members in groups.items():
        for member in members:
            if member not in targets:
                fail(f"docker-bake.hcl, group {group}: no target {member}")

print(f"{len(dockerfiles)} dockerfiles, compose.yaml and docker-bake.hcl agree")
for what in left_out:
    print(f"left out: {what}")
