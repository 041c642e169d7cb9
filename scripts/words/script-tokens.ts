import jsTokens, { type Token } from "js-tokens";

let last: { readonly text: string; readonly tokens: readonly Token[] } | undefined;

/** The tokens of a script's text. The last text's are kept: words and lines both need them. */
export function scriptTokens(text: string): readonly Token[] {
  if (last?.text !== text) last = { text, tokens: Array.from(jsTokens(text)) };
  return last.tokens;
}
