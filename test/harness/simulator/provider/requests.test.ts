import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { PARTNER_REQUESTS, type PartnerRequest } from "../../partner-requests.ts";
import { type Simulator, startSimulator } from "../start.ts";
import { type Visitor, visit } from "../visitor.ts";

const FOLDER = "test/fixtures/partner";

const VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123456789";

let simulator: Simulator;
let visitor: Visitor;
const values: Record<string, string> = {
  redirect_uri: "http://localhost:44300/signed-in",
  state: "s-1",
  verifier: VERIFIER,
  challenge: createHash("sha256").update(VERIFIER).digest("base64url"),
};

beforeAll(async () => {
  simulator = await startSimulator({ scenario: `${FOLDER}/scenario.yaml`, frozen: true });
  visitor = visit(simulator);
  values["graph"] = simulator.ready.graph_url;
});

afterAll(async () => {
  await visitor.close();
  await simulator.stop();
});

const filled = (text: string): string =>
  text.replaceAll(/\{([a-z_]+)\}/g, (whole, name: string) => values[name] ?? whole);
const allFilled = (members: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(members).map(([name, value]) => [name, filled(value)]));
const claimsOf = (token: unknown): unknown =>
  jsonOf(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString());

async function send({ service, method, path, query, headers, form, body }: PartnerRequest) {
  const origin = simulator.ready[`${service}_url`] ?? "";
  const search = query === undefined ? "" : `?${new URLSearchParams(allFilled(query)).toString()}`;
  const sent = form === undefined ? body : new URLSearchParams(allFilled(form)).toString();
  const response = await visitor.fetch(`${origin}${path}${search}`, {
    method,
    headers: allFilled(headers),
    ...(sent === undefined ? {} : { body: sent }),
  });
  const text = await response.text();
  return { status: response.status, location: response.headers.get("location"), text };
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

describe("the simulator answers, as test/fixtures/partner/requests.json says, step", () => {
  const known = PARTNER_REQUESTS;

  test.each(known.map((written) => [written.step, written.name, written] as const))(
    "%s, %s",
    async (_, __, written) => {
      const { status, body, has = {}, code, claims = {}, keeps = {} } = written.answer;

      const seen = await send(written);
      const json = jsonOf(seen.text);

      expect({ status: seen.status, body: seen.text, json, claims: claimsOf(json["access_token"]) }).toMatchObject({
        status,
        body: body === undefined ? seen.text : filled(body),
        json: { ...has, ...(code === undefined ? {} : { error: { code } }) },
        claims,
      });
      for (const [member, name] of Object.entries(keeps)) {
        const value = seen.location === null ? json[member] : new URL(seen.location).searchParams.get(member);
        values[name] = String(value);
      }
    },
  );
});
