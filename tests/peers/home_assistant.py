"""Asks Home Assistant's own code whether it understands what Densight tells it (MQTT discovery).

    python3 -m venv venv
    venv/bin/pip install --no-deps -r tests/peers/requirements-home-assistant.txt
    DENSIGHT_DISCOVERY=$PWD/told cargo test --release --features actions --lib -- home_assistant_finds_all
    venv/bin/python tests/peers/home_assistant.py told

Each line of the file is a topic and what is said on it, as the test above writes them, or `mosquitto_sub -v -t 'homeassistant/#'`. Ends
with 1 if a message is not understood, or a member of one is ignored. Python 3.11, for which the newest Home Assistant is 2024.3.
"""

import importlib
import json
import sys

from homeassistant.components.mqtt.discovery import SUPPORTED_COMPONENTS, TOPIC_MATCHER
from homeassistant.components.mqtt.mixins import MQTT_ORIGIN_INFO_SCHEMA


def faults(topic, text):
    """What Home Assistant would not understand of a message."""
    found = TOPIC_MATCHER.match(topic.partition("/")[2])
    if not found or found["component"] not in SUPPORTED_COMPONENTS:
        return ["the topic is none of its own"]
    about = json.loads(text)
    schema = importlib.import_module(f"homeassistant.components.mqtt.{found['component']}").DISCOVERY_SCHEMA
    try:
        # It takes the origin out before.
        MQTT_ORIGIN_INFO_SCHEMA(about.pop("origin"))
        understood = schema(about)
    except Exception as error:
        return [str(error)]
    ignored = sorted(set(about) - set(understood)) + sorted(set(about["device"]) - set(understood["device"]))
    return [f"{name} is ignored" for name in ignored]


def planted(topic, text):
    """That it would be seen."""
    about = json.loads(text)
    wrong = [
        (topic.replace("sensor/", "sensor/ü", 1), about),
        (topic, about | {"entity_category": "nonsense"}),
        (topic, about | {"state_topic": "a/#/b"}),
        (topic, about | {"colour": "blue"}),
        (topic, {key: value for key, value in about.items() if key != "state_topic"}),
    ]
    return [case for case in wrong if not faults(case[0], json.dumps(case[1]))]


def main():
    lines = [line.rstrip("\n").split(" ", 1) for line in open(sys.argv[1], encoding="utf-8")]
    told = [(topic, text) for topic, text in lines if text not in ("", "null")]
    unseen = planted(*next((topic, text) for topic, text in told if "/sensor/" in topic))
    assert not unseen, f"faults that are not seen: {unseen}"
    wrong, names, kinds = 0, set(), {}
    for topic, text in told:
        kind, unique = topic.split("/")[1], (topic.split("/")[1], json.loads(text)["unique_id"])
        kinds[kind] = kinds.get(kind, 0) + 1
        for fault in faults(topic, text) + ["unique_id is not"] * (unique in names):
            print(f"{topic}: {fault}")
            wrong += 1
        names.add(unique)
    print(f"{len(told)} messages ({', '.join(f'{n} {kind}' for kind, n in sorted(kinds.items()))}), {wrong} faults")
    return 1 if wrong or not told else 0


if __name__ == "__main__":
    sys.exit(main())
