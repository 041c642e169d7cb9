import { expect, test } from "@jest/globals";
import { settingFlags } from "../../src/config/flags.ts";
import { arcsightTemplate } from "./properties-template.ts";

test("the properties template and the helper's flags speak of nothing that only Splunk has", () => {
  const flags = Object.values(settingFlags("arcsight")).map(({ describe }) => describe);

  expect([...arcsightTemplate().split("\n"), ...flags].filter((line) => /splunk|stanza/i.test(line))).toEqual([]);
});
