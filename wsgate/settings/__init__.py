"""Settings: every one there is, what it may be, what must fit together, and where it comes from.

Each setting is a field of :class:`Settings`; its name in capitals is the environment variable, in
lower case the key in a file. ``reading.load`` reads both; docs/design/settings.md says why so.
"""

from wsgate.settings.model import Settings

__all__ = ["Settings"]
