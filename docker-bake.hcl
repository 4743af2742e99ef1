# All images by one command: docker buildx bake            train and evaluate for the CPU
#                            docker buildx bake cuda       train-cuda and evaluate-cuda
#                            docker buildx bake release    everything, for every platform, with provenance and SBOM
#
# Variables come from the environment; tools/image-versions prints VERSION, REVISION and SOURCE of the working tree:
#   env $(tools/image-versions) REGISTRY=ghcr.io/you/ docker buildx bake --push
# SPDX-License-Identifier: MIT

variable "REGISTRY" { # with a slash at its end; empty: images of this machine alone
  default = ""
}

variable "VERSION" {
  default = ""
}

variable "REVISION" { # of git, whole
  default = ""
}

variable "SOURCE" { # URL of the repository
  default = ""
}

variable "CACHE" { # for example type=gha: layers are looked up and left there
  default = ""
}

group "default" {
  targets = ["train", "evaluate"]
}

group "cuda" {
  targets = ["train-cuda", "evaluate-cuda"]
}

group "release" {
  targets = ["train-release", "evaluate-release", "train-cuda-release", "evaluate-cuda-release"]
}

function "tags" { # latest, the version, the revision
  params = [name]
  result = [
    "${REGISTRY}${name}:latest",
    notequal("", VERSION) ? "${REGISTRY}${name}:${VERSION}" : "",
    notequal("", REVISION) ? "${REGISTRY}${name}:${substr(REVISION, 0, 12)}" : "",
  ]
}

target "common" {
  context = "."
  args = {
    TENON_VERSION  = notequal("", VERSION) ? VERSION : null
    TENON_REVISION = notequal("", REVISION) ? REVISION : null
    TENON_SOURCE   = notequal("", SOURCE) ? SOURCE : null
  }
  cache-from = notequal("", CACHE) ? [CACHE] : []
  cache-to   = notequal("", CACHE) ? ["${CACHE},mode=max"] : []
}

target "cpu" {
  inherits = ["common"]
  args = { TENON_DEVICE = "cpu" }
}

target "gpu" {
  inherits = ["common"]
  args = { TENON_DEVICE = "cuda" }
}

target "train" {
  inherits   = ["cpu"]
  dockerfile = "docker/train.dockerfile"
  tags       = tags("train")
}

target "evaluate" {
  inherits   = ["cpu"]
  dockerfile = "docker/evaluate.dockerfile"
  tags       = tags("evaluate")
}

target "train-cuda" {
  inherits   = ["gpu"]
  dockerfile = "docker/train.dockerfile"
  tags       = tags("train-cuda")
}

target "evaluate-cuda" {
  inherits   = ["gpu"]
  dockerfile = "docker/evaluate.dockerfile"
  tags       = tags("evaluate-cuda")
}

# How an image was made, and of what: attestations need a registry (or a containerd image store) to be kept in.
target "attested" {
  attest = ["type=provenance,mode=max", "type=sbom"]
}

target "cpu-release" {
  inherits  = ["attested"]
  platforms = ["linux/amd64", "linux/arm64"]
}

# Code of its own for each generation of GPU since 2020; later ones compile the last.
target "gpu-release" {
  inherits  = ["attested"]
  platforms = ["linux/amd64"]
  args      = { TENON_CUDA_ARCHITECTURES = "80-real;86-real;89-real;90-real;100-real;120" }
}

target "train-release" {
  inherits = ["train", "cpu-release"]
}

target "evaluate-release" {
  inherits = ["evaluate", "cpu-release"]
}

target "train-cuda-release" {
  inherits = ["train-cuda", "gpu-release"]
}

target "evaluate-cuda-release" {
  inherits = ["evaluate-cuda", "gpu-release"]
}
