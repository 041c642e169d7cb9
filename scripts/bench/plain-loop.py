"""The Python baseline: what one writes in an afternoon with requests. argv[1] is the simulator's ready line,
argv[2] the start (ISO). Every customer has a thread."""

import json
import sys
import threading
from datetime import datetime
from xml.sax.saxutils import escape

import requests

OUTPUT = threading.Lock()
BATCH = 100


def write(batch):
    text = "".join(batch).encode()
    with OUTPUT:
        sys.stdout.buffer.write(text)
    batch.clear()


def collect(microsoft, customer, start):
    tenant = customer["tenant_id"]
    session = requests.Session()
    # REQUESTS_CA_BUNDLE would win over `verify`.
    session.trust_env = False
    session.verify = microsoft["ca_file"]
    answer = session.post(
        f"{microsoft['login_url']}/{tenant}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": customer["client_id"],
            "client_secret": customer["client_secret"],
            "scope": "https://graph.microsoft.com/.default",
        },
    )
    answer.raise_for_status()
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    link = f"{microsoft['graph_url']}/v1.0/security/alerts_v2"
    query = {"$filter": f"lastUpdateDateTime ge {start}", "$orderby": "lastUpdateDateTime", "$top": 1000}
    batch = []
    while link:
        answer = session.get(link, params=query)
        answer.raise_for_status()
        page = answer.json()
        for alert in page["value"]:
            # Microsoft sends seven digits; datetime reads six.
            time = datetime.fromisoformat(alert["lastUpdateDateTime"][:19] + "+00:00").timestamp()
            text = escape(json.dumps(alert, ensure_ascii=False, separators=(",", ":")))
            batch.append(
                f"<event><time>{time:.3f}</time><source>defender_mssp:alerts:{tenant}</source>"
                f"<data>{text}</data><done/></event>\n"
            )
            if len(batch) == BATCH:
                write(batch)
        link, query = page.get("@odata.nextLink"), None
    write(batch)


def main():
    microsoft, start = json.loads(sys.argv[1]), sys.argv[2]
    threads = [threading.Thread(target=collect, args=(microsoft, one, start)) for one in microsoft["customers"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.buffer.flush()


main()
