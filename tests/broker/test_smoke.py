"""One story, on SQLite with the bus in memory, and on PostgreSQL with RabbitMQ: the same facts."""

OF_THE_RESTAURANT = {
    "filing": [
        "enterprise-registered",
        "filing-submitted",
        "onsite-review-requested",
        "filing-approved",
        "enterprise-reopened",
        "liaison-assigned",
    ],
    "insurance": ["policy-issued"],
    "inspection": [
        "visit-planned",
        "visit-recorded",
        "onsite-review-passed",
        "visit-planned",
        "prompt-slip-issued",
        "visit-recorded",
        "issue-found",
        "problem-slip-issued",
        "notice-issued",
        "visit-recorded",
        "issue-rectified",
        "notice-reinspected",
        "notice-satisfied",
        "feedback-slip-issued",
        "visit-planned",
        "visit-recorded",
        "complaint-checked",
        "feedback-slip-issued",
    ],
    "complaints": ["complaint-received", "complaint-answered"],
}
OF_THE_COMPLAINT = {
    "complaints": ["complaint-received", "complaint-answered"],
    "inspection": [
        "visit-planned",
        "visit-recorded",
        "complaint-checked",
        "feedback-slip-issued",
    ],
}


def told_by(district, thing, kind="enterprises"):
    """Return what each service says of a thing, in its order; between services there is none."""
    told = {}
    for entry in district.timeline(thing, kind):
        told.setdefault(entry["source"], []).append(entry["type"])
    return told


def test_the_loop_closes_alike_on_either_bus(district):
    district.begin()
    shop = district.register("restaurant")
    district.file(shop)
    district.reviewed(shop)
    assert district.state(shop) == "open"

    district.visit(shop, findings=["dine_in"])
    (notice,) = district.open_notices(shop)
    district.reinspect(notice)
    assert district.open_notices(shop) == []

    complaint = district.complain(shop)
    district.visit(visit_id=district.planned(shop, "complaint"))

    assert told_by(district, shop) == OF_THE_RESTAURANT
    assert told_by(district, complaint, "complaints") == OF_THE_COMPLAINT
