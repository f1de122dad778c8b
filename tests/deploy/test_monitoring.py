"""What Prometheus, its alarms and Grafana are told is true of the metrics that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import prometheus_client
import pytest
import yaml

from chassis import metrics
from console.admin.department_accounts import DEAD, MAX_LENGTH, queue_of
from tests.deploy.files import OPS, SERVICES, compose, environment
from tests.servers import promtool

CONFIG = yaml.safe_load((OPS / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((OPS / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
DASHBOARD = json.loads((OPS / "grafana" / "dashboards" / "bihuan.json").read_text("utf-8"))
OF_RABBITMQ = {
    "rabbitmq_alarms_memory_used_watermark",
    "rabbitmq_alarms_free_disk_space_watermark",
    "rabbitmq_detailed_queue_messages",
    "rabbitmq_detailed_queue_consumers",
    "rabbitmq_global_messages_dead_lettered_maxlen_total",
}
"""Metrics that RabbitMQ has; test_brokers.py asks one whether it does."""
OF_PROMETHEUS = {"up"}
METRIC = re.compile(r"\b(?:bihuan|rabbitmq|process|python|up)(?:_\w+)?\b(?=[{\[ )]|$)")


def rules():
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def expressions():
    """Return every expression that is asked of Prometheus, by where it stands."""
    yield from ((rule["alert"], rule["expr"]) for rule in rules())
    for panel in DASHBOARD["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])


def names_in(expression):
    """Name the metrics of an expression: what stands outside braces, quotes and `by (…)`."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\b(by|without|on) \([^)]*\)", "", bare)
    bare = re.sub(r"\{[^}]*\}", "{", bare)
    return set(METRIC.findall(bare))


def names_there_are():
    """Name the series that a process of ours reports."""
    found = set()
    for metric in prometheus_client.REGISTRY.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}
        found |= {metric.name + suffix for suffix in suffixes.get(metric.type, [""])}
    return found


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_expression_asks_for_metrics_that_there_are(where, expression):
    names = names_in(expression)
    assert names
    assert names <= names_there_are() | OF_RABBITMQ | OF_PROMETHEUS


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_label_is_one_that_the_metric_has(where, expression):
    ours = {
        collector._name: set(collector._labelnames)
        for collector in vars(metrics).values()
        if hasattr(collector, "_labelnames")
    }
    added = {"job", "process", "instance", "le"}
    for name, inside in re.findall(r"\b(bihuan_\w+)\{([^}]*)\}", expression):
        base = re.sub(r"_(total|bucket|count|sum)$", "", name)
        asked = set(re.findall(r"(\w+)(?:=|!=|=~|!~)\"", inside))
        assert asked <= ours[base] | added, name


def test_prometheus_finds_every_service_and_replica():
    (job,) = (job for job in CONFIG["scrape_configs"] if job["job_name"] == "bihuan")
    (found,) = job["dns_sd_configs"]
    assert found["names"] == list(SERVICES)
    assert found["type"] == "A"
    for name in SERVICES:
        assert found["port"] == int(environment(name)["HTTP_PORT"])
        assert set(compose()["services"][name]["networks"]) & set(
            compose()["services"]["prometheus"]["networks"]
        )


def test_prometheus_finds_the_broker_where_its_plugin_listens():
    conf = (OPS / "rabbitmq" / "rabbitmq.conf").read_text()
    port = re.search(r"^prometheus\.tcp\.port = (\d+)$", conf, re.MULTILINE)[1]
    assert "rabbitmq_prometheus" in (OPS / "rabbitmq" / "enabled_plugins").read_text()
    jobs = [job for job in CONFIG["scrape_configs"] if "static_configs" in job]
    targets = [each["targets"] for job in jobs for each in job["static_configs"]]
    assert targets == [[f"rabbitmq:{port}"]] * 2


def test_every_service_may_be_missed():
    (rule,) = (rule for rule in rules() if rule["alert"] == "ServiceWithoutReplicas")
    assert re.findall(r'absent\(up\{job="bihuan", process="(\w+)"\}\)', rule["expr"]) == list(
        SERVICES
    )


def test_the_alarm_of_a_queue_that_is_nearly_full_knows_the_bound():
    (rule,) = (rule for rule in rules() if rule["alert"] == "DepartmentFallsBehind")
    matched = re.search(r'queue=~"([^"]+)"\} > (\d+)$', rule["expr"])
    assert int(matched[2]) == MAX_LENGTH * 8 // 10
    assert re.fullmatch(matched[1], queue_of("tax"))
    assert not re.fullmatch(matched[1], queue_of("tax") + DEAD)


def test_every_alarm_says_how_bad_it_is_and_what_it_means():
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"].endswith(".")


def test_the_panels_are_grafanas_and_lie_side_by_side():
    (source,) = yaml.safe_load(
        (OPS / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )["datasources"]
    (provider,) = yaml.safe_load(
        (OPS / "grafana" / "provisioning" / "dashboards" / "bihuan.yml").read_text()
    )["providers"]
    mounts = compose()["services"]["grafana"]["volumes"]
    assert f"./ops/grafana/dashboards:{provider['options']['path']}:ro" in mounts
    assert "./ops/grafana/provisioning:/etc/grafana/provisioning:ro" in mounts
    assert source["url"] == "http://prometheus:9090"

    panels = DASHBOARD["panels"]
    taken = set()
    for panel in panels:
        assert panel["datasource"] == {"type": "prometheus", "uid": source["uid"]}
        where = panel["gridPos"]
        cells = {
            (where["x"] + x, where["y"] + y) for x in range(where["w"]) for y in range(where["h"])
        }
        assert not cells & taken
        assert where["x"] + where["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_prometheus_itself_accepts_its_files(tmp_path):
    """The rules are played what tests/deploy/alerts.yml holds: each rings when it should."""
    tool = promtool()
    shutil.copy(OPS / "prometheus" / "alerts.yml", tmp_path)
    shutil.copy(Path(__file__).with_name("alerts.yml"), tmp_path / "played.yml")
    for words in (
        ("check", "config", OPS / "prometheus" / "prometheus.yml"),
        ("check", "rules", OPS / "prometheus" / "alerts.yml"),
        ("test", "rules", tmp_path / "played.yml"),
    ):
        done = subprocess.run([tool, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alarm_is_played():
    played = yaml.safe_load(Path(__file__).with_name("alerts.yml").read_text())["tests"]
    silent, *loud = [{each["alertname"] for each in test["alert_rule_test"]} for test in played]
    assert silent == set().union(*loud) == {rule["alert"] for rule in rules()}
