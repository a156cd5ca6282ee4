# One image with both programs, for docker-compose.yml and for everything else. It holds nothing but them: no shell, no
# package manager, certificates and time zones from the base.
FROM --platform=$BUILDPLATFORM golang:1.26.11 AS build
WORKDIR /src
# The modules change seldom: a layer of their own is downloaded once.
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY config config
COPY internal internal
ARG TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags='-s -w' -o /out/ ./cmd/proxy ./cmd/origin

FROM gcr.io/distroless/static:nonroot
COPY --from=build /out/proxy /out/origin /
USER nonroot:nonroot
EXPOSE 8080 8081
# It asks the admin port on this container's own address. Where admin has another port, add -admin or -config.
HEALTHCHECK --interval=5s --timeout=6s --start-period=30s --start-interval=1s --retries=3 CMD ["/proxy", "status", "-check"]
ENTRYPOINT ["/proxy"]
