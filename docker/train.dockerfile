# syntax=docker/dockerfile:1
# An image for training: tenon-train, the images of Fashion-MNIST, and only what these need.
#
#   docker build -f docker/train.dockerfile -t train .                                   for NVIDIA GPUs, and the CPU
#   docker build -f docker/train.dockerfile -t train --build-arg TENON_DEVICE=cpu .      a static program on scratch
#   docker run --name experiment1 --gpus all -v "$PWD/models:/models" --user "$(id -u):$(id -g)" train --epochs 3
#
# docs/containers.md has the rest. evaluate.dockerfile begins with the same stages, so both share their layers.
# SPDX-License-Identifier: MIT

# --- shared stages: begin
# cuda or cpu. A program built for cuda also runs on the CPU.
ARG TENON_DEVICE=cuda
# Base images are named by tag. A digest ("@sha256:...") pins the exact image.
ARG DEBIAN_TAG=12.12-slim
ARG DEBIAN_DIGEST=
# CUDA 12.4 or newer. NVIDIA has no images on ubuntu24.04 before CUDA 12.6: for those, also set CUDA_OS=ubuntu22.04.
ARG CUDA_VERSION=13.0.1
ARG CUDA_OS=ubuntu24.04
ARG CUDA_DEVEL_DIGEST=
ARG CUDA_BASE_DIGEST=

# Dependencies come before sources, so a changed source does not reinstall them. Downloads stay in cache mounts and thus
# in no layer. The base images' docker-clean would empty these mounts, so it is removed.
FROM docker.io/library/debian:${DEBIAN_TAG}${DEBIAN_DIGEST} AS dependencies-cpu
COPY tools/setup tools/find-data /src/tools/
RUN --mount=type=cache,id=tenon-apt-debian,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=tenon-apt-lists-debian,target=/var/lib/apt/lists,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean && /src/tools/setup image

FROM docker.io/nvidia/cuda:${CUDA_VERSION}-devel-${CUDA_OS}${CUDA_DEVEL_DIGEST} AS dependencies-cuda
COPY tools/setup tools/find-data /src/tools/
RUN --mount=type=cache,id=tenon-apt-ubuntu,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,id=tenon-apt-lists-ubuntu,target=/var/lib/apt/lists,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean && /src/tools/setup image

# The preset image-cpu or image-cuda of CMakePresets.json defines how the programs are built. (A stage has no tag.)
# hadolint ignore=DL3006
FROM dependencies-${TENON_DEVICE} AS dependencies
FROM dependencies AS sources
ENV CCACHE_DIR=/ccache CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
WORKDIR /src
COPY CMakeLists.txt CMakePresets.json LICENSE ./
COPY cmake/ cmake/
COPY include/ include/
COPY kernels/ kernels/
COPY examples/ examples/
# --- shared stages: end

# /image has the layout of the final image. Any user that the container runs as may write to /models.
FROM sources AS build
ARG TENON_DEVICE
ARG TENON_CUDA_ARCHITECTURES=
RUN --mount=type=cache,id=tenon-ccache,target=/ccache \
    cmake --preset "image-${TENON_DEVICE}" ${TENON_CUDA_ARCHITECTURES:+"-DCMAKE_CUDA_ARCHITECTURES=${TENON_CUDA_ARCHITECTURES}"} && \
    cmake --build --preset "image-${TENON_DEVICE}" --parallel "$(nproc)" --target tenon-train && \
    install -D -t /image/usr/local/bin "build/image-${TENON_DEVICE}/bin/tenon-train" && \
    install -D -m 644 -t /image/usr/share/doc/tenon LICENSE && \
    install -d -m 1777 /image/models /image/tmp

FROM scratch AS base-cpu

# cuBLAS, whose file names end in the toolkit's major version. The build fails here unless exactly two files are found.
FROM dependencies-cuda AS cublas
RUN mkdir -p /cublas/usr/lib && \
    find -L /usr/local/cuda/lib64 -maxdepth 1 -regextype posix-extended -regex '.*/libcublas(Lt)?[.]so[.][0-9]+' \
      -exec cp -L -t /cublas/usr/lib {} + && \
    set -- /cublas/usr/lib/* && test $# -eq 2

# The base image supports the host's driver and has no toolkit libraries. Only large layers open cuBLAS.
FROM docker.io/nvidia/cuda:${CUDA_VERSION}-base-${CUDA_OS}${CUDA_BASE_DIGEST} AS base-cuda
COPY --from=cublas /cublas/ /

# hadolint ignore=DL3006
FROM base-${TENON_DEVICE}
COPY --from=dependencies /usr/share/doc/dataset-fashion-mnist/copyright /usr/share/doc/dataset-fashion-mnist/
COPY --from=dependencies /usr/share/datasets/fashion-mnist /usr/share/datasets/fashion-mnist
COPY --from=build /image/ /

# Any user works: nothing reads /etc/passwd. Every flag of the program has such a variable.
USER 65532:65532
WORKDIR /models
ENV TENON_OUT=/models/model.safetensors TENON_METRICS=/models/model.jsonl
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/tenon-train"]

# Last, because they change with every commit.
ARG TENON_VERSION=unknown
ARG TENON_REVISION=unknown
ARG TENON_SOURCE=unknown
LABEL org.opencontainers.image.title="tenon train" \
      org.opencontainers.image.description="Trains a network of tenon on Fashion-MNIST or on your images" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${TENON_VERSION}" \
      org.opencontainers.image.revision="${TENON_REVISION}" \
      org.opencontainers.image.source="${TENON_SOURCE}"
