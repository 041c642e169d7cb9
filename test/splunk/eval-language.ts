/**
 * Splunk's eval expressions, the part that our conf files and searches use, and strict: an unknown function
 * or a multivalue where Splunk's manual does not promise an answer throws. Semantics: Splunk Enterprise
 * Search Reference, "Evaluation functions".
 */
import { splunkRegex } from "./regular-expression.ts";

export type Value = string | number | boolean | null | readonly string[];
export type Fields = ReadonlyMap<string, Value>;
type Expression = (fields: Fields) => Value;

interface Token {
  readonly kind: "text" | "number" | "name" | "quoted" | "sign" | "end";
  readonly text: string;
}

const SHAPE =
  /\s*(?:"((?:[^"\\]|\\.)*)"|'([^']+)'|(\d+(?:\.\d+)?)|([A-Za-z_][A-Za-z0-9_:]*(?:\{\})?)|(<=|>=|!=|==|[-+*/%=<>(),.]))/y;

function tokens(text: string): Token[] {
  const found: Token[] = [];
  SHAPE.lastIndex = 0;
  while (text.slice(SHAPE.lastIndex).trim() !== "") {
    const from = SHAPE.lastIndex;
    const m = SHAPE.exec(text);
    if (!m) throw new Error(`cannot read the expression at: ${text.slice(from, from + 40)}`);
    if (m[1] !== undefined) found.push({ kind: "text", text: m[1].replace(/\\(["\\])/g, "$1") });
    else if (m[2] !== undefined) found.push({ kind: "quoted", text: m[2] });
    else if (m[3] !== undefined) found.push({ kind: "number", text: m[3] });
    else if (m[4] !== undefined) found.push({ kind: "name", text: m[4] });
    else found.push({ kind: "sign", text: m[5] as string });
  }
  return [...found, { kind: "end", text: "" }];
}

const parsed = new Map<string, { readonly apply: Expression }>();

/** Parses once; the result may be applied to many events. */
export function parseEval(text: string): { readonly apply: Expression } {
  const known = parsed.get(text) ?? { apply: new Parser(tokens(text)).whole() };
  parsed.set(text, known);
  return known;
}

class Parser {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(list: readonly Token[]) {
    this.#tokens = list;
  }

  whole(): Expression {
    const expression = this.#or();
    if (this.#peek().kind !== "end") throw new Error(`unexpected ${this.#peek().text}`);
    return expression;
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#takesWord("OR")) {
      const [a, b] = [left, this.#and()];
      left = (fields) => isTrue(a(fields)) || isTrue(b(fields));
    }
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#takesWord("AND")) {
      const [a, b] = [left, this.#not()];
      left = (fields) => isTrue(a(fields)) && isTrue(b(fields));
    }
    return left;
  }

  #not(): Expression {
    if (!this.#takesWord("NOT")) return this.#comparison();
    const inner = this.#not();
    return (fields) => !isTrue(inner(fields));
  }

  #comparison(): Expression {
    const left = this.#sum();
    const sign = this.#takesSign("=", "==", "!=", "<", ">", "<=", ">=");
    if (sign === undefined) return left;
    const right = this.#sum();
    return (fields) => compare(sign, left(fields), right(fields));
  }

  #sum(): Expression {
    let left = this.#product();
    for (let sign = this.#takesSign("+", "-", "."); sign !== undefined; sign = this.#takesSign("+", "-", ".")) {
      const [a, b, by] = [left, this.#product(), sign];
      left = (fields) => (by === "." ? joined(a(fields), b(fields)) : counted(by, a(fields), b(fields)));
    }
    return left;
  }

  #product(): Expression {
    let left = this.#primary();
    for (let sign = this.#takesSign("*", "/"); sign !== undefined; sign = this.#takesSign("*", "/")) {
      const [a, b, by] = [left, this.#primary(), sign];
      left = (fields) => counted(by, a(fields), b(fields));
    }
    return left;
  }

  #primary(): Expression {
    const token = this.#next();
    if (token.kind === "text") return () => token.text;
    if (token.kind === "number") return () => Number(token.text);
    if (token.kind === "quoted") return this.#field(token.text);
    if (token.kind === "name") return this.#takesSign("(") ? this.#call(token.text) : this.#field(token.text);
    if (token.text === "(") {
      const inner = this.#or();
      this.#expect(")");
      return inner;
    }
    if (token.text === "-") {
      const inner = this.#primary();
      return (fields) => counted("-", 0, inner(fields));
    }
    throw new Error(`unexpected ${token.text || "end"}`);
  }

  #field(name: string): Expression {
    return (fields) => fields.get(name) ?? null;
  }

  #call(name: string): Expression {
    const args: Expression[] = [];
    if (!this.#takesSign(")")) {
      do args.push(this.#or());
      while (this.#takesSign(","));
      this.#expect(")");
    }
    const called = FUNCTIONS[name];
    if (!called) throw new Error(`unknown function ${name}`);
    return (fields) => called(args.map((argument) => () => argument(fields)));
  }

  #peek(): Token {
    return this.#tokens[this.#at] as Token;
  }

  #next(): Token {
    const token = this.#peek();
    this.#at += 1;
    return token;
  }

  #takesWord(word: string): boolean {
    const token = this.#peek();
    if (token.kind !== "name" || token.text.toUpperCase() !== word) return false;
    this.#at += 1;
    return true;
  }

  #takesSign(...signs: readonly string[]): string | undefined {
    const token = this.#peek();
    if (token.kind !== "sign" || !signs.includes(token.text)) return undefined;
    this.#at += 1;
    return token.text;
  }

  #expect(sign: string): void {
    if (!this.#takesSign(sign)) throw new Error(`${sign} is missing before ${this.#peek().text || "the end"}`);
  }
}

