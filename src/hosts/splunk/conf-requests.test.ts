import { expect, test } from "@jest/globals";
import { requestSettings } from "../../config/request-stanza.ts";
import { ConfRequests } from "./conf-requests.ts";
import type { SplunkdAnswer } from "./splunkd.ts";

const PATH = "/servicesNS/nobody/TA_defender_mssp/configs/conf-defender_mssp_requests";

function bench(answer: SplunkdAnswer) {
  const calls: { readonly call: string; readonly form?: Readonly<Record<string, string>> }[] = [];
  const requests = new ConfRequests({
    async getOnce(path) {
      calls.push({ call: `GET ${path}` });
      return answer;
    },
    async postFormOnce(path, form) {
      calls.push({ call: `POST ${path}`, form });
      return answer;
    },
    async deleteOnce(path) {
      calls.push({ call: `DELETE ${path}` });
      return answer;
    },
  });
  return { calls, requests };
}

const entry = (name: string, content: object, app = "TA_defender_mssp") => ({ name, acl: { app }, content });

test("stanzas of this app are requests, without what they hold besides", async () => {
  const request = requestSettings("contoso", "doctor");
  const { calls, requests } = bench({
    status: 200,
    json: {
      entry: [
        entry("a", { ...request, "eai:acl": null, disabled: false, customer: "evil", answer: "x", state: "" }),
        entry("b", { ...request, state: "running", answered_at: "2026-11-30T12:00:00.000Z" }),
        entry("default", request),
        entry("planted", request, "another_app"),
        7,
      ],
    },
  });

  const none = { state: undefined, answered_at: undefined };
  expect(await requests.rows()).toEqual([
    { _key: "a", customer: "contoso", ask: "doctor", ...none },
    { _key: "b", customer: "contoso", ask: "doctor", state: "running", answered_at: "2026-11-30T12:00:00.000Z" },
  ]);
  // Answers may be large, and no page of 30 hides a request.
  expect(calls).toEqual([{ call: `GET ${PATH}?count=0&f=request&f=state&f=answered_at` }]);
});

test("an answer goes into the stanza of its request, and a request that is gone gets none", async () => {
  const answer = { customer: "contoso", ask: "doctor", state: "done", answered_at: "now", ok: true };
  const { calls, requests } = bench({ status: 200, json: {} });
  expect(await requests.replace({ _key: "a/b", ...answer })).toBe(true);
  expect(calls).toEqual([
    {
      call: `POST ${PATH}/a%2Fb`,
      form: { state: "done", answered_at: "now", answer: JSON.stringify(answer) },
    },
  ]);

  expect(await bench({ status: 404, json: {} }).requests.replace({ _key: "a" })).toBe(false);
});

test("a stanza that is gone is deleted already", async () => {
  const { calls, requests } = bench({ status: 404, json: undefined });
  await requests.remove("a b");
  expect(calls).toEqual([{ call: `DELETE ${PATH}/a%20b` }]);
});

test.each([
  ["a list in an unknown form", (requests: ConfRequests) => requests.rows(), { status: 200, json: {} }],
  ["a list that is not there", (requests: ConfRequests) => requests.rows(), { status: 404, json: {} }],
  ["an answer that is refused", (requests: ConfRequests) => requests.replace({ _key: "a" }), { status: 400, json: {} }],
  ["a deletion that is refused", (requests: ConfRequests) => requests.remove("a"), { status: 400, json: {} }],
] as const)("%s is a failure that names the file", async (_what, call, answer) => {
  await expect(call(bench(answer).requests)).rejects.toMatchObject({
    code: "splunkd-answer",
    say: `splunkd does not offer the pages' requests in defender_mssp_requests.conf (${answer.status}).`,
  });
});
