import { expect, test } from "@jest/globals";
import type { ListedCustomer } from "./customer-list.ts";
import { compareList, differing, type FoundCustomer, settingsInWords } from "./list-difference.ts";

const TENANT = "11111111-1111-4111-8111-111111111111";
const EMPTY = { tenant: TENANT, index: "", cloud: "", streams: "", credential: "" };
const row = (line: number, name: string, more: Partial<ListedCustomer> = {}): ListedCustomer => ({
  line,
  name,
  ...EMPTY,
  ...more,
});
const place = (name: string, values: Readonly<Record<string, string>>) => ({
  host: "splunk" as const,
  customers: [{ name, values }],
  common: {},
  usesIndex: true,
});

function compared(rows: readonly ListedCustomer[], name: string, values: Readonly<Record<string, string>>) {
  const found = new Map<ListedCustomer, FoundCustomer>(
    rows.map((one) => [one, { tenantId: one.tenant, values: { tenant_id: one.tenant, index: one.index } }]),
  );
  const there = place(name, values);
  const [customer] = there.customers;
  const configured = customer === undefined ? [] : [{ customer, tenantId: values["tenant_id"] ?? "" }];
  return compareList(rows, found, [], configured, there);
}

test("a setting differs by its words, not by how they are separated", () => {
  const now = { streams: "alerts, incidents", index: "a" };

  expect(differing(now, { streams: "alerts,incidents", index: "a" })).toEqual({});
  expect(differing(now, { streams: "incidents,alerts", credential: "mssp" })).toEqual({
    streams: "incidents,alerts",
    credential: "mssp",
  });
});

test("an empty field of a list changes nothing, and each row keeps its line", () => {
  const values = { tenant_id: TENANT, index: "a", streams: "alerts" };

  expect(compared([row(7, "Contoso")], "Contoso", values).rows).toMatchObject([{ line: 7, kind: "unchanged" }]);
  const [changed] = compared([row(7, "Contoso", { index: "b" })], "Contoso", values).rows;
  expect(changed).toMatchObject({ line: 7, kind: "change", change: { values: { index: "b" } } });
  expect(changed && settingsInWords(changed)).toEqual(["index: a -> b"]);
});

test("a customer that is not in the list is named, and nothing is to be done for it", () => {
  const other = "22222222-1111-4111-8111-111111111111";
  const { rows, notListed } = compared([row(2, "New", { tenant: other })], "Contoso", { tenant_id: TENANT });

  expect(rows.map(({ kind, name }) => [kind, name])).toEqual([["add", "New"]]);
  expect(notListed.map(({ name }) => name)).toEqual(["Contoso"]);
});
