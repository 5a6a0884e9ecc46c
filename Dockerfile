# A tag can move. Pin it for a release: --build-arg BASE_IMAGE=python:3.12-slim@sha256:DIGEST
ARG BASE_IMAGE=python:3.12-slim

# A venv of the server and its dependencies, at the tested versions and hashes: no compiler, no pip.
FROM ${BASE_IMAGE} AS build
WORKDIR /source
ENV PIP_ONLY_BINARY=:all: PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
COPY .ci/requirements .ci/requirements
RUN ["python", "-m", "venv", "--without-pip", "/opt/aimanager"]
RUN ["python", "-m", "pip", "--python", "/opt/aimanager", "install", "--quiet", "--require-hashes", "-r", ".ci/requirements/server.txt"]
RUN ["python", "-m", "pip", "install", "--quiet", "--require-hashes", "-r", ".ci/requirements/build.txt"]
COPY pyproject.toml README.md LICENSE ./
COPY server server
COPY clients/python clients/python
RUN ["python", "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", "/wheels", "."]
RUN ["python", "-m", "pip", "--python", "/opt/aimanager", "install", "--quiet", "--no-index", "--no-deps", "--find-links", "/wheels", "aimanager"]

FROM ${BASE_IMAGE}
COPY --from=build /opt/aimanager /opt/aimanager
# Anonymous callers are rejected: without [callers] in /etc/aimanager/aimanager.toml the server does not start.
ENV PATH=/opt/aimanager/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    AIMANAGER_SERVER__LISTEN=[::]:50051 \
    AIMANAGER_SERVER__HEALTH_LISTEN=[::]:50052 \
    AIMANAGER_SERVER__METRICS_LISTEN=[::]:9464
WORKDIR /etc/aimanager
USER 65532:65532
EXPOSE 50051 50052 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-m", "aimanager_server.commands.healthcheck", "--address", "127.0.0.1:50052"]
ENTRYPOINT ["aimanager-server"]
CMD ["serve"]
