import { expect, test } from "@jest/globals";
import type { Log } from "../model/ports.ts";
import { tell, tellWhatServeLeaves } from "./arcsight-findings.ts";

function findings(
  again: boolean,
  customers = 1,
): { readonly code: number | undefined; readonly lines: readonly string[] } {
  const lines: string[] = [];
  const level = (word: string) => (say: string) => void lines.push(`${word} ${say}`);
  const log: Log = {
    debug: level("DEBUG"),
    info: level("INFO"),
    warn: level("WARN"),
    error: level("ERROR"),
    fatal: level("FATAL"),
  };
  const problem = { stanza: "outputs[0]", key: "type", say: "is not known" };
  const config = { warnings: [], taken: [], problems: [problem], outputProblems: [problem] };
  return { code: tell({ config, customers }, log, { needOutputs: true, again }), lines };
}

test("a wrong output keeps `arcsight run` from starting, and the log says that nothing is collected", () => {
  expect(findings(false)).toEqual({
    code: 2,
    lines: ["ERROR outputs[0]: type: is not known", expect.stringMatching(/^FATAL .*nothing is collected/)],
  });
});

test("a wrong output in a configuration that is read again does not stop collection, and the log does not claim it", () => {
  expect(findings(true)).toEqual({ code: 2, lines: ["ERROR outputs[0]: type: is not known"] });
});

test.each([
  ["outputs", { outputs: [{}], settings: {} }, [/^serve does not write outputs/]],
  ["a list of customers", { outputs: [], settings: { discovery: {} } }, [/^serve does not read the list of customers/]],
  ["neither", { outputs: [], settings: {} }, []],
])("`arcsight serve` says once what of a configuration it leaves alone: %s", (_, config, expected) => {
  const warned: string[] = [];
  const log = { warn: (say: string) => void warned.push(say) } as unknown as Log;
  tellWhatServeLeaves(config as unknown as Parameters<typeof tellWhatServeLeaves>[0], log);
  expect(warned).toEqual(expected.map((text) => expect.stringMatching(text)));
});
