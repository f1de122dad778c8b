"""What a story about webhooks looks at."""

from tests.api.test_feed import feed

REGISTERED = ["enterprise-registered"]


def history(district, webhook, query=""):
    return district.client.get(f"/v1/webhooks/{webhook['id']}/deliveries{query}")["items"]


def shown(district, webhook):
    return district.client.get(f"/v1/webhooks/{webhook['id']}")


def keys_in_order(events):
    """Return the positions of each key, in the order in which they came."""
    found = {}
    for event in events:
        found.setdefault(event["partitionkey"], []).append(event["position"])
    return found


def since(district, webhook):
    """Return what the feed has had since a webhook was registered."""
    return [e for e in feed(district, limit=100) if e["position"] > webhook["reached"]]
