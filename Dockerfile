# syntax=docker/dockerfile:1
# docker build --build-arg REVISION="$(git rev-parse HEAD)" --build-arg CREATED="$(git log -1 --format=%cI)" \
#   --tag registry.example.com/signalbox:0.1.0 .
#
# `cargo xtask image` builds the same image where there is no container runtime: it runs the script that the first stage runs, and
# reads the last stage, of which it knows the instructions that stand there. See docs/decisions/0014-image.md.

# The digest is of the index of all platforms (docker buildx imagetools inspect rust:1.95-slim-bookworm): tag and digest change together.
FROM rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS build
WORKDIR /src
# The allocator is C and is built by make.
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
COPY . .
# The caches hold the registry and all compiled dependencies between builds, so that only our own crate is compiled again.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    xtask/image.sh /out

# The operator, glibc and libgcc, and nothing else: no shell, no package manager, no CA certificates, because it speaks to nobody but
# the API server, whose own CA every pod is given. The time zone database is in the binary.
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
