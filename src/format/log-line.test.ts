import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { anyCharacter } from "../../test/harness/any-character.ts";
import { lineLog, timedLevel } from "./log-line.ts";

function logged(
  use: (log: ReturnType<typeof lineLog>) => void,
  level: "debug" | "info" | "warn" | "error" = "debug",
): string[] {
  const lines: string[] = [];
  use(lineLog((line) => lines.push(line), level));
  return lines;
}

test("a line begins with its level and carries fields that Splunk extracts", () => {
  expect(
    logged((log) =>
      log.warn("customer skipped", {
        customer: "Müller & Söhne",
        failure: "consent-missing",
        retries: 3,
        sure: true,
        gone: undefined,
        quoted: 'a "b" \\c',
      }),
    ),
  ).toEqual([
    'WARN customer skipped customer="Müller & Söhne" failure=consent-missing retries=3 sure=true quoted="a \\"b\\" \\\\c"\n',
  ]);
});

test("below the level there is silence, but a fatal line always comes", () => {
  expect(
    logged((log) => {
      log.debug("a");
      log.info("b");
      log.warn("c");
      log.error("d");
      log.fatal("e");
    }, "error"),
  ).toEqual(["ERROR d\n", "FATAL e\n"]);
});

test("one message is one line, whatever is in it", () => {
  fc.assert(
    fc.property(fc.string({ unit: anyCharacter }), fc.string({ unit: anyCharacter }), (message, value) => {
      const [line, ...more] = logged((log) => log.info(message, { value }));
      expect(more).toEqual([]);
      expect(
        line!
          .slice(0, -1)
          .split("")
          .filter((unit) => unit < " " || "\u007f\u0085\u2028\u2029".includes(unit)),
      ).toEqual([]);
      expect(line).toMatch(/^INFO [^\n]*\n$/);
    }),
  );
});

test("a line of the ArcSight helper begins as a connector's agent.log does", () => {
  const lines: string[] = [];
  const begin = timedLevel(() => Date.UTC(2026, 10, 29, 12, 0, 0, 7));
  lineLog((line) => lines.push(line), "info", begin).warn("a receiver\nis down", { output: "outputs[0]" });
  expect(lines).toEqual(["[2026-11-29 12:00:00,007][WARN] a receiver | is down output=outputs[0]\n"]);
});
