# The image of `wsgate serve`. Why it is as it is: docs/design/image.md; how to run it:
# docs/operations.md. `make image-check` performs these steps without a container engine.
ARG PYTHON=3.11
ARG DEBIAN=bookworm

# ------------------------------------------------------------------- build: has a compiler, is left

FROM python:${PYTHON}-${DEBIAN} AS build

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /src
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY ext ext
COPY wsgate wsgate
RUN python -m pip wheel --no-deps --wheel-dir /wheels .

# At the place where it will be: paths are written into its scripts. It has no pip of its own.
RUN python -m venv --without-pip /opt/wsgate \
 && python -m pip --python /opt/wsgate/bin/python install --no-compile /wheels/wsgate-*.whl \
 && python -m compileall -q --invalidation-mode unchecked-hash /opt/wsgate/lib

# ---------------------------------------------------------------------------- the image: what runs

FROM python:${PYTHON}-slim-${DEBIAN} AS gateway

LABEL org.opencontainers.image.title="wsgate" \
      org.opencontainers.image.description="A WebSocket gateway: events in from NATS, one shared frame out to every subscribed browser" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"

# The base comes without bytecode. Without this every start would compile the standard library anew,
# and could keep nothing of it where the root is read-only.
RUN python -m compileall -q -x site-packages --invalidation-mode unchecked-hash \
    "$(python -c 'import os; print(os.path.dirname(os.__file__))')"

COPY --from=build /opt/wsgate /opt/wsgate

# Safe path: a file in the working directory is no module.
ENV PATH=/opt/wsgate/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1

USER 10001:10001
EXPOSE 3002 3003
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["wsgate", "healthcheck"]
ENTRYPOINT ["wsgate"]
CMD ["serve"]
