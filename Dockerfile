# The chat alone; docker-compose.yml puts a Redis beside it.
FROM python:3.13-slim AS build
WORKDIR /src
RUN pip install --no-cache-dir uv==0.13.9
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY chat chat
COPY templates templates
COPY static static
ENV UV_PROJECT_ENVIRONMENT=/app
RUN uv sync --frozen --no-dev --no-editable --compile-bytecode

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home chat && mkdir /data && chown chat /data
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH CHAT_BIND=0.0.0.0:8000 CHAT_DATA=/data PYTHONUNBUFFERED=1
USER chat
VOLUME /data
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz')"]
CMD ["chat", "serve"]
