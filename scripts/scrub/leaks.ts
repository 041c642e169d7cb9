import type { Exchange } from "../record/recorder.ts";
import { rewriteLeaves } from "./json-leaves.ts";
import { isKept } from "./kept-paths.ts";
import { SCHEMES, strangePieces } from "./pseudonyms.ts";
import { type FixtureStep, PUBLIC_HOSTS } from "./scrub-exchange.ts";

/** Kinds of text that have no place anywhere in a fixture, not even at a path that is kept. */
const NEVER: readonly { readonly what: string; readonly pattern: RegExp }[] = [
  { what: "a token", pattern: /eyJ[A-Za-z0-9_-]{10,}/ },
  { what: "an authorization header", pattern: /bearer\s+[A-Za-z0-9._-]{8,}/i },
  { what: "an address of mail", pattern: /[a-z0-9._-]*[aeiou][a-z0-9._-]*@[a-z0-9.-]+\.[a-z]+/i },
  { what: "a secret in a form", pattern: /(client_secret|refresh_token|password)=(?!%5B)[^&\s"]+/ },
];

/** What is left in a fixture that could tell whose it was; empty when it may travel. */
export function leaksIn(steps: readonly FixtureStep[]): string[] {
  const leaks: string[] = [];
  steps.forEach((step, index) => {
    const say = (what: string, where: string): void => void leaks.push(`step ${index + 1}, ${where}: ${what}`);
    const host = new URL(step.scope).hostname;
    if (!PUBLIC_HOSTS.some((pattern) => pattern.test(host)) && !host.endsWith(".example"))
      say(`the host ${host}`, "scope");
    for (const { what, pattern } of NEVER) if (pattern.test(JSON.stringify(step))) say(what, "anywhere");
    for (const part of new URL(step.path, step.scope).pathname.split("/")) {
      const guids = strangePieces(decodeURIComponent(part)).filter((piece) => /^[0-9a-f-]{36}$/i.test(piece));
      for (const guid of guids) say(`the id ${guid}`, "path");
    }
    for (const [path, text] of leavesOf(step.response)) {
      if (isKept(path) || /^\[[a-z_]+\]$/.test(text)) continue;
      if (/(^|\.)@odata\.(nextLink|context)$/.test(path)) {
        const guids = strangePieces(decodeURIComponent(text)).filter((piece) => /^[0-9a-f-]{36}$/i.test(piece));
        for (const guid of guids) say(`the id ${guid}`, path);
        continue;
      }
      const strange = strangePieces(text);
      if (strange.length > 0) say(JSON.stringify(strange[0]), path);
    }
  });
  return leaks;
}

/** Words of the recording that were to be replaced and still stand somewhere in the fixture. */
export function survivorsOf(recording: readonly Exchange[], steps: readonly FixtureStep[]): string[] {
  const kept = new Set<string>();
  const replaced = new Set<string>();
  for (const { answer } of recording) {
    for (const [path, text] of leavesOf(answer.body)) {
      const isPublic = isKept(path) || /(^|\.)@odata\./.test(path) || /^\[[a-z_]+\]$/.test(text);
      for (const piece of text.match(/[\p{L}\p{N}]{4,}/gu) ?? []) (isPublic ? kept : replaced).add(piece.toLowerCase());
    }
  }
  const left = new Set(
    steps
      .flatMap((step) => [...leavesOf(step.response)].flatMap(([, text]) => text.match(/[\p{L}\p{N}]{4,}/gu) ?? []))
      .map((piece) => piece.toLowerCase()),
  );
  return [...replaced].filter((piece) => left.has(piece) && !kept.has(piece) && !SCHEMES.has(piece));
}

function* leavesOf(body: string): Generator<readonly [string, string]> {
  const leaves: [string, string][] = [];
  try {
    rewriteLeaves(body, (path, leaf) => {
      leaves.push([path, leaf.text]);
      return leaf.text;
    });
  } catch {
    leaves.push(["", body]);
  }
  yield* leaves;
}
