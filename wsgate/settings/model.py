"""The model of all settings: every group, what must fit together, and what is made of them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from wsgate.auth.options import TokenOptions
from wsgate.auth.permissions import EVERYTHING, NOTHING
from wsgate.blueprint import (
    AggregationBlueprint,
    AuthBlueprint,
    Blueprint,
    NatsBlueprint,
    PollBlueprint,
    TlsFiles,
)
from wsgate.limits import Limits
from wsgate.renaming import Renaming
from wsgate.rules import overlaps
from wsgate.settings.groups.access import Access
from wsgate.settings.groups.aggregation import Aggregation
from wsgate.settings.groups.arrival import Arrival
from wsgate.settings.groups.clients import Clients
from wsgate.settings.groups.delivery import Delivery
from wsgate.settings.groups.draining import Draining
from wsgate.settings.groups.listening import WORKERS_MAX, Listening
from wsgate.settings.groups.logs import Logs
from wsgate.settings.groups.nats import Nats
from wsgate.settings.groups.polling import Polling
from wsgate.settings.groups.publishing import Publishing
from wsgate.settings.relations import Relations

POLL_SOURCE: Final = "poll"


# Python looks from left to right, so pydantic has the fields of the last of them first.
class Settings(
    Logs,
    Aggregation,
    Nats,
    Publishing,
    Polling,
    Draining,
    Delivery,
    Access,
    Clients,
    Arrival,
    Listening,
    Relations,
    BaseSettings,
):
    """Keyword arguments go before environment variables, those before the defaults.

    ``reading.load`` puts a file between the last two.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        # As compose files and unit files write it: WS_PORT= means "not set", here and in a file.
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    def limits(self) -> Limits:
        return Limits(
            connections_max=self.ws_max_connections,
            connections_per_address_max=self.ws_max_connections_per_address or None,
            handshakes_max=self.ws_max_handshakes,
            handshakes_per_s=self.ws_max_handshakes_per_s or None,
            handshake_timeout_s=self.ws_handshake_timeout_s,
            header_bytes_max=self.ws_max_header_bytes,
            message_bytes_max=self.ws_max_message_bytes,
            fragments_max=self.ws_max_fragments,
            commands_per_s=self.ws_max_commands_per_s or None,
            pings_per_s=self.ws_max_pings_per_s or None,
            subscriptions_max=self.ws_max_subscriptions,
            channels_max=self.ws_max_channels,
            publications_per_s=self.ws_max_nats_rate or None,
            broadcasts_per_s=self.ws_max_broadcast_rate or None,
            events_bytes_max=self.ws_max_backlog_bytes,
            auth_timeout_s=self.ws_auth_timeout_s,
            connection_age_max_s=self.ws_max_connection_age_s or None,
        )

    def _share(self, workers: int) -> Limits:
        """The limits of one worker: of what is counted by each for itself, its part."""
        limits = self.limits()
        per_s = limits.handshakes_per_s
        return replace(
            limits,
            handshakes_max=-(-limits.handshakes_max // workers),
            handshakes_per_s=None if per_s is None else per_s / workers,
        )

    def worker_count(self) -> int:
        if self.ws_workers == "auto":
            return min(WORKERS_MAX, len(os.sched_getaffinity(0)))
        return self.ws_workers

    def subjects_without_rule(self) -> list[str]:
        """What NATS is asked for in vain: no rule makes a channel of any of it."""
        return [
            subject
            for subject in self._asked_of_nats()
            if not any(overlaps(subject, rule.subject) for rule in self.ws_rules)
        ]

    def rules_without_subject(self) -> list[str]:
        """The subjects of rules for which nobody is asked."""
        asked = [*self._asked_of_nats(), *self._polled()]
        if not self.nats_url and self.ws_publish_token is not None:
            return []  # who publishes says what for
        return [
            rule.subject
            for rule in self.ws_rules
            if not any(overlaps(subject, rule.subject) for subject in asked)
        ]

    def subjects_also_polled(self) -> list[str]:
        """What NATS is asked for although the backend that is polled may bring it as well."""
        return [
            subject
            for subject in self._asked_of_nats()
            if any(overlaps(subject, pattern) for pattern in self._polled())
        ]

    def _asked_of_nats(self) -> tuple[str, ...]:
        return self.nats_subjects if self.nats_url else ()

    def _polled(self) -> tuple[str, ...]:
        if self.ws_poll_url is None:
            return ()
        return (self.ws_poll_channel.replace("{id}", "*"),)

    def blueprint(self, workers: int | None = None) -> Blueprint:
        """What each worker is told, of so many; None: of as many as there should be."""
        return Blueprint(
            limits=self._share(self.worker_count() if workers is None else workers),
            rules=self.ws_rules,
            flush_window_s=(
                None if self.ws_flush_window_ms == "auto" else self.ws_flush_window_ms / 1000
            ),
            deflate=self.ws_deflate,
            delta=self.ws_delta,
            allowed_origins=self.ws_allowed_origins,
            trusted_proxies=self.ws_trusted_proxies,
            proxy_protocol=self.ws_proxy_protocol == "on",
            tls=self._tls(),
            auth=self._auth(),
            nats=self._nats(self.nats_subjects),
            remote_sources=() if self.ws_poll_url is None else (POLL_SOURCE,),
            log_level=self.log_level,
            log_format=self.log_format,
        )

    def poll(self) -> PollBlueprint | None:
        """What the supervisor is told, which polls for all workers."""
        if self.ws_poll_url is None:
            return None
        return PollBlueprint(
            url=self.ws_poll_url,
            token=_revealed(self.ws_poll_token),
            interval_s=self.ws_poll_interval_ms / 1000,
            timeout_s=self.ws_poll_timeout_s,
            bytes_max=self.ws_poll_max_bytes,
            ids_max=self.ws_poll_max_ids,
            items=self.ws_poll_items,
            id=self.ws_poll_id,
            version=self.ws_poll_version,
            cursor=self.ws_poll_cursor,
            channel=self.ws_poll_channel,
        )

    def publish_token(self) -> str | None:
        """Of who may publish on the admin port; None if nobody may."""
        return _revealed(self.ws_publish_token)

    def _nats(self, subjects: tuple[str, ...]) -> NatsBlueprint | None:
        if not self.nats_url:
            return None
        return NatsBlueprint(
            servers=self.nats_url,
            subjects=subjects,
            streams=_streams(self.nats_jetstream),
            creds_file=self.nats_creds,
            user=self.nats_user,
            password=_revealed(self.nats_password),
            token=_revealed(self.nats_token),
            aggregated=self.ws_aggregate_from is not None,
        )

    def aggregation(self) -> AggregationBlueprint | None:
        """What ``wsgate aggregate`` is told; None if there is nothing for it to read."""
        if self.ws_aggregate_from is None:
            return None
        renaming = Renaming(raw=self.ws_aggregate_from, channels=self.ws_aggregate_to)
        nats = self._nats(tuple(renaming.raw_of(channel) for channel in self.nats_subjects))
        assert nats is not None, "checked with the other relations"
        return AggregationBlueprint(
            renaming=renaming,
            rules=self.ws_rules,
            channels=self.nats_subjects,
            window_s=self.ws_aggregate_window_ms / 1000,
            channels_max=self.ws_max_channels,
            backlog_bytes_max=self.ws_aggregate_max_backlog_bytes,
            nats=nats,
        )

    def _tls(self) -> TlsFiles | None:
        if self.ws_tls_cert is None or self.ws_tls_key is None:
            return None
        return TlsFiles(certificate=self.ws_tls_cert, key=self.ws_tls_key)

    def _auth(self) -> AuthBlueprint | None:
        if self.ws_auth == "none":
            return None
        return AuthBlueprint(
            secret=_revealed(self.ws_jwt_secret),
            keys=self.ws_jwt_keys,
            options=TokenOptions(
                permissions_default=(
                    EVERYTHING if self.ws_jwt_channels_default == "all" else NOTHING
                ),
                audience=self.ws_jwt_audience,
                issuer=self.ws_jwt_issuer,
                leeway_s=self.ws_jwt_leeway_s,
                channels_claim=self.ws_jwt_channels_claim,
            ),
        )


def _streams(setting: tuple[str, ...]) -> tuple[str, ...] | None:
    words: dict[tuple[str, ...], tuple[str, ...] | None] = {("auto",): None, ("off",): ()}
    return words.get(setting, setting)


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
