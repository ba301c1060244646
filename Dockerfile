# syntax=docker/dockerfile:1
# docker build --tag registry.example.com/signalbox:0.1.0 .

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# The allocator is C and is built by make.
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
COPY . .
# The allocator takes its page size from the machine that builds; on arm64 a node may have larger ones.
# The caches hold the registry and all compiled dependencies between builds, so that only our own crate is compiled again.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    if [ "$(uname -m)" = aarch64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi \
    && cargo build --release --locked --package signalbox --bin signalbox \
    && install -D --mode=0755 target/release/signalbox /out/signalbox

# glibc, libgcc and CA certificates, and nothing else: no shell, no package manager. The time zone database is in the binary.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="signalbox" \
      org.opencontainers.image.description="Promotes Releases through environments while every control and gate is satisfied" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/signalbox /signalbox
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/signalbox"]
CMD ["run"]
