import { expect, test } from "@jest/globals";
import { comparedWith, editedOnce, isThere, postedOnce } from "./create.ts";
import { RestProblem } from "./rest-problem.ts";

const SENT = { tenant_id: "contoso.example", streams: "alerts, incidents", client_secret: "********" };
const fails = (status: number) => async (): Promise<never> => {
  throw new RestProblem(status, `Problem ${status}.`);
};
const finds = (values: Readonly<Record<string, string>>) => async () => ({ host: "h", ...values });

test.each([0, 502, 504])(
  "an input whose creation got no answer (%d) and that is there as it was sent is taken",
  async (status) => {
    await expect(
      postedOnce(SENT, fails(status), finds({ ...SENT, streams: "alerts,incidents" })),
    ).resolves.toBeUndefined();
  },
);

test.each([
  ["is not there", 0, fails(404)],
  ["has other settings", 0, finds({ ...SENT, tenant_id: "other.example" })],
  ["has no secret", 0, finds({ ...SENT, client_secret: "" })],
  ["cannot be read either", 0, fails(503)],
  ["is there, but splunkd refused to create it", 409, finds(SENT)],
  ["is there, but the session has ended", 401, finds(SENT)],
])("an input that %s is not taken, and the first problem is shown", async (_, status, settingsOf) => {
  await expect(postedOnce(SENT, fails(status), settingsOf)).rejects.toMatchObject({ message: `Problem ${status}.` });
});

test("an input that was created is not read again", async () => {
  await expect(postedOnce(SENT, async () => undefined, fails(500))).resolves.toBeUndefined();
});

test("only without an answer of splunkd may an input be there: then the next try goes on with it", async () => {
  await expect(postedOnce(SENT, fails(0), fails(0))).rejects.toMatchObject({ status: 0, mayBeDone: true });
  // A slow splunkd may create it after it was looked for.
  await expect(postedOnce(SENT, fails(504), fails(404))).rejects.toMatchObject({ status: 504, mayBeDone: true });
  await expect(postedOnce(SENT, fails(409), finds(SENT))).rejects.toMatchObject({ status: 409, mayBeDone: false });
  expect(await isThere(SENT, finds(SENT))).toBe(true);
  expect(await isThere(SENT, fails(404))).toBe(false);
  await expect(isThere(SENT, fails(0))).rejects.toThrow("Problem 0.");
});

const BEFORE = { tenant_id: "contoso.example", start: "7d", client_secret: "********" };
const EDIT = { tenant_id: "contoso.example", start: "30d", client_secret: "********" };

test.each([0, 500, 504])(
  "an edit whose answer was lost (%d) and that splunkd has taken counts as saved",
  async (status) => {
    await expect(editedOnce(EDIT, BEFORE, fails(status), finds(EDIT))).resolves.toBeUndefined();
  },
);

test.each([
  ["splunkd has not taken yet, and may take later", 0, EDIT, finds(BEFORE), true],
  ["a proxy gave up on", 504, EDIT, finds(BEFORE), true],
  ["cannot be looked for", 500, EDIT, fails(0), true],
  ["holds nothing but a secret, which cannot be seen", 500, BEFORE, finds(BEFORE), true],
  ["splunkd failed to take", 500, EDIT, finds(BEFORE), false],
  ["splunkd refused", 400, EDIT, finds(EDIT), false],
  ["was sent after the session had ended", 401, EDIT, finds(EDIT), false],
])("of an edit that %s the first problem is shown, and whether it may be saved", async (_, status, sent, look, may) => {
  const edited = editedOnce(sent, BEFORE, fails(status), look);
  await expect(edited).rejects.toMatchObject({ message: `Problem ${status}.`, mayBeDone: may });
});

test("what an own save without an answer changed is not somebody else's change", () => {
  expect(comparedWith(BEFORE, EDIT, { start: "30d" })).toBe(EDIT);
  expect(comparedWith(BEFORE, EDIT, undefined)).toBe(BEFORE);
  const form = { ...BEFORE, index: "" };
  expect(comparedWith(form, { ...EDIT, index: "theirs" }, { start: "30d" })).toBe(form);
});
