import jsTokens, { type Token } from "js-tokens";

let last: { readonly text: string; readonly tokens: readonly Token[] } | undefined;

/** The tokens of a script's text. Those of the last text are kept: words and lines are looked at one after the other. */
export function scriptTokens(text: string): readonly Token[] {
  if (last?.text !== text) last = { text, tokens: Array.from(jsTokens(text)) };
  return last.tokens;
}
