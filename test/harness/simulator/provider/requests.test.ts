import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { PARTNER_REFUSALS, PARTNER_REQUESTS, type PartnerRequest } from "../../partner-requests.ts";
import { type Simulator, startSimulator } from "../start.ts";
import { type Visitor, visit } from "../visitor.ts";

const SCENARIO = "test/fixtures/partner/scenario.yaml";
const VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123456789";

interface Sent {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

/** The written requests, sent one after the other: what an answer gives, later requests use. */
class Story {
  readonly simulator: Simulator;
  readonly #visitor: Visitor;
  readonly #values: Record<string, string>;

  private constructor(simulator: Simulator) {
    this.simulator = simulator;
    this.#visitor = visit(simulator);
    this.#values = {
      graph: simulator.ready.graph_url,
      redirect_uri: "http://localhost:44300/signed-in",
      state: "s-1",
      verifier: VERIFIER,
      challenge: createHash("sha256").update(VERIFIER).digest("base64url"),
    };
  }

  static async begin(): Promise<Story> {
    return new Story(await startSimulator({ scenario: SCENARIO, frozen: true }));
  }

  async end(): Promise<void> {
    await this.#visitor.close();
    await this.simulator.stop();
  }

  filled(text: string): string {
    return text.replaceAll(/\{([a-z_]+)\}/g, (whole, name: string) => this.#values[name] ?? whole);
  }

  async send({ service, method, path, query, headers, form, body, answer }: PartnerRequest): Promise<Sent> {
    const origin = this.simulator.ready[`${service}_url`] ?? "";
    const search = query === undefined ? "" : `?${new URLSearchParams(this.#all(query)).toString()}`;
    const sent = form === undefined ? body : new URLSearchParams(this.#all(form)).toString();
    const response = await this.#visitor.fetch(`${origin}${path}${search}`, {
      method,
      headers: this.#all(headers),
      ...(sent === undefined ? {} : { body: sent }),
    });
    const text = await response.text();
    const json = jsonOf(text);
    const location = response.headers.get("location");
    for (const [member, name] of Object.entries(answer.keeps ?? {})) {
      const value = location === null ? json[member] : new URL(location).searchParams.get(member);
      this.#values[name] = String(value);
    }
    return { status: response.status, headers: Object.fromEntries(response.headers), text, json };
  }

  #all(members: Readonly<Record<string, string>>): Record<string, string> {
    return Object.fromEntries(Object.entries(members).map(([name, value]) => [name, this.filled(value)]));
  }
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

const claimsOf = (token: unknown): unknown =>
  jsonOf(Buffer.from(String(token).split(".")[1] ?? "", "base64url").toString());

describe("the simulator answers, as test/fixtures/partner/requests.json says, step", () => {
  let story: Story;

  beforeAll(async () => {
    story = await Story.begin();
  });

  afterAll(() => story.end());

  test.each(PARTNER_REQUESTS.map((written) => [written.step, written.name, written] as const))(
    "%s, %s",
    async (_, __, written) => {
      const { status, body, has = {}, code, claims = {} } = written.answer;

      const seen = await story.send(written);

      expect({ ...seen, body: seen.text, claims: claimsOf(seen.json["access_token"]) }).toMatchObject({
        status,
        body: body === undefined ? seen.text : story.filled(body),
        json: { ...has, ...(code === undefined ? {} : { error: { code } }) },
        claims,
      });
    },
  );
});

describe("the simulator refuses, as test/fixtures/partner/requests.json says,", () => {
  test.each(PARTNER_REFUSALS.map((written) => [written.step, written.name, written] as const))(
    "step %s: %s",
    async (step, _, { given = [], skip = [], twice, path, answer }) => {
      const story = await Story.begin();
      for (const event of given) story.simulator.control.perform(event);
      const at = PARTNER_REQUESTS.findIndex((one) => one.step === step);
      // Discovery and the bridge are two stories; neither needs the other's tokens.
      const before = PARTNER_REQUESTS.slice(0, at).filter((one) => one.step[0] === step[0] && !skip.includes(one.step));
      for (const one of before) await story.send(one);
      const refused = PARTNER_REQUESTS[at];
      if (refused === undefined) throw new Error(`no step ${step}`);
      const request = path === undefined ? refused : { ...refused, path };
      if (twice === true) await story.send(request);

      const seen = await story.send(request);
      await story.end();

      const { status, headers = {}, body = seen.text, has = {} } = answer;
      expect({ ...seen, body: seen.text }).toMatchObject({ status, headers, body, json: has });
    },
  );
});
