"""What can be checked of the dev container and of .vscode without either: all that they name is there.

    files.py ROOT [SCHEMA]      SCHEMA: devContainer.base.schema.json of the specification, if jsonschema is here

Ends with one line on standard output; what is wrong goes to standard error, a line each, and status 1.

SPDX-License-Identifier: MIT
"""

import json
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(sys.argv[1])
faults = []


def expect(holds, what):
    if not holds:
        faults.append(what)


def read(path):
    """JSON with // comments, which may not stand in a string."""
    text = (root / path).read_text()
    text = re.sub(r'("(?:[^"\\]|\\.)*")|//[^\n]*', lambda m: m[1] or "", text)
    return json.loads(text, object_pairs_hook=unique)


def unique(pairs):
    keys = [key for key, _ in pairs]
    expect(len(keys) == len(set(keys)), f"a key stands twice in {keys}")
    return dict(pairs)


presets = json.loads((root / "CMakePresets.json").read_text())
names = {kind: {p["name"] for p in presets[kind + "Presets"] if not p.get("hidden")}
         for kind in ("configure", "build", "test")}
targets = {f"tenon-{p.stem}" for p in (root / "examples/programs").glob("*.cpp")} | {
    f"tests_{p.parent.name}" for p in (root / "tests").glob("*/*.cpp")}
containers = [".devcontainer/devcontainer.json", ".devcontainer/cpu/devcontainer.json"]
# The extension that provides a debugger type, or a setting by its first word.
debuggers = {"cppdbg": "ms-vscode.cpptools", "cuda-gdb": "nvidia.nsight-vscode-edition"}
owners = {"cmake": "ms-vscode.cmake-tools", "clangd": "llvm-vs-code-extensions.vscode-clangd",
          "C_Cpp": "ms-vscode.cpptools", "files": None, "editor": None}


def check_command(command, where):
    """Presets, targets and build folders of a line of shell; the names of presets that it configures."""
    for kind, preset in re.findall(r"\b(cmake|cmake --build|ctest)(?: --fresh)? --preset (\S+)", command):
        kind = {"cmake": "configure", "cmake --build": "build", "ctest": "test"}[kind]
        expect(preset in names[kind], f"{where}: no {kind} preset {preset}")
    for words in re.findall(r"--target ((?:[\w${}-]+ ?)+)", command):
        for target in words.split():
            target = target.replace("${fileDirnameBasename}", "kernels")
            expect(target in targets, f"{where}: no target {target}")
    return re.findall(r"cmake(?: --fresh)? --preset (\S+)", command)


# --- the containers
extensions = {}
for path in containers:
    container = read(path)
    folder = (root / path).parent
    dockerfile = folder / container["build"]["dockerfile"]
    context = folder / container["build"]["context"]
    expect(dockerfile.is_file(), f"{path}: no {container['build']['dockerfile']}")
    expect(context.resolve() == root.resolve(), f"{path}: the context is not the repository")
    expect(dockerfile.resolve() == (root / ".devcontainer/Dockerfile").resolve(), f"{path}: another Dockerfile")
    text = dockerfile.read_text()
    declared = set(re.findall(r"^ARG (\w+)", text, re.M))
    expect(set(container["build"]["args"]) <= declared, f"{path}: the Dockerfile has no such argument")

    user, home = container["remoteUser"], f"/home/{container['remoteUser']}"
    expect(re.search(rf"useradd [^\n]*\b{user}\b", text), f"{path}: the image has no user {user}")
    expect(re.search(rf"^USER {user}$", text, re.M), f"{path}: the image does not run as {user}")
    for mount in container["mounts"]:
        target = dict(part.split("=") for part in mount.split(","))["target"]
        expect(f"mkdir -p {target}\n" in text[text.find(f"USER {user}"):], f"{path}: {target} would belong to root")
        expect(target == f"{home}/.cache/ccache", f"{path}: ccache does not look in {target}")

    configured = check_command(container["postCreateCommand"], path)
    expect("cpu" in configured, f"{path}: clangd's preset is not configured")
    cuda = "cuda" in container["build"]["args"]["BASE"]
    expect(("cuda" in configured) == cuda, f"{path}: the preset cuda, with CUDA and only then")
    expect(cuda == ("CMAKE_CUDA_ARCHITECTURES=" in container["postCreateCommand"]), f"{path}: which architectures")
    expect(container.get("hostRequirements", {}).get("gpu") == ("optional" if cuda else None), f"{path}: the GPU")
    for language in ["CXX", "CUDA"][: 1 + cuda]:
        expect(container["containerEnv"].get(f"CMAKE_{language}_COMPILER_LAUNCHER") == "ccache", f"{path}: no ccache")
    extensions[path] = set(container["customizations"]["vscode"]["extensions"])

with_cuda, without = [read(path) for path in containers]
expect(set(with_cuda) == set(without) | {"hostRequirements"}, "the containers differ in what they say")
for key in set(without) - {"name", "build", "containerEnv", "postCreateCommand", "customizations"}:
    expect(with_cuda.get(key) == without[key], f"the containers differ in {key}")
