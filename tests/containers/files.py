#!/usr/bin/env python3
"""tests/containers/files.py ROOT: what docker/, compose.yaml and docker-bake.hcl say of one another, without building.

Needs PyYAML for compose.yaml and python-hcl2 for docker-bake.hcl; what is absent is named and left out.
SPDX-License-Identifier: MIT
"""
import fnmatch
import pathlib
import re
import sys

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
                if source != "dvc.lock" and not (root / source).exists():  # that one is the user's
                    fail(f"{path.name}: COPY {source}, which is not there")
                if not allowed(path, source):
                    fail(f"{path.name}: COPY {source}, which its .dockerignore keeps out")
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
    def plain(value):  # python-hcl2 5 and later keep quotes in places
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
