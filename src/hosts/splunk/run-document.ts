import { XMLParser, XMLValidator } from "fast-xml-parser";
import type { RawStanza } from "../../config/settings.ts";
import { decodedText } from "../../config/text-encoding.ts";
import { Failure } from "../../model/failure.ts";
import type { FailureCode } from "../../model/failure-codes.ts";
import { ownEntry } from "../../model/own-entry.ts";
import type { Clock } from "../../model/ports.ts";
import type { Sealed } from "../../model/sealed.ts";
import { sealed } from "../../model/sealed.ts";
import type { SettingProblem } from "../../model/stanza.ts";

/** The document that splunkd sends on stdin: `<input>` to run, `<items>` to check one input's settings. */
export interface SplunkDocument {
  readonly kind: "input" | "items";
  /** Address of splunkd's REST interface, normally `https://127.0.0.1:8089`. */
  readonly serverUri: string;
  /** Absent in a document written by hand. */
  readonly sessionKey: Sealed | undefined;
  readonly checkpointDir: string;
  readonly stanzas: readonly SplunkStanza[];
  /** Stanzas that could not be read. */
  readonly problems: readonly SettingProblem[];
}

export interface SplunkStanza {
  /** As splunkd wrote it: `defender_mssp://contoso`, or only the name in some `<items>` documents. */
  readonly fullName: string;
  /** Without the scheme. */
  readonly name: string;
  /** Folder of the app whose inputs.conf contains the stanza; edits go there. */
  readonly app: string | undefined;
  /**
   * Values as they are, white space included; a `param_list` is joined by commas. All are sealed, because the
   * document stays in memory while the process runs and a secret can stand under a mistyped name.
   */
  readonly values: Readonly<Record<string, Sealed>>;
}

/** The stanzas with open values, for the check of the settings only. */
export function openedStanzas(stanzas: readonly SplunkStanza[]): readonly RawStanza[] {
  return stanzas.map(({ name, values }) => ({
    name,
    values: Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value.open((text) => text)])),
  }));
}

/** How long splunkd may take to send its document (the same as in the JavaScript SDK). */
const READ_LIMIT_MS = 30_000;
/** 2,000 customers are about 4 MB. */
const DOCUMENT_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Reads until the closing tag, because splunkd may leave the pipe open, or until the end of the file. Throws
 * Failure `document-late` after 30 s, `document-empty` without any data, `document-too-large`.
 */
export async function readDocumentText(stdin: AsyncIterable<Uint8Array>, clock: Clock): Promise<string> {
  const collected = new DocumentBytes();
  const late = new AbortController();
  const timeout = clock.pause(READ_LIMIT_MS, late.signal).then(() => "late" as const);
  const pieces = stdin[Symbol.asyncIterator]();
  try {
    while (!collected.isComplete()) {
      const next = await Promise.race([pieces.next(), timeout]);
      if (next === "late")
        throw unusable(
          "document-late",
          `splunkd did not send a complete document within ${READ_LIMIT_MS / 1000} s (${collected.length} bytes received).`,
        );
      if (next.done) break;
      collected.add(next.value);
    }
  } finally {
    late.abort();
    // Releases the pipe, because a pending read would keep the process alive. Not awaited, because a read may
    // be running.
    pieces.return?.().catch(() => {});
  }
  if (collected.length === 0)
    throw unusable(
      "document-empty",
      "Standard input was empty. splunkd starts this program; to start it yourself, give a command (see --help).",
    );
  return collected.text();
}

/** Collects bytes as they arrive and detects the end. */
class DocumentBytes {
  length = 0;
  #pieces: Uint8Array[] = [];

  add(piece: Uint8Array): void {
    this.length += piece.byteLength;
    if (this.length > DOCUMENT_MAX_BYTES)
      throw unusable(
        "document-too-large",
        `splunkd's document is larger than ${DOCUMENT_MAX_BYTES / 1024 / 1024} MiB.`,
      );
    this.#pieces.push(piece);
  }

  /**
   * Whether the text ends with a closing root tag, white space aside. Works for UTF-16 too, because zero
   * bytes are skipped.
   */
  isComplete(): boolean {
    let tail = "";
    for (let i = this.#pieces.length - 1; i >= 0 && tail.length < CLOSING_LENGTH; i -= 1) {
      const piece = this.#pieces[i] as Uint8Array;
      for (let at = piece.length - 1; at >= 0 && tail.length < CLOSING_LENGTH; at -= 1) {
        const byte = piece[at] as number;
        if (byte === 0 || (tail === "" && byte <= 0x20)) continue;
        tail = String.fromCharCode(byte) + tail;
      }
    }
    // Little-endian UTF-16 ends with a zero byte that may arrive later; the decoder does not need it.
    return /<\/(input|items)\s*>$/.test(tail);
  }

  /** By the bytes, not by the declaration: public samples declare utf-16 but are ASCII, and vice versa. */
  text(): string {
    return decodedText(Buffer.concat(this.#pieces));
  }
}

/** Enough for `</items` with some white space before `>`. */
const CLOSING_LENGTH = 64;

/** One node in fast-xml-parser's `preserveOrder` form. */
type Node = Readonly<Record<string, unknown>>;

/**
 * All values stay text: by default the parser would turn a secret `0123` into 123. Entities are decoded
 * below, in one pass.
 */
const PARSER = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: "",
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: false,
  processEntities: false,
  ignoreDeclaration: true,
  ignorePiTags: true,
  cdataPropName: "#cdata",
  commentPropName: false,
});

