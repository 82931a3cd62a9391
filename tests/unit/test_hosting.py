"""The documents for operators are correct: tools accept the files that are written for them, and
the files name existing settings."""

import json
import re
import shutil
import subprocess

import pytest
import yaml

from chat.config import BadSetting, Settings

from ..running import ROOT

BIN = ROOT / ".venv" / "bin"
# What needs no way in from outside: the image says it, or it is for another kind of running.
NOT_FOR_COMPOSE = {"CHAT_BIND", "PORT", "CHAT_DATA", "CHAT_FSYNC"}


class Asked(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name, default=None):
        self.names.add(name)
        return super().get(name, default)


@pytest.fixture(scope="module")
def settings():
    """The names of all settings."""
    asked = Asked()
    Settings.from_env(asked)
    return asked.names - {"XDG_DATA_HOME"} | {"TZ"}  # TZ is read by the C library


def read(name):
    return yaml.safe_load((ROOT / name).read_text())


def test_every_setting_is_in_a_table_of_the_documents_and_nothing_else(settings):
    """In the README's, or where a way of signing in is described."""
    readme = (ROOT / "README.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    tables = readme + (ROOT / "docs/sign-in.md").read_text()
    rows = re.findall(r"^\| ((?:`[A-Z0-9_]+`(?:, )?)+) \|", tables, re.M)
    assert set(re.findall(r"\w+", " ".join(rows))) == settings


# The image


def test_a_linter_accepts_the_dockerfile():
    linter = shutil.which("hadolint", path=str(BIN)) or "hadolint"
    said = subprocess.run(
        [linter, "--failure-threshold=style", str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stdout


def test_the_image_is_built_with_the_uv_that_locks():
    wanted = re.search(r"^UV_VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.M)[1]
    assert f" uv=={wanted}\n" in (ROOT / "Dockerfile").read_text()


def test_what_is_copied_into_the_image_is_sent_to_the_engine():
    copied = {
        source
        for words in re.findall(r"^COPY (?!--)(.*)$", (ROOT / "Dockerfile").read_text(), re.M)
        for source in words.split()[:-1]
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in lines if line.startswith("!")} == copied


# Docker compose


def compose(*files):
    command = ["docker-compose"]
    if not shutil.which("docker-compose"):
        assert shutil.which("docker"), "make test brings docker-compose in"
        command = ["docker", "compose"]
    named = [word for file in files for word in ("-f", str(ROOT / file))]
    said = subprocess.run([*command, *named, "config"], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    return yaml.safe_load(said.stdout)["services"]


def test_docker_compose_accepts_its_files():
    services = compose("docker-compose.yml")
    assert set(services) == {"chat", "valkey"}
    assert "ports" not in services["valkey"], "the database is nobody's but the chat's"
    assert "ports" in compose("docker-compose.yml", "docs/hosting/valkey-port.yml")["valkey"]


@pytest.mark.parametrize("name", ["chat", "valkey"])
def test_a_service_may_do_no_more_than_it_needs(name):
    service = read("docker-compose.yml")["services"][name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges"]
    assert all(":/data" in volume for volume in service["volumes"])


def test_every_setting_can_be_given_to_docker_compose(settings):
    given = read("docker-compose.yml")["services"]["chat"]["environment"]
    assert set(given) == settings - NOT_FOR_COMPOSE


# Google Cloud


def cloud_run():
    """The container of the Cloud Run service and its environment, secrets left out."""
    spec = read("docs/hosting/cloudrun.yaml")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return container, {entry["name"]: entry.get("value", "k" * 32) for entry in container["env"]}


def test_app_engine_is_given_settings_that_exist(settings):
    env = read("app.yaml")["env_variables"]
    assert set(env) <= settings
    assert all(isinstance(value, str) for value in env.values())
    Settings.from_env({**env, "SECRET_KEY": "k" * 32})


def test_nobody_deploys_with_the_secret_that_everyone_knows():
    with pytest.raises(BadSetting, match="SECRET_KEY"):
        Settings.from_env(read("app.yaml")["env_variables"])


def test_cloud_run_is_given_settings_that_exist(settings):
    _, env = cloud_run()
    assert set(env) <= settings
    assert all(isinstance(value, str) for value in env.values())
    Settings.from_env(env)


def test_what_is_the_same_on_every_machine_is_in_common():
    """Several machines share database, secret and pictures."""
    for env in (read("app.yaml")["env_variables"], cloud_run()[1]):
        assert {"REDIS_URL", "SECRET_KEY", "CHAT_FILES"} <= set(env)


def test_health_is_asked_where_it_is_answered():
    app, container = read("app.yaml"), cloud_run()[0]
    for ready, alive in (
        (app["readiness_check"]["path"], app["liveness_check"]["path"]),
        (
            container["startupProbe"]["httpGet"]["path"],
            container["livenessProbe"]["httpGet"]["path"],
        ),
    ):
        assert (ready, alive) == ("/readyz", "/healthz")


def test_cloud_run_lets_pages_stay_open():
    """As long and as many as Cloud Run allows, and with a processor between requests."""
    template = read("docs/hosting/cloudrun.yaml")["spec"]["template"]
    assert template["spec"]["timeoutSeconds"] == 3600
    assert template["spec"]["containerConcurrency"] == 1000
    annotations = template["metadata"]["annotations"]
    assert annotations["run.googleapis.com/cpu-throttling"] == "false"
    (interface,) = json.loads(annotations["run.googleapis.com/network-interfaces"])
    assert set(interface) == {"network", "subnetwork"}
