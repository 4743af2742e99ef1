# DVC and the programs that dvc.yaml runs. It holds no data and no credentials: docs/dvc.md shows how to pass both.
#
#   docker build -f docker/dvc.dockerfile -t tenon-dvc .                   the data are pulled when the container runs
#   docker build -f docker/dvc.dockerfile --target results --secret id=dvc,src=.dvc/config.local --output results .
#                                                                          the data are pulled during the build
#
#   DEBIAN       the base
#   DVC_EXTRAS   the kinds of remotes that DVC supports besides folders and HTTP: s3,gs,azure,ssh,...
# SPDX-License-Identifier: MIT
ARG DEBIAN=debian:12.12-slim

FROM ${DEBIAN} AS programs
WORKDIR /src
COPY tools/setup tools/find-data tools/
RUN tools/setup train
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY include include
COPY kernels kernels
COPY examples examples
RUN cmake --preset cpu -DTENON_TESTS=OFF \
  && cmake --build --preset cpu --parallel "$(nproc)" --target tenon-train tenon-evaluate

FROM ${DEBIAN} AS dvc
ARG DVC_EXTRAS=s3
WORKDIR /opt/tenon
COPY tools/setup tools/find-data tools/
RUN TENON_DVC_EXTRAS=${DVC_EXTRAS} tools/setup dvc && rm -rf /var/lib/apt/lists/*
COPY --from=programs /src/build/cpu/bin/tenon-train /src/build/cpu/bin/tenon-evaluate /usr/local/bin/
# DVC reads credentials from the folder of its user configuration and writes only in the working folder, so any user may
# run it. It does not use git, which would require a matching owner of the folder.
ENV PATH=/opt/tenon/build/dvc/bin:$PATH \
  DVC_GLOBAL_CONFIG_DIR=/run/secrets/dvc \
  DVC_SITE_CACHE_DIR=/tmp/dvc \
  HOME=/tmp
RUN dvc config --system core.no_scm true \
  && useradd --uid 1000 tenon \
  && install -d -o tenon -g tenon /pipeline
WORKDIR /pipeline
USER 1000:1000
CMD ["sh", "-c", "dvc pull data && dvc repro"]

# The same during the build: the training data stay in this stage, and no layer holds the credentials.
FROM dvc AS training
COPY --chown=1000:1000 .dvc/config .dvc/config
COPY --chown=1000:1000 dvc.yaml dvc.lock params.yaml ./
COPY --chown=1000:1000 examples examples
COPY --chown=1000:1000 include include
COPY --chown=1000:1000 kernels kernels
COPY --chown=1000:1000 tools/fetch-data tools/find-data tools/
RUN --mount=type=secret,id=dvc,target=/run/secrets/dvc/config,uid=1000 dvc pull data && dvc repro

FROM scratch AS results
COPY --from=training /pipeline/results/ /
COPY --from=training /pipeline/dvc.lock /

# The default target.
FROM dvc
