"""Puts a project's secrets into Zavhoz. ZAVHOZ_URL is http://127.0.0.1:8390, ZAVHOZ_TOKEN an operator's token (docs/rest.md)."""
import json, os, urllib.parse, urllib.request


def save_project_secret(project_id, key, value):
    """Merges one secret into a project, by id or slug, and gives the names that it has now. Raises urllib.error.HTTPError."""
    url = os.environ["ZAVHOZ_URL"].rstrip("/") + "/api/v1/projects/" + urllib.parse.quote(str(project_id), safe="") + "/config/secrets"
    headers = {"Authorization": "Bearer " + os.environ["ZAVHOZ_TOKEN"], "Content-Type": "application/json"}
    body = json.dumps({"secrets": {key: value}}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as reply:
        return json.load(reply)["keys"]