type Argument = () => Value;

const FUNCTIONS: Readonly<Record<string, (args: readonly Argument[]) => Value>> = {
  true: () => true,
  false: () => false,
  null: () => null,
  if: ([condition, yes, no]) => (isTrue(need(condition)()) ? need(yes)() : need(no)()),
  case(args) {
    for (let i = 0; i + 1 < args.length; i += 2) if (isTrue(need(args[i])())) return need(args[i + 1])();
    return null;
  },
  coalesce(args) {
    for (const argument of args) {
      const value = argument();
      if (value !== null && !(Array.isArray(value) && value.length === 0)) return value;
    }
    return null;
  },
  nullif: ([a, b]) => (compare("=", need(a)(), need(b)()) === true ? null : need(a)()),
  isnull: ([a]) => need(a)() === null,
  isnotnull: ([a]) => need(a)() !== null,
  lower: ([a]) => mapped(single(need(a)()), (text) => text.toLowerCase()),
  tonumber([a]) {
    const text = single(need(a)());
    return text === null || text === "" || Number.isNaN(Number(text)) ? null : Number(text);
  },
  floor: ([a]) => mapped(single(need(a)()), (text) => Math.floor(Number(text))),
  max(args) {
    const values = args.map((argument) => single(argument()));
    // What Splunk answers where one of them is nothing is not promised.
    if (values.some((value) => value === null)) throw new Error("max() of nothing");
    return Math.max(...values.map(Number));
  },
  round: ([a]) => mapped(single(need(a)()), (text) => String(Math.round(Number(text)))),
  match([a, regex]) {
    const text = single(need(a)());
    if (text === null) return false;
    return splunkRegex(String(need(regex)())).test(text);
  },
  split: ([a, by]) => mapped(single(need(a)()), (text) => text.split(String(need(by)()))),
  mvindex([a, index]) {
    const list = many(need(a)());
    const at = Number(need(index)());
    return list.at(at) ?? null;
  },
  mvdedup([a]) {
    const list = many(need(a)());
    return fromMany([...new Set(list)]);
  },
  mvappend: (args) => fromMany(args.flatMap((argument) => many(argument()))),
  mvjoin([a, by]) {
    const list = many(need(a)());
    return list.length === 0 ? null : list.join(String(need(by)()));
  },
  mvcount([a]) {
    const { length } = many(need(a)());
    return length === 0 ? null : length;
  },
  json_extract: ([a, path]) => jsonExtract(single(need(a)()), String(need(path)())),
  now: () => nowSeconds,
  strftime: ([a]) => mapped(single(need(a)()), (text) => new Date(Number(text) * 1000).toISOString()),
};

let nowSeconds = 0;
/** Sets what `now()` answers. */
export function setNow(seconds: number): void {
  nowSeconds = seconds;
}

/** What `now()` answers. */
export function presentSeconds(): number {
  return nowSeconds;
}

/** Keys only, as far as we use paths; an object or array comes back as JSON text, a JSON null as nothing. */
export function jsonExtract(text: string | null, path: string): Value {
  if (text === null) return null;
  if (/[{}]/.test(path)) throw new Error(`json_extract with a path like ${path} is not modelled`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  for (const key of path.split("."))
    value = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
  if (value === undefined || value === null) return null;
  return typeof value === "object" ? JSON.stringify(value) : (value as string | number | boolean);
}

function need(argument: Argument | undefined): Argument {
  if (!argument) throw new Error("too few arguments");
  return argument;
}

function isTrue(value: Value): boolean {
  return value === true;
}

export function many(value: Value): readonly string[] {
  if (value === null) return [];
  return typeof value === "object" ? value : [String(value)];
}

export function fromMany(list: readonly string[]): Value {
  return list.length === 0 ? null : list.length === 1 ? (list[0] as string) : list;
}

function single(value: Value): string | null {
  if (value === null) return null;
  if (typeof value === "object") throw new Error("a multivalue where one value is needed");
  return String(value);
}

function mapped(text: string | null, change: (text: string) => Value): Value {
  return text === null ? null : change(text);
}

/** A comparison with nothing is nothing, which is not true. */
function compare(sign: string, left: Value, right: Value): Value {
  if (left === null || right === null) return null;
  if (typeof left === "object" || typeof right === "object") throw new Error("a multivalue is compared");
  const numbers =
    Number.isNaN(Number(left)) || Number.isNaN(Number(right)) || left === "" || right === ""
      ? undefined
      : [Number(left), Number(right)];
  const [a, b] = (numbers ?? [String(left), String(right)]) as [number, number];
  switch (sign) {
    case "!=":
      return a !== b;
    case "<":
      return a < b;
    case ">":
      return a > b;
    case "<=":
      return a <= b;
    case ">=":
      return a >= b;
    default:
      return a === b;
  }
}

function counted(sign: string, left: Value, right: Value): Value {
  if (left === null || right === null) return null;
  const [a, b] = [Number(single(left)), Number(single(right))];
  return sign === "+" ? a + b : sign === "-" ? a - b : sign === "*" ? a * b : a / b;
}

function joined(left: Value, right: Value): Value {
  const [a, b] = [single(left), single(right)];
  return a === null || b === null ? null : a + b;
}
