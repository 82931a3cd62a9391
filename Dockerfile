# The chat alone; docker-compose.yml puts a Valkey beside it. It needs one place to write, /data,
# and runs with everything else read-only and without any privilege.
FROM python:3.13-slim AS build
WORKDIR /src
ENV UV_PROJECT_ENVIRONMENT=/app
RUN pip install --no-cache-dir uv==0.13.9
# What others wrote first: it changes less often than what we write.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project --compile-bytecode
COPY README.md LICENSE ./
COPY chat chat
COPY templates templates
COPY static static
RUN uv sync --frozen --no-dev --no-editable --compile-bytecode

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin chat \
    && install --directory --owner=10001 --group=10001 --mode=700 /data
COPY --from=build /app /app
# CHAT_BIND has no port, so that the PORT of a platform is honoured. Large uploads are buffered
# in TMPDIR.
ENV PATH=/app/bin:$PATH CHAT_BIND=0.0.0.0 PORT=8000 CHAT_DATA=/data TMPDIR=/data PYTHONUNBUFFERED=1
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/readyz')"]
CMD ["chat", "serve"]
