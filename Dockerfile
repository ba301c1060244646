# syntax=docker/dockerfile:1
# docker build --build-arg REVISION="$(git rev-parse HEAD)" --build-arg CREATED="$(git log -1 --format=%cI)" \
#   --tag registry.example.com/signalbox:0.1.0 .
#
# `cargo xtask image` builds the same image without a container runtime: it runs the script of the first stage and reads the
# instructions of the last stage. It supports only the instructions in use there. See docs/decisions/0014-image.md.

# The digest is that of the index of all platforms (docker buildx imagetools inspect rust:1.95-slim-bookworm). Change tag and digest together.
FROM rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS build
WORKDIR /src
# The allocator is written in C and built with make.
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
COPY . .
# The caches store the registry and all compiled dependencies between builds, so that only the Signalbox crate is compiled again.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    xtask/image.sh /out

# Only the operator, glibc and libgcc: no shell and no package manager. There are no CA certificates, because the operator connects only
# to the API server, and every pod has its CA. The time zone database is in the binary.
FROM scratch
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="signalbox" \
      org.opencontainers.image.description="Promotes Releases through environments while every control and gate is satisfied" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY --from=build /out /
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/signalbox"]
CMD ["run"]
