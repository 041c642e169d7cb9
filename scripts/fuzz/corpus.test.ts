import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { disagreement } from "./scanner-check.ts";

const corpus = new URL("../../test/fixtures/fuzz-corpus/", import.meta.url);

describe("the scanner and JSON.parse agree on every answer of the fuzz corpus, wherever it is cut", () => {
  test.each(readdirSync(corpus).toSorted())("%s", (name) => {
    const bytes = new Uint8Array(readFileSync(new URL(name, corpus)));
    const step = Math.max(1, Math.floor(bytes.length / 600));
    for (let cut = 0; cut <= bytes.length; cut += step)
      expect(disagreement(bytes, [cut, Math.min(bytes.length, cut + 1)])).toBeUndefined();
  });
});
