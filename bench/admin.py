"""Time every page of the admin with many devices: `make bench-admin`, or `python -m bench.admin --devices N`.

It starts a temporary PostgreSQL (devices/tests/support/services/postgres.py) with N devices and one gunicorn worker. An
operator and a hospital admin request each page once to warm up, and then all pages in turn for several rounds, so that
noise on the machine affects all pages alike. The output has the median and the slowest time of each page, in
milliseconds.
"""

import argparse
import http.client
import os
import socket
import statistics
import subprocess
import sys
import time

from bench.servers import ROOT, free_port
from devices.tests.support.services.postgres import throwaway_postgres

SESSION = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from devices.accounts.sessions import SessionStore
def sign_in(user):
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session.session_key
"""

SIGN_IN = f"""{SESSION}
from devices.models import Device
from devices.accounts import users
largest = Device.objects.order_by("id").last().device_holder
operator = get_user_model().objects.create_superuser("operator")
print(sign_in(operator))
print(sign_in(users.invite("Admin", "admin@rs.example", [largest])))
middle = Device.objects.filter(pk__gte=Device.objects.order_by("id").last().pk // 2).order_by("id").first()
print(middle.pk, largest.pk, middle.device_name.split()[-1][:5], middle.device_mac[6:14].replace(":", ""))
"""

VACUUM = "from django.db import connection; connection.cursor().execute('VACUUM ANALYZE')"

LISTS = "/admin/devices"
CHOICES = "/admin/autocomplete/?app_label=devices&model_name=device&field_name=device_holder"
PAGES = {
    "overview": "/admin/",
    "devices": f"{LISTS}/device/",
    "devices, page 100": f"{LISTS}/device/?p=100",
    "devices, last page": f"{LISTS}/device/?p={{last}}",
    "devices by name": f"{LISTS}/device/?o=1",
    "devices by change": f"{LISTS}/device/?o=-6",
    "search, part of a name": f"{LISTS}/device/?q={{name}}",
    "search, part of every other name": f"{LISTS}/device/?q=cuff",
    "search, part of a MAC": f"{LISTS}/device/?q={{mac}}",
    "search, nothing found": f"{LISTS}/device/?q=zzzzzz",
    "filter by hospital": f"{LISTS}/device/?device_holder__id__exact={{hospital}}",
    "filter by type": f"{LISTS}/device/?device_type__exact=CORPORATE",
    "filter by type and day": f"{LISTS}/device/?device_type__exact=CORPORATE&created_at_from={{today}}",
    "without a hospital": f"{LISTS}/device/?device_holder__isnull=True",
    "a device": f"{LISTS}/device/{{device}}/change/",
    "a device's history": f"{LISTS}/historicaldevice/?id={{device}}",
    "changes": f"{LISTS}/historicaldevice/",
    "changes, page 100": f"{LISTS}/historicaldevice/?p=100",
    "changes, search": f"{LISTS}/historicaldevice/?q={{name}}",
    "changes of a hospital": f"{LISTS}/historicaldevice/?device_holder__id__exact={{hospital}}",
    "changes, retired": f"{LISTS}/historicaldevice/?action=retired",
    "hospitals": f"{LISTS}/hospital/",
    "a hospital": f"{LISTS}/hospital/{{hospital}}/change/",
    "hospitals to choose from": f"{CHOICES}&term=1",
    "users": f"{LISTS}/staffuser/",
    "API keys": f"{LISTS}/apikey/",
    "audit log": f"{LISTS}/auditevent/",
}
OPERATORS_ONLY = {"users", "API keys", "audit log", "without a hospital"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with throwaway_postgres() as url:
        port = free_port()
        environment = {
            **os.environ,
            "ENV_FILE": os.devnull,
            "SECRET_KEY": os.urandom(32).hex(),
            "DATABASE_URL": url,
            "HTTPS": "0",
            "PORT": str(port),
            "WEB_CONCURRENCY": "1",
        }
        _manage(environment, "migrate", "-v0")
        _manage(environment, "collectstatic", "--noinput", "-v0")
        _manage(environment, "seed_devices", str(options.devices))
        _manage(environment, "shell", "-v0", "-c", VACUUM)
        *sessions, ids = _manage(environment, "shell", "-v0", "-c", SIGN_IN).splitlines()
        device, hospital, name, mac = ids.split()
        values = {
            "device": device,
            "hospital": hospital,
            "name": name,
            "mac": mac,
            "last": -(-options.devices // 50),
            "today": time.strftime("%Y-%m-%d"),
        }
        gunicorn = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "--log-level", "warning"]
        server = subprocess.Popen(gunicorn, cwd=ROOT, env=environment)
        try:
            _wait_for(port)
            for role, session in zip(("operator", "hospital admin"), sessions, strict=True):
                _report(role, _times(port, session, role, values, options.rounds))
        finally:
            server.terminate()
            server.wait(30)


def _times(port: int, session: str, role: str, values: dict[str, object], rounds: int) -> dict[str, list[float]]:
    pages = {name: path.format(**values) for name, path in PAGES.items()}
    if role != "operator":
        pages = {name: path for name, path in pages.items() if name not in OPERATORS_ONLY}
        pages["a device"] = pages["a device's history"] = pages["devices"]  # a hospital admin cannot open this device
        pages["devices, last page"] = pages["devices, page 100"] = pages["devices"]
        pages["changes, page 100"] = pages["changes"]
    times: dict[str, list[float]] = {name: [] for name in pages}
    for turn in range(rounds + 1):
        for name, path in pages.items():
            took = _get(port, path, session)
            if turn:
                times[name].append(took)
    return times


def _get(port: int, path: str, session: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    begin = time.perf_counter()
    connection.request("GET", path, headers={"Cookie": f"sessionid={session}"})
    response = connection.getresponse()
    response.read()
    took = (time.perf_counter() - begin) * 1000
    connection.close()
    if response.status != 200:
        raise SystemExit(f"{path}: {response.status}")
    return took


def _report(role: str, times: dict[str, list[float]]) -> None:
    print(f"\n| page, as the {role} | median ms | slowest ms |\n|---|---|---|")
    for name, took in times.items():
        print(f"| {name} | {statistics.median(took):.0f} | {max(took):.0f} |")


def _manage(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def _wait_for(port: int) -> None:
    for _turn in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit("gunicorn did not start.")


if __name__ == "__main__":
    main()
