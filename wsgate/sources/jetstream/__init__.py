"""Publications that a stream of JetStream keeps: what was before, what is missed, what is next.

``streams`` puts it together: which streams there are is found by ``coverage``, and each is followed
by a ``follower``, which fills (``fill``, by ``pull``) and goes on live (``tail``). ``replay``
answers what memory cannot. ``api`` is how JetStream is spoken to.
"""
