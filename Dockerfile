# The chat by itself; docker-compose.yml adds a Valkey. It writes to /data only: everything else can be
# read-only, and it needs no privileges.
FROM python:3.13-slim AS build
WORKDIR /src
ENV UV_PROJECT_ENVIRONMENT=/app
RUN pip install --no-cache-dir uv==0.13.9
# Dependencies first: they change less often than our code.
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
# CHAT_BIND has no port, so the platform's PORT applies. Large uploads are buffered in TMPDIR.
ENV PATH=/app/bin:$PATH CHAT_BIND=0.0.0.0 PORT=8000 CHAT_DATA=/data TMPDIR=/data PYTHONUNBUFFERED=1
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/readyz')"]
CMD ["chat", "serve"]
