/**
 * Records whose text an attacker chose, seen through the shipped search-time knowledge: what a click opens,
 * which customer an event belongs to, and where text could become markup or a formula.
 * What it does not prove: how Splunk itself fills a token.
 */

import { describe, expect, test } from "@jest/globals";
import { CUSTOMERS, eventsOf } from "./samples.ts";
import type { SearchedEvent } from "./search-time.ts";
import { searchEvent } from "./search-time.ts";
import { definitionIn, shippedConf, shippedKnowledge, shippedView } from "./shipped.ts";

const KNOWLEDGE = shippedKnowledge();
const APPS = ["SA_defender_mssp", "TA_defender_mssp"] as const;

/** A complete alert, with the members given. */
function seen(members: Readonly<Record<string, unknown>>): SearchedEvent["fields"] {
  const record = {
    id: "da1",
    incidentId: "28282",
    alertWebUrl: "https://security.microsoft.com/alerts/da1",
    incidentWebUrl: "https://security.microsoft.com/incidents/28282",
    lastUpdateDateTime: "2026-11-24T16:05:58.0066667Z",
    createdDateTime: "2026-11-24T16:00:00Z",
    ...members,
  };
  const [event] = eventsOf("alerts", "contoso", [record]);
  return searchEvent(event!, KNOWLEDGE).fields;
}

describe("what a click opens", () => {
  test("a good id and good addresses are kept as Microsoft sent them", () => {
    const fields = seen({});

    expect(fields.get("incident_id")).toBe("28282");
    expect(fields.get("alert_url")).toBe("https://security.microsoft.com/alerts/da1");
    expect(fields.get("incident_url")).toBe("https://security.microsoft.com/incidents/28282");
  });

  test.each(["1 | delete", '1" OR tenant_id=*', "1 OR 1=1", "$result.x$", "1]", "1`macro`"])(
    "an incident ID that could continue a search gives no incident_id: %s",
    (incidentId) => {
      expect(seen({ incidentId }).get("incident_id") ?? null).toBeNull();
    },
  );

  test.each([
    "javascript:alert(1)",
    "data:text/html,x",
    "//evil.example/",
    "http://evil.example/",
    " https://evil.example",
  ])("an address that is not https gives no link: %s", (address) => {
    const fields = seen({ alertWebUrl: address, incidentWebUrl: address });

    expect([fields.get("alert_url") ?? null, fields.get("incident_url") ?? null]).toEqual([null, null]);
  });

  test.each(APPS)(
    "the dashboard of %s opens no address of an event, and puts values into searches only in quotes",
    (app) => {
      const { visualizations } = definitionIn(shippedView("customers.xml", app));
      const handlers = Object.values(visualizations).flatMap(({ eventHandlers = [] }) => eventHandlers);
      const values = [...JSON.stringify(handlers).matchAll(/\$row\.\w+\.value[^$]*\$/g)].map(([token]) => token);

      expect(handlers.map(({ type }) => type).toSorted()).toEqual(["drilldown.linkToSearch", "drilldown.setToken"]);
      expect(values).toEqual(["$row.incident_id.value|s$"]);
    },
  );
});

describe("which customer an event belongs to", () => {
  const stranger = { tenant: "fabrikam", tenant_id: CUSTOMERS.fabrikam };

  test.each(["mssp", "mssp_"])("a record that brings its own member %s stays with its customer", (member) => {
    const fields = seen({ [member]: stranger });

    expect(fields.get("tenant_id")).toBe(CUSTOMERS.contoso);
    expect(fields.get("vendor_account")).toBe("contoso");
  });
});

describe.each(APPS)("in %s", (app) => {
  test("no view shows text of events as HTML, and none runs a script", () => {
    const view = shippedView("customers.xml", app);

    expect(view.replace("<definition><![CDATA[", "")).not.toMatch(/<html\b|\bscript=|<!\[CDATA\[/i);
    expect(
      Object.values(definitionIn(view).visualizations)
        .map(({ type }) => type)
        .filter((type) => !/^splunk\.(?:singlevalue|table|column|bar)$/.test(type)),
    ).toEqual([]);
  });

  test("no search writes a CSV file, so no text of an alert becomes a formula there", () => {
    const lookups = shippedConf("transforms.conf", app);
    const searches = [...shippedConf("savedsearches.conf", app).values()].map((stanza) => stanza.get("search") ?? "");
    const written = searches.flatMap((search) => [...search.matchAll(/\boutputlookup\b[^|]*?(\w+)\s*(?:\||$)/g)]);

    expect(searches.filter((search) => /\boutputcsv\b|\.csv\b/.test(search))).toEqual([]);
    expect(written.length).toBeGreaterThan(0);
    for (const [, name = ""] of written) expect(lookups.get(name)?.get("external_type")).toBe("kvstore");
  });
});
