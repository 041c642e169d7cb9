import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "@jest/globals";
import { routeOf, showsCustomers } from "./route.ts";

test.each([
  ["", "", ""],
  ["#/customers", "customers", ""],
  ["#/customer/Contoso%20%2F%20Berlin%20100%25", "customer", "Contoso / Berlin 100%"],
  ["#/log/M%C3%BCller", "log", "Müller"],
])("the address %p is page %p of customer %p", (hash, page, name) => {
  expect(routeOf(hash)).toEqual({ page, name });
});

test("an address without a page is that of the customers, which are then asked for at once", () => {
  expect(["", "#", "#/", "#/customers", "#/customer/contoso", "#/add", "#/health"].filter(showsCustomers)).toEqual([
    "",
    "#",
    "#/",
    "#/customers",
  ]);
});

test.each(["%", "100%", "%E4", "%zz"])("the name %s, which cannot be decoded, is taken as it is", (name) => {
  expect(routeOf(`#/customer/${name}`)).toEqual({ page: "customer", name });
});

test("what was typed for one customer is gone when the address names another: such a page is made anew", () => {
  const main = readFileSync(path.resolve(import.meta.dirname, "../app.tsx"), "utf8");
  const ofOneCustomer = [...main.matchAll(/<\w+Page [^>]*\bname\b[^>]*>/g)].map(([element]) => element);

  expect(ofOneCustomer).toHaveLength(3);
  expect(ofOneCustomer.filter((element) => !element.includes("key={name}"))).toEqual([]);
});
