import { expect, test } from "@jest/globals";
import { arcsightTemplate } from "./arcsight-template.ts";
import { settingFlags } from "./flags.ts";

test("the properties template and the helper's flags speak of nothing that only Splunk has", () => {
  const flags = Object.values(settingFlags("arcsight")).map(({ describe }) => describe);

  expect([...arcsightTemplate().split("\n"), ...flags].filter((line) => /splunk|stanza/i.test(line))).toEqual([]);
});