/**
 * Parses a run or validation document. Throws Failure `document-malformed`, never with content, because the
 * document contains secrets. A stanza that cannot be read becomes a problem of that stanza.
 */
export function parseDocument(text: string): SplunkDocument {
  if (/<!DOCTYPE/i.test(text))
    throw unusable("document-malformed", "splunkd's document contains a DOCTYPE, which is not accepted.");
  const body = text.replace(/^\uFEFF?\s*<\?xml[^>]*\?>/, "");
  const valid = XMLValidator.validate(body);
  if (valid !== true)
    throw unusable("document-malformed", `splunkd's document is not well-formed XML (line ${valid.err.line}).`);
  let root: Node | undefined;
  try {
    root = (PARSER.parse(body) as Node[]).find((node) => nameOf(node) === "input" || nameOf(node) === "items");
  } catch (cause) {
    throw unusable("document-malformed", "splunkd's document could not be read.", cause);
  }
  if (!root) throw unusable("document-malformed", "splunkd's document is neither <input> nor <items>.");
  const kind = nameOf(root) as "input" | "items";
  const top = childrenOf(root);
  const single = (name: string) => {
    const node = top.find((one) => nameOf(one) === name);
    return node ? textOf(node).trim() : "";
  };
  const holders = kind === "input" ? top.filter((node) => nameOf(node) === "configuration").flatMap(childrenOf) : top;
  const problems: SettingProblem[] = [];
  const known = new Map<string, Sealed>();
  const stanzas = holders
    .filter((node) => nameOf(node) === (kind === "input" ? "stanza" : "item"))
    .flatMap((node) => {
      const read = readStanza(node, known);
      if ("say" in read) problems.push(read);
      return "say" in read ? [] : [read];
    });
  const key = single("session_key");
  return {
    kind,
    serverUri: single("server_uri"),
    sessionKey: key === "" ? undefined : sealed(key),
    checkpointDir: single("checkpoint_dir"),
    stanzas,
    problems,
  };
}

/** @param known values that stanzas before it have: most are the same for all customers. */
function readStanza(node: Node, known: Map<string, Sealed>): SplunkStanza | SettingProblem {
  const fullName = attributeOf(node, "name") ?? "";
  const name = fullName.replace(/^[A-Za-z0-9_-]+:\/\//, "");
  const values: [string, string][] = [];
  for (const child of childrenOf(node)) {
    const tag = nameOf(child);
    if (tag === "#text" || tag === "#cdata") continue;
    const key = attributeOf(child, "name");
    if (tag === "param" && key !== undefined) values.push([key, textOf(child)]);
    else if (tag === "param_list" && key !== undefined) {
      const items = childrenOf(child).filter((item) => nameOf(item) === "value");
      values.push([key, items.map(textOf).join(",")]);
    } else {
      const what =
        tag === "param" || tag === "param_list"
          ? `<${tag}> without a name`
          : `the unexpected element <${tag.slice(0, 40)}>`;
      return {
        stanza: name,
        key: "stanza",
        say: `splunkd's document contains ${what}; save this input again in Splunk`,
      };
    }
  }
  return {
    fullName: ownText(fullName),
    name: ownText(name),
    app: attributeOf(node, "app"),
    values: Object.fromEntries(values.map(([key, value]) => [key, sealedOnce(value, known)])),
  };
}

function sealedOnce(value: string, known: Map<string, Sealed>): Sealed {
  let held = known.get(value);
  if (held === undefined) {
    held = sealed(ownText(value));
    known.set(value, held);
  }
  return held;
}

/**
 * A copy of the text. A slice would keep the whole document in memory: megabytes for thousands of inputs.
 */
function ownText(text: string): string {
  return Buffer.from(text, "utf16le").toString("utf16le");
}

function nameOf(node: Node): string {
  return Object.keys(node).find((key) => key !== ":@") ?? "";
}

function childrenOf(node: Node): readonly Node[] {
  const children = node[nameOf(node)];
  return Array.isArray(children) ? (children as Node[]) : [];
}

function attributeOf(node: Node, name: string): string | undefined {
  const attributes = node[":@"] as Readonly<Record<string, unknown>> | undefined;
  const value = attributes && Object.hasOwn(attributes, name) ? attributes[name] : undefined;
  return typeof value === "string" ? decodeEntities(value) : undefined;
}

/** All text below a node; CDATA is taken unchanged. */
function textOf(node: Node): string {
  return childrenOf(node)
    .map((child) => {
      const tag = nameOf(child);
      if (tag === "#text") return decodeEntities(String(child["#text"]));
      if (tag === "#cdata")
        return childrenOf(child)
          .map((part) => String(part["#text"]))
          .join("");
      return "";
    })
    .join("");
}

const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/**
 * Decodes XML's five named entities and numeric references, each once: `&amp;lt;` is the text `&lt;`. All
 * other text is unchanged.
 */
function decodeEntities(text: string): string {
  return text.replace(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]+));/gi,
    (whole, decimal?: string, hex?: string, named?: string) => {
      if (named !== undefined) return ownEntry(NAMED, named) ?? whole;
      const code = decimal === undefined ? Number.parseInt(hex as string, 16) : Number(decimal);
      return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
    },
  );
}

function unusable(code: FailureCode, say: string, cause?: unknown): Failure {
  return new Failure(code, {
    actor: "operator",
    retry: { when: "never" },
    say,
    nextStep: "Disable and enable the input in Splunk. If it happens again, report a bug with splunkd.log.",
    cause,
  });
}