expect(without["containerEnv"].items() <= with_cuda["containerEnv"].items(), "the containers differ in containerEnv")

# --- the image: its packages are those of tools/setup, and its COPY sources are in the build context
dockerfile = (root / ".devcontainer/Dockerfile").read_text()
others = re.search(r"\b(apt|apt-get|dpkg|pip|snap)\s+(-\S+\s+)*(install|-i)\b|\b(curl|wget|ADD)\b", dockerfile)
expect(not others, f"Dockerfile: packages besides those of tools/setup: {others and others[0]}")
groups = re.findall(r"^RUN tools/setup (.*?) &&", dockerfile, re.M)
expect(groups == ["dev"], f"Dockerfile: expected tools/setup dev, got {groups}")
said = subprocess.run(["bash", "tools/setup", "dev"], cwd=root, capture_output=True, text=True,
                      env={"PATH": "/usr/bin:/bin", "TENON_NO_INSTALL": "1", "HOME": "/nonexistent"})
expect(said.returncode == 0 or "so nothing was installed" in said.stderr, f"tools/setup dev: {said.stderr}")
table = (root / "tools/setup").read_text()
for package in ["gdb", "clangd", "ccache", "git", "sudo"]:
    expect(re.search(rf"^(dev|cache) +;[^;]*; {package} +;", table, re.M), f"tools/setup dev has no {package}")
copied = [source for line in re.findall(r"^COPY (.*)$", dockerfile, re.M) for source in line.split()[:-1]]
for source in copied:
    expect((root / source).exists(), f"Dockerfile: no {source}")
sent = re.findall(r"^!(.*)$", (root / ".devcontainer/Dockerfile.dockerignore").read_text(), re.M)
expect(sorted(sent) == sorted(copied), f"sent to the builder {sent}, copied {copied}")

# --- .vscode
recommended = set(read(".vscode/extensions.json")["recommendations"])
expect(recommended == extensions[containers[1]], "extensions.json and the container without CUDA differ")
expect(recommended < extensions[containers[0]], "the container with CUDA lacks an extension")
settings = read(".vscode/settings.json")
for key in settings:
    expect(key.split(".")[0] in owners, f"settings.json: whose is {key}?")
    owner = owners.get(key.split(".")[0])
    expect(owner is None or owner in recommended, f"settings.json: {key} without {owner}")
database = [a for a in settings["clangd.arguments"] if a.startswith("--compile-commands-dir=")]
expect(database == ["--compile-commands-dir=${workspaceFolder}/build/cpu"], "clangd does not look in the preset cpu")

tasks = {}
for task in read(".vscode/tasks.json")["tasks"]:
    where = f"tasks.json, {task['label']}"
    expect(task["label"] not in tasks, f"{where}: twice")
    tasks[task["label"]] = task
    check_command(task["command"], where)
for task in tasks.values():
    for other in [task["dependsOn"]] if "dependsOn" in task else []:
        expect(other in tasks, f"tasks.json: no task {other}")
kinds = [task["group"]["kind"] for task in tasks.values() if task.get("group", {}).get("isDefault")]
expect(sorted(kinds) == ["build", "test"], f"tasks.json: default tasks {kinds}")

launched = set()
for launch in read(".vscode/launch.json")["configurations"]:
    where = f"launch.json, {launch['name']}"
    expect(debuggers.get(launch["type"]) in extensions[containers[0]], f"{where}: no extension for {launch['type']}")
    if launch["program"].startswith("${cmake."):
        continue
    program = re.fullmatch(r"\$\{workspaceFolder\}/build/(\w+)/bin/(\S+)", launch["program"])
    expect(program, f"{where}: {launch['program']}")
    task = tasks.get(launch.get("preLaunchTask"))
    expect(task, f"{where}: no task {launch.get('preLaunchTask')}")
    if program and task:
        preset, target = program.groups()
        expect(f"cmake --build --preset {preset} " in task["command"], f"{where}: its task builds another preset")
        built = re.search(rf"--target (\S+ )*{re.escape(target)}( |$)", task["command"])
        expect(built, f"{where}: its task builds another program")
        launched.add(target)
expect({"tenon-train", "tenon-evaluate", "tests_${fileDirnameBasename}"} <= launched, f"launch.json debugs {launched}")

# --- the specification's schema
validated = "no schema named"
if len(sys.argv) > 2:
    try:
        import jsonschema
    except ImportError:
        validated = "no jsonschema here"
    else:
        validator = jsonschema.Draft201909Validator(json.loads(pathlib.Path(sys.argv[2]).read_text()))
        for path in containers:
            for error in validator.iter_errors(read(path)):
                faults.append(f"{path}: {error.json_path}: {error.message}")
        validated = "as the schema demands"

for fault in faults:
    print("FAILED:", fault, file=sys.stderr)
print(f"{len(containers)} containers, {validated}; {len(tasks)} tasks, {len(launched)} programs to debug")
sys.exit(bool(faults))
