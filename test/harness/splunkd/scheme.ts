import { XMLParser } from "fast-xml-parser";

export interface SchemeArgument {
  readonly name: string;
  readonly requiredOnCreate: boolean;
  readonly requiredOnEdit: boolean;
}

/** What an executable says of itself under `--scheme`. */
export interface Scheme {
  readonly title: string;
  readonly streamingMode: "simple" | "xml";
  readonly useSingleInstance: boolean;
  readonly useExternalValidation: boolean;
  readonly args: readonly SchemeArgument[];
}

interface Parsed {
  readonly scheme?: {
    readonly title?: string;
    readonly streaming_mode?: string;
    readonly use_single_instance?: string;
    readonly use_external_validation?: string;
    readonly endpoint?: {
      readonly args?: {
        readonly arg?: readonly {
          readonly "@_name"?: string;
          readonly required_on_create?: string;
          readonly required_on_edit?: string;
        }[];
      };
    };
  };
}

/**
 * Reads the scheme document; throws an Error of one sentence when splunkd could not register it. (Public
 * source: Splunk, "Modular inputs: introspection".)
 */
export function readScheme(document: string): Scheme {
  const parser = new XMLParser({
    ignoreAttributes: false,
    parseTagValue: false,
    parseAttributeValue: false,
    isArray: (_name, path) => path === "scheme.endpoint.args.arg",
  });
  let parsed: Parsed;
  try {
    parsed = parser.parse(document, true) as Parsed;
  } catch (error) {
    throw new Error(`--scheme printed no well-formed XML: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  const scheme = parsed.scheme;
  if (typeof scheme !== "object") throw new Error("--scheme printed no <scheme> document");
  if (!scheme.title) throw new Error("the scheme has no title");
  return {
    title: scheme.title,
    streamingMode: scheme.streaming_mode === "xml" ? "xml" : "simple",
    useSingleInstance: scheme.use_single_instance?.trim() === "true",
    useExternalValidation: scheme.use_external_validation?.trim() === "true",
    args: (scheme.endpoint?.args?.arg ?? []).map((arg) => {
      if (!arg["@_name"]) throw new Error("the scheme has an argument without a name");
      return {
        name: arg["@_name"],
        requiredOnCreate: arg.required_on_create?.trim() === "true",
        requiredOnEdit: arg.required_on_edit?.trim() === "true",
      };
    }),
  };
}

/** The sentence of `<error><message>…</message></error>`, which Splunk Web shows to the user. */
export function readRefusal(document: string): string | undefined {
  try {
    const parsed = new XMLParser({ parseTagValue: false }).parse(document, true) as { error?: { message?: string } };
    return parsed.error?.message;
  } catch {
    return undefined;
  }
}
