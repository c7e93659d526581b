"""The settings by topic; the first line of each group's docstring is its title for users."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from wsgate.settings.groups.access import Access
from wsgate.settings.groups.aggregation import Aggregation
from wsgate.settings.groups.arrival import Arrival
from wsgate.settings.groups.clients import Clients
from wsgate.settings.groups.delivery import Delivery
from wsgate.settings.groups.draining import Draining
from wsgate.settings.groups.listening import Listening
from wsgate.settings.groups.logs import Logs
from wsgate.settings.groups.nats import Nats
from wsgate.settings.groups.polling import Polling
from wsgate.settings.groups.publishing import Publishing

# In the order in which users read them. Relations look from a field to those above it.
GROUPS: Final[tuple[type[BaseModel], ...]] = (
    Listening,
    Arrival,
    Clients,
    Access,
    Delivery,
    Draining,
    Polling,
    Publishing,
    Nats,
    Aggregation,
    Logs,
)
