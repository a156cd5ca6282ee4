# One image with both programs, for docker-compose.yml and for everything else. It holds nothing but them: no shell, no
# package manager, certificates and time zones from the base. For that reason it has no HEALTHCHECK, which would need a
# program to run inside: ask the admin port's /healthz and /readyz over HTTP, as Kubernetes does.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
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
ENTRYPOINT ["/proxy"]
