import {
  ACTIONS,
  CUSTOMER,
  eventSpec,
  FAULT,
  GENERATE,
  IDENTITY,
  PROVIDER,
  RECORD,
  SCENARIO,
  type Spec,
} from "./spec.ts";

const DURATION = "^[+-]?(\\d+(\\.\\d+)?(ms|s|m|h|d))+$";

/** The JSON schema of scenario files, for editors; made from the same table that the simulator checks by. */
export function scenarioSchema(): object {
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "defender-mssp simulator scenario",
    ...schemaOf(SCENARIO),
    $defs: Object.fromEntries([...NAMED].map(([spec, name]) => [name, schemaOf(spec, true)])),
  };
}

/** Written once and referred to. */
const NAMED = new Map<Spec, string>([
  [CUSTOMER, "customer"],
  [FAULT, "fault"],
  [GENERATE, "generate"],
  [IDENTITY, "identity"],
  [PROVIDER, "provider"],
  [RECORD, "record"],
]);

function schemaOf(spec: Spec, inFull = false): Record<string, unknown> {
  const description = spec.help;
  const definition = NAMED.get(spec);
  if (definition !== undefined && !inFull) return { $ref: `#/$defs/${definition}` };
  switch (spec.kind) {
    case "text":
      return { description, type: ["string", "number"] };
    case "flag":
      return { description, type: "boolean" };
    case "number":
      return { description, type: spec.integer ? "integer" : "number", minimum: spec.min, maximum: spec.max };
    case "choice":
      return { description, enum: spec.of };
    case "duration":
      return { description, type: "string", pattern: DURATION };
    case "span":
      return { description, type: "string", pattern: `${DURATION.slice(0, -1)}(\\.\\.${DURATION.slice(1, -1)})?$` };
    case "time":
      return { description, type: "string", format: "date-time" };
    case "json":
      return { description };
    case "list": {
      const one = schemaOf(spec.of);
      return { description, anyOf: [{ type: "array", items: one }, one] };
    }
    case "map":
      return {
        description,
        type: "object",
        additionalProperties: false,
        properties: Object.fromEntries(spec.keys.map((key) => [key, schemaOf(spec.of)])),
      };
    case "object":
      break;
  }
  const required = Object.entries(spec.fields)
    .filter(([, field]) => field.required === true)
    .map(([name]) => name);
  const properties = Object.fromEntries(
    Object.entries(spec.fields).map(([name, field]) => [name, name === "events" ? events() : schemaOf(field)]),
  );
  return {
    description,
    type: "object",
    additionalProperties: false,
    ...(required.length > 0 ? { required } : {}),
    properties,
  };
}

function events(): object {
  const kinds = Object.keys(ACTIONS).map((action) => {
    const schema = schemaOf(eventSpec(action));
    return { ...schema, properties: { ...(schema["properties"] as object), do: { const: action } } };
  });
  return { type: "array", items: { anyOf: kinds } };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(scenarioSchema(), undefined, 2)}\n`);
