import { expect, test } from "@jest/globals";
import { settingFlags } from "../../src/config/flags.ts";
import { arcsightTemplate } from "./properties-template.ts";

/** Splunk's HTTP Event Collector is one of the outputs. */
const ABOUT_HEC = /\bhec\b|splunk acknowledges|splunk has confirmed/i;

test("the properties template and the helper's flags speak of nothing that only Splunk has", () => {
  const flags = Object.values(settingFlags("arcsight")).map(({ describe }) => describe);

  expect(
    [...arcsightTemplate().split("\n"), ...flags].filter(
      (line) => /splunk|stanza/i.test(line) && !ABOUT_HEC.test(line),
    ),
  ).toEqual([]);
});
