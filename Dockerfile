# One image for every service. `docker run … up` runs an embedded district, with its data in /data.

FROM python:3.11.16-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN ["python", "-m", "venv", "/opt/bihuan"]
WORKDIR /build
COPY requirements.lock ./
RUN ["/opt/bihuan/bin/pip", "install", "--requirement", "requirements.lock"]
COPY pyproject.toml README.md LICENSE ./
COPY contracts contracts
COPY chassis chassis
COPY rulebook rulebook
COPY services services
COPY console console
RUN ["/opt/bihuan/bin/pip", "install", "--no-deps", "--no-build-isolation", "."]

FROM python:3.11.16-slim-bookworm
LABEL org.opencontainers.image.title="Bihuan" \
      org.opencontainers.image.description="A district reopens its businesses and keeps watch, by events alone." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
RUN ["install", "--directory", "--owner=10001", "--group=10001", "--mode=0700", "/data"]
COPY --from=build /opt/bihuan /opt/bihuan
# Nothing is written but in /tmp and /data: the root file system may be read-only.
ENV PATH=/opt/bihuan/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    DATA=/data \
    HTTP_ADDRESS=0.0.0.0 \
    HTTP_PORT=8000
USER 10001:10001
WORKDIR /data
EXPOSE 8000
STOPSIGNAL SIGTERM
# Whether the process answers. Whether it is ready is another question, and no reason to restart it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen(f\"http://127.0.0.1:{os.environ['HTTP_PORT']}/livez\", timeout=4)"]
ENTRYPOINT ["bihuan"]
CMD ["--help"]
