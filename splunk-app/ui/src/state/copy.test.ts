import { expect, test } from "@jest/globals";
import { copyOf } from "./copy.ts";
import type { Input } from "./customers.ts";

const input = (name: string, values: Readonly<Record<string, string>>): Input => ({ name, values, isDisabled: false });
const MODEL = {
  tenant_id: "11111111-2222-3333-4444-555555555555",
  tenant_name: "Contoso",
  client_id: "22222222-2222-3333-4444-555555555555",
  client_secret: "********",
  cloud: "gcc-high",
  poll_seconds: "120",
  proxy: "http://user:secret@proxy:1",
  index: "contoso",
  host: "splunk-1",
};

test("a copy has the model's settings, and neither its tenant nor a secret", () => {
  const { values, say } = copyOf(input("contoso", MODEL), [input("contoso", { index: "contoso" })], {});

  expect(values).toEqual({
    client_id: MODEL.client_id,
    cloud: "gcc-high",
    poll_seconds: "120",
    proxy: "http://user:secret@proxy:1",
  });
  expect(say).toBe(
    "The settings of contoso are copied. Copied beside what these steps show: Poll every (seconds), Proxy. Copied with the password in it, which the new customer then uses, too: Proxy. Not copied, type it again: Client secret.",
  );
});

test.each(["http://proxy:8080", "proxy:8080", "http://user@proxy:8080"])(
  "an address without a password (%s) is copied without more words",
  (proxy) => {
    const { values, say } = copyOf(input("contoso", { ...MODEL, proxy }), [], {});
    expect([values["proxy"], say.includes("password")]).toEqual([proxy, false]);
  },
);

test("an index is copied where another customer uses it too", () => {
  const inputs = [input("contoso", { index: "contoso" }), input("fabrikam", { index: "contoso" })];
  expect(copyOf(input("contoso", MODEL), inputs, {}).values).toMatchObject({ index: "contoso" });
});

test("a default is not copied as if somebody had chosen it", () => {
  const plain = { ...MODEL, poll_seconds: "60", cloud: "commercial", proxy: "", client_secret: "", index: "default" };
  expect(copyOf(input("contoso", plain), [input("other", { index: "default" })], {}).values).not.toHaveProperty(
    "index",
  );
  expect(copyOf(input("contoso", plain), [], {}).values).not.toHaveProperty("cloud");
  expect(copyOf(input("contoso", plain), [], {}).say).toBe("The settings of contoso are copied.");
});

test("what the model inherits stays inherited", () => {
  const { values } = copyOf(input("contoso", MODEL), [], { proxy: MODEL.proxy, poll_seconds: "60" });
  expect(values).toMatchObject({ poll_seconds: "120" });
  expect(values).not.toHaveProperty("proxy");
});

test("the end date of a secret is not copied, because the secret is not", () => {
  const dated = { tenant_id: MODEL.tenant_id, client_secret: "********", secret_expires: "2027-11-24" };
  const { values, say } = copyOf(input("contoso", dated), [], {});
  expect(values).toEqual({});
  expect(say).toBe(
    "The settings of contoso are copied. Not copied, type it again: Client secret, Client secret expires.",
  );
});
