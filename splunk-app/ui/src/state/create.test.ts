import { expect, test } from "@jest/globals";
import { isThere, postedOnce } from "./create.ts";
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
