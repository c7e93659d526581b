"""``wsgate aggregate``: far more publications in than browsers need, few enough out for gateways.

A process of its own, between backends and gateways: reads raw subjects from NATS, and republishes
them as the channels that gateways listen to. State at most once a window, events all and in order.
docs/design/aggregate.md says why so. ``wsgate serve`` never imports this package.
"""
