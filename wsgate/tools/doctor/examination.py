"""The whole examination: every topic read, and judged by the settings of this environment."""

from __future__ import annotations

import os
import time

from wsgate.control import control_subjects
from wsgate.settings.names import unknown_variables
from wsgate.tools.doctor import (
    clock,
    cpu,
    descriptors,
    kernel,
    keys,
    memory,
    nats,
    ports,
    python,
    tls,
)
from wsgate.tools.doctor import settings as settings_check
from wsgate.tools.doctor.finding import Finding


async def examine() -> list[Finding]:
    """What there is to say, topic by topic; a topic whose own settings are wrong is left out."""
    understood = settings_check.read()
    settings, defaulted = understood.settings, understood.defaulted
    blueprint = settings.blueprint()
    encrypts, auth = blueprint.tls, blueprint.auth
    connections, workers = settings.ws_max_connections, settings.worker_count()
    listening = {"WS_PORT": settings.ws_port, "WS_ADMIN_PORT": settings.ws_admin_port}

    findings = [
        *settings_check.judge(
            understood.wrong, [*unknown_variables(os.environ)], settings.subjects_without_rule()
        ),
        *python.judge(python.read(), tls=encrypts is not None, deflate=blueprint.deflate),
        cpu.judge(cpu.read(), workers=workers),
        memory.judge(
            memory.read(), connections=connections, workers=workers, tls=encrypts is not None
        ),
        *descriptors.judge(
            descriptors.read(),
            connections=connections,
            handshakes=blueprint.limits.handshakes_max,
            workers=workers,
        ),
        *kernel.judge(kernel.read(), connections=connections, ports=listening),
        *(
            ports.judge(ports.read(setting, settings.ws_host, port))
            for setting, port in listening.items()
        ),
        clock.judge(clock.read(), tokens=auth is not None, leeway_s=settings.ws_jwt_leeway_s),
    ]
    if not defaulted & {"ws_tls_cert", "ws_tls_key"}:
        findings.append(tls.judge(tls.read(encrypts) if encrypts else None, now_s=time.time()))
    if not defaulted & {"ws_auth", "ws_jwt_secret", "ws_jwt_keys"}:
        setting = auth.setting if auth else "WS_AUTH"
        found = None if auth is None else await keys.read(auth)
        findings.append(keys.judge(found, setting=setting))
    if blueprint.nats is not None and not any(name.startswith("nats_") for name in defaulted):
        control = control_subjects(revocations=auth is not None, gaps=blueprint.nats.aggregated)
        findings += nats.judge(await nats.read(blueprint.nats, control))
    # A wrong WS_HOST is wrong for both ports, and is said once.
    return list(dict.fromkeys(findings))
