/** Values that tokens and operations pass around; undefined is "not there". */
export type Value = string | number | undefined;

/**
 * The operations of a FlexConnector's parser files that this project's files use, by name. Arguments are
 * values already. (Public sources: ArcSight FlexConnector Developer's Guide, built-in mapping tokens, and
 * published parser files.)
 */
const OPERATIONS: Readonly<Record<string, (...args: readonly Value[]) => Value>> = {
  stringConstant: (text) => text,
  integerConstant: (text) => Number(text),
  getVendor: (text) => text,
  concatenate: (...parts) => parts.map((part) => part ?? "").join(""),
  concatenateDeleting: (text, unwanted) => String(text ?? "").replaceAll(String(unwanted ?? ""), ""),
  oneOf: (...candidates) => candidates.find((one) => one !== undefined && one !== ""),
  oneOfInteger: (...candidates) => candidates.find((one) => one !== undefined && one !== ""),
  oneOfAddress: (...candidates) => candidates.find((one) => one !== undefined && one !== ""),
  oneOfHostName: (...candidates) => candidates.find((one) => one !== undefined && one !== ""),
  ifThenElse: (value, equals, then, otherwise) => (String(value ?? "") === String(equals ?? "") ? then : otherwise),
  ifTrueThenElse: (value, then, otherwise) => (/^true$/i.test(String(value ?? "")) ? then : otherwise),
  stringTrim: (text) => (text === undefined ? undefined : String(text).trim()),
  toLowerCase: (text) => (text === undefined ? undefined : String(text).toLowerCase()),
  toUpperCase: (text) => (text === undefined ? undefined : String(text).toUpperCase()),
  length: (text) => String(text ?? "").length,
  contains: (text, part) => String(String(text ?? "").includes(String(part ?? ""))),
  replaceAll: (text, pattern, by) =>
    text === undefined ? undefined : String(text).replace(new RegExp(String(pattern ?? ""), "g"), String(by ?? "")),
  replaceFirst: (text, pattern, by) =>
    text === undefined ? undefined : String(text).replace(new RegExp(String(pattern ?? "")), String(by ?? "")),
  regexTokenFindAndJoin: (text, pattern, separator) =>
    new RegExp(String(pattern ?? ""), "s")
      .exec(String(text ?? ""))
      ?.slice(1)
      .join(String(separator ?? "")),
  split: (text, separator, index) => String(text ?? "").split(String(separator ?? ""))[Number(index) - 1],
  regexToken: (text, pattern) => new RegExp(`^(?:${String(pattern ?? "")})$`, "s").exec(String(text ?? ""))?.[1],
  regexTokenNoWarning: (text, pattern) =>
    new RegExp(`^(?:${String(pattern ?? "")})$`, "s").exec(String(text ?? ""))?.[1],
  regexTokenAsAddress: (text, pattern) =>
    new RegExp(`^(?:${String(pattern ?? "")})$`, "s").exec(String(text ?? ""))?.[1],
  safeToInteger: (text) => wholeNumber(text),
  safeToLong: (text) => wholeNumber(text),
  longToString: (number) => (number === undefined ? undefined : String(number)),
  longToTimeStamp: (number) => wholeNumber(number),
  safeToDate: (text) => time(text),
  createOptionalTimeStampFromString: (text) => time(text),
  parseMultipleTimeStamp: (text) => time(text),
};

function wholeNumber(value: Value): number | undefined {
  return value !== undefined && /^-?\d+$/.test(String(value)) ? Number(value) : undefined;
}

/**
 * Epoch milliseconds of an ISO time without or with a zone; Java's own patterns are given beside it and not
 * interpreted.
 */
function time(value: Value): number | undefined {
  if (value === undefined || value === "") return undefined;
  const ms = Date.parse(/[zZ]|[+-]\d\d:?\d\d$/.test(String(value)) ? String(value) : `${value}Z`);
  return Number.isNaN(ms) ? undefined : ms;
}

/**
 * Evaluates a mapping: a token's name, or `__operation(argument,"constant",…)`, at any depth. Throws for an
 * unknown operation.
 */
export function evaluate(expression: string, token: (name: string) => Value): Value {
  const text = expression.trim();
  const quoted = /^"((?:[^"\\]|\\.)*)"$/s.exec(text);
  if (quoted) return (quoted[1] as string).replace(/\\(["\\])/g, "$1");
  const call = /^__(\w+)\(([\s\S]*)\)$/.exec(text);
  if (!call) return /^-?\d+$/.test(text) ? Number(text) : token(text);
  const operation = OPERATIONS[call[1] as string];
  if (!operation) throw new Error(`the operation __${call[1]} is not known`);
  return operation(...args(call[2] as string).map((argument) => evaluate(argument, token)));
}

/** Splits at commas that stand neither in quotes nor in brackets. */
function args(text: string): string[] {
  const found: string[] = [];
  let depth = 0;
  let inQuotes = false;
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const sign = text[at];
    if (sign === "\\") at++;
    else if (sign === '"') inQuotes = !inQuotes;
    else if (inQuotes) continue;
    else if (sign === "(") depth++;
    else if (sign === ")") depth--;
    else if (sign === "," && depth === 0) {
      found.push(text.slice(start, at));
      start = at + 1;
    }
  }
  if (text.trim() !== "") found.push(text.slice(start));
  return found;
}
