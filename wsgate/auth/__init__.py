"""Authentication: who a client is, and which channels it may have.

A *credential* comes with the upgrade request or in an ``auth`` command (``carriers``). It is a
token, which is checked against a set of keys (``verifier``, ``keyset``), or a ticket that stands
for a token checked before (``tickets``). Either way it becomes an ``Identity``. Keys come from an
origin, and are kept fresh by a ``KeySource`` (``keys``). An ``Authenticator`` is all of it behind
two calls.

Secrets stay inside: no repr, no exception and no log line of this package shows a token, a ticket
or a key.
"""
