# Lists the sign-in app, its users, its groups and their members through Okta's own SDK for Python, and compares
# what comes with what the simulated org says a right sync holds. How to run it is in README.md beside this file.
"""Judge the simulated Okta org by Okta's SDK: private-key mode with DPoP."""

import argparse
import asyncio
import inspect
import json
import socket
import ssl
import urllib.request

import aiohttp
from jwcrypto.jwk import JWK
from okta.client import Client
from okta.pagination import PaginationHelper

SYNCED = {"ACTIVE", "STAGED", "PROVISIONED", "RECOVERY", "PASSWORD_EXPIRED", "LOCKED_OUT"}


def trust(ca_file):
    """Make aiohttp, which the SDK sends its requests with, trust the org's CA beside the usual ones."""
    context = ssl.create_default_context()
    context.load_verify_locations(ca_file)
    original = aiohttp.TCPConnector.__init__

    def with_trust(self, *args, **kwargs):
        kwargs.setdefault("ssl", context)
        original(self, *args, **kwargs)

    aiohttp.TCPConnector.__init__ = with_trust


def resolve_localhost():
    """Let names below .localhost lead to loopback, as RFC 6761 section 6.3 says; not every resolver does."""
    original = socket.getaddrinfo

    def with_localhost(host, *args, **kwargs):
        return original("127.0.0.1" if str(host).endswith(".localhost") else host, *args, **kwargs)

    socket.getaddrinfo = with_localhost


def control(org, method, path, body=None):
    """Ask the control API of the simulated org."""
    sent = None if body is None else body.encode()
    request = urllib.request.Request(org["control"] + path, data=sent, method=method)
    with urllib.request.urlopen(request) as reply:
        return reply.read().decode()


def register_key(org):
    """Make an RSA key, register its public half as an admin would, and give the private half."""
    key = JWK.generate(kty="RSA", size=2048, kid="sdk-key", alg="RS256", use="sig")
    control(org, "PUT", "/jwk", key.export_public())
    return json.loads(key.export_private())


async def everything(call, *args, **kwargs):
    """All rows of a listing: the first page, then the page behind each next link."""
    rows, after = [], None
    while True:
        page = {**kwargs, "after": after} if after else kwargs
        found, reply, error = await call(*args, **page)
        if error:
            raise SystemExit(f"the SDK was refused: {error}")
        rows += found
        after = PaginationHelper.extract_next_cursor(reply.headers)
        if after is None:
            return rows


async def main():
    """List all that a sync reads, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("info", help="the JSON line that okta-sim printed, or a file with it")
    text = parser.parse_args().info
    org = json.loads(text if text.lstrip().startswith("{") else open(text, encoding="utf-8").read())
    trust(org["ca"])
    resolve_localhost()
    client = Client(
        {
            "orgUrl": org["base"],
            "authorizationMode": "PrivateKey",
            "clientId": org["client_id"],
            "scopes": ["okta.apps.read", "okta.groups.read", "okta.users.read"],
            "privateKey": register_key(org),
            "kid": "sdk-key",
            "dpopEnabled": True,
        }
    )

    apps = await everything(client.list_applications, limit=1)
    print("apps:", [(app.id, app.label) for app in apps])
    listing = client.list_application_users
    users = await everything(listing, org["app_id"], expand="user", limit=50)
    groups = await everything(client.list_application_group_assignments, org["app_id"], expand="group", limit=20)
    print("app users:", len(users), "app groups:", len(groups))

    def embedded(row, name):
        """What was embedded in a row; the SDK gives it as a plain dict."""
        return row.embedded[name]

    synced = {
        row.id
        for row in users
        if embedded(row, "user")["status"] in SYNCED
        and (embedded(row, "user")["profile"].get("email") or "").strip()
    }
    memberships = set()
    for group in groups:
        members = await everything(client.list_group_users, group.id, limit=7)
        memberships |= {(group.id, member.id) for member in members if member.id in synced}
    print("users that sync:", len(synced), "memberships that sync:", len(memberships))

    expected = [json.loads(line) for line in control(org, "GET", "/expected").splitlines()]
    assert synced == {row["external_id"] for row in expected if row["type"] == "user"}
    assert {row.id for row in groups} == {row["external_id"] for row in expected if row["type"] == "group"}
    assert memberships == {(row["group"], row["user"]) for row in expected if row["type"] == "membership"}

    asked = json.loads(control(org, "GET", "/requests"))
    assert all(row["dpop_thumbprint"] for row in asked if row["status"] == 200), "each request had its proof"
    print("requests:", len(asked), "all with DPoP; statuses:", sorted({row["status"] for row in asked}))
    print("the SDK read what a right sync holds")
    closed = getattr(client, "close", lambda: None)()
    if inspect.isawaitable(closed):
        await closed


if __name__ == "__main__":
    asyncio.run(main())
