import { describe, expect, test } from "@jest/globals";
import type { OutputSettings } from "../config/output-settings.ts";
import { fleetObstacle } from "./fleet.ts";
import { type FleetOutput, outputNames, withTransactionalIds } from "./fleet-outputs.ts";

const output = (name: string, more: Partial<FleetOutput> = {}): FleetOutput => ({
  name,
  type: "cef-file",
  profile: "xdr",
  evidence: "none",
  cefVersion: "0",
  ...more,
});
const today = output("outputs[0]");
const retired = output("outputs[1]", { profile: "legacy" });

describe("the names of outputs in a fleet", () => {
  test("stay when another output of the same type is removed, and when two of them change places", () => {
    const [ofToday, ofRetired] = outputNames([today, retired]);

    expect(outputNames([retired])).toEqual([ofRetired]);
    expect(outputNames([retired, today])).toEqual([ofRetired, ofToday]);
    expect(ofToday).not.toBe(ofRetired);
  });

  test("are the same on members that write the same tenants in another order", () => {
    expect(outputNames([output("outputs[0]", { tenants: ["a", "b"] })])).toEqual(
      outputNames([output("outputs[0]", { tenants: ["b", "a"] })]),
    );
  });

  test("begin with the type, by which a changed output finds its progress again", () => {
    expect(outputNames([today])[0]).toMatch(/^cef-file-[0-9a-f]{8}$/);
  });

  test("of two indexers differ, and stay when indexers are added behind the first address", () => {
    const hec = (...urls: readonly string[]) => output("outputs[0]", { type: "hec", urls });
    const [first, second] = outputNames([hec("https://a:8088"), hec("https://b:8088")]);

    expect(outputNames([hec("https://a:8088", "https://c:8088")])).toEqual([first]);
    expect(second).not.toBe(first);
    expect(first).toMatch(/^hec-[0-9a-f]{8}$/);
  });

  test("of two topics of Kafka differ, and stay when brokers are added behind the first address", () => {
    const kafka = (topic: string, ...brokers: readonly string[]) =>
      output("outputs[0]", { type: "kafka", topic, brokers });
    const [first, second] = outputNames([kafka("th-cef", "a:9093"), kafka("other", "a:9093")]);

    expect(outputNames([kafka("th-cef", "a:9093", "b:9093")])).toEqual([first]);
    expect(second).not.toBe(first);
  });

  test("make a transactional id that all members have, unless the settings give one", () => {
    const kafka = (transactionalId?: string) =>
      output("outputs[0]", {
        type: "kafka",
        topic: "th-cef",
        ...(transactionalId === undefined ? {} : { transactionalId }),
      }) as OutputSettings;
    const idOf = (one: OutputSettings) => withTransactionalIds([one], "main")[0]?.transactionalId;

    expect(idOf(kafka())).toBe(`defender-mssp.main.${outputNames([kafka()])[0]}`);
    expect(idOf(kafka("collector"))).toBe("collector");
  });

  test("of two syslog receivers differ, and the names of files do not depend on them", () => {
    const syslog = (host: string, port: number) => output("outputs[0]", { type: "syslog", host, port });
    const [first, second, third] = outputNames([syslog("a", 514), syslog("b", 514), syslog("a", 515)]);

    expect(new Set([first, second, third]).size).toBe(3);
    expect(first).toMatch(/^syslog-[0-9a-f]{8}$/);
    expect(outputNames([output("outputs[0]", { host: "a" })])).toEqual(outputNames([output("outputs[0]")]));
  });

  test("every type of output is allowed, and a cap on HEC and Kafka is refused", () => {
    const obstacleOf = (one: FleetOutput & { readonly maxEps?: number }) =>
      fleetObstacle({ config: { settings: {}, outputs: [one] } } as unknown as Parameters<typeof fleetObstacle>[0], {
        once: false,
        customer: undefined,
      });

    expect(obstacleOf(output("outputs[0]", { type: "hec" }))).toBeUndefined();
    expect(obstacleOf(output("outputs[0]", { type: "kafka" }))).toBeUndefined();
    expect(obstacleOf(output("outputs[0]", { type: "syslog" }))).toBeUndefined();
    expect(obstacleOf({ ...output("outputs[0]", { type: "hec" }), maxEps: 10 })).toBe(
      "outputs[0].max_eps cannot be used with type=hec and fleet.url; remove it",
    );
    expect(obstacleOf({ ...output("outputs[0]", { type: "kafka" }), maxEps: 10 })).toBe(
      "outputs[0].max_eps cannot be used with type=kafka and fleet.url; remove it",
    );
  });

  test("two outputs that would share one progress are refused before anything is opened", () => {
    const obstacleOf = (outputs: readonly FleetOutput[]) =>
      fleetObstacle({ config: { settings: {}, outputs } } as unknown as Parameters<typeof fleetObstacle>[0], {
        once: false,
        customer: undefined,
      });

    expect(obstacleOf([today, retired])).toBeUndefined();
    expect(obstacleOf([today, retired, output("outputs[2]")])).toBe(
      "outputs[0] and outputs[2] have the same type, profile and tenants, and would share one progress in a fleet; " +
        "change one of them, or remove it",
    );
  });
});
