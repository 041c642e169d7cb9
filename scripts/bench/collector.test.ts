import { describe, expect, test } from "@jest/globals";
import { EventCount } from "./collector.ts";

const HEALTH = "<event><source>defender_mssp:health:t</source><data>{}</data></event>\n";
const alert = (text: string) => `<event><source>defender_mssp:alerts:t</source><data>${text}</data></event>\n`;

describe("events are counted", () => {
  const written = `<stream>\n${alert("one")}${HEALTH}${alert("two")}${alert("")}</stream>\n`;

  test.each([1, 2, 7, 22, 29, 64, 1000])("in pieces of %i bytes, without health events", (size) => {
    const count = new EventCount();
    for (let at = 0; at < written.length; at += size) count.add(Buffer.from(written.slice(at, at + size)));
    expect(count.events).toBe(3);
  });

  test("once where an event's text looks like the beginning of another", () => {
    const count = new EventCount();
    count.add(Buffer.from(`${alert("<source>defender_mssp:alerts:")}${alert("last")}`));
    expect(count.events).toBe(2);
  });

  test("of HEC by how each begins there", () => {
    const count = new EventCount('"source":"defender_mssp:');
    for (const stream of ["alerts", "health", "alerts"])
      count.add(Buffer.from(`{"time":1,"source":"defender_mssp:${stream}:t","event":"{}"}\n`));
    expect(count.events).toBe(2);
  });
});
