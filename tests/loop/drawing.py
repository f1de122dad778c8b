"""Draws the loop from what the stories have caused."""

from contracts.catalogue import contracts
from contracts.message import Command

HEAD = """# The loop

Drawn from what the loop stories really caused, by causation id; `make docs` draws it anew, and a
test fails when it is out of date. Rectangles are events, rounded boxes commands; the colour is that
of the service that says it. `command-settled` and `hour-swept`, which every service says alike, are
left out.

"""
SERVICES = {
    "gateway": "#e8e8e8",
    "filing": "#d6e8ff",
    "inspection": "#ffe3c2",
    "complaints": "#e4d6ff",
    "insurance": "#d3f2d9",
}


def drawn(edges):
    """Write docs/loop.md."""
    service_of = {effect: service for service, _, effect in sorted(edges)}
    kinds = contracts()
    for _, cause, _ in edges:
        if cause and cause not in service_of:
            service_of[cause] = "gateway"
    lines = [HEAD + "```mermaid", "flowchart LR"]
    for name, service in sorted(service_of.items()):
        box = f"([{name}])" if issubclass(kinds[name], Command) else f"[{name}]"
        lines.append(f"    {name}{box}:::{service}")
    lines += [
        f"    {cause} --> {effect}"
        for cause, effect in sorted({(cause, effect) for _, cause, effect in edges if cause})
    ]
    lines += [f"    classDef {name} fill:{fill},stroke:#555" for name, fill in SERVICES.items()]
    lines += ["```", "", "| cause | effect | said by |", "|---|---|---|"]
    lines += [
        f"| {cause or 'from outside'} | {effect} | {service} |"
        for service, cause, effect in sorted(edges, key=lambda e: (e[1] or "", e[2], e[0]))
    ]
    return "\n".join(lines) + "\n"
