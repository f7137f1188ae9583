#!/usr/bin/env python3
"""Asks Prometheus whether it understands /metrics, and the dashboard's expressions.

    apt-get install prometheus
    tests/peers/prometheus.py target/release/densight-camera [--seconds 60]

`promtool check metrics` reads what /metrics answers; `promtool check rules` every expression of docs/grafana.json; then a Prometheus gathers
from the running program for the time that is given, and is asked each expression: it must answer, and but for the few that have nothing
to say on every machine (temperature, throttling) with values. Ends with 1 if something is not understood; says SKIPPED where there is no Prometheus.
"""

import argparse
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

DASHBOARD = pathlib.Path(__file__).parents[2] / "docs" / "grafana.json"
# What Grafana puts in.
VARIABLES = {"$__rate_interval": "30s", "$instance": ".+"}
# What boards alone say.
MAY_BE_ABSENT = ("densight_temperature_celsius", "densight_throttled")
SETTINGS = """\
input = "test://pattern"
outputs = ["http://127.0.0.1:{port}"]
unknown-threshold = 1.0
[[region]]
name = "left"
rect = "0%,0%,50%,100%"
[state]
enter = 0.2
leave = 0.1
hold = 0.5
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def until(what, done, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            if done():
                return
        except OSError:
            pass
        if time.monotonic() > end:
            sys.exit(f"waited too long for {what}")
        time.sleep(0.2)


def expressions(value):
    if isinstance(value, list):
        return [found for member in value for found in expressions(member)]
    if isinstance(value, dict):
        own = [value["expr"]] if "expr" in value else []
        return own + [found for member in value.values() for found in expressions(member)]
    return []


def filled_in(expression):
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def checked(what, command, text=None):
    ran = subprocess.run(command, input=text, capture_output=True, text=True)
    print(f"{what}: {'ok' if ran.returncode == 0 else 'REFUSED'}")
    if ran.returncode or ran.stderr:
        print(ran.stdout + ran.stderr)
    return ran.returncode == 0


def rules(asked):
    # JSON is YAML.
    named = [{"record": f"densight:{number}", "expr": expression} for number, expression in enumerate(asked)]
    return json.dumps({"groups": [{"name": "dashboard", "rules": named}]})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("densight_camera")
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    if not shutil.which("promtool") or not shutil.which("prometheus"):
        return print("SKIPPED: there is no Prometheus: apt-get install prometheus")
    asked = [filled_in(expression) for expression in expressions(json.loads(DASHBOARD.read_text()))]
    folder, started = tempfile.TemporaryDirectory(), []
    place = pathlib.Path(folder.name)
    try:
        page, port = free_port(), free_port()
        (place / "camera.toml").write_text(SETTINGS.format(port=page))
        (place / "rules.yml").write_text(rules(asked))
        started.append(subprocess.Popen([args.densight_camera, "--config", place / "camera.toml", "--quiet"]))
        until("the first result", lambda: "densight_frames_total" in get(f"http://127.0.0.1:{page}/metrics"))
        until("a state", lambda: "densight_state{" in get(f"http://127.0.0.1:{page}/metrics"))
        good = checked("promtool check metrics", ["promtool", "check", "metrics"], get(f"http://127.0.0.1:{page}/metrics"))
        good &= not checked("the same with a metric that is wrong (REFUSED is right)", ["promtool", "check", "metrics"], "# TYPE a counter\na 1\n")
        good &= checked(f"promtool check rules, {len(asked)} expressions", ["promtool", "check", "rules", place / "rules.yml"])
        (place / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "densight", "static_configs": [{"targets": [f"127.0.0.1:{page}"]}]}],
        }))
        started.append(subprocess.Popen(
            ["prometheus", f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/data", f"--web.listen-address=127.0.0.1:{port}"],
            stderr=open(place / "log", "w")))
        api = f"http://127.0.0.1:{port}/api/v1"
        until("Prometheus", lambda: get(f"http://127.0.0.1:{port}/-/ready"))
        time.sleep(args.seconds)
        target = json.loads(get(f"{api}/targets"))["data"]["activeTargets"][0]
        print(f"Prometheus gathers: {target['health']} {target['lastError']}")
        good &= target["health"] == "up"
        for expression in asked:
            try:
                answer = json.loads(get(f"{api}/query?{urllib.parse.urlencode({'query': expression})}"))
            except OSError as error:
                answer = {"status": str(error), "data": {"result": []}}
            values = answer["data"]["result"]
            sensible = answer["status"] == "success" and (values or expression.startswith(MAY_BE_ABSENT))
            good &= bool(sensible)
            first = values[0]["value"][1] if values else "-"
            print(f"{'ok ' if sensible else 'BAD'} {len(values):2} values, the first {first[:9]:>9}: {expression}")
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
