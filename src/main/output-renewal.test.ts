import { expect, test } from "@jest/globals";
import { FakeLog } from "../../test/harness/fakes/log.ts";
import { readOutput } from "../config/output-settings.ts";
import { OutputRenewal } from "./output-renewal.ts";

const HEC = { type: "hec", urls: "https://splunk.example.com:8088", token: "first" };
const KAFKA = { type: "kafka", brokers: "k:9093", sasl: "plain", user: "u", password: "old", format: "json" };

/** Outputs as the configuration has them, the wrong ones left out. */
function outputs(...given: readonly Readonly<Record<string, string>>[]) {
  const context = { customers: [], complain: () => undefined, warn: () => undefined };
  return given.flatMap((one, i) => readOutput(`outputs[${i}]`, one, context) ?? []);
}

function renewing(...first: readonly Readonly<Record<string, string>>[]) {
  const log = new FakeLog();
  const renewal = new OutputRenewal(outputs(...first), log);
  return {
    log,
    /** What outputs get when the configuration is edited. */
    edit: (...again: readonly Readonly<Record<string, string>>[]): readonly string[] => {
      const got: string[] = [];
      renewal.take(outputs(...again), (name, { token, password }) =>
        got.push(`${name} ${(token ?? password)?.open((text) => text)}`),
      );
      return got;
    },
  };
}

test("an edited token of HEC and an edited password of Kafka reach their outputs, once", () => {
  const { edit, log } = renewing(HEC, KAFKA);
  expect(edit(HEC, KAFKA)).toEqual([]);
  expect(edit({ ...HEC, token: "second" }, KAFKA)).toEqual(["outputs[0] second"]);
  expect(edit({ ...HEC, token: "second" }, { ...KAFKA, password: "new" })).toEqual(["outputs[1] new"]);
  expect(edit({ ...HEC, token: "second" }, { ...KAFKA, password: "new" })).toEqual([]);
  expect(log.texts.join("\n")).not.toMatch(/second|new\b/);
});

test("a new secret beside another edited setting waits for the next reading, so that no old address gets it", () => {
  const { edit, log } = renewing(HEC);
  expect(edit({ ...HEC, token: "second", urls: "https://other.example.com:8088" })).toEqual([]);
  expect(edit(HEC, KAFKA)).toEqual([]);
  expect(log.lines.map(({ message }) => message)).toEqual(
    Array(2).fill(
      "the configuration changed in more than its secrets; the rest counts after a restart, or a SIGHUP to `arcsight run`",
    ),
  );
});

test("an output whose edited settings are not valid keeps its secret, and the log names it", () => {
  const { edit, log } = renewing(HEC, KAFKA);
  expect(edit({ ...HEC, token: "with a space" }, { ...KAFKA, password: "new" })).toEqual(["outputs[1] new"]);
  expect(log.lines).toMatchObject([
    {
      level: "warn",
      message: expect.stringContaining("the previous ones stay in use"),
      fields: { output: "outputs[0]" },
    },
    { level: "info", fields: { output: "outputs[1]" } },
  ]);
  expect(edit({ ...HEC, token: "third" }, { ...KAFKA, password: "new" })).toEqual(["outputs[0] third"]);
});
